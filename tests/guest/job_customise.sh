#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_customise.sh - run in a guest by guest.sh, with a Debian on a disk as the
# guest's own system (GUEST_ROOT=disk): make software of the drive one's own,
# with what its users do that for; or, in a fresh VM (there is a file "fresh"),
# have the host apply the profile of it and take it away again.  Asked is always
# the software itself, under vdrive-run.
#
#   /files/software    which (customise.sh)
#   /files/...         what a user would have fetched: plugin, wheel, source
#
# Of each software: NAME_make; NAME_says, which starts it and prints an answer,
# $NAME_own with the customisation and $NAME_plain without; and below
# $NAME_places lies all that the customisation is.
# shellcheck source=root/checks.sh disable=SC2034,SC2317
. /checks.sh
# shellcheck source=postgres.sh
. /files/postgres.sh
PATH=/files:$PATH

# --- vim: settings, and a plugin of the user's ------------------------------

vim_places='etc/vim root'
vim_plain='	a=1|longer=2|'
vim_own='   a      = 1|longer = 2|'

vim_make() {
	vdrive-run sh -c '
		printf "set shiftwidth=3\nset expandtab\n" >/etc/vim/vimrc.local &&
		mkdir -p /root/.vim/pack/mine/start &&
		cp -R /run/guest/files/tabular /root/.vim/pack/mine/start'
}

vim_says() {
	printf 'a=1\nlonger=2\n' >/tmp/text
	vdrive-run vim --not-a-term -T dumb -n -i NONE \
		-c 'silent! Tabularize /=' -c 'normal gg>>' -c wq /tmp/text \
		</dev/null >/dev/null && tr '\n' '|' </tmp/text
}

# --- sqlite3: the shell's configuration -------------------------------------

sqlite_places=root
sqlite_plain=7
sqlite_own='[{"x":7}]'

sqlite_make() {
	vdrive-run sh -c 'printf ".headers on\n.mode json\n" >/root/.sqliterc'
}

sqlite_says() {
	vdrive-run sqlite3 :memory: 'select 7 as x' 2>/dev/null
}

# --- postgresql: a setting, and who may come in -----------------------------

postgresql_places=etc/postgresql
postgresql_plain='4MB, refused'
postgresql_own='17MB, 17MB'

postgresql_make() {
	vdrive-run sh -c 'cd /etc/postgresql/15/main &&
		echo "work_mem = 17MB" >conf.d/mine.conf &&
		sed -i "1i host all postgres 127.0.0.1/32 trust" pg_hba.conf'
}

# In one run, and without Debian's psql, a perl script that looks for this one.
postgresql_says() {
	start_server || return
	vdrive-run setpriv --reuid postgres --regid postgres --init-groups \
		sh -c 'PATH=/usr/lib/postgresql/15/bin:$PATH
		socket=$(psql -Atc "show work_mem")
		network=$(psql -h 127.0.0.1 -Atc "show work_mem")
		echo "${socket:-refused}, ${network:-refused}"' \
		2>/tmp/sql </dev/null
	stop_server TERM 0
}

# --- python: a module for all, and an environment of its own ----------------

python_places='usr/local opt'
python_plain='none none none'
python_own="3000 3000 $(echo /files/wheel-*.whl | cut -d - -f 2)"

python_make() {
	vdrive-run sh -ec '
		pip="python3 -m pip --disable-pip-version-check"
		cp -R /run/guest/files/acme /tmp
		PIP_ROOT_USER_ACTION=ignore $pip install --no-index \
			--no-build-isolation --break-system-packages /tmp/acme
		python3 -m venv --without-pip /opt/mine
		$pip --python /opt/mine/bin/python install --no-index \
			/run/guest/files/wheel-*.whl'
}

python_says() {
	vdrive-run sh -c 'export PYTHONDONTWRITEBYTECODE=1
		module=$(python3 -c "import acme_units as a; print(a.metres(3))")
		command=$(/usr/local/bin/acme-units 3)
		wheel=$(/opt/mine/bin/python -c "import wheel
print(wheel.__version__)")
		echo "${module:-none} ${command:-none} ${wheel:-none}"' 2>/dev/null
}

# ----------------------------------------------------------------------------

# says WANTED: the software's answer
says() {
	got=$("${software}_says") || { echo "$got"; return 1; }
	[ "$got" = "$1" ] || { echo "it says '$got'"; return 1; }
}

# All that a guest can see below the software's places.  A directory's time is
# that of the last switch.
# shellcheck disable=SC2086
listing() {
	(cd /sw && {
		find $places ! -type d -printf '%p %i %m %n %U:%G %s %T@ %l\n'
		find $places -type d -printf '%p %i %m %U:%G\n'
		find $places -type f -exec md5sum {} +
	} 2>/dev/null | LC_ALL=C sort)
}

same_as_before() {
	listing >/tmp/after
	diff /tmp/before /tmp/after
}

differs() {
	! same_as_before >/dev/null
}

# What the host has done is seen at once by a new mount.
remount() {
	umount /sw && mount /sw
}

make() {
	timed "$software: its user makes it their own" "${software}_make"
	timed "$software: it works as it was made" says "$own"
}

carry() {
	timed "$software: nothing of it in a fresh VM" says "$plain"
	listing >/tmp/before
	check "$software: the host applies the profile" host apply "$software"
	check "$software: is mounted again" remount
	timed "$software: it works as it was made in the other VM" says "$own"
	check "$software: and is seen on the drive" differs
	check "$software: the host detaches the profile" host detach "$software"
	check "$software: is mounted again" remount
	check "$software: the drive is exactly as before" same_as_before
	timed "$software: it works as before" says "$plain"
}

mount_drive
for software in $(cat /files/software); do
	eval "plain=\$${software}_plain own=\$${software}_own"
	eval "places=\$${software}_places"
	if [ -e /files/fresh ]; then carry; else make; fi
done
finish
