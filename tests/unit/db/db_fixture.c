/* SPDX-License-Identifier: MIT */
/* db_fixture.c - what the tests of db/ share */
#include "tests/unit/db/db_fixture.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

static void hear(void *ctx, int level, const char *text)
{
	struct fixture *fixture = ctx;

	if (level > LOG_WARNING)
		return;
	snprintf(fixture->said, sizeof fixture->said, "%s", text);
	fixture->said_count++;
}

void fixture_new(struct fixture *fixture)
{
	memset(fixture, 0, sizeof *fixture);
	tmpstore_new(fixture->path);
	fixture->options = (struct bwt_options){
		.flags = BWT_CREATE | BWT_NO_URING,
		.durability = BWT_NONE,
		.max_size = (uint64_t)128 << 20,
		.inline_max = 200,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.checkpoint_wal_bytes = UINT64_MAX,
		.checkpoint_interval_ms = UINT32_MAX,
		.log = hear,
		.ctx = fixture,
	};
}

void fixture_open(struct fixture *fixture)
{
	CU_ASSERT_EQUAL_FATAL(bwt_open(fixture->path, &fixture->options, &fixture->db), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture->db, NULL, 0, &fixture->tree), BWT_OK);
}

void fixture_close(struct fixture *fixture)
{
	CU_ASSERT_EQUAL(bwt_close(fixture->db), BWT_OK);
	fixture->db = NULL;
}

void fixture_reopen(struct fixture *fixture)
{
	fixture_close(fixture);
	fixture_open(fixture);
}

void fixture_free(struct fixture *fixture)
{
	if (fixture->db != NULL)
		fixture_close(fixture);
	tmpstore_free(fixture->path);
}

struct bwt_slice text_slice(const char *text)
{
	return (struct bwt_slice){text, strlen(text)};
}

int fixture_put(struct fixture *fixture, const char *key, const char *value)
{
	return bwt_put(fixture->tree, NULL, text_slice(key), text_slice(value), 0);
}

void fixture_fill(struct fixture *fixture, unsigned from, unsigned to)
{
	char key[16];

	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof key, "%08u", i);
		CU_ASSERT_EQUAL_FATAL(fixture_put(fixture, key, key), BWT_OK);
	}
}

bool fixture_has(struct fixture *fixture, struct bwt_txn *txn, const char *key, const char *value)
{
	struct bwt_buf got = {0};
	int rc = bwt_get(fixture->tree, txn, text_slice(key), &got);
	bool same = value == NULL ? rc == BWT_NOT_FOUND
	                          : rc == BWT_OK && got.size == strlen(value) &&
	                                    memcmp(got.data, value, got.size) == 0;

	bwt_buf_free(&got);
	return same;
}

bool fixture_filled(struct fixture *fixture, unsigned from, unsigned to)
{
	char key[16];

	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof key, "%08u", i);
		if (!fixture_has(fixture, NULL, key, key))
			return false;
	}
	return true;
}

struct bwt_stats fixture_stats(struct fixture *fixture)
{
	struct bwt_stats stats;

	CU_ASSERT_EQUAL_FATAL(bwt_stat(fixture->db, &stats), BWT_OK);
	return stats;
}

bool fixture_until(struct fixture *fixture, bool (*true_now)(struct fixture *fixture))
{
	struct timespec moment = {0, 5000000};

	for (unsigned i = 0; i < 2000; i++) {
		if (true_now(fixture))
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}
