#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint.sh LIBRARY SOURCES -- LIBRARY HEADERS -- OTHER SOURCES AND HEADERS
#
# clang-format for all of them, clang-tidy for sources, cppcheck for the library, mandoc for the
# manual. A tool that is not there is named and left out. FORMAT=fix rewrites instead of complaining.
set -u

lists=("" "" "")
n=0
for file in "$@"; do
	if [ "$file" = -- ]; then
		n=$((n + 1))
	else
		lists[n]+=" $file"
	fi
done
read -r -a sources <<<"${lists[0]}"
read -r -a headers <<<"${lists[1]}"
read -r -a others <<<"${lists[2]}"
other_sources=()
for file in "${others[@]}"; do
	[[ $file == *.c ]] && other_sources+=("$file")
done
read -r -a flags <<<"-std=gnu11 ${CPPFLAGS:--D_GNU_SOURCE -Ilib -I.}"
bad=0

step() { # TOOL TITLE COMMAND...
	local tool=$1 title=$2

	shift 2
	if ! command -v "$tool" >/dev/null; then
		echo "lint: no $tool, left out"
		return
	fi
	echo "lint: $title"
	"$@" || bad=1
}

tidy() { # CHECKS FILE...
	local checks=$1

	shift
	[ $# -eq 0 ] && return
	printf '%s\0' "$@" | CHECKS=$checks FLAGS="${flags[*]} -DBWT_TEST" xargs -0 -n 1 -P 2 \
		sh -c 'clang-tidy --quiet --checks="$CHECKS" "$@" -- $FLAGS 2>/dev/null' sh
}

formatted() {
	local file ok=0

	for file in "$@"; do
		if ! clang-format "$file" | cmp -s - "$file"; then
			echo "$file: not as .clang-format says (make format)"
			ok=1
		fi
	done
	return $ok
}

if [ "${FORMAT:-check}" = fix ]; then
	clang-format -i "${sources[@]}" "${headers[@]}" "${others[@]}"
	exit
fi
step clang-format "clang-format" formatted "${sources[@]}" "${headers[@]}" "${others[@]}"
step clang-tidy "clang-tidy, library" tidy "" "${sources[@]}"
# Programs may call exit() and getenv(): they know their threads.
step clang-tidy "clang-tidy, tools and tests" tidy "-concurrency-mt-unsafe" "${other_sources[@]}"
step cppcheck "cppcheck" cppcheck --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j 2 \
	--enable=warning,portability --suppress=missingIncludeSystem --suppress=unknownMacro \
	-Ilib -I. -D_GNU_SOURCE '-D_Atomic(type)=type' -D__x86_64__ -D__BYTE_ORDER__=1234 -D__ORDER_LITTLE_ENDIAN__=1234 \
	-DUINTPTR_MAX=18446744073709551615ULL -DUINT64_MAX=18446744073709551615ULL "${sources[@]}"
if compgen -G 'man/*.[1-9]' >/dev/null; then
	step mandoc "manual pages" mandoc -T lint -W warning man/*.[1-9]
fi
[ $bad -eq 0 ] && echo "lint: clean"
exit $bad
