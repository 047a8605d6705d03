#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_run.sh - run in a guest by guest.sh, with a Debian on a disk as the guest's
# own system (GUEST_ROOT=disk): postgresql, captured over that Debian, under
# vdrive-run; files of the guest's own; a switch.  /files has vdrive-run, and in
# "parts" which of these.  The host's commands are run.sh's.
# shellcheck source=root/checks.sh disable=SC2317
. /checks.sh
# shellcheck source=postgres.sh
. /files/postgres.sh
PATH=/files:$PATH

listens() {
	grep -q ':1538 00000000:0000 0A' /proc/net/tcp
}

server_user() {
	[ "$(stat -c %u "/proc/$(head -n 1 \
		/sw/var/lib/postgresql/15/main/postmaster.pid)")" = \
		"$(stat -c %u /sw/var/lib/postgresql/15/main)" ]
}

kill_server() {
	# The postmaster dies at once, and what it has started with it.
	kill -9 "$(head -n 1 /sw/var/lib/postgresql/15/main/postmaster.pid)"
	wait $server
	[ $? = 137 ]
}

diff_has() {
	host delta-diff >/tmp/diff || return
	grep -q "$1" /tmp/diff || { head -n 20 /tmp/diff; return 1; }
}

not() { ! "$@"; }

postgres() {
	check 'no postgresql in the guest' not which psql
	check 'nor its user' not id postgres
	check 'two files are there, which the package deletes' \
		ls /etc/issue.net /usr/share/common-licenses/BSD
	timed 'vdrive-run true, cold' vdrive-run true
	timed 'vdrive-run true' vdrive-run true
	check 'they are gone under vdrive-run' vdrive-run sh -c \
		'[ ! -e /etc/issue.net ] && [ ! -e /usr/share/common-licenses/BSD ] &&
		[ -z "$(ls /etc | grep -x issue.net)" ]'
	check 'and there for the guest' ls /etc/issue.net
	check "its user and groups are there" vdrive-run sh -c \
		'id -Gn postgres | grep -qx "postgres ssl-cert"'
	timed 'postgresql starts' start_server
	event answered
	check 'as its own user' server_user
	check 'and listens' listens
	timed 'a query' sql_says 'select 6*7' 42
	check 'a table is filled' sql_says \
		'create table t as select generate_series(1,1000) n' 'SELECT 1000'
	check 'it is stopped' stop_server TERM 0
	check 'its data is in the delta' \
		diff_has 'A  var/lib/postgresql/15/main/base/5/16'
	timed 'it starts again' start_server
	check 'its data is there' sql_says 'select count(*) from t' 1000
	check 'more data' sql_says 'insert into t values (0)' 'INSERT 0 1'
	check 'it is killed' kill_server
	rm -f /run/postgresql/.s.PGSQL.5432*
	timed 'it recovers' start_server
	check 'all data is there' sql_says 'select count(*) from t' 1001
	check 'it is stopped again' stop_server TERM 0
}

own_files() {
	before=$(cat /etc/debian_version)
	check "the guest's own files are written under vdrive-run" vdrive-run sh -c \
		'echo edited >>/etc/debian_version && rm /etc/issue'
	check 'not really' [ "$(cat /etc/debian_version)" = "$before" ]
	check '  (nor deleted)' ls /etc/issue
	check 'but on the drive' diff_has 'A  etc/debian_version'
	check 'also the deletion' diff_has ' etc/issue$'
	check 'the next run has it' vdrive-run sh -c \
		'tail -n 1 /etc/debian_version | grep -qx edited && [ ! -e /etc/issue ]'
}

# one_file A B: two names of it.
one_file() { [ "$1" -ef "$2" ]; }

links() {
	check 'names of one file of a package are one file' vdrive-run sh -c \
		'[ /usr/share/acme/link -ef /usr/share/acme/link2 ] &&
		[ /etc/acme/link -ef /etc/acme/link2 ]'
	check 'a run writes through one of them, and makes names' vdrive-run sh -c \
		'echo more >>/etc/acme/link && echo more >>/usr/share/acme/link &&
		echo new >/usr/share/one && ln /usr/share/one /usr/lib/two &&
		ln /etc/debian_version /etc/debian_version2'
	check 'those that it made are one file on the drive' \
		one_file /sw/usr/share/one /sw/usr/lib/two
	check "also that of a file of the guest's own" \
		one_file /sw/etc/debian_version /sw/etc/debian_version2
	check "in a directory of the drive's own all names have it" \
		grep -q more /sw/etc/acme/link2
	check 'elsewhere only the name does, as the manual says' sh -c \
		'grep -q more /sw/usr/share/acme/link && ! grep -q more /sw/usr/share/acme/link2'
}

# Without one, the kernel lets nobody make a socket for echoes.
ping_as_nobody() {
	echo '1 0' >/proc/sys/net/ipv4/ping_group_range
	"$@" setpriv --reuid nobody --clear-groups --inh-caps=-all \
		"$ping" -c 1 127.0.0.1
}

capabilities() {
	ping=/sw/usr/bin/ping
	check "the drive's own ping has no capability" not ping_as_nobody
	ping=ping
	check 'under vdrive-run it has, and works' ping_as_nobody vdrive-run
	check 'a run copies it, with the capability' vdrive-run sh -c \
		'cp /bin/ping /usr/bin/ping2 && setcap cap_net_raw=ep /usr/bin/ping2'
	ping=/usr/bin/ping2
	check 'in the next run the copy works, too' ping_as_nobody vdrive-run
	check 'a run puts another one in its place' vdrive-run sh -c \
		'cp /bin/ping /usr/bin/new && mv /usr/bin/new /usr/bin/ping2'
	check 'which has none' not ping_as_nobody vdrive-run
}

# read_on PATHS: in a run that goes on, until there is a /run/switched; tells what
# it had open, and what it then finds by name.
cat >/tmp/read_on <<'END'
read -r first </usr/share/acme/version
exec 5</usr/share/acme/data
touch /run/acme
until [ -e /run/switched ]; do sleep 0.5; done
echo "before $first, open: $(cat <&5)"
for path in "$@"; do
	echo "by name: $(cat $path 2>&1)"
done
END

# A switch to other packages while a run goes on.
switch() {
	vdrive-run sh /tmp/read_on /usr/share/acme/version \
		/usr/share/acme/data /usr/share/acme/new /etc/acme/version \
		>/tmp/acme 2>&1 &
	old=$!
	until [ -e /run/acme ]; do
		sleep 0.2
		kill -0 $old 2>/dev/null || break
	done
	check 'the host switches to another version' host switch
	sleep 35 # actimeo
	touch /run/switched
	wait $old
	sed 's/^/# /' /tmp/acme
	check 'an open file has its bytes' \
		grep -qx 'before 1, open: data one' /tmp/acme
	check 'a file that is new is found by name' \
		grep -qx 'by name: new' /tmp/acme
	check 'one of a directory of the drive alone too, in its new version' \
		grep -qx 'by name: 2' /tmp/acme
	# The kernel's answer for one that was looked up; vdrive-run(8) says so.
	check 'one that was looked up before is stale, or new: never old' sh -c \
		'! grep -q "by name: 1\|by name: data one" /tmp/acme'
	check 'a new run sees the new version' vdrive-run sh -c \
		'[ "$(cat /usr/share/acme/version /etc/acme/version | tr -d "\n")" = 22 ] && [ "$(cat /usr/share/acme/data)" = "data two" ]'
}

mount_drive
for part in $(cat /files/parts); do
	$part
done
finish
