#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# rootdrive.sh: a guest without any disk boots from the drive: a debootstrapped
# Debian is the first package of its tenant's selection, nginx (captured over it)
# comes in front of it, systemd is its init.  It is changed, and booted again; at
# last by Debian's own kernel and initramfs, with admin/guest/initramfs-hook.  As
# root, with a mirror; some minutes.  Each line of the job is a test.
set -u
. tests/lib/host.sh
. tests/lib/guests.sh
. tests/lib/debian.sh

prepare()
{
	sh tests/guest/image.sh "$(guest_cache)" >"$W/image.log" 2>&1 ||
		{ cat "$W/image.log"; return 1; }
	debian_base && debian_capture nginx nginx-light \
		'echo "as packaged" >/var/www/html/index.html' &&
		debian_capture kernel 'linux-image-cloud-amd64 initramfs-tools' \
			"cat >/etc/initramfs-tools/hooks/vdrive <<'HOOK'
$(cat admin/guest/initramfs-hook)
HOOK
			chmod 755 /etc/initramfs-tools/hooks/vdrive &&
			update-initramfs -u" &&
		mkdir "$W/kernel" && zstd -dc "$(debian_capture_file kernel)" |
		tar -C "$W/kernel" -xf - boot &&
		host_start h &&
		on h package create debian:12 "dir:$DEBIAN/base" --devices &&
		on h package create nginx:1 "$(debian_capture_file nginx)" &&
		on h tenant create demo &&
		on h package create kernel:1 "$(debian_capture_file kernel)" &&
		on h tenant assign demo debian:12 >/dev/null &&
		on h tenant assign demo nginx:1 >/dev/null &&
		on h tenant assign demo kernel:1 --order >/dev/null &&
		on h guest add demo/vm1 --devices && guest_killer h
}

boot()	# first|second
{
	mkdir -p "$W/files"
	echo "$1" >"$W/files/boot"
	GUEST_FILES=$W/files GUEST_ROOT=drive GUEST_MEMORY=1024 \
		GUEST_TIMEOUT=900 guest_run h demo/vm1 tests/guest/job_root.sh \
		"$W/$1"
	count_job "$1" $? "$W/$1"
}

# Debian's own kernel and initramfs; of ours there is nothing in this guest.
debian_boot()
{
	port=$(python3 -c 'import socket; s = socket.socket()
s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	root=$(on h guest fstab demo/vm1 --server 10.0.2.2 |
		awk '$2 != "" && $1 !~ /^#/ { print $1 "," $4 }' |
		sed 's/nosuid,//; s/nodev,//; s/,_netdev.*//')
	echo "# nfsroot=$root"
	# Without udev its device is never found.
	no_getty=systemd.mask=serial-getty@ttyS0.service
	nice timeout -k 5 600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max \
		-m 1024 -nodefaults -no-user-config -display none -no-reboot \
		-kernel "$W"/kernel/boot/vmlinuz-* \
		-initrd "$W"/kernel/boot/initrd.img-* \
		-append "console=ttyS0 no_timer_check $no_getty boot=nfs root=/dev/nfs rw ip=dhcp nfsroot=$root" \
		-netdev "user,id=n,hostfwd=tcp:127.0.0.1:$port-:80" \
		-device virtio-net-pci,netdev=n,romfile= \
		-serial "file:$W/console" >"$W/qemu" 2>&1 &
	qemu=$!
	until [ "$(curl -s -m 5 "http://127.0.0.1:$port/")" = 'changed here' ]; do
		kill -0 $qemu 2>/dev/null || break
		sleep 2
	done
	kill $qemu 2>/dev/null || return
	wait $qemu
	grep 'Welcome to' "$W/console"
}

if prepare >"$W/prepared" 2>&1; then
	check "the operating system has stayed the lowest" sh -c "
		'$B/vdrive' --socket '$W/h/sock' -H tenant history demo |
		tail -n 1 | grep -q 'kernel:1, nginx:1, debian:12$'"
	boot first
	boot second
	debian_boot >"$W/debian" && ok "by Debian's own initramfs, too" || {
		not_ok "by Debian's own initramfs"
		tail -n 20 "$W/console"
	}
	grep '^#' "$W/debian"
	check "the delta is sound" on h delta verify demo/vm1
	check "what was changed is in it" sh -c "
		'$B/vdrive' --socket '$W/h/sock' delta diff demo/vm1 >'$W/diff'
		grep -q 'M  var/www/html/index.html' '$W/diff' &&
		grep -q 'A  home/eve' '$W/diff' &&
		grep -q 'D  etc/issue.net' '$W/diff'"
else
	cat "$W/prepared"
	not_ok "a Debian, a capture, and a host"
fi
finish
