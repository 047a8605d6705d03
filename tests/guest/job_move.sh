#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_move.sh - run in a guest by guest.sh: the guest is moved to another
# vdrived while it has the drive mounted and files open ("host kill-restart"
# does it, see move.sh); what it holds stays good, and it goes on writing.
# shellcheck source=root/checks.sh disable=SC2317
. /checks.sh

numbers() {
	find /sw -xdev | sort | xargs stat -c '%i %h %s %n' >"$1"
}

mount_drive
cd /sw || finish
check 'a package file is changed' sh -c 'echo changed >>pkg/text'
check 'a big file is written' sh -c \
	'dd if=/dev/urandom of=/tmp/big bs=64k count=40 2>/dev/null &&
	cp /tmp/big big && sync'
check 'a page of a big package file is changed' sh -c \
	'printf page | dd of=pkg/big bs=1 seek=500000 conv=notrunc 2>/dev/null'
check 'a directory of the package is renamed' mv pkg/dir renamed
md5sum pkg/* big renamed/* >/tmp/before 2>/dev/null
numbers /tmp/numbers
exec 5<big 6>>log
echo before >&6
check 'the host moves the guest' host kill-restart
echo after >&6
check 'a file that was open is read' sh -c 'cmp - /tmp/big <&5'
check 'a file that was open is written' sh -c \
	'sync; [ "$(tr "\n" " " <log)" = "before after " ]'
exec 5<&- 6>&-
check 'contents are the same' md5sum -c /tmp/before
rm log
echo 3 >/proc/sys/vm/drop_caches
check 'contents are the same, asked again' md5sum -c /tmp/before
numbers /tmp/numbers.after
check 'numbers, links and sizes are the same' \
	cmp /tmp/numbers /tmp/numbers.after
check 'new files are made' sh -c 'mkdir new && cp /tmp/big new/ && sync'
cd / && umount /sw && mount /sw && cd /sw || finish
check 'after a remount all is there' sh -c \
	'md5sum -c /tmp/before && cmp new/big /tmp/big'
cd /
finish
