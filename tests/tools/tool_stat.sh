#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_stat.sh - bwt-stat: a closed store, one that another process has open, JSON, watching
. "$(dirname "$0")/common.sh"

for i in $(seq 1 500); do printf 'key %05d\nvalue %d\n' "$i" "$i"; done >pairs.txt
bwt-load -T -f pairs.txt store
printf 'x\ny\n' | bwt-load -T --tree one store

expect 0 bwt-stat store
says "not open elsewhere"
! grep -q 'Written for each byte put' out || fail "a quotient of nothing"
grep -Eq 'keys +501$' out || fail "the count of keys"
grep -Eq 'named trees +1$' out || fail "the count of trees"

# Every number of struct bwt_stats has its name in the JSON and in the manual page.
expect 0 bwt-stat --json store
cp out closed.json
sed -n '/^struct bwt_stats {/,/^};/p' "$root/lib/bwt.h" | grep -o '[a-z_][a-z_]*\(\[16\]\)\?;' | tr -d '[16];' |
	while read -r name; do
		grep -q "\"$name\": " closed.json || fail "the JSON lacks $name"
		grep -q "$name" "$root/man/bwt_stat.3" || fail "bwt_stat.3 lacks $name"
	done

# The same numbers for Prometheus: one sample and one type each, no name twice.
expect 0 bwt-stat --prometheus store
grep -v '^#' out >samples
grep -Evq '^bwt_[a-z_]+\{store="store"(,[a-z_]+="[a-zA-Z0-9_.+-]*")*\} [0-9.e+-]+$' samples && fail "a sample is not well-formed"
for kind in get commit durable; do
	name=bwt_${kind}_latency_seconds
	grep -q "^# TYPE $name histogram" out || fail "no histogram of $kind"
	[ "$(grep -c "^${name}_" samples)" = 34 ] || fail "31 powers of two, all, sum and count of $kind"
	[ "$(grep -c "^${name}_bucket.*le=\"+Inf\"} 0$" samples)" = 1 ] || fail "$kind: times of a store that is not in use"
done
sed -i '/_latency_seconds_/d' samples
[ "$(grep '^# TYPE bwt_' out | grep -vc 'histogram$')" = "$(wc -l <samples)" ] || fail "one type for each sample"
[ -z "$(cut -d'{' -f1 samples | sort | uniq -d)" ] || fail "a name twice"
says 'bwt_key_count{store="store"} 501'
says 'bwt_commits_total{store="store"} 0'
says 'bwt_open{store="store"} 0'
cp -r store 'quoted"\'
expect 0 bwt-stat --prometheus 'quoted"\'
says 'bwt_key_count{store="quoted\"\\"} 501'
expect 2 bwt-stat --prometheus --watch 1 store
expect 2 bwt-stat --prometheus --json store

# Open elsewhere: its counters, without its lock.
hold held 700
sleep 2
expect 0 bwt-stat held
says "open in process $hold_pid"
grep -Eq 'keys +700$' out || fail "the keys of an open store"
grep -Eq 'commits +[1-9]' out || fail "the commits of an open store"
says "Written for each byte put"
grep -Eq '^  log +[0-9]*[1-9][0-9]*[.][0-9]{2}$' out || fail "no log bytes for each byte put"
grep -Eq '^  (durable )?commits +[0-9.]+ +[0-9.]+ +[0-9.]+ +[1-9]' out || fail "no times of the commits"
expect 0 bwt-stat --json held
says "\"owner_pid\": $hold_pid"
grep -Eq '_latency": \{"count": [1-9][0-9]*, "sum_ns": [1-9][0-9]*, .*"buckets": \[\[[0-9]+, [1-9]' out || fail "no times in the JSON"
expect 0 bwt-stat --prometheus held
says 'bwt_open{store="held"} 1'
grep -Eq '^bwt_(commit|durable)_latency_seconds_count\{store="held"\} [1-9]' out || fail "no times for Prometheus"

# Watching prints until it is ended.
timeout 4 bwt-stat --watch 1 held >watched || [ $? -eq 124 ] || fail "watching ended by itself"
grep -q 'commits/s .* commit p99 ' watched || fail "no rates"
[ "$(grep -c '%' watched)" -ge 1 ] || fail "no line of rates"
timeout 3 bwt-stat --watch 1 --json held >watched.json || [ $? -eq 124 ] || fail "watching ended by itself"
[ "$(grep -c '^{.*}$' watched.json)" -ge 2 ] || fail "one JSON object a line"
kill "$hold_pid"
wait "$hold_pid" || true

# The file that a dead owner left is not believed: the store is opened.
expect 0 bwt-stat held
says "not open elsewhere"
grep -Eq 'keys +700$' out || fail "the keys after the owner died"
# Nor believed of another process that has it open, and keeps none because it only reads: after a crash, after a close.
hold held 0
expect 8 bwt-stat held
kill "$hold_pid"
wait "$hold_pid" || true
bwt-load -T -f pairs.txt closed
hold closed 0
expect 8 bwt-stat closed
kill "$hold_pid"
wait "$hold_pid" || true

# A library that knew fewer numbers wrote a shorter file (here: without the last latency).
hold held 1
sleep 2
size=$(od -An -tu4 -j12 -N4 held/stats | tr -d ' ')
head -c $((48 + size - 8 * 130)) held/stats >shorter
printf "\\x$(printf %02x $(((size - 1040) % 256)))\\x$(printf %02x $(((size - 1040) / 256)))\\0\\0" |
	dd of=shorter bs=1 seek=12 conv=notrunc status=none
cp shorter held/stats.new && mv held/stats.new held/stats
expect 0 bwt-stat held
says "open in process $hold_pid"
kill "$hold_pid"
wait "$hold_pid" || true
printf 'garbage' >held/stats
expect 0 bwt-stat held

expect 2 bwt-stat --watch 0 store
expect 2 bwt-stat --watch x store
if command -v python3 >/dev/null; then
	python3 -c 'import json, sys; [json.loads(line) for line in open(sys.argv[1])]' watched.json || fail "no JSON"
fi
