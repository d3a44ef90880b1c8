#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh - what "make check" runs; started by the Makefile, which sets BUILD O SAN PMEM URING LZ4 ZSTD CC MAKE
#
# A plain build: all tests; then a slice of them under each sanitizer and without each dependency, a
# build by clang, and the checks of layers and headers. In a variant (SAN=..., PMEM=0, URING=0, LZ4=0, ZSTD=0): all
# tests in that build and nothing else.
#
# At the end the planted faults and how many seeds it took the crash simulator to find each.
#
# FAULTS_LONG=1 ("make faults"): the tests on real file systems and devices alone, in their long forms.
# SOAK=1 ("make soak"): the tests of threads, crashes and searches alone, in their long forms.
#
#   RUN_JOBS=2   tests at a time          ONLY=text   only tests whose name contains it, this build
#   SEED=n       handed to random tests   KEEP=1      tests leave their stores behind
#   CHECK_SEED=  random tests take seeds of the time, as in a soak; else those that CHECK_SEED (1) gives,
#                so that a check of one commit asks the same questions each time
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/run.sh

: "${BUILD:=build}" "${O:=$BUILD}" "${SAN:=}" "${PMEM:=1}" "${URING:=1}" "${CC:=gcc}" "${CXX:=g++}"
: "${LZ4:=1}" "${ZSTD:=1}"
: "${MAKE:=make}" "${ONLY:=}" "${SOAK:=}" "${FAULTS_LONG:=}"
unset MAKELEVEL
[ -n "$SOAK" ] && CHECK_SEED=
export CHECK_SEED=${CHECK_SEED-1}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1 second_deadlock_stack=1}

# Tests of some ten seconds and more.
LONG_ONES='^(sched|sim|faults)/|txn_large|tool_bench|protocol_txn|crash_|stress_|model_'

# Build targets in a variant; false, and counted as a failed test, when that does not work.
build() { # NAME VARIABLES-AND-TARGETS...
	local name=$1

	shift
	run_now "build $name" 1800 "$MAKE" --no-print-directory -j2 "$@"
}

# The tests of a variant, as "make list-tests" names them, that match a pattern; those that take long first, so that
# at the end no processor waits for another.
matching() { # PATTERN MAKE-VARIABLES...
	local pattern=$1 path name

	shift
	while read -r path; do
		name=${path##*/tests/}
		name=${name#tests/}
		[[ $name =~ $pattern ]] || continue
		if [[ $name =~ $LONG_ONES ]]; then echo "0 $path"; else echo "1 $path"; fi
	done <<<"$("$MAKE" -s --no-print-directory list-tests "$@")" | sort -s -n -k 1,1 | cut -d ' ' -f 2-
}

# Queue the tests of the variant in folder $1 whose path matches the pattern $3, named with prefix $2.
tests() { # FOLDER PREFIX PATTERN MAKE-VARIABLES...
	local folder=$1 prefix=$2 pattern=$3 limit path name fixed=()

	shift 3
	folder=$(realpath "$folder")
	# TSan leaves programs 1.5 TiB of addresses: room for the 1 TiB that a store reserves only where
	# the kernel does not scatter mappings.
	[[ $folder == */san-thread ]] && setarch -R true 2>/dev/null && fixed=(setarch -R)
	while read -r path; do
		name=${path##*/tests/}
		name=${name#tests/}
		[ -n "$path" ] && [[ $name == *$ONLY* ]] || continue
		limit=2400
		[[ $name == unit/* ]] && limit=600
		[[ $folder == */san-* ]] && limit=$((limit * 3))
		[ -n "$SOAK$FAULTS_LONG" ] && limit=$((limit * 30))
		case $path in
		*.sh) path="bash $path" ;;
		esac
		# shellcheck disable=SC2086
		run_test "$prefix$name" $limit "${fixed[@]}" \
			env PATH="$folder/bin:$PATH" BUILD="$folder" $path
	done <<<"$(matching "$pattern" "$@")"
}

slice() { # NAME PATTERN MAKE-VARIABLES... : a part of the tests, with little work each
	local name=$1 pattern=$2 folder targets

	shift 2
	folder=$("$MAKE" -s --no-print-directory print-O "$@")
	targets=$(matching "$pattern" "$@" | grep -v '\.sh$')
	# shellcheck disable=SC2086
	build "$name" "$@" lib tools $targets || return
	SHORT=1 tests "$folder" "$name: " "$pattern" "$@"
}

# What sim_planted printed: each fault, and the seeds and images that it took to find it.
planted() { # LOG
	[ -s "$1" ] || return 0
	echo
	grep -E '^  (ok|MISS|FALSE)|seed  *images|^planted faults' "$1"
}

trap 'run_stop; exit 130' INT TERM
run_begin "$O/check-logs"
here=("SAN=$SAN" "PMEM=$PMEM" "URING=$URING" "LZ4=$LZ4" "ZSTD=$ZSTD")
if [ -n "$SOAK" ]; then
	build "${SAN:-here}" "${here[@]}" all tests &&
		LONG=${LONG:-300} tests "$O" "" '^(model|stress|crash|protocol|txn)/' "${here[@]}"
	run_end
	exit
fi
if [ -n "$FAULTS_LONG" ]; then
	build "${SAN:-here}" "${here[@]}" tools tests &&
		RUN_JOBS=1 tests "$O" "" '^faults/' "${here[@]}" &&
		[ -z "$ONLY" ] && tests "$O" "" '^sim/sim_planted' "${here[@]}"
	run_wait
	planted "$O/check-logs/sim_sim_planted.log"
	run_end
	exit
fi
if build "${SAN:-here}" "${here[@]}" all tests; then
	tests "$O" "" . "${here[@]}"
fi
if [ -z "$SAN$ONLY" ] && [ "$PMEM$URING$LZ4$ZSTD" = 1111 ]; then
	run_test "layers" 60 "$MAKE" -s --no-print-directory check-layers
	run_test "headers" 300 "$MAKE" -s --no-print-directory check-headers
	# What each of them is for: memory everywhere, arithmetic once, and threads where there are any.
	slice "address" '^(unit|model|stress|txn)/|^sim/sim_sweep' SAN=address
	slice "undefined" '^(unit|model)/|^sim/sim_sweep' SAN=undefined
	slice "thread" '^(unit/(sys|mem|log|tree|txn|db)|model|stress|txn)/' SAN=thread
	slice "no-pmem" '^(unit/(sys|mem|log)/|model/model_map|tools/tool_(load|backup|fsck|stat|probes))' PMEM=0
	slice "no-uring" '^(unit/(sys|log)/|model/model_map|tools/tool_(load|backup|fsck|stat|probes))' URING=0
	slice "no-lz4" '^(unit/(log|db)/|tools/tool_golden)' LZ4=0
	slice "no-zstd" '^(unit/(log|db)/|tools/tool_golden)' ZSTD=0
	if [ "$CC" != clang ] && command -v clang >/dev/null; then
		build "clang" CC=clang "BUILD=$BUILD/clang" all tests
		run_now "fuzz" 1800 "$MAKE" --no-print-directory -j2 "BUILD=$BUILD" "FUZZ_SECONDS=${FUZZ_SECONDS:-10}" fuzz
	fi
fi
run_wait
planted "$O/check-logs/sim_sim_planted.log"
run_end
