#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_probes.sh - the static probes of the shared library: one for each counter of base/stats.h, and no other
. "$(dirname "$0")/common.sh"

command -v readelf >/dev/null || skip "no readelf"
library=$(find "$BUILD" -maxdepth 1 -name 'libbwt.so.*.*' | head -n 1)
[ -n "$library" ] || fail "no shared library in $BUILD"
readelf -nW "$library" >notes
grep -q stapsdt notes || skip "built without <sys/sdt.h> (systemtap-sdt-dev): no probes"

sed -n '/^#define STATS_COUNTERS/,/^$/s/.*X([A-Z_]*, \([a-z_]*\)).*/\1/p' "$root/lib/base/stats.h" | sort -u >counters
awk '/Provider:/ { provider = $NF } $1 == "Name:" && provider == "bwt" { print $2 }' notes | sort -u >probes
[ "$(wc -l <counters)" -ge 10 ] || fail "the counters were not found in base/stats.h"
same counters probes

# The scripts know no probe that is not there. They are compiled here, not run: that takes root, and BPF.
if command -v bpftrace >/dev/null; then
	for script in "$root"/tools/*.bt; do
		bpftrace -d "$script" "$(realpath "$library")" >compiled 2>&1
		! grep -i 'error' compiled | grep -v RLIMIT || fail "${script##*/}: bpftrace does not take it"
	done
fi
