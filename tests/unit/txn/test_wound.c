/* SPDX-License-Identifier: MIT */
/*
 * test_wound.c - how long others wait for who is in the way, and what becomes of it then
 *
 * Versions are made by hand: an LSN word that is pending, or that refers to a descriptor. Time passes by moving
 * wound.since_ns back, so nothing here depends on how fast the machine is.
 */
#include "txn/wound.h"

#include "base/stats.h"
#include "tests/support/actor.h"
#include "tests/unit/txn/txn_fixture.h"

#define HOUR_NS ((uint64_t)3600 * 1000 * 1000 * 1000)

static struct fixture fixture;
static struct wound wound;

static void set_up(void)
{
	fixture_new(&fixture, BWT_NONE);
	wound = (struct wound){0};
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

static uint64_t wounds(void)
{
	return stats_sum(&fixture.store.stats, STAT_WOUNDS);
}

static enum wound_result look(_Atomic(uint64_t) *own, bool give_way)
{
	enum wound_result result;

	epoch_pin(fixture.slot);
	result = wound_look(&fixture.store, fixture.slot, &wound, own, give_way);
	epoch_unpin(fixture.slot);
	return result;
}

static enum word_state state_of(_Atomic(uint64_t) *word)
{
	return word_state(atomic_load_explicit(word, memory_order_acquire));
}

/* A transaction that is pending, and granted @patience_ns. */
static struct descriptor *victim_new(uint64_t patience_ns)
{
	struct descriptor *victim = NULL;

	CU_ASSERT_EQUAL_FATAL(descriptor_take(&fixture.store.descriptors, patience_ns, 0, &victim),
	                      BWT_OK);
	return victim;
}

static void victim_end(struct descriptor *victim)
{
	atomic_store_explicit(&victim->word, word_make(WORD_ABORTED, 0), memory_order_release);
	gate_enter(fixture.slot);
	descriptor_done(&fixture.store.descriptors, victim);
	gate_leave(fixture.slot);
	epoch_unpin(fixture.slot);
}

/* As the threads of the library do it: the pauses first, each of which means "look again". */
static enum wound_result look_beyond_the_pauses(_Atomic(uint64_t) *own, bool give_way)
{
	while (wound.backoff.round < BACKOFF_ROUNDS_MAX)
		CU_ASSERT_EQUAL(look(own, give_way), WOUND_GONE);
	return look(own, give_way);
}

/* ---- patience ---- */

static void patience_grows_with_size_and_aborts_up_to_a_bound(void)
{
	static const uint64_t writes[] = {1, 2, 64, 1000, 100000, (uint64_t)1 << 30};

	CU_ASSERT_EQUAL(wound_patience(1, 0), PATIENCE_LEAST_NS + PATIENCE_WRITE_NS);
	CU_ASSERT_EQUAL(wound_patience(1, 3), wound_patience(1, 0) * 8);
	CU_ASSERT_EQUAL(wound_patience((uint64_t)1 << 30, 0), PATIENCE_MAX_NS);
	CU_ASSERT_EQUAL(wound_patience(100000, PATIENCE_ABORTS_MAX), PATIENCE_MAX_NS);
	for (unsigned i = 0; i < sizeof writes / sizeof writes[0]; i++)
		for (unsigned aborts = 0; aborts < 100; aborts++) {
			uint64_t patience = wound_patience(writes[i], aborts);

			CU_ASSERT_TRUE(patience <= PATIENCE_MAX_NS);
			CU_ASSERT_TRUE(patience <= wound_patience(writes[i], aborts + 1));
			CU_ASSERT_TRUE(patience <= wound_patience(writes[i] + 1, aborts));
			if (aborts >= PATIENCE_ABORTS_MAX)
				CU_ASSERT_EQUAL(patience,
				                wound_patience(writes[i], PATIENCE_ABORTS_MAX));
		}
}

/* ---- single writes ---- */

static void a_single_write_is_aborted_after_a_bounded_number_of_pauses(void)
{
	_Atomic(uint64_t) own = word_make(WORD_PENDING, 7);

	for (unsigned i = 0; i < BACKOFF_ROUNDS_MAX; i++) {
		CU_ASSERT_EQUAL(look(&own, i % 2 == 0), WOUND_GONE);
		CU_ASSERT_EQUAL(atomic_load(&own), word_make(WORD_PENDING, 7));
		CU_ASSERT_EQUAL(wounds(), 0);
	}
	CU_ASSERT_EQUAL(look(&own, true), WOUND_GONE);
	CU_ASSERT_EQUAL(state_of(&own), WORD_ABORTED);
	CU_ASSERT_EQUAL(wounds(), 1);
	CU_ASSERT_EQUAL(wound.backoff.round, 0); /* the next one is waited for anew */
}

static void what_is_decided_is_left_as_it_is(void)
{
	_Atomic(uint64_t) committed = word_make(WORD_COMMITTED, 7);
	_Atomic(uint64_t) aborted = word_make(WORD_ABORTED, 0);

	for (unsigned i = 0; i < 2 * BACKOFF_ROUNDS_MAX; i++) {
		CU_ASSERT_EQUAL(look(&committed, true), WOUND_GONE);
		CU_ASSERT_EQUAL(look(&aborted, false), WOUND_GONE);
	}
	CU_ASSERT_EQUAL(atomic_load(&committed), word_make(WORD_COMMITTED, 7));
	CU_ASSERT_EQUAL(atomic_load(&aborted), word_make(WORD_ABORTED, 0));
	CU_ASSERT_EQUAL(wounds(), 0);
	CU_ASSERT_EQUAL(wound.backoff.round, 0);
}

/* ---- transactions ---- */

static void a_transaction_is_aborted_when_its_patience_is_over_and_not_before(void)
{
	struct descriptor *victim = victim_new(HOUR_NS);
	_Atomic(uint64_t) own = descriptor_ref(victim);
	uint32_t bell = atomic_load(&victim->bell);

	CU_ASSERT_EQUAL(look_beyond_the_pauses(&own, true), WOUND_WAIT);
	CU_ASSERT_PTR_EQUAL(wound.victim, victim);
	CU_ASSERT_EQUAL(look(&own, true), WOUND_WAIT);
	CU_ASSERT_EQUAL(state_of(&victim->word), WORD_PENDING);
	CU_ASSERT_EQUAL(wounds(), 0);
	atomic_store(&victim->patience_ns, PATIENCE_MAX_NS - 1);
	wound.since_ns -= PATIENCE_MAX_NS;
	CU_ASSERT_EQUAL(look(&own, true), WOUND_GONE);
	CU_ASSERT_EQUAL(state_of(&victim->word), WORD_ABORTED);
	CU_ASSERT_EQUAL(wounds(), 1);
	CU_ASSERT_NOT_EQUAL(atomic_load(&victim->bell), bell);
	CU_ASSERT_EQUAL(atomic_load(&own), descriptor_ref(victim)); /* its owner stamps it */
	victim_end(victim);
}

static void one_that_is_granted_the_most_is_given_way_to_by_who_can(void)
{
	struct descriptor *victim = victim_new(PATIENCE_MAX_NS);
	_Atomic(uint64_t) own = descriptor_ref(victim);

	CU_ASSERT_EQUAL(look_beyond_the_pauses(&own, true), WOUND_WAIT);
	wound.since_ns -= PATIENCE_MAX_NS;
	CU_ASSERT_EQUAL(look(&own, true), WOUND_YIELD);
	CU_ASSERT_EQUAL(state_of(&victim->word), WORD_PENDING);
	CU_ASSERT_EQUAL(look(&own, false), WOUND_GONE); /* a plain write cannot */
	CU_ASSERT_EQUAL(state_of(&victim->word), WORD_ABORTED);
	victim_end(victim);
}

static void another_transaction_is_granted_patience_of_its_own(void)
{
	struct descriptor *first = victim_new(HOUR_NS), *second = victim_new(HOUR_NS);
	_Atomic(uint64_t) own = descriptor_ref(first);

	CU_ASSERT_EQUAL(look_beyond_the_pauses(&own, true), WOUND_WAIT);
	wound.since_ns -= HOUR_NS;
	atomic_store(&own, descriptor_ref(second));
	CU_ASSERT_EQUAL(look(&own, true), WOUND_WAIT);
	CU_ASSERT_PTR_EQUAL(wound.victim, second);
	/* So is the next one in the same slot. */
	wound.since_ns -= HOUR_NS;
	atomic_fetch_add(&second->generation, 1);
	atomic_store(&own, descriptor_ref(second));
	CU_ASSERT_EQUAL(look(&own, true), WOUND_WAIT);
	CU_ASSERT_EQUAL(state_of(&second->word), WORD_PENDING);
	CU_ASSERT_EQUAL(wounds(), 0);
	victim_end(first);
	victim_end(second);
}

/* ---- sleeping ---- */

static void wait_for_it(void *arg)
{
	wound_wait(arg);
}

/* It would sleep for an hour. */
static void who_waits_is_woken_when_it_is_decided(void)
{
	struct descriptor *victim = victim_new(HOUR_NS);
	_Atomic(uint64_t) own = descriptor_ref(victim);
	struct actor sleeper;

	CU_ASSERT_EQUAL(look_beyond_the_pauses(&own, true), WOUND_WAIT);
	actor_start(&sleeper, NULL, wait_for_it, &wound);
	while (atomic_load(&victim->sleepers) == 0)
		sys_yield();
	atomic_store(&victim->word, word_make(WORD_COMMITTED, 7));
	descriptor_ring(victim);
	actor_finish(&sleeper);
	CU_ASSERT_EQUAL(atomic_load(&victim->sleepers), 0);
	CU_ASSERT_EQUAL(look(&own, true), WOUND_GONE);
	CU_ASSERT_EQUAL(wounds(), 0);
	victim_end(victim);
}

static void nobody_sleeps_when_it_was_decided_since_or_patience_is_over(void)
{
	struct descriptor *victim = victim_new(HOUR_NS);
	_Atomic(uint64_t) own = descriptor_ref(victim);

	CU_ASSERT_EQUAL(look_beyond_the_pauses(&own, true), WOUND_WAIT);
	atomic_store(&victim->word, word_make(WORD_COMMITTED, 7));
	descriptor_ring(victim);
	wound_wait(&wound);
	wound.bell = atomic_load(&victim->bell);
	wound.since_ns -= HOUR_NS;
	wound_wait(&wound);
	CU_ASSERT_EQUAL(atomic_load(&victim->sleepers), 0);
	victim_end(victim);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(patience_grows_with_size_and_aborts_up_to_a_bound),
		TEST(a_single_write_is_aborted_after_a_bounded_number_of_pauses),
		TEST(what_is_decided_is_left_as_it_is),
		TEST(a_transaction_is_aborted_when_its_patience_is_over_and_not_before),
		TEST(one_that_is_granted_the_most_is_given_way_to_by_who_can),
		TEST(another_transaction_is_granted_patience_of_its_own),
		TEST(who_waits_is_woken_when_it_is_decided),
		TEST(nobody_sleeps_when_it_was_decided_since_or_patience_is_over),
		CU_TEST_INFO_NULL,
	};

	return suite_run("wound", set_up, tear_down, tests);
}
