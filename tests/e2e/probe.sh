#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# probe: PROBES first reads by a tenant of files of its own, half of which are
# byte for byte what another tenant has read on this host.  In private packages
# (T-40, P-16) the two samples of times must not differ at 1 %; in packages for
# everybody they do, which is the control: the probe can see it.
#
#   PROBES=2000 B=build/plain sh tests/e2e/probe.sh       (make probe)
set -u
. tests/lib/host.sh
. tests/lib/web.sh
NET_HOST=127.0.0.1
PROBES=${PROBES:-2000}
LEN=6000

# Which ones are secret is drawn by lot: where a file lies in its package, and
# thus what is fetched with it, must not tell.
prepare()
{
	mkdir -p "$W/secret" "$W/guess"
	for i in $(seq "$PROBES"); do
		head -c $LEN /dev/urandom >"$W/guess/f$i"
	done
	seq "$PROBES" | shuf | awk -v half=$((PROBES / 2)) \
		'{ print (NR <= half), "f" $1 }' >"$W/list"
	sed -n "s|^1 |$W/guess/|p" "$W/list" | xargs cp -t "$W/secret"
}

publish()
{
	host_start a &&
		on a package create secret:1 "dir:$W/secret" --private &&
		on a package create guess:1 "dir:$W/guess" --private &&
		on a package create secret-open:1 "dir:$W/secret" &&
		on a package create guess-open:1 "dir:$W/guess" &&
		on a depot push "dir:$W/www/depot" && host_stop a
}

second_host()
{
	host_start b && on b upstream add lab "${WEB}depot/" --unsigned &&
		for tenant in victim mallory; do
			on b tenant create $tenant && on b guest add $tenant/vm ||
				return 1
		done
}

try()	# SECRET GUESS P: sets p, to P when it fails
{
	p=$3
	on b tenant assign victim "$1" --only &&
		on b tenant assign mallory "$2" --only &&
		"$B/tests/tools/nfswalk" 127.0.0.1 "$PORT" /victim/vm \
			>"$W/victim" || return 1
	[ "$(wc -l <"$W/victim")" -ge $((PROBES / 2)) ] || return 1
	"$B/tests/tools/probe" "$PORT" /mallory/vm "$W/list" >"$W/probe" ||
		return 1
	cat "$W/probe"
	p=$(sed 's/.*p=//' "$W/probe")
}

below()	# P LIMIT
{
	awk "BEGIN { exit !($1 < $2) }"
}

check "$PROBES files" prepare
check "packed and pushed" publish
check "nginx" web_start "$W/www"
check "a host, a victim, one who guesses" second_host
check "private packages probed" try secret:1 guess:1 0
differs=0
below "$p" 0.01 && differs=1
echo "promise P-16 n=$PROBES violations=$differs p=$p"
check "the samples do not differ at 1 %" [ $differs = 0 ]
check "packages for everybody probed" try secret-open:1 guess-open:1 1
check "control: these differ" below "$p" 0.01
finish
