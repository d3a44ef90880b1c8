#!/bin/bash
# SPDX-License-Identifier: MIT
#
# fuzz.sh FOLDER SECONDS - run every fuzz target in FOLDER for so long, from the corpus beside this file
#
# What a target crashed on stays in FOLDER/found; a crash makes the exit status 1.
set -u
folder=$1 seconds=$2
corpus=$(dirname "$0")/corpus
mkdir -p "$folder/found"
bad=0
for target in "$folder"/fuzz_*; do
	[ -x "$target" ] && [ -f "$target" ] || continue
	name=${target##*/}
	mkdir -p "$folder/corpus/$name"
	seeds=()
	[ -d "$corpus/$name" ] && seeds=("$corpus/$name")
	if "$target" -max_total_time="$seconds" -max_len=20000 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$folder/found/$name-" "$folder/corpus/$name" "${seeds[@]}" >"$folder/$name.log" 2>&1; then
		echo "$name: $(sed -n 's/^stat::number_of_executed_units: //p' "$folder/$name.log") inputs, no fault"
	else
		echo "$name: FAULT"
		tail -n 40 "$folder/$name.log"
		bad=1
	fi
done
exit $bad
