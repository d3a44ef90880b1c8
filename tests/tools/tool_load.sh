#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_load.sh - bwt-load: formats, trees, all or nothing
. "$(dirname "$0")/common.sh"

head_of() { printf 'VERSION=3\nformat=%s\ntype=btree\n%sHEADER=END\n' "$1" "${2:-}"; }
pairs() { bwt-dump -p "$@" | sed -n '/^HEADER=END$/,/^DATA=END$/p' | grep '^ ' || true; }

# ---- both formats, odd keys, from files and pipes

{
	head_of bytevalue
	printf ' 61\n 31\n \n 656d707479\n 6200\n \n ff\n FFfe\nDATA=END\n'
} >bytes.txt
expect 0 bwt-load -f bytes.txt store
pairs store >got
printf ' \n empty\n a\n 1\n b\\00\n \n \\ff\n \\ff\\fe\n' >wanted
same got wanted

{
	head_of print
	printf ' \\\\\n \\5c\n line\\0a\n t\tab\n  space\n \\20x\\c3\\a4\nDATA=END\n'
} | expect 0 bwt-load store
pairs store >got
printf '  space\n  x\\c3\\a4\n \\5c\n \\5c\n a\n 1\n b\\00\n \n line\\0a\n t\\09ab\n \\ff\n \\ff\\fe\n' >wanted
sed -i 's/^  space$/  space/' wanted
{
	printf ' \n empty\n'
	cat wanted
} >w2
same got w2

# A key that is there gets the new value.
printf 'a\n2\n' | expect 0 bwt-load -T store
bwt-dump -p store | grep -A1 '^ a$' | grep -qx ' 2' || fail "the value was not replaced"

# ---- plain text

printf 'k1\nv1\n\\6b2\n\\\\back\n\nempty key\nlast\nno newline' | expect 0 bwt-load -T plain
pairs plain >got
printf ' \n empty key\n k1\n v1\n k2\n \\5cback\n last\n no newline\n' >wanted
same got wanted
expect 0 bwt-load -T empty </dev/null
[ -z "$(pairs empty)" ] || fail "something out of nothing"
expect 0 bwt-load empty </dev/null

# ---- settings of other programs, several trees

{
	head_of bytevalue $'mapsize=1048576\nmaxreaders=126\ndb_pagesize=4096\nh_ffactor=40\nduplicates=0\nkeys=1\n'
	printf ' 6d\n 31\nDATA=END\n'
	head_of print $'database=names\n'
	printf ' n\n 2\nDATA=END\n'
	head_of print $'database=t\\09\xc3\xa4\\5c\n'
	printf ' t\n 3\nDATA=END\n'
} >trees.txt
expect 0 bwt-load -f trees.txt trees
bwt-dump trees >dump
bwt-load again <dump
bwt-dump again >dump2
same dump dump2
grep -qxF "$(printf 'database=t\\09\xc3\xa4\\5c')" dump || fail "the name of a tree was changed"
pairs --tree names trees >got
printf ' n\n 2\n' >wanted
same got wanted
expect 0 bwt-load --tree other -f bytes.txt trees
pairs --tree other trees | grep -qx ' a' || fail "--tree went elsewhere"
expect 1 bwt-load --tree one -f trees.txt trees
complains "several trees"
expect 2 bwt-load --tree "" -f trees.txt trees

# ---- sections in order are loaded, others put: the same comes of it

{
	head_of print $'database=up\n'
	for i in $(seq -w 1 3000); do printf ' k%s\n v%s\n' "$i" "$i"; done
	printf 'DATA=END\n'
	head_of print $'database=down\n'
	for i in $(seq -w 3000 -1 1); do printf ' k%s\n v%s\n' "$i" "$i"; done
	printf 'DATA=END\n'
	head_of print $'database=up\n'
	printf ' k2000\n new\n k9\n nine\nDATA=END\n'
} >order.txt
expect 0 bwt-load -f order.txt order
expect 0 bwt-fsck order
pairs --tree down order | sed 's/^ v2000$/ new/' >wanted
printf ' k9\n nine\n' >>wanted
pairs --tree up order >got
same got wanted
expect 1 bwt-load -n -f order.txt order2
bwt-dump order2 | grep -q '^database=' && fail "a tree stayed though the input was refused"

# ---- refused input leaves the store as it was, and makes no new one

refuse() { # WORDS, input on standard input
	cat >bad.txt
	bwt-dump store >before
	expect 1 bwt-load -f bad.txt store
	complains "$1"
	complains "line "
	bwt-dump store >after
	same before after
	expect 1 bwt-load -f bad.txt absent
	[ ! -e absent ] || fail "a refused input made a store"
	cat bad.txt | expect 1 bwt-load absent # the same through a pipe
	complains "$1"
	[ ! -e absent ] || fail "a refused input made a store"
}
good=$' 6e6577\n 31\n'
{ head_of bytevalue; printf '%s 6\n 31\nDATA=END\n' "$good"; } | refuse "odd number of hexadecimal digits"
{ head_of bytevalue; printf '%s 6g\n 31\nDATA=END\n' "$good"; } | refuse "bad hexadecimal digits"
{ head_of bytevalue; printf '%s61\n 31\nDATA=END\n' "$good"; } | refuse "begins with a space"
{ head_of bytevalue; printf '%s' "$good"; } | refuse "before DATA=END"
{ head_of bytevalue; printf '%s 61\n' "$good"; } | refuse "before DATA=END"
{ head_of bytevalue; printf '%s 61\nDATA=END\n' "$good"; } | refuse "no value"
{ head_of print; printf ' a\n b\\zz\nDATA=END\n'; } | refuse "backslash"
{ head_of print; printf ' a\n b\\6\nDATA=END\n'; } | refuse "backslash"
{ head_of print; printf ' a\n b\\\nDATA=END\n'; } | refuse "backslash"
{ head_of bytevalue $'duplicates=1\n'; printf '%sDATA=END\n' "$good"; } | refuse "several values"
{ head_of bytevalue $'dupsort=1\n'; printf '%sDATA=END\n' "$good"; } | refuse "several values"
{ head_of bytevalue $'keys=0\n'; printf '%sDATA=END\n' "$good"; } | refuse "no keys"
{ head_of hexadecimal; printf '%sDATA=END\n' "$good"; } | refuse "format"
{ head_of bytevalue $'database=\n'; printf '%sDATA=END\n' "$good"; } | refuse "name of a tree"
{ head_of bytevalue "database=$(printf '%0256d' 0)"$'\n'; printf '%sDATA=END\n' "$good"; } | refuse "name of a tree"
{ head_of bytevalue; printf '%sDATA=END\ntrailing\n' "$good"; } | refuse "VERSION=3"
printf 'VERSION=2\nHEADER=END\nDATA=END\n' | refuse "version"
printf 'VERSION=3\ntype=recno\nHEADER=END\nDATA=END\n' | refuse "type"
printf 'VERSION=3\nformat=print\n' | refuse "HEADER=END"
printf 'VERSION=3\nnonsense\nHEADER=END\nDATA=END\n' | refuse "not a line of a header"
printf 'not a dump\n' | refuse "VERSION=3"
{ head_of bytevalue; printf ' '; head -c 131074 /dev/zero | tr '\0' 6; printf '\n 31\nDATA=END\n'; } | refuse "key of 65537 bytes"
printf 'one\ntwo\nthree\n' >odd.txt
bwt-dump store >before
expect 1 bwt-load -T -f odd.txt store
complains "no value"
bwt-dump store >after
same before after

# ---- -n

printf 'new1\n1\nnew2\n2\n' >fresh.txt
printf 'new3\n1\na\nclash\n' >clash.txt
printf 'new4\n1\nnew4\n2\n' >twice.txt
expect 0 bwt-load -n -T -f fresh.txt store
bwt-dump store >before
expect 1 bwt-load -n -T -f clash.txt store
complains 'line 3: the key is there already: "a"'
expect 1 bwt-load -n -T -f twice.txt store
complains 'line 3: the key is there already: "new4"'
expect 1 bwt-load -n -T --tree brand-new -f twice.txt store
bwt-dump store >after
same before after

# ---- the file is not there

expect 1 bwt-load -f no-such-file store
complains "no-such-file"
expect 0 bwt-fsck store

# ---- the bar, on a terminal

if command -v script >/dev/null; then
	cat >slow.sh <<-'END'
		for i in 1 2 3 4 5; do seq $((i * 200000)) $((i * 200000 + 199999)); sleep 0.2; done | bwt-load -T slow
	END
	script -qec 'bash slow.sh' typescript >/dev/null
	grep -Eaq 'bytes read: [0-9]+, [0-9.]+ [KMG]iB/s' typescript || fail "no rate of what is read"
	grep -Eaq '[0-9]+%, [0-9.]+ [KMG]iB/s, [0-9]+ s left' typescript || fail "no rate and time left"
fi
