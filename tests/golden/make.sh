#!/bin/bash
# SPDX-License-Identifier: MIT
#
# make.sh - the golden files of the format that this tree writes: tests/golden/format-MAJOR.MINOR
#
# Run once when a version of the format is final, never again for that version: the files stand for
# the stores that users have. BUILD=folder says where "make" put the library and the tools.
set -eu -o pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(realpath "${BUILD:-$root/build}")
version=$(sed -n 's/^#define FORMAT_M[A-Z]* \([0-9]*\)u.*/\1/p' "$root/lib/mem/superblock.h" | paste -sd.)
to=$root/tests/golden/format-$version
[ ! -e "$to" ] || [ "${1:-}" = --again ] || { echo "$to is there: a format is made once"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$to"
# shellcheck disable=SC2046
"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O1 -I"$root/lib" -o "$work/write_golden" "$root/tests/golden/write_golden.c" \
	"$BUILD/libbwt.a" $(pkg-config --libs libpmem liburing liblz4 libzstd) -pthread
for state in closed killed; do
	"$work/write_golden" "$work/$state" $state
	tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - $state | xz -9 >"$to/$state.tar.xz"
done
"$BUILD/bin/bwt-dump" "$work/closed" | grep -v '^mapsize=' | xz -9 >"$to/dump.txt.xz"
ls -l "$to"
