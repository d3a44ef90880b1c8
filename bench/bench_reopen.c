/* SPDX-License-Identifier: MIT */
/*
 * bench_reopen.c - load in a process that is killed; open and get
 */
#include "bench_reopen.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

#define ARGUMENT_MAX (SESSION_PATH_MAX + 32)

/* Run the program with these arguments, its lines thrown away. Returns its wait status or a negative code. */
static int run_self(char *const arguments[])
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;
	int error;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	error = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error != 0)
		return -error;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status;
}

int reopen_crash_load(struct session *session)
{
	const struct bench_options *options = session->options;
	char texts[8][ARGUMENT_MAX];
	char *arguments[] = {"bwt-bench", "--workload=load", "--crash", texts[0],
	                     texts[1],    texts[2],          texts[3],  texts[4],
	                     texts[5],    texts[6],          texts[7],  NULL};
	int status;

	snprintf(texts[0], sizeof texts[0], "--backend=%s", options->backend->name);
	snprintf(texts[1], sizeof texts[1], "--store=%s", session->dir);
	snprintf(texts[2], sizeof texts[2], "--records=%ju", (uintmax_t)options->records);
	snprintf(texts[3], sizeof texts[3], "--key-size=%u", options->key_size);
	snprintf(texts[4], sizeof texts[4], "--value-size=%u", options->value_size);
	snprintf(texts[5], sizeof texts[5], "--batch=%u", options->batch);
	snprintf(texts[6], sizeof texts[6], "--seed=%ju", (uintmax_t)options->seed);
	snprintf(texts[7], sizeof texts[7], "--value-least=%u", options->value_least);
	status = run_self(arguments);
	if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		session->loaded = options->records;
		return 0;
	}
	fprintf(stderr, "bwt-bench: the process that loads and is killed ended otherwise (%d)\n",
	        status);
	return -ECHILD;
}

/* From nothing open to an answer. */
static int open_and_get(struct session *session, struct run *run, struct worker *worker)
{
	int rc = session_open(session, BACKEND_NONE);

	if (rc < 0)
		return rc;
	run->store = session->store;
	rc = run->options->backend->thread_open(run->store, &worker->thread);
	return rc < 0 ? rc : worker_get(worker, 0);
}

int reopen_measure(struct session *session, struct run *run, struct run_result *result)
{
	struct worker *worker;
	uint64_t start_ns;
	uint64_t start_cpu_ns;
	int rc = session_shut(session);

	*result = (struct run_result){.series = result->series};
	if (rc < 0)
		return rc;
	run_settle(session->dir);
	worker = worker_new(run, 0);
	if (worker == NULL)
		return -ENOMEM;
	start_ns = system_now_ns();
	start_cpu_ns = system_cpu_ns();
	rc = open_and_get(session, run, worker);
	result->elapsed_ns = system_now_ns() - start_ns;
	result->cpu_ns = system_cpu_ns() - start_cpu_ns;
	result->ops = 1;
	histogram_add(&result->latency, result->elapsed_ns);
	result->disk_bytes = system_disk_bytes(session->dir);
	if (rc == 0)
		rc = worker_scan_all(worker, false);
	if (worker->thread != NULL)
		run->options->backend->thread_close(worker->thread);
	worker_free(worker);
	return rc;
}
