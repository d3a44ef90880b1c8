/* SPDX-License-Identifier: MIT */
/*
 * demo_records.h - the records of "make demo": cut from real data once, read by every step after
 *
 * A record file is u32 key size, u32 value size, key, value, and so on, sorted by key, each key
 * once. Every function ends the program with a message when something cannot be read or written.
 */
#ifndef BWT_TOOLS_DEMO_RECORDS_H
#define BWT_TOOLS_DEMO_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "bwt.h"

struct record {
	struct bwt_slice key, value;
	uint32_t number; /* counted through both files */
};

/** All records of both files; those of tree t are [first[t], first[t + 1]), sorted by key. */
struct records {
	struct record *all;
	uint32_t first[3];
};

/** demo_prepare - cut @input, a package index or a list of paths, into records; an exit status */
int demo_prepare(const char *kind, const char *input, const char *output);

/** demo_read_records - both record files; slices point into them for the rest of the program */
void demo_read_records(struct records *records, const char *packages, const char *paths);

/**
 * demo_read_acks - which records the file @path acknowledges
 * @total:   records there are
 * @count:   out: how many are acknowledged
 * Returns:  a flag per record, freed by the caller. No file, no acknowledgements
 */
bool *demo_read_acks(const char *path, uint32_t total, uint32_t *count);

/** demo_compare - memcmp order, shorter first */
int demo_compare(struct bwt_slice a, struct bwt_slice b);

/** demo_die - "cannot WHAT NAME: errno in words", and exit */
void demo_die(const char *what, const char *name) __attribute__((noreturn));

#endif
