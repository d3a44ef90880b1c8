/* SPDX-License-Identifier: MIT */
/* seeds.c - runs of the simulator that may fail */
#include "tests/sim/seeds.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_MAX 60u /* of processor time, for one seed */

bool seed_fails(void (*run)(void *ctx), void *ctx, char *how, size_t size)
{
	int pipe_fds[2], status = 0;
	char part[512];
	ssize_t len;
	pid_t child;

	if (pipe(pipe_fds) < 0)
		abort();
	fflush(stdout);
	child = fork();
	if (child == 0) {
		dup2(pipe_fds[1], STDERR_FILENO);
		close(pipe_fds[0]);
		/* A store that goes round in circles is found, too; a machine that is busy is not. */
		setrlimit(RLIMIT_CPU, &(struct rlimit){SECONDS_MAX, SECONDS_MAX + 1});
		run(ctx);
		_exit(EXIT_SUCCESS);
	}
	close(pipe_fds[1]);
	how[0] = '\0';
	while ((len = read(pipe_fds[0], part, sizeof part - 1)) > 0) {
		part[len] = '\0';
		snprintf(how + strlen(how), size - strlen(how), "%s", part);
	}
	how[strcspn(how, "\n")] = '\0';
	close(pipe_fds[0]);
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status) && how[0] == '\0')
		snprintf(how, size, "%s", strsignal(WTERMSIG(status)));
	return status != 0;
}

const char *seed_words(const char *how)
{
	const char *text = strstr(how, ": ");

	return text == NULL ? how : text + 2;
}
