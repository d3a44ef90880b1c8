/* SPDX-License-Identifier: MIT */
/* torture_trail.c - steps, their keys and values, and finding them again */
#include "tools/torture_trail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Source: S. Vigna, "splitmix64", 2015. */
static uint64_t random_word(uint64_t *state)
{
	uint64_t word = *state += 0x9e3779b97f4a7c15u;

	word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
	word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
	return word ^ (word >> 31);
}

static uint64_t seed_step(unsigned writer, uint64_t step)
{
	return ((uint64_t)writer << 48) + step;
}

struct trail_step trail_step(unsigned writer, uint64_t step)
{
	uint64_t state = seed_step(writer, step), word = random_word(&state);

	return (struct trail_step){(unsigned)(word % TRAIL_KEYS), (word >> 32) % 4 != 0};
}

bool trail_group_ends(unsigned writer, uint64_t step)
{
	uint64_t state = seed_step(writer, step);

	(void)random_word(&state);
	return random_word(&state) % 2 == 0;
}

struct bwt_slice trail_key(unsigned writer, unsigned key, uint8_t *room)
{
	int size = snprintf((char *)room, TRAIL_KEY_SIZE_MAX, "writer %u, key %u", writer, key);

	if (key % 8 == 7) { /* some long ones */
		memset(room + size, 'k', 500);
		size += 500;
	}
	return (struct bwt_slice){room, (size_t)size};
}

struct bwt_slice trail_value(unsigned writer, uint64_t step, uint8_t *room)
{
	uint64_t state = seed_step(writer, ~step), kind = random_word(&state) % 40;
	size_t most = kind == 0 ? TRAIL_VALUE_MAX - 16 : kind < 4 ? 6000 : 150;
	size_t size = 16 + random_word(&state) % most;

	for (size_t at = 0; at < size; at += sizeof state) {
		uint64_t word = random_word(&state);

		memcpy(room + at, &word, size - at < sizeof word ? size - at : sizeof word);
	}
	memcpy(room, &step, sizeof step);
	memcpy(room + 8, &writer, sizeof writer);
	return (struct bwt_slice){room, size};
}

void trail_advance(unsigned writer, struct trail_state *state)
{
	struct trail_step what = trail_step(writer, ++state->step);

	state->put_by[what.key] = what.put ? state->step : 0;
}

int trail_do(struct bwt_tree *tree, struct bwt_txn *txn, unsigned writer, uint64_t step, uint8_t *room)
{
	struct trail_step what = trail_step(writer, step);
	uint8_t key_room[TRAIL_KEY_SIZE_MAX];
	struct bwt_slice key = trail_key(writer, what.key, key_room);
	int rc;

	if (what.put)
		return bwt_put(tree, txn, key, trail_value(writer, step, room), 0);
	rc = bwt_delete(tree, txn, key);
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

/* Which step put what is under the key, 0: it is absent. False: a value that no step puts. */
static bool read_key(struct bwt_tree *tree, unsigned writer, unsigned key, uint64_t *put_by,
                     char why[200])
{
	static uint8_t room[TRAIL_VALUE_MAX];
	uint8_t key_room[TRAIL_KEY_SIZE_MAX];
	struct bwt_buf buf = {NULL, 0, 0};
	struct bwt_slice expected;
	int rc = bwt_get(tree, NULL, trail_key(writer, key, key_room), &buf);
	bool good = true;

	*put_by = 0;
	if (rc == BWT_OK && buf.size >= 16) {
		memcpy(put_by, buf.data, sizeof *put_by);
		expected = trail_value(writer, *put_by, room);
		good = *put_by != 0 && trail_step(writer, *put_by).key == key &&
		       trail_step(writer, *put_by).put && buf.size == expected.size &&
		       memcmp(buf.data, expected.data, buf.size) == 0;
		if (!good)
			snprintf(why, 200, "key %u of writer %u has bytes that nobody put", key,
			         writer);
	} else if (rc != BWT_NOT_FOUND) {
		good = false;
		snprintf(why, 200, "key %u of writer %u: %d, %zu bytes: %s", key, writer, rc,
		         buf.size, bwt_detail());
	}
	bwt_buf_free(&buf);
	return good;
}

bool trail_match(struct bwt_tree *tree, unsigned writer, struct trail_state *state, uint64_t begun,
                 char why[200])
{
	uint64_t put_by[TRAIL_KEYS];
	unsigned differing = 0, odd = 0;
	uint64_t from = state->step;

	for (unsigned key = 0; key < TRAIL_KEYS; key++) {
		if (!read_key(tree, writer, key, &put_by[key], why))
			return false;
		differing += put_by[key] != state->put_by[key];
	}
	while (differing != 0 && state->step < begun) {
		unsigned key = trail_step(writer, state->step + 1).key;

		differing -= put_by[key] != state->put_by[key];
		trail_advance(writer, state);
		differing += put_by[key] != state->put_by[key];
	}
	if (differing == 0)
		return true;
	while (put_by[odd] == state->put_by[odd])
		odd++;
	snprintf(why, 200,
	         "writer %u: no step from %" PRIu64 " to %" PRIu64
	         " leaves this: key %u was put by step %" PRIu64 ", not %" PRIu64,
	         writer, from, begun, odd, put_by[odd], state->put_by[odd]);
	return false;
}
