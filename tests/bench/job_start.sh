#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# job_start.sh - run in a guest by guest.sh: start one program from the drive, as
# one would for the first time after a boot. /files/program names it; "started"
# is the event when it has done its first piece of work.
#
# In a chroot of the drive, with the guest's /proc and /dev, a /tmp of its own in
# memory, and nothing of the guest's environment.

program=$(cat /files/program)

drive() {
	/usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp \
		LC_ALL=C.UTF-8 /usr/sbin/chroot /sw "$@"
}

start_python3() {
	drive /usr/bin/python3 -c 'import json, ssl, sqlite3
print(json.dumps([ssl.OPENSSL_VERSION, sqlite3.sqlite_version]))'
}

# Its first page, too.
start_nginx() {
	mkdir -p /sw/tmp/www
	echo page >/sw/tmp/www/index.html
	cat >/sw/tmp/nginx.conf <<-END
	user root root;
	pid /tmp/nginx.pid;
	error_log /tmp/error.log;
	events { }
	http {
	    include /etc/nginx/mime.types;
	    access_log off;
	    client_body_temp_path /tmp/b; proxy_temp_path /tmp/p;
	    fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u;
	    scgi_temp_path /tmp/s;
	    server { listen 127.0.0.1:8080; root /tmp/www; }
	}
	END
	cp /etc/passwd /etc/group /sw/etc
	drive /usr/sbin/nginx -e /tmp/error.log -c /tmp/nginx.conf &&
		[ "$(wget -q -O - http://127.0.0.1:8080/)" = page ]
}

start_openjdk_17_jre_headless() {
	drive /usr/lib/jvm/java-17-openjdk-amd64/bin/java -version
}

# A document, made into a PDF.
start_libreoffice_writer() {
	echo 'A line of text.' >/sw/tmp/text.txt
	drive /usr/lib/libreoffice/program/soffice.bin --headless --norestore \
		-env:UserInstallation=file:///tmp/office \
		--convert-to pdf --outdir /tmp /tmp/text.txt
	[ -s /sw/tmp/text.pdf ]
}

start_gimp() {
	drive /usr/bin/gimp -i -d -f -s -b '(gimp-quit 0)'
}

mount /sw || exit 1
event mounted
mkdir -p /sw/tmp /sw/proc /sw/dev
mount -t tmpfs tmpfs /sw/tmp
mount -t proc proc /sw/proc
mount --bind /dev /sw/dev
event starting
"start_$(echo "$program" | tr -- '.-' '__')" && event started
