/* SPDX-License-Identifier: MIT */
/*
 * torture_work.h - writers that say what they begin and what is durable, and the check of what is there
 *
 * A writer does its steps (torture_trail.h) in groups: one step alone, or several in a transaction. A line for each
 * group goes to a file descriptor before and after it:
 *
 *   begin WRITER STEP     the group that ends with this step is about to be done
 *   ack WRITER STEP       all steps up to this one are durable
 *   refused WRITER STEP CODE WORDS    the store said no; the writer stops
 *
 * After a crash the store has to hold, of each writer, the steps up to the end of some group: none below
 * the last "ack", none above the last "begin".
 */
#ifndef BWT_TOOLS_TORTURE_WORK_H
#define BWT_TOOLS_TORTURE_WORK_H

#include "tools/torture_trail.h"

#define TORTURE_WRITERS_MAX 16u
#define TORTURE_LINE_MAX 300u /* of the lines above, below PIPE_BUF: each is written whole */
#define TORTURE_UNKNOWN UINT64_MAX

/** Exit statuses of work; every other one is a failure. */
#define TORTURE_ENDED 0
#define TORTURE_REFUSED 3 /* the store said no, and kept to it */

struct torture_known {            /* of one writer */
	struct trail_state state; /* that the store was in when it was last checked */
	uint64_t durable;
	uint64_t begun; /* TORTURE_UNKNOWN: nobody wrote it down */
};

struct torture {
	char store[4096];
	uint64_t seed; /* of options and of the moments of checkpoints */
	unsigned writers;
	bool catch_sigbus;
	bool plain; /* no io_uring */
	struct torture_known known[TORTURE_WRITERS_MAX];
};

/**
 * torture_work - open or create the store, and write
 * @seconds: then it closes the store and returns; 0: never
 * @steps:   of each writer, then the same; 0: no limit
 * @out_fd:  gets the lines
 * Returns:  an exit status; words about a failure went to standard error
 */
int torture_work(const struct torture *torture, double seconds, uint64_t steps, int out_fd);

/** torture_note - what a line says; false: it is not one of the above */
bool torture_note(struct torture *torture, const char *line);

/**
 * torture_check - recover the store, verify all of it, and find out which steps it holds
 * @round:   varies how it is opened
 * @why:     out, on false: what is wrong, 400 bytes
 * Returns:  true: it is as it may be; known[].state says as after which steps, and so do durable and begun
 */
bool torture_check(struct torture *torture, uint64_t round, char why[400]);

/** torture_seconds - of a clock that only goes on */
double torture_seconds(void);

#endif
