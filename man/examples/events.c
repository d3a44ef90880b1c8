/* SPDX-License-Identifier: MIT */
/*
 * events.c - an event loop that never waits for the disk: commits now, answers when they are durable
 *
 *   events STORE
 *
 * A timer stands for the requests that a server would read from its sockets. Each is committed at once and
 * remembered with its LSN; the store's eventfd says when durable_lsn has moved, and then all that it covers are
 * answered.
 */
#include <bwt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define REQUESTS 200u

static struct bwt_db *db;
static struct bwt_tree *tree;
static bwt_lsn waiting[REQUESTS]; /* ascending */
static unsigned asked, answered;

static void need(const char *what, int rc)
{
	if (rc >= BWT_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static void request(void)
{
	struct bwt_slice key = {&asked, sizeof asked}, value = {"done", 4};
	struct bwt_txn *txn;

	need("begin", bwt_begin(db, 0, &txn));
	need("put", bwt_put(tree, txn, key, value, 0));
	need("commit", bwt_commit_async(txn, &waiting[asked]));
	asked++;
}

static void answer(void)
{
	bwt_lsn durable = bwt_durable_lsn(db);

	while (answered < asked && waiting[answered] <= durable)
		answered++;
}

int main(int argc, char **argv)
{
	struct bwt_options options = {
		.flags = BWT_CREATE, .durability = BWT_INTERVAL, .sync_interval_ms = 5};
	struct itimerspec every = {{0, 200000}, {0, 200000}};
	int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), store;
	struct epoll_event event = {.events = EPOLLIN};

	if (argc != 2)
		return fprintf(stderr, "usage: events STORE\n"), 2;
	need("open", bwt_open(argv[1], &options, &db));
	need("tree", bwt_tree_open(db, NULL, 0, &tree));
	store = bwt_durable_fd(db);
	need("eventfd", store);

	timerfd_settime(timer, 0, &every, NULL);
	event.data.fd = timer;
	epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
	event.data.fd = store;
	epoll_ctl(epoll, EPOLL_CTL_ADD, store, &event);
	while (answered < REQUESTS) {
		uint64_t count;

		if (epoll_wait(epoll, &event, 1, 10000) != 1)
			return fprintf(stderr, "nothing happened for 10 seconds\n"), 1;
		if (read(event.data.fd, &count, sizeof count) != sizeof count)
			continue;
		if (event.data.fd == timer && asked < REQUESTS)
			request();
		answer();
	}
	printf("%u commits were answered when they were durable\n", answered);
	close(timer);
	close(epoll);
	need("close", bwt_close(db));
	return 0;
}
