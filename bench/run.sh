#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh [--quick] --bench PROGRAM --results DIR - every store on every row, then one table
#
# Each store loads its records once and does all rows on them; only the durable commits go round by
# round through all stores, because a disk is not the same disk a minute later. All result lines go
# to DIR/results.txt, the table to DIR/table.txt and to standard output. A store that loses is no failure; libbwt
# answering wrongly or not at all is.
set -u

bench=
results=
quick=0
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=1 ;;
	--bench) bench=$2; shift ;;
	--results) results=$2; shift ;;
	*) echo "usage: run.sh [--quick] --bench PROGRAM --results DIR" >&2; exit 2 ;;
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

if [ $quick -eq 1 ]; then
	records=1M seconds=0.7 rounds=3
	ycsb_threads="2" ycsb_seconds=0.7 ycsb_rounds=1
	commit_threads="1 8 32" commit_seconds=0.7
else
	records=10M seconds=5 rounds=3
	ycsb_threads="1 2" ycsb_seconds=2 ycsb_rounds=3
	commit_threads="1 2 4 8 16 32" commit_seconds=2
fi
[ -n "${BENCH_RECORDS:-}" ] && records=$BENCH_RECORDS

# repeated N ITEM...: each item N times, with commas between all
repeated() {
	count=$1
	list=
	shift
	for item in "$@"; do
		i=0
		while [ $i -lt "$count" ]; do
			list=$list${list:+,}$item
			i=$((i + 1))
		done
	done
	echo "$list"
}

has() { "$bench" --list | grep -q "^  $1 "; }

# measure STORE OPTION...: one call of the program, its lines kept
measure() {
	store=$1
	shift
	if ! "$bench" --backend="$store" --seed="$seed" "$@" >> "$lines"; then
		echo "run.sh: $store failed: $*" >&2
		[ "$store" = bwt ] && failed=1
	fi
}

say() { echo "$(date +%H:%M:%S) $*" >&2; }

stores=
for store in bwt lmdb rocksdb wiredtiger leveldb bdb; do
	if has $store; then
		stores="$stores $store"
	else
		say "$store is not in this build"
	fi
done
[ -n "${BENCH_STORES:-}" ] && stores=$BENCH_STORES
started=$(date +%s)
trap 'exit 130' INT TERM

ycsb=
for threads in $ycsb_threads; do
	for letter in a b c f d e; do
		ycsb="$ycsb ycsb-$letter:$threads"
	done
done
commits=
for threads in $commit_threads; do
	commits=$commits${commits:+,}commit:$threads
done

for store in $stores; do
	say "$store: $records records of 8 + 100 bytes"
	measure "$store" --records="$records" --seconds=$seconds --workload="load,$(repeated $rounds \
		read:1 read:2 read-many:1 read-many:2 scan:1 scan:2 scan-full put:1 put:2)"
	say "$store: $records records in key order"
	measure "$store" --records="$records" --workload=load-seq
	say "$store: YCSB, 1M records of 24 + 100 bytes"
	# shellcheck disable=SC2086
	measure "$store" --records=1M --key-size=24 --seconds=$ycsb_seconds \
		--workload="$(repeated $ycsb_rounds $ycsb)"
done
for store in bwt-txn rocksdb-txn wiredtiger; do
	case " $stores " in
	*" ${store%-txn} "*) has "$store" || continue ;;
	*) continue ;;
	esac
	say "$store: transactions"
	[ $store = bwt-txn ] && measure "$store" --records="$records" --seconds=$seconds \
		--workload="load,$(repeated $rounds read:1 put:1)"
	measure "$store" --records=1M --batch=4 --seconds=$seconds --workload="load,$(repeated $rounds txn:2 txn:8)"
done
for store in bwt rocksdb; do
	case " $stores " in *" $store "*)
		say "$store: 10 puts a transaction"
		measure "$store" --records="$records" --batch=10 --seconds=$seconds --workload="load,$(repeated $rounds put:2)"
	esac
done
round=0
while [ $round -lt 3 ]; do
	round=$((round + 1))
	for store in raw $stores; do
		say "$store: durable commits, round $round of 3"
		measure "$store" --records=100k --seconds=$commit_seconds --workload="$commits"
	done
done

{
	echo "bwt-bench, $(date -u '+%Y-%m-%d %H:%M UTC'), $(($(date +%s) - started)) s, seed $seed"
	awk -v records="$records" -f "$here/table.awk" "$lines"
} | tee "$results/table.txt"
echo
echo "all results: $lines"
exit $failed
