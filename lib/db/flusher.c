/* SPDX-License-Identifier: MIT */
/*
 * flusher.c - the thread that makes durable what nobody waits for
 *
 *   asleep --flusher_ask(); in BWT_INTERVAL a record, once the interval is over--> flushing --> asleep
 *
 * Why: bwt_commit_async() returns before its record is durable, and an event loop that polls bwt_durable_fd() calls
 * nobody. Commits of a store that is BWT_INTERVAL do not wait either, and are to be durable soon. The service thread
 * would not do: it takes checkpoints, which are as long as the disk is slow.
 *
 * One flush takes all that came before it began; what comes meanwhile gathers for the next one, however much
 * it is. Asleep means on a futex, and without a timeout when nothing is to be flushed: an idle store uses no
 * processor time. The first record after that rings (wal_watch()).
 */
#include <syslog.h>

#include "base/error.h"
#include "db/db.h"

#define MS 1000000ull
#define RETRY_NS (100 * MS) /* after a flush that found no room on the disk */

static void ring(struct flusher *flusher)
{
	atomic_fetch_add_explicit(&flusher->bell, 1, memory_order_release);
	sys_wake(&flusher->bell, 1);
}

void flusher_ask(struct bwt_db *db)
{
	struct flusher *flusher = &db->flusher;

	/* SEQ_CST: the caller's record has its place in the log. The flusher takes the flag down, then looks where the
	 * log ends: a flag that was up here is taken down later than that. */
	if (atomic_load_explicit(&flusher->asked, memory_order_seq_cst) == 0 &&
	    atomic_exchange_explicit(&flusher->asked, 1, memory_order_seq_cst) == 0)
		ring(flusher);
}

void flusher_filled(void *ctx)
{
	struct bwt_db *db = ctx;

	ring(&db->flusher);
}

/* Everything that has its place in the log now. @seen: of the bell, before the reason for this was. */
static void flush(struct bwt_db *db, uint32_t seen)
{
	struct wal *wal = db->store.wal;
	int rc = wal_wait(wal, wal_tail(wal));

	if (rc == BWT_OK)
		return;
	store_say(&db->store, LOG_ERR, "log flush: %s (%s)", bwt_strerror(rc), bwt_detail());
	if (wal_failure(wal) != BWT_OK)
		return;
	/* No room where overwriting takes some. Nothing is lost, and there may be room later. */
	atomic_store_explicit(&db->flusher.asked, 1, memory_order_seq_cst);
	sys_park(&db->flusher.bell, seen, RETRY_NS);
}

/* Is there anything that the interval is for? If not, the next record rings. */
static bool is_behind(struct bwt_db *db)
{
	struct wal *wal = db->store.wal;

	if (db->store.durability != BWT_INTERVAL || wal_failure(wal) != BWT_OK)
		return false;
	if (wal_durable_lsn(wal) < wal_tail(wal))
		return true;
	wal_watch(wal);
	return wal_durable_lsn(wal) < wal_tail(wal);
}

static void flusher_run(void *ctx)
{
	struct bwt_db *db = ctx;
	struct flusher *flusher = &db->flusher;
	const uint64_t interval_ns = db->options.sync_interval_ms * MS;
	uint64_t since_ns = 0; /* when the last flush began, or its first record rang */

	for (;;) {
		/* Before all that it rings for is looked at. */
		uint32_t seen = atomic_load_explicit(&flusher->bell, memory_order_acquire);
		uint64_t passed_ns;

		if (atomic_load_explicit(&flusher->stop, memory_order_acquire) != 0)
			return;
		if (atomic_exchange_explicit(&flusher->asked, 0, memory_order_seq_cst) != 0) {
			since_ns = sys_now_ns();
			flush(db, seen);
			continue;
		}
		if (!is_behind(db)) {
			sys_park(&flusher->bell, seen, 0);
			since_ns = sys_now_ns();
			continue;
		}
		passed_ns = sys_now_ns() - since_ns;
		if (passed_ns < interval_ns) {
			sys_park(&flusher->bell, seen, interval_ns - passed_ns);
			continue;
		}
		since_ns = sys_now_ns();
		flush(db, seen);
	}
}

int flusher_start(struct bwt_db *db)
{
	return sys_thread_start(flusher_run, db, "bwt-flush", &db->flusher.thread);
}

void flusher_stop(struct bwt_db *db)
{
	if (db->flusher.thread == NULL)
		return;
	atomic_store_explicit(&db->flusher.stop, 1, memory_order_release);
	ring(&db->flusher);
	sys_thread_join(db->flusher.thread);
	db->flusher.thread = NULL;
}
