#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_data_path.sh - durable commits and reads in persistent memory make no system call, but to wait for each other
. "$(dirname "$0")/common.sh"

command -v strace >/dev/null || skip "no strace"
strace -qq -o /dev/null -e trace=none true 2>err || skip "strace may not trace here: $(head -n 1 err)"
case ${BUILD##*/} in
*no-pmem*) skip "this build has no persistent memory" ;;
*san-*) skip "sanitizers make system calls of their own" ;;
esac
compile "$root/tests/tools/data_path.c" data_path
count=30000
[ -z "${LONG:-}" ] || count=1000000

# The system calls of the threads that commit and read, between their marks.
calls() { # COUNT THREADS [file]
	local status=0

	rm -rf store
	strace -f -qq -o trace ./data_path store "$@" >out 2>err || status=$?
	[ $status -ne 77 ] || skip "a forced mapping is refused here"
	[ $status -eq 0 ] || fail "exit status $status: data_path $*" 1
	awk '/ getpriority\(/ { on[$1] = !on[$1]; marks++; next }
		on[$1] && $2 != "<..." { sub(/\(.*/, "", $2); print $2 }
		END { if (marks != 2 * '"$2"') print marks + 0 " marks" }' trace | sort -u >calls
}

# A log in files is written by system calls: they are seen.
calls 100 1 file
grep -qE '^(io_uring_enter|pwritev2)$' calls || fail "commits to a file are not seen: $(paste -sd' ' calls)"

export PMEM_IS_PMEM_FORCE=1
calls $count 1
grep -vx futex calls >others && fail "one thread calls the system: $(paste -sd' ' others)"
calls $count 2
grep -vxE 'futex|sched_yield' calls >others && fail "two threads call the system: $(paste -sd' ' others)"
exit 0
