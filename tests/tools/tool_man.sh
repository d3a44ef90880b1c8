#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_man.sh - manual pages: complete, well-formed, and their examples compile and run
. "$(dirname "$0")/common.sh"

man=$root/man
header=$root/lib/bwt.h

# ---- complete

for function in $(grep -o '^BWT_API .*(' "$header" | grep -o 'bwt_[a-z_]*(' | tr -d '('); do
	grep -qs "^\.Fn $function\b" "$man"/*.3 || fail "no page has $function()"
	grep -qs "^\.Nm $function\b" "$man"/*.3 || fail "no page is about $function()"
done
# The prototypes are those of the header, white space and line breaks aside.
sed -n '/^BWT_API /,/;/p' "$header" | tr -s '\n\t ' ' ' | grep -o 'BWT_API [^;]*;' | sed 's/BWT_API //' | while read -r prototype; do
	name=$(grep -o 'bwt_[a-z_]*(' <<<"$prototype" | head -n 1 | tr -d '(')
	arguments=$(sed "s/^[^(]*(//; s/);\$//" <<<"$prototype")
	[ "$arguments" = void ] && continue
	page=$(grep -l "^\.Fn $name \"" "$man"/*.3 | head -n 1)
	[ -n "$page" ] || fail "no synopsis of $name()"
	documented=$(sed -n "s/^\.Fn $name \"\(.*\)\"\$/\1/p" "$page" | head -n 1 | sed 's/" "/, /g')
	[ "$documented" = "$arguments" ] || fail "$(basename "$page"): $name($documented), the header has ($arguments)"
done
for code in $(grep -o 'X(BWT_[A-Z_]*' "$header" | cut -c3-); do
	grep -q "^\.It Dv $code\$" "$man/bwt_strerror.3" || fail "bwt_strerror.3 lacks $code"
done
for option in $(sed -n '/^struct bwt_options {/,/^};/p' "$header" | grep -o '[a-z_]*\(, [a-z_]*\)*;' | tr -d ',;'); do
	grep -q "\b$option\b" "$man/bwt_open.3" || fail "bwt_open.3 lacks the option $option"
done
for flag in $(grep -o '^#define BWT_[A-Z_]* 0x' "$header" | cut -d' ' -f2); do
	grep -qs "\b$flag\b" "$man"/*.3 || fail "no page has $flag"
done
for tool in "$root"/tools/bwt-*.c; do
	name=$(basename "$tool" .c)
	[ "$name" = bwt-demo ] || [ -e "$man/$name.1" ] || fail "no page about $name"
done

# ---- the format: every field of every stored struct, at its offset

fields_of() { # HEADER STRUCT: lines of "offset name", from the comments that begin with the offset
	sed -n "/^struct $2 {/,/^}/p" "$root/$1" |
		sed -n 's|^.*[ )]\**\([a-z_]*\)\(\[[^]]*\]\)\?; */\* *\(0x[0-9a-f]*\).*|\3 \1|p'
}
fields=0
while read -r file struct; do
	sed -n "/^\.Ss struct $struct\$/,/^\.S[sh] struct/p; /^\.Ss Blocks/,/^\.Ss Pages/p; /^\.Ss Trees/,/^\.Sh/p" \
		"$man/bwt-format.5" >section
	while read -r offset name; do
		grep -q "^\.It $offset Ta [a-z0-9_]* Ta $name\b" section ||
			fail "bwt-format.5 lacks $name at $offset of struct $struct ($file)"
		fields=$((fields + 1))
	done < <(fields_of "$file" "$struct")
done <<'END'
lib/mem/superblock.h superblock
lib/mem/block.h block_head
lib/page/base_page.h base_page
lib/page/delta.h leaf_delta
lib/page/delta.h index_delta
lib/page/delta.h value_ref
lib/txn/store.h catalog_entry
recovery/checkpoint_format.h image_root
recovery/checkpoint_format.h image_state
recovery/checkpoint_format.h image_chunk
recovery/checkpoint_format.h image_tree
recovery/checkpoint_format.h image_txn
lib/log/wal_format.h wal_segment_head
lib/log/wal_format.h wal_frame
lib/log/wal_format.h wal_op
lib/log/wal_format.h wal_txn
lib/log/wal_format.h wal_txn_part
lib/log/wal_format.h wal_txn_commit
lib/log/wal_format.h wal_readers_head
lib/log/wal_format.h wal_reader_entry
lib/log/vlog.h vlog_record
lib/db/stat_file.h stat_file
END
[ "$fields" -ge 100 ] || fail "only $fields fields were compared"
version=$(sed -n 's/^#define FORMAT_M[A-Z]* \([0-9]*\)u.*/\1/p' "$root/lib/mem/superblock.h" | paste -sd.)
grep -q "^This is format $version\.\$" "$man/bwt-format.5" || fail "bwt-format.5 is not about format $version"
while read -r tag number; do
	grep -q "^\.It $number Ta ${tag#BLOCK_} Ta " "$man/bwt-format.5" || fail "bwt-format.5 lacks $tag"
done < <(sed -n 's/^\t\(BLOCK_[A-Z_]*\) = \([0-9]*\),.*/\1 \2/p' "$root/lib/mem/block.h")

# ---- examples compile without warnings

cat >prelude.h <<'END'
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bwt.h"

END
examples=0
for page in "$man"/*.3 "$man/bwt.7" "$man/bwt-transactions.7" "$man/bwt-tuning.7"; do
	name=$(basename "$page" | cut -d. -f1)
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' "$page" | sed -n '/^\.Bd /,/^\.Ed/p' | grep -v '^\.[BE]d' |
		sed 's/\\e/\\/g' >example
	[ -s example ] || fail "$(basename "$page") has no example"
	if grep -q '^#include' example; then
		cp example "$name.c"
	elif grep -q '^\(static \)\?\(int\|void\) [a-z_]*(' example; then
		cat prelude.h example >"$name.c"
	else # statements
		{
			cat prelude.h
			echo 'void example(void)'
			echo '{'
			cat example
			echo '}'
		} >"$name.c"
	fi
	"${CC:-gcc}" -std=gnu11 -Wall -Wextra -Werror -Wno-unused-function -I"$root/lib" -c -o "$name.o" "$name.c" ||
		fail "the example of $(basename "$page") does not compile"
	examples=$((examples + 1))
done
[ "$examples" -ge 10 ] || fail "only $examples examples"
compile bwt.c example-program
[ "$(./example-program)" = 42 ] || fail "the example of bwt.7 does something else"

# The commands of the tools' examples, on stores of the names that they use.
printf 'k\tv\nk2\tv2\n' >table
tr '\t' '\n' <table | bwt-load -T old.store
expect 0 bash -c 'bwt-dump old.store | bwt-load new.store'
expect 0 bwt-fsck new.store

# ---- well-formed

command -v mandoc >/dev/null || skip "mandoc is not installed; all else is well"
for page in "$man"/*.[1-9]; do
	mandoc -Tlint -Wwarning "$page" >lint 2>&1 || true
	[ ! -s lint ] || { cp lint out; fail "mandoc complains about $(basename "$page")"; }
	# Every page of ours that it refers to is there.
	grep -o '^\.Xr bwt[-_a-z]* [1-9]' "$page" | sort -u | while read -r _ other section; do
		[ -e "$man/$other.$section" ] || fail "$(basename "$page") refers to $other($section), which is not there"
	done
done
