# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# guests.sh: real guests on a host of host.sh.  Sourced after it.
#
#   guest_killer NAME    makes $W/kill-restart: kills vdrived of that host with
#                        -9 and starts it again on its port, when a guest asks
#   guest_run HOST T/G JOB RESULTS
#                        boots a guest whose /etc/fstab is the very line that
#                        `vdrive guest fstab` prints; the job's status
#   count_job NAME STATUS RESULTS
#                        shows a job's lines and counts them as tests
#   guest_cache          where the image is kept

guest_cache()
{
	echo "${GUEST_CACHE:-build/guest}"
}

guest_killer()
{
	cat >"$W/kill-restart" <<-END
	#!/bin/sh
	[ "\$1" = kill-restart ] || { echo "no host command \$1"; exit 2; }
	pid=\$(cat "$W/$1.pid")
	kill -9 "\$pid"
	# Dead is not yet gone: until its last thread is a zombie its files
	# are locked.
	while [ "\$(cat /proc/\$pid/task/*/stat 2>/dev/null |
	    grep -vc ') Z ')" -gt 0 ]; do
	    sleep 0.02
	done
	: >"$W/$1.log"
	setsid "$B/vdrived" --user nobody -o "store.path=$W/$1" \\
	    -o "nfs.listen=127.0.0.1:$PORT" -o "admin.socket=$W/$1/sock" \\
	    -o nfs.trust-paths=yes -o "upstream.fill=${HOST_FILL:-off}" \\
	    >>"$W/$1.log" 2>&1 </dev/null &
	echo \$! >"$W/$1.pid"
	echo killed >>"$W/$1.kills"
	i=0
	until grep -q ' ready, ' "$W/$1.log"; do
	    i=\$((i + 1))
	    [ \$i -lt 300 ] || { tail -n 3 "$W/$1.log"; exit 1; }
	    sleep 0.1
	done
	END
	chmod +x "$W/kill-restart"
}

guest_run()
{
	guest_name=$(basename "$2")
	mkdir -p "$4"
	on "$1" guest fstab "$2" --server 10.0.2.2 >"$4/fstab" || return 1
	# shellcheck disable=SC2086
	GUEST_HOST_COMMAND=$W/kill-restart GUEST_CACHE=$(guest_cache) \
		$RUN_ON sh tests/guest/guest.sh run "$guest_name" "$4/fstab" \
		"$3" "$4"
}

# Seconds of an event of a guest: RESULTS WORD
guest_event()
{
	awk -v w="$2" '$2 == w { print $1; exit }' "$1/events"
}

# Count a job's lines; its status must agree.
count_job()	# NAME STATUS RESULTS
{
	sed "s/^/  $1: /" "$3/out"
	passed=$((passed + $(grep -c '^ok ' "$3/out")))
	failed=$((failed + $(grep -c '^not ok ' "$3/out")))
	check "$1 ended with status 0" [ "$2" -eq 0 ]
	[ "$2" -eq 0 ] || tail -n 20 "$3/console"
}
