#!/bin/bash
# SPDX-License-Identifier: MIT
# faults_powercut.sh - the power fails under a real file system: at each flush, and with any part of what came after it
#
# A store is written to on ext4 and on xfs while every write and flush of the device is recorded, with what the writer
# was told was durable. Then the disk is made again as at flushes of the record, half of them with a random, torn part of what
# was written after that; the file system is mounted, and the store has to hold what had been acknowledged.
. "$(dirname "$0")/common.sh"
need_devices
need mkfs.ext4 e2fsprogs
program cutlog
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed (run again with SEED=$seed)"

record() { # KIND: writes for a while; the record is ./log, the lines with the size of the record ./stamped
	rm -f raw log
	truncate -s 320M raw
	: >log
	device_start lw driver=file,node-name=f,filename="$dir/raw" driver=file,node-name=lf,filename="$dir/log" \
		driver=blklogwrites,node-name=lw,file=f,log=lf,log-super-update-interval=1
	device_mkfs "$1" "$device"
	device_mount
	first=$(./cutlog points log | wc -l)
	bwt-torture --dir mnt --write --seconds "$(seconds 4 1)" --seed "$RANDOM" 2>err | ./cutlog stamp log >stamped ||
		fail "the writer failed"
	device_stop
	./cutlog points log >points
}

cut_at() { # POINT SEED: the disk of that instant is mounted and checked
	local promised

	cp --sparse=always image torn
	[ "$2" = 0 ] || ./cutlog tear log torn "$1" "$2"
	promised=$(awk -v n="$1" '$1 == n { print $2 }' points)
	awk -v most="$promised" '$2 != "ack" || $1 <= most { sub(/^[0-9]+ /, ""); print }' stamped >lines
	mkdir -p mnt
	mount -o loop torn mnt || fail "flush $1, part $2: the file system itself is lost"
	bwt-torture --dir mnt --check lines >out 2>err ||
		fail "flush $1, part $2 of the record (SEED=$seed): not what was acknowledged"
	umount_patiently mnt
}

for kind in ext4 xfs; do
	command -v mkfs.$kind >/dev/null || { echo "xfs is skipped: install xfsprogs"; continue; }
	record $kind
	last=$(tail -n 1 points | cut -d' ' -f1)
	[ "$last" -gt $((first + 20)) ] || fail "only $((last - first)) flushes on $kind"
	cuts=$(seconds 150 6)
	rm -f image
	truncate -s 320M image
	at=0 parts=0
	for point in $(shuf -i "$((first + 1))-$last" -n "$cuts" --random-source=<(yes "$RANDOM") | sort -n); do
		./cutlog advance log image "$at" "$point"
		at=$point
		cut_at "$point" 0
		cut_at "$point" $((RANDOM + 1))
		parts=$((parts + 1))
	done
	echo "$kind: $((last - first)) flushes, $(grep -c ' ack ' stamped) acknowledgements, cut at $parts flushes and $parts times behind one: nothing lost"
done
