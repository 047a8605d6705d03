# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# debian.sh: a Debian made by debootstrap, and what is made of it; after host.sh.
# As root, with a mirror (that of this host's apt; MIRROR=URL for another).
# What takes long is kept in build/debian between runs.
#
#   debian_base                a bookworm with systemd and an NFS client in
#                              $DEBIAN/base
#   debian_without_python      the same without Python, which nfs-common brings; it
#                              is $DEBIAN/base from then on
#   debian_capture NAME DEB [SCRIPT]
#                              apt-get install DEB over it, then SCRIPT, captured
#   debian_capture_file NAME   where that is
#   debian_disk FILE           an ext4 image with the base in it

DEBIAN=${DEBIAN:-$PWD/build/debian}
MIRROR=${MIRROR:-$(apt-cache policy |
	awk '$2 ~ /^http/ && $3 == "bookworm/main" { print $2; exit }')}

debian_base()
{
	[ ! -e "$DEBIAN/base/etc/debian_version" ] || return 0
	mkdir -p "$DEBIAN"
	rm -rf "$DEBIAN/base.new"
	debootstrap --variant=minbase \
		--include=netbase,nfs-common,systemd-sysv,iproute2,procps bookworm \
		"$DEBIAN/base.new" "$MIRROR" >"$DEBIAN/debootstrap.log" 2>&1 || {
		tail -n 5 "$DEBIAN/debootstrap.log"
		return 1
	}
	mv "$DEBIAN/base.new" "$DEBIAN/base"
}

debian_without_python()
{
	debian_base || return
	if [ ! -e "$DEBIAN/no-python/base" ]; then
		rm -rf "$DEBIAN/no-python"
		mkdir "$DEBIAN/no-python" &&
			cp -a "$DEBIAN/base" "$DEBIAN/no-python/new" &&
			chroot "$DEBIAN/no-python/new" sh -c '
			sed -i "/^Package: nfs-common\$/,/^\$/s/, python3[^,]*//" \
				/var/lib/dpkg/status
			dpkg --purge $(dpkg-query -W -f "\${Package}\n" \
				"*python3*") && apt-get -qq check' \
			>"$DEBIAN/no-python/log" 2>&1 || {
			tail -n 5 "$DEBIAN/no-python/log"
			return 1
		}
		mv "$DEBIAN/no-python/new" "$DEBIAN/no-python/base"
	fi
	DEBIAN=$DEBIAN/no-python
}

debian_capture_file()
{
	echo "$DEBIAN/$1.cap"
}

debian_capture()
{
	[ ! -e "$DEBIAN/$1.cap" ] || return 0
	cat >"$DEBIAN/$1.install" <<-END
	#!/bin/sh
	export DEBIAN_FRONTEND=noninteractive
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	apt-get update -qq &&
	    apt-get install -y -qq --no-install-recommends $2 &&
	    rm /usr/sbin/policy-rc.d || exit
	${3:-true}
	END
	chmod 755 "$DEBIAN/$1.install"
	case $B in /*) debian_vdrive=$B ;; *) debian_vdrive=$PWD/$B ;; esac
	(cd "$DEBIAN" && TMPDIR=/var/tmp "$debian_vdrive/vdrive" package capture \
		--base base -o "$1.cap" -- "./$1.install") \
		>"$DEBIAN/$1.log" 2>&1 || { tail -n 5 "$DEBIAN/$1.log"; return 1; }
}

debian_disk()
{
	truncate -s 2G "$1" && mke2fs -q -F -t ext4 -d "$DEBIAN/base" "$1"
}
