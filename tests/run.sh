# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# run.sh - functions that run tests and count them; sourced by check.sh
#
#   run_begin LOGS                         empty the counters; output of tests goes to the folder LOGS
#   run_test NAME SECONDS COMMAND...       start a test as soon as one of RUN_JOBS places is free
#   run_now NAME SECONDS COMMAND...        the same, alone; its result is the test's
#   run_wait                               wait for all that were started
#   run_stop                               kill and forget what is running
#   run_end                                print "N passed, N failed, N skipped"; false if any failed
#
# A test passes with exit status 0, is skipped with 77, and fails with any other, or when its seconds
# are over. It has its own TMPDIR, removed afterwards. What a failing test said is printed, and kept
# with that of the others under RUN_LOGS.

RUN_JOBS=${RUN_JOBS:-2}

run_begin() {
	RUN_LOGS=$1
	rm -rf "$RUN_LOGS"
	mkdir -p "$RUN_LOGS"
	RUN_RESULTS=$RUN_LOGS/results
	: >"$RUN_RESULTS"
	RUN_ACTIVE=0
	RUN_STARTED=$SECONDS
}

run_one() { # NAME SECONDS COMMAND... : wants a shell of its own, for TMPDIR and traps
	local name=$1 limit=$2 log=$RUN_LOGS/${1//[\/ :]/_}.log begin tenths status word child

	shift 2
	TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/bwt-check-XXXXXX")
	export TMPDIR
	begin=$(date +%s%N)
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null &
	child=$!
	trap 'kill "$child" 2>/dev/null; rm -rf "$TMPDIR"; exit 130' INT TERM
	wait "$child" 2>/dev/null
	status=$?
	rm -rf "$TMPDIR"
	case $status in
	0) word=pass ;;
	77) word=skip ;;
	*) word=FAIL ;;
	esac
	tenths=$((($(date +%s%N) - begin) / 100000000))
	# Written at once, so that the lines of tests that end together do not mix.
	{
		printf '%s %4d.%d s  %s' "$word" $((tenths / 10)) $((tenths % 10)) "$name"
		case $word in
		skip) printf '  (%s)' "$(grep -m 1 skipped "$log" || tail -n 1 "$log")" ;;
		FAIL)
			if [ $status -eq 124 ]; then
				printf '  (still running after %s s)' "$limit"
			else
				printf '  (exit status %d)' $status
			fi
			printf '\n'
			tail -n 60 "$log" | sed 's/^/    | /'
			printf '    | (all of it: %s)' "$log"
			;;
		esac
		printf '\n'
	} >"$log.line"
	cat "$log.line"
	rm -f "$log.line"
	echo "$word $name" >>"$RUN_RESULTS"
	[ $word != FAIL ]
}

run_now() {
	run_wait
	(run_one "$@")
}

run_test() {
	if [ "$RUN_ACTIVE" -ge "$RUN_JOBS" ]; then
		wait -n
		RUN_ACTIVE=$((RUN_ACTIVE - 1))
	fi
	run_one "$@" &
	RUN_ACTIVE=$((RUN_ACTIVE + 1))
}

run_stop() { # what was started, at once
	local running

	trap - INT TERM
	for running in $(jobs -p); do
		kill "$running" 2>/dev/null
	done
	wait
}

run_wait() {
	wait
	RUN_ACTIVE=0
}

run_end() {
	local passed failed skipped

	run_wait
	passed=$(grep -c '^pass' "$RUN_RESULTS")
	failed=$(grep -c '^FAIL' "$RUN_RESULTS")
	skipped=$(grep -c '^skip' "$RUN_RESULTS")
	echo "$((SECONDS - RUN_STARTED)) s"
	if [ "$failed" -ne 0 ]; then
		echo "failed:"
		sed -n 's/^FAIL /  /p' "$RUN_RESULTS"
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
