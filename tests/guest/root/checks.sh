# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# checks.sh - what the jobs share, read by them as /checks.sh: a line per check,
# "ok NAME" or "not ok NAME: why", and a status of 1 if any failed.
failures=0

# ok NAME [NOTE]
ok() {
	echo "ok $1${2:+ $2}"
}

# not_ok NAME WHY...
not_ok() {
	failures=$((failures + 1))
	name=$1
	shift
	echo "not ok $name: $*"
}

# check NAME COMMAND...: ok if the command succeeds; its last words are the
# reason if not.
check() {
	name=$1
	shift
	if "$@" >/tmp/check 2>&1; then
		ok "$name"
	else
		not_ok "$name" "$(reason $? "$@")"
	fi
}

# timed NAME COMMAND...: a check that shows its seconds and what the command
# printed last.
timed() {
	name=$1
	shift
	read_clock
	began=$now
	if "$@" >/tmp/check 2>&1; then
		read_clock
		ok "$name ($(seconds $((now - began))) s)" \
			"$(tail -n 1 /tmp/check)"
	else
		not_ok "$name" "$(reason $? "$@")"
	fi
}

# reason STATUS COMMAND...
reason() {
	status=$1
	shift
	tail -n 3 /tmp/check | tr '\n' ' '
	echo "(status $status of $*)"
}

# Hundredths of a second since the kernel's start, in $now.
read_clock() {
	read -r now _ </proc/uptime
	now=${now%.*}${now#*.}
}

# seconds HUNDREDTHS: as a decimal number.
seconds() {
	printf '%d.%02d' $(($1 / 100)) $(($1 % 100))
}

# The fstab's drive at /sw, or the end of the job.
mount_drive() {
	timed mount mount /sw
	[ "$failures" -eq 0 ] || finish
	event mounted
}

# Nothing that the guest remembers is to answer the next question.
forget_caches() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	check 'unmount' umount /sw
	check 'mount again' mount /sw
}

finish() {
	[ "$failures" -eq 0 ] && exit 0
	echo "$failures failed"
	exit 1
}
