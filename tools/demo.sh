#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demo.sh - the main job on real data, told step by step; started by "make demo", tools in PATH
#
# Loads the Debian package index and every path under /usr while the loader is killed again and
# again, proves after each kill that nothing acknowledged is lost, and compares the result with LMDB.
# Ends with a status other than 0 when anything differs.
#
#   DEMO_DIR=folder  work there (default: a new folder under ${TMPDIR:-/tmp})   KEEP=1  leave it there
#   KILLS=5          how often the loader is killed                             SEED=n  the moments
set -u -o pipefail

KILLS=${KILLS:-5}
SEED=${SEED:-$(date +%s)}
RANDOM=$((SEED % 32768))
if [ -n "${DEMO_DIR:-}" ]; then
	mkdir -p "$DEMO_DIR" || exit 1
	dir=$DEMO_DIR
else
	dir=$(mktemp -d "${TMPDIR:-/tmp}/bwt-demo-XXXXXX") || exit 1
fi
store=$dir/store
acks=$dir/acknowledged
packages=$dir/packages.records
paths=$dir/paths.records
loader=
timings=()
step_name=
rm -rf "$store" "$acks" "$dir"/lmdb-*

if [ -t 1 ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
else
	bold='' plain=''
fi

clean_up() {
	[ -n "$loader" ] && kill -KILL "$loader" 2>/dev/null
	if [ "${KEEP:-0}" = 1 ]; then
		echo "kept: $dir"
	elif [ -n "${DEMO_DIR:-}" ]; then
		rm -rf "$store" "$acks" "$packages" "$paths" "$dir"/*.raw "$dir"/*.dump "$dir"/lmdb-*
	else
		rm -rf "$dir"
	fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

now_ms() { echo $(($(date +%s%N) / 1000000)); }

end_step() {
	local took

	[ -z "$step_name" ] && return
	took=$(($(now_ms) - step_begin))
	timings+=("$(printf '%7d.%d s  %s' $((took / 1000)) $((took % 1000 / 100)) "$step_name")")
	step_name=
}

step() {
	end_step
	step_name=$1
	step_begin=$(now_ms)
	printf '\n%s== %s%s\n' "$bold" "$1" "$plain"
}

say() { printf '   %s\n' "$*"; }

fail() {
	printf '\nDEMO FAILED: %s\n' "$*" >&2
	KEEP=1
	exit 1
}

run() { # shown, indented, checked
	printf '   $ %s\n' "${*//$dir/\$DIR}"
	"$@" 2>&1 | sed 's/^/   /'
	return "${PIPESTATUS[0]}"
}

take_packages() {
	say "The Debian package index of this machine (apt-cache dumpavail)."
	apt-cache dumpavail >"$dir/packages.raw" 2>/dev/null
	if [ "$(wc -c <"$dir/packages.raw")" -lt 1000000 ] && [ "$(id -u)" -eq 0 ]; then
		say "apt has no lists yet: apt-get update"
		apt-get -q update >/dev/null 2>&1
		apt-cache dumpavail >"$dir/packages.raw" 2>/dev/null
	fi
	if [ "$(wc -c <"$dir/packages.raw")" -lt 1000000 ]; then
		say "apt has no lists and none can be fetched: the installed packages instead."
		cp /var/lib/dpkg/status "$dir/packages.raw" || fail "no package index on this machine"
	fi
	run bwt-demo prepare packages "$dir/packages.raw" "$packages" || fail "no packages"
}

take_paths() {
	say "Every path under /usr, with what stat says of it."
	find /usr -xdev -print0 2>/dev/null |
		xargs -0 stat --printf='%n\0%A %h %U %G %s bytes, modified %y, inode %i\0' \
			>"$dir/paths.raw" 2>/dev/null
	run bwt-demo prepare paths "$dir/paths.raw" "$paths" || fail "no paths"
}

check_store() { # what is expected
	say "bwt-fsck, read-only, before anybody repairs anything:"
	run bwt-fsck "$store" || fail "bwt-fsck found damage ($1)"
	say "Reopening, and comparing:"
	run bwt-demo verify "$store" "$packages" "$paths" "$acks" ${2:+"$2"} || fail "records differ ($1)"
}

# Start the loader and let a second process kill it after a random while; true if it was killed.
load_and_kill() { # MILLISECONDS
	local killer status

	bwt-demo load "$store" "$packages" "$paths" "$acks" >"$dir/loader.out" 2>&1 &
	loader=$!
	(
		sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
		exec kill -KILL "$loader" 2>/dev/null
	) &
	killer=$!
	wait "$loader" 2>/dev/null
	status=$?
	loader=
	wait "$killer" 2>/dev/null
	sed 's/^/   /' "$dir/loader.out"
	[ $status -eq 137 ] && return 0
	[ $status -eq 0 ] || fail "the loader ended with status $status"
	return 1
}

# Data lines of section $2 (1 = first) of a dump.
section() {
	awk -v want="$2" '
		/^VERSION=/ { section++ }
		/^DATA=END/ { data = 0 }
		data && section == want { print }
		/^HEADER=END/ { data = 1 }' "$1"
}

# One section of our dump through the real mdb_load and mdb_dump, and the difference.
compare_with_lmdb() { # SECTION NAME
	local env=$dir/lmdb-$1 size mapsize

	mkdir -p "$env"
	size=$(stat -c %s "$dir/store.dump")
	# mdb_load sizes its map by the header line of this name; our dump knows nothing of maps.
	mapsize=$((size * 2 / 1048576 * 1048576 + 134217728))
	{
		printf 'VERSION=3\nformat=bytevalue\ntype=btree\nmapsize=%d\nHEADER=END\n' $mapsize
		section "$dir/store.dump" "$1"
		echo "DATA=END"
	} >"$dir/section.dump"
	mdb_load -f "$dir/section.dump" "$env" || fail "mdb_load refused our dump of $2"
	mdb_dump -f "$dir/lmdb.dump" "$env" || fail "mdb_dump failed"
	section "$dir/section.dump" 1 >"$dir/ours.dump"
	section "$dir/lmdb.dump" 1 >"$dir/theirs.dump"
	if ! cmp "$dir/ours.dump" "$dir/theirs.dump"; then
		fail "LMDB gives other records than we do for $2"
	fi
	say "$2: $(($(wc -l <"$dir/ours.dump") / 2)) records, $(stat -c %s "$dir/ours.dump") bytes of dump: the same from LMDB"
}

printf '%slibbwt demo%s (%s), in %s, SEED=%s\n' "$bold" "$plain" "$(bwt-fsck --version 2>/dev/null)" "$dir" "$SEED"

step "1. Real data"
take_packages
take_paths

step "2. Load with 2 threads, every put durable, while the loader is killed"
killed=0
delay_max=5000
for ((turn = 1; turn <= KILLS; turn++)); do
	delay=$((delay_max / 50 + RANDOM % delay_max))
	say "-- turn $turn: SIGKILL after $delay ms"
	if load_and_kill $delay; then
		killed=$((killed + 1))
		say "killed; the kernel kept $(($(stat -c %s "$acks" 2>/dev/null || echo 0) / 4)) acknowledgements"
		if [ -s "$acks" ]; then
			check_store "after kill $turn"
		else
			say "killed before anything was acknowledged"
		fi
	elif [ $killed -gt 0 ]; then
		say "the loader was done before the signal came"
		break
	else
		say "too fast to be killed: once more from the beginning, with less time"
		rm -rf "$store" "$acks"
		delay_max=$((delay_max / 4))
	fi
done
[ $killed -gt 0 ] || fail "the loader could not be killed in time"

step "3. Finish the load"
bwt-demo load "$store" "$packages" "$paths" "$acks" >"$dir/loader.out" 2>&1 &
loader=$!
sleep 2
if kill -0 "$loader" 2>/dev/null; then
	say "Meanwhile, from outside (bwt-stat reads counters that the loader's process keeps in a file):"
	run bwt-stat "$store" || fail "bwt-stat failed beside the loader"
fi
wait "$loader" || { sed 's/^/   /' "$dir/loader.out"; loader=; fail "the loader failed"; }
loader=
sed 's/^/   /' "$dir/loader.out"
check_store "after the whole load" all
say "The loader was killed $killed times; nothing that was acknowledged was lost."

step "4. Compare with LMDB: bwt-dump, mdb_load, mdb_dump"
bwt-dump "$store" >"$dir/store.dump" || fail "bwt-dump failed"
say "dump: $(stat -c %s "$dir/store.dump") bytes, $(grep -c '^VERSION=' "$dir/store.dump") trees"
compare_with_lmdb 1 "packages"
compare_with_lmdb 2 "paths"

step "5. A look inside"
run bwt-demo look "$store" "$packages" "$paths" || fail "lookups failed"
say "on disk: $(du -sh "$store" | cut -f1) for $(($(stat -c %s "$packages") + $(stat -c %s "$paths"))) bytes of records"

end_step
printf '\n%s== How long it took%s\n' "$bold" "$plain"
printf '   %s\n' "${timings[@]}"
printf '\n%sEverything is there, and everything is equal.%s\n' "$bold" "$plain"
