/* SPDX-License-Identifier: MIT */
/* test_damage.c - damaged and hostile files: the copy is used, or there is a code; never a crash */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recovery/checkpointer.h"
#include "recovery/verify.h"
#include "tests/support/rng.h"
#include "tests/unit/recovery/store_fixture.h"

#define KEYS 3000u

static struct fixture fixture;

/* A store with two images that differ and a log behind the newer one; closed; fixture.path. */
static void set_up(void)
{
	fixture_new(&fixture);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	fixture_put(&fixture, 0, KEYS, 1);
	CU_ASSERT_EQUAL_FATAL(fixture_checkpoint(&fixture), BWT_OK);
	fixture_put(&fixture, 0, KEYS / 2, 2);
	CU_ASSERT_EQUAL_FATAL(fixture_checkpoint(&fixture), BWT_OK);
	fixture_put(&fixture, 0, KEYS / 3, 3);
	CU_ASSERT_EQUAL_FATAL(wal_flush(fixture.store.wal, true), BWT_OK);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

static bool content_right(void)
{
	return fixture_keys(&fixture) == KEYS && fixture_holds(&fixture, 0, KEYS / 3, 3) &&
	       fixture_holds(&fixture, KEYS / 3, KEYS / 2, 2) &&
	       fixture_holds(&fixture, KEYS / 2, KEYS, 1);
}

/* The copy opens with a warning, holds everything, and is whole again afterwards. */
static void expect_fallback(unsigned warnings_least)
{
	uint64_t warnings, damages;

	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.copy), BWT_OK);
	CU_ASSERT_TRUE(fixture.warnings >= warnings_least);
	CU_ASSERT_TRUE(content_right());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
	fixture_close(&fixture, true);
	fixture_findings(fixture.copy, &warnings, &damages);
	CU_ASSERT_EQUAL(warnings, 0);
	CU_ASSERT_EQUAL(damages, 0);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.copy), BWT_OK);
	CU_ASSERT_EQUAL(fixture.warnings, 0);
	CU_ASSERT_TRUE(content_right());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	fixture_close(&fixture, true);
}

static void either_superblock_may_be_damaged(void)
{
	uint64_t warnings, damages;

	fixture_close(&fixture, false);
	for (unsigned slot = 0; slot < 2; slot++) {
		tmpstore_copy(fixture.path, fixture.copy);
		fixture_damage(fixture.copy, "arena", SUPERBLOCK_OFF(slot) + 0x20, 16);
		fixture_findings(fixture.copy, &warnings, &damages);
		CU_ASSERT_EQUAL(warnings, 1);
		CU_ASSERT_EQUAL(damages, 0);
		expect_fallback(1);
	}
}

static void two_damaged_superblocks_are_corruption(void)
{
	uint64_t warnings, damages;

	fixture_close(&fixture, false);
	fixture_damage(fixture.path, "arena", SUPERBLOCK_OFF(0) + 9, 1);
	fixture_damage(fixture.path, "arena", SUPERBLOCK_OFF(1) + 9, 1);
	CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.path), BWT_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "arena"));
	fixture_findings(fixture.path, &warnings, &damages);
	CU_ASSERT_EQUAL(damages, 2);
}

/* In both superblocks: in one, without its checksum, it is a damaged byte. */
static void a_newer_format_is_refused(void)
{
	off_t at = (off_t)offsetof(struct superblock, major);
	uint16_t major = FORMAT_MAJOR + 1;
	int fd;

	fixture_close(&fixture, true);
	fd = open(fixture_file(fixture.path, "arena"), O_RDWR | O_CLOEXEC);
	CU_ASSERT_EQUAL(pwrite(fd, &major, sizeof major, at), 2);
	CU_ASSERT_EQUAL(pwrite(fd, &major, sizeof major, (off_t)SUPERBLOCK_OFF(1) + at), 2);
	close(fd);
	CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.path), BWT_VERSION);
}

static void one_damaged_version_is_a_damaged_superblock(void)
{
	uint16_t major = FORMAT_MAJOR + 8;

	for (unsigned slot = 0; slot < 2; slot++) {
		off_t at = (off_t)(SUPERBLOCK_OFF(slot) + offsetof(struct superblock, major));
		uint16_t before;
		int fd;

		fixture_close(&fixture, true);
		fd = open(fixture_file(fixture.path, "arena"), O_RDWR | O_CLOEXEC);
		CU_ASSERT_EQUAL(pread(fd, &before, sizeof before, at), 2);
		CU_ASSERT_EQUAL(pwrite(fd, &major, sizeof major, at), 2);
		close(fd);
		CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.path), BWT_OK);
	}
}

struct where { /* blocks of the newest image */
	arena_off off[256];
	uint32_t size[256];
	unsigned count;
};

static void note_block(struct where *where, arena_off off)
{
	const struct block_head *head = arena_at(&fixture.store.arena, off);

	if (off == 0 || where->count == 256)
		return;
	where->off[where->count] = off;
	where->size[where->count++] = head->size;
}

static void note_blocks(struct where *where)
{
	const struct image *image = &fixture.checkpointer->newest;

	where->count = 0;
	for (unsigned i = 0; i < image->root_count; i++)
		note_block(where, image->roots[i]);
	for (unsigned t = 0; t < IMAGE_TABLES; t++) {
		for (uint64_t i = 0; i < image_directories(image->table[t].segment_count); i++)
			note_block(where, image->table[t].directories[i]);
		for (uint64_t i = 0; i < image->table[t].segment_count; i++)
			note_block(where, image->table[t].segments[i]);
	}
}

static void any_block_of_the_newer_image_may_be_damaged(void)
{
	struct where where;
	uint64_t warnings, damages;

	note_blocks(&where);
	CU_ASSERT_TRUE(where.count >= 7);
	fixture_close(&fixture, false);
	for (unsigned i = 0; i < where.count; i++) {
		for (unsigned at = 0; at < 3; at++) {
			tmpstore_copy(fixture.path, fixture.copy);
			fixture_damage(fixture.copy, "arena",
			               where.off[i] + (where.size[i] - 1) * at / 2, 1);
			fixture_findings(fixture.copy, &warnings, &damages);
			CU_ASSERT_EQUAL(warnings, 1);
			CU_ASSERT_EQUAL(damages, 0);
			expect_fallback(1);
		}
	}
}

static void a_damaged_older_image_costs_nothing(void)
{
	struct where older, newer;
	unsigned tried = 0;

	note_blocks(&older);
	fixture_put(&fixture, 0, KEYS / 3, 3); /* the same once more, so that the content stays */
	CU_ASSERT_EQUAL_FATAL(fixture_checkpoint(&fixture), BWT_OK);
	note_blocks(&newer);
	fixture_close(&fixture, false);
	for (unsigned i = 0; i < older.count; i++) {
		bool shared = false;

		for (unsigned j = 0; j < newer.count; j++)
			shared = shared || newer.off[j] == older.off[i];
		if (shared)
			continue;
		tmpstore_copy(fixture.path, fixture.copy);
		fixture_damage(fixture.copy, "arena", older.off[i] + 8, 1);
		expect_fallback(1);
		tried++;
	}
	CU_ASSERT_TRUE(tried >= 3);
}

/* ---- the log ---- */

static int first_log_file(char name[64])
{
	for (unsigned seq = 1; seq < 100; seq++) {
		snprintf(name, 64, "wal/%016x.wal", seq);
		if (access(fixture_file(fixture.path, name), F_OK) == 0)
			return 0;
	}
	return -1;
}

static void either_copy_of_a_log_header_may_be_damaged(void)
{
	char name[64];

	CU_ASSERT_EQUAL_FATAL(first_log_file(name), 0);
	fixture_close(&fixture, false);
	for (unsigned copy = 0; copy < 2; copy++) {
		tmpstore_copy(fixture.path, fixture.copy);
		fixture_damage(fixture.copy, name, copy * 4096 + 0x18, 8);
		expect_fallback(0);
	}
	tmpstore_copy(fixture.path, fixture.copy);
	for (unsigned seq = 1; seq < 100; seq++) {
		snprintf(name, sizeof name, "wal/%016x.wal", seq);
		if (access(fixture_file(fixture.copy, name), F_OK) != 0)
			continue;
		fixture_damage(fixture.copy, name, 0x18, 8);
		fixture_damage(fixture.copy, name, 4096 + 0x18, 8);
	}
	CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.copy), BWT_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), ".wal"));
}

static void a_large_value_that_was_durable_and_is_damaged_is_told(void)
{
	char name[64];
	unsigned file = 100;

	fixture_put(&fixture, 16 * 10 + 7, 16 * 10 + 8, 7); /* a large one */
	fixture_put(&fixture, 5000, 5001, 7);
	CU_ASSERT_EQUAL_FATAL(wal_flush(fixture.store.wal, true), BWT_OK);
	fixture_put(&fixture, 5001, 5002, 7); /* claims that what is before it was durable */
	CU_ASSERT_EQUAL_FATAL(wal_flush(fixture.store.wal, true), BWT_OK);
	fixture_close(&fixture, false);
	do
		snprintf(name, sizeof name, "vlog/%016x.vlog", --file);
	while (access(fixture_file(fixture.path, name), F_OK) != 0);
	{
		struct stat st;

		CU_ASSERT_EQUAL_FATAL(stat(fixture_file(fixture.path, name), &st), 0);
		fixture_damage(fixture.path, name, (uint64_t)st.st_size - 40, 1);
	}
	CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.path), BWT_CORRUPT);
}

/* ---- anything ---- */

static void every_length_of_the_arena_gets_a_code(void)
{
	struct stat st;
	unsigned refused = 0;

	fixture_close(&fixture, false);
	CU_ASSERT_EQUAL_FATAL(stat(fixture_file(fixture.path, "arena"), &st), 0);
	for (off_t size = 0; size < st.st_size; size += size < 70000 ? 20480 : 229376) {
		int rc;

		tmpstore_copy(fixture.path, fixture.copy);
		CU_ASSERT_EQUAL_FATAL(truncate(fixture_file(fixture.copy, "arena"), size), 0);
		rc = fixture_open(&fixture, fixture.copy);
		if (rc == BWT_OK) {
			/* Nothing that the older image refers to was cut off. */
			CU_ASSERT_TRUE(content_right());
			CU_ASSERT_TRUE(fixture_sound(&fixture));
			fixture_close(&fixture, false);
		} else {
			CU_ASSERT_TRUE(rc == BWT_CORRUPT || rc == BWT_IO);
			CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "arena"));
			refused++;
		}
	}
	CU_ASSERT_TRUE(refused >= 10);
}

/* Random bytes anywhere but in pages: opening either holds everything or gives a code. */
static void random_damage_to_logs_and_images_never_changes_the_content(void)
{
	struct where where;
	struct rng rng;
	unsigned rounds = suite_short() ? 10 : 60;
	char wal[64];

	rng_init(&rng, rng_seed());
	note_blocks(&where);
	CU_ASSERT_EQUAL_FATAL(first_log_file(wal), 0);
	fixture_close(&fixture, false);
	for (unsigned round = 0; round < rounds; round++) {
		int rc;

		tmpstore_copy(fixture.path, fixture.copy);
		for (uint64_t hits = rng_range(&rng, 1, 4); hits > 0; hits--) {
			unsigned block = (unsigned)rng_below(&rng, where.count);

			switch (rng_below(&rng, 4)) {
			case 0:
				fixture_damage(fixture.copy, "arena",
				               where.off[block] + rng_below(&rng, where.size[block]),
				               1);
				break;
			case 1:
				fixture_damage(fixture.copy, "arena",
				               SUPERBLOCK_OFF(rng_below(&rng, 2)) +
				                       rng_below(&rng, 4096),
				               1);
				break;
			default:
				fixture_damage(fixture.copy, wal,
				               rng_below(&rng, (uint64_t)200 << 10), 1);
			}
		}
		rc = fixture_open(&fixture, fixture.copy);
		if (rc == BWT_OK) {
			bool whole = fixture_keys(&fixture) == KEYS;

			/* The last records may be cut off when nothing says that they were durable. */
			CU_ASSERT_TRUE(whole);
			CU_ASSERT_TRUE(fixture_holds(&fixture, KEYS / 2, KEYS, 1));
			CU_ASSERT_TRUE(fixture_sound(&fixture));
			fixture_close(&fixture, false);
		} else {
			CU_ASSERT_TRUE(rc == BWT_CORRUPT || rc == BWT_VERSION || rc == BWT_IO);
		}
	}
}

/* Random work; now and then the newer checkpoint of a copy is spoiled: the older one and its log give the same. */
static void at_any_time_the_older_checkpoint_and_its_log_are_whole(void)
{
	static unsigned version[KEYS];
	unsigned rounds = suite_short() ? 12 : 60;
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned key = 0; key < KEYS; key++)
		version[key] = key < KEYS / 3 ? 3 : key < KEYS / 2 ? 2 : 1;
	for (unsigned round = 0; round < rounds; round++) {
		unsigned slot, damaged_block;
		struct where where;

		for (uint64_t steps = rng_below(&rng, 6); steps > 0; steps--) {
			unsigned from = (unsigned)rng_below(&rng, KEYS);
			unsigned to = from + (unsigned)rng_below(&rng, KEYS - from + 1);

			fixture_put(&fixture, from, to, 10 + round);
			for (unsigned key = from; key < to; key++)
				version[key] = 10 + round;
			if (rng_chance(&rng, 40))
				CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
		}
		CU_ASSERT_EQUAL(wal_flush(fixture.store.wal, true), BWT_OK);
		slot = fixture.checkpointer->super_slot;
		note_blocks(&where);
		damaged_block = (unsigned)rng_below(&rng, where.count);
		fixture_close(&fixture, rng_chance(&rng, 30));
		tmpstore_copy(fixture.path, fixture.copy);
		if (rng_chance(&rng, 50))
			fixture_damage(fixture.copy, "arena", SUPERBLOCK_OFF(slot) + 0x20, 1);
		else
			fixture_damage(fixture.copy, "arena",
			               where.off[damaged_block] + where.size[damaged_block] / 2, 1);
		if (fixture_open(&fixture, fixture.copy) == BWT_OK) {
			for (unsigned key = 0; key < KEYS; key += 7)
				CU_ASSERT_TRUE(fixture_holds(&fixture, key, key + 1, version[key]));
			CU_ASSERT_EQUAL(fixture_keys(&fixture), KEYS);
			CU_ASSERT_TRUE(fixture_sound(&fixture));
			fixture_close(&fixture, false);
		} else {
			CU_FAIL("the older checkpoint was not enough");
			printf("%s\n", bwt_detail());
		}
		CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
		CU_ASSERT_TRUE(fixture_sound(&fixture));
	}
}

/* Random bytes anywhere in the arena: opening, reading, writing and checking give codes or what was put. */
static void damage_pages(bool clean)
{
	struct stat st;
	struct rng rng;
	unsigned rounds = suite_short() ? 5 : 40;
	unsigned refused = 0, found = 0;

	rng_init(&rng, rng_seed());
	fixture_close(&fixture, clean);
	CU_ASSERT_EQUAL_FATAL(stat(fixture_file(fixture.path, "arena"), &st), 0);
	for (unsigned round = 0; round < rounds; round++) {
		struct verify_report report = {0};

		tmpstore_copy(fixture.path, fixture.copy);
		for (uint64_t hits = rng_range(&rng, 1, 300); hits > 0; hits--)
			fixture_damage(fixture.copy, "arena",
			               65536 + rng_below(&rng, (uint64_t)st.st_size - 65536), 1);
		if (fixture_open(&fixture, fixture.copy) != BWT_OK) {
			refused++;
			continue;
		}
		for (unsigned key = 0; key < KEYS; key++)
			CU_ASSERT_TRUE(fixture_right_or_corrupt(&fixture, key,
			                                        key < KEYS / 3   ? 3
			                                        : key < KEYS / 2 ? 2
			                                                         : 1));
		fixture_try_put(&fixture, 0, KEYS, 4);
		for (unsigned key = 0; key < KEYS; key++)
			CU_ASSERT_TRUE(fixture_right_or_corrupt(&fixture, key, 4) ||
			               fixture_right_or_corrupt(&fixture, key,
			                                        key < KEYS / 3   ? 3
			                                        : key < KEYS / 2 ? 2
			                                                         : 1));
		CU_ASSERT_EQUAL(verify_store(&fixture.store, fixture.slot, &report), BWT_OK);
		found += report.damages > 0;
		fixture_close(&fixture, false);
	}
	printf("         %u refused, damage found in %u of %u\n", refused, found, rounds);
	CU_ASSERT_TRUE(found + refused > 0);
}

static void random_damage_to_pages_is_told_and_never_believed(void)
{
	damage_pages(true);
}

static void replay_over_damaged_pages_is_refused(void)
{
	damage_pages(false);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(either_superblock_may_be_damaged),
		TEST(two_damaged_superblocks_are_corruption),
		TEST(a_newer_format_is_refused),
		TEST(one_damaged_version_is_a_damaged_superblock),
		TEST(any_block_of_the_newer_image_may_be_damaged),
		TEST(a_damaged_older_image_costs_nothing),
		TEST(either_copy_of_a_log_header_may_be_damaged),
		TEST(a_large_value_that_was_durable_and_is_damaged_is_told),
		TEST(every_length_of_the_arena_gets_a_code),
		TEST(random_damage_to_logs_and_images_never_changes_the_content),
		TEST(at_any_time_the_older_checkpoint_and_its_log_are_whole),
		TEST(random_damage_to_pages_is_told_and_never_believed),
		TEST(replay_over_damaged_pages_is_refused),
		CU_TEST_INFO_NULL,
	};
	return suite_run("damage", set_up, tear_down, tests);
}
