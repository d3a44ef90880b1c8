#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh [--quick] --bench PROGRAM --results DIR [SECTION]... - every store on every row, then one table
#
# Each section is a function below, named section_NAME; without any all of them run. A store loads its records once and does
# all rows of a section on them; only the durable commits go round by round through all stores, because a disk is not the
# same disk a minute later. All result lines go to DIR/results.txt, the table to DIR/table.txt and to
# standard output, both together to DIR/results.json, pictures to DIR/*.svg. A store that loses is no failure; libbwt
# answering wrongly or not at all is.
# shellcheck disable=SC2317 # sections are called by name
set -u

bench=
results=
quick=0
sections=
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=1 ;;
	--bench) bench=$2; shift ;;
	--results) results=$2; shift ;;
	[a-z]*) sections="$sections $1" ;;
	*) echo "usage: run.sh [--quick] --bench PROGRAM --results DIR [SECTION]..." >&2; exit 2 ;;
	esac
	shift
done
if [ ! -x "$bench" ] || [ -z "$results" ]; then
	echo "run.sh: no bench program or no place for results" >&2
	exit 2
fi
here=$(dirname "$0")
mkdir -p "$results" || exit 1
lines=$results/results.txt
: > "$lines"
seed=${SEED:-$(date +%s)}
failed=0

# Sizes: one place for what a whole run and a quick one differ in.
if [ $quick -eq 1 ]; then
	records=500k small=200k seconds=0.3 rounds=1
	ycsb_threads="2" ycsb_large=50k
	commit_threads="1 8 32" commit_seconds=0.4 commit_rounds=1
	scale_threads="1 2 8 32"
	memory_records=1M memory_bytes=27M
	steady=200k window=2M series_seconds=2 value_records=1k
else
	records=10M small=1M seconds=2 rounds=3
	ycsb_threads="1 2" ycsb_large=1M
	commit_threads="1 2 4 8 16 32" commit_seconds=1 commit_rounds=3
	scale_threads="1 2 4 8 16 32"
	memory_records=5M memory_bytes=135M
	steady=3M window=20M series_seconds=20 value_records=5700
fi
records=${BENCH_RECORDS:-$records}
small=${BENCH_SMALL:-$small}
window=${BENCH_WINDOW:-$window}
value_records=${BENCH_VALUES:-$value_records}
short=$(awk "BEGIN { print $seconds / 2 }")

say() { echo "$(date +%H:%M:%S) $*" >&2; }

# repeated ITEM...: all of them, as often as there are rounds, with commas between
repeated() {
	local list="" round item
	for ((round = 0; round < rounds; round++)); do
		for item in "$@"; do
			list=$list${list:+,}$item
		done
	done
	echo "$list"
}

# threads WORKLOAD N...: WORKLOAD:N for each
threads() {
	local workload=$1
	shift
	printf "$workload:%s " "$@"
}

has() { "$bench" --list | grep -q "^  $1 "; }

stores=
for store in bwt lmdb rocksdb wiredtiger leveldb bdb tkrzw; do
	if has $store; then
		stores="$stores $store"
	else
		say "$store is not in this build"
	fi
done
[ -n "${BENCH_STORES:-}" ] && stores=$BENCH_STORES

# those NAME...: of these stores, the ones that are measured at all; NAME-txn is there when NAME is
those() {
	local store
	for store in "$@"; do
		case " $stores raw " in *" ${store%-txn} "*) has "$store" && echo "$store" ;; esac
	done
}

# measure STORE OPTION...: one call of the program, its lines kept
measure() {
	local store=$1
	shift
	if ! "$bench" --backend="$store" --seed="$seed" "$@" >> "$lines"; then
		echo "run.sh: $store failed: $*" >&2
		case $store in bwt*) failed=1 ;; esac
	fi
}

section_main() {
	for store in $stores; do
		say "$store: $records records of 8 + 100 bytes"
		measure "$store" --records="$records" --seconds="$seconds" --workload="load,$(repeated \
			read:1 read:2 read-many:1 read-many:2 scan:1 scan:2 scan-back:1 scan-full scan-full-back \
			put:1 put:2),$(repeated reopen)"
		say "$store: $records records in key order"
		measure "$store" --records="$records" --workload=load-seq
		say "$store: zipfian reads"
		measure "$store" --label=zipf --records="$small" --distribution=zipfian --seconds="$short" \
			--workload="load,$(repeated read:1)"
	done
}

# ycsb LABEL RECORDS OPTION...: C before D and E, which insert
ycsb() {
	local label=$1 count=$2 plan="" number letter
	shift 2
	for number in $ycsb_threads; do
		for letter in a b c f d e; do
			plan="$plan ycsb-$letter:$number"
		done
	done
	for store in $stores; do
		say "$store: YCSB, $count records, $label"
		# shellcheck disable=SC2086
		measure "$store" --label="$label" --records="$count" --key-size=24 --seconds="$short" "$@" \
			--workload="$(repeated $plan)"
	done
}

section_ycsb() {
	ycsb ycsb100 "$small"
	ycsb ycsb1k "$ycsb_large" --value-size=1024
}

section_commit() {
	local plan round
	# shellcheck disable=SC2086
	plan=$(threads commit $commit_threads | tr ' ' ,)
	for ((round = 1; round <= commit_rounds; round++)); do
		for store in $(those raw bwt lmdb rocksdb wiredtiger leveldb bdb); do
			say "$store: durable commits, round $round of $commit_rounds"
			measure "$store" --records=100k --seconds="$commit_seconds" --workload="${plan%,}"
		done
	done
}

# What a durable commit costs beyond the put, when no device is waited for. The second line says by which instruction.
section_pmem() {
	local sync
	for sync in none sync; do
		say "bwt: puts in (forced) persistent memory, $sync"
		PMEM_IS_PMEM_FORCE=1 measure bwt --label="pmem-$sync" --records="$small" --sync=$sync \
			--seconds="$seconds" --workload="load,$(repeated put:1)"
	done
}

section_scale() {
	for store in $(those bwt lmdb rocksdb); do
		say "$store: $scale_threads threads"
		# shellcheck disable=SC2046,SC2086
		measure "$store" --label=scale --records="$small" --seconds="$short" \
			--workload="load,$(repeated $(threads read $scale_threads) $(threads put $scale_threads))"
	done
}

section_busy() {
	for store in $(those bwt lmdb rocksdb); do
		say "$store: beside scans, checkpoints and writers"
		measure "$store" --label=busy --records="$small" --seconds="$seconds" --time-every=4 \
			--workload="load,$(repeated read read-busy put put-busy put-checkpoint read-writers)"
	done
}

section_kill() {
	local workload
	for store in $stores; do
		say "$store: opening after SIGKILL"
		workload=reopen-kill
		[ "$store" = bwt ] && workload=$(repeated reopen-kill)
		measure "$store" --label=kill --records="$small" --workload="$workload"
	done
}

section_memory() {
	if ! "$bench" --memory="$memory_bytes" --records=1k --ops=1 --workload=read > /dev/null; then
		echo "run.sh: SKIPPED, no row for more data than memory: no memory control group here" >&2
		return
	fi
	for store in $(those bwt lmdb rocksdb); do
		say "$store: $memory_records records, $memory_bytes bytes of memory"
		measure "$store" --label=memory --records="$memory_records" --memory="$memory_bytes" \
			--seconds="$seconds" --workload="read,put,$(repeated read:1 put:1)"
	done
}

section_bytes() {
	local durable=$small
	say "bwt: durable batches of 100, ten times over"
	measure bwt --label=durable --records="$durable" --sync=sync --batch=100 --workload=steady
	for store in $(those bwt lmdb rocksdb wiredtiger leveldb bdb); do
		say "$store: durable batches of 100"
		measure "$store" --label=durable --records="$durable" --sync=sync --batch=100 \
			--seconds="$seconds" --workload=put
	done
	for target in 250 160; do
		say "bwt: ten times overwritten, space_target $target"
		measure bwt --label="space$target" --records="$steady" --space-target="$target" --workload=load,steady:2
	done
	say "bwt: a window slides $window times"
	measure bwt --label=window --records="$small" --ops="$window" --workload=window
}

# The value log's steady state: as much as the target and two files, and what that costs those who put.
section_values() {
	local target
	for target in 150 off; do
		say "bwt: $value_records values of 4 KiB to 1 MiB, twenty times overwritten, vlog_space_target $target"
		measure bwt --label="vlog-$target" --records="$value_records" --value-least=4096 --value-size=1048576 \
			--vlog-space-target=$target --time-every=1 --workload=load,values
	done
}

section_small() {
	say "bwt: 8-byte values"
	measure bwt --label=small --records="$records" --value-size=8 --seconds="$seconds" \
		--workload="load:1,$(repeated read:1),load:2,$(repeated read:2)"
}

section_txn() {
	for store in $(those bwt bwt-txn); do
		say "$store: a put, a get"
		measure "$store" --label=one --records="$small" --seconds="$short" --workload="load,$(repeated read put)"
	done
	for store in $(those bwt-txn rocksdb-txn wiredtiger); do
		say "$store: transactions"
		measure "$store" --label=batch4 --records="$small" --batch=4 --seconds="$short" \
			--workload="load,$(repeated txn:2 txn:8)"
	done
	for store in $(those bwt rocksdb); do
		say "$store: 10 puts a transaction"
		measure "$store" --label=batch10 --records="$small" --batch=10 --seconds="$short" \
			--workload="load,$(repeated put:2)"
	done
}

section_seerdb() {
	for store in $stores; do
		say "$store: seerdb's workload"
		measure "$store" --label=seerdb --records=100k --key-prefix=key_ --key-size=12 --value-size=1024 \
			--seconds="$short" --workload="$(repeated load-seq read mix scan)"
	done
}

# Only a picture: throughput and latency while checkpoints come and go.
section_time() {
	local picture
	if ! command -v gnuplot > /dev/null; then
		echo "run.sh: SKIPPED, no pictures: no gnuplot here" >&2
		return
	fi
	picture=$(those bwt lmdb rocksdb | paste -sd,)
	say "$picture: puts over time"
	measure "$picture" --label=time --records="$small" --seconds="$series_seconds" --workload=put:2 \
		--plot="$results/time.svg" --series="$results/time.txt"
}

started=$(date +%s)
trap 'exit 130' INT TERM
for section in ${sections:-main ycsb commit pmem scale busy kill memory bytes values small txn seerdb time}; do
	if ! declare -F "section_$section" > /dev/null; then
		echo "run.sh: no section $section" >&2
		exit 2
	fi
	began=$(date +%s)
	"section_$section"
	say "$section took $(($(date +%s) - began)) s"
done

{
	echo "bwt-bench, $(date -u '+%Y-%m-%d %H:%M UTC'), $(($(date +%s) - started)) s, seed $seed"
	awk -v records="$records" -v json="$results/results.json" -f "$here/results.awk" \
		-f "$here/table.awk" "$here/rows.txt" "$lines"
} | tee "$results/table.txt"
if command -v gnuplot > /dev/null; then
	awk -v dir="$results" -f "$here/results.awk" -f "$here/plot.awk" "$here/rows.txt" "$lines" | gnuplot ||
		echo "run.sh: gnuplot failed" >&2
	# Groups without anything in them are a third of what gnuplot writes.
	sed -i -e '/^<g .*>$/ { N; /\n<\/g>$/d }' "$results"/*.svg
fi
echo
echo "all results: $lines, $results/results.json"
exit $failed
