#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deps.sh core|check|faults|bench|demo|deb|nvdimm [no-pmem] [no-uring] [no-lz4] [no-zstd] - find what a target needs, install what is missing
#
# It looks first, without network and in milliseconds; when all is there it says and does nothing.
# What is "needed" must be there in the end or this fails; what is only "wanted" may stay missing,
# and the checks and comparisons that use it are skipped.
set -u

slice=${1:?core, check, faults, bench, demo, deb or nvdimm}
shift
without=" $* "

have_command() { command -v "$1" >/dev/null 2>&1; }
have_library() { have_command pkg-config && pkg-config --exists "$1" 2>/dev/null; }
have_file() { compgen -G "$1" >/dev/null; }
have_header() { have_file "/usr/include/$1" || have_file "/usr/include/*-linux-*/$1" || have_file "/usr/local/include/$1"; }
need() { "have_$1" "$2" || needed+=("$3"); }
want() { "have_$1" "$2" || wanted+=("$3"); }

need_core() {
	need command gcc gcc
	need command ld binutils
	need command make make
	need command pkg-config pkg-config
	need header stdlib.h libc6-dev
	[[ $without == *" no-pmem "* ]] || need library libpmem libpmem-dev
	[[ $without == *" no-uring "* ]] || need library liburing liburing-dev
	[[ $without == *" no-lz4 "* ]] || need library liblz4 liblz4-dev
	[[ $without == *" no-zstd "* ]] || need library libzstd libzstd-dev
}

want_devices() { # for tests/faults, as root
	want command strace strace
	want command qemu-storage-daemon qemu-system-common
	want command fusermount3 fuse3
	want command mkfs.ext4 e2fsprogs
	want command mkfs.xfs xfsprogs
}

look() {
	needed=()
	wanted=()
	case $slice in
	core)
		need_core
		;;
	check)
		need_core
		need library cunit libcunit1-dev
		want command g++ g++
		want command clang clang
		want command clang-format clang-format
		want command clang-tidy clang-tidy
		want command cppcheck cppcheck
		want file '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.asan-*.a' libclang-rt-14-dev
		want command valgrind valgrind
		want_devices
		want command mdb_load lmdb-utils
		want header lmdb.h liblmdb-dev
		want command db5.3_load db5.3-util
		want command mandoc mandoc
		want header sys/sdt.h systemtap-sdt-dev
		;;
	faults)
		need_core
		need library cunit libcunit1-dev
		want_devices
		;;
	bench)
		need_core
		want command g++ g++
		want header lmdb.h liblmdb-dev
		want header rocksdb/c.h librocksdb-dev
		want header wiredtiger.h libwiredtiger-dev
		want header leveldb/c.h libleveldb-dev
		want header db.h libdb5.3-dev
		want header tkrzw_langc.h libtkrzw-dev
		want command gnuplot gnuplot-nox
		;;
	demo)
		need_core
		need command mdb_load lmdb-utils
		need command apt-cache apt
		;;
	deb)
		need_core
		need command dpkg-buildpackage dpkg-dev
		need command dh debhelper
		need command lintian lintian
		need header sys/sdt.h systemtap-sdt-dev
		want command debootstrap debootstrap
		;;
	nvdimm)
		need_core
		want command qemu-system-x86_64 qemu-system-x86
		want command busybox busybox-static
		want command ndctl ndctl
		want command cpio cpio
		want command depmod kmod
		want command mkfs.ext4 e2fsprogs
		;;
	*)
		echo "deps: unknown slice $slice" >&2
		exit 2
		;;
	esac
}

# Install the packages named, all at once or, when that fails, as many as can be had.
install() {
	local package

	apt_get install "$@" && return
	apt_get update
	apt_get install "$@" && return
	for package in "$@"; do
		apt_get install "$package"
	done
}

apt_get() {
	local command=$1

	shift
	[ "$command" = install ] && set -- -y --no-install-recommends "$@"
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
		"$command" "$@" >&2
}

look
[ ${#needed[@]} -eq 0 ] && [ ${#wanted[@]} -eq 0 ] && exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=sudo
fi
if have_command apt-get && { [ -z "$as_root" ] || have_command sudo; }; then
	echo "deps: missing: ${needed[*]} ${wanted[*]}" >&2
	echo "deps: running: ${as_root:+$as_root }apt-get install" >&2
	install "${needed[@]}" "${wanted[@]}"
	look
fi
if [ ${#needed[@]} -ne 0 ]; then
	echo "deps: needed and missing: ${needed[*]}" >&2
	echo "deps: please install them (libpmem, liburing, liblz4, libzstd can be left out by PMEM=0, URING=0, LZ4=0, ZSTD=0)" >&2
	exit 1
fi
if [ ${#wanted[@]} -ne 0 ]; then
	echo "deps: going on without: ${wanted[*]}" >&2
fi
exit 0
