#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_apps.sh - run in a guest by guest.sh: real programs work on the drive,
# that is in a chroot of it, from its own packages: /files/jobs names which
# (git, sqlite, copy, gcc, dpkg, fio) and /files/kills in the middle of which
# the server is killed with -9 and started again. Each of them must not notice.
# Then everything is unmounted, and what they made is looked at again.
#
#   /files/project       sources for gcc (jobs.sh)
#   /files/debs          what dpkg installs, its status file among them (jobs.sh)
#
# On the drive the work is in /work; /local is the guest's own memory, so that
# something is there to compare with.
# shellcheck source=root/checks.sh disable=SC2317
. /checks.sh

# drive COMMAND...: in the chroot, with nothing of the guest's environment.
drive() {
	chroot /sw /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		HOME=/work LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org \
		GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org "$@"
}

# script DIR: the commands of stdin in that directory of the drive, up to the
# first that fails.
script() {
	{
		echo "set -eu; cd $1"
		cat
	} | drive /bin/sh
}

bind_system() {
	mkdir -p /sw/dev /sw/proc /sw/tmp /sw/work /sw/local &&
		chmod 1777 /sw/tmp &&
		mount --bind /dev /sw/dev &&
		mount -t proc proc /sw/proc &&
		mount --bind /local /sw/local
}

remount() {
	sync
	umount /sw/dev /sw/proc /sw/local && umount /sw || return
	echo 3 >/proc/sys/vm/drop_caches
	mount /sw && bind_system
}

# The WRITE calls of this mount so far.
writes() {
	awk '$1 == "WRITE:" { print $2 }' /proc/self/mountstats
}

# work NAME FUNCTION: a job; killed in the middle, if that is asked for: when a
# dozen WRITEs are through. The kill counts only if the job is still at it when
# the server is back.
work() {
	if ! grep -qw "$1" /files/kills; then
		timed "$1" "$2"
		return
	fi
	from=$(writes)
	read_clock
	job_began=$now
	"$2" >/tmp/work 2>&1 &
	worker=$!
	tries=600
	while [ "$(writes)" -lt $((from + 12)) ] && [ $tries -gt 0 ]; do
		tries=$((tries - 1))
		sleep 0.05
	done
	host kill-restart >/tmp/check 2>&1 || {
		not_ok "$1: server killed and started" "$(cat /tmp/check)"
		finish # there is none to go on with
	}
	check "$1: goes on meanwhile" kill -0 "$worker"
	wait "$worker" && status=0 || status=$?
	read_clock
	check "$1, through a kill ($(seconds $((now - job_began))) s)" \
		ended "$status"
}

ended() {
	cat /tmp/work
	return "$1"
}

# --- git ------------------------------------------------------------------

# A repository in memory, cloned to the drive; work there, pushed back.
git_job() {
	script /local <<-'END' && script /work <<-'END'
		git init -q src
		cp -R /usr/share/perl/5.*.*/unicore/To src
		cp -R /usr/share/perl/5.*.*/CPAN src
		cd src
		git add .
		git commit -qm one
		for f in To/*.pl; do echo '# more' >>$f; done
		git commit -qam two
		git clone -q --bare . ../origin.git
	END
		git clone -q file:///local/origin.git clone
		cd clone
		test -z "$(git status --porcelain)"
		git checkout -qb topic
		sed -i '1i# edited' To/*.pl
		git mv CPAN moved
		git rm -qf To/Age.pl
		mkdir new
		i=0
		while [ $i -lt 100 ]; do
			i=$((i + 1))
			echo $i >new/$i
		done
		git add -A
		git commit -qm three
		test -z "$(git status --porcelain)"
		git checkout -q master
		test -e To/Age.pl
		git merge -q topic
		test ! -e CPAN
		git gc -q --prune=now
		git push -q origin master
	END
	git_check
}

git_check() {
	script /work/clone <<-'END'
		test -z "$(git status --porcelain)"
		git fsck --full --strict
		test $(git rev-list --count HEAD) -eq 3
		test $(git rev-parse HEAD) = \
			$(git -C /local/origin.git rev-parse master)
		test $(ls new | wc -l) -eq 100
	END
}

# --- sqlite ---------------------------------------------------------------

# 1,000 inserts in 100 transactions, and a transaction that is taken back.
sqlite_inserts() {
	echo "pragma journal_mode=$1;"
	echo 'create table t(n integer primary key, text);'
	seq 1 1000 | awk '
		NR % 10 == 1 { print "begin;" }
		{ print "insert into t values(" $1 ", hex(randomblob(200)));" }
		NR % 10 == 0 { print "commit;" }'
	echo 'begin; delete from t where n > 10; rollback;'
	echo "update t set text = 'x' || text where n % 7 = 0;"
}

sqlite_job() {
	rm -f /sw/work/*.db*
	for mode in delete wal; do
		sqlite_inserts $mode >/sw/local/$mode.sql
		drive sqlite3 -bail -init /local/$mode.sql /work/$mode.db \
			'select 1;' || return
	done
	sqlite_check
}

sqlite_check() {
	for mode in delete wal; do
		got=$(drive sqlite3 /work/$mode.db 'pragma journal_mode;
			pragma integrity_check;
			select count(*), sum(n), sum(length(text)) from t;') ||
			return
		[ "$got" = "$mode
ok
1000|500500|400142" ] || { echo "$mode: $got"; return 1; }
	done
}

# --- tar and rsync --------------------------------------------------------

# A tree with everything in it that these two carry.
make_tree() {
	script /work <<-'END'
		rm -rf from by_tar by_rsync
		mkdir from
		cp -R /usr/share/perl/5.*.*/unicore /usr/share/git-core from
		cd from
		mkdir -p odd/deep/er
		ln odd/../unicore/Name.pl odd/hardlink
		ln -s ../unicore odd/symlink
		mkfifo odd/fifo
		printf x | dd of=odd/sparse bs=1 seek=3000000 2>/dev/null
		echo 'a name' >"odd/with space and
		newline"
		chmod 4711 odd/sparse
		chown 1000:1001 odd/deep
		chmod 2770 odd/deep
		touch -d '2001-02-03 04:05:06.789' odd/deep/er
	END
}

copy_job() {
	make_tree && script /work <<-'END' || return
		mkdir by_tar
		tar -C from -c . | tar -C by_tar -xp
		tar -C from -cf archive.tar .
		tar -C by_tar -df archive.tar
		rsync -aH from/ by_rsync/
		touch from/unicore/Name.pm
		echo more >>from/odd/hardlink
		rm -r from/git-core
		rsync -aH --delete from/ by_rsync/
	END
	copy_check
}

copy_check() {
	script /work <<-'END' >/tmp/differences || return
		rsync -aHnc --delete --itemize-changes from/ by_rsync/
		tar -C by_tar -df archive.tar
		diff -r --no-dereference by_tar/unicore/lib from/unicore/lib
	END
	cat /tmp/differences
	[ ! -s /tmp/differences ]
}

# --- gcc ------------------------------------------------------------------

# The same project, built on the drive and in memory: the same program.
gcc_job() {
	for place in work local; do
		rm -rf /sw/$place/project
		cp -R /files/project /sw/$place || return
		drive make -s -C /$place/project -j2 || return
	done
	gcc_check
}

gcc_check() {
	drive cmp /work/project/program /local/project/program &&
		echo ./program | script /work/project >/tmp/program &&
		grep ' passed, 0 failed' /tmp/program
}

# --- dpkg -----------------------------------------------------------------

# The drive's packages as dpkg would know them, then one more, one with
# configuration files, one that is there already, and away with the first.
dpkg_job() {
	mkdir -p /sw/work/debs &&
		cp /files/debs/* /sw/work/debs &&
		script /work/debs <<-'END' || return
			cp status /var/lib/dpkg/status
			dpkg -i hello_*.deb netbase_*.deb gzip_*.deb
			test "$(hello)" = 'Hello, world!'
			dpkg -P netbase
			test ! -e /etc/protocols
			dpkg -i netbase_*.deb
			dpkg -r hello
			test ! -e /usr/bin/hello
			dpkg -i hello_*.deb
		END
	dpkg_check
}

dpkg_check() {
	script /work/debs <<-'END'
		dpkg --verify hello netbase gzip >verified
		test ! -s verified
		dpkg -s hello | grep -q 'Status: install ok installed'
		test "$(hello)" = 'Hello, world!'
		grep -q '^tcp' /etc/protocols
		echo hello | gzip | gzip -d | grep -q hello
	END
}

# --- fio ------------------------------------------------------------------

# Each block carries its checksum and is read again.
fio_run() {
	drive fio --directory=/work/fio --thread --group_reporting \
		--size=8m --verify=crc32c --verify_fatal=1 --randseed=7 \
		--output=/local/fio "$@" || { tail -n 3 /local/fio; return 1; }
}

fio_job() {
	rm -rf /sw/work/fio
	mkdir /sw/work/fio
	fio_run --name=call --rw=randwrite --bsrange=512-64k --numjobs=2 \
		--fsync=64 &&
		fio_run --name=mixed --rw=randrw --bsrange=4k-32k --size=4m &&
		fio_run --name=mmap --rw=randwrite --bs=4k --ioengine=mmap &&
		fio_run --name=direct --rw=randrw --bs=4k --direct=1 --size=1m
}

fio_check() {
	fio_run --name=call --rw=randwrite --bsrange=512-64k --numjobs=2 \
		--verify_only &&
		fio_run --name=mmap --rw=randwrite --bs=4k --verify_only
}

# What a client that has been answered wrongly says.
quiet_kernel() {
	bad='(nfs|NFS|RPC).*(rror|tale|bad|nvalid|loop)|I/O error'
	! dmesg | grep -E "$bad|BUG:|WARNING:|blocked for more"
}

mkdir /local
mount -t tmpfs -o size=90% tmpfs /local
mount_drive
check 'system directories' bind_system
jobs=$(cat /files/jobs)
for job in $jobs; do
	work "$job" "${job}_job"
done
check 'unmount, mount again' remount
for job in $jobs; do
	timed "$job, afterwards" "${job}_check"
done
check 'nothing to complain of in the kernel log' quiet_kernel
finish
