#!/bin/bash
# SPDX-License-Identifier: MIT
# faults_full.sh - a full file system, and files that may not grow: refused, nothing lost, writes resume
. "$(dirname "$0")/common.sh"

# Files that may not grow: no root is needed.
for limit in 200 400 700 900; do # KiB
	status=0
	mkdir limit
	(trap '' XFSZ; ulimit -f $limit; exec bwt-torture --dir limit --write --seconds 30 2>err) | cat >lines || status=$?
	[ $status = 3 ] || fail "exit status $status at a file limit of $limit KiB"
	expect 0 bwt-torture --dir limit --check lines
	expect 0 bwt-torture --dir limit --write --steps 200
	rm -r limit
done
echo "files that may not grow: refused, nothing lost"

need_root
need losetup mount
trap take_down EXIT
full() { # KIND
	local status free

	truncate -s 320M raw
	device_mkfs "$1" raw
	mkdir -p mnt
	mount -o loop raw mnt || skip "no loop mounts here"
	expect 0 bwt-torture --dir mnt --write --steps 60
	for free in 0 500 3000; do # KiB that are left
		status=0
		fallocate -l "$(df --output=avail -k mnt | tail -n 1)KiB" mnt/ballast 2>err || true
		dd if=/dev/zero of=mnt/rest bs=4k status=none 2>err && fail "the file system does not fill"
		truncate -s "-${free}K" mnt/ballast
		bwt-torture --dir mnt --write --seconds "$(seconds 20 5)" >lines 2>err || status=$?
		# With a little space it may do well: what it has is used again and again.
		if [ $status != 0 ] || [ "$free" = 0 ]; then
			[ $status = 3 ] || { ls -lR mnt; fail "exit status $status with $free KiB left on $1"; }
			grep -q 'no space' lines || fail "no reason is given"
		fi
		expect 0 bwt-torture --dir mnt --check lines # opened and recovered while it is full
		rm -f mnt/ballast mnt/rest
		expect 0 bwt-torture --dir mnt --write --steps 500
		expect 0 bwt-torture --dir mnt --check out
	done
	umount_patiently mnt
	rm raw
	echo "a full $1: refused, nothing lost, writes resume"
}
full ext4
command -v mkfs.xfs >/dev/null || skip "xfsprogs is not installed; all else is well"
full xfs
