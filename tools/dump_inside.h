/* SPDX-License-Identifier: MIT */
/*
 * dump_inside.h - the inside of a store on standard output, for people
 *
 * Linked with the internal symbols of the library. Each function returns BWT_OK or the code of what
 * stopped it, with the words in bwt_detail(); what it could read until then was printed. Nothing is
 * written to the store.
 */
#ifndef BWT_TOOLS_DUMP_INSIDE_H
#define BWT_TOOLS_DUMP_INSIDE_H

#include <stdint.h>

#include "db/db.h"

/** inside_show_super - both superblocks; does not open the store, so takes no lock */
int inside_show_super(const char *path);

/** inside_show_wal - segments, then the records from the newest checkpoint on; takes no lock */
int inside_show_wal(const char *path);

/** inside_show_vlog - files and the values in them, without the bytes; takes no lock */
int inside_show_vlog(const char *path);

struct inside_walk {
	void (*begin)(const struct store *store, uint32_t only); /* @only: id of the one tree, or 0 */
	void (*page)(const struct store *store, page_id page, uint64_t word); /* of the mapping table */
};

/** inside_walk_pages - open the store read-only and visit every page in use, by id; of one tree where it is named */
int inside_walk_pages(const char *path, const char *tree_name, const struct inside_walk *walk);
/** inside_check_page - NULL, or what is wrong with the page's records and where (*@bad) */
const char *inside_check_page(const struct store *store, page_id page, uint64_t word, arena_off *bad);
/** inside_tree_title - a tree's name, for people */
const char *inside_tree_title(const struct named_tree *tree);

/** inside_show_pages - the trees, then every page of one of them, or of all (@tree_name NULL), by id */
int inside_show_pages(const char *path, const char *tree_name);

/** inside_show_page - one page with all that is on it; BWT_NOT_FOUND when the id is not in use */
int inside_show_page(const char *path, uint64_t page);

#endif
