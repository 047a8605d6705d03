#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [PART...]: a guest with a Debian of its own, on a disk, runs software
# from the drive under vdrive-run: postgresql, captured over that Debian.  As
# root, with a mirror; some minutes.  Parts: postgres, own_files, links,
# capabilities, switch; without one all.  Each line of the job is a test.
set -u
. tests/lib/host.sh
. tests/lib/guests.sh
. tests/lib/debian.sh

host_command()
{
	cat >"$W/kill-restart" <<-END
	#!/bin/sh
	case \$1 in
	delta-diff) exec "$B/vdrive" --socket "$W/h/sock" delta diff demo/vm1 ;;
	switch) exec "$B/vdrive" --socket "$W/h/sock" tenant assign demo pg:1 acme:2 ping:1 --only --order ;;
	esac
	END
	chmod +x "$W/kill-restart"
}

acme()	# VERSION DATA
{
	for acme in "$W/acme$1/etc/acme" "$W/acme$1/usr/share/acme"; do
		mkdir -p "$acme" && echo "$1" >"$acme/version" &&
			echo "data $2" >"$acme/data" &&
			echo linked >"$acme/link" &&
			ln "$acme/link" "$acme/link2" || return
	done
	[ "$1" = 1 ] || echo new >"$acme/new"
	# The links are the same in both versions.
	touch -d 2026-01-01 "$W/acme$1"/*/acme/link \
		"$W/acme$1"/usr/share/acme/link || return
	on h package create "acme:$1" "dir:$W/acme$1" >/dev/null
}

prepare()
{
	sh tests/guest/image.sh "$(guest_cache)" >"$W/image.log" 2>&1 ||
		{ cat "$W/image.log"; return 1; }
	debian_base && debian_capture pg postgresql \
		'rm /usr/share/common-licenses/BSD /etc/issue.net' &&
		debian_capture ping 'iputils-ping libcap2-bin' &&
		debian_disk "$W/disk" && mkdir "$W/files" &&
		cp admin/guest/vdrive-run tests/guest/postgres.sh "$W/files" &&
		echo "$parts" >"$W/files/parts" && host_start h &&
		on h package create pg:1 "$(debian_capture_file pg)" >/dev/null &&
		on h package create ping:1 "$(debian_capture_file ping)" >/dev/null &&
		acme 1 one && acme 2 two &&
		on h tenant create demo && on h tenant assign demo pg:1 acme:1 ping:1 --order &&
		on h guest add demo/vm1 --whiteouts on && host_command
}

parts=${*:-postgres own_files links capabilities switch}
if prepare; then
	GUEST_FILES=$W/files GUEST_DISK=$W/disk GUEST_ROOT=disk GUEST_MEMORY=1024 \
		GUEST_TIMEOUT=1500 guest_run h demo/vm1 tests/guest/job_run.sh \
		"$W/vm1"
	count_job vm1 $? "$W/vm1"
	check "the delta is sound" on h delta verify demo/vm1
else
	not_ok "a Debian, a capture, and a host"
fi
finish
