# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# prepare.sh: what the samples need, made once and kept in $CACHE.  Sourced by
# bench.sh.
#
#   base/              Debian by debootstrap: Part 1
#   vmlinuz, initrd    Debian's cloud kernel, one initramfs for all variants
#   base.qcow2         the OS alone
#   NAME.cap           what apt-get install NAME changed of the base: Part 2,
#                      taken by `vdrive package capture`
#   NAME.qcow2         base and NAME.cap in one image; NAME.z.qcow2: the same,
#                      compressed
#   NAME.depot/        NAME:1 as a depot at rest, with the plan of three starts
#                      (devel, which is not started: none); os.depot/: os:1, the
#                      base
#   NAME.store/        a host's store with all of NAME in it: warm;
#   NAME.root.store/   and with all of the base

# What the guest's initramfs loads, with what that depends on.
PREPARE_MODULES='virtio_pci virtio_console virtio_blk virtio_net ext4
	crc32c_generic nfsv3 overlay'
PREPARE_DISK=4G

prepare_need() {
	prepare_missing=
	for prepare_program in "$@"; do
		command -v "$prepare_program" >/dev/null ||
			prepare_missing="$prepare_missing $prepare_program"
	done
	[ -z "$prepare_missing" ] || bench_die \
		"not installed:$prepare_missing (sh admin/setup has the list)"
}

prepare_mirror() {
	apt-cache policy |
		awk '$2 ~ /^http/ && $3 == "bookworm/main" { print $2; exit }'
}

prepare_base() {
	[ ! -d "$CACHE/base" ] || return 0
	bench_say "base: debootstrap"
	rm -rf "$CACHE/base.part"
	debootstrap --variant=minbase \
		--include=iproute2,mount,nfs-common,procps,netbase \
		bookworm "$CACHE/base.part" "$(prepare_mirror)" \
		>"$CACHE/debootstrap.log" 2>&1 ||
		bench_die "debootstrap failed: $CACHE/debootstrap.log"
	rm -rf "$CACHE/base.part/var/cache/apt/archives"/*.deb \
		"$CACHE/base.part/var/lib/apt/lists"/*
	mv "$CACHE/base.part" "$CACHE/base"
}

# --- kernel and initramfs ----------------------------------------------------

prepare_kernel() {
	[ ! -f "$CACHE/vmlinuz" ] || return 0
	prepare_package=$(apt-cache depends linux-image-cloud-amd64 |
		awk '$1 == "Depends:" && /linux-image-/ { print $2; exit }')
	bench_say "kernel: $prepare_package"
	rm -rf "$CACHE/kernel"
	mkdir -p "$CACHE/kernel"
	(cd "$CACHE/kernel" && apt-get -qq -o APT::Sandbox::User=root \
		download "$prepare_package" && dpkg-deb -x ./*.deb . &&
		rm ./*.deb) || bench_die "cannot download $prepare_package" \
		"(has apt-get update run?)"
	depmod -b "$CACHE/kernel" "$(ls "$CACHE/kernel/lib/modules")"
	cp "$CACHE"/kernel/boot/vmlinuz-* "$CACHE/vmlinuz"
}

prepare_modules() { # directory
	prepare_version=$(ls "$CACHE/kernel/lib/modules")
	for prepare_module in $PREPARE_MODULES; do
		modprobe -d "$CACHE/kernel" -S "$prepare_version" \
			--show-depends "$prepare_module" |
			awk '$1 == "insmod" { print $2 }'
	done | sort -u | while read -r prepare_file; do
		prepare_to=$1${prepare_file#"$CACHE/kernel"}
		mkdir -p "${prepare_to%/*}"
		cp "$prepare_file" "$prepare_to"
	done
	cp "$CACHE/kernel/lib/modules/$prepare_version"/modules.builtin* \
		"$CACHE/kernel/lib/modules/$prepare_version/modules.order" \
		"$1/lib/modules/$prepare_version"
	depmod -b "$1" "$prepare_version"
}

prepare_initramfs() {
	prepare_stamp=$(cat "$HERE"/guest/* "$HERE/../guest/vdrive-run" \
		"$HERE/prepare.sh" | cksum)
	[ "$(cat "$CACHE/initrd.stamp" 2>/dev/null)" != "$prepare_stamp" ] ||
		return 0
	prepare_root=$(mktemp -d "$CACHE/initramfs.XXXXXX")
	for prepare_dir in bench bin dev lib proc root run sys; do
		mkdir "$prepare_root/$prepare_dir"
	done
	cp "$(command -v busybox)" "$prepare_root/bin/busybox"
	for prepare_applet in $(busybox --list); do
		[ "$prepare_applet" = busybox ] ||
			ln -s busybox "$prepare_root/bin/$prepare_applet"
	done
	prepare_modules "$prepare_root"
	install -m 755 "$HERE/guest/initramfs" "$prepare_root/init"
	install -m 755 "$HERE/guest/init" "$HERE/guest/start" \
		"$HERE/guest/jobs" "$HERE/../guest/vdrive-run" \
		"$prepare_root/bench"
	(cd "$prepare_root" && find . | LC_ALL=C sort |
		cpio -o -H newc -R 0:0 --quiet | gzip -n -6) \
		>"$CACHE/initrd.part"
	rm -rf "$prepare_root"
	mv "$CACHE/initrd.part" "$CACHE/initrd"
	echo "$prepare_stamp" >"$CACHE/initrd.stamp"
}

# --- images ------------------------------------------------------------------

prepare_image() { # directory, image to be made
	truncate -s "$PREPARE_DISK" "$CACHE/disk.part"
	mke2fs -q -F -t ext4 -m 0 -d "$1" \
		-E lazy_itable_init=0,lazy_journal_init=0 "$CACHE/disk.part" &&
		qemu-img convert -O qcow2 "$CACHE/disk.part" "$2.part" &&
		mv "$2.part" "$2" && rm -f "$CACHE/disk.part"
}

prepare_capture() { # program
	[ ! -f "$CACHE/$1.cap" ] || return 0
	bench_say "$1: installed over the base, captured"
	prepare_work=$(mktemp -d "$CACHE/install.XXXXXX")
	cat >"$prepare_work/install" <<-END
	#!/bin/sh
	export DEBIAN_FRONTEND=noninteractive
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	apt-get update -qq &&
	apt-get install -y -qq --no-install-recommends $(app_packages "$1") &&
	apt-get clean &&
	rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/*
	END
	chmod 755 "$prepare_work/install"
	(cd "$prepare_work" && TMPDIR=$CACHE "$BIN/vdrive" package capture \
		--base "$CACHE/base" -o "$CACHE/$1.cap" -- ./install) \
		>"$CACHE/$1.log" 2>&1 ||
		bench_die "cannot capture $1: $CACHE/$1.log"
	rm -rf "$prepare_work"
}

# The base with a capture over it; deletions are .wh.NAME there.
prepare_tree() { # program, directory
	cp -a "$CACHE/base/." "$2" &&
		tar -C "$2" --xattrs -xpf "$CACHE/$1.cap" --zstd || return
	rm -f "$2/.vdrive-capture.json"
	find "$2" -name '.wh.*' | while read -r prepare_white; do
		rm -rf "${prepare_white%/*}/${prepare_white##*/.wh.}" \
			"$prepare_white"
	done
}

prepare_images() { # program
	[ ! -f "$CACHE/$1.z.qcow2" ] || return 0
	bench_say "$1: image"
	prepare_work=$(mktemp -d "$CACHE/tree.XXXXXX")
	prepare_tree "$1" "$prepare_work" &&
		prepare_image "$prepare_work" "$CACHE/$1.qcow2" &&
		qemu-img convert -c -O qcow2 "$CACHE/$1.qcow2" \
			"$CACHE/$1.z.qcow2.part" &&
		mv "$CACHE/$1.z.qcow2.part" "$CACHE/$1.z.qcow2" ||
		bench_die "cannot make the image of $1"
	rm -rf "$prepare_work"
}

# --- the drive's -------------------------------------------------------------

# Starts of three real guests are the depot's plan: of fewer none is published.
prepare_plan() { # program or os, how
	for prepare_guest in g1 g2 g3; do
		host_guest "$1" $prepare_guest &&
			guest_run "$1" $prepare_guest "$2" "$WORK/events" ||
			bench_die "$1 does not start from the drive"
	done
	cli package plan publish "$1:1" >>"$WORK/log" 2>&1 ||
		bench_die "no plan of $1"
}

prepare_depot() { # program or os, its source, how to start it ("": not)
	[ ! -d "$CACHE/$1.depot${3:+/plans}" ] || return 0
	bench_say "$1: package, plan, depot"
	rm -rf "${CACHE:?}/$1.part" "$CACHE/depot.part"
	host_start "$CACHE/$1.part" -o upstream.plans=off
	cli package create "$1:1" "$2" --devices --progress none \
		>>"$WORK/log" 2>&1 &&
		cli tenant create t >>"$WORK/log" &&
		cli tenant assign t "$1:1" >>"$WORK/log" ||
		bench_die "cannot make a package of $1"
	[ -z "$3" ] || prepare_plan "$1" "$3"
	cli depot push "dir:$CACHE/depot.part" --progress none \
		>>"$WORK/log" 2>&1 || bench_die "cannot push $1"
	host_stop
	rm -rf "${CACHE:?}/$1.part" "$CACHE/$1.depot"
	mv "$CACHE/depot.part" "$CACHE/$1.depot"
}

# The program is first in the selection: it has changed files of the OS.
prepare_select() { # program
	cli tenant create t >>"$WORK/log" &&
		cli tenant assign t "$1:1" os:1 --order >>"$WORK/log" 2>&1
}

# A store with all of both, and who has what selected.
prepare_store_of() { # program, "": on the drive | "root.": the OS, too
	[ ! -d "$CACHE/$1.$2store" ] || return 0
	rm -rf "$CACHE/store.part"
	host_start "$CACHE/store.part" -o upstream.plans=off
	host_upstream "$1"
	if [ -n "$2" ]; then
		prepare_select "$1"
	else
		cli tenant create t >>"$WORK/log" &&
			cli tenant assign t "$1:1" >>"$WORK/log"
	fi || bench_die "cannot assign $1"
	# shellcheck disable=SC2046
	cli package prefetch "$1:1" $([ -z "$2" ] || echo os:1) --all \
		--progress none >>"$WORK/log" 2>&1 ||
		bench_die "cannot fetch $1"
	host_stop
	mv "$CACHE/store.part" "$CACHE/$1.$2store"
}

prepare_store() { # program
	prepare_store_of "$1" ''
	prepare_store_of "$1" root.
}

prepare_outside() { # programs
	prepare_need debootstrap mke2fs qemu-img qemu-system-x86_64 busybox \
		cpio depmod zstd nginx curl ip tc bash
	prepare_base
	prepare_kernel
	prepare_initramfs
	[ -f "$CACHE/base.qcow2" ] ||
		prepare_image "$CACHE/base" "$CACHE/base.qcow2" ||
		bench_die "cannot make the OS's image"
	for prepare_app in "$@"; do
		prepare_capture "$prepare_app"
		prepare_images "$prepare_app"
	done
}

prepare_inside() { # programs
	prepare_depot os "dir:$CACHE/base" root
	for prepare_app in "$@"; do
		prepare_how=drive
		[ "$prepare_app" != devel ] || prepare_how=
		prepare_depot "$prepare_app" "$CACHE/$prepare_app.cap" \
			"$prepare_how"
		prepare_store "$prepare_app"
	done
}
