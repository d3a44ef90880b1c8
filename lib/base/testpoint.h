/* SPDX-License-Identifier: MIT */
/*
 * testpoint.h - named places where a test may make something fail, or widen a race
 *
 *   if (TEST_FAULT("wal_write")) return -EIO;   false unless a test armed the point
 *   TEST_YIELD("swap");                         nothing unless a test armed the point
 *
 * Only builds with BWT_TEST have points; a release library holds no trace of them.
 */
#ifndef BWT_BASE_TESTPOINT_H
#define BWT_BASE_TESTPOINT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef BWT_TEST

#define TEST_FAULT(name) testpoint_hit(name)
/* The names of yield points are in a section, too, for tests that go through all of them. */
#define TEST_YIELD(name)                                                                           \
	do {                                                                                       \
		static const char *const yield_name                                                \
			__attribute__((section("testpoint_names"), used)) = name;                  \
		(void)testpoint_hit(yield_name);                                                   \
	} while (0)

/** Armed points at once, at most. */
#define TESTPOINT_MAX 32

/**
 * What happens at an armed point. May kill the process, wait, or yield; runs on the thread that hit
 * @name, holding whatever that code holds. The return value is that of TEST_FAULT.
 */
typedef bool (*testpoint_fn)(void *ctx, const char *name, uint64_t hit);

/**
 * testpoint_set - arm a point; arming the same name again replaces it and counts from zero
 * @name:   name of the point, or "*" for every point that has no setting of its own; not copied
 * @nth:    the hit that acts, 1 = the next one; 0 = every hit
 * @act:    what happens then; NULL: TEST_FAULT is true
 * @ctx:    for @act
 * Threads: one at a time with testpoint_reset(); may run beside threads that hit points, but
 *          replacing a name while it is being hit is the test's own race
 */
void testpoint_set(const char *name, uint64_t nth, testpoint_fn act, void *ctx);

/** testpoint_hits - how often @name was hit since it was armed; 0 when it is not armed */
uint64_t testpoint_hits(const char *name);

/** testpoint_reset - disarm all points; no thread may be at one */
void testpoint_reset(void);

/** testpoint_hit - the work behind TEST_FAULT and TEST_YIELD */
bool testpoint_hit(const char *name);

#else

#define TEST_FAULT(name) ((void)sizeof(name), false)
#define TEST_YIELD(name) ((void)sizeof(name))

#endif

#endif
