/* SPDX-License-Identifier: MIT */
/*
 * dump_dot.c - the pages of a store as a drawing for Graphviz
 *
 *   box       a page: its id, its key range, the records of its chain from the newest to the base
 *   ellipse   a tree, with an arrow to its root
 *   arrows    solid: to a child in the base page; dashed: to one that an index delta names;
 *             dotted: to the right sibling
 *   red       a page that does not check: what is wrong with it, and no arrows
 */
#include "tools/dump_dot.h"

#include <inttypes.h>
#include <stdio.h>

#include "page/base_page.h"
#include "page/chain.h"
#include "tools/dump_inside.h"

#define KEY_LIMIT 16u /* bytes of a key that are shown */

/* In a quoted string of Graphviz: nothing that it would read as more than a character. */
static void draw_key(struct bwt_slice key)
{
	const uint8_t *bytes = key.data;

	if (key.data == NULL) {
		fputs("end", stdout);
		return;
	}
	fputc('\'', stdout);
	for (size_t i = 0; i < key.size && i < KEY_LIMIT; i++)
		if (bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '\\' && bytes[i] != '"')
			putchar(bytes[i]);
		else
			printf("\\\\%02x", bytes[i]);
	fputs(key.size > KEY_LIMIT ? "...'" : "'", stdout);
}

static void draw_delta(const struct block_head *block)
{
	const void *bytes = block;

	switch (block->tag) {
	case BLOCK_PUT:
	case BLOCK_DELETE:
		fputs(block->tag == BLOCK_PUT ? "put " : "delete ", stdout);
		draw_key(leaf_delta_key(bytes));
		break;
	default:
		fputs(block->tag == BLOCK_INDEX_INSERT   ? "insert "
		      : block->tag == BLOCK_INDEX_DELETE ? "remove "
		                                         : "merge ",
		      stdout);
		draw_key(index_delta_low(bytes));
		break;
	}
	fputs("\\l", stdout);
}

/* The label: the chain from top to base. */
static void draw_chain(const struct store *store, arena_off head)
{
	const struct block_head *block = tree_block(&store->env, head);

	for (; block->chain != 0; block = tree_block(&store->env, delta_below(block)))
		draw_delta(block);
}

static void draw_arrows(const struct store *store, page_id page, arena_off head)
{
	const struct base_page *base = chain_base(store->arena.base, head);
	const struct block_head *block = tree_block(&store->env, head);

	for (; block->chain != 0; block = tree_block(&store->env, delta_below(block)))
		if (tag_is_index(block->tag)) {
			const struct index_delta *delta = (const void *)block;

			printf("\tp%" PRIu64 " -> p%" PRIu64 " [style=dashed];\n", page,
			       delta->child);
		}
	for (unsigned i = 0; base->level != 0 && i < base->count; i++)
		printf("\tp%" PRIu64 " -> p%" PRIu64 ";\n", page, inner_child(base, i));
	if (base->right != 0)
		printf("\tp%" PRIu64 " -> p%" PRIu64 " [style=dotted, constraint=false];\n", page,
		       base->right);
}

static void draw_page(const struct store *store, page_id page, uint64_t word)
{
	arena_off head = mapping_head(word), bad;
	const char *wrong = inside_check_page(store, page, word, &bad);
	const struct base_page *base;

	if (wrong != NULL) {
		printf("\tp%" PRIu64 " [color=red, label=\"page %" PRIu64 "\\nat %#" PRIx64
		       ": %s\"];\n",
		       page, page, bad, wrong);
		return;
	}
	base = chain_base(store->arena.base, head);
	printf("\tp%" PRIu64 " [label=\"page %" PRIu64 "%s\\n", page, page,
	       mapping_frozen(word) ? ", frozen" : "");
	draw_key(base_low(base));
	fputs(" to ", stdout);
	draw_key(base_high(base));
	fputs("\\n", stdout);
	draw_chain(store, head);
	printf("%s: %" PRIu32 " entries, %" PRIu32 " bytes\\l\"];\n",
	       base->level == 0 ? "leaf" : "inner", base->count, base->head.size);
	draw_arrows(store, page, head);
}

static void draw_trees(const struct store *store, uint32_t only)
{
	puts("digraph bwt {\n\tnode [shape=box, fontname=\"monospace\", fontsize=9];");
	for (const struct named_tree *tree = store->trees; tree != NULL; tree = tree->next) {
		const char *title = inside_tree_title(tree);

		if (only != 0 && tree->tree.id != only)
			continue;
		printf("\tt%" PRIu32 " [shape=ellipse, label=\"", tree->tree.id);
		for (; *title != '\0'; title++) {
			if (*title == '"' || *title == '\\')
				putchar('\\');
			putchar(*title);
		}
		printf("\"];\n\tt%" PRIu32 " -> p%" PRIu64 ";\n", tree->tree.id, tree->tree.root);
	}
}

int inside_show_dot(const char *path, const char *tree_name)
{
	static const struct inside_walk walk = {draw_trees, draw_page};
	int rc = inside_walk_pages(path, tree_name, &walk);

	if (rc == BWT_OK)
		puts("}");
	return rc;
}
