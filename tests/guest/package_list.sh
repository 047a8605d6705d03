#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# package_list.sh TREE DIR - on the host: write down in DIR what the directories
# that job_python.sh changes look like in the package itself, TREE being its
# unpacked files. job_second.sh compares with this, given to its guest as
# GUEST_FILES=DIR.
#
#   package.md5     md5sum's own form, of every file
#   package.modes   mode, size and name of every file
#   package.names   every name of any kind
set -eu

[ $# -eq 2 ] || { echo 'usage: package_list.sh TREE DIR' >&2; exit 2; }
mkdir -p "$2"
out=$(cd "$2" && pwd)
cd "$1"
directories=$(echo . usr/lib usr/lib/python3.* usr/lib/python3.*/json)

# in_directories FIND_TEST...: the names in them that pass the test.
in_directories() {
	# shellcheck disable=SC2086
	find $directories -mindepth 1 -maxdepth 1 "$@" | LC_ALL=C sort -u
}

in_directories >"$out/package.names"
in_directories -type f >"$out/files"
xargs md5sum <"$out/files" >"$out/package.md5"
xargs stat -c '%a %s %n' <"$out/files" >"$out/package.modes"
echo "$directories" >"$out/package.directories"
rm "$out/files"
