#!/bin/bash
# SPDX-License-Identifier: MIT
#
# sim.sh - "make sim": a long run of the crash simulator, then at which call sites the power was cut
#
#   sim.sh PROGRAM        PROGRAM is .../tests/sim/sim_crash
#   IMAGES=1000000 SECONDS_MAX=600 SEED=n as for the program
set -u
program=$1
sites=$(mktemp)
trap 'rm -f "$sites" "$sites".*' EXIT
IMAGES=${IMAGES:-1000000} SECONDS_MAX=${SECONDS_MAX:-600} SIM_SITES=$sites "$program" || exit 1

# Every call of a function that waits for a disk: the address behind the call instruction.
objdump -d --no-show-raw-insn "$program" | awk '
	wanted { sub(":", "", $1); print $1; wanted = 0 }
	/call.*<sys_(dir|file|map)_/ && !/<sys_file_(close|unlock|lock_owner|bytes_written|count_written)>/ &&
		!/<sys_map_(close|catch_faults)>/ { wanted = 1 }' |
	sort -u >"$sites.calls"
# Address, file:line of the call (one byte back), for those of the library.
paste "$sites.calls" <(while read -r at; do printf '0x%x\n' $((16#$at - 1)); done <"$sites.calls" |
	addr2line -e "$program" | sed "s,^$PWD/,,; s, (discriminator.*,,") |
	grep -P '\t(.*/)?(lib/(base|mem|log|tree|txn|db)|recovery)/' >"$sites.lines"
awk -v OFS='\t' '
	NR == FNR { if ($1 !~ /^"/) { calls[$1] = $2; cuts[$1] = $3 } else { point[$0]; if ($NF > 0) hit++; points++ } next }
	{ all[$2]; c[$2] += calls[$1]; k[$2] += cuts[$1] }
	END {
		for (line in all) { n++; if (k[line] > 0) cut++; else if (c[line] > 0) print "  reached, not cut at:", line; else print "  never reached:", line }
		printf "coverage: cut at %d of %d call sites of the disk, and at %d of %d test points and ring operations\n", cut, n, hit, points
	}' "$sites" "$sites.lines" | sort
