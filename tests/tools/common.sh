# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# common.sh - what the tests of the tools share; sourced, with BUILD set or built in build/
#
#   $dir                       a fresh folder, removed at the end, which is the current one
#   expect STATUS COMMAND...   run it; its output is in $dir/out and $dir/err; fail on another status
#   says TEXT, complains TEXT  the last command's standard output or error contains TEXT
#   same FILE FILE             fail, showing the difference, unless the contents are equal
#   hold STORE COUNT [crash]   a process that puts COUNT pairs and stays (or dies without closing)
#   some_pairs COUNT           small pairs in order, as bwt-load -T reads them, and one value of 50,000 bytes
#   skip WHY                   end as skipped
set -eu -o pipefail

BUILD=$(realpath "${BUILD:-build}")
PATH=$BUILD/bin:$PATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
test_name=$(basename "$0" .sh)
dir=$(mktemp -d "${TMPDIR:-/tmp}/bwt-$test_name-XXXXXX")
cd "$dir"
trap 'cd /; [ "${KEEP:-0}" = 1 ] && echo "kept $dir" || rm -rf "$dir"' EXIT

fail() {
	echo "$test_name: line ${BASH_LINENO[${2:-0}]}: $1"
	for file in out err; do
		[ -s "$dir/$file" ] && sed "s/^/  $file: /" "$dir/$file" | head -n 20
	done
	exit 1
}

skip() {
	echo "skipped: $1"
	exit 77
}

expect() { # STATUS COMMAND...
	local wanted=$1 status=0

	shift
	"$@" >"$dir/out" 2>"$dir/err" || status=$?
	[ "$status" -eq "$wanted" ] || fail "exit status $status, not $wanted: $*" 1
}

says() { grep -qF -- "$1" "$dir/out" || fail "standard output lacks \"$1\"" 1; }
complains() { grep -qF -- "$1" "$dir/err" || fail "standard error lacks \"$1\"" 1; }

same() {
	cmp -s "$1" "$2" || {
		diff "$1" "$2" | head -n 20
		fail "$1 and $2 differ" 1
	}
}

# Compile a C program against the library of this build.
compile() { # SOURCE PROGRAM
	local sanitizer=

	case $BUILD in */san-*) sanitizer="-fsanitize=${BUILD##*/san-}" ;; esac
	# shellcheck disable=SC2046,SC2086
	"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror $sanitizer -I"$root/lib" -o "$2" "$1" \
		"$BUILD/libbwt.a" $(pkg-config --silence-errors --libs libpmem) \
		$(pkg-config --silence-errors --libs liburing) $(pkg-config --silence-errors --libs liblz4) \
		$(pkg-config --silence-errors --libs libzstd) -pthread
}

some_pairs() { # COUNT
	local i

	for i in $(seq 1 "$1"); do printf 'key %05d\nvalue %d\n' "$i" "$i"; done
	printf 'large\n'
	head -c 50000 /dev/zero | tr '\0' L
	printf '\n'
}

hold() { # STORE COUNT [crash]; the process is $hold_pid
	[ -x "$dir/hold" ] || compile "$root/tests/tools/hold.c" "$dir/hold"
	if [ "${3:-}" = crash ]; then
		"$dir/hold" "$1" "$2" crash
		return
	fi
	mkfifo "$dir/ready"
	"$dir/hold" "$1" "$2" >"$dir/ready" &
	hold_pid=$!
	read -r _ <"$dir/ready"
	rm "$dir/ready"
}
