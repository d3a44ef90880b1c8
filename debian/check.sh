#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh FOLDER - build the packages of what is committed, twice; install them in a folder; use them from there
#
#   the two builds give the same bytes          the README's program is compiled with pkg-config and runs
#   lintian finds nothing above "info"          bwt-fsck checks its store, bwt-backup copies it
#
# Changes nothing outside FOLDER and needs no rights.
set -eu -o pipefail
folder=${1:?a folder}
root=$PWD
unset BUILD MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES # of the make that started this: not for the package's
version=$(sed -n 's/^libbwt (\(.*\)-[^-]*).*/\1/p' debian/changelog)

build() { # FOLDER
	rm -rf "$1"
	mkdir -p "$1"
	git archive --prefix="libbwt-$version/" HEAD | tar -x -C "$1"
	tar -C "$1" --exclude=debian --sort=name --owner=0 --group=0 --mtime=@0 -czf "$1/libbwt_$version.orig.tar.gz" "libbwt-$version"
	(cd "$1/libbwt-$version" && dpkg-buildpackage -us -uc -F >../build.log 2>&1) || { tail -n 30 "$1/build.log"; exit 1; }
}

build "$folder/first"
build "$folder/second"
for package in "$folder"/first/*.deb; do
	cmp "$package" "$folder/second/${package##*/}"
	echo "the same bytes twice: ${package##*/}"
done
# There is no bug that asks for the package.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$folder"/first/*.changes

usr=$folder/root
rm -rf "$usr"
mkdir "$usr"
for package in "$folder"/first/*.deb; do dpkg-deb -x "$package" "$usr"; done
lib=$(dirname "$(find "$usr/usr/lib" -name 'libbwt.so.0' -printf '%p\n')")
export PKG_CONFIG_SYSROOT_DIR=$usr PKG_CONFIG_PATH=$lib/pkgconfig LD_LIBRARY_PATH=$lib PATH=$usr/usr/bin:$PATH
sed -n '/^```c$/,/^```$/p' "$root/README.md" | grep -v '^```' >"$usr/hello.c"
cd "$usr"
# shellcheck disable=SC2046
"${CC:-gcc}" -Wall -Wextra -o hello hello.c $(pkg-config --cflags --libs bwt)
[ "$(./hello)" = "hello, world" ]
bwt-fsck example-store
bwt-backup --check example-store copy
bwt-dump -p copy | grep -q '^ world$'
bwt-torture --dir . --seconds 2
bwt-stat copy | grep -Eq 'keys +1$'
[ -s usr/share/man/man3/bwt_put.3.gz ]
echo "the packages are good: $folder/first"
