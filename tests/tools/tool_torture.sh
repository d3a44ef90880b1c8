#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_torture.sh - bwt-torture: kills and checks; what was lost, invented or torn is found
. "$(dirname "$0")/common.sh"

expect 0 bwt-torture --help
says "usage: bwt-torture"
for option in $(grep -o -- '^  *--[a-z-]*' out); do
	grep -q -- "Fl -${option#--}\b" "$root/man/bwt-torture.1" || fail "bwt-torture.1 lacks $option"
done
expect 2 bwt-torture
complains "--dir"
expect 2 bwt-torture --dir . one
expect 2 bwt-torture --dir . --write --check -
expect 2 bwt-torture --dir . --writers 17
expect 1 bwt-torture --dir absent
complains "absent: No such file or directory"
expect 1 bwt-torture --dir . --check absent

# Killed and checked; nothing is left.
expect 0 bwt-torture --dir . --seconds 4 --seed "${SEED:-$RANDOM}"
says "none lost"
store=bwt-torture.store
[ ! -e $store ] || fail "the store was left"
expect 0 bwt-torture --dir . --seconds 1 --keep --json --writers 1
says '"result": "ok"'
if command -v python3 >/dev/null; then
	python3 -c 'import json, sys; found = json.load(sys.stdin); assert found["kills"] > 0 and found["checks"] > 0, found' <out ||
		fail "the JSON is not as documented"
fi
[ -e $store ] || fail "--keep"
expect 1 bwt-torture --dir . --seconds 1
complains "there already"
rm -r $store

# The two halves.
expect 0 bwt-torture --dir . --write --steps 200
cp out lines1
grep -q '^ack 2 ' lines1 || fail "nothing was acknowledged"
expect 0 bwt-torture --dir . --check lines1
says "none lost"
cp -r $store before
expect 0 bwt-torture --dir . --write --steps 400
cp out lines2
expect 0 bwt-torture --dir . --check lines2
expect 0 bwt-torture --dir . --check /dev/null
{ timeout -s KILL 1 bwt-torture --dir . --write --no-uring >lines3; } 2>err || true
expect 0 bwt-torture --dir . --check - <lines3

# A store that lost what was acknowledged; one that has what was never begun; values that are gone.
mv $store now
cp -r before $store
expect 1 bwt-torture --dir . --check lines2
complains "no step"
rm -r $store
cp -r now $store
expect 1 bwt-torture --dir . --check lines1
complains "no step"
rm -r $store
cp -r now $store
rm $store/vlog/*.vlog
expect 1 bwt-torture --dir . --check lines3
complains "vlog/"

# A file that may not grow: refused, with words, and all that was acknowledged is there.
mkdir small
status=0
(trap '' XFSZ; ulimit -f 700; exec bwt-torture --dir small --write --seconds 60 2>err) | cat >lines4 || status=$?
[ "$status" = 3 ] || fail "exit status $status at the file limit"
grep -q '^refused .* no space left' lines4 || fail "no reason is given"
expect 0 bwt-torture --dir small --check lines4
