/* SPDX-License-Identifier: MIT */
/*
 * store_fixture.h - a store below the db layer: open, put, look up, compare with what it should hold
 *
 * Keys and values are numbers made into text, so that a test says what is there with one call.
 */
#ifndef BWT_TESTS_STORE_FIXTURE_H
#define BWT_TESTS_STORE_FIXTURE_H

#include <stdbool.h>

#include "recovery/recover.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

struct fixture {
	char path[TMPSTORE_PATH_MAX]; /* of the store's folder */
	char copy[TMPSTORE_PATH_MAX]; /* of copies */
	struct recover_config config;
	struct store store;
	pthread_mutex_t trees_lock;
	struct checkpointer *checkpointer;
	struct epoch_slot *slot;
	bool open;
	unsigned warnings; /* texts of level warning or worse since the last opening */
	char said[1024];   /* the last one */
};

void fixture_new(struct fixture *fixture);
void fixture_free(struct fixture *fixture);
/** fixture_open - recover_open() of @path; config.create is set by fixture_new() */
int fixture_open(struct fixture *fixture, const char *path);
/** fixture_close - as after a crash when not @clean */
void fixture_close(struct fixture *fixture, bool clean);
int fixture_checkpoint(struct fixture *fixture);
/** fixture_put - keys [@from, @to) get values made of key and @version; sizes vary, some lie in the value log */
void fixture_put(struct fixture *fixture, unsigned from, unsigned to, unsigned version);
void fixture_delete(struct fixture *fixture, unsigned from, unsigned to);
/** fixture_holds - keys [@from, @to) have the values of @version */
bool fixture_holds(struct fixture *fixture, unsigned from, unsigned to, unsigned version);
/** fixture_right_or_corrupt - @key has its value of @version, or reading it gives BWT_CORRUPT */
bool fixture_right_or_corrupt(struct fixture *fixture, unsigned key, unsigned version);
/** fixture_try_put - as fixture_put(), but BWT_CORRUPT is an answer, too */
void fixture_try_put(struct fixture *fixture, unsigned from, unsigned to, unsigned version);
bool fixture_lacks(struct fixture *fixture, unsigned from, unsigned to);
uint64_t fixture_keys(struct fixture *fixture);
/** fixture_sound - verify_store() finds nothing; prints what it finds */
bool fixture_sound(struct fixture *fixture);
/** fixture_findings - warnings and damages of verify_files() of the store at @path, which is not open */
void fixture_findings(const char *path, uint64_t *warnings, uint64_t *damages);
struct named_tree *fixture_tree(struct fixture *fixture, const char *name);
/** fixture_file - path of @name below @folder, in a static buffer */
const char *fixture_file(const char *folder, const char *name);
/** Change bytes of a file: XOR of @size bytes at @off. */
void fixture_damage(const char *folder, const char *name, uint64_t off, uint64_t size);

#endif
