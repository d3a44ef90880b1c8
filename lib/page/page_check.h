/* SPDX-License-Identifier: MIT */
/*
 * page_check.h - the structural rules of stored pages, for stored bytes that may be hostile
 *
 * After a block passed its check, every function of delta.h and base_page.h may be used on it
 * without further bounds checks.
 */
#ifndef BWT_PAGE_PAGE_CHECK_H
#define BWT_PAGE_PAGE_CHECK_H

#include "page/base_page.h"

/**
 * page_check_block - one block on its own: CRC, sizes, offsets inside it, order of its keys, LSN word
 * @room:   bytes that may be read at @block
 * Returns: NULL when it holds, else one sentence (static text) saying what is wrong
 */
const char *page_check_block(const struct block_head *block, size_t room);

/**
 * page_check_chain - a whole chain: page_check_block() of each record, D2, D3, bounds, one page id
 * @arena_size: offsets at or beyond it are wrong
 * @bad:        out: offset of the wrong block
 * @resolved:   true: a PENDING or DESCRIPTOR word is wrong too (checkpoint images hold none)
 */
const char *page_check_chain(const uint8_t *arena, uint64_t arena_size, arena_off head,
                             page_id page, bool resolved, arena_off *bad);

#endif
