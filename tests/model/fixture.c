/* SPDX-License-Identifier: MIT */
/* fixture.c - open, close and refuse stores for the tests of single calls */
#include "tests/model/fixture.h"

#define MAX_SIZE ((uint64_t)1 << 30) /* several fit into the address space that TSan leaves */

struct fixture fixture;
const struct bwt_slice fixture_key = {"key", 3};
const struct bwt_slice fixture_value = {"value", 5};

int fixture_open(unsigned flags)
{
	const struct bwt_options options = {
		.flags = flags, .durability = BWT_NONE, .max_size = MAX_SIZE};

	return bwt_open(fixture.path, &options, &fixture.db);
}

void fixture_set_up(void)
{
	tmpstore_new(fixture.folder);
	tmpstore_join(fixture.path, fixture.folder, "store");
	fixture.db = NULL;
	CU_ASSERT_EQUAL_FATAL(fixture_open(BWT_CREATE), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
}

void fixture_tear_down(void)
{
	if (fixture.db != NULL)
		CU_ASSERT_EQUAL(bwt_close(fixture.db), BWT_OK);
	tmpstore_free(fixture.folder);
}

void fixture_close(void)
{
	CU_ASSERT_EQUAL_FATAL(bwt_close(fixture.db), BWT_OK);
	fixture.db = NULL;
}

void fixture_refuse(unsigned flags, int expected)
{
	const struct bwt_options options = {.flags = flags, .max_size = MAX_SIZE};
	struct bwt_db *untouched = (struct bwt_db *)&fixture;
	struct bwt_db *out = untouched;

	CU_ASSERT_EQUAL(bwt_open(fixture.path, &options, &out), expected);
	CU_ASSERT_PTR_EQUAL(out, untouched);
}
