/* SPDX-License-Identifier: MIT */
/*
 * dump_salvage.h - bwt-dump --salvage: pairs out of a store that may not open
 */
#ifndef BWT_TOOLS_DUMP_SALVAGE_H
#define BWT_TOOLS_DUMP_SALVAGE_H

#include <stdbool.h>

/**
 * salvage_dump - write every pair that checks out to standard output, what does not to standard error
 * @print:    as text, not hexadecimal
 * @whole:    out: nothing is lost or older than it was, as far as can be told
 * Returns:   BWT_OK; what salvage() returns
 */
int salvage_dump(const char *path, bool print, bool *whole);

#endif
