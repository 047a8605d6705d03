#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_python.sh - run in a guest by guest.sh: use Debian's python3 from the
# drive, change the package as a customer would, have the server killed (kill
# -9) and started again in the middle of writes ("host kill-restart"), and find
# every change there afterwards.
#
# The drive holds the package and a fresh delta. Nothing of the guest's is lent
# to python: its closure has all that it reads, and it needs neither /proc nor
# /dev/null. It leaves its __pycache__ on the drive, as it would anywhere.
# shellcheck source=root/checks.sh disable=SC2317
. /checks.sh

program='import json, ssl, sqlite3
sqlite = sqlite3.connect(":memory:").execute("select sqlite_version()")
print(json.dumps([ssl.OPENSSL_VERSION, sqlite.fetchone()[0],
                  getattr(json, "mark", "as packaged")]))'
appended='mark = "changed in this guest"'
kept=/tmp/kept

python() {
	chroot /sw /usr/bin/python3 -c "$program"
}

# expect WANTED COMMAND...: does the command print exactly this?
expect() {
	wanted=$1
	shift
	got=$("$@" 2>&1)
	[ "$got" = "$wanted" ] && return
	echo "expected '$wanted', got '$got'"
	return 1
}

# Neither found by name nor listed.
absent() {
	[ ! -e "$1" ] && [ -z "$(find "${1%/*}" -maxdepth 1 -name "${1##*/}")" ]
}

names() {
	find "$1" -mindepth 1 -maxdepth 1 | sort | sed 's|.*/||' | tr '\n' ' '
}

mount_options() {
	options=$(awk '$2 == "/sw" { print "," $4 "," }' /proc/mounts)
	for option in vers=3 proto=tcp hard nolock nosuid nodev acregmax=30; do
		case $options in
		*",$option,"*) ;;
		*) echo "no $option in $options"; return 1 ;;
		esac
	done
}

# The package files to be changed, as they are now, kept in the guest's own
# memory.
keep_originals() {
	mkdir -p $kept
	cp "$lib/json/__init__.py" $kept/json.py
	cp "$lib/ssl.py" "$lib/tabnanny.py" "$lib/this.py" $kept
	echo "$appended" >>$kept/json.py
	edit_file $kept/tabnanny.py
}

edit_file() {
	sed -i 's/^import/# edited\nimport/' "$1"
}

append_to_file() {
	echo "$appended" >>"$lib/json/__init__.py"
}

make_new_files() {
	mkdir -p "$new/one/two/three" "$new/empty" &&
		echo 'a new file' >"$new/one/two/file" &&
		chmod 640 "$new/one/two/file" &&
		chown 1000:1001 "$new/one/two/file" &&
		ln -s two/file "$new/one/symlink" &&
		ln "$new/one/two/file" "$new/one/hardlink"
}

write_3_mib() {
	dd if=/dev/urandom of="$kept/big" bs=64k count=48 2>&1 &&
		dd if="$kept/big" of="$new/big" bs=64k conv=fsync 2>&1 &&
		cmp "$kept/big" "$new/big"
}

# The edits that a person makes: sed -i writes a new file and renames it over
# the old one.
change_package() {
	check 'append to a package file' append_to_file
	check 'chmod a package file' chmod 600 "$lib/ssl.py"
	check 'edit a package file with sed -i' edit_file "$lib/tabnanny.py"
	check 'rename a package file' mv "$lib/this.py" "$lib/that.py"
	check 'delete a package file' rm "$lib/antigravity.py"
	check 'make files, directories and links' make_new_files
	timed 'write 3 MiB and fsync' write_3_mib
}

# verify WHEN: are all of change_package's changes there?
verify() {
	check "appended file, $1" cmp $kept/json.py "$lib/json/__init__.py"
	check "changed mode, $1" expect 600 stat -c %a "$lib/ssl.py"
	check "content of that file, $1" cmp $kept/ssl.py "$lib/ssl.py"
	check "edited file, $1" cmp $kept/tabnanny.py "$lib/tabnanny.py"
	check "renamed file, $1" cmp $kept/this.py "$lib/that.py"
	check "old name gone, $1" absent "$lib/this.py"
	check "deleted file, $1" absent "$lib/antigravity.py"
	check "new file, $1" expect 'a new file' cat "$new/one/two/file"
	check "its mode and owner, $1" expect '640 1000 1001 2' \
		stat -c '%a %u %g %h' "$new/one/two/file"
	check "symbolic link, $1" expect 'two/file' readlink "$new/one/symlink"
	check "hard link, $1" expect 'a new file' cat "$new/one/hardlink"
	check "empty directory, $1" expect '' names "$new/empty"
	check "directory in directories, $1" \
		expect 'file three ' names "$new/one/two"
	check "3 MiB file, $1" cmp "$kept/big" "$new/big"
	check "its md5, $1" expect "$(md5sum <$kept/big)" md5_of "$new/big"
}

md5_of() {
	md5sum <"$1"
}

# In the background, until /tmp/stop is there: small files, each written with
# fsync. The slowest of these is the guest's pause.
write_on() {
	count=0 longest=0
	while [ ! -e /tmp/stop ]; do
		read_clock
		began=$now count=$((count + 1))
		echo "$count" |
			dd of="$new/loop/$count" conv=fsync >/tmp/dd 2>&1 ||
			echo "write $count: $(cat /tmp/dd)" >>/tmp/loop_failures
		read_clock
		[ $((now - began)) -le "$longest" ] || longest=$((now - began))
		echo "$count $longest" >/tmp/loop.new
		mv /tmp/loop.new /tmp/loop
	done
}

# wait_for_writes N: until the loop has made N more, for a minute and a half at
# most.
wait_for_writes() {
	read -r count _ </tmp/loop
	goal=$((count + $1)) tries=450
	while [ "$count" -lt "$goal" ]; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || { echo "stopped at $count"; return 1; }
		sleep 0.2
		read -r count _ </tmp/loop
	done
}

large_content() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		cat "$kept/big" || return
	done
}

# MiB carried by this mount's WRITE calls, those that were answered.
mib_written() {
	awk '$1 == "WRITE:" { print int($5 / 1048576) }' /proc/self/mountstats
}

# wait_for_mib N: until so many MiB have been written, for a minute at most.
wait_for_mib() {
	tries=600
	while [ "$(mib_written)" -lt "$1" ]; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

# 48 MiB go out as many WRITEs with one COMMIT after them. The server is killed
# in between: it may lose what it had of them, its write verifier must tell, and
# the client sends all again.
write_large_file() {
	large_content | dd of="$new/large" bs=64k conv=fsync >/tmp/large 2>&1
}

large_file_written() {
	wait "$large" || { cat /tmp/large; return 1; }
}

write_through_a_kill() {
	mkdir "$new/loop"
	echo 0 0 >/tmp/loop
	write_on &
	loop=$!
	check 'writes before the kill' wait_for_writes 20
	before=$(mib_written)
	write_large_file &
	large=$!
	check 'a large file on its way' wait_for_mib $((before + 6))
	event kill-restart
	echo "# killed after $(($(mib_written) - before)) of 48 MiB"
	timed 'server killed and started' host kill-restart
	timed 'writes go on after the restart' wait_for_writes 20
	timed 'fsync of the large file' large_file_written
	touch /tmp/stop
	wait "$loop"
	read -r writes longest </tmp/loop
	check 'every write and fsync succeeded' [ ! -e /tmp/loop_failures ]
	echo "# $writes writes, longest pause $(seconds "$longest") s"
}

verify_writes() {
	seq 1 "$writes" >$kept/numbers
	check "no file of the loop missing, none too many" \
		expect "$writes" echo "$(names "$new/loop" | wc -w)"
	sed "s|^|$new/loop/|" $kept/numbers | xargs cat >$kept/loop
	check "content of the loop's files" cmp $kept/numbers $kept/loop
	check "content of the large file" \
		expect "$(large_content | md5sum)" md5_of "$new/large"
}

mount_drive
check 'mount options' mount_options
lib=$(echo /sw/usr/lib/python3.*)
new=/sw/srv/job
timed 'python, first start' python
timed 'python, second start' python
keep_originals
change_package
verify 'at once'
write_through_a_kill
forget_caches
verify 'after the restart'
verify_writes
timed 'python after the restart' python
check 'python runs the changed file' expect 'changed in this guest' \
	chroot /sw /usr/bin/python3 -c 'import json; print(json.mark)'
finish
