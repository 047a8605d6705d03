# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# run_time.sh: work in a guest that is up, on its own disk (ext4, all software in
# the image) and on the drive, in turns in one guest: guest/jobs.  Sourced by
# bench.sh.

run_time() { # program with the tools
	rm -rf "$WORK/store"
	cp -a --reflink=auto "$CACHE/$1.store" "$WORK/store"
	host_start "$WORK/store"
	cli guest add t/g >>"$WORK/log" &&
		guest_disk "$CACHE/$1.qcow2" &&
		guest_run "$1" g jobs "$WORK/events" ||
		bench_die "the work in the guest failed: $(tail -n 2 "$WORK/console" \
			| tr '\n' ' ')"
	host_stop
	awk '$2 == "time" {
		printf "{\"app\":\"run-time\",\"variant\":\"%s/%s\"," \
			"\"seconds\":%.6f}\n", $3, $4, $5 / 1e6
	}' "$WORK/events"
}
