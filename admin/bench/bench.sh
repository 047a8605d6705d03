#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# bench.sh: starts of real programs in real guests (QEMU, Debian's kernel) over a
# shaped link, from images and from the drive.  Run by `vdrive bench run`.
#
#   bench.sh CACHE MBIT PLAN
#
# Each line of PLAN is a sample, "PROGRAM VARIANT" (sample.sh); each gives a line
# of JSON on stdout.  "storage PROGRAM SOFTWARES" and "run-time PROGRAM"
# give several (storage.sh, run_time.sh), "prepare PROGRAM" none: it makes what
# samples need.  What CACHE lacks is made first (prepare.sh).  stderr tells what goes on.
# A sample that fails gives a line with "failed", and the others go on.
#
#   VDRIVE_BENCH_BIN      where vdrive and vdrived are
#   VDRIVED_OPTIONS       more of vdrived's, as -o upstream.fill=off
#   GUEST_LIMIT           seconds that a guest may be silent (300)
#   GUEST_MEMORY          MiB (1024)
set -u

HERE=$(cd "$(dirname "$0")" && pwd)
: "${GUEST_LIMIT:=300}" "${GUEST_MEMORY:=1024}"
BIN=$VDRIVE_BENCH_BIN CACHE=$1 MBIT=$2 PLAN=$3

bench_say() {
	echo "$*" >&2
}

# What was written until then stays, as $CACHE/failed.
bench_die() {
	bench_say "failed: $*"
	if [ -n "${WORK:-}" ]; then
		bench_say "  look into $CACHE/failed"
		rm -rf "$CACHE/failed"
		mkdir "$CACHE/failed"
		for bench_file in log console events qemu.log vdrived.log; do
			cp "$WORK/$bench_file" "$CACHE/failed" 2>/dev/null
		done
	fi
	exit 1
}

# Try a command until it succeeds, for at most 20 s.
bench_wait() {
	bench_tries=400
	until "$@" >/dev/null 2>"$WORK/wait"; do
		bench_tries=$((bench_tries - 1))
		[ $bench_tries -gt 0 ] ||
			bench_die "gave up on $*: $(cat "$WORK/wait")"
		sleep 0.05
	done
}

# End a process that was started here; it has 10 s to go by itself.
bench_end() { # process id
	kill "$1" 2>/dev/null || return 0
	bench_tries=200
	while kill -0 "$1" 2>/dev/null && [ $bench_tries -gt 0 ]; do
		bench_tries=$((bench_tries - 1))
		sleep 0.05
	done
	[ $bench_tries -gt 0 ] || kill -9 "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

# What a guest and its host are: also a job's way out.
bench_clean_job() {
	trap '' INT TERM
	[ -z "${guest_listener:-}" ] || bench_end "$guest_listener"
	[ -z "${guest_pid:-}" ] || bench_end "$guest_pid"
	host_stop
}

# Every way out comes through here.
bench_clean() {
	trap '' INT TERM
	[ -z "${bench_job:-}" ] || bench_end "$bench_job"
	bench_clean_job
	[ -z "$HOST_WEB_PID" ] || bench_end "$HOST_WEB_PID"
	[ -z "$HOST_NS" ] || ip netns del "$HOST_NS" 2>/dev/null
	rm -rf "$WORK"
}

# A line of PLAN, which may fail by itself.
bench_line() { # program, variant, command
	bench_app=$1 bench_variant=$2
	shift 2
	(
		trap bench_clean_job EXIT
		trap 'exit 1' TERM HUP
		"$@"
	) &
	bench_job=$!
	wait "$bench_job" || printf \
		'{"app":"%s","variant":"%s","failed":true}\n' \
		"$bench_app" "$bench_variant"
	bench_job=
}

[ "$(id -u)" = 0 ] || bench_die "root is needed: namespaces, captures"
. "$HERE/apps.sh"
. "$HERE/prepare.sh"
. "$HERE/link.sh"
. "$HERE/host.sh"
. "$HERE/sample.sh"
. "$HERE/storage.sh"
. "$HERE/run_time.sh"
programs=$(awk '{ print $1 ~ /^(prepare|storage|run-time)$/ ? $2 : $1 }' "$PLAN" |
	sort -u)

# What needs a mirror comes before the namespace.
if [ -z "${BENCH_INSIDE:-}" ]; then
	mkdir -p "$CACHE" || exit 1
	unshare --net --mount true 2>/dev/null ||
		bench_die "no network namespaces here: a real root is needed"
	# shellcheck disable=SC2086
	prepare_outside $programs
	BENCH_INSIDE=1 exec unshare --net --mount "$0" "$@"
fi

WORK=$(mktemp -d "$CACHE/run.XXXXXX")
trap bench_clean EXIT
trap 'exit 1' INT TERM HUP
host_up "$MBIT"
web_up
# shellcheck disable=SC2086
prepare_inside $programs
while read -r program variant count; do
	case $program in
	prepare) ;;
	storage) bench_line storage "$variant" storage "$variant" "$count" ;;
	run-time) bench_line run-time "$variant" run_time "$variant" ;;
	*) bench_line "$program" "$variant" sample "$program" "$variant" ;;
	esac
done <"$PLAN"
