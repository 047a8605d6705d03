# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# postgres.sh - Debian's postgresql under vdrive-run, for jobs in guests; read by
# them as /files/postgres.sh.
#
#   sql QUERY          as the user postgres; the rows
#   sql_says QUERY ROWS
#   start_server       until it answers; $server is vdrive-run, which keeps it
#   stop_server SIGNAL STATUS

sql() {
	vdrive-run setpriv --reuid postgres --regid postgres --init-groups \
		psql -Atc "$1"
}

sql_says() {
	got=$(sql "$1" 2>/tmp/sql)
	[ "$got" = "$2" ] && return
	echo "'$got' $(tail -n 1 /tmp/sql)"
	return 1
}

start_server() {
	mkdir -p /run/postgresql
	# shellcheck disable=SC2016
	vdrive-run sh -c 'chown postgres: /run/postgresql
		exec setpriv --reuid postgres --regid postgres --init-groups \
		/usr/lib/postgresql/15/bin/postgres \
		-D /var/lib/postgresql/15/main \
		-c config_file=/etc/postgresql/15/main/postgresql.conf' \
		>/tmp/server 2>&1 &
	server=$!
	until [ -S /run/postgresql/.s.PGSQL.5432 ]; do
		kill -0 $server 2>/dev/null || { cat /tmp/server; return 1; }
		sleep 0.2
	done
	grep -q 'ready to accept' /tmp/server || sleep 3
}

stop_server() {
	kill -"$1" $server
	wait $server
	status=$?
	[ "$status" = "$2" ] || { echo "status $status"; tail -n 3 /tmp/server; false; }
}
