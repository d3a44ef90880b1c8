/* SPDX-License-Identifier: MIT */
/* store_fixture.c - what the tests of recovery share */
#include "tests/unit/recovery/store_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "recovery/verify.h"
#include "txn/commit.h"
#include "txn/read.h"

#define INLINE_MAX 200u

static void note(void *ctx, int level, const char *text)
{
	struct fixture *fixture = ctx;

	if (level > LOG_WARNING)
		return;
	fixture->warnings++;
	snprintf(fixture->said, sizeof fixture->said, "%s", text);
}

void fixture_new(struct fixture *fixture)
{
	memset(fixture, 0, sizeof *fixture);
	tmpstore_new(fixture->path);
	tmpstore_new(fixture->copy);
	pthread_mutex_init(&fixture->trees_lock, NULL);
	fixture->config = (struct recover_config){
		.create = true,
		.plain = true,
		.durability = BWT_NONE,
		.max_size = (uint64_t)1 << 30,
		.inline_max = INLINE_MAX,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)64 << 10,
		.limits = {.leaf_bytes = 4096, .inner_bytes = 4096, .leaf_chain = 8, .inner_chain = 8},
		.log = note,
		.ctx = fixture,
	};
}

void fixture_free(struct fixture *fixture)
{
	if (fixture->open)
		fixture_close(fixture, false);
	tmpstore_free(fixture->path);
	tmpstore_free(fixture->copy);
}

int fixture_open(struct fixture *fixture, const char *path)
{
	int rc;

	fixture->config.path = path;
	fixture->store.trees_lock = &fixture->trees_lock;
	fixture->warnings = 0;
	rc = recover_open(&fixture->store, &fixture->config, &fixture->checkpointer);
	if (rc < 0)
		return rc;
	fixture->open = true;
	fixture->slot = epoch_slot(&fixture->store.epoch);
	return BWT_OK;
}

int fixture_checkpoint(struct fixture *fixture)
{
	return checkpoint_take(&fixture->store, fixture->checkpointer, fixture->slot, false);
}

void fixture_close(struct fixture *fixture, bool clean)
{
	if (clean)
		CU_ASSERT_EQUAL(checkpoint_take(&fixture->store, fixture->checkpointer,
		                                fixture->slot, true),
		                BWT_OK);
	recover_close(&fixture->store, fixture->checkpointer);
	fixture->open = false;
}

/* The value of @key in @version: its text, repeated to a size of its own; one in sixteen is a large one. */
static struct bwt_slice value_of(unsigned key, unsigned version, char *to)
{
	size_t size = key % 16 == 7 ? INLINE_MAX + 1 + key % 3000 : key % (INLINE_MAX - 20) + 20;
	size_t used = 0;

	while (used < size)
		used += (size_t)snprintf(to + used, 40, "%u.%u,", key, version);
	return (struct bwt_slice){to, size};
}

static struct bwt_slice key_of(unsigned key, char *to)
{
	return (struct bwt_slice){to, (size_t)snprintf(to, 32, "key-%08u", key)};
}

struct named_tree *fixture_tree(struct fixture *fixture, const char *name)
{
	struct named_tree *tree = fixture->store.trees;

	while (tree != NULL && (strcmp(tree->name, name) != 0 || tree->state != CATALOG_LIVE ||
	                        tree->tree.id == TREE_ID_CATALOG))
		tree = tree->next;
	return tree;
}

static struct tree *main_tree(struct fixture *fixture)
{
	return &store_tree(&fixture->store, TREE_ID_MAIN)->tree;
}

static int put_one(struct fixture *fixture, unsigned i, unsigned version)
{
	char key[32], value[4096];
	struct commit_op op = {.kind = COMMIT_PUT, .key = key_of(i, key)};

	op.value = value_of(i, version, value);
	return commit_one(&fixture->store, main_tree(fixture), &op);
}

void fixture_put(struct fixture *fixture, unsigned from, unsigned to, unsigned version)
{
	for (unsigned i = from; i < to; i++)
		CU_ASSERT_EQUAL_FATAL(put_one(fixture, i, version), BWT_OK);
}

void fixture_try_put(struct fixture *fixture, unsigned from, unsigned to, unsigned version)
{
	for (unsigned i = from; i < to; i++) {
		int rc = put_one(fixture, i, version);

		CU_ASSERT_TRUE_FATAL(rc == BWT_OK || rc == BWT_CORRUPT);
	}
}

void fixture_delete(struct fixture *fixture, unsigned from, unsigned to)
{
	char key[32];

	for (unsigned i = from; i < to; i++) {
		struct commit_op op = {.kind = COMMIT_DELETE, .key = key_of(i, key)};

		CU_ASSERT_EQUAL_FATAL(commit_one(&fixture->store, main_tree(fixture), &op), BWT_OK);
	}
}

bool fixture_holds(struct fixture *fixture, unsigned from, unsigned to, unsigned version)
{
	char key[32], value[4096];
	struct bwt_buf got = {0};
	bool same = true;

	for (unsigned i = from; i < to && same; i++) {
		struct bwt_slice want = value_of(i, version, value);
		int rc = read_value(&fixture->store, main_tree(fixture), fixture->slot, READ_NEWEST,
		                    key_of(i, key), &got);

		same = rc == BWT_OK && got.size == want.size &&
		       memcmp(got.data, want.data, want.size) == 0;
		if (!same)
			printf("key %u, version %u: %s, %s\n", i, version, bwt_strerror(rc),
			       bwt_detail());
	}
	free(got.data);
	return same;
}

bool fixture_right_or_corrupt(struct fixture *fixture, unsigned key, unsigned version)
{
	char name[32], value[4096];
	struct bwt_slice want = value_of(key, version, value);
	struct bwt_buf got = {0};
	int rc = read_value(&fixture->store, main_tree(fixture), fixture->slot, READ_NEWEST,
	                    key_of(key, name), &got);
	bool right = rc == BWT_CORRUPT || (rc == BWT_OK && got.size == want.size &&
	                                   memcmp(got.data, want.data, want.size) == 0);

	free(got.data);
	return right;
}

bool fixture_lacks(struct fixture *fixture, unsigned from, unsigned to)
{
	char key[32];

	for (unsigned i = from; i < to; i++) {
		if (read_value(&fixture->store, main_tree(fixture), fixture->slot, READ_NEWEST,
		               key_of(i, key), NULL) != BWT_NOT_FOUND)
			return false;
	}
	return true;
}

uint64_t fixture_keys(struct fixture *fixture)
{
	return tree_keys(main_tree(fixture));
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	printf("%s at %llu, page %llu: %s\n", finding->file, (unsigned long long)finding->offset,
	       (unsigned long long)finding->page, finding->text);
}

bool fixture_sound(struct fixture *fixture)
{
	struct verify_report report = {.report = print_finding};

	return verify_store(&fixture->store, fixture->slot, &report) == BWT_OK &&
	       report.warnings == 0 && report.damages == 0;
}

void fixture_findings(const char *path, uint64_t *warnings, uint64_t *damages)
{
	struct verify_report report = {0};

	CU_ASSERT_EQUAL_FATAL(verify_files(path, &report), BWT_OK);
	*warnings = report.warnings;
	*damages = report.damages;
}

const char *fixture_file(const char *folder, const char *name)
{
	static char path[TMPSTORE_PATH_MAX];

	tmpstore_join(path, folder, name);
	return path;
}

void fixture_damage(const char *folder, const char *name, uint64_t off, uint64_t size)
{
	int fd = open(fixture_file(folder, name), O_RDWR | O_CLOEXEC);
	uint8_t byte;

	CU_ASSERT_FATAL(fd >= 0);
	for (uint64_t i = off; i < off + size; i++) {
		CU_ASSERT_EQUAL_FATAL(pread(fd, &byte, 1, (off_t)i), 1);
		byte ^= 0x5a;
		CU_ASSERT_EQUAL_FATAL(pwrite(fd, &byte, 1, (off_t)i), 1);
	}
	close(fd);
}
