# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# host.sh: what end-to-end tests and the demo need of a host with vdrived.
# Sourced; wants B (build directory).  W is a directory of the test's own.
#
#   host_start NAME [PORT]   vdrived with the store $W/NAME, unprivileged; sets
#                            $W/NAME.pid and PORT; waits until it is ready
#                            HOST_OPTIONS: more of vdrived's, as -o KEY=VALUE
#                            HOST_FILL: upstream.fill; off, since most tests
#                            count what is fetched
#   host_kill NAME           kill -9;  host_stop NAME: an orderly end
#   on NAME WORD...          vdrive WORD... on that host
#   ok / not_ok TEXT         count a test; finish prints the summary and exits

B=${B:-build/plain}
W=${W:-$(mktemp -d /tmp/vdrive-e2e.XXXXXX)}
chmod 755 "$W"
passed=0
failed=0
hosts=
RUN_ON=	# a prefix such as "ip netns exec NAME"

ok()
{
	passed=$((passed + 1))
	echo "ok $*"
}

not_ok()
{
	failed=$((failed + 1))
	echo "not ok $*"
}

# check TEXT COMMAND...: the command's success is the test
check()
{
	text=$1
	shift
	if "$@"; then ok "$text"; else not_ok "$text"; fi
}

host_start()
{
	host=$1
	: >"$W/$host.log"
	mkdir -p "$W/$host"
	chown nobody "$W/$host"
	# shellcheck disable=SC2086
	$RUN_ON "$B/vdrived" --user nobody -o "store.path=$W/$host" \
		-o "nfs.listen=${HOST_ADDR:-127.0.0.1}:${2:-0}" \
		-o nfs.trust-paths=yes \
		-o "admin.socket=$W/$host/sock" \
		-o "upstream.fill=${HOST_FILL:-off}" ${HOST_OPTIONS:-} \
		>>"$W/$host.log" 2>&1 &
	echo $! >"$W/$host.pid"
	case " $hosts " in *" $host "*) ;; *) hosts="$hosts $host" ;; esac
	tries=0
	until grep -q ' ready, ' "$W/$host.log"; do
		tries=$((tries + 1))
		if [ $tries -gt 300 ] || ! kill -0 "$(cat "$W/$host.pid")"; then
			cat "$W/$host.log" >&2
			echo "vdrived of $host did not start" >&2
			return 1
		fi
		sleep 0.1
	done
	PORT=$(sed -n 's/.*NFSv3 on [^ ]*:\([0-9]*\),.*/\1/p' "$W/$host.log")
}

# A process that has ended may have left its number to anybody's.
host_runs()	# NAME
{
	[ -s "$W/$1.pid" ] && grep -qsxz -- "store.path=$W/$1" \
		"/proc/$(cat "$W/$1.pid")/cmdline"
}

host_end()	# NAME SIGNAL
{
	! host_runs "$1" || kill "-$2" "$(cat "$W/$1.pid")" 2>/dev/null
	[ ! -s "$W/$1.pid" ] || wait "$(cat "$W/$1.pid")" 2>/dev/null
	[ ! -e "$W/$1.pid" ] || : >"$W/$1.pid"
	return 0
}

host_kill()
{
	host_end "$1" KILL
}

host_stop()
{
	host_end "$1" TERM
}

on()
{
	on_host=$1
	shift
	"$B/vdrive" --socket "$W/$on_host/sock" "$@"
}

# A package's files as dpkg-deb unpacks them: DIR PACKAGE.deb...
unpack_debs()
{
	unpack_dir=$1
	shift
	mkdir -p "$unpack_dir"
	for deb in "$@"; do
		dpkg-deb -x "$deb" "$unpack_dir"
	done
}

# The .deb files, in the cache, that a package was made of: HOST REF
package_debs()
{
	on "$1" package show "$2" --json |
		jq -r '.revision_json | fromjson | .closure[]' |
		sed 's/:/%3a/g; s/=/_/' |
		while read -r name_version; do
			ls "$VDRIVE_DEB_CACHE/$name_version"_*.deb
		done
}

# "SHA256  PATH" of all regular files below a directory, sorted.
hashes()
{
	(cd "$1" && find . -type f -printf '%P\0' | xargs -0 -r sha256sum) |
		sort
}

# Where packages are kept between tests of one build, so that each is
# downloaded once.
VDRIVE_DEB_CACHE=${VDRIVE_DEB_CACHE:-$PWD/build/debs}
export VDRIVE_DEB_CACHE
mkdir -p "$VDRIVE_DEB_CACHE"

cleanup()
{
	for host in $hosts; do
		[ ! -e "$W/$host.pid" ] || host_kill "$host"
	done
	[ -n "${KEEP:-}" ] || rm -rf "$W"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

finish()
{
	echo "$(basename "$0"): $passed passed, $failed failed"
	[ $failed -eq 0 ]
	exit $?
}
