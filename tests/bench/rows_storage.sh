# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# rows_storage.sh: what real programs (corpus.sh) take at rest, one release and
# two, and the CPU seconds that making it takes; sourced by run.sh.
#
#	vdrive		each program a package; package create, depot push
#	casync		each program an archive, one store of chunks (zstd)
#	squashfs	gzip, blocks of 128 KiB; a release, or both, in one image
#	erofs		lz4hc level 12, clusters of 64 KiB; likewise
#	tar+zstd	level 12, window of 128 MiB: no random access, the bound
#
# Files that several programs have, or both releases, are hard links of one
# file: the images store them once whatever they can do themselves.  Bytes are
# sums of lengths of files.  CPU is user and system time of all processes.
#
# By environment: BENCH_DISK (a directory with 4 GiB free, /var/tmp),
# STORAGE_FORMATS.  Leaves storage.json and storage.md.

: "${BENCH_DISK:=/var/tmp}"
: "${STORAGE_FORMATS:=vdrive casync squashfs erofs tar_zstd}"
: "${CASYNC_OPTIONS:=}" # more for casync make

storage_bytes() { # path...
	find "$@" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'
}

# CPU seconds of a command and all its children: $storage_cpu.  (In a pipe, or
# in the shell that goes on, "times" would count others.)
storage_run() {
	(
		"$@" >"$STORAGE/log" 2>&1 || {
			bench_say "failed: $*"
			tail -n 5 "$STORAGE/log" >&2
			exit 1
		}
		times >"$STORAGE/times"
	)
	storage_cpu=$(sed 's/[ms]/ /g' "$STORAGE/times" | awk 'NR == 2 {
		printf "%.2f", 60 * $1 + $2 + 60 * $3 + $4 }')
}

# One sample: format, releases, bytes, CPU seconds, more fields.
storage_sample() {
	printf '{"server":"%s","releases":%s,"bytes":%s,"cpu_s":%s%s}\n' \
		"$1" "$2" "$3" "$4" "${5:-}" >>"$BENCH_TMP/samples"
	bench_say "$1, $2: $3 bytes, $4 CPU s"
}

storage_pid_cpu() { # pid: ticks of 10 ms
	sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# --- vdrive: all programs of a release, then the push -----------------------

storage_vdrive_release() { # release, tag
	for program in $BENCH_PROGRAMS; do
		vdrive_cli package create "$program:$2" \
			"dir:$STORAGE_TREES/$1/$program" || return 1
	done
	vdrive_cli depot push "dir:$STORAGE/depot"
}

storage_vdrive_parts() {
	for part in packs index trees; do
		printf ',"%s":%s' "$part" "$(storage_bytes "$STORAGE/depot/$part")"
	done
}

storage_vdrive() {
	VDRIVE_PORT=20497 VDRIVE_STORE=$STORAGE/vdrive
	mkdir "$VDRIVE_STORE"
	vdrive_run exec >"$BENCH_TMP/vdrive.log" 2>&1 &
	VDRIVE_PID=$!
	bench_running=vdrive
	bench_wait vdrive_cli status
	releases=0 storage_sum=0
	for release in old new; do
		ticks=$(storage_pid_cpu "$VDRIVE_PID")
		storage_run storage_vdrive_release "$release" "$release"
		releases=$((releases + 1))
		storage_sum=$(echo "$storage_sum $storage_cpu $ticks \
			$(storage_pid_cpu "$VDRIVE_PID")" |
			awk '{ printf "%.2f", $1 + $2 + ($4 - $3) / 100 }')
		storage_sample vdrive $releases \
			"$(storage_bytes "$STORAGE/depot")" "$storage_sum" \
			"$(storage_vdrive_parts)"
	done
	bench_stop_servers
	rm -rf "$VDRIVE_STORE" "$STORAGE/depot"
}

# --- the others --------------------------------------------------------------

storage_casync_release() { # release
	for program in $BENCH_PROGRAMS; do
		casync make $CASYNC_OPTIONS --store="$STORAGE/casync.castr" \
			"$STORAGE/casync-$1-$program.caidx" \
			"$STORAGE_TREES/$1/$program" || return 1
	done
}

storage_casync() {
	storage_run storage_casync_release old
	storage_sum=$storage_cpu
	storage_sample casync 1 "$(storage_bytes "$STORAGE"/casync*)" \
		"$storage_sum"
	storage_run storage_casync_release new
	storage_sum=$(echo "$storage_sum $storage_cpu" | awk '{ print $1 + $2 }')
	storage_sample casync 2 "$(storage_bytes "$STORAGE"/casync*)" \
		"$storage_sum"
	rm -rf "$STORAGE"/casync*
}

storage_tar() { # name in $STORAGE_TREES
	tar -C "$STORAGE_TREES" -cf - "$1" |
		zstd -q -12 --long=27 -o "$STORAGE/image"
}

storage_image() { # format, what makes the image of one, of two
	for storage_count in 1 2; do
		storage_what=$STORAGE_TREES/old
		[ $storage_count = 1 ] || storage_what=$STORAGE_TREES
		case $1 in
		squashfs)
			storage_run mksquashfs "$storage_what" "$STORAGE/image" \
				-comp gzip -b 131072 -no-progress -quiet ;;
		erofs)
			storage_run mkfs.erofs -zlz4hc,12 -C65536 --quiet \
				"$STORAGE/image" "$storage_what" ;;
		tar_zstd)
			storage_what=old
			[ $storage_count = 1 ] || storage_what=.
			storage_run storage_tar $storage_what ;;
		esac
		storage_sample "$1" $storage_count \
			"$(storage_bytes "$STORAGE/image")" "$storage_cpu"
		rm -f "$STORAGE/image"
	done
}

# --- all ----------------------------------------------------------------------

storage_there() { # format
	case $1 in
	squashfs) storage_program=mksquashfs ;;
	erofs) storage_program=mkfs.erofs ;;
	tar_zstd) storage_program=zstd ;;
	*) storage_program=$1 ;;
	esac
	[ "$1" = vdrive ] || command -v "$storage_program" >/dev/null || {
		bench_say "$1: SKIPPED, $storage_program is not installed"
		return 1
	}
}

# Bytes of the regular files, each path counted; those of the distinct files.
storage_corpus() {
	for release in old new; do
		(cd "$STORAGE_TREES/$release" && find . -type f -printf '%i %s\n') |
			awk -v release="$release" '
			{ all += $2; n++ }
			!seen[$1]++ { once += $2; m++ }
			END { printf "{\"release\":\"%s\",\"files\":%d," \
				"\"bytes\":%.0f,\"distinct\":%d," \
				"\"distinct_bytes\":%.0f}\n", release, n, all, \
				m, once }'
	done
}

storage_rows() {
	. tests/bench/corpus.sh
	STORAGE=$(mktemp -d "$BENCH_DISK/vdrive-storage.XXXXXX")
	STORAGE_TREES=$PWD/$BENCH_CORPUS/trees
	storage_corpus >"$BENCH_TMP/memory"
	for storage_format in $STORAGE_FORMATS; do
		storage_there "$storage_format" || continue
		case $storage_format in
		vdrive | casync) "storage_$storage_format" ;;
		*) storage_image "$storage_format" ;;
		esac
	done
	BENCH_ROUNDS=1 bench_json >"$BENCH_OUT/storage.json"
	awk -f tests/bench/table_lib.awk -f tests/bench/table_storage.awk \
		"$BENCH_TMP/samples" "$BENCH_TMP/memory" \
		>"$BENCH_OUT/storage.md"
	cat "$BENCH_OUT/storage.md"
}

storage_clean() {
	[ -z "${STORAGE:-}" ] || rm -rf "$STORAGE"
}
