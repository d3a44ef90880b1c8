# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# common.sh - what the tests on real file systems and devices share; sourced, after tests/tools/common.sh
#
#   need_root, need COMMAND PACKAGE   skip unless there; the reason is the test's last line
#   seconds LONG SHORT                LONG under "make faults", SHORT in "make check" (SHORT=1: no difference)
#   device_start SIZE                 a loop device on a file of SIZE, behind qemu-storage-daemon: all that the
#                                     system writes to it is recorded in $dir/log; $device; device_stop
#   device_mount KIND, device_umount  ext4 or xfs on $device, made and mounted at $dir/mnt
#   program NAME                      tests/faults/NAME.c, compiled to $dir/NAME
#
# All is taken down at the end, also of a failed test.
. "$(dirname "${BASH_SOURCE[0]}")/../tools/common.sh"

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root (mounting, loop devices)"
}

need() { # COMMAND PACKAGE
	command -v "$1" >/dev/null || skip "$1 is missing: install $2"
}

seconds() { # LONG SHORT
	if [ -n "${FAULTS_LONG:-}" ]; then echo "$1"; else echo "$2"; fi
}

program() { # NAME
	"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -o "$dir/$1" "$root/tests/faults/$1.c"
}

# ---- devices

device=
daemon_pid=
take_down() {
	cd /
	while umount "$dir/mnt" 2>/dev/null; do :; done
	[ -z "$device" ] || losetup -d "$device" 2>/dev/null || true
	[ -z "$daemon_pid" ] || kill "$daemon_pid" 2>/dev/null || true
	for _ in $(seq 50); do
		[ -n "$daemon_pid" ] && kill -0 "$daemon_pid" 2>/dev/null || break
		sleep 0.1
	done
	umount "$dir/export" 2>/dev/null || true
	[ "${KEEP:-0}" = 1 ] && echo "kept $dir" || rm -rf "$dir"
}

need_devices() {
	need_root
	need qemu-storage-daemon "qemu-system-common (or qemu-utils)"
	need fusermount3 fuse3
	need losetup mount
	[ -e /dev/fuse ] || skip "there is no /dev/fuse"
	[ -e /dev/loop-control ] || skip "there are no loop devices"
	trap take_down EXIT
}

# The daemon with these block devices, the last one exported; then a loop device on it.
device_start() { # NODE BLOCKDEV...
	local node=$1 arguments=()

	shift
	for blockdev in "$@"; do arguments+=(--blockdev "$blockdev"); done
	: >"$dir/export"
	qemu-storage-daemon "${arguments[@]}" \
		--chardev "socket,id=monitor,path=$dir/monitor,server=on,wait=off" --monitor monitor \
		--export "type=fuse,id=export,node-name=$node,mountpoint=$dir/export,writable=on" \
		--pidfile "$dir/daemon.pid" --daemonize >daemon.out 2>&1 ||
		skip "qemu-storage-daemon cannot export by FUSE here: $(tail -n 1 daemon.out)"
	daemon_pid=$(cat "$dir/daemon.pid")
	device=$(losetup -f --show "$dir/export") || skip "no loop device can be had"
}

device_mkfs() { # KIND DEVICE
	case $1 in
	ext4) mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard "$2" ;;
	xfs) mkfs.xfs -q -f -K "$2" ;;
	esac
}

device_mount() {
	mkdir -p "$dir/mnt"
	mount "$device" "$dir/mnt"
}

# What a process had open by io_uring is let go some time after its end.
umount_patiently() { # FOLDER
	for _ in $(seq 100); do
		umount "$1" 2>/dev/null && return
		sleep 0.05
	done
	umount "$1"
}

device_stop() {
	umount_patiently "$dir/mnt"
	losetup -d "$device"
	device=
	kill "$daemon_pid"
	while kill -0 "$daemon_pid" 2>/dev/null; do sleep 0.05; done
	daemon_pid=
}
