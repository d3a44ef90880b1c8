#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_bench.sh - bwt-bench runs its workloads on the stores of this build and says what it measured
set -eu -o pipefail

bench=${BUILD:-build}/bin/bwt-bench
dir=$(mktemp -d "${TMPDIR:-/tmp}/bwt-bench-test-XXXXXX")
trap 'rm -rf "$dir"' EXIT
fail() { echo "tool_bench: $*"; exit 1; }

# Whether field $1 of the line $2 satisfies the awk condition $3 on v.
holds() {
	awk -v name="$1" -v line=" $2" "BEGIN {
		at = index(line, \" \" name \"=\"); if (!at) exit 1
		v = substr(line, at + length(name) + 2); sub(/ .*/, \"\", v); v += 0
		exit !($3) }"
}
expect() { holds "$@" || fail "$1 is not as expected ($3): $2"; }

"$bench" --help | grep -q -- --workload || fail "no help"
"$bench" --version | grep -q '^bwt-bench [0-9]' || fail "no version"

# Wrong usage is 2 and leaves nothing behind.
for wrong in --no-such --backend=none-such --workload=none-such --workload=read:0 --workload= \
	--records=0 --records=-1 --records=1x --sync=maybe --seconds=nan --seconds=0 --threads=100000 \
	--distribution=odd --key-size=7 --batch=0 surplus '--backend=raw --workload=read' \
	'--records=2 --workload=churn:3' --key-prefix=12345678 \
	--backend=bwt,none --backend= --memory=1 --cache=x --sweep=none-such --inline-max=100000 --workload=reopen:2; do
	status=0
	# shellcheck disable=SC2086
	"$bench" --dir="$dir" $wrong >"$dir.out" 2>&1 || status=$?
	[ "$status" -eq 2 ] || fail "exit status $status for $wrong"
	[ -s "$dir.out" ] || fail "nothing said about $wrong"
	rm -f "$dir.out"
done
[ -z "$(ls -A "$dir")" ] || fail "something was left by wrong usage"

scans=scan,scan-back,scan-full:2,scan-full-back
some=load:2,read:2,put:2,$scans,put-busy,ycsb-a:2,reopen,window:2,commit:2,reopen-kill
all=load:2,read:2,put:2,mix,put-checkpoint,read-busy,put-busy:2,read-writers,churn:2,$scans,reopen,window:2,ycsb-a:2,ycsb-b,ycsb-c,ycsb-d:2,ycsb-e,ycsb-f,commit:2,reopen-kill,scan-full,load-seq,scan-full
stores=$("$bench" --list | awk '/^workloads/ { exit } /^  / && $1 != "raw" && $1 != "null" { print $1 }')
# A sanitizer build checks libbwt; the peers are not compiled with it.
case ${BUILD:-build} in */san-*) stores=bwt ;; esac
for store in $stores; do
	workloads=$some
	# Each durable put of Tkrzw writes all that it has.
	[ "$store" = tkrzw ] && workloads=${some%,commit*}
	[ "$store" = bwt ] && workloads=$all
	"$bench" --backend="$store" --dir="$dir" --workload="$workloads" --records=3k --ops=2k --seed=7 \
		>"$dir/lines" || fail "$store failed"
	[ "$(wc -l <"$dir/lines")" -eq "$(echo "$workloads" | tr , '\n' | wc -l)" ] || fail "$store: lines are missing"
	while read -r line; do
		expect ops "$line" "v > 0"
		expect p50_us "$line" "v > 0"
		for pair in 'p50_us p99_us' 'p99_us p999_us' 'p999_us max_us'; do
			# shellcheck disable=SC2086
			set -- $pair
			low=${line#* "$1="}
			expect "$2" "$line" "v >= ${low%% *}"
		done
	done <"$dir/lines"
	expect entries_per_s "$(grep '"scan-full"' "$dir/lines" | head -1)" "v > 0"
	expect put_bytes "$(grep '"load"' "$dir/lines")" "v == 3000 * 108"
	expect ops "$(grep '"ycsb-a"' "$dir/lines")" "v == 2000"
	expect space_amp "$(grep '"put"' "$dir/lines")" "v > 0.5"
	expect p50_us "$(grep '"reopen"' "$dir/lines")" "v > 0"
	expect space_amp "$(grep '"window"' "$dir/lines")" "v > 0.5"
	[ "$store" = tkrzw ] || grep '"commit"' "$dir/lines" | grep -q 'sync="sync"' || fail "$store: commit was not durable"
	grep '"read"' "$dir/lines" | grep -q 'sync="none"' || fail "$store: read was not without sync"
done
rm -f "$dir/lines"
[ -z "$(ls -A "$dir")" ] || fail "a store was left behind"

# Other shapes of keys, values, transactions and clocks.
"$bench" -n 500 --dir="$dir" --key-size=24 --value-size=0 --batch=7 --sync=sync --time-every=1 --ops=200 \
	--distribution=latest --seed=1 -w load,put,read >"$dir/lines"
expect put_bytes "$(grep '"load"' "$dir/lines")" "v == 500 * 24"
expect timed "$(grep '"read"' "$dir/lines")" "v == 200"
"$bench" -n 300 --dir="$dir" --value-size=20000 --seed=1 -w load,scan-full,read --ops=100 >/dev/null

# JSON is one object for each run; two rounds are two lines.
"$bench" -b null -n 100 --ops=100 -w read --repeat=2 --json --seed=5 --dir="$dir" >"$dir/lines"
[ "$(grep -c '^{.*"seed": 5,.*}$' "$dir/lines")" -eq 2 ] || fail "JSON: $(cat "$dir/lines")"
if command -v python3 >/dev/null; then
	python3 -c 'import json, sys; [json.loads(line) for line in sys.stdin]' <"$dir/lines"
fi

# Two stores by turns, over time, and as a table for people.
"$bench" -b bwt,null -n 1k --seed=1 --seconds=0.3 -w put:2 --dir="$dir" --series="$dir/series" --table >"$dir/lines"
[ "$(grep -c '^[a-z]* *put:2 *[0-9]* ' "$dir/lines")" -eq 2 ] || fail "table: $(cat "$dir/lines")"
grep -q '^store  *workload  *operations/s ' "$dir/lines" || fail "no titles"
[ "$(grep -c '^# [a-z]* put:2: ' "$dir/series")" -eq 2 ] || fail "series: $(cat "$dir/series")"
awk '/^[0-9]/ && NF != 5 { exit 1 } /^[0-9]/ { n++ } END { exit !(n > 10) }' "$dir/series" || fail "series: $(cat "$dir/series")"
if command -v gnuplot >/dev/null; then
	"$bench" -b bwt,null -n 1k --seed=1 --seconds=0.3 -w put --dir="$dir" --plot="$dir/it's.svg" >/dev/null
	grep -q 'bwt put:1' "$dir/it's.svg" || fail "no curve in the picture"
	rm "$dir/it's.svg"
else
	echo "tool_bench: SKIPPED --plot: no gnuplot here"
fi
status=0
PATH=/nowhere "$bench" -n 100 --ops=10 -w put --dir="$dir" --plot="$dir/x.svg" >/dev/null 2>"$dir/said" || status=$?
if [ "$status" -ne 1 ] || ! grep -q gnuplot "$dir/said"; then
	fail "without gnuplot: $status, $(cat "$dir/said")"
fi
rm -f "$dir/said" "$dir/series"

# Each value of a setting; what this build cannot change it says.
"$bench" --sweep=workers -n 1k --seconds=0.05 --seed=1 --dir="$dir" >"$dir/lines"
[ "$(grep -c '^| [0-9of]*.* [1-9][0-9]* |' "$dir/lines")" -eq 3 ] || fail "sweep: $(cat "$dir/lines")"
grep -q '^| 1, the default |' "$dir/lines" || fail "no default: $(cat "$dir/lines")"
"$bench" --sweep=leaf_bytes 2>&1 | grep -q 'leaf_bytes is fixed' || fail "a constant that is none"

"$bench" -b raw -w commit:2 --ops=20 --seed=1 --dir="$dir" >"$dir/lines"
expect ops "$(cat "$dir/lines")" "v == 20"

# Keys of another's making, and a label.
status=0
"$bench" -n 11 --dir="$dir" --key-size=9 --key-prefix=12345678 -w load >/dev/null 2>&1 || status=$?
[ "$status" -eq 1 ] || fail "eleven keys of one digit: $status"
"$bench" -n 1k --dir="$dir" --key-size=12 --key-prefix=key_ --seed=1 --ops=300 --label=seerdb -w load-seq,mix,scan >"$dir/lines"
[ "$(grep -c 'label="seerdb"' "$dir/lines")" -eq 3 ] || fail "the label is missing"
expect entries_per_s "$(grep '"scan"' "$dir/lines")" "v > 0"

# A window slides over many times its width; the arena's growth is told.
"$bench" -n 1k --dir="$dir" --ops=20k --seed=1 -w window:3 >"$dir/lines"
expect ops "$(cat "$dir/lines")" "v == 20000"

# --crash leaves a store that --store finds again, with everything that was put.
status=0
"$bench" -n 2k --store="$dir/crashed" -w load --seed=1 --crash >"$dir/lines" 2>/dev/null || status=$?
[ "$status" -eq 137 ] || fail "--crash ended with status $status"
"$bench" -n 2k --store="$dir/crashed" -w scan-full,read --ops=10 >"$dir/lines" || fail "what was crashed is not whole"
status=0
"$bench" -n 2k --store="$dir/crashed" -w load >/dev/null 2>&1 || status=$?
if [ "$status" -ne 1 ] || [ -z "$(ls "$dir/crashed")" ]; then
	fail "a store that was there before was overwritten ($status)"
fi
status=0
"$bench" -n 3k --store="$dir/crashed" -w scan-full >/dev/null 2>&1 || status=$?
[ "$status" -eq 1 ] || fail "a scan that misses records is not noticed ($status)"
rm -rf "$dir/crashed"

# A bound of memory, where this user may set one.
if "$bench" -n 20k --dir="$dir" --memory=64M --ops=200 --seed=1 -w read,put >"$dir/lines" 2>"$dir/said"; then
	[ "$(grep -c 'memory=64000000' "$dir/lines")" -eq 2 ] || fail "the bound is not told"
	find /sys/fs/cgroup -maxdepth 2 -name "bwt-bench-*" 2>/dev/null | while read -r group; do
		kill -0 "${group##*-}" 2>/dev/null || fail "a control group was left behind: $group"
	done
else
	grep -q -e --memory "$dir/said" || fail "no bound of memory, and not said why: $(cat "$dir/said")"
	echo "tool_bench: SKIPPED --memory: $(cat "$dir/said")"
fi
rm -f "$dir/said"

# --keep leaves the store; a signal removes it.
kept=$("$bench" -n 100 --ops=10 -w read --keep --dir="$dir" 2>&1 >/dev/null | sed -n 's/^bwt-bench: kept //p')
if [ -z "$kept" ] || [ ! -d "$kept" ]; then
	fail "--keep left nothing"
fi
rm -rf "$kept" "$dir/lines"
"$bench" -n 100 -w read --seconds=60 --dir="$dir" >/dev/null 2>&1 &
sleep 1
kill $!
wait $! && fail "an interrupted run ended well"
[ -z "$(ls -A "$dir")" ] || fail "an interrupted run left a store behind"

# The table, from made-up lines: the median of three with its spread, the ratio to the best peer, winner, goals, JSON.
line() { # WORKLOAD STORE THREADS OPS [LABEL]
	printf 'workload="%s" label="%s" backend="%s" threads=%s ops_per_s=%s ' "$1" "${5:-}" "$2" "$3" "$4"
	printf 'p50_us=1 p99_us=1 conflicts=2 ops=4 anon_mib=%s bwt_pages=65536 sync="none" store="a, b=c"\n' "$4"
}
{
	for ops in 900 36 40; do line read bwt 2 $ops; done
	for ops in 1 20 900; do line read lmdb 2 $ops; done
	line put bwt 2 10
	line put rocksdb 2 40
	line put lmdb 2 20
	line commit raw 1 1000
	line commit bwt 1 899
	line read bwt 4 50 scale
	line read bwt 32 30 scale
	line reopen bwt 1 30
} >"$dir/lines"
awk -v records=10M -v json="$dir/json" -f bench/results.awk -f bench/table.awk bench/rows.txt "$dir/lines" >"$dir/table"
for row in 'point reads, 2 threads  *40.0 1080  *20.0 2248 .*  2.00  bwt$' 'random puts, 2 threads  *10.0  *20.0  *40.0 .*  0.25  rocksdb$' \
	'^1 thread  .*  bwt$' '2 threads, against LMDB  *missed: 2.000 of 2.5 ' 'random puts, 2 threads.*missed: 0.250 of 2.5 .*rocksdb)$' \
	'raw write  *missed: 0.899 of 0.95 ' 'mapped files  *missed: 900.0 MiB of 65.0' 'by 32 threads, .* missed: 0.600 of 0.7 ' \
	'closed, us  *reached: 0.000 of 1 ' '^closed, 10M records ' 'not measured$'; do
	grep -q "$row" "$dir/table" || { cat "$dir/table"; fail "not in the table: $row"; }
done
grep -q 'YCSB, ' "$dir/table" && fail "a section without a figure"
if command -v python3 >/dev/null; then
	python3 -c 'import json, sys
all = json.load(sys.stdin)
row = all["rows"][0]
assert row["winner"] == "bwt" and row["ratio"] == 2 and row["stores"]["lmdb"] == {"median": 20, "spread_percent": 2247.5, "runs": 3}, row
assert len(all["runs"]) == 14 and all["runs"][0]["store"] == "a, b=c", all["runs"]
assert [goal["reached"] for goal in all["goals"]].count(False) == 4, all["goals"]' <"$dir/json"
fi

# Every row names a workload, every goal can be parsed, and a section of the script runs to its table.
known=" $("$bench" --list | sed -n '/^workloads/,$s/^  \([^ ]*\) .*/\1/p' | tr '\n' ' ')"
sed -n 's/^row |[^|]*| *\([^ |]*\) .*/\1/p' bench/rows.txt | sed 's/.*\///; s/:.*//' | sort -u >"$dir/lines"
while read -r workload; do
	case $known in *" $workload "*) ;; *) fail "rows.txt names $workload" ;; esac
done <"$dir/lines"
awk -F'|' '/^(row|head|goal)/ { wanted = $1 ~ /head/ ? 3 : 5; if (NF != wanted) { print; exit 1 } }' bench/rows.txt || fail "rows.txt"
BENCH_STORES=bwt BENCH_SMALL=500 TMPDIR=$dir bench/run.sh --quick --bench "$bench" --results "$dir/results" txn \
	>"$dir/table" 2>"$dir/said" || { cat "$dir/said"; fail "run.sh"; }
if command -v gnuplot >/dev/null; then
	awk -v dir="$dir" -f bench/results.awk -f bench/plot.awk bench/rows.txt "$dir/results/results.txt" | gnuplot
fi
grep -q 'one put, against the plain put .* of 0.77' "$dir/table" || { cat "$dir/table"; fail "run.sh made no goal"; }
