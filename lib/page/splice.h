/* SPDX-License-Identifier: MIT */
/*
 * splice.h - a leaf made from another one and a few changes
 *
 * Most consolidations change some entries of a leaf and leave the rest as it is. What lies between two changes is
 * copied as it lies there, arrays and entries alike, instead of being taken apart and put together again.
 *
 *   SL1  The result is, byte for byte, what leaf_build() makes of the same entries.
 *   SL2  It has the prefix of the old page: else the suffixes would be others. Who cannot have that takes leaf_build().
 */
#ifndef BWT_PAGE_SPLICE_H
#define BWT_PAGE_SPLICE_H

#include "page/base_page.h"

struct splice_step {       /* some entries of the old page, then one that is new */
	unsigned from, to; /* [from, to) of the old page; steps ascend, without overlap */
	const struct page_entry *put; /* lsn 0; NULL: none */
};

struct splice {
	const struct base_page *base;
	const struct splice_step *steps;
	unsigned count;
};

/** Are all entries of @page the only versions of live keys, old enough to have no LSN? */
bool splice_takes(const struct base_page *page);
/** Does the result have entries of the old page, and its prefix (SL2)? */
bool splice_fits(const struct splice *splice);
/** Bytes of keys and values of entries [@from, @to). */
size_t splice_run_bytes(const struct base_page *page, unsigned from, unsigned to);
/** Bytes of the page that splice_build() makes, a multiple of BLOCK_ALIGN. */
size_t splice_size(const struct splice *splice, const struct page_bounds *bounds);
/** Lay out and seal at @to what @splice says, which fits. */
void splice_build(struct base_page *to, size_t size, const struct splice *splice,
                  const struct page_bounds *bounds, page_id page, uint32_t tree, uint64_t clock);

#endif
