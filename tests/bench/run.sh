#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh: the NFSv3 servers side by side, over the same files.  Several parts,
# each in a script of its own with its rows: rows_read.sh, rows_write.sh; this one
# has what they need and runs those that ROWS names ("read write").  Three more
# look at the depot: rows_storage.sh (bytes at rest beside other formats),
# rows_cold.sh (starts from an upstream), rows_store4.sh (more data than memory).
# rows_life.sh: capture, selection and switch of many guests.
#
#	bare		bareserver.c: what the transport alone costs
#	ganesha		nfs-ganesha with its VFS back end (Debian's package)
#	vdrive		vdrived
#
# Each server has CPU 0, the load generator has CPU 1 and spins; both go before
# what else runs here (nice).  For each workload the servers take turns, round
# after round, so that a slow minute of the machine hits all of them; the tables
# show medians.  A sample during which other processes used too much CPU is
# taken again, up to three times, and the quietest is kept.
#
# All of it runs in a network and mount namespace of its own: no port can be
# taken, nothing listens outside, rpcbind needs no place on the host, and the
# congestion control can be reno for ganesha too.  Where there is no permission
# for that, it runs on the host's loopback and says so.
#
# By environment: BENCH_ROUNDS (3), BENCH_SECONDS (1.5) and BENCH_WARM (0.5)
# per sample, BENCH_SERVERS ("bare ganesha vdrive"), BENCH_CASES (list of
# workload:connections:depth), BENCH_BIN (where the programs are), BENCH_OUT
# (build/bench), BENCH_QUIET (0.25 other cores are still quiet), BENCH_NICE
# (-10).  Those of the writing part are at the top of rows_write.sh.
#
# Leaves samples and tables in BENCH_OUT; the tables also go to stdout.

set -eu

cd "$(dirname "$0")/../.."

: "${BENCH_ROUNDS:=3}" "${BENCH_SECONDS:=1.5}" "${BENCH_WARM:=0.5}"
: "${BENCH_SERVERS:=bare ganesha vdrive}"
: "${B:=build/plain}" "${ROWS:=read write}"
: "${BENCH_BIN:=$B/tests/bench}" "${BENCH_OUT:=build/bench}"
: "${BENCH_QUIET:=0.25}" "${BENCH_SERVER_CPU:=0}" "${BENCH_CLIENT_CPU:=1}"
: "${BENCH_NICE:=-10}"

# Real programs come from Debian's mirror: while there is a network.
if [ -z "${BENCH_INSIDE:-}" ]; then
	case " $ROWS " in
	*" storage "* | *" cold "* | *" store4 "*)
		ROWS=$ROWS sh tests/bench/prepare.sh ;;
	esac
fi

if [ -z "${BENCH_INSIDE:-}" ]; then
	if unshare --net --mount true 2>/dev/null; then
		BENCH_INSIDE=own exec unshare --net --mount \
			sh "$PWD/tests/bench/run.sh"
	fi
	BENCH_INSIDE=host
fi

bench_say() {
	echo "bench: $*" >&2
}

# Become a program on one CPU, ahead of others.  Where the scheduler groups
# processes by session (autogroup), nice counts within the group only; hence a
# session of its own and the nice value of that.
bench_exec() { # CPU, command
	exec setsid sh -c '
		echo "$1" 2>/dev/null >/proc/self/autogroup || :
		nice=$1 cpu=$2
		shift 2
		exec nice -n "$nice" taskset -c "$cpu" "$@"
	' bench "$BENCH_NICE" "$@"
}

# Try a command until it succeeds, for at most 20 s.
bench_wait() {
	bench_tries=200
	until "$@" >/dev/null 2>"$BENCH_TMP/wait.err"; do
		bench_tries=$((bench_tries - 1))
		if [ "$bench_tries" -eq 0 ]; then
			bench_say "gave up on: $*"
			cat "$BENCH_TMP/wait.err" >&2
			return 1
		fi
		sleep 0.1
	done
}

# End a process that this script started.  It has 10 s to go by itself.
bench_end() {
	kill "$1" 2>/dev/null || return 0
	bench_tries=100
	while kill -0 "$1" 2>/dev/null && [ "$bench_tries" -gt 0 ]; do
		bench_tries=$((bench_tries - 1))
		sleep 0.1
	done
	[ "$bench_tries" -gt 0 ] || kill -9 "$1" 2>/dev/null || :
	wait "$1" 2>/dev/null || :
}

# What NAME_start left in NAME_PID and so on: bench_of bare PID.
bench_of() {
	eval "echo \"\${$(echo "$1" | tr '[:lower:]' '[:upper:]')_$2:-}\""
}

bench_client() { # generator, server, then more of the generator's options
	bench_generator=$1 bench_server=$2
	shift 2
	(bench_exec "$BENCH_CLIENT_CPU" "$BENCH_BIN/$bench_generator" -s \
		-p "$(bench_of "$bench_server" PORT)" \
		-m "$(bench_of "$bench_server" MOUNT_PORT)" \
		-e "$(bench_of "$bench_server" EXPORT)" \
		-P "$(bench_of "$bench_server" PID)" "$@")
}

bench_rss() { # server, when
	awk -v server="$1" -v when="$2" '
		$1 == "VmRSS:" { rss = $2 }
		$1 == "RssAnon:" { anon = $2 }
		END {
			printf "{\"server\":\"%s\",\"when\":\"%s\"," \
			       "\"rss_kb\":%d,\"anon_kb\":%d}\n",
			       server, when, rss, anon
		}' "/proc/$(bench_of "$1" PID)/status" >>"$BENCH_TMP/memory"
}

bench_field() { # name; one line of JSON on stdin
	sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"
}

# What the figures depend on, as list items.
bench_machine() {
	cat <<-EOF
	- $(date -u +%Y-%m-%d), $(sed -n 's/^model name.*: //p' /proc/cpuinfo |
		head -1), $(nproc) CPUs, $(awk '/MemTotal/ {
			printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), $(uname -sr)
	- server on CPU $BENCH_SERVER_CPU, client on CPU $BENCH_CLIENT_CPU, spinning, both at nice $BENCH_NICE; TCP over loopback, $(cat /proc/sys/net/ipv4/tcp_congestion_control) ($BENCH_INSIDE network)
	- CPU: the process's CPU clock, all threads, polling included; every reply checked
	- $(ganesha.nfsd -v 2>/dev/null | sed 's/.*Release = V/nfs-ganesha /' || echo "no nfs-ganesha"), FSAL_VFS, defaults; vdrived ${VDRIVE_OPTIONS:-}
	EOF
}

# All of a part's samples and readings of memory, as one JSON object.
bench_json() {
	printf '{"date":"%s","cpu":"%s","kernel":"%s","rounds":%s,' \
		"$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
		"$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" \
		"$(uname -r)" "$BENCH_ROUNDS"
	printf '\n"memory":[\n'
	sed '$!s/$/,/' "$BENCH_TMP/memory"
	printf '],\n"samples":[\n'
	sed '$!s/$/,/' "$BENCH_TMP/samples"
	printf ']}\n'
}

# Whatever happens: no process and no directory of ours is left.  A part adds
# its own cleaning as PART_clean.
bench_running= bench_part=
bench_stop() {
	trap - EXIT INT TERM HUP
	bench_stop_servers
	[ -z "$bench_part" ] || "${bench_part}_clean"
	rm -rf "$BENCH_TMP"
}

bench_stop_servers() {
	for server in $bench_running; do
		"${server}_stop"
	done
	bench_running=
}

for program in nfsbench nfswrite bareserver; do
	if [ ! -x "$BENCH_BIN/$program" ]; then
		bench_say "$BENCH_BIN/$program is not there: run make bench"
		exit 1
	fi
done
if [ "$(nproc --all)" -lt 2 ]; then
	bench_say "needs two CPUs, one for the server and one for the client"
	exit 1
fi
if [ -n "$(nice -n "$BENCH_NICE" true 2>&1)" ]; then
	BENCH_NICE=0
fi
if [ "$BENCH_INSIDE" = own ]; then
	ip link set lo up
	mount -t tmpfs -o mode=0755 bench-run /run
	echo reno >/proc/sys/net/ipv4/tcp_congestion_control
fi

. tests/bench/server_bare.sh
. tests/bench/server_ganesha.sh
. tests/bench/server_vdrive.sh

BENCH_TMP=$(mktemp -d /dev/shm/vdrive-bench.XXXXXX)
trap bench_stop EXIT
trap 'exit 1' INT TERM HUP
mkdir -p "$BENCH_OUT"

for bench_part in $ROWS; do
	. "tests/bench/rows_$bench_part.sh"
	: >"$BENCH_TMP/samples"
	: >"$BENCH_TMP/memory"
	"${bench_part}_rows"
	bench_stop_servers
	"${bench_part}_clean"
done
