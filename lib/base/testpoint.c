/* SPDX-License-Identifier: MIT */
/*
 * testpoint.c - the table of armed points, in test builds only
 *
 *   free -- testpoint_set() --> armed -- testpoint_reset() --> free
 *
 *   TP1  A slot's fields are written before its name; a thread that sees the name sees them
 *        (release in testpoint_set(), acquire in find()).
 *   TP2  Slots in use are the first used_count; a point that is not armed costs one load.
 */
#include "base/testpoint.h"

#ifdef BWT_TEST

#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/atomic.h"

struct testpoint {
	_Atomic(const char *) name; /* written by testpoint_set(), last (TP1) */
	_Atomic uint64_t hits;      /* any thread adds, relaxed */
	_Atomic uint64_t nth;
	_Atomic(testpoint_fn) act;
	_Atomic(void *) ctx;
};

static struct testpoint points[TESTPOINT_MAX];
static _Atomic unsigned used_count; /* written by set and reset, after the slot; read by find() */

static struct testpoint *find_exact(const char *name)
{
	unsigned count = atomic_load_explicit(&used_count, memory_order_acquire);

	for (unsigned i = 0; i < count; i++) {
		const char *armed = atomic_load_explicit(&points[i].name, memory_order_acquire);

		if (armed != NULL && strcmp(armed, name) == 0)
			return &points[i];
	}
	return NULL;
}

void testpoint_set(const char *name, uint64_t nth, testpoint_fn act, void *ctx)
{
	struct testpoint *point = find_exact(name);
	unsigned count = atomic_load_explicit(&used_count, memory_order_relaxed);

	if (point == NULL) {
		BWT_CHECK(count < TESTPOINT_MAX);
		point = &points[count++];
	}
	atomic_store_explicit(&point->name, NULL, memory_order_relaxed);
	atomic_store_explicit(&point->hits, 0, memory_order_relaxed);
	atomic_store_explicit(&point->nth, nth, memory_order_relaxed);
	atomic_store_explicit(&point->act, act, memory_order_relaxed);
	atomic_store_explicit(&point->ctx, ctx, memory_order_relaxed);
	atomic_store_explicit(&point->name, name, memory_order_release);
	atomic_store_explicit(&used_count, count, memory_order_release);
}

uint64_t testpoint_hits(const char *name)
{
	struct testpoint *point = find_exact(name);

	return point == NULL ? 0 : atomic_load_explicit(&point->hits, memory_order_relaxed);
}

void testpoint_reset(void)
{
	atomic_store_explicit(&used_count, 0, memory_order_release);
	for (unsigned i = 0; i < TESTPOINT_MAX; i++)
		atomic_store_explicit(&points[i].name, NULL, memory_order_relaxed);
}

bool testpoint_hit(const char *name)
{
	struct testpoint *point;
	testpoint_fn act;
	uint64_t hit, nth;

	if (atomic_load_explicit(&used_count, memory_order_relaxed) == 0)
		return false;
	point = find_exact(name);
	if (point == NULL)
		point = find_exact("*");
	if (point == NULL)
		return false;
	hit = atomic_fetch_add_explicit(&point->hits, 1, memory_order_relaxed) + 1;
	nth = atomic_load_explicit(&point->nth, memory_order_relaxed);
	if (nth != 0 && hit != nth)
		return false;
	act = atomic_load_explicit(&point->act, memory_order_relaxed);
	if (act == NULL)
		return true;
	return act(atomic_load_explicit(&point->ctx, memory_order_relaxed), name, hit);
}

#endif
