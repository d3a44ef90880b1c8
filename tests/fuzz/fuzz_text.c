/* SPDX-License-Identifier: MIT */
/* fuzz_text.c - any bytes as a dump: bwt-load's reader */
#include <stdio.h>

#include "tests/fuzz/fuzz.h"
#include "tools/tool_text.h"

static void read_text(const uint8_t *data, size_t size, bool plain)
{
	FILE *file = fmemopen((void *)(uintptr_t)data, size, "r");
	struct text_reader reader;
	struct bwt_slice key, value;

	if (file == NULL)
		return;
	text_reader_init(&reader, file, plain);
	while (text_section(&reader) == TEXT_MORE) {
		while (text_pair(&reader, &key, &value) == TEXT_MORE) {
			fuzz_touch(key.data, key.size);
			fuzz_touch(value.data, value.size);
		}
	}
	text_reader_deinit(&reader);
	fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	read_text(data, size, false);
	read_text(data, size, true);
	return 0;
}
