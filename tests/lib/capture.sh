# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# capture.sh: what the tests of captures share; after host.sh.
#
#   base_make DIR         a base of busybox, with files to change and delete
#   listing DIR           names, attributes, contents: a hash
#   script NAME TEXT      an installer $W/in/NAME for the base's shell
#   capture NAME WORD...  vdrive package capture over the base to $W/NAME.cap,
#                         from $W/in; sets code, $W/out, $W/err
#   image_by_umoci        $W/oci, tag v2 of two layers, unpacked in $W/bundle
#   same_lines A B        equal files; else the difference is shown

mkdir -p "$W/tmp" "$W/in"
TMP=$W/tmp
HERE=$(pwd)
case $B in /*) ;; *) B=$HERE/$B ;; esac

base_make()
{
	mkdir -p "$1/bin" "$1/etc/private" "$1/etc/ld.so.conf.d" "$1/dev" \
		"$1/proc" "$1/sys" "$1/run" "$1/tmp" "$1/var/log" \
		"$1/usr/share/old" "$1/usr/lib" "$1/root" "$1/home"
	cp "$(command -v busybox)" "$1/bin/busybox"
	for a in $(busybox --list); do
		[ "$a" = busybox ] || ln -s busybox "$1/bin/$a"
	done
	printf 'ID=little\nVERSION_ID="1"\n' >"$1/usr/lib/os-release"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
	echo 'root:*:19000:0:99999:7:::' >"$1/etc/shadow"
	echo hello >"$1/etc/motd"
	echo Little >"$1/etc/issue"
	echo '127.0.0.1 localhost' >"$1/etc/hosts"
	echo old >"$1/usr/share/old/file"
	# A base is older than what is done to it.
	find "$1" -exec touch -h -d '2021-01-01 UTC' {} +
}

listing()
{
	(cd "$1" && find . -printf '%p %M %U %G %s %T@ %l\n' | sort &&
		find . -type f -exec sha256sum {} + | sort -k2) | sha256sum
}

script()
{
	printf '#!/bin/sh\n%s\n' "$2" >"$W/in/$1"
	chmod 755 "$W/in/$1"
}

capture()
{
	cap=$1
	shift
	code=0
	case $1 in
	--*) ;;
	*) set -- -- "$@" ;;
	esac
	(cd "$W/in" && TMPDIR=$TMP "$B/vdrive" package capture \
		--base "$W/base" -o "$W/$cap.cap" "$@") \
		>"$W/out" 2>"$W/err" || code=$?
}

image_by_umoci()
{
	umoci init --layout "$W/oci" &&
		umoci new --image "$W/oci:v1" &&
		umoci unpack --image "$W/oci:v1" "$W/b1" &&
		cp -a "$W/base/." "$W/b1/rootfs/" &&
		mkdir "$W/b1/rootfs/data" "$W/b1/rootfs/gone" &&
		echo 1 >"$W/b1/rootfs/data/hidden" &&
		echo 1 >"$W/b1/rootfs/gone/file" &&
		umoci repack --image "$W/oci:v1" "$W/b1" &&
		rm -rf "$W/b1" &&
		umoci unpack --image "$W/oci:v1" "$W/b1" &&
		rm -r "$W/b1/rootfs/gone" "$W/b1/rootfs/data" &&
		mkdir "$W/b1/rootfs/data" &&
		echo 2 >"$W/b1/rootfs/data/new" &&
		ln "$W/b1/rootfs/data/new" "$W/b1/rootfs/data/linked" &&
		umoci repack --image "$W/oci:v2" "$W/b1" &&
		umoci config --image "$W/oci:v2" --config.env PATH=/opt/bin &&
		umoci unpack --image "$W/oci:v2" "$W/bundle"
} >"$W/umoci.log" 2>&1

same_lines()
{
	cmp -s "$1" "$2" || { diff "$1" "$2" | sed 's/^/# /'; false; }
}
