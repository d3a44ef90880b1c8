/* SPDX-License-Identifier: MIT */
/* test_compact.c - space goes back to the file system, asked for and by itself, and comes again */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "mem/superblock.h"
#include "recovery/checkpoint.h"
#include "recovery/checkpointer.h"
#include "tests/unit/db/db_fixture.h"

#define KEYS 50000u
#define STAY 16u /* one key in so many is not deleted */
#define VALUE_SIZE 1000u
#define STEPS_MAX 2000u

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
	fixture.options.max_size = (uint64_t)1 << 30;
	fixture.options.inline_max = 2 * VALUE_SIZE;
	fixture.options.worker_count = (unsigned)BWT_OFF;
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static struct bwt_slice key_of(unsigned number, char room[16])
{
	return (struct bwt_slice){room, (size_t)snprintf(room, 16, "%08u", number)};
}

static void fill(unsigned version)
{
	char key[16], value[VALUE_SIZE];

	for (unsigned i = 0; i < KEYS; i++) {
		memset(value, (int)(i + version), sizeof value);
		CU_ASSERT_EQUAL_FATAL(bwt_put(fixture.tree, NULL, key_of(i, key),
		                              (struct bwt_slice){value, sizeof value}, 0),
		                      BWT_OK);
	}
}

static void delete_most(void)
{
	char key[16];

	for (unsigned i = 0; i < KEYS; i++)
		if (i % STAY != 0)
			CU_ASSERT_EQUAL_FATAL(bwt_delete(fixture.tree, NULL, key_of(i, key)), BWT_OK);
}

/* Those that stay, or all, have the values of @version. */
static bool holds(unsigned version, unsigned step)
{
	struct bwt_buf buf = {0};
	bool good = true;
	char key[16];

	for (unsigned i = 0; i < KEYS && good; i += step)
		good = bwt_get(fixture.tree, NULL, key_of(i, key), &buf) == BWT_OK &&
		       buf.size == VALUE_SIZE && *(uint8_t *)buf.data == (uint8_t)(i + version);
	bwt_buf_free(&buf);
	return good;
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	if (finding->severity != BWT_NOTE)
		printf("  %s at offset %llu: %s\n", finding->file,
		       (unsigned long long)finding->offset, finding->text);
}

static struct stat stat_of(const char *store)
{
	char name[TMPSTORE_PATH_MAX + 16];
	struct stat stat_buf;

	snprintf(name, sizeof name, "%s/arena", store);
	CU_ASSERT_EQUAL_FATAL(stat(name, &stat_buf), 0);
	return stat_buf;
}

static struct stat file_stat(void)
{
	return stat_of(fixture.path);
}

static uint64_t file_size(void)
{
	return (uint64_t)file_stat().st_size;
}

static uint64_t file_bytes(void)
{
	return (uint64_t)file_stat().st_blocks * 512;
}

static void a_store_that_was_emptied_has_a_small_file_afterwards(void)
{
	uint64_t before;

	fixture_open(&fixture);
	fill(0);
	before = file_size(); /* of itself it shrinks a little while most is deleted */
	delete_most();
	CU_ASSERT_TRUE(before > (uint64_t)KEYS * VALUE_SIZE);
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_OK);
	CU_ASSERT_TRUE(file_size() < before / 2);
	CU_ASSERT_TRUE(file_bytes() < before / 3);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).arena_bytes,
	                extents_bytes(&fixture.db->store.extents));
	CU_ASSERT_TRUE(holds(0, STAY));
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(holds(0, STAY));
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, print_finding, NULL), BWT_OK);
}

static void what_went_comes_again_when_it_is_needed(void)
{
	fixture_open(&fixture);
	for (unsigned round = 1; round < 3; round++) {
		fill(round);
		delete_most();
		CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_OK);
		CU_ASSERT_TRUE(holds(round, STAY));
		fill(round + 10);
		CU_ASSERT_TRUE(holds(round + 10, 1));
	}
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, print_finding, NULL), BWT_OK);
}

/* What a life made a hole, the next one does not take for space: on a full disk a store to it would be SIGBUS. */
static void holes_are_known_after_opening(void)
{
	struct extents *extents;
	uint64_t given, gone;

	fixture_open(&fixture);
	extents = &fixture.db->store.extents;
	fill(0);
	delete_most();
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(extents_give_back(extents, 0, (uint64_t)10 << 20, &given), BWT_OK);
	CU_ASSERT_EQUAL(given, (uint64_t)10 << 20);
	gone = atomic_load(&extents->gone_bytes);
	CU_ASSERT_TRUE(gone >= given);
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(atomic_load(&fixture.db->store.extents.gone_bytes) >= gone);
	CU_ASSERT_TRUE(extents_bytes(&fixture.db->store.extents) <= file_size() - gone);
	fill(1);
	CU_ASSERT_TRUE(holds(1, 1));
}

/* RE5. Half of an extent went: it is no free space, neither now nor in the next life. */
static void what_has_a_hole_somewhere_is_not_free(void)
{
	struct extents *extents;
	uint64_t given;

	fixture_open(&fixture);
	extents = &fixture.db->store.extents;
	fill(0);
	delete_most();
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	service_stop(fixture.db);
	testpoint_set("arena_return_part", 2, NULL, NULL);
	CU_ASSERT_EQUAL(extents_give_back(extents, 0, 8 * EXTENT_SIZE, &given), BWT_IO);
	CU_ASSERT_EQUAL(given, EXTENT_SIZE);
	CU_ASSERT_TRUE(extents_bytes(extents) <= file_bytes());
	testpoint_set("arena_return_part", 1, NULL, NULL);
	CU_ASSERT_EQUAL(extents_set_ceiling(extents, 4 * EXTENT_SIZE), BWT_OK);
	CU_ASSERT_EQUAL(extents_lift_ceiling(extents), BWT_IO);
	testpoint_reset();
	CU_ASSERT_TRUE(extents_bytes(extents) <= file_bytes());
	atomic_store(&fixture.db->service_stop, 0);
	CU_ASSERT_EQUAL_FATAL(service_start(fixture.db), BWT_OK);
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(extents_bytes(&fixture.db->store.extents) <= file_bytes());
	fill(1);
	CU_ASSERT_TRUE(extents_bytes(&fixture.db->store.extents) <= file_bytes());
	CU_ASSERT_TRUE(holds(1, 1));
}

/* K3, RE3: the copy's superblock names the size that the file had. */
static void the_end_stays_while_a_checkpoint_is_pinned(void)
{
	struct checkpoint_pin pin;
	uint64_t before;

	fixture_open(&fixture);
	fill(0);
	delete_most();
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	pthread_mutex_lock(&fixture.db->checkpoint_lock);
	CU_ASSERT_EQUAL_FATAL(checkpoint_pin(&fixture.db->store, fixture.db->checkpointer, &pin),
	                      BWT_OK);
	pthread_mutex_unlock(&fixture.db->checkpoint_lock);
	before = file_size();
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_OK);
	CU_ASSERT_TRUE(file_size() >= pin.super.arena_size);
	CU_ASSERT_TRUE(file_size() >= before);
	pthread_mutex_lock(&fixture.db->checkpoint_lock);
	checkpoint_unpin(fixture.db->checkpointer, &pin);
	pthread_mutex_unlock(&fixture.db->checkpoint_lock);
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_OK);
	CU_ASSERT_TRUE(file_size() < before);
	CU_ASSERT_TRUE(holds(0, STAY));
}

/* All that is free at the file's end goes, as by the service thread; the checkpoints on disk name the larger size. */
static bool leave_end(void *ctx, const char *name, uint64_t hit)
{
	struct extents *extents = &fixture.db->store.extents;
	struct epoch_slot *slot;
	uint64_t given;

	(void)name, (void)hit;
	CU_ASSERT_EQUAL(extents_give_back(extents, 0, UINT64_MAX, &given), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(db_slot(fixture.db, &slot), BWT_OK);
	pthread_mutex_lock(&fixture.db->checkpoint_lock);
	*(uint64_t *)ctx = extents_cut_tail(extents, slot);
	pthread_mutex_unlock(&fixture.db->checkpoint_lock);
	return false;
}

static void a_backup_is_made_though_the_end_goes_before_its_checkpoint_is_pinned(void)
{
	char path[TMPSTORE_PATH_MAX];
	uint64_t left = 0;

	fixture_open(&fixture);
	fill(0);
	delete_most();
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_OK);
	/* Free extents at the end. */
	CU_ASSERT_EQUAL(extents_extend(&fixture.db->store.extents), BWT_OK);
	tmpstore_new(path);
	testpoint_set("backup_pin", 1, leave_end, &left);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, path), BWT_OK);
	CU_ASSERT_TRUE(left > 0);
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(path, 0, print_finding, NULL), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_open(path, &fixture.options, &fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
	CU_ASSERT_TRUE(holds(0, STAY));
	fixture_close(&fixture);
	tmpstore_free(path);
}

/* It has blocks for what lives in it, and for all that its next life takes for free. */
static void a_backup_has_the_holes_of_its_source(void)
{
	char path[TMPSTORE_PATH_MAX];
	uint64_t given, blocks, copied;

	fixture_open(&fixture);
	fill(0);
	delete_most();
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(extents_give_back(&fixture.db->store.extents, 0, UINT64_MAX, &given), BWT_OK);
	CU_ASSERT_TRUE(given > 8 * EXTENT_SIZE);
	tmpstore_new(path);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, path), BWT_OK);
	blocks = file_bytes();
	fixture_close(&fixture);
	copied = (uint64_t)stat_of(path).st_blocks * 512;
	CU_ASSERT_TRUE(copied <= blocks + 4 * EXTENT_SIZE);
	CU_ASSERT_EQUAL_FATAL(bwt_open(path, &fixture.options, &fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
	copied = (uint64_t)stat_of(path).st_blocks * 512;
	CU_ASSERT_TRUE(extents_bytes(&fixture.db->store.extents) <= copied);
	CU_ASSERT_TRUE(holds(0, STAY));
	fill(1);
	CU_ASSERT_TRUE(holds(1, 1));
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(path, 0, print_finding, NULL), BWT_OK);
	tmpstore_free(path);
}

/* A second passes with each step; without workers the steps do everything. */
static void what_is_over_the_target_goes_by_itself(void)
{
	for (unsigned workers = 0; workers < 2; workers++) {
		struct extents_survey survey;
		uint64_t limit = 0, now_ns = sys_now_ns();

		fixture.options.worker_count = workers == 0 ? (unsigned)BWT_OFF : workers;
		fixture_open(&fixture);
		fill(0);
		delete_most();
		service_stop(fixture.db);
		for (unsigned step = 0; step < STEPS_MAX; step++) {
			now_ns += 1100000000;
			space_shrink(fixture.db, now_ns);
			extents_survey(&fixture.db->store.extents, &survey);
			limit = space_limit(fixture.db, &survey) / 16 * 17;
			if (survey.size <= limit)
				break;
			/* Steps come faster here than workers may be given the processor: no reason to give up. */
			usleep(workers * 2000);
			fixture.db->space.shrink_tries *= workers == 0;
			fixture.db->space.shrunk = fixture.db->space.shrunk && workers == 0;
		}
		CU_ASSERT_TRUE(survey.size <= limit);
		CU_ASSERT_TRUE(file_bytes() <= survey.size + EXTENT_SIZE);
		CU_ASSERT_TRUE(holds(0, STAY));
		atomic_store(&fixture.db->service_stop, 0);
		CU_ASSERT_EQUAL_FATAL(service_start(fixture.db), BWT_OK);
		fixture_close(&fixture);
		CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, print_finding, NULL), BWT_OK);
	}
}

/* The end goes as far as it is free; then there is nothing to do, instead of once a second for good. */
static void without_holes_the_end_goes_and_the_rest_stays(void)
{
	uint64_t before, now_ns = sys_now_ns();
	unsigned step = 0;

	testpoint_set("arena_no_holes", 0, NULL, NULL);
	fixture_open(&fixture);
	fill(0);
	delete_most();
	service_stop(fixture.db);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	extents_reclaim(&fixture.db->store.extents);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(extents_extend(&fixture.db->store.extents), BWT_OK);
	before = file_size();
	fixture.db->space.shrink_tries = 0;
	fixture.db->space.shrunk = false;
	for (; step < STEPS_MAX && !fixture.db->space.shrunk; step++) {
		now_ns += 1100000000;
		space_shrink(fixture.db, now_ns);
	}
	CU_ASSERT_TRUE(step < STEPS_MAX);
	CU_ASSERT_TRUE(file_size() < before);
	CU_ASSERT_TRUE(holds(0, STAY));
	atomic_store(&fixture.db->service_stop, 0);
	CU_ASSERT_EQUAL_FATAL(service_start(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_OK);
	CU_ASSERT_TRUE(file_size() < before / 2);
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, print_finding, NULL), BWT_OK);
}

static bool plant(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx, (void)name, (void)hit;
	return true;
}

/* The superblock with the larger number is none any more. */
static void damage_newest(const char *store)
{
	char name[2 * TMPSTORE_PATH_MAX];
	struct superblock supers[2];
	int fd;

	snprintf(name, sizeof name, "%s/arena", store);
	fd = open(name, O_RDWR);
	CU_ASSERT_TRUE_FATAL(superblock_read(fd, 0, &supers[0]) == BWT_OK &&
	                     superblock_read(fd, 1, &supers[1]) == BWT_OK);
	CU_ASSERT_EQUAL(
		pwrite(fd, "rubbish", 7,
	               (off_t)SUPERBLOCK_OFF(supers[1].checkpoint > supers[0].checkpoint) + 16),
		7);
	close(fd);
}

/*
 * As a crash would leave the store: a copy of it, whose newest superblock is damaged. Is everything there, by the older
 * checkpoint and the log?
 */
static bool older_checkpoint_holds_all(void)
{
	char from[TMPSTORE_PATH_MAX], to[TMPSTORE_PATH_MAX], command[3 * TMPSTORE_PATH_MAX];
	struct bwt_db *db = fixture.db;
	struct bwt_tree *tree = fixture.tree;
	bool good;

	memcpy(from, fixture.path, sizeof from);
	tmpstore_new(to);
	snprintf(command, sizeof command, "cp -a %s/. %s", from, to);
	CU_ASSERT_EQUAL_FATAL(system(command), 0);
	damage_newest(to);
	good = bwt_open(to, &fixture.options, &fixture.db) == BWT_OK;
	good = good && bwt_tree_open(fixture.db, NULL, 0, &fixture.tree) == BWT_OK && holds(1, 1);
	if (fixture.db != db)
		(void)bwt_close(fixture.db);
	fixture.db = db;
	fixture.tree = tree;
	tmpstore_free(to);
	return good;
}

/* What only the older checkpoint reaches, dead before the newest was cut, is there in plenty, and extents are given back. */
static bool give_back_beside_an_older_checkpoint(void)
{
	struct extents_survey survey;
	uint64_t given;

	fixture.options.checkpoint_wal_bytes = UINT64_MAX;
	fixture.options.space_target = 5000;
	fixture_open(&fixture);
	fill(0);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	for (unsigned i = 0; i < 3;
	     i++) /* chains become long enough for their pages to be written anew */
		fill(1);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	extents_survey(&fixture.db->store.extents, &survey);
	CU_ASSERT_TRUE(survey.held > 4 * EXTENT_SIZE);
	CU_ASSERT_EQUAL(extents_give_back(&fixture.db->store.extents, 0, UINT64_MAX, &given), BWT_OK);
	return older_checkpoint_holds_all();
}

static void both_checkpoints_stay_whole_when_extents_become_holes(void)
{
	CU_ASSERT_TRUE(give_back_beside_an_older_checkpoint());
}

static void planted_a_hole_made_one_checkpoint_early_is_noticed(void)
{
	testpoint_set("extent_punch_early", 0, plant, NULL);
	CU_ASSERT_FALSE(give_back_beside_an_older_checkpoint());
}

/* Each failure leaves a store that goes on, and that can be compacted then. */
static void what_fails_is_told_and_can_be_tried_again(void)
{
	fixture_open(&fixture);
	fill(0);
	delete_most();
	testpoint_set("checkpoint_no_memory", 0, NULL, NULL);
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), -ENOMEM);
	testpoint_reset();
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_OK);
	CU_ASSERT_TRUE(holds(0, STAY));
}

static void arguments_and_stores_that_cannot_are_refused(void)
{
	CU_ASSERT_EQUAL(bwt_compact(NULL, 0), BWT_INVALID);
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 1), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_OK); /* an empty one */
	fixture_close(&fixture);
	fixture.options.flags = BWT_RDONLY;
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(bwt_compact(fixture.db, 0), BWT_READ_ONLY);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_store_that_was_emptied_has_a_small_file_afterwards),
		TEST(what_went_comes_again_when_it_is_needed),
		TEST(holes_are_known_after_opening),
		TEST(the_end_stays_while_a_checkpoint_is_pinned),
		TEST(a_backup_is_made_though_the_end_goes_before_its_checkpoint_is_pinned),
		TEST(a_backup_has_the_holes_of_its_source),
		TEST(what_has_a_hole_somewhere_is_not_free),
		TEST(what_is_over_the_target_goes_by_itself),
		TEST(without_holes_the_end_goes_and_the_rest_stays),
		TEST(both_checkpoints_stay_whole_when_extents_become_holes),
		TEST(planted_a_hole_made_one_checkpoint_early_is_noticed),
		TEST(what_fails_is_told_and_can_be_tried_again),
		TEST(arguments_and_stores_that_cannot_are_refused),
		CU_TEST_INFO_NULL,
	};

	return suite_run("compact", set_up, tear_down, tests);
}
