#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_dump.sh - bwt-dump: pairs in both formats, one tree, damaged stores, the inside
. "$(dirname "$0")/common.sh"

some_pairs 3000 >pairs.txt
bwt-load -T -f pairs.txt store
printf 'x\ny\n' | bwt-load -T --tree one store
printf 'z\n\\00\\5c\n' | bwt-load -T --tree two store

# ---- order and headers

expect 0 bwt-dump store
cp out dump
[ "$(grep -c '^VERSION=3$' dump)" = 3 ] || fail "three sections"
[ "$(grep '^database=' dump | paste -sd,)" = database=one,database=two ] || fail "the trees in order"
sed -n '1,/^DATA=END$/p' dump | grep -q '^database=' && fail "the main tree comes first"
[ "$(grep -c '^ ' dump)" = $((2 * 3003)) ] || fail "all pairs"
sed -n '/^HEADER=END$/,/^DATA=END$/p' dump | grep '^ 6b6579' >keys
sort -c keys || fail "not in order"
expect 0 bwt-dump -p --tree two store
printf 'VERSION=3\nformat=print\ndatabase=two\ntype=btree\nHEADER=END\n z\n \\00\\5c\nDATA=END\n' >wanted
sed -i '/^mapsize=/d' out
same out wanted
bwt-dump --for=lmdb store >again
same dump again
bwt-dump --for db store | grep -q mapsize && fail "--for=db with mapsize"
expect 2 bwt-dump --for=sqlite store
complains "not \"sqlite\""
expect 1 bwt-dump --tree none store
complains "not there"
[ ! -s out ] || fail "a section of a tree that is not there"
expect 1 bash -c 'bwt-dump store >/dev/full'
complains "cannot write"

# ---- a store that needs recovery is recovered in memory and not changed

hold crashed 500 crash
cp -r crashed before
expect 0 bwt-dump crashed
[ "$(grep -c '^ ' out)" = 1000 ] || fail "all pairs of a killed store"
expect 0 bwt-dump --pages crashed
expect 0 bwt-dump --wal crashed
[ "$(grep -c ' put tree 2 "held ' out)" = 500 ] || fail "all records of the log"
expect 0 bwt-dump --super crashed
diff -r crashed before || fail "bwt-dump changed the store"

# ---- the inside

expect 0 bwt-dump --super store
says "superblock 0 at 0"
says "closed clean"
expect 0 bwt-dump --pages store
says "the main tree"
says "tree 16: one"
says '"key 02000"'
pages=$(grep -c '^page ' out)
[ "$pages" -gt 10 ] || fail "only $pages pages"
expect 0 bwt-dump --pages --tree one store
says '"x"'
grep -q '"key 0' out && fail "pages of another tree"
# Every page is drawn once, and every page but a root has an arrow from above.
bwt-dump --pages store | grep '^page ' | sed 's/^page \([0-9]*\):.*/p\1/' | sort >pages
expect 0 bwt-dump --dot store
[ "$(head -n 1 out)" = "digraph bwt {" ] && [ "$(tail -n 1 out)" = "}" ] || fail "a digraph"
grep -o '^	p[0-9]* \[' out | tr -d '	 [' | sort >drawn
same pages drawn
grep -v 'style=dotted' out | grep -o -- '-> p[0-9]*' | cut -c4- | sort >pointed
same pages pointed
[ "$(grep -c 'shape=ellipse' out)" = 4 ] || fail "the catalogue and three trees"
grep -q 'style=dotted' out || fail "no right siblings"
grep -Fq "'key 02" out || fail "no keys"
if command -v dot >/dev/null; then dot -Tcanon out >canon || fail "Graphviz does not read it"; fi
expect 0 bwt-dump --dot --tree one store
grep -q "'key 0" out && fail "pages of another tree are drawn"
says 'label="one"'
expect 0 bwt-dump --dot crashed
grep -q 'put .held ' out || fail "no deltas"
expect 0 bwt-dump --page 1 store
says "page 1: chain of"
expect 1 bwt-dump --page 99999 store
complains "not in use"
expect 2 bwt-dump --page 0 store
expect 2 bwt-dump --page x store
expect 2 bwt-dump --pages --wal store
expect 0 bwt-dump --vlog store
says "value of 50000 bytes"
expect 0 bwt-dump --wal store
says "the log ends at LSN"

# ---- a damaged large value costs its key alone

cp -r store bad
vlog=$(ls bad/vlog/*.vlog | head -n 1)
printf 'XXXX' | dd of="$vlog" bs=1 seek=20000 conv=notrunc status=none
expect 1 bwt-dump -p bad
complains 'left out: the key "large"'
grep -q '^ key 03000$' out || fail "the keys after it are missing"
[ "$(grep -c '^ ' out)" = $((2 * 3002)) ] || fail "more than one pair is missing"

# ---- superblocks of a store that does not open can still be looked at

cp -r store bad2
printf 'XXXX' | dd of=bad2/arena bs=1 seek=100 conv=notrunc status=none
expect 0 bwt-dump --super bad2
says "damaged"
expect 0 bwt-dump bad2
same out dump
expect 2 bwt-dump --salvage --tree one store
