#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# customise.sh: what a user makes of real software in one VM works in a fresh
# one: an editor's settings (vim), a database shell's configuration (sqlite3).
# Each is a profile of its own.  Needs a mirror; minutes in emulation.  Each line
# of the jobs is a test.
set -u
. tests/lib/host.sh
. tests/lib/guests.sh

prepare()
{
	sh tests/guest/image.sh "$(guest_cache)" >"$W/image.log" 2>&1 ||
		{ cat "$W/image.log"; return 1; }
	host_start h &&
		on h package create apps:1 \
			deb:vim-tiny,sqlite3,dash >/dev/null &&
		on h tenant create demo && on h tenant create other &&
		on h tenant assign demo apps:1 && on h tenant assign other apps:1 &&
		on h guest add demo/vm1 && on h guest add other/vm2 &&
		mkdir "$W/files"
}

profile()	# NAME WORD...
{
	profile_name=$1
	shift
	check "profile $profile_name" on h profile create "$profile_name" \
		--from demo/vm1 "$@"
	check "  applied in a fresh VM of another tenant" on h profile apply \
		"$profile_name" other/vm2
}

if prepare; then
	GUEST_FILES=$W/files guest_run h demo/vm1 \
		tests/guest/job_customise.sh "$W/vm1"
	count_job vm1 $? "$W/vm1"
	on h delta diff demo/vm1
	profile vim --include 'etc/vim/**'
	profile sqlite --include 'root/.sqliterc'
	touch "$W/files/check"
	GUEST_FILES=$W/files guest_run h other/vm2 \
		tests/guest/job_customise.sh "$W/vm2"
	count_job vm2 $? "$W/vm2"
else
	not_ok "host and guest image"
fi
for h in $hosts; do
	host_stop "$h"
done
rm -rf "$W"
echo "customise: $passed passed, $failed failed"
[ $failed -eq 0 ]
