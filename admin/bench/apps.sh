# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034
#
# apps.sh: the programs that `vdrive bench` starts.  Sourced by bench.sh; the
# guest's part (how it is started, what is its first answer) is guest/start.
#
#   app_packages NAME     Debian packages, installed without recommended ones
#   app_binds NAME        directories that the base has not and the program
#                         writes to: seen from the drive itself, read-write
#
# five: the five softwares of the storage rows in one; devel: what the rows at
# run time work with.

APPS='nginx postgresql openjdk libreoffice devel five'

app_packages() {
	case $1 in
	nginx) echo nginx-light ;;
	postgresql) echo postgresql ;;
	openjdk) echo openjdk-17-jre-headless ;;
	libreoffice) echo libreoffice-calc-nogui ;;
	devel) echo gcc libc6-dev make git ;;
	five)
		echo nginx-light postgresql openjdk-17-jre-headless \
			python3-numpy redis-server
		;;
	*) return 1 ;;
	esac
}

app_binds() {
	case $1 in
	postgresql | five) echo /var/lib/postgresql /var/log/postgresql ;;
	nginx) echo /var/log/nginx /var/lib/nginx ;;
	devel) echo /work ;;
	esac
}
