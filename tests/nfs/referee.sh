#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# referee: the protocol tests against nfs-ganesha 4.3, a server that we did not
# write, over plain files of its host.  A test that fails there asks for more
# than RFC 1813 does, or finds a fault of ganesha's: tests/nfs/referee says
# which, and why.  Everything else must pass.
#
#	B=build/plain sh tests/nfs/referee.sh [TEST...]
#
# Each test runs in a process of its own.  Those that command, kill or preload
# our own daemon say so themselves and are left out, counted by their reason.
# Needs root, and the packages nfs-ganesha, nfs-ganesha-vfs, rpcbind.
set -u
B=${B:-build/plain}
LIST=tests/nfs/referee
BENCH_INSIDE=own

if [ -z "${REFEREE_INSIDE:-}" ]; then
	# A network of its own: rpcbind and ganesha take fixed ports.
	REFEREE_INSIDE=1 exec unshare --net --mount --pid --fork --mount-proc \
		sh -c 'ip link set lo up && mount -t tmpfs none /run &&
			exec sh "$0" "$@"' "$0" "$@"
fi

BENCH_TMP=$(mktemp -d) || exit 1
BENCH_SERVER_CPU=0
export BENCH_TMP
trap 'rm -rf "$BENCH_TMP"' EXIT
bench_say() { echo "referee: $*"; }
bench_exec() { shift; exec "$@"; }
bench_end() { kill "$1" 2>/dev/null; wait "$1" 2>/dev/null; }
bench_wait() {
	for _ in $(seq 200); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	return 1
}
. tests/bench/server_ganesha.sh

mkdir -p "$BENCH_TMP/export" "$BENCH_TMP/out"
ganesha_available || { echo "referee: 0 passed, 1 failed"; exit 1; }
ganesha_start "$BENCH_TMP/export"
up() { rpcinfo -T tcp -a 127.0.0.1.80.11 100003 3; } # port 20491
if ! bench_wait up; then
	tail -n 20 "$BENCH_TMP/ganesha.log"
	echo "referee: 0 passed, 1 failed"
	exit 1
fi

rows()	# SUITE TEST, of all suites of raw calls
{
	for suite in tests/nfs/test_*.c; do
		grep -ohE 'TEST\(t_[NT]_[0-9]+_[a-zA-Z0-9_]+\)' "$suite" |
			sed -E "s/TEST\((.*)\)/$(basename "$suite" .c) \1/"
	done
}

listed()	# WORD TEST: its reason, when the list has it so
{
	sed -n "s/^$2 $1 //p" "$LIST"
}

passed=0 failed=0 differ=0 excluded=0
one()	# SUITE TEST
{
	out=$BENCH_TMP/out/$2
	why=$(listed excluded "$2")
	if [ -n "$why" ]; then
		excluded=$((excluded + 1))
		echo "excluded $2: $why"
		return
	fi
	CHECK_ONLY=$2 RAW_WAIT_MS=3000 RIG_REFEREE="$GANESHA_PORT $GANESHA_MOUNT_PORT \
$GANESHA_EXPORT" timeout -k 5 60 "$B/tests/nfs/$1" >"$out" 2>&1 </dev/null
	rc=$?
	if ! up >/dev/null 2>&1; then
		echo "# ganesha does not answer any more after $2"
		ganesha_stop >/dev/null 2>&1
		ganesha_start "$BENCH_TMP/export"
		bench_wait up
		rc=1
	fi
	why=$(listed differs "$2")
	if [ $rc -eq 77 ]; then
		excluded=$((excluded + 1))
		echo "excluded $2: $(sed -n 's/^not ours: //p' "$out")"
	elif [ $rc -eq 0 ] && [ -z "$why" ]; then
		passed=$((passed + 1))
	elif [ $rc -eq 0 ]; then
		failed=$((failed + 1))
		echo "not ok $2: passes, but the list says that it differs"
	elif [ -n "$why" ]; then
		differ=$((differ + 1))
		echo "differs $2: $why"
	else
		failed=$((failed + 1))
		echo "not ok $2 ($1), status $rc"
		grep -v '^$' "$out" | head -n "${SHOW:-6}" | sed 's/^/    | /'
	fi
	rm -rf "$BENCH_TMP/export"/t[0-9]*
}

rows >"$BENCH_TMP/rows"
[ $# -eq 0 ] || for t; do
	grep " $t\$" "$BENCH_TMP/rows"
done >"$BENCH_TMP/wanted"
[ $# -gt 0 ] || cp "$BENCH_TMP/rows" "$BENCH_TMP/wanted"
while read -r suite test; do
	one "$suite" "$test"
done <"$BENCH_TMP/wanted"

# Nobody is in the list who is no test.
if [ $# -eq 0 ]; then
	awk 'NF && !/^#/ { print $1 }' "$LIST" | while read -r t; do
		grep -q " $t\$" "$BENCH_TMP/rows" || echo "$t"
	done >"$BENCH_TMP/bad"
	if [ -s "$BENCH_TMP/bad" ]; then
		failed=$((failed + 1))
		sed 's/^/not ok: listed, but no test: /' "$BENCH_TMP/bad"
	fi
fi
ganesha_stop >/dev/null 2>&1
echo "referee: $passed passed, $failed failed; $differ differ for a reason," \
	"$excluded excluded"
[ $failed -eq 0 ]
