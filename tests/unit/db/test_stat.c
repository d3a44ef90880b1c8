/* SPDX-License-Identifier: MIT */
/* test_stat.c - counters gathered from all layers, and the file in which another process reads them */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/rng.h"
#include "tests/unit/db/db_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
	fixture_open(&fixture);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

static void counters_follow_what_happens(void)
{
	struct bwt_stats before = fixture_stats(&fixture), after;
	char large[5001];

	memset(large, 'L', 5000);
	large[5000] = '\0';
	fixture_fill(&fixture, 0, 1000);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "large", large), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	after = fixture_stats(&fixture);
	CU_ASSERT_EQUAL(after.key_count, 1001);
	CU_ASSERT_EQUAL(after.commits - before.commits, 1001);
	CU_ASSERT_EQUAL(after.user_bytes_written - before.user_bytes_written, 1000 * 16 + 5005);
	CU_ASSERT_TRUE(after.device_bytes_written > before.device_bytes_written);
	CU_ASSERT_EQUAL(after.vlog_live_bytes, 5000);
	CU_ASSERT_TRUE(after.vlog_bytes >= 5000);
	CU_ASSERT_TRUE(after.consolidations > 0);
	CU_ASSERT_TRUE(after.splits > 0);
	CU_ASSERT_TRUE(after.page_count > before.page_count);
	CU_ASSERT_EQUAL(after.tree_depth, 2);
	CU_ASSERT_EQUAL(before.tree_depth, 1);
	CU_ASSERT_TRUE(after.newest_lsn > before.newest_lsn);
	CU_ASSERT_EQUAL(after.durable_lsn, after.newest_lsn);
	CU_ASSERT_TRUE(after.log_flushes > before.log_flushes);
	CU_ASSERT_TRUE(after.arena_live_bytes + after.arena_free_bytes <= after.arena_bytes);
	CU_ASSERT_TRUE(after.wal_bytes > 0);
	CU_ASSERT_STRING_EQUAL(after.io_engine, "plain");
	CU_ASSERT_STRING_EQUAL(after.media, "file");
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).checkpoint_count, after.checkpoint_count + 1);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).checkpoint_lsn, after.newest_lsn);
}

static uint64_t by_source(const struct bwt_stats *stats)
{
	return stats->wal_written_bytes + stats->vlog_written_bytes + stats->arena_written_bytes +
	       stats->image_written_bytes;
}

static void bytes_are_counted_where_they_are_written(void)
{
	struct bwt_stats before, after;
	char large[5001];

	fixture_fill(&fixture, 0, 1000);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	before = fixture_stats(&fixture);
	/* One small put: one block of log, no value, no image. */
	CU_ASSERT_EQUAL(fixture_put(&fixture, "small", "v"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	after = fixture_stats(&fixture);
	CU_ASSERT_TRUE(after.wal_written_bytes >= before.wal_written_bytes + 4096);
	CU_ASSERT_TRUE(after.wal_written_bytes <= before.wal_written_bytes + 4 * 4096);
	CU_ASSERT_EQUAL(after.wal_written_bytes % 4096, 0);
	CU_ASSERT_EQUAL(after.vlog_written_bytes, before.vlog_written_bytes);
	CU_ASSERT_EQUAL(after.image_written_bytes, before.image_written_bytes);
	before = after;
	/* One large one: its record of the value log, 16-aligned. */
	memset(large, 'L', 5000);
	large[5000] = '\0';
	CU_ASSERT_EQUAL(fixture_put(&fixture, "large", large), BWT_OK);
	after = fixture_stats(&fixture);
	CU_ASSERT_EQUAL(after.vlog_written_bytes - before.vlog_written_bytes, 5040);
	CU_ASSERT_EQUAL(after.image_written_bytes, before.image_written_bytes);
	before = after;
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	after = fixture_stats(&fixture);
	CU_ASSERT_TRUE(after.image_written_bytes > before.image_written_bytes);
	CU_ASSERT_EQUAL(after.vlog_written_bytes, before.vlog_written_bytes);
	/* What has no source is superblocks and heads of files. */
	CU_ASSERT_TRUE(after.device_bytes_written - before.device_bytes_written >=
	               by_source(&after) - by_source(&before));
	CU_ASSERT_TRUE(after.device_bytes_written - before.device_bytes_written <=
	               by_source(&after) - by_source(&before) + 16 * 4096);
}

static void keys_of_all_trees_but_the_catalogue_count(void)
{
	struct bwt_tree *tree;

	fixture_fill(&fixture, 0, 10);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", BWT_CREATE, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, text_slice("k"), text_slice("v"), 0), BWT_OK);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).key_count, 11);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).tree_count, 1);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).key_count, 10);
}

static void nowhere_to_put_them_is_invalid(void)
{
	struct bwt_stats stats;

	CU_ASSERT_EQUAL(bwt_stat(fixture.db, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_stat(NULL, &stats), BWT_INVALID);
}

/* ---- the file ---- */

static bool read_published(struct bwt_stats *stats)
{
	static struct stat_file file;
	char path[TMPSTORE_PATH_MAX];
	uint64_t pid, updated_ns;
	ssize_t size;
	int fd;

	tmpstore_join(path, fixture.path, STAT_FILE_NAME);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	size = read(fd, &file, sizeof file);
	close(fd);
	return size > 0 && stat_file_read(&file, (size_t)size, stats, &pid, &updated_ns) &&
	       pid == (uint64_t)getpid() && updated_ns > 0;
}

static bool published_all(struct fixture *of)
{
	struct bwt_stats stats;

	(void)of;
	return read_published(&stats) && stats.key_count == 1000;
}

static void the_service_thread_publishes_them(void)
{
	fixture_fill(&fixture, 0, 1000);
	CU_ASSERT_TRUE(fixture_until(&fixture, published_all));
}

static struct bwt_stats filled_with(uint64_t word)
{
	struct bwt_stats stats;

	for (size_t i = 0; i < STAT_FILE_WORDS; i++)
		memcpy((char *)&stats + 8 * i, &word, 8);
	return stats;
}

static struct stat_file shared;
static _Atomic(bool) stop;

static void *publish(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; !atomic_load(&stop); i++) {
		struct bwt_stats stats = filled_with(i);

		stat_file_write(&shared, &stats, i, i);
	}
	return NULL;
}

/* SF1 */
static void a_reader_gets_one_writing_or_none(void)
{
	unsigned whole = 0;
	pthread_t thread;

	memset(&shared, 0x5a, sizeof shared);
	stat_file_init(&shared);
	atomic_store(&stop, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, publish, NULL), 0);
	for (unsigned i = 0; i < (suite_short() ? 20000u : 60000u); i++) {
		struct bwt_stats got, want;
		uint64_t pid, updated_ns;

		if (!stat_file_read(&shared, sizeof shared, &got, &pid, &updated_ns))
			continue;
		whole++;
		want = filled_with(pid);
		if (updated_ns != pid || memcmp(&got, &want, sizeof got) != 0) {
			CU_FAIL("a torn copy was handed out");
			break;
		}
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(whole > 0);
}

static void a_file_that_was_never_written_says_no(void)
{
	struct bwt_stats stats;
	uint64_t pid, updated_ns;

	memset(&shared, 0, sizeof shared);
	CU_ASSERT_FALSE(stat_file_read(&shared, sizeof shared, &stats, &pid, &updated_ns));
	stat_file_init(&shared);
	CU_ASSERT_FALSE(stat_file_read(&shared, sizeof shared, &stats, &pid, &updated_ns));
}

static void a_file_of_another_version_says_no_and_a_longer_or_shorter_one_does_not(void)
{
	struct bwt_stats stats = filled_with(7);
	uint64_t pid, updated_ns;

	memset(&shared, 0, sizeof shared);
	stat_file_init(&shared);
	stat_file_write(&shared, &stats, 1, 1);
	shared.version++;
	CU_ASSERT_FALSE(stat_file_read(&shared, sizeof shared, &stats, &pid, &updated_ns));
	shared.version--;
	shared.size = offsetof(struct bwt_stats, media); /* an older writer */
	CU_ASSERT_TRUE(stat_file_read(&shared, sizeof shared, &stats, &pid, &updated_ns));
	CU_ASSERT_EQUAL(stats.key_count, 7);
	CU_ASSERT_EQUAL(stats.media[0], 0);
}

static void any_bytes_give_an_answer_and_no_fault(void)
{
	struct bwt_stats stats;
	uint64_t pid, updated_ns;
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < 300; i++) {
		size_t size = rng_below(&rng, sizeof shared + 1);
		struct stat_file *alone = malloc(size + 1);

		memset(&shared, 0, sizeof shared);
		stat_file_init(&shared);
		rng_fill(&rng, (char *)&shared + 12, rng_below(&rng, sizeof shared - 12));
		shared.size = rng_chance(&rng, 50) ? shared.size : (uint32_t)rng_below(&rng, 2000);
		memcpy((void *)alone, &shared, size);
		stat_file_read(alone, size, &stats, &pid, &updated_ns);
		free(alone);
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(counters_follow_what_happens),
		TEST(bytes_are_counted_where_they_are_written),
		TEST(keys_of_all_trees_but_the_catalogue_count),
		TEST(nowhere_to_put_them_is_invalid),
		TEST(the_service_thread_publishes_them),
		TEST(a_reader_gets_one_writing_or_none),
		TEST(a_file_that_was_never_written_says_no),
		TEST(a_file_of_another_version_says_no_and_a_longer_or_shorter_one_does_not),
		TEST(any_bytes_give_an_answer_and_no_fault),
		CU_TEST_INFO_NULL,
	};

	return suite_run("stat", set_up, tear_down, tests);
}
