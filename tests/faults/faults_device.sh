#!/bin/bash
# SPDX-License-Identifier: MIT
# faults_device.sh - a device that fails under a real file system: once, for ever, at writes, at flushes, for want of space
#
# The store must refuse from the first failure on, say why, and acknowledge nothing more; healed, and mounted again, it must
# hold what it had acknowledged.
. "$(dirname "$0")/common.sh"
need_devices
need mkfs.ext4 e2fsprogs
program qmp

fail_now() { # NODE RULE: from now on the device fails
	./qmp monitor '{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "'"$1"'", "image": "f", "inject-error": ['"$2"']}}' \
		'{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "top", "file": "'"$1"'"}]}}'
}

# A failure may hit what is nobody's, as the inodes that the file system writes for itself, and of one in ten or so the system
# is never told, as its log shows. Then once more.
fail_until_refused() { # RULE PROCESS
	local tries

	for tries in 1 2 3 4 5; do
		fail_now "bad$tries" "$1" || fail "the device cannot be made to fail"
		for _ in $(seq 40); do
			kill -0 "$2" 2>/dev/null || return 0
			sleep 0.1
		done
	done
}

fails() { # KIND WHAT RULE
	local status=0 writer

	rm -f raw lines
	: >lines
	truncate -s 320M raw
	device_start top driver=file,node-name=f,filename="$dir/raw" driver=raw,node-name=top,file=f
	device_mkfs "$1" "$device"
	device_mount
	bwt-torture --dir mnt --write --seconds 30 >lines 2>err &
	writer=$!
	until grep -q ^ack lines; do
		kill -0 $writer 2>/dev/null || fail "$2 on $1: the writer ended before anything failed"
		sleep 0.1
	done
	sleep 0.3
	fail_until_refused "$3" $writer
	wait $writer || status=$?
	[ $status = 3 ] || fail "$2 on $1: exit status $status of the writer, which must be refused"
	cp lines said
	# What failed once works again, and so does the store, unless the file system has given up.
	if [[ $2 == *once ]] && { touch mnt/touched && sync mnt/touched; } 2>/dev/null; then
		# First for writing, which settles what there is: for reading, a value that could not be written still is in memory.
		expect 0 bwt-load -T mnt/bwt-torture.store </dev/null
		expect 0 bwt-torture --dir mnt --check said
	fi
	# The rest needs another device with the same content.
	device_stop
	device_start top driver=file,node-name=f,filename="$dir/raw" driver=raw,node-name=top,file=f
	device_mount
	expect 0 bwt-torture --dir mnt --check said
	expect 0 bwt-torture --dir mnt --write --steps 50
	device_stop
	echo "$2 on $1: $(grep refused said | head -n 1 | cut -d" " -f 5- | cut -c -110); $(grep -c '^ack' said) acknowledgements before, all there"
}

rule() { # TYPE ERRNO ONCE
	echo '{"event": "none", "iotype": "'"$1"'", "errno": '"$2"', "once": '"$3"', "immediately": false}'
}

kinds=ext4
[ -z "${FAULTS_LONG:-}" ] || ! command -v mkfs.xfs >/dev/null || kinds="ext4 xfs"
for kind in $kinds; do
	fails $kind "a write fails once" "$(rule write 5 true)"
	fails $kind "a flush fails once" "$(rule flush 5 true)"
	fails $kind "flushes fail for ever" "$(rule flush 5 false)"
	fails $kind "writes fail for ever" "$(rule write 5 false)"
	[ -z "${FAULTS_LONG:-}" ] || fails $kind "the device has no space" "$(rule write 28 false)"
done
