/* SPDX-License-Identifier: MIT */
/* test_epoch.c - slots come and go, pins hold back (E1), the gate drains (E2) or gives up (E3) */
#include "mem/epoch.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/support/suite.h"

#define MS 1000000ull

static struct epoch epoch;

static void set_up(void)
{
	CU_ASSERT_EQUAL_FATAL(epoch_init(&epoch), 0);
}

static void tear_down(void)
{
	testpoint_reset();
	epoch_deinit(&epoch);
}

static void pin_and_unpin(void *arg)
{
	struct epoch_slot *slot = epoch_slot(&epoch);

	(void)arg;
	epoch_pin(slot);
	TEST_YIELD("test_pinned");
	epoch_unpin(slot);
}

static void enter_and_leave(void *arg)
{
	struct epoch_slot *slot = epoch_slot(&epoch);

	gate_enter(slot);
	TEST_YIELD("test_inside");
	if (arg != NULL)
		*(unsigned *)arg += 1;
	gate_leave(slot);
	epoch_unpin(slot);
}

static void *take_slot(void *arg)
{
	*(struct epoch_slot **)arg = epoch_slot(&epoch);
	return NULL;
}

/* The slot that a thread of its own got; it has ended. */
static struct epoch_slot *slot_of_a_thread(void)
{
	struct epoch_slot *slot = NULL;
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, take_slot, &slot), 0);
	pthread_join(thread, NULL);
	return slot;
}

/* ---- slots ---- */

static void a_thread_keeps_its_slot(void)
{
	struct epoch_slot *slot = epoch_slot(&epoch);

	CU_ASSERT_PTR_NOT_NULL_FATAL(slot);
	if (slot == NULL) /* what _FATAL does is unknown to the analyser */
		return;
	CU_ASSERT_PTR_EQUAL(epoch_slot(&epoch), slot);
	CU_ASSERT_PTR_EQUAL(epoch_slot_at(&epoch, slot->index), slot);
	CU_ASSERT_PTR_NOT_EQUAL(slot_of_a_thread(), slot);
	CU_ASSERT_FALSE(epoch_pinned(slot));
}

static void thousands_of_threads_need_no_more_slots_than_ran_at_once(void)
{
	struct epoch_slot *mine = epoch_slot(&epoch), *first = slot_of_a_thread();

	first->seen_lsn = 99;
	for (unsigned i = 0; i < (suite_short() ? 200u : 2000u); i++) {
		struct epoch_slot *slot = slot_of_a_thread();

		if (slot != first)
			CU_FAIL_FATAL("an ended thread's slot was not given back");
	}
	CU_ASSERT_EQUAL(atomic_load(&epoch.slot_count), 2);
	CU_ASSERT_EQUAL(first->seen_lsn, 0); /* what the owner before had read is not this one's */
	CU_ASSERT_PTR_EQUAL(epoch_slot(&epoch), mine);
}

static void two_stores_have_slots_of_their_own(void)
{
	struct epoch_slot *mine = epoch_slot(&epoch), *there;
	struct epoch other;

	CU_ASSERT_EQUAL_FATAL(epoch_init(&other), 0);
	there = epoch_slot(&other);
	CU_ASSERT_PTR_NOT_EQUAL(there, mine);
	CU_ASSERT_PTR_EQUAL(there->epoch, &other);
	epoch_pin(there);
	CU_ASSERT_EQUAL(epoch_oldest(&epoch), UINT64_MAX);
	CU_ASSERT_PTR_EQUAL(epoch_slot(&epoch), mine);
	CU_ASSERT_PTR_EQUAL(epoch_slot(&other), there);
	epoch_unpin(there);
	epoch_deinit(&other);
	/* A new store at the old one's address is another store. */
	CU_ASSERT_EQUAL_FATAL(epoch_init(&other), 0);
	CU_ASSERT_PTR_EQUAL(epoch_slot(&other)->epoch, &other);
	CU_ASSERT_EQUAL(epoch_slot(&other)->index, 0);
	epoch_deinit(&other);
}

/* This thread forgets its slot, which stays taken. */
static void forget_slot(void)
{
	CU_ASSERT_EQUAL_FATAL(sys_tls_set(epoch.tls, NULL), 0);
	epoch_cache.serial = 0;
}

static void one_thread_too_many_gets_no_slot(void)
{
	struct epoch_slot *slot = NULL;

	for (unsigned i = 0; i < EPOCH_SLOTS_MAX; i++) {
		forget_slot();
		slot = epoch_slot(&epoch);
		if (slot == NULL || slot->index != i)
			CU_FAIL_FATAL("slots are not handed out in order");
	}
	forget_slot();
	CU_ASSERT_PTR_NULL(epoch_slot(&epoch));
	atomic_store(&epoch_slot_at(&epoch, 4000)->taken, 0);
	slot = epoch_slot(&epoch);
	CU_ASSERT_PTR_EQUAL(slot, epoch_slot_at(&epoch, 4000));
}

static void a_slot_that_the_end_of_the_thread_would_not_give_back_is_not_taken(void)
{
	testpoint_set("epoch_no_memory", 1, NULL, NULL);
	CU_ASSERT_PTR_NULL(epoch_slot(&epoch));
	CU_ASSERT_EQUAL(atomic_load(&epoch_slot_at(&epoch, 0)->taken), 0);
	CU_ASSERT_EQUAL(epoch_slot(&epoch)->index, 0);
}

/* ---- E1: pins ---- */

static void nobody_pinned_holds_back_nothing(void)
{
	uint64_t ended = epoch_advance(&epoch);

	CU_ASSERT_EQUAL(epoch_advance(&epoch), ended + 1);
	CU_ASSERT_EQUAL(epoch_oldest(&epoch), UINT64_MAX);
}

/* What is unlinked while a thread is pinned waits for that thread; true if it does. */
static bool a_pin_holds_back(void)
{
	struct actor reader;
	uint64_t died;
	bool held;

	actor_start(&reader, "test_pinned", pin_and_unpin, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&reader));
	died = epoch_advance(&epoch);
	held = died >= epoch_oldest(&epoch);
	actor_finish(&reader);
	CU_ASSERT_TRUE(died < epoch_oldest(&epoch));
	return held;
}

static void what_died_under_a_pin_waits_for_it(void)
{
	CU_ASSERT_TRUE(a_pin_holds_back());
}

static void a_reclaimer_that_overlooks_pins_is_noticed(void)
{
	testpoint_set("epoch_pins_unseen", 0, NULL, NULL);
	CU_ASSERT_FALSE(a_pin_holds_back());
}

static void a_pin_holds_back_nothing_that_died_before_it(void)
{
	uint64_t died = epoch_advance(&epoch);
	struct epoch_slot *slot = epoch_slot(&epoch);

	epoch_pin(slot);
	CU_ASSERT_TRUE(died < epoch_oldest(&epoch));
	CU_ASSERT_FALSE(epoch_advance(&epoch) < epoch_oldest(&epoch));
	epoch_unpin(slot);
}

static void the_oldest_of_many_pins_counts(void)
{
	struct epoch_slot *slot = epoch_slot(&epoch);
	struct actor readers[3];

	for (unsigned i = 0; i < 3; i++) {
		actor_start(&readers[i], "test_pinned", pin_and_unpin, NULL);
		CU_ASSERT_TRUE_FATAL(actor_await(&readers[i]));
		epoch_advance(&epoch);
	}
	epoch_pin(slot);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(epoch_oldest(&epoch), 1 + i);
		actor_finish(&readers[i]);
	}
	CU_ASSERT_EQUAL(epoch_oldest(&epoch), 4);
	epoch_unpin(slot);
}

/* ---- E2, E3: the gate ---- */

static void an_empty_gate_closes_and_opens(void)
{
	struct epoch_slot *slot = epoch_slot(&epoch);

	gate_enter(slot);
	CU_ASSERT_TRUE(epoch_in_gate(slot));
	CU_ASSERT_TRUE(epoch_pinned(slot));
	gate_leave(slot);
	CU_ASSERT_FALSE(epoch_in_gate(slot));
	CU_ASSERT_TRUE(epoch_pinned(slot)); /* leaving the gate is not unpinning */
	CU_ASSERT_TRUE(gate_close(&epoch, MS));
	CU_ASSERT_FALSE(gate_try_enter(slot));
	CU_ASSERT_TRUE(epoch_pinned(slot));
	CU_ASSERT_FALSE(epoch_in_gate(slot));
	gate_open(&epoch);
	CU_ASSERT_TRUE(gate_try_enter(slot));
	gate_leave(slot);
	epoch_unpin(slot);
}

static void a_pinned_thread_does_not_keep_the_gate_from_closing(void)
{
	struct actor reader;

	actor_start(&reader, "test_pinned", pin_and_unpin, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&reader));
	CU_ASSERT_TRUE(gate_close(&epoch, MS));
	gate_open(&epoch);
	actor_finish(&reader);
}

/* A thread stands inside; does the closer give up, and is the gate open again then? */
static bool a_stopped_thread_is_respected(void)
{
	struct epoch_slot *slot = epoch_slot(&epoch);
	struct actor writer;
	bool closed, open;

	actor_start(&writer, "test_inside", enter_and_leave, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	closed = gate_close(&epoch, 2 * MS);
	epoch_pin(slot);
	open = gate_try_enter(slot);
	if (open)
		gate_leave(slot);
	epoch_unpin(slot);
	gate_open(&epoch);
	actor_finish(&writer);
	return !closed && open;
}

static void a_thread_that_stays_inside_makes_the_closer_give_up(void)
{
	CU_ASSERT_TRUE(a_stopped_thread_is_respected());
	CU_ASSERT_TRUE(gate_close(&epoch, 1000 * MS));
	gate_open(&epoch);
}

static void a_closer_that_does_not_drain_is_noticed(void)
{
	testpoint_set("gate_no_drain", 0, NULL, NULL);
	CU_ASSERT_FALSE(a_stopped_thread_is_respected());
}

static void entering_waits_until_the_gate_is_open(void)
{
	struct actor writer;
	unsigned entered = 0;
	struct timespec moment = {0, 5 * (long)MS};
	bool early;

	CU_ASSERT_TRUE_FATAL(gate_close(&epoch, MS));
	actor_start(&writer, NULL, enter_and_leave, &entered);
	nanosleep(&moment, NULL);
	early = sem_trywait(&writer.arrived) == 0; /* it has come to its end */
	if (early)
		sem_post(&writer.arrived);
	CU_ASSERT_FALSE(gate_open(&epoch) && early);
	actor_finish(&writer);
	CU_ASSERT_EQUAL(entered, 1);
}

static void a_closer_that_was_stopped_is_opened_for_and_told_so(void)
{
	struct epoch_slot *slot = epoch_slot(&epoch);
	uint64_t begin = sys_now_ns();

	CU_ASSERT_TRUE_FATAL(gate_close(&epoch, MS));
	gate_enter(slot); /* nobody opens it: this thread does, when its patience is over */
	CU_ASSERT_TRUE(sys_now_ns() - begin >= GATE_PATIENCE_NS);
	gate_leave(slot);
	epoch_unpin(slot);
	CU_ASSERT_FALSE(gate_open(&epoch));
	CU_ASSERT_TRUE_FATAL(gate_close(&epoch, MS)); /* and the next closing is as good as any */
	CU_ASSERT_TRUE(gate_open(&epoch));
}

/* Writers change a plain number inside the gate; a closer reads it twice while it is closed. */
struct crowd {
	pthread_mutex_t lock; /* among the writers */
	uint64_t changes;
	_Atomic(bool) stop;
};

static void *write_inside(void *arg)
{
	struct crowd *crowd = arg;
	struct epoch_slot *slot = epoch_slot(&epoch);

	while (!atomic_load(&crowd->stop)) {
		pthread_mutex_lock(&crowd->lock);
		gate_enter(slot);
		crowd->changes++;
		gate_leave(slot);
		epoch_unpin(slot);
		pthread_mutex_unlock(&crowd->lock);
	}
	return NULL;
}

static void nobody_is_inside_a_closed_gate(void)
{
	struct crowd crowd = {.lock = PTHREAD_MUTEX_INITIALIZER};
	unsigned rounds = suite_short() ? 200 : 3000, closed = 0;
	pthread_t writers[3];

	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&writers[i], NULL, write_inside, &crowd), 0);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t before;
		bool changed;

		if (!gate_close(&epoch, 100 * MS))
			continue;
		closed++;
		before = *(volatile uint64_t *)&crowd.changes;
		for (unsigned spin = 0; spin < 100; spin++)
			cpu_relax();
		changed = *(volatile uint64_t *)&crowd.changes != before;
		if (gate_open(&epoch) && changed)
			CU_FAIL("a change inside a closed gate");
	}
	atomic_store(&crowd.stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(writers[i], NULL);
	CU_ASSERT_TRUE(closed > 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_thread_keeps_its_slot),
		TEST(thousands_of_threads_need_no_more_slots_than_ran_at_once),
		TEST(two_stores_have_slots_of_their_own),
		TEST(one_thread_too_many_gets_no_slot),
		TEST(a_slot_that_the_end_of_the_thread_would_not_give_back_is_not_taken),
		TEST(nobody_pinned_holds_back_nothing),
		TEST(what_died_under_a_pin_waits_for_it),
		TEST(a_reclaimer_that_overlooks_pins_is_noticed),
		TEST(a_pin_holds_back_nothing_that_died_before_it),
		TEST(the_oldest_of_many_pins_counts),
		TEST(an_empty_gate_closes_and_opens),
		TEST(a_pinned_thread_does_not_keep_the_gate_from_closing),
		TEST(a_thread_that_stays_inside_makes_the_closer_give_up),
		TEST(a_closer_that_does_not_drain_is_noticed),
		TEST(entering_waits_until_the_gate_is_open),
		TEST(a_closer_that_was_stopped_is_opened_for_and_told_so),
		TEST(nobody_is_inside_a_closed_gate),
		CU_TEST_INFO_NULL,
	};

	return suite_run("epoch", set_up, tear_down, tests);
}
