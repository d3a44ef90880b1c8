/* SPDX-License-Identifier: MIT */
/*
 * assert.h - assertions about our own mistakes, in two strengths
 *
 * BWT_ASSERT(condition)  preconditions and invariants: checked in builds with BWT_TEST or
 *                        BWT_DEBUG; in a release build the condition is type-checked, not evaluated
 * BWT_CHECK(condition)   where going on would damage stored data: checked in every build
 *
 * Neither prints: the library owns no stream. A failure is abort(), and the core file or debugger
 * shows the line. Stored bytes and arguments of callers are never asserted, they get a code.
 * static_assert comes along for layouts.
 */
#ifndef BWT_BASE_ASSERT_H
#define BWT_BASE_ASSERT_H

#include <assert.h>
#include <stdlib.h>

#define BWT_CHECK(condition)                                                                       \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0))                                             \
			abort();                                                                   \
	} while (0)

#if defined(BWT_TEST) || defined(BWT_DEBUG)
#define BWT_ASSERT(condition) BWT_CHECK(condition)
#else
#define BWT_ASSERT(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

#endif
