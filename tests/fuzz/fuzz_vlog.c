/* SPDX-License-Identifier: MIT */
/* fuzz_vlog.c - any bytes as a file of the value log, and a reference into it: the first 24 bytes */
#include <stdlib.h>
#include <string.h>

#include "log/vlog.h"
#include "tests/fuzz/fuzz.h"

static int touch_record(void *ctx, uint64_t offset, const struct vlog_record *record)
{
	(void)ctx;
	(void)offset;
	fuzz_touch(record, sizeof *record);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vlog_config config = {.dir_fd = fuzz_dir(), .store_id = 1, .readonly = true};
	struct value_ref ref;
	struct vlog *vlog;

	if (size < sizeof ref)
		return 0;
	memcpy(&ref, data, sizeof ref);
	ref.segment = 1;
	ref.offset %= 4096;
	ref.size %= 4096;
	fuzz_dir_file("0000000000000001.vlog", data + sizeof ref, size - sizeof ref,
	              size - sizeof ref);
	if (vlog_open(&config, &vlog) < 0)
		return 0;
	vlog_walk(vlog, 1, touch_record, NULL);
	if (vlog_check(vlog, &ref) == BWT_OK) {
		void *value = malloc(ref.size + 1u);

		vlog_read(vlog, &ref, value);
		free(value);
	}
	vlog_close(vlog);
	return 0;
}
