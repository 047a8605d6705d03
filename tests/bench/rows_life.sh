# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# rows_life.sh: the life of software: capture, selection, switch; sourced by
# run.sh.
#
#	plain, capture	the same installer (it unpacks LIFE_FILES files, 4 KiB on
#			average) in a root of its own by chroot, and by `vdrive
#			package capture` over the same base
#	image		LIFE_ENTRIES names flattened (imagebench.c): one package;
#			four that share directories; one flat directory
#	assign		a package of LIFE_ENTRIES names to a tenant whose guest
#			looks a name up all the while: time, and the longest call
#	assign100	a small package to a tenant with 100 mounted exports
#	switch100	another revision of it, each guest with a file of its own:
#			time of the command, and until the last guest sees it
#	idle		resident memory for each of 1,000 exports, mounted once
#
# By environment: LIFE_ENTRIES (1000000), LIFE_FILES (5000), LIFE_IDLE (1000),
# BENCH_ROUNDS, BENCH_DISK.  Needs python3 and busybox.  Leaves life.json and
# life.md.

: "${LIFE_ENTRIES:=1000000}" "${LIFE_FILES:=5000}" "${LIFE_IDLE:=1000}"
: "${BENCH_DISK:=/var/tmp}"
LIFE_PORT=20497
life_pid=

life_cli() {
	"$B/vdrive" --socket "$LIFE/store/sock" "$@"
}

life_start() {
	rm -rf "$LIFE/store"
	mkdir -p "$LIFE/store"
	(bench_exec "$BENCH_SERVER_CPU" "$B/vdrived" --user root \
		-o "store.path=$LIFE/store" -o "nfs.listen=127.0.0.1:$LIFE_PORT" \
		-o nfs.threads=1 -o nfs.trust-paths=yes -o "admin.socket=$LIFE/store/sock") \
		>>"$LIFE/log" 2>&1 &
	life_pid=$!
	bench_wait life_cli status
}

life_stop() {
	bench_end "$life_pid"
	life_pid=
}

# Milliseconds of a command: $life_ms.
life_time() {
	life_from=$(date +%s%N)
	"$@" >>"$LIFE/out" 2>&1 || {
		bench_say "failed: $*"
		tail -n 3 "$LIFE/out" >&2
		return 1
	}
	life_ms=$((($(date +%s%N) - life_from) / 1000000))
}

life_sample() { # name, fields
	printf '{"server":"%s",%s}\n' "$1" "$2" >>"$BENCH_TMP/samples"
	bench_say "$1: $2"
}

# A tar of empty or small files: COUNT BYTES FILE
life_tar() {
	python3 - "$@" <<-'END'
	import io, random, sys, tarfile
	count, size, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
	rng = random.Random(1)
	with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
	    for i in range(count):
	        name = "opt/life/dir-%d/file-%d.py" % (i // 50, i)
	        info = tarfile.TarInfo(name)
	        info.mtime = i
	        info.size = rng.randrange(2 * size) if size else 0
	        tar.addfile(info, io.BytesIO(rng.randbytes(info.size)))
	END
}

# --- capture ---------------------------------------------------------------------

life_base() {
	mkdir -p "$LIFE/base/bin" "$LIFE/base/etc" "$LIFE/base/run" \
		"$LIFE/base/tmp" "$LIFE/base/dev" "$LIFE/base/proc" "$LIFE/in"
	cp "$(command -v busybox)" "$LIFE/base/bin/busybox"
	for life_applet in sh tar rm mkdir; do
		ln -s busybox "$LIFE/base/bin/$life_applet"
	done
	life_tar "$LIFE_FILES" 4096 "$LIFE/in/payload.tar"
	cat >"$LIFE/in/install" <<-'END'
	#!/bin/sh
	cd "${0%/*}" && tar -x -C / -f payload.tar
	END
	chmod 755 "$LIFE/in/install"
}

life_capture() {
	rm -rf "$LIFE/plain" "$LIFE/life.cap"
	cp -a "$LIFE/base" "$LIFE/plain"
	cp -a "$LIFE/in" "$LIFE/plain/in"
	life_time chroot "$LIFE/plain" /in/install && sync
	life_sample plain "\"ms\":$life_ms"
	cd "$LIFE/in" || return 1
	life_time env TMPDIR="$LIFE" "$life_home/$B/vdrive" package capture \
		--base "$LIFE/base" -o "$LIFE/life.cap" -- ./install
	cd "$life_home" || return 1
	life_sample capture "\"ms\":$life_ms"
}

# --- images ----------------------------------------------------------------------

life_images() {
	"$BENCH_BIN/imagebench" -n "$LIFE_ENTRIES" -r "$BENCH_ROUNDS" "$@" |
		sed "s/\"image\"/\"$life_name\"/" >>"$BENCH_TMP/samples"
	tail -n 1 "$BENCH_TMP/samples" >&2
}

# --- selections of many guests ---------------------------------------------------

# Connections in the background, told to by $LIFE/tell: EXPORT COUNT [NAME]
life_mount() {
	rm -f "$LIFE/tell" "$LIFE/seen"
	mkfifo "$LIFE/tell"
	"$B/tests/tools/mounts" $LIFE_PORT "$@" <"$LIFE/tell" >"$LIFE/seen" \
		2>>"$LIFE/log" &
	life_mounts=$!
	exec 9>"$LIFE/tell"
	bench_wait grep -q ready "$LIFE/seen"
}

# Ends them: what they counted is in $life_told.  (In a subshell the pipe would
# stay open in this one.)
life_unmount() {
	exec 9>&-
	wait $life_mounts
	life_told=$(sed -n '$s/^{\(.*\)}$/\1/p' "$LIFE/seen")
}

life_guests() { # tenant, count
	for life_i in $(seq "$2"); do
		life_cli guest add "$1/g$life_i" >>"$LIFE/out" || return 1
	done
}

life_small() { # tag
	mkdir -p "$LIFE/small"
	echo "$1" >"$LIFE/small/version"
	: >"$LIFE/small/name-$1"
	life_cli package create "small:$1" "dir:$LIFE/small" >>"$LIFE/out"
}

# A command while guests look for a name: SAMPLE EXPORT COUNT NAME COMMAND...
life_watched() {
	life_name=$1
	life_mount "$2" "$3" "$4"
	shift 4
	sleep 0.3
	echo go >&9
	life_time "$@" || return 1
	sleep 1
	life_unmount
	life_sample "$life_name" "\"ms\":$life_ms,$life_told"
}

life_selections() {
	life_small "$round.1" && life_small "$round.2" &&
		life_cli tenant create "h$round" >>"$LIFE/out" &&
		life_guests "h$round" 100 || return 1
	life_watched assign100 "/h$round/g" 100 "name-$round.1" \
		life_cli tenant assign "h$round" "small:$round.1" || return 1
	for life_i in $(seq 100); do
		"$B/tests/tools/nfsedit" $LIFE_PORT "/h$round/g$life_i" create \
			mine text || return 1
	done
	life_watched switch100 "/h$round/g" 100 "name-$round.2" \
		life_cli tenant assign "h$round" "small:$round.2"
}

life_large() {
	life_cli tenant create "l$round" >>"$LIFE/out" &&
		life_guests "l$round" 1 || return 1
	life_watched assign "/l$round/g" 1 opt \
		life_cli tenant assign "l$round" large:1
}

life_rss() {
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$life_pid/status"
}

life_idle() {
	life_cli tenant create idle >>"$LIFE/out" &&
		life_cli tenant assign idle "small:0.1" >>"$LIFE/out" || return 1
	life_before=$(life_rss)
	life_guests idle "$LIFE_IDLE" || return 1
	life_mount /idle/g "$LIFE_IDLE"
	life_open=$(life_rss)
	life_unmount
	sleep 1
	life_sample idle "\"exports\":$LIFE_IDLE,\"before_kb\":$life_before,\"mounted_kb\":$life_open,\"after_kb\":$(life_rss)"
}

life_rows() {
	LIFE=$(mktemp -d "$BENCH_DISK/vdrive-life.XXXXXX")
	life_home=$PWD
	life_base
	life_name=image
	for round in $(seq "$BENCH_ROUNDS"); do
		life_capture || return 1
	done
	life_images -t 1
	life_name=image4 && life_images -t 4
	life_name=imageflat && life_images -t 1 -d "$LIFE_ENTRIES"
	life_start
	life_small 0.1 && life_idle
	life_tar "$LIFE_ENTRIES" 0 "$LIFE/large.tar"
	life_cli package create large:1 "tar:$LIFE/large.tar" >>"$LIFE/out"
	for round in $(seq "$BENCH_ROUNDS"); do
		life_selections && life_large || return 1
	done
	life_stop
	bench_json >"$BENCH_OUT/life.json"
	awk -f tests/bench/table_lib.awk -f tests/bench/table_life.awk \
		"$BENCH_TMP/samples" >"$BENCH_OUT/life.md"
	cat "$BENCH_OUT/life.md"
}

life_clean() {
	[ -z "${life_pid:-}" ] || bench_end "$life_pid"
	[ -z "${LIFE:-}" ] || rm -rf "$LIFE"
}
