#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# exports: what an idle export costs in memory: the daemon's resident set with
# 1,000 of them less that with none, divided.  Fails above 64 KiB each.
#
#   B=build/plain sh tests/bench/exports.sh [N]
#
# Each guest is told apart by a listening address of its own, as the dearest
# kind, and is idle: added, never mounted.  Then the same after a restart.
set -u
. tests/lib/host.sh
n=${1:-1000}
limit=64

rss()	# in KiB
{
	awk '/^VmRSS/ { print $2 }' "/proc/$(cat "$W/a.pid")/status"
}

threads()
{
	awk '/^Threads/ { print $2 }' "/proc/$(cat "$W/a.pid")/status"
}

within()	# TEXT BEFORE AFTER
{
	each=$((($3 - $2) / n))
	printf '%-24s %8d KiB %8d KiB %6d KiB each, %s threads\n' \
		"$1" "$2" "$3" "$each" "$(threads)"
	check "an export costs less than $limit KiB ($1)" [ $each -lt $limit ]
}

ulimit -n 8192
mkdir -p "$W/one"
seq 1 1000 >"$W/one/file"
host_start a
on a package create one:1 "dir:$W/one" >/dev/null
on a tenant create red >/dev/null
on a tenant assign red one:1 >/dev/null
before=$(rss)
threads_before=$(threads)
# Ports of a range of their own: 127.x.y.1 keeps them free.
seq 1 "$n" | awk '{ printf "[guest red/vm%d]\nlisten = 127.%d.%d.1:20490\n",
	$1, 10 + int($1 / 250), $1 % 250 }' >"$W/guests.conf"
check "$n guests are added" on a apply -f "$W/guests.conf" >"$W/applied"
within "just added" "$before" "$(rss)"
seq 1 "$n" | while read -r i; do
	"$B/tests/tools/nfswalk" "127.$((10 + i / 250)).$((i % 250)).1" 20490 \
		"/red/vm$i" >/dev/null 2>>"$W/walk.err" || echo "vm$i"
done >"$W/unread"
check "each was mounted and read once" [ ! -s "$W/unread" ]
within "mounted and read once" "$before" "$(rss)"
check "and no thread" [ "$(threads)" -le "$threads_before" ]
host_stop a
host_start a
within "after a restart" "$before" "$(rss)"
finish
