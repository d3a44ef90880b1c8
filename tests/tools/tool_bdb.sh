#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_bdb.sh - dumps to and from Berkeley DB, with its own programs
. "$(dirname "$0")/common.sh"

load=$(command -v db5.3_load || command -v db_load || true)
dump=$(command -v db5.3_dump || command -v db_dump || true)
[ -n "$load" ] && [ -n "$dump" ] || skip "db_load and db_dump are not installed"

pairs() { grep '^ ' "$1" || true; }

awk 'BEGIN {
	srand(11)
	for (i = 0; i < 2000; i++) {
		printf "%08x\n", i * 7919
		n = rand() < 0.01 ? 20000 : int(rand() * 300)
		for (j = 0; j < n; j++) printf "\\%02x", int(rand() * 256)
		printf "\n"
	}
	for (i = 0; i < 256; i++) printf "\\%02x\n\\%02x\\%02x\n", i, i, 255 - i
	printf "\nthe empty key\nback\\\\slash\n\\\\ \\\\\\\\\n"
}' >pairs.txt
bwt-load -T -f pairs.txt store

for print in "" -p; do
	rm -f bdb.db
	bwt-dump --for=db $print store >ours
	expect 0 "$load" bdb.db <ours
	"$dump" bdb.db >theirs
	bwt-dump --for=db store >ours
	pairs ours >a
	pairs theirs >b
	same a b
	# Both of its formats are read.
	rm -rf back
	"$dump" $print bdb.db >theirs
	expect 0 bwt-load -f theirs back
	bwt-dump --for=db back >again
	same ours again
done

# A small store needs no option: its dump has no line that db_load does not know.
printf 'a\nb\n' | bwt-load -T small
rm -f bdb.db
bwt-dump small >ours
expect 0 "$load" bdb.db <ours

# Databases of one file are trees of one store.
printf 'VERSION=3\nformat=print\ndatabase=one\ntype=btree\nHEADER=END\n a\n 1\nDATA=END\n' >two.txt
printf 'VERSION=3\nformat=print\ndatabase=back\\5cslash\ntype=hash\nHEADER=END\n b\n 2\nDATA=END\n' >>two.txt
rm -f bdb.db
expect 0 "$load" bdb.db <two.txt
"$dump" bdb.db >theirs
expect 0 bwt-load -f theirs trees
expect 0 bwt-dump -p --tree 'back\slash' trees
says " b"
