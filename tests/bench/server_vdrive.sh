# SPDX-License-Identifier: Apache-2.0
#
# server_vdrive.sh: start and stop vdrived over a package made of the files;
# sourced by run.sh.  The store lies where the files of the others do: in memory,
# unless a directory for it is given.
#
# One CPU, so one worker: nfs.threads=auto goes by the CPUs of the machine, not
# by those that taskset leaves, and two workers that poll on one CPU wait for
# each other's time slice (p99 of 4 ms).  More options in VDRIVE_OPTIONS.

: "${VDRIVE_BIN:=$B}" "${VDRIVE_OPTIONS:=-o nfs.threads=1}"
VDRIVE_PID=

vdrive_available() {
	if [ ! -x "$VDRIVE_BIN/vdrived" ] || [ ! -x "$VDRIVE_BIN/vdrive" ]; then
		bench_say "vdrive: SKIPPED, $VDRIVE_BIN/vdrived and" \
			"$VDRIVE_BIN/vdrive are not built"
		return 1
	fi
}

vdrive_cli() {
	"$VDRIVE_BIN/vdrive" --socket "$VDRIVE_STORE/sock" "$@"
}

# The command that serves $VDRIVE_STORE, after "$@".
vdrive_run() {
	"$@" "$VDRIVE_BIN/vdrived" \
		-o "store.path=$VDRIVE_STORE" \
		-o "nfs.listen=127.0.0.1:$VDRIVE_PORT" \
		-o "admin.socket=$VDRIVE_STORE/sock" \
		$VDRIVE_OPTIONS --user root
}

vdrive_start() { # directory to make the package from, directory for the store
	VDRIVE_PORT=20495 VDRIVE_MOUNT_PORT=20495 VDRIVE_EXPORT=/bench/vm1
	VDRIVE_STORE=${2:-$BENCH_TMP}/vdrive
	mkdir "$VDRIVE_STORE"
	vdrive_run bench_exec "$BENCH_SERVER_CPU" >"$BENCH_TMP/vdrive.log" \
		2>&1 &
	VDRIVE_PID=$!
	bench_wait vdrive_cli status &&
		vdrive_cli package create bench:1 "dir:$1" >&2 &&
		vdrive_cli tenant create bench >&2 &&
		vdrive_cli tenant assign bench bench:1 >&2 &&
		vdrive_cli guest add bench/vm1 >&2
}

vdrive_stop() {
	bench_end "$VDRIVE_PID"
}
