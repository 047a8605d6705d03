#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check.sh: issue 2, point 5, as a test: a guest with Debian's kernel mounts by
# the line that `guest fstab` prints, runs python3 from the drive, changes the
# package, survives a kill -9 of vdrived, and keeps its changes; a second guest
# sees none of them.  Each line of the jobs is a test.
set -u
. tests/lib/host.sh
. tests/lib/guests.sh

# shellcheck disable=SC2046
prepare()
{
	sh tests/guest/image.sh "$(guest_cache)" >"$W/image.log" 2>&1 ||
		{ cat "$W/image.log"; return 1; }
	host_start h && on h package create python3:1 deb:python3 >/dev/null &&
		on h tenant create demo && on h tenant assign demo python3:1 &&
		on h guest add demo/vm1 && on h guest add demo/vm2 &&
		unpack_debs "$W/tree" $(package_debs h python3:1) &&
		sh tests/guest/package_list.sh "$W/tree" "$W/lists" &&
		cp admin/guest/vdrive-run "$W/lists" &&
		guest_killer h
}

if prepare; then
	guest_run h demo/vm1 tests/guest/job_python.sh "$W/vm1"
	count_job vm1 $? "$W/vm1"
	check "vdrived was killed in the middle" [ -s "$W/h.kills" ]
	GUEST_FILES=$W/lists guest_run h demo/vm2 tests/guest/job_second.sh \
		"$W/vm2"
	count_job vm2 $? "$W/vm2"
else
	not_ok "host and guest image"
fi
echo "guest: $passed passed, $failed failed"
[ $failed -eq 0 ]
