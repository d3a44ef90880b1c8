#!/bin/bash
# SPDX-License-Identifier: MIT
#
# nvdimm.sh - "make nvdimm": the library on persistent memory, as far as there is any to be had by emulation
#
#   nvdimm.sh FOLDER TEST...      FOLDER is that of the build; TESTs are programs in it
#   CUTS=3                        how often the power is cut
#
# QEMU emulates (slowly: no KVM is asked for) a machine with an NVDIMM, which is a file here. The kernel is
# Debian's; a small root file system holds busybox and the tests. There ext4 is mounted with dax, so a mapping
# with MAP_SYNC is granted, as on real hardware. First the tests run, in their short forms; then a program
# commits and says how far it came, QEMU is killed at a random moment, with it the machine's page cache, and the next
# machine has to find everything that was acknowledged. What the processor's cache loses is not emulated: that is
# tests/sim/sim_persist.
#
# Exit status 77, and a line with "skipped": something is not to be had here.
set -u
out=${1:?folder of the build}
shift
work=$out/nvdimm
CUTS=${CUTS:-3}
SIZE=512M

skip() {
	echo "nvdimm: skipped: $*"
	exit 77
}

for command in qemu-system-x86_64 busybox ndctl cpio depmod mkfs.ext4 dpkg-deb ldd; do
	command -v $command >/dev/null || skip "$command is missing (make deps-nvdimm)"
done
[ "$(uname -m)" = x86_64 ] || skip "the emulated machine is an x86-64"
mkdir -p "$work"
work=$(realpath "$work")

# ---- kernel: the newest of Debian, kept from run to run ----

get_kernel() {
	local package

	[ -e "$work/kernel/vmlinuz" ] && return
	package=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }')
	[ -n "$package" ] || skip "apt knows no Debian kernel"
	rm -rf "$work/kernel" && mkdir -p "$work/kernel" && cd "$work/kernel" || exit 1
	apt-get -q download "$package" >apt.log 2>&1 || skip "the kernel cannot be downloaded: $(tail -n 1 apt.log)"
	dpkg-deb -x ./*.deb . && rm -f ./*.deb && depmod -b . "$(ls lib/modules)" && mv boot/vmlinuz-* vmlinuz || exit 1
}

# ---- root file system ----

# Modules for MODULE..., what they need first.
module_order() {
	local folder=$1 module line

	shift
	for module in "$@"; do
		line=$(grep "/$module\.ko:" "$folder/modules.dep") || continue # built in
		# shellcheck disable=SC2086
		printf '%s\n' ${line#*:} | tac
		echo "${line%%:*}"
	done | awk 'NF && !seen[$0]++'
}

# Programs go to FOLDER of the root, the libraries that they want where they are here.
add() {
	local folder=$1 program library

	shift
	mkdir -p "$root/$folder"
	for program in "$@"; do
		cp "$program" "$root/$folder/" || exit 1
		ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
			[ -e "$root$library" ] || cp -L --parents "$library" "$root"
		done
	done
}

make_root() {
	local modules name

	root=$work/root
	rm -rf "$root" && mkdir -p "$root/modules" "$root/proc" "$root/sys" "$root/dev"
	modules=$(echo "$work"/kernel/lib/modules/*)
	module_order "$modules" crc32c_generic nfit nd_pmem nd_btt dax_pmem ext4 | while read -r name; do
		cp "$modules/$name" "$root/modules/"
		basename "$name"
	done >"$root/modules/order"
	add bin "$(command -v busybox)" "$(command -v ndctl)" "$(command -v mkfs.ext4)"
	for name in $("$root/bin/busybox" --list); do
		[ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"
	done
	add tests "$out/tests/nvdimm/cut" "$@"
	for name in "$@"; do basename "$name"; done >"$root/tests/list"
	cp "${BASH_SOURCE%/*}/init.sh" "$root/init" && chmod +x "$root/init"
	(cd "$root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"
}

# ---- machines ----

start() { # ARGUMENTS FOR THE KERNEL : the console goes to $work/console
	: >"$work/console"
	qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024,slots=4,maxmem=8G \
		-nographic -no-reboot -nic none -machine pc,nvdimm=on,nvdimm-persistence=mem-ctrl \
		-object memory-backend-file,id=nv0,share=on,mem-path="$work/nvdimm.img",size=$SIZE \
		-device nvdimm,memdev=nv0 -kernel "$work/kernel/vmlinuz" -initrd "$work/initrd" \
		-append "console=ttyS0 panic=-1 quiet $1" >"$work/console" 2>&1 </dev/null &
	machine=$!
}

stop() {
	kill -9 "$machine" 2>/dev/null
	wait "$machine" 2>/dev/null
}

wait_for() { # PATTERN SECONDS : on the console; false: the machine ended, or the time did
	local end=$((SECONDS + $2))

	until grep -aq "$1" "$work/console"; do
		[ $SECONDS -lt $end ] && kill -0 "$machine" 2>/dev/null || return 1
		sleep 0.5
	done
}

passed=0 failed=0 skipped=0
count() { # results on the console
	local status name

	while read -r _ status name; do
		case $status in
		0) passed=$((passed + 1)) && echo "pass  $name" ;;
		77) skipped=$((skipped + 1)) && echo "skip  $name" ;;
		*) failed=$((failed + 1)) && echo "FAIL  $name (status $status)" ;;
		esac
	done < <(tr -d '\r' <"$work/console" | grep -a '^RESULT ')
}

fail() {
	echo "FAIL  $*"
	tail -n 30 "$work/console" | tr -d '\r' | sed 's/^/    | /'
	failed=$((failed + 1))
}

trap 'stop; exit 130' INT TERM
get_kernel
make_root "$@"
rm -f "$work/nvdimm.img" && truncate -s $SIZE "$work/nvdimm.img"

start bwt.do=test
wait_for GUEST-END 3000 || fail "the machine did not come to its end"
cp "$work/console" "$work/console.test"
grep -aq 'ext4.*dax' "$work/console" || fail "ext4 was not mounted with dax"
stop
count

ack=none
for ((cut = 0; cut <= CUTS && failed == 0; cut++)); do
	start "bwt.do=cut bwt.ack=$ack"
	wait_for '^ACK' 600 || fail "no commit was acknowledged"
	grep -a '^MEDIA' "$work/console" | tail -n 1
	grep -aq '^MEDIA arena dax, log dax' "$work/console" || fail "the store is not in persistent memory"
	sleep "$((RANDOM % 8)).$((RANDOM % 10))"
	stop
	count
	grep -a '^CHECKED\|^FAILED' "$work/console"
	ack=$(tr -d '\r' <"$work/console" | sed -n 's/^ACK \([0-9]*\)$/\1/p' | tail -n 1)
	cp "$work/console" "$work/console.cut$cut"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt "$CUTS" ]
