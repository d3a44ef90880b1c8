#!/bin/sh
# SPDX-License-Identifier: MIT
#
# init.sh - the first process of the machine that nvdimm.sh boots: an NVDIMM, ext4 with dax on it, and what the
# kernel's command line asks for: bwt.do=test, or bwt.do=cut with bwt.ack=N, the last number acknowledged before
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /mnt /tmp /dev/shm
while read -r module; do
	insmod "/modules/$module" || echo "cannot load $module"
done </modules/order
value() {
	sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline
}
finish() {
	umount /mnt 2>/dev/null
	sync
	echo "GUEST-END"
	poweroff -f
}
i=0
while [ ! -e /sys/bus/nd/devices/namespace0.0 ] && [ $i -lt 100 ]; do
	usleep 100000
	i=$((i + 1))
done
if [ "$(value bwt.do)" = test ]; then # a new machine
	ndctl create-namespace -f -e namespace0.0 -m fsdax -M mem >/tmp/ndctl 2>&1 || cat /tmp/ndctl
	mkfs.ext4 -q -F -b 4096 /dev/pmem0 || finish
fi
mount -t ext4 -o dax /dev/pmem0 /mnt || finish
grep pmem0 /proc/mounts
export TMPDIR=/mnt SHORT=1 CHECK_SEED=1
case $(value bwt.do) in
test)
	while read -r name; do
		"/tests/$name" >/tmp/log 2>&1
		status=$?
		[ $status -eq 0 ] || [ $status -eq 77 ] || tail -n 30 /tmp/log
		echo "RESULT $status $name"
		rm -rf /mnt/bwt-test-*
	done </tests/list
	;;
cut)
	if [ "$(value bwt.ack)" != none ]; then
		/tests/cut check /mnt/store "$(value bwt.ack)"
		echo "RESULT $? check"
	fi
	/tests/cut work /mnt/store
	;;
esac
finish
