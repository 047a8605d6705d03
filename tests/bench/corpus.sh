# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# corpus.sh: real programs of Debian's, each with all it depends on, in the
# oldest and in the newest version that apt offers here; sourced by run.sh's
# parts.  Everything below $CORPUS; what is there is not made again.
#
#	debs/		the .deb files
#	files/DEB/	what a .deb unpacks to
#	trees/old/PROGRAM/	one tree per program, made of hard links: a file that
#	trees/new/PROGRAM/	several trees have lies on the disk once
#
# By environment: BENCH_PROGRAMS (names of Debian packages), BENCH_CORPUS.

: "${BENCH_PROGRAMS:=python3 nginx openjdk-17-jre-headless postgresql-15
	nodejs gimp libreoffice-writer}"
: "${BENCH_CORPUS:=build/bench/corpus}"

# What a system that has nothing would install: "NAME VERSION".
corpus_closure() { # program
	apt-get -qq -s --no-install-recommends \
		-o Dir::State::status=/dev/null -o APT::Get::AllowUnauthenticated=0 \
		install "$1" | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p'
}

# The oldest version here of each package of a list: "NAME VERSION".
corpus_oldest() { # "NAME VERSION" on stdin
	apt-cache madison $(cut -d' ' -f1) |
		awk -F' *[|] *' '$3 ~ / Packages$/ {
			sub(/^ */, "", $1); print $1, $2 }' | sort -u |
		while read -r corpus_name corpus_number; do
			if [ "$corpus_name" != "${corpus_last:-}" ]; then
				[ -z "${corpus_last:-}" ] ||
					echo "$corpus_last $corpus_low"
				corpus_last=$corpus_name
				corpus_low=$corpus_number
			elif dpkg --compare-versions "$corpus_number" lt \
				"$corpus_low"; then
				corpus_low=$corpus_number
			fi
			echo "$corpus_last $corpus_low" \
				>"$BENCH_CORPUS/.last"
		done
	cat "$BENCH_CORPUS/.last"
}

# A version of a package as a name of a file: $corpus_deb.
corpus_name_deb() { # package, version
	corpus_deb=$1_$(echo "$2" | sed 's/:/%3a/g')
}

# All of a list that are not here, with one call of apt's.
corpus_download() { # "NAME VERSION" on stdin
	corpus_want=
	while read -r corpus_name corpus_number; do
		corpus_name_deb "$corpus_name" "$corpus_number"
		ls "$BENCH_CORPUS/debs/${corpus_deb}"_*.deb >/dev/null 2>&1 ||
			corpus_want="$corpus_want $corpus_name=$corpus_number"
	done
	[ -z "$corpus_want" ] || (cd "$BENCH_CORPUS/debs" &&
		apt-get -qq download -o APT::Sandbox::User=root $corpus_want)
}

# Where a version of a package is unpacked.
corpus_unpack() { # package, version
	corpus_name_deb "$@"
	[ ! -e "$BENCH_CORPUS/files/$corpus_deb" ] || return 0
	dpkg-deb -x "$BENCH_CORPUS/debs/${corpus_deb}"_*.deb \
		"$BENCH_CORPUS/files/.part"
	mv "$BENCH_CORPUS/files/.part" "$BENCH_CORPUS/files/$corpus_deb"
}

# One program's tree.  Debian's packages agree on directories; a file is in one
# package only.
corpus_tree() { # release, program, its list
	[ ! -e "$BENCH_CORPUS/trees/$1/$2" ] || return 0
	corpus_download <"$3" || return 1
	rm -rf "$BENCH_CORPUS/trees/$1/.part"
	mkdir -p "$BENCH_CORPUS/trees/$1/.part"
	while read -r corpus_name corpus_number; do
		corpus_unpack "$corpus_name" "$corpus_number" </dev/null
		cp -al "$BENCH_CORPUS/files/$corpus_deb/." \
			"$BENCH_CORPUS/trees/$1/.part"
	done <"$3"
	mv "$BENCH_CORPUS/trees/$1/.part" "$BENCH_CORPUS/trees/$1/$2"
}

corpus_make() {
	mkdir -p "$BENCH_CORPUS/debs" "$BENCH_CORPUS/files" \
		"$BENCH_CORPUS/trees/old" "$BENCH_CORPUS/trees/new"
	rm -rf "$BENCH_CORPUS/files/.part"
	for corpus_program in $BENCH_PROGRAMS; do
		corpus_list=$BENCH_CORPUS/$corpus_program.list
		[ -s "$corpus_list" ] ||
			corpus_closure "$corpus_program" >"$corpus_list"
		[ -s "$corpus_list" ] || return 1
		corpus_tree new "$corpus_program" "$corpus_list" || return 1
		corpus_oldest <"$corpus_list" >"$corpus_list.old"
		corpus_tree old "$corpus_program" "$corpus_list.old" ||
			return 1
	done
}
