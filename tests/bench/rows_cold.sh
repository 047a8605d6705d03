# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# rows_cold.sh: starts of real programs on a host that has none of their data,
# from a depot behind a slow link; and a whole package read once.  Sourced by
# run.sh.
#
# A real guest (QEMU, Debian's kernel) starts each program once, over a warm
# server, and nfstap.c writes down what its NFS client asks.  coldstart.c asks
# the same again of host B's server, as often as wanted: a start's time without
# the time that the program itself takes.  Host B is a network namespace; the
# link to it is shaped by tbf in both directions; the round trip is made by the
# tests' fault proxy in front of a real nginx, which writes down what it sent.
#
#	cold	empty store, tree and index just taken over, plans not followed,
#		nothing filled
#	fill	the same, and what is started is fetched in the background
#		(upstream.fill=auto, the default)
#	plan	the same as cold, but three guests' starts have become the plan
#		of the depot, and it is followed
#	warm	store of the run before, server started anew
#	copy	one curl that fetches the package's packs: what copying the whole
#		package before the start costs at least (unpacking is free here)
#
# Each program has a depot of its own, so that its packs are the package.
#
# By environment: COLD_PROGRAMS, COLD_LINKS ("MBIT:MS ..."), COLD_WHOLE (the
# package that is read whole), COLD_DEPTH (READs in flight there), BENCH_ROUNDS,
# BENCH_DISK.  Kept in build/bench, remove to have them made anew: traces/,
# depots/.  Leaves cold.json and cold.md.

: "${COLD_PROGRAMS:=python3 nginx openjdk-17-jre-headless gimp}"
: "${COLD_LINKS:=1000:1 1000:20 100:1 100:20}"
: "${COLD_WHOLE:=gimp}" "${COLD_DEPTH:=16}"
: "${COLD_MODES:=cold fill plan}"
: "${BENCH_DISK:=/var/tmp}"
COLD_NS=bench-b COLD_A=10.78.0.1 COLD_B=10.78.0.2
COLD_WEB_PORT=18090 COLD_PROXY_PORT=18091 COLD_NFS_PORT=20499
cold_pids=
. admin/bench/link.sh

# Ahead of what else runs here, on any CPU.
cold_exec() {
	exec setsid sh -c '
		echo "$1" 2>/dev/null >/proc/self/autogroup || :
		nice=$1
		shift
		exec nice -n "$nice" "$@"
	' bench "$BENCH_NICE" "$@"
}

# --- hosts ---------------------------------------------------------------------

cold_cli() { # host, words
	cold_host=$1
	shift
	"$B/vdrive" --socket "$COLD/$cold_host/sock" "$@"
}

# vdrived with the store $COLD/HOST, in a namespace (or "-").
cold_start() { # host, namespace, more options
	cold_host=$1 cold_in=
	[ "$2" = - ] || cold_in="ip netns exec $2"
	shift 2
	mkdir -p "$COLD/$cold_host"
	(cold_exec $cold_in "$B/vdrived" --user root \
		-o "store.path=$COLD/$cold_host" \
		-o "nfs.listen=127.0.0.1:$COLD_NFS_PORT" \
		-o "admin.socket=$COLD/$cold_host/sock" "$@") \
		>>"$COLD/$cold_host.log" 2>&1 &
	cold_pid=$!
	cold_pids="$cold_pids $cold_pid"
	bench_wait cold_cli "$cold_host" status
}

cold_stop() {
	bench_end "$cold_pid"
}

cold_export() { # host, program
	cold_cli "$1" tenant create t >>"$COLD/out" &&
		cold_cli "$1" tenant assign t "$2:1" >>"$COLD/out" &&
		cold_cli "$1" guest add t/g >>"$COLD/out"
}

# --- once: depots and traces -------------------------------------------------

cold_package() { # host, program
	cold_cli "$1" package create "$2:1" \
		"dir:$BENCH_CORPUS/trees/new/$2" >>"$COLD/out"
}

# Three guests start it, which makes the plan.  What a host has noted of starts
# it writes down when it ends.
cold_make_plan() { # program
	cold_export "a-$1" "$1"
	for cold_guest in g g2 g3; do
		[ $cold_guest = g ] ||
			cold_cli "a-$1" guest add t/$cold_guest >>"$COLD/out"
		"$BENCH_BIN/coldstart" -p "$COLD_NFS_PORT" -e "/t/$cold_guest" \
			"$COLD_TRACES/$1" >>"$COLD/out"
	done
	cold_stop
	cold_start "a-$1" -
	cold_cli "a-$1" package plan publish "$1:1" >>"$COLD/out"
}

cold_make_depot() { # program
	[ ! -d "$COLD_DEPOTS/$1/plans" ] || return 0
	bench_say "depot of $1"
	cold_start "a-$1" -
	cold_package "a-$1" "$1" && cold_make_plan "$1" &&
		cold_cli "a-$1" depot push "dir:$COLD_DEPOTS/$1" >>"$COLD/out"
	cold_stop
	rm -rf "${COLD:?}/a-$1"
	[ -d "$COLD_DEPOTS/$1/plans" ]
}

cold_record() { # program
	[ ! -s "$COLD_TRACES/$1" ] || return 0
	bench_say "$1 is started in a real guest"
	mkdir -p "$COLD/files" "$COLD/guest-$1"
	echo "$1" >"$COLD/files/program"
	cold_start "r-$1" -
	cold_package "r-$1" "$1"
	cold_export "r-$1" "$1"
	"$BENCH_BIN/nfstap" -l "$COLD_PROXY_PORT" -p "$COLD_NFS_PORT" \
		-o "$COLD/trace" &
	cold_tap=$!
	cold_cli "r-$1" guest fstab t/g --server 10.0.2.2 |
		sed "s/port=$COLD_NFS_PORT/port=$COLD_PROXY_PORT/g" \
			>"$COLD/fstab"
	cold_rc=0
	GUEST_FILES="$COLD/files" GUEST_CACHE="$PWD/build/guest" \
		GUEST_MEMORY=1024 GUEST_CPUS=2 GUEST_TIMEOUT=550 \
		sh tests/guest/guest.sh run "start-${1%%.*}" "$COLD/fstab" \
		tests/bench/job_start.sh "$COLD/guest-$1" >&2 || cold_rc=$?
	bench_end "$cold_tap"
	cold_stop
	rm -rf "${COLD:?}/r-$1"
	if [ $cold_rc -ne 0 ]; then
		bench_say "$1 did not start in the guest:"
		tail -n 5 "$COLD/guest-$1/out" >&2
		return 1
	fi
	mv "$COLD/trace" "$COLD_TRACES/$1"
}

# --- the way to host B -------------------------------------------------------

cold_web_up() {
	mkdir -p "$COLD/nginx"
	cat >"$COLD/nginx/conf" <<-END
	user root root;
	worker_processes 1;
	daemon off;
	pid $COLD/nginx/pid;
	error_log $COLD/nginx/error.log;
	events { worker_connections 512; }
	http {
	    log_format bytes '\$status \$body_bytes_sent \$request_uri';
	    access_log $COLD/nginx/access.log bytes;
	    client_body_temp_path $COLD/nginx/b;
	    proxy_temp_path $COLD/nginx/p;
	    fastcgi_temp_path $COLD/nginx/f;
	    uwsgi_temp_path $COLD/nginx/u;
	    scgi_temp_path $COLD/nginx/s;
	    sendfile on;
	    tcp_nopush on;
	    keepalive_requests 1000000;
	    server { listen 127.0.0.1:$COLD_WEB_PORT; root $COLD_DEPOTS; }
	}
	END
	(cold_exec nginx -c "$COLD/nginx/conf" -p "$COLD/nginx") \
		>"$COLD/nginx/out" 2>&1 &
	cold_pids="$cold_pids $!"
	(cold_exec "$B/tests/tools/faultproxy" \
		--listen "$COLD_A:$COLD_PROXY_PORT" \
		--to "127.0.0.1:$COLD_WEB_PORT" --control "$COLD/proxy" \
		--life 7200) >"$COLD/proxy.log" 2>&1 &
	cold_pids="$cold_pids $!"
	COLD_URL=http://$COLD_A:$COLD_PROXY_PORT
	bench_wait ip netns exec "$COLD_NS" curl -sf -o /dev/null \
		"$COLD_URL/${COLD_PROGRAMS%% *}/depot.json"
}

cold_rtt() { # ms
	"$B/tests/tools/faultproxy" --control "$COLD/proxy" rtt "$1"
}

# Body bytes that nginx has sent for URIs below /PROGRAM/PART since the mark.
# Its line comes when the request is over.
cold_mark() {
	sleep 0.2
	cold_line=$(wc -l <"$COLD/nginx/access.log")
}

cold_sent() { # program, part
	awk -v from="$cold_line" -v p="/$1/$2" '
		NR > from && index($3, p) == 1 { n += $2 }
		END { print n + 0 }' "$COLD/nginx/access.log"
}

# --- samples -------------------------------------------------------------------

cold_sample() { # mode, program, line of JSON, more fields
	printf '{"server":"%s","program":"%s","mbit":%s,"rtt_ms":%s,"round":%s%s,%s\n' \
		"$1" "$2" "$cold_mbit" "$cold_ms" "$cold_round" "${4:-}" \
		"${3#?}" >>"$BENCH_TMP/samples"
	bench_say "$cold_mbit Mbit/s, $cold_ms ms, $2, $1: $3"
}

cold_ask() { # trace, more options
	cold_trace=$1
	shift
	(cold_exec ip netns exec "$COLD_NS" "$BENCH_BIN/coldstart" \
		-p "$COLD_NFS_PORT" -e /t/g "$@" "$cold_trace")
}

cold_now() {
	date +%s.%N
}

# Host B with an empty store and the program's depot as its upstream.
cold_fresh() { # program, more options
	cold_program=$1
	shift
	rm -rf "${COLD:?}/b"
	cold_start b "$COLD_NS" "$@"
	set -- "$cold_program"
	cold_cli b upstream add lab "$COLD_URL/$1/" --unsigned >>"$COLD/out"
	cold_mark
	cold_from=$(cold_now)
	cold_export b "$1"
	cold_to=$(cold_now)
	sleep 0.2
	cold_fields=$(printf ',"assign_s":%s,"tree":%s,"index":%s' \
		"$(echo "$cold_from $cold_to" | awk '{ print $2 - $1 }')" \
		"$(cold_sent "$1" trees)" "$(cold_sent "$1" index)")
}

# What the shards named by READs of a trace have, compressed: $cold_named.
cold_names() { # program, ranges
	cold_named=$("$B/tests/tools/shardsum" -r "$COLD"/b/trees/* \
		"$(find "$COLD_DEPOTS/$1/index" -type f | head -n 1)" <"$2" |
		cut -d' ' -f1)
}

# What host B counted: bytes fetched before they were asked for, and how many of
# them were asked for later.
cold_ahead() {
	cold_cli b status --json | jq -r '(.depot // .).prefetch // .prefetch |
		[.plan, .ahead, .fill] | map(.fetched, .used) |
		",\"planned\":\(.[0]),\"planned_used\":\(.[1])" +
		",\"ahead\":\(.[2]),\"ahead_used\":\(.[3])" +
		",\"filled\":\(.[4]),\"filled_used\":\(.[5])"'
}

cold_start_of() { # program, mode, options of vdrived
	cold_program=$1 cold_kind=$2
	shift 2
	cold_fresh "$cold_program" "$@"
	set -- "$cold_program"
	cold_mark
	cold_line_json=$(cold_ask "$COLD_TRACES/$1" -l "$COLD/ranges")
	cold_more=$(cold_ahead)
	sleep 0.2
	cold_names "$1" "$COLD/ranges"
	cold_sample "$cold_kind" "$1" "$cold_line_json" \
		"$cold_fields$cold_more,\"packs\":$(cold_sent "$1" packs),\"named\":$cold_named,\"plan\":$(cold_sent "$1" plans)"
	cold_stop
}

cold_warm() { # program; after a start that fetched no more than it asked for
	cold_start b "$COLD_NS" -o upstream.plans=off -o upstream.fill=off
	cold_mark
	cold_line_json=$(cold_ask "$COLD_TRACES/$1")
	sleep 0.2
	cold_sample warm "$1" "$cold_line_json" \
		",\"packs\":$(cold_sent "$1" packs)"
	cold_stop
}

# All packs, one after another over one connection.
cold_copy() { # program
	find "$COLD_DEPOTS/$1/packs" -type f -printf "%P\n" | sed \
		"s|.*|url = $COLD_URL/$1/packs/&\noutput = /dev/null|" \
		>"$COLD/curl"
	cold_mark
	cold_from=$(cold_now)
	(cold_exec ip netns exec "$COLD_NS" curl -sf -K "$COLD/curl")
	cold_to=$(cold_now)
	cold_sample copy "$1" "{\"seconds\":$(echo "$cold_from $cold_to" |
		awk '{ printf "%.6f", $2 - $1 }')}" \
		",\"packs\":$(cold_all_packs "$1")"
}

cold_all_packs() { # program
	find "$COLD_DEPOTS/$1/packs" -type f -printf '%s\n' |
		awk '{ n += $1 } END { print n + 0 }'
}

# Seconds of CPU that host B's server has used, all threads.
cold_cpu() {
	awk -v tick="$(getconf CLK_TCK)" '{
		sub(/.*\) /, "")
		print ($12 + $13) / tick }' "/proc/$cold_pid/stat"
}

# The whole package, read once, file by file.
cold_whole() { # program
	cold_fresh "$1" -o upstream.plans=off
	"$B/tests/tools/treetrace" "$COLD"/b/trees/* "$COLD_DEPTH" \
		>"$COLD/whole"
	cold_mark
	cold_cpu_from=$(cold_cpu)
	cold_line_json=$(cold_ask "$COLD/whole")
	cold_cpu_s=$(echo "$cold_cpu_from $(cold_cpu)" | awk '{ print $2 - $1 }')
	sleep 0.2
	cold_sample whole "$1" "$cold_line_json" \
		"$cold_fields,\"cpu_s\":$cold_cpu_s,\"packs\":$(cold_sent "$1" packs)"
	cold_stop
}

# --- all -----------------------------------------------------------------------

cold_round_of() { # program
	for cold_mode in $COLD_MODES; do
		case $cold_mode in
		cold)
			cold_start_of "$1" cold -o upstream.plans=off \
				-o upstream.fill=off
			cold_warm "$1"
			;;
		fill)
			cold_start_of "$1" fill -o upstream.plans=off
			;;
		plan) cold_start_of "$1" plan ;;
		esac
	done
	cold_copy "$1"
	[ "$1" != "$COLD_WHOLE" ] || cold_whole "$1"
}

cold_rows() {
	. tests/bench/corpus.sh
	COLD=$(mktemp -d "$BENCH_DISK/vdrive-cold.XXXXXX")
	COLD_TRACES=$PWD/$BENCH_OUT/traces COLD_DEPOTS=$PWD/$BENCH_OUT/depots
	mkdir -p "$COLD_TRACES" "$COLD_DEPOTS"
	for program in $COLD_PROGRAMS; do
		cold_record "$program" || return 1
		cold_make_depot "$program" || return 1
	done
	link_up "$COLD_NS" "$COLD_B" "$COLD_A"
	cold_web_up
	for cold_round in $(seq "$BENCH_ROUNDS"); do
		for cold_link in $COLD_LINKS; do
			cold_mbit=${cold_link%:*} cold_ms=${cold_link#*:}
			link_shape "$cold_mbit"
			cold_rtt "$cold_ms"
			for program in $COLD_PROGRAMS; do
				cold_round_of "$program"
			done
		done
	done
	bench_json >"$BENCH_OUT/cold.json"
	awk -f tests/bench/table_lib.awk -f tests/bench/table_cold.awk \
		"$BENCH_TMP/samples" >"$BENCH_OUT/cold.md"
	cat "$BENCH_OUT/cold.md"
}

cold_clean() {
	for cold_pid in $cold_pids; do
		bench_end "$cold_pid"
	done
	link_down "$COLD_NS"
	[ -z "${COLD:-}" ] || rm -rf "$COLD"
}
