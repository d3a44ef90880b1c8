/* SPDX-License-Identifier: MIT */
/* txn_fixture.c - what the tests of txn/ share */
#include "tests/unit/txn/txn_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/wal_reader.h"

#define STORE_ID 0x5153u
#define VALUE_FILES_MAX 4096u

static int make_folder(struct fixture *fixture, const char *name)
{
	char path[TMPSTORE_PATH_MAX];
	int fd;

	tmpstore_join(path, fixture->file.folder, name);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0755), 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

static int value_syncs(void *ctx, struct sys_io *ops, unsigned room, unsigned *count)
{
	struct store *store = ctx;

	return vlog_value_syncs(store->vlog, ops, room, count);
}

static void open_logs(struct fixture *fixture)
{
	struct store *store = &fixture->store;
	struct vlog_config vlog = {.store_id = STORE_ID, .segment_size = 65536, .next_segment = 1};
	struct wal_config wal = {
		.store_id = STORE_ID,
		.segment_size = (uint64_t)4 << 20,
		.plain = true,
		.sync = store->durability == BWT_SYNC,
		.stats = &store->stats,
		.value_syncs = value_syncs,
		.ctx = store,
	};

	store->wal_dir_fd = make_folder(fixture, "wal");
	store->vlog_dir_fd = make_folder(fixture, "vlog");
	vlog.dir_fd = store->vlog_dir_fd;
	wal.dir_fd = store->wal_dir_fd;
	CU_ASSERT_EQUAL_FATAL(vlog_open(&vlog, &store->vlog), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(wal_open(&wal, &store->wal), BWT_OK);
}

static void add_tree(struct fixture *fixture, uint32_t id)
{
	struct named_tree *tree = aligned_alloc(CACHE_LINE_SIZE, sizeof *tree);

	memset(tree, 0, sizeof *tree);
	CU_ASSERT_EQUAL_FATAL(tree_create(&tree->tree, &fixture->store.env, id, fixture->slot),
	                      BWT_OK);
	tree->state = CATALOG_LIVE;
	tree->next = fixture->store.trees;
	fixture->store.trees = tree;
}

void fixture_new(struct fixture *fixture, int durability)
{
	struct store *store = &fixture->store;

	memset(fixture, 0, sizeof *fixture);
	pthread_mutex_init(&fixture->trees_lock, NULL);
	store->trees_lock = &fixture->trees_lock;
	store->durability = durability;
	store->inline_max = INLINE_MAX;
	fixture_arena_new(&fixture->file, &store->arena, &store->epoch, &store->extents,
	                  &store->interval);
	fixture_arena_map(&fixture->file, (uint64_t)64 << 20);
	CU_ASSERT_EQUAL_FATAL(extents_format(&store->extents), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(
		mapping_init(&store->mapping, &store->epoch, 1 << 16, &store->interval), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(cow_init(&store->vlog_live, VALUE_FILES_MAX, &store->interval), BWT_OK);
	snapshots_init(&store->snapshots);
	descriptors_init(&store->descriptors, &store->epoch);
	store->env = (struct tree_env){
		.arena = &store->arena,
		.extents = &store->extents,
		.epoch = &store->epoch,
		.mapping = &store->mapping,
		.stats = &store->stats,
		.limits = {1024, 1024, 8, 4, 0},
		.clock = store_clock,
		.horizon = store_horizon,
		.decide = store_decide,
		.value_stored = store_value_stored,
		.value_dropped = store_value_dropped,
		.ctx = store,
	};
	fixture->slot = epoch_slot(&store->epoch);
	open_logs(fixture);
	atomic_store(&store->next_tree_id, TREE_ID_FIRST);
	add_tree(fixture, TREE_ID_MAIN);
	add_tree(fixture, TREE_ID_CATALOG);
	fixture->tree = &store_tree(store, TREE_ID_MAIN)->tree;
}

void fixture_free(struct fixture *fixture)
{
	struct store *store = &fixture->store;

	while (store->trees != NULL) {
		struct named_tree *next = store->trees->next;

		free(store->trees);
		store->trees = next;
	}
	wal_close(store->wal);
	vlog_close(store->vlog);
	close(store->wal_dir_fd);
	close(store->vlog_dir_fd);
	snapshots_deinit(&store->snapshots);
	descriptors_deinit(&store->descriptors);
	cow_deinit(&store->vlog_live);
	mapping_deinit(&store->mapping);
	fixture_arena_unmap(&fixture->file);
	fixture_arena_free(&fixture->file);
	pthread_mutex_destroy(&fixture->trees_lock);
}

struct bwt_slice text_slice(const char *text)
{
	return (struct bwt_slice){text, text == NULL ? 0 : strlen(text)};
}

int fixture_commit(struct fixture *fixture, enum commit_kind kind, const char *key,
                   const char *value, uint64_t *end_lsn)
{
	struct commit_op op = {.kind = kind, .key = text_slice(key), .value = text_slice(value)};
	int rc;

	op.durable = fixture->store.durability == BWT_SYNC;
	rc = commit_one(&fixture->store, fixture->tree, &op);
	if (end_lsn != NULL)
		*end_lsn = op.end_lsn;
	return rc;
}

uint64_t fixture_put(struct fixture *fixture, const char *key, const char *value)
{
	uint64_t end_lsn;

	CU_ASSERT_EQUAL_FATAL(fixture_commit(fixture, COMMIT_PUT, key, value, &end_lsn), BWT_OK);
	return end_lsn;
}

int fixture_cas(struct fixture *fixture, const char *key, const char *expected, const char *desired)
{
	struct bwt_slice old = text_slice(expected), new = text_slice(desired);
	struct commit_op op = {.kind = COMMIT_CAS, .key = text_slice(key)};

	op.expected = expected == NULL ? NULL : &old;
	op.desired = desired == NULL ? NULL : &new;
	return commit_one(&fixture->store, fixture->tree, &op);
}

bool fixture_get(struct fixture *fixture, const char *key, uint64_t snapshot, const char *value)
{
	struct bwt_buf got = {0};
	int rc = read_value(&fixture->store, fixture->tree, epoch_slot(&fixture->store.epoch),
	                    snapshot, text_slice(key), &got);
	bool same = value == NULL ? rc == BWT_NOT_FOUND
	                          : rc == BWT_OK && got.size == strlen(value) &&
	                                    memcmp(got.data, value, got.size) == 0;

	if (!same)
		printf("  %s at %llu: %s \"%.*s\"\n", key, (unsigned long long)snapshot,
		       bwt_strerror(rc), (int)(got.size < 60 ? got.size : 60),
		       got.size > 0 ? (char *)got.data : "");
	free(got.data);
	return same;
}

uint64_t fixture_snapshot(struct fixture *fixture)
{
	return store_clock(&fixture->store);
}

struct leaf_delta *fixture_top(struct fixture *fixture, const char *key)
{
	struct epoch_slot *slot = epoch_slot(&fixture->store.epoch);
	struct leaf_delta *top = NULL;
	struct place place;

	epoch_pin(slot);
	CU_ASSERT_EQUAL_FATAL(tree_descend(fixture->tree, text_slice(key), false, 0, &place, NULL),
	                      BWT_OK);
	if (mapping_chain(place.word) > 0)
		top = arena_at(&fixture->store.arena, place_head(&place));
	epoch_unpin(slot);
	return top;
}

static void describe(const struct wal_record *record, struct logged *logged)
{
	const struct wal_op *op = record->payload.data;
	const uint8_t *bytes = record->payload.data;

	*logged =
		(struct logged){.lsn = record->lsn, .end_lsn = record->end_lsn, .type = record->type};
	if (record->type != WAL_OP)
		snprintf(logged->text, sizeof logged->text, "%s",
		         (const char *)bytes + sizeof(uint32_t));
	else if ((op->flags & VERSION_TOMBSTONE) != 0)
		snprintf(logged->text, sizeof logged->text, "%.*s!", (int)op->key_size,
		         (const char *)op->bytes);
	else
		snprintf(logged->text, sizeof logged->text, "%.*s=%.*s", (int)op->key_size,
		         (const char *)op->bytes,
		         (op->flags & VERSION_VLOG) != 0 ? 0 : (int)op->value_size,
		         (const char *)op->bytes + op->key_size);
}

unsigned fixture_log(struct fixture *fixture, struct logged *records, unsigned room)
{
	struct wal_reader *reader;
	struct wal_record record;
	unsigned count = 0;
	int rc = wal_flush(fixture->store.wal, true);

	CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
	CU_ASSERT_EQUAL_FATAL(
		wal_reader_open(fixture->store.wal_dir_fd, STORE_ID, WAL_BLOCK, true, &reader),
		BWT_OK);
	while ((rc = wal_reader_next(reader, &record)) == BWT_OK && count < room)
		describe(&record, &records[count++]);
	CU_ASSERT_EQUAL(rc, BWT_NOT_FOUND);
	wal_reader_close(reader);
	return count;
}
