# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# rows_store4.sh: a store on disk about four times larger than the memory that
# vdrived is given; sourced by run.sh.  All programs of the corpus as one
# package; clients read files of it by chance, some much more often than others
# (treetrace.c), 16 READs of up to 1 MiB in flight.
#
#	frequency	store.memory of a quarter of the store, the default policy
#	lru		the same with store.evict=lru
#	all		store.memory of 4 GiB: everything stays opened
#
# Each round: vdrived started over the same store; a run to warm up; a run that
# is measured; a read of the whole package, as a backup does, and a third run:
# what is left of the second's hits.
#
# By environment: STORE4_FILES (files of a run, 20000), BENCH_ROUNDS, BENCH_DISK.
# Leaves store4.json and store4.md.

: "${STORE4_FILES:=20000}" "${STORE4_MODES:=frequency lru all}"
: "${BENCH_DISK:=/var/tmp}"

store4_cli() {
	"$B/vdrive" --socket "$STORE4/store/sock" "$@"
}

store4_start() { # options
	mkdir -p "$STORE4/store"
	(bench_exec "$BENCH_SERVER_CPU" "$B/vdrived" --user root \
		-o "store.path=$STORE4/store" -o nfs.listen=127.0.0.1:20498 \
		-o nfs.threads=1 -o "admin.socket=$STORE4/store/sock" "$@") \
		>>"$STORE4/log" 2>&1 &
	store4_pid=$!
	bench_wait store4_cli status
}

store4_stop() {
	bench_end "$store4_pid"
	store4_pid=
}

# The package, and traces: one to warm up, two to measure, one of all.
store4_make() {
	store4_all=$STORE4/all
	mkdir "$store4_all"
	for program in $BENCH_PROGRAMS; do
		cp -an "$BENCH_CORPUS/trees/new/$program/." "$store4_all"
	done
	store4_start
	store4_cli package create "all:1" "dir:$store4_all" >>"$STORE4/out" &&
		store4_cli tenant create t >>"$STORE4/out" &&
		store4_cli tenant assign t all:1 >>"$STORE4/out" &&
		store4_cli guest add t/g >>"$STORE4/out" || return 1
	store4_stop
	rm -rf "$store4_all"
	for store4_seed in 1 2 3; do
		"$B/tests/tools/treetrace" "$STORE4"/store/trees/* 16 \
			"$STORE4_FILES" $store4_seed >"$STORE4/trace$store4_seed"
	done
	"$B/tests/tools/treetrace" "$STORE4"/store/trees/* 16 >"$STORE4/whole"
	store4_bytes=$(find "$STORE4/store/shards" -type f -printf '%s\n' |
		awk '{ n += $1 } END { print n }')
	store4_memory=$((store4_bytes / 4 / 1048576))
	bench_say "a store of $((store4_bytes / 1048576)) MiB," \
		"$store4_memory MiB of memory"
}

# One run: a line of JSON, with what the server counted meanwhile.
store4_run() { # mode, phase, trace
	store4_cli status --json >"$STORE4/before"
	store4_line=$( (bench_exec "$BENCH_CLIENT_CPU" "$BENCH_BIN/coldstart" \
		-p 20498 -e /t/g "$3"))
	store4_cli status --json >"$STORE4/after"
	jq -n -c --slurpfile a "$STORE4/before" --slurpfile b "$STORE4/after" \
		--argjson line "$store4_line" --arg server "$1" \
		--arg phase "$2" --argjson round "$round" \
		--argjson rss "$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' \
			"/proc/$store4_pid/status")" '
		($b[0].depot // $b[0]) as $to | ($a[0].depot // $a[0]) as $from |
		{server: $server, phase: $phase, round: $round,
		 hot: ($to.reads_hot - $from.reads_hot),
		 warm: ($to.reads_warm - $from.reads_warm),
		 rss_kb: $rss} + $line' >>"$BENCH_TMP/samples"
	tail -n 1 "$BENCH_TMP/samples" >&2
}

store4_round() { # mode
	case $1 in
	frequency) store4_start -o "store.memory=${store4_memory}M" ;;
	lru) store4_start -o "store.memory=${store4_memory}M" \
		-o store.evict=lru ;;
	all) store4_start -o store.memory=4G ;;
	esac
	store4_run "$1" first "$STORE4/trace1"
	store4_run "$1" steady "$STORE4/trace2"
	store4_run "$1" whole "$STORE4/whole"
	store4_run "$1" after "$STORE4/trace3"
	store4_stop
}

store4_rows() {
	. tests/bench/corpus.sh
	STORE4=$(mktemp -d "$BENCH_DISK/vdrive-store4.XXXXXX")
	store4_make
	for round in $(seq "$BENCH_ROUNDS"); do
		for store4_mode in $STORE4_MODES; do
			store4_round "$store4_mode"
		done
	done
	printf '{"store":%s,"memory_mib":%s}\n' "$store4_bytes" \
		"$store4_memory" >"$BENCH_TMP/memory"
	bench_json >"$BENCH_OUT/store4.json"
	awk -f tests/bench/table_lib.awk -f tests/bench/table_store4.awk \
		"$BENCH_TMP/memory" "$BENCH_TMP/samples" \
		>"$BENCH_OUT/store4.md"
	cat "$BENCH_OUT/store4.md"
}

store4_clean() {
	[ -z "${store4_pid:-}" ] || bench_end "$store4_pid"
	[ -z "${STORE4:-}" ] || rm -rf "$STORE4"
}
