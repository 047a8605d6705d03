#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# image.sh CACHE_DIR - make what the test guests boot from:
#
#   CACHE_DIR/vmlinuz             the kernel of Debian's linux-image-cloud-amd64
#   CACHE_DIR/initramfs.cpio.gz   busybox, kernel modules, mount, mount.nfs, tc
#                                 and the guest's own commands (from root/)
#
# A cache made by this very script is left alone. Nothing gets installed: the
# kernel is downloaded and unpacked, and so are mount, nfs-common and iproute2
# where the host has them not. Needs root, a fresh "apt-get update", and the
# packages cpio, kmod and busybox-static.
#
#   GUEST_KERNEL   another kernel's metapackage, such as linux-image-amd64
set -eu

here=$(cd "$(dirname "$0")" && pwd)
kernel=${GUEST_KERNEL:-linux-image-cloud-amd64}

# With what they depend on. The guest's init loads those of the first line, the
# kernel or a job's modprobe the others.
modules='virtio_pci virtio_console virtio_net nfsv3
         overlay loop squashfs virtio_blk ext4 crc32c_generic nfsd
         sch_netem sch_tbf ifb act_mirred cls_u32'

# Debian's own. Where busybox itself starts a program (its sh, chroot, env,
# timeout would) it takes its own applet, and so its own mount, whatever the
# PATH.
programs='/bin/dash /usr/sbin/chroot /usr/bin/env /usr/bin/timeout
          /bin/mount /bin/umount /sbin/mount.nfs /sbin/umount.nfs /sbin/tc'
programs_from='dash coreutils mount nfs-common iproute2'

say() {
	printf 'image.sh: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 1
}

need_commands() {
	for command in cpio depmod modprobe busybox apt-get dpkg-deb flock; do
		command -v "$command" >/dev/null || die "no $command here"
	done
}

# What the image is made from; a cache with another stamp is made again.
stamp() {
	echo "$kernel"
	(cd "$here" && cat image.sh root/init root/checks.sh root/bin/* | cksum)
}

# download DIR PACKAGE...: the .deb files, unpacked into DIR.
download() {
	into=$1
	shift
	mkdir -p "$work/debs" "$into"
	rm -f "$work/debs"/*.deb
	(cd "$work/debs" &&
		apt-get -qq -o APT::Sandbox::User=root download "$@") ||
		die "cannot download $* (has apt-get update run?)"
	for deb in "$work/debs"/*.deb; do
		dpkg-deb -x "$deb" "$into"
	done
}

# The package with the kernel in it: the metapackage is empty and depends on it.
kernel_package() {
	apt-cache depends "$kernel" |
		awk '$1 == "Depends:" && /linux-image-/ { print $2; exit }'
}

get_kernel() {
	package=$(kernel_package)
	[ -n "$package" ] || die "$kernel names no kernel package"
	say "kernel: $package"
	download "$work/kernel" "$package"
	version=$(ls "$work/kernel/lib/modules")
	cp "$work/kernel/boot/vmlinuz-$version" "$work/vmlinuz"
	depmod -b "$work/kernel" "$version"
}

# The files that loading the module takes; nothing if it is built in.
module_files() {
	modprobe -d "$work/kernel" -S "$version" --show-depends "$1" |
		awk '$1 == "insmod" { print $2 }'
}

add_modules() {
	for module in $modules; do
		module_files "$module"
	done | sort -u | while read -r file; do
		target=$root${file#"$work/kernel"}
		mkdir -p "$(dirname "$target")"
		cp "$file" "$target"
	done
	for list in modules.builtin modules.builtin.modinfo modules.order; do
		cp "$work/kernel/lib/modules/$version/$list" \
			"$root/lib/modules/$version"
	done
	depmod -b "$root" "$version"
	check_modules
}

check_modules() {
	for module in $modules; do
		modprobe -d "$root" -S "$version" --show-depends "$module" \
			>/dev/null || die "no module $module"
	done
}

# The directory tree that $programs are taken from: the host's own, or one
# unpacked here.
choose_source() {
	source=
	for program in $programs; do
		[ -x "$program" ] || source=$work/source
	done
	[ -n "$source" ] || return 0
	say "not all installed here, downloading: $programs_from"
	# Of all that they depend on the guest needs the libraries alone.
	# shellcheck disable=SC2046,SC2086
	download "$source" $programs_from $(apt-get \
		-o Dir::State::status=/dev/null --no-install-recommends \
		-s install $programs_from |
		awk '$1 == "Inst" && $2 ~ /^lib/ { print $2 }')
}

# The shared libraries of a program of $source, as paths.
libraries() {
	path=$source/lib/x86_64-linux-gnu:$source/usr/lib/x86_64-linux-gnu
	"$source/lib64/ld-linux-x86-64.so.2" --library-path "$path" \
		--list "$1" |
		awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
}

add_programs() {
	ln -s dash "$root/bin/sh"
	mkdir -p "$root/lib64" "$root/lib/x86_64-linux-gnu"
	cp -L "$source/lib64/ld-linux-x86-64.so.2" "$root/lib64"
	for program in $programs; do
		cp -L "$source$program" "$root$program"
		libraries "$source$program"
	done | sort -u | while read -r library; do
		cp -L "$library" "$root/lib/x86_64-linux-gnu"
	done
	# Where libtirpc looks "tcp" up; libc looks in /etc/protocols. mount.nfs
	# wants both.
	cp "$source/etc/netconfig" "$root/etc"
}

# Every program has its libraries, or this fails here and not in a guest.
check_programs() {
	for program in $programs; do
		! chroot "$root" /lib64/ld-linux-x86-64.so.2 --list "$program" |
			grep 'not found' || die "$program lacks a library"
	done
}

add_busybox() {
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in $(busybox --list); do
		[ -e "$root/bin/$applet" ] || [ -e "$root/sbin/$applet" ] ||
			ln -s busybox "$root/bin/$applet"
	done
}

make_directories() {
	for name in bin sbin lib lib64; do
		mkdir -p "$root/usr/$name"
		ln -s "usr/$name" "$root/$name"
	done
	for name in dev etc files mnt proc root run sw sys tmp var; do
		mkdir "$root/$name"
	done
	chmod 1777 "$root/tmp"
	ln -s ../run "$root/var/run"
}

add_configuration() {
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	echo 'nobody:x:65534:65534:nobody:/:/bin/false' >>"$root/etc/passwd"
	printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' >"$root/etc/group"
	echo '127.0.0.1 localhost' >"$root/etc/hosts"
	printf '%s\n' 'tcp 6 TCP' 'udp 17 UDP' >"$root/etc/protocols"
	printf '%s\n' 'hosts: files' 'protocols: files' \
		>"$root/etc/nsswitch.conf"
	ln -s /proc/self/mounts "$root/etc/mtab"
}

add_own() {
	cp "$here/root/init" "$here/root/checks.sh" "$root"
	cp "$here/root/bin"/* "$root/bin"
	chmod 755 "$root/init" "$root/bin"/*
}

# The length is made a multiple of 512, so that guest.sh can append a second
# archive.
pack() {
	(cd "$root" && find . | LC_ALL=C sort |
		cpio -o -H newc -R 0:0 --reproducible --quiet) |
		gzip -n -6 >"$work/initramfs"
	truncate -s %512 "$work/initramfs"
}

build() {
	work=$(mktemp -d "$cache/work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	root=$work/root
	get_kernel
	make_directories
	add_modules
	choose_source
	add_programs
	check_programs
	add_busybox
	add_configuration
	add_own
	pack
	mv "$work/vmlinuz" "$cache/vmlinuz"
	mv "$work/initramfs" "$cache/initramfs.cpio.gz"
	stamp >"$cache/stamp"
	say "made $cache/vmlinuz and $cache/initramfs.cpio.gz"
}

[ $# -eq 1 ] || { echo 'usage: image.sh CACHE_DIR' >&2; exit 2; }
need_commands
mkdir -p "$1"
cache=$(cd "$1" && pwd)
exec 9>"$cache/lock"
flock 9
[ "$(cat "$cache/stamp" 2>/dev/null)" = "$(stamp)" ] || build
