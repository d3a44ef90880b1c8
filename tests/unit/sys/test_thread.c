/* SPDX-License-Identifier: MIT */
/* test_thread.c - threads, parking, time, chance and events */
#include "sys/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bwt.h"
#include "sys/file.h"
#include "tests/support/suite.h"
#include "tests/unit/sys/child.h"

#define MS 1000000u
#define SLEEPERS 4

static _Atomic(uint32_t) word, arrived, woken;

static void set_up(void)
{
	atomic_store_explicit(&word, 0, memory_order_relaxed);
	atomic_store_explicit(&arrived, 0, memory_order_relaxed);
	atomic_store_explicit(&woken, 0, memory_order_relaxed);
}

static uint32_t load(_Atomic(uint32_t) *from)
{
	return atomic_load_explicit(from, memory_order_acquire);
}

static void note_name_and_mask(void *ctx)
{
	char *name = ctx;
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	pthread_getname_np(pthread_self(), name, 16);
	if (!sigismember(&mask, SIGTERM) || !sigismember(&mask, SIGALRM) ||
	    !sigismember(&mask, SIGUSR1) || sigismember(&mask, SIGBUS) || sigismember(&mask, SIGSEGV))
		snprintf(name, 16, "wrong mask");
}

static void a_thread_runs_under_its_name_without_the_programs_signals(void)
{
	struct sys_thread *thread;
	char name[16] = "";
	sigset_t mask;

	CU_ASSERT_EQUAL_FATAL(sys_thread_start(note_name_and_mask, name, "bwt-worker", &thread),
	                      BWT_OK);
	sys_thread_join(thread);
	CU_ASSERT_STRING_EQUAL(name, "bwt-worker");
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	CU_ASSERT_FALSE(sigismember(&mask, SIGTERM));
}

static void a_name_that_is_too_long_is_cut(void)
{
	struct sys_thread *thread;
	char name[16] = "";

	CU_ASSERT_EQUAL_FATAL(
		sys_thread_start(note_name_and_mask, name, "bwt-0123456789-worker", &thread), BWT_OK);
	sys_thread_join(thread);
	CU_ASSERT_STRING_EQUAL(name, "bwt-0123456789-");
}

static void start_where_threads_are_forbidden(void)
{
	struct sys_thread *thread;

	child_forbid(SYS_clone, EAGAIN);
	child_forbid(SYS_clone3, EAGAIN);
	CHILD_CHECK(sys_thread_start(note_name_and_mask, NULL, "w", &thread) == -EAGAIN);
	CHILD_CHECK(strstr(bwt_detail(), "start thread w") != NULL);
}

static void a_thread_that_cannot_start_is_reported(void)
{
	CU_ASSERT_TRUE(child_passes(start_where_threads_are_forbidden));
}

static void parking_on_a_changed_word_returns_at_once(void)
{
	CU_ASSERT_TRUE(sys_park(&word, 1, 0));
	CU_ASSERT_TRUE(sys_park(&word, UINT32_MAX, UINT64_MAX));
}

static void parking_ends_when_its_time_is_over(void)
{
	uint64_t begin = sys_now_ns();

	CU_ASSERT_FALSE(sys_park(&word, 0, 20 * MS));
	CU_ASSERT_TRUE(sys_now_ns() - begin >= 20 * MS);
	CU_ASSERT_FALSE(sys_park(&word, 0, 1));
}

static void waking_without_sleepers_does_nothing(void)
{
	sys_wake(&word, 0);
	sys_wake(&word, 1);
	sys_wake(&word, UINT_MAX);
}

/* Counts itself in, sleeps until the word is 1, counts itself out. */
static void sleep_until_one(void *ctx)
{
	(void)ctx;
	atomic_fetch_add_explicit(&arrived, 1, memory_order_release);
	while (load(&word) == 0)
		sys_park(&word, 0, 0);
	atomic_fetch_add_explicit(&woken, 1, memory_order_release);
}

static void waking_all_wakes_all(void)
{
	struct sys_thread *threads[SLEEPERS];

	for (unsigned i = 0; i < SLEEPERS; i++)
		CU_ASSERT_EQUAL_FATAL(sys_thread_start(sleep_until_one, NULL, "s", &threads[i]),
		                      BWT_OK);
	while (load(&arrived) < SLEEPERS)
		sys_yield();
	usleep(5000); /* so that most of them do sleep */
	CU_ASSERT_EQUAL(load(&woken), 0);
	atomic_store_explicit(&word, 1, memory_order_release);
	sys_wake(&word, UINT_MAX);
	for (unsigned i = 0; i < SLEEPERS; i++)
		sys_thread_join(threads[i]);
	CU_ASSERT_EQUAL(load(&woken), SLEEPERS);
}

/* Sleeps once, for ten seconds at most; counts itself out only if it was woken. */
static void sleep_once(void *ctx)
{
	(void)ctx;
	atomic_fetch_add_explicit(&arrived, 1, memory_order_release);
	if (sys_park(&word, 0, (uint64_t)10000 * MS))
		atomic_fetch_add_explicit(&woken, 1, memory_order_release);
}

static void waking_one_wakes_one(void)
{
	struct sys_thread *threads[SLEEPERS];

	for (unsigned i = 0; i < SLEEPERS; i++)
		CU_ASSERT_EQUAL_FATAL(sys_thread_start(sleep_once, NULL, "s", &threads[i]), BWT_OK);
	while (load(&arrived) < SLEEPERS)
		sys_yield();
	usleep(50000); /* the word never changes: all must be asleep before the first wake */
	for (unsigned i = 1; i <= SLEEPERS; i++) {
		uint64_t begin = sys_now_ns();

		sys_wake(&word, 1);
		while (load(&woken) < i && sys_now_ns() - begin < (uint64_t)5000 * MS)
			sys_yield();
		usleep(2000); /* time for one too many to come out */
		CU_ASSERT_EQUAL(load(&woken), i);
	}
	for (unsigned i = 0; i < SLEEPERS; i++)
		sys_thread_join(threads[i]);
}

#define HANDOVERS 20000u
static uint64_t plain_counter; /* handed to and fro with the word, never touched by both */

static void hand_over(uint32_t mine)
{
	unsigned count = suite_short() ? HANDOVERS / 10 : HANDOVERS;

	for (unsigned i = 0; i < count; i++) {
		uint32_t seen;

		while ((seen = load(&word)) % 2 != mine)
			sys_park(&word, seen, 0);
		plain_counter++;
		atomic_store_explicit(&word, seen + 1, memory_order_release);
		sys_wake(&word, 1);
	}
}

static void hand_over_odd(void *ctx)
{
	(void)ctx;
	hand_over(1);
}

static void no_wake_is_lost_between_two_threads(void)
{
	struct sys_thread *thread;

	plain_counter = 0;
	CU_ASSERT_EQUAL_FATAL(sys_thread_start(hand_over_odd, NULL, "odd", &thread), BWT_OK);
	hand_over(0);
	sys_thread_join(thread);
	CU_ASSERT_EQUAL(plain_counter, 2 * (suite_short() ? HANDOVERS / 10 : HANDOVERS));
}

static void clocks_go_forward_from_a_plausible_date(void)
{
	uint64_t first = sys_now_ns(), second;

	usleep(2000);
	second = sys_now_ns();
	CU_ASSERT_TRUE(second - first >= 2 * MS);
	CU_ASSERT_TRUE(second - first < (uint64_t)60000 * MS);
	CU_ASSERT_TRUE(sys_wall_ns() / 1000000000u > 1600000000u); /* September 2020 */
}

static void draw_where_it_is_forbidden(void)
{
	uint8_t byte;

	child_forbid(SYS_getrandom, ENOSYS);
	CHILD_CHECK(sys_random(&byte, 1) == -ENOSYS);
	CHILD_CHECK(sys_random(&byte, 0) == BWT_OK);
}

static void random_bytes_differ_and_cover_the_whole_range(void)
{
	uint8_t bytes[2][1000] = {{0}, {0}};
	unsigned zero = 0;

	CU_ASSERT_EQUAL(sys_random(bytes[0], sizeof bytes[0]), BWT_OK);
	CU_ASSERT_EQUAL(sys_random(bytes[1], sizeof bytes[1]), BWT_OK);
	CU_ASSERT_NOT_EQUAL(memcmp(bytes[0], bytes[1], sizeof bytes[0]), 0);
	for (unsigned i = 0; i < sizeof bytes[0]; i++)
		zero += bytes[0][i] == 0;
	CU_ASSERT_TRUE(zero < 100); /* four are expected */
	CU_ASSERT_TRUE(child_passes(draw_where_it_is_forbidden));
}

static bool readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static void an_event_makes_its_descriptor_readable_until_it_is_read(void)
{
	uint64_t count = 0;
	int fd;

	CU_ASSERT_EQUAL_FATAL(sys_eventfd_new(&fd), BWT_OK);
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CU_ASSERT_FALSE(readable(fd));
	CU_ASSERT_EQUAL(read(fd, &count, sizeof count), -1);
	CU_ASSERT_EQUAL(errno, EAGAIN);
	sys_eventfd_signal(fd);
	sys_eventfd_signal(fd);
	CU_ASSERT_TRUE(readable(fd));
	CU_ASSERT_EQUAL(read(fd, &count, sizeof count), sizeof count);
	CU_ASSERT_EQUAL(count, 2);
	CU_ASSERT_FALSE(readable(fd));
	count = UINT64_MAX - 1; /* the most it holds */
	CU_ASSERT_EQUAL(write(fd, &count, sizeof count), sizeof count);
	sys_eventfd_signal(fd); /* does not wait */
	CU_ASSERT_TRUE(readable(fd));
	sys_eventfd_clear(fd);
	CU_ASSERT_FALSE(readable(fd));
	sys_eventfd_clear(fd); /* nor does this */
	sys_file_close(fd);
}

static void open_where_it_is_forbidden(void)
{
	int fd;

	child_forbid(SYS_eventfd2, EMFILE);
	CHILD_CHECK(sys_eventfd_new(&fd) == -EMFILE);
	CHILD_CHECK(strstr(bwt_detail(), "event descriptor") != NULL);
}

static void an_event_that_cannot_be_made_is_reported(void)
{
	CU_ASSERT_TRUE(child_passes(open_where_it_is_forbidden));
}

/* ---- numbers ---- */

static void *thread_id(void *id)
{
	*(uint32_t *)id = sys_thread_id();
	return NULL;
}

static void every_thread_has_the_systems_number(void)
{
	uint32_t other = 0;
	pthread_t thread;

	CU_ASSERT_EQUAL(sys_thread_id(), (uint32_t)syscall(SYS_gettid));
	CU_ASSERT_EQUAL(sys_thread_id(), (uint32_t)syscall(SYS_gettid));
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, thread_id, &other), 0);
	pthread_join(thread, NULL);
	CU_ASSERT_NOT_EQUAL(other, 0);
	CU_ASSERT_NOT_EQUAL(other, sys_thread_id());
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_thread_runs_under_its_name_without_the_programs_signals),
		TEST(a_name_that_is_too_long_is_cut),
		TEST(a_thread_that_cannot_start_is_reported),
		TEST(parking_on_a_changed_word_returns_at_once),
		TEST(parking_ends_when_its_time_is_over),
		TEST(waking_without_sleepers_does_nothing),
		TEST(waking_all_wakes_all),
		TEST(waking_one_wakes_one),
		TEST(no_wake_is_lost_between_two_threads),
		TEST(clocks_go_forward_from_a_plausible_date),
		TEST(every_thread_has_the_systems_number),
		TEST(random_bytes_differ_and_cover_the_whole_range),
		TEST(an_event_makes_its_descriptor_readable_until_it_is_read),
		TEST(an_event_that_cannot_be_made_is_reported),
		CU_TEST_INFO_NULL,
	};
	return suite_run("thread", set_up, NULL, tests);
}
