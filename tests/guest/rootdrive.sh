#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# rootdrive.sh: a guest without any disk boots from the drive: a debootstrapped
# Debian is the first package of its tenant's selection, nginx (captured over it)
# goes before it, systemd is its init.  It is changed, and booted again.  As root,
# with a mirror; some minutes.  Each line of the job is a test.
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
		host_start h &&
		on h package create debian:12 "dir:$DEBIAN/base" --devices &&
		on h package create nginx:1 "$(debian_capture_file nginx)" &&
		on h tenant create demo &&
		on h tenant assign demo nginx:1 debian:12 --order >/dev/null &&
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

if prepare >"$W/prepared" 2>&1; then
	boot first
	boot second
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
