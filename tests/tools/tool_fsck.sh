#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_fsck.sh - bwt-fsck: exit statuses of fsck(8), findings, JSON
. "$(dirname "$0")/common.sh"

for i in $(seq 1 2000); do printf 'key %05d\nvalue %d\n' "$i" "$i"; done >pairs.txt
{
	printf 'large\n'
	head -c 50000 /dev/zero | tr '\0' L
	printf '\n'
} >>pairs.txt
bwt-load -T -f pairs.txt store
cp -r store before

expect 0 bwt-fsck store
says "store: clean"
expect 0 bwt-fsck --json store
cp out clean.json
diff -r store before || fail "bwt-fsck changed the store"

# Needing recovery is nothing wrong; it is told, and done in memory only.
hold crashed 300 crash
cp -r crashed before2
expect 0 bwt-fsck crashed
says "note:"
says "clean"
diff -r crashed before2 || fail "bwt-fsck changed a store that needs recovery"

# One superblock of two: a finding, and the older checkpoint in use.
cp -r store one
printf 'XXXX' | dd of=one/arena bs=1 seek=100 conv=notrunc status=none
expect 4 bwt-fsck one
says "arena, offset 0"
says "warning"

# Both: nothing can be opened.
printf 'XXXX' | dd of=one/arena bs=1 seek=$((32768 + 100)) conv=notrunc status=none
expect 4 bwt-fsck one
says "damage"

# A page. Its bytes are found by their text; older copies, which nothing reaches, are damaged too.
cp -r store page
for at in $(grep -abo 'value 1000' page/arena | cut -d: -f1); do
	printf 'X' | dd of=page/arena bs=1 seek="$at" conv=notrunc status=none
done
expect 4 bwt-fsck page
says "damage: arena, offset"
says "page "
expect 4 bwt-fsck --json page
cp out page.json

# A large value.
cp -r store value
printf 'XXXX' | dd of="$(ls value/vlog/*.vlog | head -n 1)" bs=1 seek=20000 conv=notrunc status=none
expect 4 bwt-fsck value
says "vlog/"

# Files cut short or gone.
cp -r store short
truncate -s 100000 short/arena
expect 4 bwt-fsck short
cp -r store gone
rm gone/vlog/*
expect 4 bwt-fsck gone

# Repairing: each action is said, what is taken away is kept, and the store is clean afterwards.
expect 0 bwt-fsck --repair store
diff -r store before || fail "bwt-fsck --repair changed a store that is in order"
cp -r store mended
printf 'XXXX' | dd of=mended/arena bs=1 seek=100 conv=notrunc status=none
expect 1 bwt-fsck --repair mended
says "action: superblock 0"
says "corrected, clean now"
[ -s mended/lost+found/superblock-0 ] || fail "the damaged superblock was not kept"
expect 0 bwt-fsck mended
# (mapsize is advice, by the size of the arena, which grows where checkpoints are taken)
bwt-dump store | sed '/^mapsize=/d' >dump.plain
bwt-dump mended | sed '/^mapsize=/d' >dump.after
same dump.plain dump.after
cp -r store mended2
printf 'XXXX' | dd of=mended2/arena bs=1 seek=100 conv=notrunc status=none
expect 1 bwt-fsck --json --repair mended2
cp out mended.json
expect 4 bwt-fsck --repair one
complains "--rebuild"
expect 16 bwt-fsck --repair --rebuild store

# Without superblocks: everything that checks out can be dumped, and made a store of.
expect 1 bwt-dump one
expect 0 bwt-dump --salvage one
sed '/^mapsize=/d' out >dump.salvaged
complains "exact"
same dump.plain dump.salvaged
cp -r one cut
expect 1 bwt-fsck --rebuild one
says "action: a new store is made"
says "exact"
[ -s one/lost+found/old/arena ] || fail "the old arena was not kept"
[ ! -e one/rebuild.new ] || fail "rebuild.new is left"
bwt-dump one >dump.after
sed -i '/^mapsize=/d' dump.after
same dump.plain dump.after
expect 0 bwt-fsck --rebuild one

# Cut off after each step of putting the new store in place: there is no store, and then there is.
made() { # FOLDER: as it is when the new store is complete
	rm -rf "$1"
	cp -r cut "$1"
	cp -r one "$1/rebuild.new"
	rm -rf "$1/rebuild.new/lost+found"
	mkdir -p "$1/lost+found/old"
	mv "$1/arena" "$1/lost+found/old/"
}
for step in 0 1 2 3 4; do
	made switch
	[ $step -lt 1 ] || mv switch/wal switch/lost+found/old/
	[ $step -lt 2 ] || mv switch/vlog switch/lost+found/old/
	[ $step -lt 3 ] || mv switch/rebuild.new/wal switch/
	[ $step -lt 4 ] || mv switch/rebuild.new/vlog switch/
	expect 8 bwt-fsck switch
	expect 1 bwt-fsck --rebuild switch
	bwt-dump switch | sed '/^mapsize=/d' >dump.after
	same dump.plain dump.after
	[ -s switch/lost+found/old/arena ] || fail "the old arena is gone"
done
rm -rf switch cut

# JSON is JSON.
if command -v python3 >/dev/null; then
	python3 - clean.json page.json mended.json <<'PYTHON' || fail "the JSON is not as documented"
import json, sys
clean, page, mended = (json.load(open(name)) for name in sys.argv[1:])
assert clean["findings"] == [] and clean["status"] == 0 and clean["result"] == "clean", clean
assert mended["status"] == 1 and mended["actions"] and mended["left"] == [], mended
assert page["status"] == 4 and page["findings"], page
for finding in page["findings"]:
    assert set(finding) == {"severity", "file", "offset", "page", "low_key_hex", "high_key_hex", "text"}, finding
PYTHON
fi
