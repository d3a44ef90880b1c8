#!/bin/bash
# SPDX-License-Identifier: MIT
# tool_backup.sh - bwt-backup: the copy is equal and sound, what is in the way is left alone
. "$(dirname "$0")/common.sh"

some_pairs 2000 >pairs.txt
bwt-load -T -f pairs.txt store
printf 'x\ny\n' | bwt-load -T --tree one store
bwt-dump store | grep -v '^mapsize=' >wanted

expect 0 bwt-backup store copy
[ ! -s out ] || fail "it says something"
bwt-dump copy | grep -v '^mapsize=' >got
same wanted got
expect 0 bwt-fsck copy
mkdir empty
expect 0 bwt-backup --check store empty

# No faster than it may be.
head -c 3000000 /dev/zero | tr '\0' x | { printf 'large\n'; cat; echo; } | bwt-load -T large
SECONDS=0
expect 0 bwt-backup --rate 1 large large.copy
[ "$SECONDS" -ge 2 ] || fail "3 MB in $SECONDS s at 1 MiB a second"
expect 0 bwt-fsck large.copy
expect 2 bwt-backup --rate 0 large no-copy
expect 2 bwt-backup --rate fast large no-copy
[ ! -e no-copy ] || fail "a copy after wrong usage"

# A killed store is recovered first.
hold crashed 300 crash
expect 0 bwt-backup -c crashed crashed.copy
[ "$(bwt-dump crashed.copy | grep -c '^ ')" = 600 ] || fail "all pairs of a killed store"

# What is there already stays as it is.
cp -r copy before
expect 1 bwt-backup store copy
complains "copy: "
diff -r copy before || fail "an earlier copy was changed"
expect 1 bwt-backup store pairs.txt
expect 1 bwt-backup store absent/copy
complains "No such file or directory"
expect 1 bwt-backup absent new
[ ! -e new ] || fail "a copy of nothing"

# Damage that copying need not look at is found by --check, in the copy.
vlog=$(ls store/vlog/*.vlog | head -n 1)
printf 'XXXX' | dd of="$vlog" bs=1 seek=20000 conv=notrunc status=none
status=0
bwt-backup --check store damaged >out 2>err || status=$?
[ "$status" = 1 ] || fail "a damaged value was copied in silence"
complains ".vlog"

expect 2 bwt-backup store
complains "COPY is missing"
expect 2 bwt-backup store copy again
complains "again"
