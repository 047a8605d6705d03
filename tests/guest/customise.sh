#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# customise.sh [SOFTWARE...]: what a user makes of real software in one VM works
# in a fresh VM of another tenant, and is gone exactly when it is detached:
#
#   vim          settings of the system (vimrc.local), a plugin of the user's
#                (Debian's vim-tabular in ~/.vim/pack)
#   sqlite       the shell's configuration (.sqliterc)
#   postgresql   a setting (conf.d), who may come in (pg_hba.conf)
#   python       a module that pip has built from source, with its command, and
#                a virtual environment with a wheel in it
#
# Without a name all.  Each software is a package captured over the Debian that
# the guests run, which has none of them; what was changed is told by software,
# the rest is assigned, and each is a profile of its own.  As root, with a
# mirror; in emulation minutes a software.  Each line of the jobs is a test.
set -u
. tests/lib/host.sh
. tests/lib/guests.sh
. tests/lib/debian.sh

# What is captured.
debs()
{
	case $1 in
	vim) echo vim ;;
	sqlite) echo sqlite3 ;;
	postgresql) echo postgresql ;;
	python) echo python3 python3-pip ;;
	*) echo "customise.sh: no software $1" >&2; return 1 ;;
	esac
}

# Changes that are told by their place.
by_place()
{
	case $1 in
	vim) echo etc/vim/vimrc.local ;;
	postgresql) echo etc/postgresql/15/main/conf.d/mine.conf \
		etc/postgresql/15/main/pg_hba.conf ;;
	python) echo usr/local/lib/python3.11/dist-packages/acme_units.py ;;
	esac
}

# Changes that are nobody's until the operator says whose.
by_word()
{
	case $1 in
	vim) echo root/.vim ;;
	sqlite) echo root/.sqliterc ;;
	python) echo opt/mine usr/local/bin/acme-units ;;
	esac
}

# What is the software's and yet not carried: a database's data.
not_carried()
{
	case $1 in
	postgresql) echo --exclude 'var/lib/postgresql/**' ;;
	esac
}

# A module of a user's, as source.
make_source()
{
	mkdir "$1" && cat >"$1/pyproject.toml" <<-'END' &&
	[build-system]
	requires = ["setuptools"]
	build-backend = "setuptools.build_meta"
	[project]
	name = "acme-units"
	version = "1.0"
	scripts = { acme-units = "acme_units:main" }
	[tool.setuptools]
	py-modules = ["acme_units"]
	END
		cat >"$1/acme_units.py" <<-'END'
	import sys


	def metres(kilometres):
	    return 1000 * kilometres


	def main():
	    print(metres(int(sys.argv[1])))
	END
}

# What users would fetch.
fetch_files()
{
	mkdir "$W/fetched" "$W/files" || return
	(cd "$W/fetched" && apt-get -qq -o APT::Sandbox::User=root download \
		vim-tabular python3-wheel-whl) &&
		unpack_debs "$W/fetched/all" "$W"/fetched/*.deb &&
		cp -R "$W/fetched/all/usr/share/vim-tabular" \
			"$W/files/tabular" &&
		cp "$W"/fetched/all/usr/share/python-wheels/wheel-*.whl \
			"$W/files" &&
		make_source "$W/files/acme" &&
		cp admin/guest/vdrive-run tests/guest/postgres.sh "$W/files" &&
		echo "$all" >"$W/files/software"
}

host_command()
{
	cat >"$W/kill-restart" <<-END
	#!/bin/sh
	case \$1 in
	apply | detach)
		exec "$B/vdrive" --socket "$W/h/sock" profile "\$1" "\$2" other/vm2 ;;
	esac
	exit 2
	END
	chmod +x "$W/kill-restart"
}

# Each has its own version of dpkg's list and the like: the order is meant.  Of
# /etc/ssl/private, too: postgresql's is open to the group of its key, and the
# first package's is seen.
prepare()
{
	sh tests/guest/image.sh "$(guest_cache)" >"$W/image.log" 2>&1 ||
		{ cat "$W/image.log"; return 1; }
	debian_without_python && fetch_files && host_start h && host_command ||
		return
	packages=
	for software in $all; do
		debian_capture "$software" "$(debs "$software")" &&
			on h package create "$software:1" \
			"$(debian_capture_file "$software")" >/dev/null ||
			return
		case $software in
		postgresql) packages="$software:1 $packages" ;;
		*) packages="$packages $software:1" ;;
		esac
	done
	for guest in demo/vm1 other/vm2; do
		# shellcheck disable=SC2086
		on h tenant create "${guest%/*}" &&
			on h tenant assign "${guest%/*}" $packages --order \
				>"$W/assign" &&
			on h guest add "$guest" --whiteouts on || return
	done
}

guest()		# TENANT/GUEST
{
	debian_disk "$W/disk" &&
		GUEST_FILES=$W/files GUEST_DISK=$W/disk GUEST_ROOT=disk \
		GUEST_MEMORY=1024 GUEST_TIMEOUT=1500 guest_run h "$1" \
		tests/guest/job_customise.sh "$W/${1#*/}"
	count_job "${1#*/}" $? "$W/${1#*/}"
	rm -f "$W/disk"
}

# What a command says, if it fails.
quietly()
{
	"$@" >"$W/said" 2>&1 || { cat "$W/said"; return 1; }
}

# This path, or something below it: SOFTWARE PATH
changed()
{
	on h -H delta diff demo/vm1 --package "$1" | cut -f 2 |
		grep -qE "^$2(/|\$)"
}

profile()	# SOFTWARE
{
	for path in $(by_place "$1"); do
		check "$1: $path is told by its place" changed "$1" "$path"
	done
	for path in $(by_word "$1"); do
		check "$1: $path is nobody's" changed '' "$path"
		on h delta assign demo/vm1 "$path" "$1" >/dev/null
		check "$1: and is assigned" changed "$1" "$path"
	done
	# shellcheck disable=SC2046
	check "$1: a profile" quietly on h profile create "$1" --from demo/vm1 \
		--package "$1" $(not_carried "$1")
	on h -H profile diff "$1" | cut -f 2 >"$W/profile"
	for path in $(by_place "$1") $(by_word "$1"); do
		check "$1: with $path in it" grep -qE "^$path(/|\$)" "$W/profile"
	done
	check "$1: and no data" [ "$(grep -c ^var "$W/profile")" = 0 ]
}

all=${*:-vim sqlite postgresql python}
for software in $all; do
	debs "$software" >/dev/null || exit 2
done
if prepare; then
	guest demo/vm1
	for software in $all; do
		profile "$software"
	done
	touch "$W/files/fresh"
	guest other/vm2
	for software in $all; do
		check "$software: nobody has the profile now" \
			quietly on h profile remove -y "$software"
	done
	for guest in demo/vm1 other/vm2; do
		check "$guest: its delta is sound" quietly on h delta verify \
			"$guest"
	done
else
	not_ok "a Debian, captures, and a host"
fi
finish
