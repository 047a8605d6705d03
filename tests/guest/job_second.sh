#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_second.sh - run in a guest by guest.sh after or beside job_python.sh, with
# another export of the same tenant: the package is as it was made, with nothing
# of what the other guest changed, added or deleted. /files has
# package_list.sh's lists (GUEST_FILES).
# shellcheck source=root/checks.sh disable=SC2317
. /checks.sh

# same_lines WANTED GOT: prints what differs.
same_lines() {
	diff "$1" "$2" | grep '^[-+][^-+]'
	cmp -s "$1" "$2"
}

contents() {
	md5sum -c /files/package.md5 2>&1 | grep -v ': OK$' && return 1
	return 0
}

modes() {
	awk '{ print $3 }' /files/package.modes |
		xargs stat -c '%a %s %n' >/tmp/modes 2>&1
	same_lines /files/package.modes /tmp/modes
}

names() {
	# shellcheck disable=SC2046
	find $(cat /files/package.directories) -mindepth 1 -maxdepth 1 |
		LC_ALL=C sort -u >/tmp/names
	same_lines /files/package.names /tmp/names
}

if [ ! -r /files/package.names ]; then
	not_ok 'lists of the package' 'GUEST_FILES has no lists in it'
	finish
fi
mount_drive
cd /sw || finish
check "all $(wc -l </files/package.names) names and no other" names
timed "contents of $(wc -l </files/package.md5) files" contents
check 'modes and sizes' modes
timed 'python, json as packaged' chroot /sw /usr/bin/python3 -B -c '
import json, ssl, sqlite3
assert not hasattr(json, "mark"), "changed by the other guest"'
cd /
# The same at its own paths, over this system; what it writes of this system's
# own goes to the drive.
timed 'python under vdrive-run' /files/vdrive-run python3 -B -c '
import json, ssl, sys
assert sys.prefix == "/usr" and not hasattr(json, "mark")
open("/etc/hosts", "a").write("127.0.0.2 changed\n")'
check "a file of the guest's own that it changed" sh -c \
	'! grep changed /etc/hosts && grep -q changed /sw/etc/hosts'
finish
