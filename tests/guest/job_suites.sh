#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_suites.sh - run in a guest by guest.sh: public test suites, on the drive.
# They are in /files, one directory each, as suites.sh was given them; this
# knows how to run pjdfstest, cthon04 (Connectathon) and programs of xfstests.
#
# A unit is a file or program of a suite with one check or many. Said of each:
#
#   ran SUITE/UNIT CHECKS SECONDS
#   bad SUITE/UNIT:NUMBER WHAT      for each check that failed
#
# suites.sh counts these and knows which are expected. "plan" for a number:
# there were not as many checks as the unit had announced.
# shellcheck source=root/checks.sh disable=SC2317,SC2154
. /checks.sh

work=/sw/suites
export PATH=/tmp/bin:$PATH

# report UNIT CHECKS FILE: FILE has the bad ones. All goes out in one write, so
# that units at work at the same time do not mix.
report() {
	{
		echo "ran $1 $2 $(seconds $((ended - began)))"
		cat "$3"
	} >"$3.whole"
	cat "$3.whole"
}

# --- one program, one check -------------------------------------------------

# program NAME COMMAND...: in a fresh directory.
program() {
	unit=$1
	shift
	file=/tmp/report/$(echo "$unit" | tr / _)
	rm -rf $work/one
	mkdir $work/one
	read_clock
	began=$now
	if (cd "$directory" && timeout 900 "$@") >"$file.out" 2>&1; then
		: >"$file"
	else
		echo "bad $unit:1 status $? of $*:" \
			"$(tail -n 3 "$file.out" | tr '\n' ' ')" >"$file"
	fi
	read_clock
	ended=$now
	report "$unit" 1 "$file"
}

# --- pjdfstest ----------------------------------------------------------------

# It wants an openssl for the digests that it makes names of.
make_openssl() {
	cat >/tmp/bin/openssl <<-'END'
	#!/bin/sh
	md5sum | { read -r sum _; echo "$sum"; }
	END
	chmod 755 /tmp/bin/openssl
}

pjd_unit() {
	unit=pjdfstest/$1
	place=$(echo "$1" | tr / _)
	file=/tmp/report/$place
	mkdir "$work/$place"
	cd "$work/$place" || return
	read_clock
	began=$now
	sh "/files/pjdfstest/tests/$1" >"$file.tap" 2>/dev/null
	read_clock
	ended=$now
	cd /
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$file.tap")
	sed -n "s|^not ok \([0-9]*\)|bad $unit:\1|p" "$file.tap" >"$file"
	[ "$(grep -cE '^(not )?ok ' "$file.tap")" = "$plan" ] ||
		echo "bad $unit:plan announced '$plan'" >>"$file"
	report "$unit" "${plan:-0}" "$file"
}

# Units sleep a lot, so several are at work at a time.
pjd_worker() {
	while read -r unit_file; do
		mkdir "/tmp/claimed/$(echo "$unit_file" | tr / _)" \
			2>/dev/null || continue
		(pjd_unit "$unit_file")
	done </tmp/units
}

pjdfstest() {
	make_openssl
	mkdir /tmp/claimed
	(cd /files/pjdfstest/tests && find . -name '*.t' | sed 's|^\./||' |
		sort) >/tmp/units
	workers=
	for _ in 1 2 3 4; do
		pjd_worker &
		workers="$workers $!"
	done
	# shellcheck disable=SC2086
	wait $workers
}

# --- Connectathon -------------------------------------------------------------

# Its own runtests end at the first failure, so they are not used. The lock
# tests stay in the guest (mount option nolock).
cthon04() {
	export NFSTESTDIR=$work/one/test
	PATH=$PATH:/files/cthon04/basic # test2 wants test1
	directory=/files/cthon04/basic
	for number in 1 2 3 4 5 6 7 8 9; do
		program cthon04/basic/test$number ./test$number -t
	done
	special=/files/cthon04/special
	directory=$work/one
	export TMPDIR=
	for name in op_unlk op_ren op_chmod excltest truncate holey rewind \
		telldir freesp 'dupreq 100 testfile' 'negseek testfile' \
		'rename 100' 'nfsidem 50 testdir' 'bigfile -s 30 bigfile' \
		'bigfile2 bigfile'; do
		# shellcheck disable=SC2086
		program "cthon04/special/${name%% *}" $special/$name
	done
	unset TMPDIR
	for name in tlocklfs tlock64; do
		program cthon04/lock/$name /files/cthon04/lock/$name $work/one
	done
	general
}

# Compiles, tbl, nroff and make, by the drive's own programs.
general() {
	mkdir -p /sw/general /sw/dev /sw/proc /sw/tmp
	chmod 1777 /sw/tmp
	cp -R /files/cthon04/* /sw/general
	ln -s gcc /sw/usr/bin/cc
	mount --bind /dev /sw/dev
	mount -t proc proc /sw/proc
	directory=/
	program cthon04/general/runtests chroot /sw /usr/bin/env -i \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin:. NFSTESTDIR=/general/test \
		/bin/sh -c 'cd /general/general && sh runtests'
	umount /sw/dev /sw/proc
}

# --- programs of xfstests -----------------------------------------------------

xfstests() {
	src=/files/xfstests/src
	fsx=/files/xfstests/ltp/fsx
	directory=$work/one
	for seed in 1 2 3 4; do
		program xfstests/fsx-$seed $fsx -q -N 2500 -S $seed file
	done
	program xfstests/fsx-small $fsx -q -N 4000 -S 5 -l 20000 -o 6000 file
	program xfstests/fsx-calls $fsx -q -N 4000 -S 6 -R -W file
	program xfstests/fsx-closing $fsx -q -N 1500 -S 7 -c 4 file
	program xfstests/fsx-direct $fsx -q -N 1500 -S 8 -Z -R -W \
		-r 4096 -w 4096 -t 4096 file
	program xfstests/looptest $src/looptest -i 2000 -r -w -b 8192 -s file
	program xfstests/looptest-truncate \
		$src/looptest -i 500 -t -r -w -s -b 102400 file
	program xfstests/looptest-open \
		$src/looptest -i 500 -o -r -w -b 8192 -s file
	program xfstests/holetest $src/holetest -f file 16
	program xfstests/dirstress $src/dirstress -d . -p 3 -f 100 -n 2
	program xfstests/rewinddir-test $src/rewinddir-test .
	program xfstests/readdir-while-renames \
		$src/readdir-while-renames $directory
	program xfstests/t_dir_offset2 $src/t_dir_offset2 . 200 +0
	program xfstests/multi_open_unlink \
		$src/multi_open_unlink -f file -n 300 -s 0
	program xfstests/t_rename_overwrite sh -c \
		"touch a b; $src/t_rename_overwrite a b"
	program xfstests/t_futimens $src/t_futimens
	seq 1 100 | sed 's/^/nametest./' >/tmp/names
	program xfstests/nametest \
		$src/nametest -l /tmp/names -s 1 -i 5000 -z
}

mkdir -p /tmp/bin /tmp/report
mount_drive
mkdir $work
for suite in pjdfstest cthon04 xfstests; do
	[ ! -d /files/$suite ] || $suite
done
echo complete
