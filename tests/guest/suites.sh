#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# suites.sh - run public test suites on the drive, in a guest (job_suites.sh),
# and compare with what is known to fail (the file deviations beside this).
#
# The suites are not part of this repository, nor is how they are built. The
# environment says where they are, built, each optional:
#
#   SUITES=DIR
#     DIR/pjdfstest/pjdfstest           the program; DIR/pjdfstest/tests
#     DIR/cthon04/{basic,special,lock}  with the programs in them;
#                                       DIR/cthon04/general as it comes
#     DIR/xfstests/ltp/fsx, DIR/xfstests/src/PROGRAM
#
# Programs must be static or do with libc.so alone. Without SUITES nothing is
# run, and this says so.
set -u
. tests/lib/host.sh
. tests/lib/guests.sh

suites='pjdfstest cthon04 xfstests'
# For cthon04/general, which compiles and formats.
debs='gcc,libc6-dev,make,time,groff-base,dash,coreutils,grep,sed,gzip'

if [ -z "${SUITES:-}" ]; then
	echo 'guest_suites: 0 passed, 0 failed, 1 skipped:' \
		'suites not run: SUITES is not set'
	exit 0
fi

# What the guest needs of a suite, and no sources.
copy_suites()
{
	mkdir -p "$1"
	present=
	for suite in $suites; do
		[ -d "$SUITES/$suite" ] || {
			echo "# $suite not run: not in $SUITES"
			continue
		}
		present="$present $suite"
	done
	[ -n "$present" ] || { echo "no suite in $SUITES"; return 1; }
	for suite in $present; do
		"copy_$suite" "$SUITES/$suite" "$1/$suite" || return
	done
}

copy_pjdfstest()
{
	mkdir -p "$2" && cp "$1/pjdfstest" "$2" && cp -R "$1/tests" "$2"
}

copy_cthon04()
{
	mkdir -p "$2" && cp "$1/tests.init" "$1/tests.h" "$2" &&
		cp -R "$1/basic" "$1/special" "$1/lock" "$1/general" "$2"
}

copy_xfstests()
{
	mkdir -p "$2/ltp" "$2/src" && cp "$1/ltp/fsx" "$2/ltp" &&
		find "$1/src" -maxdepth 1 -type f -perm -100 \
			-exec cp {} "$2/src" \;
}

prepare()
{
	sh tests/guest/image.sh "$(guest_cache)" >"$W/image.log" 2>&1 ||
		{ cat "$W/image.log"; return 1; }
	copy_suites "$W/files" &&
		host_start h && on h package create tools:1 "deb:$debs" \
			>/dev/null && on h tenant create demo &&
		on h tenant assign demo tools:1 &&
		on h guest add demo/vm1 --devices && guest_killer h
}

# Of "ran" and "bad" lines: the unexpected, then a line per suite, then
# "total PASSED FAILED EXPECTED".
compare()	# RESULTS
{
	awk -f tests/guest/compare.awk tests/guest/deviations "$1"
}

if prepare; then
	GUEST_FILES=$W/files GUEST_TIMEOUT=3000 GUEST_MEMORY=1024 GUEST_CPUS=2 \
		guest_run h demo/vm1 tests/guest/job_suites.sh "$W/vm1"
	check "the guest ended with status 0" [ $? -eq 0 ]
	check "it came to the end of its list" \
		[ "$(tail -n 1 "$W/vm1/out")" = complete ]
	compare "$W/vm1/out" >"$W/compared"
	grep -v '^total ' "$W/compared"
	read -r _ p f d <<-END
		$(grep '^total ' "$W/compared")
	END
	passed=$((passed + p))
	failed=$((failed + f))
else
	not_ok "host, suites and guest image"
fi
echo "guest_suites: $passed passed, $failed failed;" \
	"${d:-0} expected deviations"
[ "$failed" -eq 0 ]
