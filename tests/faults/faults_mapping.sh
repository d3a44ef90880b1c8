#!/bin/bash
# SPDX-License-Identifier: MIT
# faults_mapping.sh - the arena is cut short under the mapping of a process that writes
#
# With BWT_CATCH_SIGBUS the process gets errors and lives; without it the system kills it by SIGBUS. In both cases what is left is
# refused or read as far as it goes, and nothing faults.
. "$(dirname "$0")/common.sh"

cut_short() { # SIZE OPTION...: status of the writer is in $status
	local size=$1 writer

	shift
	rm -rf bwt-torture.store
	bwt-torture --dir . --write --seconds 30 "$@" >lines 2>err &
	writer=$!
	until [ "$(grep -c ack lines)" -gt 300 ]; do
		kill -0 $writer 2>/dev/null || fail "the writer ended before anything was done to it"
		sleep 0.1
	done
	truncate -s "$size" bwt-torture.store/arena
	status=0
	wait $writer 2>/dev/null || status=$?
}

look() {
	local found=0

	bwt-fsck bwt-torture.store >out 2>err || found=$?
	case $found in 0 | 4) ;; *) fail "bwt-fsck ended with $found" ;; esac
	found=0
	bwt-dump --salvage bwt-torture.store >out 2>err || found=$?
	[ $found -le 1 ] || fail "bwt-dump --salvage ended with $found"
}

for size in 65536 200000 0; do
	cut_short $size --catch-sigbus
	[ $status = 3 ] || fail "cut to $size bytes: exit status $status with BWT_CATCH_SIGBUS"
	look
	echo "arena cut to $size bytes, BWT_CATCH_SIGBUS: $(grep refused lines | head -n 1 | cut -c -120)"
	cut_short $size
	[ $status = 135 ] || [ $status = 3 ] || fail "cut to $size bytes: exit status $status without BWT_CATCH_SIGBUS"
	look
	echo "arena cut to $size bytes, nothing caught: exit status $status"
done
