#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_readme.sh - the program of README.md compiles against an installed library, static and shared, and runs
set -eu -o pipefail

dir=$(mktemp -d "${TMPDIR:-/tmp}/bwt-readme-XXXXXX")
trap 'rm -rf "$dir"' EXIT
root=$PWD
prefix=$dir/usr
make=${MAKE:-make}

# The variant in $BUILD was built already; install copies it.
name=${BUILD##*/}
variant="BUILD=$BUILD"
case $name in san-* | no-*) variant="BUILD=${BUILD%/*}" ;; esac
case $name in san-*) name=${name#san-} variant="$variant SAN=${name%%no-*}" ;; esac
for part in PMEM URING LZ4 ZSTD; do
	case $name in *no-${part,,}*) variant="$variant $part=0" ;; esac
done
# shellcheck disable=SC2086
$make -s --no-print-directory $variant install PREFIX="$prefix" >/dev/null
sed -n '/^```c$/,/^```$/p' README.md | grep -v '^```' >"$dir/hello.c"
[ -s "$dir/hello.c" ]

case ${BUILD##*/} in
san-address) flags=-fsanitize=address ;;
san-undefined) flags=-fsanitize=undefined ;;
san-thread) flags=-fsanitize=thread ;;
*) flags= ;;
esac
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
cd "$dir"
# shellcheck disable=SC2046,SC2086
${CC:-gcc} -Wall -Wextra -Werror $flags -o hello-shared hello.c $(pkg-config --cflags --libs bwt)
# shellcheck disable=SC2046,SC2086
${CC:-gcc} -Wall -Wextra -Werror $flags -o hello-static hello.c $(pkg-config --cflags bwt) \
	"$prefix/lib/libbwt.a" -pthread $(pkg-config --libs --static bwt | sed 's/-lbwt//')

for program in hello-static hello-shared; do
	rm -rf example-store
	said=$(LD_LIBRARY_PATH=$prefix/lib "./$program")
	[ "$said" = "hello, world" ] || { echo "$program said: $said"; exit 1; }
done

# Nothing but the public names leaves the library, shared or static.
shared=$(nm -D --defined-only "$prefix/lib/libbwt.so" | awk '{ print $NF }' |
	sed 's/@.*//' | grep -v -e '^bwt_' -e '^BWT_0$' || true)
static=$(nm -g --defined-only "$prefix/lib/libbwt.a" 2>/dev/null | awk 'NF == 3 { print $3 }' |
	grep -v -e '^bwt_' -e '^__asan' -e '^__odr_asan' || true)
[ -z "$shared" ] || { echo "exported by libbwt.so: $shared"; exit 1; }
[ -z "$static" ] || { echo "global in libbwt.a: $static"; exit 1; }

# Every function of the header is there.
functions=$(sed -n '/^BWT_API/,/;/p' "$prefix/include/bwt.h" | grep -o '\bbwt_[a-z_]*(' | tr -d '(' | sort -u)
defined=$(nm -D --defined-only "$prefix/lib/libbwt.so" | awk '{ print $NF }' | sed 's/@.*//' | sort)
missing=$(comm -23 <(echo "$functions") <(echo "$defined"))
[ -z "$missing" ] || { echo "declared and not there: $missing"; exit 1; }

# What install put there, uninstall takes away.
cd "$root"
# shellcheck disable=SC2086
$make -s --no-print-directory $variant uninstall PREFIX="$prefix" >/dev/null
left=$(find "$prefix" -type f -o -type l)
[ -z "$left" ] || { echo "left by uninstall: $left"; exit 1; }
echo "the program of README.md says what it should"
