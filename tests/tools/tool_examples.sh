#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_examples.sh - the programs of man/examples compile without warnings, run, and say what they should
. "$(dirname "$0")/common.sh"

example() { # NAME SAYS
	compile "$root/man/examples/$1.c" "./$1"
	expect 0 "./$1" "$1.store" ${3:+"$3"}
	says "$2"
	expect 0 bwt-fsck "$1.store"
}

example basic "fruit/lemon is yellow"
example transfer "8000 transfers later there are still 2000"
example events "200 commits were answered when they were durable"
example parallel_scan "4 threads counted 50000 keys"
example backup "the copy has all that was there when it began" copy.store
expect 0 bwt-fsck copy.store
example follow "1001 transactions were followed, the stores are in step" second.store
expect 0 bwt-fsck second.store

# Each is run here, and a page tells where to find it.
for source in "$root"/man/examples/*.c; do
	name=$(basename "$source" .c)
	[ -x "$name" ] || fail "$name is not run"
	grep -q "examples/$name\.c" "$root"/man/*.[37] || fail "no page names examples/$name.c"
done
