/* SPDX-License-Identifier: MIT */
/*
 * disk_page.h - what disk.c and cut.c share
 */
#ifndef BWT_TESTS_SIM_DISK_PAGE_H
#define BWT_TESTS_SIM_DISK_PAGE_H

#include "tests/sim/disk.h"

struct page *page_new(const uint8_t *bytes);
void page_drop(struct page *page); /* NULL is ignored */
const uint8_t *page_bytes(const struct page *page);

static inline struct page *page_hold(struct page *page)
{
	if (page != NULL)
		page->refs++;
	return page;
}

void inode_make_room(struct inode *inode, uint64_t size);
/** dir_apply - change the names of @dir as @change says, with @inode behind the new one */
void dir_apply(struct inode *dir, const struct dir_change *change, struct inode *inode);
/** disk_pages_free - give back the pages that wait to be used again */
void disk_pages_free(void);

#endif
