#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bare.sh FOLDER - the packages of FOLDER/first (check.sh makes them) on a bare Debian system: installed by apt-get in a
# fresh debootstrap root, and there what somebody new does first: compile and run the README's program, load, break,
# repair, back up and restore a store, and read the page for each step
#
# Needs root (chroot), and the package archive that this machine uses. Changes nothing outside FOLDER.
set -eu -o pipefail
folder=${1:?a folder}
top=$PWD
base=$folder/bare-base
root=$folder/bare

[ "$(id -u)" = 0 ] || { echo "bare.sh: skipped: chroot needs root"; exit 77; }
command -v debootstrap >/dev/null || { echo "bare.sh: skipped: no debootstrap here"; exit 77; }

# The archive, release and apt settings of this machine.
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
if ! [ -e "$base/made" ]; then
	rm -rf "$base"
	debootstrap --variant=minbase "$release" "$base" "$site" >"$folder/debootstrap.log" 2>&1 ||
		{ tail "$folder/debootstrap.log"; exit 1; }
	touch "$base/made"
fi

leave() {
	umount "$root/proc" 2>/dev/null || true
	rm -rf --one-file-system "$root"
}
trap leave EXIT
umount "$root/proc" 2>/dev/null || true
rm -rf --one-file-system "$root"
cp -a "$base" "$root"
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d "$root"/etc/apt/apt.conf.d
cp -a /etc/apt/sources.list* /etc/apt/apt.conf.d "$root/etc/apt/"
mkdir "$root/packages"
cp "$folder"/first/*.deb "$root/packages/"
sed -n '/^```c$/,/^```$/p' "$top/README.md" | grep -v '^```' >"$root/root/hello.c"

cat >"$root/root/first-hour" <<'EOF'
set -eux -o pipefail
cd /root
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends /packages/libbwt0_*.deb /packages/libbwt-dev_*.deb /packages/bwt-tools_*.deb \
	gcc libc6-dev pkg-config mandoc >/root/apt.log 2>&1 || { tail /root/apt.log; exit 1; }

gcc -Wall -Wextra -o hello hello.c $(pkg-config --cflags --libs bwt)
[ "$(./hello)" = "hello, world" ]
gcc -Wall -Wextra -o hello-static hello.c $(pkg-config --cflags --libs --static bwt)
rm -r example-store
[ "$(./hello-static)" = "hello, world" ]

for n in $(seq 1 3000); do printf 'key %05d\nvalue %d\n' "$n" "$n"; done | bwt-load -T store
bwt-fsck store
bwt-stat store | grep -q 'keys  *3000$'
bwt-dump store >before

# Broken: one superblock. Both are noticed, and mended.
printf XXXX | dd of=store/arena bs=1 seek=100 conv=notrunc status=none
rc=0; bwt-fsck store || rc=$?
[ $rc = 4 ]
rc=0; bwt-fsck --repair store || rc=$?
[ $rc = 1 ]
bwt-fsck store
bwt-dump store | cmp - before

# Broken beyond that: rebuilt from its pages.
dd if=/dev/zero of=store/arena bs=64k count=1 conv=notrunc status=none
rc=0; bwt-fsck --rebuild store || rc=$?
[ $rc = 1 ]
bwt-dump store | cmp - before

bwt-backup --check store copy
rm -r store
bwt-backup copy store
bwt-dump store | cmp - before

for example in /usr/share/doc/libbwt-dev/examples/*.c; do
	gcc -Wall -Wextra -pthread -o example "$example" $(pkg-config --cflags --libs bwt)
	rm -rf one two
	stores=one
	[ "$(basename "$example")" = backup.c ] && stores="one two"
	./example $stores >/root/example.log 2>&1 || { cat /root/example.log; exit 1; }
done

for page in bwt:7 bwt-transactions:7 bwt-faults:7 bwt-tuning:7 bwt-format:5 bwt-load:1 bwt-dump:1 bwt-fsck:1 bwt-stat:1 \
	bwt-backup:1 bwt_open:3 bwt_put:3 bwt_begin:3; do
	[ "$(zcat "/usr/share/man/man${page#*:}/${page%:*}.${page#*:}.gz" | mandoc | wc -l)" -gt 20 ]
done
EOF
chroot "$root" /bin/bash /root/first-hour >"$folder/bare.log" 2>&1 || { tail -n 40 "$folder/bare.log"; exit 1; }
echo "a bare $release system: packages installed, used, repaired, backed up and restored"
