/* SPDX-License-Identifier: MIT */
/*
 * service.c - the thread that a store keeps: checkpoints, fresh log segments, in BWT_NONE the log's writes
 *
 * It sleeps on a futex word, service_bell, until the log has grown to service_lsn (who flushes rings),
 * the ring is half full (whoever took room rings), arena or value-log bytes make a checkpoint due (space.c and
 * values.c ring), or the next timed duty is due. Nothing waits for it: without it every duty but the timed ones would be done by the threads that need it.
 */
#include <limits.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "base/stats.h"
#include "db/db.h"

#define MS 1000000ull
#define WAKE_LOG_BYTES ((uint64_t)4 << 20) /* log growth after which it looks again */
#define COUNTERS_INTERVAL_NS                                                                       \
	(1000 * MS) /* between two looks while the log grows: counters for bwt-stat */
#define CHECKPOINT_RETRY_NS (10 * MS) /* after a gate that did not drain */
#define CHECKPOINT_TRIES_MAX 1000u

static struct bwt_db *db_of(void *ctx)
{
	return ctx;
}

void service_wake(struct bwt_db *db)
{
	atomic_fetch_add_explicit(&db->service_bell, 1, memory_order_release);
	sys_wake(&db->service_bell, 1);
}

void service_wants_flush(void *ctx)
{
	struct bwt_db *db = db_of(ctx);

	if (db->store.durability == BWT_INTERVAL)
		flusher_ask(db);
	service_wake(db);
}

/* Those that wait for what is durable, asleep or in an event loop, are to look. */
static void tell_waiters(struct bwt_db *db)
{
	/* SEQ_CST: a failure was noted before this, see bwt_durable_fd(). */
	int fd = atomic_load_explicit(&db->durable_fd, memory_order_seq_cst);

	if (fd >= 0)
		sys_eventfd_signal(fd);
	changes_moved(db);
}

void service_failed(void *ctx)
{
	tell_waiters(db_of(ctx));
}

void service_durable_moved(void *ctx)
{
	struct bwt_db *db = db_of(ctx);

	tell_waiters(db);
	if (db->store.wal != NULL &&
	    wal_tail(db->store.wal) >= atomic_load_explicit(&db->service_lsn, memory_order_relaxed))
		service_wake(db);
}

/* ---- checkpoints ---- */

int service_checkpoint(struct bwt_db *db, bool clean)
{
	struct epoch_slot *slot;
	uint64_t appended;
	int rc = db_slot(db, &slot);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&db->checkpoint_lock);
	appended = vlog_appended(db->store.vlog);
	changes_settled(db);
	rc = checkpoint_take(&db->store, db->checkpointer, slot, clean);
	for (unsigned tries = 0; rc == BWT_BUSY && tries < CHECKPOINT_TRIES_MAX; tries++) {
		/* A thread stays inside the gate: it was given the processor's time meanwhile. */
		_Atomic(uint32_t) never = 0;

		stats_add(&db->store.stats, slot->index, STAT_GATE_RETRIES, 1);
		sys_park(&never, 0, CHECKPOINT_RETRY_NS);
		rc = checkpoint_take(&db->store, db->checkpointer, slot, clean);
	}
	pthread_mutex_unlock(&db->checkpoint_lock);
	space_freed(db);
	if (rc == BWT_OK)
		values_checkpointed(db, appended);
	return rc;
}

static bool is_off(uint64_t value, uint64_t all_bits)
{
	return value == all_bits;
}

/* Whether it works or not, the opening asks for one only; the other reasons go on. */
static bool opening_asks(struct bwt_db *db)
{
	bool asks = db->recovered;

	db->recovered = false;
	return asks;
}

static bool checkpoint_due(const struct bwt_db *db, const struct checkpoint_state *state,
                           uint64_t now_ns)
{
	const struct bwt_options *options = &db->options;

	if (space_checkpoint_due(db, state->allocated_bytes) || values_checkpoint_due(db))
		return true;
	if (state->log_bytes == 0 && !values_retired(db) && !changes_released(db))
		return false;
	if (!is_off(options->checkpoint_wal_bytes, UINT64_MAX) &&
	    state->log_bytes >= options->checkpoint_wal_bytes)
		return true;
	return !is_off(options->checkpoint_interval_ms, UINT_MAX) &&
	       now_ns - state->taken_ns >= options->checkpoint_interval_ms * MS;
}

static void checkpoint_if_due(struct bwt_db *db, uint64_t now_ns)
{
	struct checkpoint_state state;
	int rc;

	if (store_health(&db->store, true) < 0)
		return;
	checkpoint_state(&db->store, db->checkpointer, &state);
	if (!opening_asks(db) && !checkpoint_due(db, &state, now_ns))
		return;
	rc = service_checkpoint(db, false);
	if (rc < 0)
		store_say(&db->store, LOG_WARNING, "checkpoint: %s (%s)", bwt_strerror(rc),
		          bwt_detail());
}

/* ---- the thread ---- */

/* How long it may sleep: the nearest timed duty, or the end of @pause_ns if not 0; 0: until the bell. */
static uint64_t sleep_ns(struct bwt_db *db, uint64_t pause_ns)
{
	const struct bwt_options *options = &db->options;
	uint64_t sleep = 0;

	if (!is_off(options->checkpoint_interval_ms, UINT_MAX))
		sleep = options->checkpoint_interval_ms * MS;
	if (db->store.durability == BWT_NONE && (sleep == 0 || options->sync_interval_ms * MS < sleep))
		sleep = options->sync_interval_ms * MS;
	if (db->stat_file != NULL && (sleep == 0 || sleep > COUNTERS_INTERVAL_NS))
		sleep = COUNTERS_INTERVAL_NS;
	return pause_ns != 0 && (sleep == 0 || pause_ns < sleep) ? pause_ns : sleep;
}

/* To the system, which makes it durable when it likes. */
static void write_log(struct bwt_db *db)
{
	int rc;

	if (db->store.durability != BWT_NONE || store_health(&db->store, true) < 0 ||
	    wal_written_lsn(db->store.wal) == wal_tail(db->store.wal))
		return;
	rc = wal_flush(db->store.wal, false);
	if (rc < 0)
		store_say(&db->store, LOG_ERR, "log write: %s (%s)", bwt_strerror(rc), bwt_detail());
}

static void prepare_segment(struct bwt_db *db)
{
	int rc;

	if (store_health(&db->store, true) < 0)
		return;
	rc = wal_prepare_segment(db->store.wal);
	if (rc < 0)
		store_say(&db->store, LOG_WARNING, "next log segment: %s (%s)", bwt_strerror(rc),
		          bwt_detail());
}

static void service_run(void *ctx)
{
	struct bwt_db *db = db_of(ctx);

	while (atomic_load_explicit(&db->service_stop, memory_order_acquire) == 0) {
		uint32_t bell = atomic_load_explicit(&db->service_bell, memory_order_acquire);
		uint64_t pause_ns = 0; /* in collection */

		write_log(db);
		prepare_segment(db);
		checkpoint_if_due(db, sys_now_ns());
		if (!has_workers(db))
			pause_ns = values_serve(db);
		space_shrink(db, sys_now_ns());
		stat_publish(db);
		atomic_store_explicit(&db->service_lsn, wal_tail(db->store.wal) + WAKE_LOG_BYTES,
		                      memory_order_relaxed);
		if (atomic_load_explicit(&db->service_stop, memory_order_acquire) == 0)
			sys_park(&db->service_bell, bell, sleep_ns(db, pause_ns));
	}
}

int service_start(struct bwt_db *db)
{
	return sys_thread_start(service_run, db, "bwt-service", &db->service);
}

void service_stop(struct bwt_db *db)
{
	atomic_store_explicit(&db->service_stop, 1, memory_order_release);
	service_wake(db);
	sys_thread_join(db->service);
	db->service = NULL;
}
