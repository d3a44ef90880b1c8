#!/bin/bash
# SPDX-License-Identifier: MIT
# check-headers.sh HEADER... - every header compiles alone; bwt.h also as plain C and as C++
set -u

CC=${CC:-gcc}
CXX=${CXX:-g++}
: "${CPPFLAGS:=-D_GNU_SOURCE -Ilib -I.}"
bad=0

try() { # NAME COMMAND... : the header text comes on standard input
	local name=$1

	shift
	if ! "$@" -fsyntax-only -; then
		echo "$name does not compile alone: $*"
		bad=1
	fi
}

for header in "$@"; do
	# A header may hold inline functions that the empty program does not call.
	# shellcheck disable=SC2086
	try "$header" "$CC" -x c -std=gnu11 $CPPFLAGS -Wall -Wextra -Wconversion -Wshadow -Werror \
		<<<"#include \"$header\""
done
for standard in c99 c11 gnu11; do
	try "lib/bwt.h as $standard" "$CC" -x c -std=$standard -Ilib -Wall -Wextra -Wpedantic -Werror \
		<<<'#include <bwt.h>'
done
if command -v "$CXX" >/dev/null; then
	for standard in c++11 c++20; do
		try "lib/bwt.h as $standard" "$CXX" -x c++ -std=$standard -Ilib -Wall -Wextra -Wpedantic -Werror \
			<<<'#include <bwt.h>'
	done
else
	echo "no $CXX: lib/bwt.h was not tried as C++"
fi
exit $bad
