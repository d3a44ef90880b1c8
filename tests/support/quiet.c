/* SPDX-License-Identifier: MIT */
/* quiet.c - a seccomp filter that knows four calls */
#include "tests/support/quiet.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void on_call(int number, siginfo_t *info, void *context)
{
	char text[64];
	int len = snprintf(text, sizeof text, "system call %d was made\n", info->si_syscall);

	(void)number, (void)context;
	(void)!write(STDERR_FILENO, text, (size_t)len);
	_exit(EXIT_FAILURE);
}

void quiet_begin(void)
{
	static const int allowed[] = {SYS_futex, SYS_write, SYS_exit, SYS_exit_group,
	                              SYS_rt_sigreturn};
	enum {
		COUNT = sizeof allowed / sizeof allowed[0]
	};
	struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
	struct sock_filter filter[COUNT + 3];
	struct sock_fprog program = {.len = COUNT + 3, .filter = filter};

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	                                         offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < COUNT; i++)
		filter[1 + i] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], (uint8_t)(COUNT - i), 0);
	filter[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
	filter[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (sigaction(SIGSYS, &action, NULL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		perror("seccomp");
		_exit(EXIT_FAILURE);
	}
}
