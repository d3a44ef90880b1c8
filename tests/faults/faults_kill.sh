#!/bin/bash
# SPDX-License-Identifier: MIT
# faults_kill.sh - the process is killed: at random moments, and at the n-th call of the system of each kind
. "$(dirname "$0")/common.sh"

[ -z "${FAULTS_LONG:-}" ] || { expect 0 bwt-torture --dir . --seconds 60 && cat out; }
need strace strace
strace -qq -o /dev/null -e trace=none true 2>err || skip "strace may not trace here: $(head -n 1 err)"

# The writer is killed as it enters call $n of $calls, n = 1, 1 + step, ...; until it ends before that.
kill_at() { # CALLS STEP OPTION...
	local calls=$1 step=$2 n=1 kills=0 status

	shift 2
	rm -rf bwt-torture.store
	while :; do
		status=0
		{ strace -f -qq -o /dev/null -e trace="$calls" -e inject="$calls:signal=KILL:when=$n" \
			bwt-torture --dir . --write --steps $((80 + n)) --seed 1 "$@" >lines; } 2>err || status=$?
		expect 0 bwt-torture --dir . --check lines
		[ $status != 0 ] || break
		[ $status = 137 ] || fail "call $n of $calls: the writer ended with status $status"
		kills=$((kills + 1))
		n=$((n + step))
	done
	[ $kills -ge 2 ] || fail "only $kills kills at $calls"
	echo "killed at $kills calls of $calls: nothing lost"
}

if bwt-torture --dir . --write --steps 5 >lines && strace -f -qq -o calls -e trace=io_uring_enter bwt-torture --dir . --write --steps 20 --seed 1 >lines &&
	grep -q io_uring_enter calls; then
	kill_at io_uring_enter 1
else
	echo "io_uring is not to be had here: its calls are left out"
fi
kill_at pwritev2,pwrite64,pwritev "$(seconds 1 6)" --no-uring
kill_at fdatasync,fsync,msync,sync_file_range "$(seconds 1 4)" --no-uring
kill_at ftruncate,fallocate,renameat,renameat2,rename,unlinkat,openat "$(seconds 1 12)"
