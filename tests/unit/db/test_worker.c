/* SPDX-License-Identifier: MIT */
/* test_worker.c - read pages lose their chains, an idle store rests, options are obeyed */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/unit/db/db_fixture.h"
#include "tree/descend.h"

#define KEYS 2000u

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

static void open_with(unsigned workers)
{
	fixture.options.worker_count = workers;
	fixture_open(&fixture);
}

/* Deltas over the leaf of the first key. */
static unsigned first_chain(struct fixture *of)
{
	struct epoch_slot *slot;
	struct place place;

	CU_ASSERT_EQUAL_FATAL(db_slot(of->db, &slot), BWT_OK);
	epoch_pin(slot);
	CU_ASSERT_EQUAL(tree_descend(&of->tree->named->tree, text_slice("00000000"), false, 0,
	                             &place, NULL),
	                BWT_OK);
	epoch_unpin(slot);
	return mapping_chain(place.word);
}

static bool read_until_bare(struct fixture *of)
{
	for (unsigned i = 0; i < 200; i++)
		fixture_has(of, NULL, "00000000", NULL);
	return first_chain(of) == 0;
}

static void a_page_that_is_only_read_loses_its_chain(void)
{
	open_with(1);
	fixture_fill(&fixture, 0, KEYS);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "00000000", "again"), BWT_OK);
	CU_ASSERT_TRUE(first_chain(&fixture) > 0);
	CU_ASSERT_TRUE(fixture_until(&fixture, read_until_bare));
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "00000000", "again"));
}

static void without_workers_reading_changes_nothing(void)
{
	unsigned chain;

	open_with((unsigned)BWT_OFF);
	CU_ASSERT_EQUAL(fixture.db->worker_count, 0);
	fixture_fill(&fixture, 0, KEYS);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "00000000", "again"), BWT_OK);
	chain = first_chain(&fixture);
	for (unsigned i = 0; i < 1000; i++)
		fixture_has(&fixture, NULL, "00000000", "again");
	CU_ASSERT_EQUAL(first_chain(&fixture), chain);
}

static void as_many_workers_run_as_the_options_say(void)
{
	open_with(3);
	CU_ASSERT_EQUAL(fixture.db->worker_count, 3);
	fixture_close(&fixture);
	open_with(0); /* the default */
	CU_ASSERT_EQUAL(fixture.db->worker_count, 1);
}

static uint64_t processor_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void an_idle_store_uses_no_processor_time(void)
{
	struct timespec moment = {0, 200000000}, while_idle = {1, 500000000};
	uint64_t before, used;

	open_with(4);
	fixture_fill(&fixture, 0, KEYS);
	nanosleep(&moment, NULL); /* what the changes left to do is done */
	before = processor_us();
	nanosleep(&while_idle, NULL);
	used = processor_us() - before;
	printf("    %u us in 1.5 s\n", (unsigned)used);
	CU_ASSERT_TRUE(used < 15000); /* one percent; spinning would be a hundred and more */
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_page_that_is_only_read_loses_its_chain),
		TEST(without_workers_reading_changes_nothing),
		TEST(as_many_workers_run_as_the_options_say),
		TEST(an_idle_store_uses_no_processor_time),
		CU_TEST_INFO_NULL,
	};

	return suite_run("worker", set_up, tear_down, tests);
}
