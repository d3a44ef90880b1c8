#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_lmdb.sh - dumps to and from LMDB, with its own programs
. "$(dirname "$0")/common.sh"

command -v mdb_load >/dev/null && command -v mdb_dump >/dev/null || skip "mdb_load and mdb_dump are not installed"

pairs() { grep '^ ' "$1" || true; }

# Keys that LMDB takes (1 to 511 bytes), with every byte, and values up to 100 KB.
awk 'BEGIN {
	srand(7)
	for (i = 0; i < 3000; i++) {
		printf "%08x\n", i * 7919
		n = rand() < 0.01 ? 50000 : int(rand() * 300)
		for (j = 0; j < n; j++) printf "\\%02x", int(rand() * 256)
		printf "\n"
	}
	for (i = 0; i < 256; i++) printf "\\%02x\n\\%02x\\%02x\n", i, i, 255 - i
	for (i = 0; i < 511; i++) printf "k"
	printf "\nlongest\nback\\\\slash\n\\\\ \\\\\\\\\n"
}' >pairs.txt
bwt-load -T -f pairs.txt store

for print in "" -p; do
	rm -rf mdb && mkdir mdb
	bwt-dump $print store >ours
	expect 0 mdb_load mdb <ours
	mdb_dump mdb >theirs
	bwt-dump store >ours
	pairs ours >a
	pairs theirs >b
	same a b
done

# And back: what LMDB dumps is loaded, and is the same.
expect 0 bwt-load -f theirs back
bwt-dump back >again
pairs ours >a
pairs again >b
same a b

# Named trees become named databases.
printf 'x\ny\n' | bwt-load -T --tree one store
printf 'u\nv\n' | bwt-load -T --tree 'two ä' store
bwt-dump store >ours
rm -rf mdb && mkdir mdb
expect 0 mdb_load mdb <ours
mdb_dump -l mdb >names
printf 'one\ntwo ä\n' >wanted
same names wanted
mdb_dump -a mdb >theirs
expect 0 bwt-load -f theirs trees
bwt-dump --tree one trees >a
bwt-dump --tree one store >b
pairs a >a2
pairs b >b2
same a2 b2

# Several values of a key cannot be stored, and are refused.
printf 'VERSION=3\nformat=print\ndatabase=d\ntype=btree\ndupsort=1\nduplicates=1\nHEADER=END\n a\n 1\n a\n 2\nDATA=END\n' >dups.txt
rm -rf mdb && mkdir mdb
if mdb_load mdb <dups.txt 2>/dev/null; then
	mdb_dump -a mdb >theirs
	expect 1 bwt-load -f theirs dups
	complains "several values"
	[ ! -e dups ] || fail "a refused dump made a store"
fi
