#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_root.sh - run by systemd in a guest whose root is the drive
# (GUEST_ROOT=drive).  /run/guest/files/boot says which boot it is.
# shellcheck source=root/checks.sh disable=SC2317
. /run/guest/checks.sh

root_is_nfs() {
	awk '$2 == "/" && $3 ~ /^nfs/ { found = 1 } END { exit !found }' \
		/proc/mounts
}

system_runs() {
	state=$(systemctl is-system-running 2>&1)
	case $state in
	running | degraded | starting) echo "$state" ;;
	*) echo "$state"; return 1 ;;
	esac
}

answers() {
	tries=100
	until [ "$(busybox_get)" = "$1" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { busybox_get; return 1; }
		sleep 0.2
	done
}

# The web server's page, with what the guest has: bash's own /dev/tcp.
busybox_get() {
	bash -c 'exec 3<>/dev/tcp/127.0.0.1/80
		printf "GET / HTTP/1.0\r\n\r\n" >&3; cat <&3' 2>&1 | tail -n 1
}

check 'the root is the drive' root_is_nfs
check 'init is systemd' [ "$(cat /proc/1/comm)" = systemd ]
check 'which is up' system_runs
systemctl --failed --no-legend | sed 's/^/# failed: /'
case $(cat /run/guest/files/boot) in
first)
	timed 'the service of the second package answers' answers 'as packaged'
	event answered
	check 'its page is changed' sh -c \
		'echo "changed here" >/var/www/html/index.html'
	check 'and it answers so' answers 'changed here'
	check 'a user is added' useradd -m eve
	check 'a package file of the system is removed' rm /etc/issue.net
	check 'a unit is enabled' sh -c 'printf "[Service]\nType=oneshot\nExecStart=touch /var/own\n[Install]\nWantedBy=multi-user.target\n" \
		>/etc/systemd/system/own.service && systemctl enable own 2>&1'
	sync ;;
second)
	timed 'the service answers with what was changed' answers 'changed here'
	event answered
	check 'the user is there' id eve
	check 'with its home' [ -d /home/eve ]
	check 'the removed file is not' [ ! -e /etc/issue.net ]
	check 'the unit has run' [ -e /var/own ] ;;
esac
finish
