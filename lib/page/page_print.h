/* SPDX-License-Identifier: MIT */
/*
 * page_print.h - pages and chains as text, for bwt-dump and debuggers
 */
#ifndef BWT_PAGE_PAGE_PRINT_H
#define BWT_PAGE_PAGE_PRINT_H

#include <stdio.h>

#include "page/chain.h"

/** A key in quotes, printable bytes as they are, others and backslash as \xx, at most @limit bytes of it. */
void key_print(FILE *file, struct bwt_slice key, size_t limit);
/** One block, one line per entry; @verbose: values too. The block passed page_check_block(). */
void page_print_block(FILE *file, const struct block_head *block, arena_off off, bool verbose);
/** A whole chain, newest record first. */
void page_print_chain(FILE *file, const uint8_t *arena, arena_off head, bool verbose);

#endif
