#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_customise.sh - run in a guest by guest.sh: make software of the drive one's
# own; or, in a fresh VM (there is a file "check"), find it so.  Both end with
# the software doing what it does only then.
# shellcheck source=root/checks.sh disable=SC2317
. /checks.sh

make_settings() {
	mkdir -p /sw/etc/vim &&
		printf 'set shiftwidth=3\nset expandtab\n' >/sw/etc/vim/vimrc.mine
}

make_sqliterc() {
	mkdir -p /sw/root && printf '.headers on\n.mode json\n' >/sw/root/.sqliterc
}

vim_works() {
	echo line >/sw/tmp-out
	chroot /sw /usr/bin/vim.tiny -u /etc/vim/vimrc.mine -es -c '>' -c wq \
		/tmp-out </dev/null
	grep -qx '   line' /sw/tmp-out
}

sqlite_works() {
	HOME=/root chroot /sw /usr/bin/sqlite3 :memory: 'select 7 as x' \
		2>/dev/null | grep -q '{"x":7}'
}

check 'the drive is mounted' mount /sw
if [ ! -e /files/check ]; then
	check 'settings for vim' make_settings
	check 'a configuration for sqlite3' make_sqliterc
fi
check 'vim works with the settings' vim_works
check 'sqlite3 answers as configured' sqlite_works
rm -f /sw/tmp-out
exit "$failures"
