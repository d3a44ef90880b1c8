/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what the libFuzzer targets share; "make fuzz" builds and runs them
 */
#ifndef BWT_TESTS_FUZZ_H
#define BWT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "mem/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** fuzz_touch - read every byte, so that a bad pointer shows */
void fuzz_touch(const void *data, size_t size);
/** fuzz_seal - put the CRC of a block right, if its size lets it have one in @room bytes */
void fuzz_seal(struct block_head *head, size_t room);
/** fuzz_file - a file in memory with these bytes; the caller closes it */
int fuzz_file(const void *data, size_t size);
/** fuzz_dir - an empty folder of this process, the same at every call; its descriptor */
int fuzz_dir(void);
/** fuzz_dir_file - file @name in it, with these bytes, @size in all (the rest zeroes) */
void fuzz_dir_file(const char *name, const void *data, size_t used, size_t size);

#endif
