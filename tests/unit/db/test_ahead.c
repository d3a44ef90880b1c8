/* SPDX-License-Identifier: MIT */
/* test_ahead.c - large values of a cursor: which are read ahead, and that each is the right one */
#include "db/ahead.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/vlog_private.h"
#include "sys/file.h"
#include "tests/support/rng.h"
#include "tests/unit/db/db_fixture.h"

#define KEYS 2000u /* of several leaves */

static struct fixture fixture;
static struct bwt_cursor *cursor;

static struct bwt_slice key_of(unsigned number, char room[16])
{
	snprintf(room, 16, "%08u", number);
	return text_slice(room);
}

/* One in seven is inline. */
static size_t make_value(unsigned number, unsigned version, uint8_t room[5000])
{
	struct rng rng;
	size_t size;

	rng_init(&rng, number * 1000003ull + version);
	size = number % 7 == 3 ? rng_range(&rng, 0, 60) : rng_range(&rng, 65, 5000);
	rng_fill(&rng, room, size);
	return size;
}

static void put(unsigned number, unsigned version)
{
	uint8_t value[5000];
	char room[16];
	size_t size = make_value(number, version, value);

	CU_ASSERT_EQUAL_FATAL(bwt_put(fixture.tree, NULL, key_of(number, room),
	                              (struct bwt_slice){value, size}, 0),
	                      BWT_OK);
}

static void set_up(void)
{
	fixture_new(&fixture);
	fixture.options.inline_max = 64;
	fixture.options.flags &= ~(unsigned)BWT_NO_URING;
	fixture_open(&fixture);
	for (unsigned i = 0; i < KEYS; i++)
		put(i, 0);
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(fixture.tree, NULL, &cursor), BWT_OK);
}

static void tear_down(void)
{
	bwt_cursor_close(cursor);
	cursor = NULL;
	fixture_free(&fixture);
}

/* Is what the cursor says version @version of @number? */
static bool stands_on(unsigned number, unsigned version)
{
	uint8_t want[5000];
	struct bwt_slice key, value;
	char room[16];
	size_t size = make_value(number, version, want);

	return bwt_cursor_key(cursor, &key) == BWT_OK &&
	       key_compare(key, key_of(number, room)) == 0 &&
	       bwt_cursor_value(cursor, &value) == BWT_OK && value.size == size &&
	       memcmp(value.data, want, size) == 0;
}

static void values_are_right_in_both_directions(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_next(cursor), BWT_OK);
		wrong += !stands_on(i, 0);
	}
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	for (unsigned i = KEYS; i-- > 0;) {
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_prev(cursor), BWT_OK);
		wrong += !stands_on(i, 0);
		if (i % 3 == 0)
			wrong += !stands_on(i, 0); /* asked again */
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void values_are_right_on_a_random_way(void)
{
	unsigned at = KEYS / 2, wrong = 0;
	struct rng rng;
	char room[16];

	rng_init(&rng, rng_seed());
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_seek(cursor, key_of(at, room), BWT_EQ), BWT_OK);
	for (unsigned i = 0; i < 5 * KEYS; i++) {
		if (rng_chance(&rng, 5)) {
			at = (unsigned)rng_below(&rng, KEYS);
			CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, key_of(at, room), BWT_EQ), BWT_OK);
		} else if (at + 1 < KEYS && (i / 100 % 2 == 0 || at == 0)) {
			at++;
			CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
		} else {
			at--;
			CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK);
		}
		if (rng_chance(&rng, 70))
			wrong += !stands_on(at, 0);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* What was read ahead is of the snapshot, whatever became of the keys, and of the files. */
static void values_are_those_of_the_snapshot(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_next(cursor), BWT_OK);
		wrong += !stands_on(i, 0);
		put(i + 1 < KEYS ? i + 1 : 0, 1);
		if (i % 500 == 0)
			CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* ---- how many are read ahead ---- */

struct asking { /* a walk, and what it asks for */
	struct walk walk;
	struct ahead ahead;
	struct epoch_slot *slot;
};

static void asking_begin(struct asking *asking)
{
	*asking = (struct asking){.walk = {.store = &fixture.db->store,
	                                   .tree = &fixture.tree->named->tree,
	                                   .lsn = store_clock(&fixture.db->store)}};
	CU_ASSERT_EQUAL_FATAL(db_slot(fixture.db, &asking->slot), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(walk_right(&asking->walk, (struct bwt_slice){NULL, 0}, false), BWT_OK);
}

static void asking_end(struct asking *asking)
{
	ahead_free(&asking->ahead);
	walk_free(&asking->walk);
}

static void ask(struct asking *asking)
{
	struct bwt_slice value;

	if ((walk_entry(&asking->walk)->flags & VERSION_VLOG) == 0)
		return;
	CU_ASSERT_EQUAL(ahead_value(&asking->ahead, &asking->walk, &fixture.tree->named->tree,
	                            asking->slot, &value),
	                BWT_OK);
}

static void the_more_is_asked_for_the_more_is_read_ahead(void)
{
	struct asking asking;
	unsigned most = 0;

	asking_begin(&asking);
	ask(&asking);
	CU_ASSERT_EQUAL(asking.ahead.count, 1);
	CU_ASSERT_EQUAL(walk_next(&asking.walk), BWT_OK);
	ask(&asking);
	CU_ASSERT_EQUAL(asking.ahead.count, 2);
	for (unsigned i = 0; i < 500; i++) {
		CU_ASSERT_EQUAL(walk_next(&asking.walk), BWT_OK);
		ask(&asking);
		most = asking.ahead.count > most ? asking.ahead.count : most;
	}
	CU_ASSERT_EQUAL(most, AHEAD_MAX);
	asking_end(&asking);
}

static void little_is_read_ahead_for_who_skips_values(void)
{
	struct asking asking;

	asking_begin(&asking);
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned step = 0; step < 4; step++)
			CU_ASSERT_EQUAL(walk_next(&asking.walk), BWT_OK);
		ask(&asking);
		/* The first value of a leaf may follow upon what was asked for in the leaf before. */
		CU_ASSERT_TRUE(asking.ahead.count <= 2);
	}
	asking_end(&asking);
}

/* ---- damage ---- */

static void a_damaged_value_is_told_of_its_key_alone(void)
{
	unsigned bad = 0, wrong = 0;
	char name[VLOG_NAME_SIZE];
	uint8_t byte;
	int fd;

	vlog_name(name, 1);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(fixture.db->store.vlog_dir_fd, name, 0, &fd), BWT_OK);
	CU_ASSERT_EQUAL(pread(fd, &byte, 1, 100000), 1);
	byte ^= 1;
	CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, 100000), 1);
	sys_file_close(fd);
	for (unsigned i = 0; i < KEYS; i++) {
		struct bwt_slice value;
		int rc;

		CU_ASSERT_EQUAL_FATAL(bwt_cursor_next(cursor), BWT_OK);
		rc = bwt_cursor_value(cursor, &value);
		if (rc == BWT_CORRUPT) {
			bad++;
			CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), name));
		} else {
			wrong += rc != BWT_OK || !stands_on(i, 0);
		}
	}
	CU_ASSERT_EQUAL(bad, 1);
	CU_ASSERT_EQUAL(wrong, 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(values_are_right_in_both_directions),
		TEST(values_are_right_on_a_random_way),
		TEST(values_are_those_of_the_snapshot),
		TEST(the_more_is_asked_for_the_more_is_read_ahead),
		TEST(little_is_read_ahead_for_who_skips_values),
		TEST(a_damaged_value_is_told_of_its_key_alone),
		CU_TEST_INFO_NULL,
	};

	return suite_run("ahead", set_up, tear_down, tests);
}
