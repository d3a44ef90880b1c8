/* SPDX-License-Identifier: MIT */
/* actor.c - the thread, and the one function behind every point that actors stop at */
#include "tests/support/actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"

static _Thread_local struct actor *self; /* NULL in every thread but an actor's */

static bool stop_here(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)hit;
	if (self == NULL || self->stopped || strcmp(self->stop_at, name) != 0)
		return false;
	self->stopped = true;
	sem_post(&self->arrived);
	while (sem_wait(&self->go_on) != 0)
		continue;
	return false;
}

static void *run(void *ctx)
{
	self = ctx;
	self->play(self->arg);
	if (!self->stopped)
		sem_post(&self->arrived);
	return NULL;
}

void actor_start(struct actor *actor, const char *stop_at, void (*play)(void *arg), void *arg)
{
	actor_start_nth(actor, stop_at, 0, play, arg);
}

void actor_start_nth(struct actor *actor, const char *stop_at, unsigned nth,
                     void (*play)(void *arg), void *arg)
{
	*actor = (struct actor){.stop_at = stop_at != NULL ? stop_at : "", .play = play, .arg = arg};
	sem_init(&actor->arrived, 0, 0);
	sem_init(&actor->go_on, 0, 0);
	if (stop_at != NULL)
		testpoint_set(stop_at, nth, stop_here, NULL);
	if (pthread_create(&actor->thread, NULL, run, actor) != 0) {
		fprintf(stderr, "actor: no thread to be had\n");
		exit(EXIT_FAILURE);
	}
}

bool actor_await(struct actor *actor)
{
	while (sem_wait(&actor->arrived) != 0)
		continue;
	return actor->stopped;
}

void actor_finish(struct actor *actor)
{
	sem_post(&actor->go_on);
	pthread_join(actor->thread, NULL);
	sem_destroy(&actor->arrived);
	sem_destroy(&actor->go_on);
}
