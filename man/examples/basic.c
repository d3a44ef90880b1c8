/* SPDX-License-Identifier: MIT */
/*
 * basic.c - open a store, put, get, walk over a prefix, delete, close
 *
 *   basic STORE
 */
#include <bwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(const char *what, int rc)
{
	if (rc == BWT_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static struct bwt_slice slice(const char *text)
{
	return (struct bwt_slice){text, strlen(text)};
}

int main(int argc, char **argv)
{
	static const char *const pairs[][2] = {{"fruit/apple", "red"},
	                                       {"fruit/lemon", "yellow"},
	                                       {"root/beet", "purple"}};
	struct bwt_options options = {.flags = BWT_CREATE};
	struct bwt_slice key, value;
	struct bwt_cursor *cursor;
	struct bwt_buf found = {0};
	struct bwt_tree *tree;
	struct bwt_db *db;
	int rc;

	if (argc != 2)
		return fprintf(stderr, "usage: basic STORE\n"), 2;
	need("open", bwt_open(argv[1], &options, &db));
	need("tree", bwt_tree_open(db, NULL, 0, &tree));
	for (size_t i = 0; i < 3; i++) /* each is durable when the call returns */
		need("put", bwt_put(tree, NULL, slice(pairs[i][0]), slice(pairs[i][1]), 0));

	need("get", bwt_get(tree, NULL, slice("root/beet"), &found));
	printf("a beet is %.*s\n", (int)found.size, (const char *)found.data);
	bwt_buf_free(&found);

	need("cursor", bwt_cursor_open(tree, NULL, &cursor));
	for (rc = bwt_cursor_seek(cursor, slice("fruit/"), BWT_PREFIX); rc == BWT_OK;
	     rc = bwt_cursor_next(cursor)) {
		need("key", bwt_cursor_key(cursor, &key));
		need("value", bwt_cursor_value(cursor, &value));
		printf("%.*s is %.*s\n", (int)key.size, (const char *)key.data, (int)value.size,
		       (const char *)value.data);
	}
	if (rc != BWT_NOT_FOUND) /* the end of the prefix */
		need("next", rc);
	bwt_cursor_close(cursor);

	need("delete", bwt_delete(tree, NULL, slice("fruit/lemon")));
	need("close", bwt_close(db));
	return 0;
}
