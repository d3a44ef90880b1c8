/* SPDX-License-Identifier: MIT */
/*
 * stat_file.h - the file "stats": the counters of an open store, for bwt-stat in another process
 *
 * Why: a store has one opener at a time, tools included, but watching it must not need the lock.
 * The opener that may write keeps this file mapped shared and stores a fresh struct bwt_stats into
 * it now and then; anybody may map it read-only. It is a convenience: nothing in the store depends
 * on it, it is never synced, and bytes that make no sense are answered with "no".
 *
 *   SF1  sequence is odd while the rest changes, and even when the rest is whole (a seqlock with
 *        one writer at a time).
 *   SF2  Fields are only ever added at the end of struct bwt_stats; size says how many bytes the
 *        writer knew. Any other change raises STAT_FILE_VERSION.
 *   SF3  The file outlives its owner, crashed ones too: whether a store is open is told by its
 *        lock, never by this file.
 *
 * The words travel as relaxed atomics, so that a torn copy is thrown away, not a race.
 */
#ifndef BWT_DB_STAT_FILE_H
#define BWT_DB_STAT_FILE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/atomic.h"
#include "bwt.h"

#define STAT_FILE_NAME "stats" /* in the folder of the store */
#define STAT_FILE_MAGIC 0x7374617473747762u
#define STAT_FILE_VERSION 1u
#define STAT_FILE_WORDS ((sizeof(struct bwt_stats) + 7) / 8)
#define STAT_FILE_READ_ATTEMPTS 1000u

struct stat_file {
	uint64_t magic;              /* 0x00  constant once written */
	uint32_t version;            /* 0x08  constant */
	uint32_t size;               /* 0x0c  sizeof(struct bwt_stats) of the writer, constant */
	_Atomic uint64_t sequence;   /* 0x10  SF1 */
	_Atomic uint64_t owner_pid;  /* 0x18  process id of the writer */
	_Atomic uint64_t updated_ns; /* 0x20  CLOCK_REALTIME of the last update */
	_Atomic uint64_t reserved;   /* 0x28  zero */
	_Atomic uint64_t words[STAT_FILE_WORDS]; /* 0x30  struct bwt_stats */
};

static_assert(sizeof(struct bwt_stats) % 8 == 0, "copied in words");
static_assert(offsetof(struct stat_file, words) == 0x30, "stats file layout");

/**
 * stat_file_init - begin a new life of the file: called by the owner after it has the lock
 * @file:    sizeof(struct stat_file) bytes, mapped shared and writable, any content
 */
static inline void stat_file_init(struct stat_file *file)
{
	file->magic = STAT_FILE_MAGIC;
	file->version = STAT_FILE_VERSION;
	file->size = sizeof(struct bwt_stats);
	atomic_store_explicit(&file->reserved, 0, memory_order_relaxed);
	/* Even, whatever a crashed owner left. */
	atomic_store_explicit(&file->sequence, 0, memory_order_release);
}

/**
 * stat_file_write - publish @stats
 * Threads:  one at a time (SF1)
 * Blocks:   never
 */
static inline void stat_file_write(struct stat_file *file, const struct bwt_stats *stats,
                                   uint64_t owner_pid, uint64_t now_ns)
{
	uint64_t sequence = atomic_load_explicit(&file->sequence, memory_order_relaxed);
	uint64_t word;

	/* ACQ_REL exchange: the stores below stay below; pairs with the second load of the reader. */
	atomic_exchange_explicit(&file->sequence, sequence | 1, memory_order_acq_rel);
	atomic_store_explicit(&file->owner_pid, owner_pid, memory_order_release);
	atomic_store_explicit(&file->updated_ns, now_ns, memory_order_release);
	for (size_t i = 0; i < STAT_FILE_WORDS; i++) {
		memcpy(&word, (const char *)stats + 8 * i, 8);
		/* RELEASE: whoever sees this word sees the odd sequence too. */
		atomic_store_explicit(&file->words[i], word, memory_order_release);
	}
	/* RELEASE: the words are visible before the even number; pairs with the first load. */
	atomic_store_explicit(&file->sequence, (sequence | 1) + 1, memory_order_release);
}

/**
 * stat_file_read - copy the counters out of a file that another process may be writing
 * @file:    mapped, @file_size bytes of it, any content
 * @stats:   out; fields that the writer did not know are zero
 * @owner_pid, @updated_ns: out
 * Returns:  true; false when this is no such file, of another version, never written, or was
 *           being changed at every attempt (then *@stats is undefined)
 */
static inline bool stat_file_read(const struct stat_file *file, size_t file_size,
                                  struct bwt_stats *stats, uint64_t *owner_pid, uint64_t *updated_ns)
{
	uint32_t size;

	if (file_size < offsetof(struct stat_file, words) || file->magic != STAT_FILE_MAGIC ||
	    file->version != STAT_FILE_VERSION)
		return false;
	size = *(const volatile uint32_t *)&file->size; /* once: another process owns it */
	if (size == 0 || size % 8 != 0 || size > file_size - offsetof(struct stat_file, words))
		return false;
	for (unsigned attempt = 0; attempt < STAT_FILE_READ_ATTEMPTS; attempt++) {
		size_t word_count = size / 8 < STAT_FILE_WORDS ? size / 8 : STAT_FILE_WORDS;
		/* ACQUIRE: pairs with the last store of the writer. */
		uint64_t before = atomic_load_explicit(&file->sequence, memory_order_acquire);
		uint64_t after;

		memset(stats, 0, sizeof *stats);
		/* ACQUIRE on each word keeps the second look at the sequence behind them. */
		*owner_pid = atomic_load_explicit(&file->owner_pid, memory_order_acquire);
		*updated_ns = atomic_load_explicit(&file->updated_ns, memory_order_acquire);
		for (size_t i = 0; i < word_count; i++) {
			uint64_t word = atomic_load_explicit(&file->words[i], memory_order_acquire);

			memcpy((char *)stats + 8 * i, &word, 8);
		}
		after = atomic_load_explicit(&file->sequence, memory_order_relaxed);
		if (before == after && before % 2 == 0 && before != 0)
			return true;
		cpu_relax();
	}
	return false;
}

#endif
