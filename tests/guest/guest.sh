#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# guest.sh run NAME FSTAB_FILE SCRIPT RESULT_DIR - boot one real guest, Debian's
# own kernel in QEMU, run SCRIPT as root in it and return the script's exit
# status.
#
# The guest has FSTAB_FILE as its /etc/fstab, util-linux's mount, nfs-common's
# mount.nfs, busybox for everything else, an empty directory /sw, and the host's
# loopback at 10.0.2.2. Two commands of its own: "event WORD..." notes a moment
# ("event mounted" is expected of a job after its mount), and "host WORD..."
# runs $GUEST_HOST_COMMAND WORD... on the host and gives its output and status
# to the guest. Left behind in RESULT_DIR:
#
#   out       stdout and stderr of the script
#   events    a line per event: seconds since QEMU was started, then the words
#   console   what the kernel said
#
#   GUEST_HOST_COMMAND   program for "host"; its SIGINT and SIGQUIT are ignored
#   GUEST_FILES          directory whose content the guest finds in /files
#   GUEST_TIMEOUT        seconds until the guest is ended with status 124 (240)
#   GUEST_CACHE          where image.sh keeps its image (the tree's build/guest)
#   GUEST_ACCEL          "kvm": use KVM if it proves itself within 3 seconds
#   GUEST_DISK           image of a disk, which the guest has as /dev/vda
#   GUEST_ROOT           "disk": the operating system of /dev/vda (ext4) goes on,
#                        without its init: the job runs in it.  "drive": the
#                        fstab's drive is the root, and the init that it has
#                        comes up; the job is one of its services, if that is
#                        systemd.  Both find this guest's own in /run/guest.
#   GUEST_MEMORY         MiB (512)
#   GUEST_CPUS           processors (1)
#
# Status 125: no guest, or one that ended without a word about its script.
# Several guests may run at the same time, each with its own NAME and
# RESULT_DIR.
#
# A trap for scripts: busybox prefers its own applets to the PATH when it starts
# a program, so "time mount /sw" or "xargs mount" is busybox's mount. A plain
# "mount /sw" is the real one.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${GUEST_CACHE:-$here/../../build/guest}
limit=${GUEST_TIMEOUT:-240}
memory=${GUEST_MEMORY:-512}
cpus=${GUEST_CPUS:-1}

# On a busy host an emulated timer may seem dead to the kernel, which then
# panics, if no_timer_check does not stop it from looking.
kernel_arguments='console=ttyS0 quiet panic=-1 no_timer_check'

say() {
	printf 'guest %s: %s\n' "$name" "$*"
}

die() {
	printf 'guest.sh: %s\n' "$*" >&2
	exit 125
}

usage() {
	echo 'usage: guest.sh run NAME FSTAB_FILE SCRIPT RESULT_DIR' >&2
	exit 2
}

# Hundredths of a second since some fixed moment, in $now. (No fork: it stamps
# events.)
read_clock() {
	read -r now _ </proc/uptime
	now=${now%.*}${now#*.}
}

# The base image with this guest's own files appended: the kernel unpacks both
# archives.
make_initramfs() {
	mkdir -p "$run/extra/etc" "$run/extra/files"
	cp "$fstab" "$run/extra/etc/fstab"
	cp "$script" "$run/extra/job"
	if [ -n "${GUEST_FILES:-}" ]; then
		cp -R "$GUEST_FILES/." "$run/extra/files"
	fi
	(cd "$run/extra" && find . | cpio -o -H newc -R 0:0 --quiet) \
		>"$run/extra.cpio"
	cat "$cache/initramfs.cpio.gz" "$run/extra.cpio" >"$run/initramfs"
}

# KVM may open and then hang in the guest's first instructions. Let the kernel
# boot with no root at all: under a KVM that works it comes to its panic, and
# QEMU ends, in a second.
kvm_works() {
	[ -w /dev/kvm ] || return 1
	timeout -k 1 3 qemu-system-x86_64 -accel kvm -cpu host -m 256 \
		-nodefaults -no-user-config -display none -no-reboot \
		-kernel "$cache/vmlinuz" -append 'console=ttyS0 panic=-1' \
		-serial "file:$run/kvm" \
		</dev/null >/dev/null 2>&1 || :
	grep -q 'Kernel panic' "$run/kvm" 2>/dev/null
}

choose_accelerator() {
	accelerator='tcg,thread=multi' processor=max
	[ "${GUEST_ACCEL:-tcg}" = kvm ] || return 0
	if kvm_works; then
		accelerator=kvm processor=host
	else
		say 'KVM does not get a kernel booted here, using emulation'
	fi
}

# One virtio-serial port per stream; the two fifos of a "pipe" are NAME.in (to
# the guest) and NAME.out (from it).
start_qemu() {
	set --
	[ -z "${GUEST_DISK:-}" ] ||
		set -- -drive "file=$GUEST_DISK,if=none,id=disk,format=raw" \
			-device virtio-blk-pci,drive=disk
	timeout -k 5 "$limit" qemu-system-x86_64 \
		-accel "$accelerator" -cpu "$processor" -m "$memory" \
		-smp "$cpus" \
		-nodefaults -no-user-config -display none -no-reboot \
		-kernel "$cache/vmlinuz" -initrd "$run/initramfs" \
		-append "$kernel_arguments GUEST_NAME=$name ${GUEST_ROOT:+GUEST_ROOT=$GUEST_ROOT}" \
		-serial "file:$result/console" \
		-netdev user,id=network \
		-device virtio-net-pci,netdev=network,romfile= \
		-device virtio-serial-pci \
		-chardev "file,id=out,path=$result/out" \
		-device virtserialport,chardev=out,name=out \
		-chardev "pipe,id=events,path=$run/events" \
		-device virtserialport,chardev=events,name=events \
		-chardev "pipe,id=host,path=$run/host" \
		-device virtserialport,chardev=host,name=host "$@" \
		</dev/null >"$result/qemu" 2>&1 3<&- 4<&- &
	qemu=$!
}

# Copy the guest's events to RESULT_DIR/events, each with its time.
follow_events() {
	while read -r words; do
		read_clock
		elapsed=$((now - start))
		printf '%d.%02d %s\n' \
			$((elapsed / 100)) $((elapsed % 100)) "$words"
	done >"$result/events"
}

# Run the host's command with these words. Its output goes to a file and not to
# a pipe: a server that it starts may keep that open. The process id is for
# end_host_command.
run_host_command() {
	if [ -z "${GUEST_HOST_COMMAND:-}" ]; then
		echo 'GUEST_HOST_COMMAND is not set' >"$run/answer"
		return 127
	fi
	timeout "$limit" "$GUEST_HOST_COMMAND" "$@" \
		</dev/null >"$run/answer" 2>&1 &
	echo $! >"$run/host_command"
	wait $! && host_status=0 || host_status=$?
	rm -f "$run/host_command"
	return "$host_status"
}

# Answer the guest's "host" command; root/bin/host has the form of the answer.
serve_host() {
	set -f
	while read -r words; do
		# shellcheck disable=SC2086
		run_host_command $words && answer=0 || answer=$?
		{
			awk '{ print "|" $0 }' "$run/answer"
			echo "=$answer"
		} >"$run/host.in"
	done
}

end_host_command() {
	[ -f "$run/host_command" ] || return 0
	kill "$(cat "$run/host_command")" 2>/dev/null || :
}

# Every way out comes through here, and ends what was started.
clean_up() {
	trap '' INT TERM
	for process in $qemu $events_reader $host_server; do
		kill "$process" 2>/dev/null || :
	done
	end_host_command
	wait
	rm -rf "$run"
}

# Sets $ended to what QEMU, or the time limit's watchman, exited with. The fifos
# are held open from before QEMU has them until it ends, so that no reader waits
# for ever.
run_qemu() {
	mkfifo "$run/events.in" "$run/events.out" "$run/host.in" "$run/host.out"
	exec 3<>"$run/events.out" 4<>"$run/host.out"
	{
		exec 3<&- 4<&- <"$run/events.out"
		follow_events
	} &
	events_reader=$!
	{
		exec 3<&- 4<&- <"$run/host.out"
		serve_host
	} &
	host_server=$!
	start_qemu
	wait "$qemu" && ended=0 || ended=$?
	qemu=''
	exec 3<&- 4<&-
	wait "$events_reader" || :
	events_reader=''
}

# event_time WORD: the seconds of the first event of that name.
event_time() {
	awk -v word="$1" '$2 == word { print $1; exit }' "$result/events"
}

print_times() {
	for event in first-process mounted exit; do
		seconds=$(event_time "$event")
		[ -z "$seconds" ] || say "$event after $seconds s"
	done
}

# The script's own status, or why there is none.
report() {
	print_times
	status=$(awk '$2 == "exit" { print $3; exit }' "$result/events")
	[ -z "$status" ] || return 0
	if [ "$ended" -eq 124 ] || [ "$ended" -eq 137 ]; then
		say "ended by the time limit of $limit s"
		status=124
	else
		say "ended without a status (QEMU's was $ended):"
		tail -n 15 "$result/qemu" "$result/console" 2>/dev/null || :
		status=125
	fi
}

run_guest() {
	name=$1 fstab=$2 script=$3 result=$4
	case $name in
	*[!A-Za-z0-9-]* | '') die "not letters, digits and -: '$name'" ;;
	esac
	for file in "$fstab" "$script"; do
		[ -r "$file" ] || die "cannot read $file"
	done
	"$here/image.sh" "$cache" || die 'no image to boot from'
	mkdir -p "$result"
	rm -f "$result/out" "$result/console" "$result/events" "$result/qemu"
	run=$(mktemp -d) qemu='' events_reader='' host_server=''
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	choose_accelerator
	make_initramfs
	read_clock
	start=$now
	run_qemu
	report
	return "$status"
}

[ "$#:${1:-}" = 5:run ] || usage
shift
run_guest "$@"
