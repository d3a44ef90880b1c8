#!/bin/bash
# SPDX-License-Identifier: MIT
# deps.sh core|check|bench|demo [no-pmem] [no-uring] - find what is missing and install it
#
# Looks first (no network, a few milliseconds); when all is there, says and does nothing. What the
# core needs must be there in the end; without the rest, the checks that want it are skipped.
set -u

slice=${1:?core, check, bench or demo}
shift
missing=()

have_command() { command -v "$1" >/dev/null 2>&1; }
have_library() { have_command pkg-config && pkg-config --exists "$1"; }
have_header() { [ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ]; }
need_command() { have_command "$1" || missing+=("$2"); }
need_library() { have_library "$1" || missing+=("$2"); }
need_header() { have_header "$1" || missing+=("$2"); }

core() {
	need_command "${CC:-gcc}" "gcc"
	need_command ld binutils
	need_command make make
	need_command pkg-config pkg-config
	[[ " $* " == *" no-pmem "* ]] || need_library libpmem libpmem-dev
	[[ " $* " == *" no-uring "* ]] || need_library liburing liburing-dev
	need_header stdlib.h libc6-dev
}

case $slice in
core)
	core "$@"
	;;
check)
	core "$@"
	need_library cunit libcunit1-dev
	need_command g++ g++
	need_command clang clang
	need_command clang-format clang-format
	need_command clang-tidy clang-tidy
	need_command cppcheck cppcheck
	compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.asan-*.a' >/dev/null ||
		missing+=(libclang-rt-14-dev)
	need_command valgrind valgrind
	need_command strace strace
	need_command mdb_load lmdb-utils
	need_header lmdb.h liblmdb-dev
	need_command db5.3_load db5.3-util
	need_command mandoc mandoc
	;;
bench)
	need_header lmdb.h liblmdb-dev
	need_header rocksdb/c.h librocksdb-dev
	need_header wiredtiger.h libwiredtiger-dev
	need_header leveldb/c.h libleveldb-dev
	need_header db.h libdb5.3-dev
	need_command g++ g++
	;;
demo)
	core "$@"
	need_command mdb_load lmdb-utils
	;;
*)
	echo "deps.sh: unknown slice $slice" >&2
	exit 2
	;;
esac

[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if have_command sudo; then
		as_root=(sudo)
	else
		as_root=(false)
	fi
fi
give_up() {
	echo "deps: cannot install: ${missing[*]}" >&2
	case $slice in
	core | demo)
		echo "deps: install them by hand, or build with PMEM=0 / URING=0 if it is those" >&2
		exit 1
		;;
	esac
	echo "deps: going on without; what needs them is skipped" >&2
	exit 0
}
have_command apt-get || give_up
[ "${as_root[*]}" = false ] && give_up
echo "deps: installing ${missing[*]} with: ${as_root[*]:+${as_root[*]} }apt-get install" >&2
# One at a time: makes that run side by side would fight over dpkg's lock.
exec 9>"${TMPDIR:-/tmp}/bwt-deps.$(id -u).lock"
flock 9 2>/dev/null
export DEBIAN_FRONTEND=noninteractive
install_all() { "${as_root[@]}" apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >&2; }
if ! install_all "${missing[@]}"; then
	"${as_root[@]}" apt-get update -q >&2
	if ! install_all "${missing[@]}"; then
		still=()
		for package in "${missing[@]}"; do
			install_all "$package" || still+=("$package")
		done
		missing=("${still[@]}")
		[ ${#missing[@]} -eq 0 ] || give_up
	fi
fi
