#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_golden.sh - stores written by every released format are read, recovered and written on
. "$(dirname "$0")/common.sh"

command -v xz >/dev/null || skip "xz is not installed"

lacks=
case ${BUILD##*/} in
*no-lz4*no-zstd*) skip "this build has neither codec" ;;
*no-lz4*) lacks=lz4 ;;
*no-zstd*) lacks=zstd ;;
esac

current=$(sed -n 's/^#define FORMAT_M[A-Z]* \([0-9]*\)u.*/\1/p' "$root/lib/mem/superblock.h" | paste -sd.)
[ -d "$root/tests/golden/format-$current" ] || fail "there are no golden files of format $current"

for golden in "$root"/tests/golden/format-*; do
	version=${golden##*format-}
	xz -dc "$golden/dump.txt.xz" >wanted
	for state in closed killed; do
		rm -rf closed killed
		tar -xJf "$golden/$state.tar.xz"
		expect 0 bwt-dump --super $state
		says "format           $version,"
		expect 0 bwt-fsck $state
		case $lacks:$version in
		:* | *:1.[01]) ;;
		*) # Values that this build cannot unpack are refused, with the name of what it lacks, and no others.
			expect 1 bwt-dump $state
			complains "compressed by $lacks, which this build lacks"
			expect 1 bwt-dump --tree "packed by $lacks" $state
			for tree in lz4 zstd; do
				[ $tree = $lacks ] || expect 0 bwt-dump --tree "packed by $tree" $state
			done
			expect 0 bwt-dump --tree names $state
			continue
			;;
		esac
		bwt-dump $state | grep -v '^mapsize=' >got
		same got wanted

		# Used on by this version: everything is still there, with what is new.
		printf 'new key\nnew value\n' | bwt-load -T --tree "new tree" $state
		expect 0 bwt-fsck $state
		bwt-dump $state | grep -v '^mapsize=' >got
		head -c "$(stat -c %s wanted)" got >old
		bwt-dump --tree "new tree" -p $state | grep -qx ' new value' || fail "what was added is not there"
		[ "$(grep -c '^ ' got)" -eq $(($(grep -c '^ ' wanted) + 2)) ] || fail "pairs were lost"

		# A newer major version of the format is refused; a newer minor one is not.
		rm -rf newer
		cp -r $state newer
		for at in 12 $((32768 + 12)); do
			printf '\377\377' | dd of=newer/arena bs=1 seek=$at conv=notrunc status=none
		done
		expect 1 bwt-dump newer
		complains "has a format that this library does not know"
		expect 8 bwt-fsck newer
		complains "format"
	done
done
