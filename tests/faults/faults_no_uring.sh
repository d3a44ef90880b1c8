#!/bin/bash
# SPDX-License-Identifier: MIT
# faults_no_uring.sh - where the system refuses io_uring (seccomp, as in many containers) plain calls do the same
. "$(dirname "$0")/common.sh"

program deny
status=0
./deny true || status=$?
[ $status != 77 ] || skip "seccomp filters cannot be set here"
expect 0 ./deny bwt-torture --dir . --seconds "$(seconds 30 3)"
cat out
hold_denied() { # what a store says of itself, while it is open there
	compile "$root/tests/tools/hold.c" "$dir/hold"
	mkfifo ready
	./deny ./hold store 10 >ready &
	read -r _ <ready
	bwt-stat store >out
	kill $!
}
hold_denied
says plain
