/* SPDX-License-Identifier: MIT */
/* torture_check.c - what a store holds after a crash, compared with what its writers said */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/torture_work.h"

#define BUSY_TRIES 200u /* of 10 ms: a killed process may hold the lock for an instant longer */
#define DELETES_IN_A_ROW                                                                           \
	100u /* steps that may follow the newest put that is there; each is one with 1/4 */

double torture_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

bool torture_note(struct torture *torture, const char *line)
{
	char word[16];
	unsigned writer;
	uint64_t step;

	if (sscanf(line, "%15s %u %" SCNu64, word, &writer, &step) != 3 || writer >= torture->writers)
		return false;
	if (strcmp(word, "begin") == 0)
		torture->known[writer].begun = step;
	else if (strcmp(word, "ack") == 0)
		torture->known[writer].durable = step;
	else
		return strcmp(word, "refused") == 0;
	return true;
}

static void report(void *ctx, const struct bwt_finding *finding)
{
	char *why = ctx;

	if (finding->severity != BWT_NOTE && why[0] == '\0')
		snprintf(why, 400, "verification: %s, offset %" PRIu64 ", page %" PRIu64 ": %s",
		         finding->file != NULL ? finding->file : "", finding->offset, finding->page,
		         finding->text);
}

/* Nothing was ever acknowledged: the crash may have come before there was a store. */
static bool may_be_absent(const struct torture *torture)
{
	for (unsigned i = 0; i < torture->writers; i++)
		if (torture->known[i].durable != 0)
			return false;
	return true;
}

static bool absent(const struct torture *torture, int rc)
{
	return may_be_absent(torture) && (rc == -ENOENT || rc == BWT_INVALID);
}

static bool failed(char why[400], const char *what, int rc)
{
	if (why[0] == '\0')
		snprintf(why, 400, "%s: %s: %s", what, bwt_strerror(rc), bwt_detail());
	return false;
}

static int open_patiently(const struct torture *torture, unsigned flags, struct bwt_db **db)
{
	const struct bwt_options options = {.flags = flags, .worker_count = (unsigned)BWT_OFF};
	int rc = BWT_BUSY;

	for (unsigned i = 0; rc == BWT_BUSY && i < BUSY_TRIES; i++) {
		rc = bwt_open(torture->store, &options, db);
		if (rc == BWT_BUSY)
			usleep(10000);
	}
	return rc;
}

/* The newest put that is there, of those whose value has its shape. */
static uint64_t newest_put(struct bwt_tree *tree, unsigned writer)
{
	struct bwt_buf buf = {NULL, 0, 0};
	uint64_t newest = 0, step;

	for (unsigned key = 0; key < TRAIL_KEYS; key++) {
		uint8_t room[TRAIL_KEY_SIZE_MAX];

		if (bwt_get(tree, NULL, trail_key(writer, key, room), &buf) != BWT_OK ||
		    buf.size < sizeof step)
			continue;
		memcpy(&step, buf.data, sizeof step);
		newest = step > newest ? step : newest;
	}
	bwt_buf_free(&buf);
	return newest;
}

/* As after the end of some group, from what is durable to what was begun. */
static bool match(struct bwt_tree *tree, unsigned writer, struct torture_known *known, char why[400])
{
	struct trail_state state = known->state;
	uint64_t begun = known->begun;

	if (begun == TORTURE_UNKNOWN)
		begun = newest_put(tree, writer) + DELETES_IN_A_ROW;
	while (state.step < known->durable)
		trail_advance(writer, &state);
	for (;;) {
		if (!trail_match(tree, writer, &state, begun, why))
			return false;
		if (state.step == 0 || trail_group_ends(writer, state.step))
			break;
		/* A delete of what was absent leaves no trace: the next step may look the same. */
		if (state.step >= begun) {
			snprintf(why, 400,
			         "writer %u: a transaction is there in part, up to step %" PRIu64,
			         writer, state.step);
			return false;
		}
		trail_advance(writer, &state);
	}
	known->state = state;
	return true;
}

static bool match_all(struct torture *torture, struct bwt_db *db, char why[400])
{
	uint64_t present = 0, walked = 0, count = 0;
	struct bwt_cursor *cursor;
	struct bwt_tree *tree;
	int rc = bwt_tree_open(db, NULL, 0, &tree);

	if (rc != BWT_OK)
		return failed(why, "the main tree", rc);
	for (unsigned i = 0; i < torture->writers; i++) {
		if (!match(tree, i, &torture->known[i], why))
			return false;
		for (unsigned key = 0; key < TRAIL_KEYS; key++)
			present += torture->known[i].state.put_by[key] != 0;
	}
	rc = bwt_cursor_open(tree, NULL, &cursor);
	if (rc != BWT_OK)
		return failed(why, "a cursor", rc);
	while ((rc = bwt_cursor_next(cursor)) == BWT_OK)
		walked++;
	bwt_cursor_close(cursor);
	if (rc != BWT_NOT_FOUND)
		return failed(why, "reading in order", rc);
	rc = bwt_count(tree, &count);
	if (rc != BWT_OK || count != present || walked != present) {
		snprintf(why, 400,
		         "%" PRIu64 " keys are there, a cursor finds %" PRIu64
		         ", the count is %" PRIu64,
		         present, walked, count);
		return false;
	}
	return true;
}

static bool verify(const struct torture *torture, char why[400])
{
	int rc = BWT_BUSY;

	for (unsigned i = 0; rc == BWT_BUSY && i < BUSY_TRIES; i++) {
		why[0] = '\0';
		rc = bwt_verify(torture->store, 0, report, why);
		if (rc == BWT_BUSY)
			usleep(10000);
	}
	if (absent(torture, rc)) {
		why[0] = '\0';
		return true;
	}
	return rc == BWT_OK ? why[0] == '\0' : failed(why, "verification", rc);
}

static bool open_and_match(struct torture *torture, unsigned flags, char why[400])
{
	struct bwt_db *db;
	int rc = open_patiently(torture, flags, &db);
	bool good;

	if (rc != BWT_OK)
		return absent(torture, rc) ? true : failed(why, "opening", rc);
	good = match_all(torture, db, why);
	rc = bwt_close(db);
	return good && rc != BWT_OK ? failed(why, "closing", rc) : good;
}

bool torture_check(struct torture *torture, uint64_t round, char why[400])
{
	bool good = true;

	why[0] = '\0';
	if (round % 2 == 0)
		good = verify(torture, why);
	if (good && round % 4 < 2)
		good = open_and_match(torture, BWT_RDONLY, why);
	if (good)
		good = open_and_match(torture, may_be_absent(torture) ? BWT_CREATE : 0, why);
	for (unsigned i = 0; good && i < torture->writers; i++)
		torture->known[i].durable = torture->known[i].begun = torture->known[i].state.step;
	return good;
}
