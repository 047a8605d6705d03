# SPDX-License-Identifier: Apache-2.0
#
# server_bare.sh: start and stop bareserver; sourced by run.sh.  Its files are
# made up in its own memory and equal those in the directory.

BARE_PID=

bare_available() {
	return 0
}

bare_start() {
	BARE_PORT=20490 BARE_MOUNT_PORT=20490 BARE_EXPORT=/
	bench_exec "$BENCH_SERVER_CPU" "$BENCH_BIN/bareserver" \
		-p "$BARE_PORT" >"$BENCH_TMP/bare.log" 2>&1 &
	BARE_PID=$!
}

bare_stop() {
	bench_end "$BARE_PID"
}
