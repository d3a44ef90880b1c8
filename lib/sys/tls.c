/* SPDX-License-Identifier: MIT */
/*
 * tls.c - a value per thread and object, with a call when the thread ends
 *
 * Why not a pthread key for each object: deleting a key does not stop a destructor that another
 * thread has already begun, and keys are few. Here one key serves all, and only to say that a
 * thread ends; the values lie in an array of that thread, so a get touches no shared memory.
 *
 *   T1  A slot of the table is taken by at most one sys_tls, and each sys_tls has an id that no
 *       other ever had: what a thread still holds of a freed one is recognised as stale.
 *   T2  at_exit runs under the process lock, which sys_tls_free() takes: after it, never again.
 *   T3  An array is read and written by its own thread only.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sys/process_lock.h"
#include "sys/thread.h"

#define TLS_SLOTS_MAX 1024u /* sys_tls alive at a time in the process */
#define TLS_VALUES_MIN 8u   /* values of a thread's first array */

struct sys_tls {
	uint64_t id;
	uint32_t slot;
	uint32_t generation; /* of the process that made it */
	void (*at_exit)(void *value);
};

struct tls_value {
	uint64_t id; /* of the sys_tls that the value belongs to; 0: never set */
	void *value;
};

static struct sys_tls *slots[TLS_SLOTS_MAX]; /* under the process lock */
static uint64_t last_id;                     /* the same */
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static __thread struct tls_value *values; /* by slot */
static __thread uint32_t value_count;

/* The thread ends. Its later destructors may set values again; then this runs once more. */
static void thread_ends(void *unused)
{
	(void)unused;
	for (uint32_t slot = 0; slot < value_count; slot++) {
		struct tls_value *mine = &values[slot];
		struct sys_tls *tls;

		if (mine->value == NULL)
			continue;
		sys_process_lock();
		tls = slots[slot];
		if (tls != NULL && tls->id == mine->id && tls->generation == sys_fork_generation())
			tls->at_exit(mine->value); /* T2 */
		sys_process_unlock();
	}
	free(values);
	values = NULL;
	value_count = 0;
}

static void make_key(void)
{
	key_error = pthread_key_create(&key, thread_ends);
}

int sys_tls_new(void (*at_exit)(void *value), struct sys_tls **tls)
{
	struct sys_tls *made;
	uint32_t slot = 0;

	pthread_once(&key_once, make_key);
	if (key_error != 0)
		return error_set(error_from_errno(key_error), "no pthread key is left");
	made = malloc(sizeof *made);
	if (made == NULL)
		return -ENOMEM;
	sys_process_lock();
	while (slot < TLS_SLOTS_MAX && slots[slot] != NULL)
		slot++;
	if (slot < TLS_SLOTS_MAX) {
		made->id = ++last_id;
		made->slot = slot;
		made->generation = sys_fork_generation();
		made->at_exit = at_exit;
		slots[slot] = made;
	}
	sys_process_unlock();
	if (slot == TLS_SLOTS_MAX) {
		free(made);
		return error_set(-EAGAIN, "more than %u stores are open in this process",
		                 TLS_SLOTS_MAX);
	}
	*tls = made;
	return BWT_OK;
}

void sys_tls_free(struct sys_tls *tls)
{
	if (tls == NULL)
		return;
	sys_process_lock();
	slots[tls->slot] = NULL;
	sys_process_unlock();
	free(tls);
}

/* Make room for @slot in this thread's array, and have the thread's end noticed. */
static int make_room(uint32_t slot)
{
	uint32_t count = value_count > 0 ? value_count : TLS_VALUES_MIN;
	struct tls_value *grown;

	if (value_count == 0 && pthread_setspecific(key, &key) != 0)
		return -ENOMEM;
	while (count <= slot)
		count *= 2;
	grown = realloc(values, count * sizeof *grown);
	if (grown == NULL)
		return -ENOMEM;
	memset(grown + value_count, 0, (count - value_count) * sizeof *grown);
	values = grown;
	value_count = count;
	return BWT_OK;
}

int sys_tls_set(struct sys_tls *tls, void *value)
{
	if (tls->slot >= value_count) {
		int rc = make_room(tls->slot);

		if (rc < 0)
			return rc;
	}
	values[tls->slot] = (struct tls_value){.id = tls->id, .value = value};
	return BWT_OK;
}

void *sys_tls_get(struct sys_tls *tls)
{
	if (tls->slot >= value_count || values[tls->slot].id != tls->id)
		return NULL;
	return values[tls->slot].value;
}
