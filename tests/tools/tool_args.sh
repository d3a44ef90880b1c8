#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_args.sh - command lines of all tools: help, version, wrong usage, stores that cannot be opened
. "$(dirname "$0")/common.sh"

version=$(sed -n 's/^#define BWT_VERSION_M[A-Z]* //p; s/^#define BWT_VERSION_PATCH //p' "$root/lib/bwt.h" | paste -sd.)

for tool in bwt-load bwt-dump bwt-fsck bwt-stat bwt-backup; do
	usage=2
	failure=1
	if [ $tool = bwt-fsck ]; then
		usage=16
		failure=8
	fi
	expect 0 $tool --help
	says "usage: $tool"
	says "--version"
	[ ! -s err ] || fail "$tool --help writes to standard error"
	# Every option of the manual page is in the help, and the other way round.
	for option in $(grep -o -- '^  *\(-., \)\?--[a-z-]*' out | grep -o -- '--[a-z-]*'); do
		grep -q -- "Fl Fl ${option#--}\b\|Fl -${option#--}\b" "$root/man/$tool.1" || fail "$tool.1 lacks $option"
	done
	expect 0 $tool --version
	says "$tool $version"
	expect $usage $tool
	complains "which store?"
	complains "usage: $tool"
	expect $usage $tool --no-such-option store
	complains "--no-such-option"
	[ $tool = bwt-backup ] && second=COPY || second=
	expect $usage $tool one $second two
	complains "two"
	[ -z "$(ls | grep -v '^out$\|^err$')" ] || fail "$tool left something"

	[ $tool = bwt-load ] && continue
	expect $failure $tool absent $second
	complains "absent: No such file or directory"
	expect $failure $tool err $second
	complains "Not a directory"
	mkdir empty
	expect $failure $tool empty $second
	complains "empty:"
	rmdir empty
done

# A store that another process has open: status 8 and its pid, for all of them.
hold store 10
for tool in bwt-dump bwt-fsck "bwt-load -T -f /dev/null" bwt-backup; do
	[ "$tool" = bwt-backup ] && second=COPY || second=
	expect 8 $tool store $second
	complains "$hold_pid"
done
kill $hold_pid
