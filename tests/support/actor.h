/* SPDX-License-Identifier: MIT */
/*
 * actor.h - a second thread that stops at a named point (base/testpoint.h) while the test goes on
 *
 *   actor_start(&writer, "commit_publish", put, &arg);
 *   actor_await(&writer);                   it has reserved and not published yet
 *   ...                                     what others do meanwhile
 *   actor_finish(&writer);                  it goes on to its end
 *
 * Only threads that actor_start() made stop; each stops once, at the first hit of its own point.
 */
#ifndef BWT_TESTS_ACTOR_H
#define BWT_TESTS_ACTOR_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

struct actor {
	pthread_t thread;
	const char *stop_at;
	void (*play)(void *arg);
	void *arg;
	sem_t arrived; /* posted once, where it stops or at its end */
	sem_t go_on;
	bool stopped; /* it did stop: read after actor_await() */
};

/**
 * actor_start - begin a thread that calls @play(@arg) and stops at @stop_at
 * @stop_at: name of a TEST_YIELD or TEST_FAULT point (which then is false); NULL: it never stops
 */
void actor_start(struct actor *actor, const char *stop_at, void (*play)(void *arg), void *arg);

/** actor_start_nth - the same, but it stops at hit @nth of @stop_at, whoever made those before; 0: its first */
void actor_start_nth(struct actor *actor, const char *stop_at, unsigned nth,
                     void (*play)(void *arg), void *arg);

/** actor_await - wait until it has stopped (true), or ended without coming to its point (false) */
bool actor_await(struct actor *actor);

/** actor_finish - let it go on, and join it */
void actor_finish(struct actor *actor);

#endif
