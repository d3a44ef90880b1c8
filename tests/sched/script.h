/* SPDX-License-Identifier: MIT */
/*
 * script.h - what each fiber of a scenario does, as text
 *
 *   "put 12; get 12; snap; look; drop"
 *
 * | word                         | does                                                                   |
 * |------------------------------|------------------------------------------------------------------------|
 * | put K, ins K, upd K, del K   | commit_one(); the value is a new one each time                         |
 * | cas K                        | compare with what this fiber last read of K (else: absent), and swap   |
 * | sync K                       | put, and wait until it is durable                                      |
 * | get K                        | newest committed                                                       |
 * | scan                         | all leaves, newest committed: a get of every key of the scenario       |
 * | snap, read K, look, drop     | acquire a snapshot, read a key, scan all, release                      |
 * | stable                       | acquire one that stands at what is durable (read-only transactions)    |
 * | begin, beginser, beginrc     | a transaction: snapshot isolation, serializable, read committed        |
 * | tput K, tdel K, tget K       | in it                                                                  |
 * | commit, abort                | commit it; refused is right, too; end it without                       |
 * | mark, back                   | a savepoint; forget what was written since the last one                |
 * | fix K, force K, fixup K      | consolidate K's leaf; aborting what is pending; the page above it      |
 * | shrink K                     | consolidate K's leaf, and merge it if little is left, as writers do     |
 * | reclaim                      | free extents and page ids that may be; freed extents are overwritten   |
 * | advance                      | an epoch                                                               |
 * | cut                          | a checkpoint's cut and the collection of its picture                   |
 * | chunk N                      | close the chunk of kind N, take another                                |
 * | leave N                      | chunks of kind N until they come from another extent                   |
 * | tree N                       | create another tree, put N keys, free it                               |
 * | clean                        | empty every sealed extent that the cleaner would pick                  |
 * | push N, take N               | hint N to the queue of work; take hints until N were taken by all      |
 * | yield                        | let others go first                                                    |
 */
#ifndef BWT_SCHED_SCRIPT_H
#define BWT_SCHED_SCRIPT_H

#include "tests/sched/sim.h"
#include "tests/support/history.h"

#define SCRIPT_STEPS_MAX 64u

enum script_word {
	SCRIPT_PUT,
	SCRIPT_INS,
	SCRIPT_UPD,
	SCRIPT_DEL,
	SCRIPT_CAS,
	SCRIPT_SYNC,
	SCRIPT_GET,
	SCRIPT_SCAN,
	SCRIPT_SNAP,
	SCRIPT_READ,
	SCRIPT_LOOK,
	SCRIPT_DROP,
	SCRIPT_FIX,
	SCRIPT_FORCE,
	SCRIPT_FIXUP,
	SCRIPT_RECLAIM,
	SCRIPT_ADVANCE,
	SCRIPT_CUT,
	SCRIPT_CHUNK,
	SCRIPT_LEAVE,
	SCRIPT_TREE,
	SCRIPT_YIELD,
	SCRIPT_STABLE,
	SCRIPT_BEGIN,
	SCRIPT_BEGINSER,
	SCRIPT_BEGINRC,
	SCRIPT_TPUT,
	SCRIPT_TDEL,
	SCRIPT_TGET,
	SCRIPT_COMMIT,
	SCRIPT_CLEAN,
	SCRIPT_PUSH,
	SCRIPT_TAKE,
	SCRIPT_SHRINK,
	SCRIPT_ABORT,
	SCRIPT_MARK,
	SCRIPT_BACK,
	SCRIPT_WORDS
};

struct script {
	unsigned count;
	struct script_step {
		enum script_word word;
		unsigned number;
	} step[SCRIPT_STEPS_MAX];
};

/** script_parse - ends the program with a message if the text is wrong; keys it names are set in @keys */
void script_parse(struct script *script, const char *text, bool keys[HISTORY_KEYS]);
/** script_play - as fiber @fiber; what it did goes to @history */
void script_play(const struct script *script, unsigned fiber, struct history *history,
                 const bool keys[HISTORY_KEYS]);
/** script_word - what fiber @fiber is at, or was at last */
enum script_word script_word(unsigned fiber);
/** script_print - as text again */
void script_print(const struct script *script);

#endif
