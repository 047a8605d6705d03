# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# capture-debian: real installers over a debootstrapped Debian, as root and with
# a mirror: `make capture`, a few minutes.
#
#   apt-get install postgresql, twice     one package but for what it varies
#   apt-get install of a desktop program  PROGRAM=gimp
#   make install of a source package      hello, built on this host
#
# The mirror is that of this host's apt (MIRROR=URL for another).
set -u
. tests/lib/host.sh
. tests/lib/capture.sh
PROGRAM=${PROGRAM:-gimp}
MIRROR=${MIRROR:-$(apt-cache policy | awk '$2 ~ /^http/ { print $2; exit }')}
TMP=/var/tmp

# What apt or initdb draw by lot, or write the time into.
VARIES='^M  (etc/ssl/(certs/ssl-cert-snakeoil.pem|private/ssl-cert-snakeoil.key|certs/[0-9a-f]*\.0)|var/lib/postgresql/15/main/(global/pg_control|pg_stat/pgstat.stat|pg_wal/[0-9A-F]*)) '

apt_script()	# NAME PACKAGE
{
	script "$1" "export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update -qq &&
apt-get install -y -qq --no-install-recommends $2 &&
rm /usr/sbin/policy-rc.d"
}

counts()	# NAME: what a capture counted
{
	grep -E '^(captured|noted)' "$W/out" | sed "s/^/# $1: /"
}

debootstrap --variant=minbase --include=make bookworm "$W/base" "$MIRROR" \
	>"$W/debootstrap.log" 2>&1
check "a base by debootstrap" [ $? = 0 ]
base_before=$(listing "$W/base")
check "vdrived" host_start h

apt_script pg postgresql
for i in 1 2; do
	capture "pg$i" ./pg
	check "apt-get install postgresql is captured ($i)" [ "$code" = 0 ]
	counts "postgresql $i"
	on h package create "pg:$i" "$W/pg$i.cap" >"$W/out"
	sed 's/^/# /' "$W/out"
done
on h package diff pg:1 pg:2 >"$W/diff"
sed 's/^/# varies: /' "$W/diff"
check "two captures differ only in what the installer varies" \
	sh -c "[ -s '$W/diff' ] && ! grep -vE '$VARIES' '$W/diff'"
on h package show pg:1 >"$W/show"
check "its user is recorded" grep -q '^users *postgres:x:' "$W/show"
check "its services are" grep -q 'postgresql.*\.service' "$W/show"
check "a cluster lies in it" sh -c \
	"'$B/vdrive' --socket '$W/h/sock' package files pg:1 | grep -q var/lib/postgresql/15/main/PG_VERSION"

apt_script desktop "$PROGRAM"
capture desktop ./desktop
check "apt-get install $PROGRAM is captured" [ "$code" = 0 ]
counts "$PROGRAM"
check "and made a package" on h package create desktop:1 "$W/desktop.cap"

(cd "$W/in" && apt-get source -qq hello >"$W/source.log" 2>&1 &&
	cd hello-* && ./configure --quiet --prefix=/usr/local >/dev/null &&
	make -s >/dev/null 2>&1)
check "hello is built" [ $? = 0 ]
script hello 'cd hello-*/ && make -s install'
capture hello ./hello
check "make install is captured" [ "$code" = 0 ]
counts hello
"$B/vdrive" package files "$W/hello.cap" --changed >"$W/changed"
check "it made its program" grep -q '^A usr/local/bin/hello$' "$W/changed"
check "and nothing outside of /usr/local" \
	sh -c "! grep -v ' usr/local' '$W/changed'"
check "the base is as before" [ "$(listing "$W/base")" = "$base_before" ]

host_stop h
finish capture-debian
