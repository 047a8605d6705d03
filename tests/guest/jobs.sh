#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# jobs.sh smoke|all [JOB...]: a guest works on its drive with programs that live there
# (job_apps.sh), while vdrived is killed with -9 and started again.  Each line
# of the job is a test.
#
#   smoke   git and sqlite3, with a kill in the middle of the first
#   all     besides tar and rsync, gcc, dpkg, fio; a kill in each;
#           or only the jobs that are named
#
# Packages are made from Debian's, as everywhere; downloads stay in
# VDRIVE_DEB_CACHE.
set -u
. tests/lib/host.sh
. tests/lib/guests.sh

small='git,sqlite3,dash,coreutils,sed'
large="$small,rsync,tar,diffutils,grep,gcc,libc6-dev,make,libcunit1-dev,libssl-dev,zlib1g-dev,dpkg,\
libc-bin,debianutils,findutils,gzip,mawk,base-files,fio"

choose()
{
	case ${1:-} in
	smoke)
		debs=$small jobs='git sqlite' kills=git limit=500 ;;
	all)
		shift
		debs=$large jobs=${*:-git sqlite copy gcc dpkg fio}
		kills=$jobs limit=3000 ;;
	*)
		echo 'usage: jobs.sh smoke|all [JOB...]' >&2
		exit 2 ;;
	esac
}

# Our own sources that need no more than libcrypto, zlib and CUnit.
copy_project()
{
	mkdir -p "$1/depot" "$1/tests/lib" "$1/tests/unit" \
		"$1/tests/fuzz/corpus" &&
		cp tests/guest/project.mk "$1/Makefile" &&
		cp depot/*.h depot/io.c depot/log.c depot/digest.c \
			depot/shard.c depot/chunker.c depot/names.c \
			depot/tree.c depot/tree_*.c "$1/depot" &&
		cp tests/lib/*.h tests/lib/check.c tests/lib/tmpdir.c \
			"$1/tests/lib" &&
		cp tests/fuzz/fuzz_tree.c "$1/tests/fuzz" &&
		cp -R tests/fuzz/corpus/tree "$1/tests/fuzz/corpus" &&
		cp tests/unit/test_tree.c "$1/tests/unit"
}

# What dpkg is to install, and the packages of the drive as installed ones.
copy_debs()
{
	mkdir -p "$1" &&
		on h package create debs:1 deb:hello,netbase >/dev/null &&
		for deb in $(package_debs h debs:1) $(package_debs h apps:1); do
			case $deb in
			*/hello_* | */netbase_* | */gzip_*) cp "$deb" "$1" ;;
			esac
		done &&
		for deb in $(package_debs h apps:1); do
			dpkg-deb -f "$deb"
			echo 'Status: install ok installed'
			echo
		done >"$1/status" && ls "$1"/hello_* "$1"/netbase_* "$1"/gzip_*
}

prepare()
{
	sh tests/guest/image.sh "$(guest_cache)" >"$W/image.log" 2>&1 ||
		{ cat "$W/image.log"; return 1; }
	mkdir "$W/files"
	echo "$jobs" >"$W/files/jobs"
	echo "$kills" >"$W/files/kills"
	host_start h && on h package create apps:1 "deb:$debs" >/dev/null &&
		on h tenant create demo && on h tenant assign demo apps:1 &&
		on h guest add demo/vm1 && guest_killer h || return
	[ "$1" = smoke ] || {
		copy_project "$W/files/project" && copy_debs "$W/files/debs"
	}
}

choose "$@"
if prepare "$1"; then
	GUEST_FILES=$W/files GUEST_TIMEOUT=$limit GUEST_MEMORY=1024 GUEST_CPUS=2 \
		guest_run h demo/vm1 tests/guest/job_apps.sh "$W/vm1"
	count_job vm1 $? "$W/vm1"
	check "vdrived was killed in the middle of: $kills" \
		[ "$(wc -l <"$W/h.kills")" -eq "$(echo "$kills" | wc -w)" ]
else
	not_ok "host, packages and guest image"
fi
echo "guest_$1: $passed passed, $failed failed"
[ $failed -eq 0 ]
