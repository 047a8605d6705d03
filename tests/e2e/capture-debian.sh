# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# capture-debian: real installers over a debootstrapped Debian, as root and with
# a mirror: `make capture`, ten minutes.
#
#   apt-get install postgresql, twice     one package but for what it varies;
#                                         and it runs from a vdrive selection
#   apt-get install of a desktop program  PROGRAM=gimp
#   make install of a source package      hello, built on this host
#   a shell self-extractor                its payload behind a tail offset
#   one that deletes and replaces         files and directories of the base
#
# The mirror is that of this host's apt (MIRROR=URL for another).  BASE=DIR is
# used as the base instead of a new one; it is not changed.
set -u
. tests/lib/host.sh
. tests/lib/capture.sh
PROGRAM=${PROGRAM:-gimp}
MIRROR=${MIRROR:-$(apt-cache policy |
	awk '$2 ~ /^http/ && $3 == "bookworm/main" { print $2; exit }')}
TMP=/var/tmp
BASE=${BASE:-}

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

counts()	# NAME: what a capture counted, or why it failed
{
	grep -E '^(captured|noted|ended)' "$W/out" | sed "s/^/# $1: /"
	[ "$code" = 0 ] || sed "s/^/# $1: /" "$W/err" "$W/out" | tail -n 20
}

changed()	# NAME: the list of a capture to $W/changed
{
	"$B/vdrive" package files "$W/$1.cap" --changed >"$W/changed"
}

# --- base ------------------------------------------------------------------------

if [ -z "$BASE" ]; then
	BASE=$W/base
	debootstrap --variant=minbase --include=make bookworm "$BASE" \
		"$MIRROR" >"$W/debootstrap.log" 2>&1
	check "a base by debootstrap" [ $? = 0 ]
else
	ln -s "$(realpath "$BASE")" "$W/base"
fi
base_before=$(listing "$BASE/")
check "vdrived" host_start h

# --- postgresql ------------------------------------------------------------------

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
sed -n 's/^\(base\|users\|groups\|alternatives\|libraries\|environment\|services\) /# recorded: &/p' \
	"$W/show"
check "its user is recorded" grep -q '^users *postgres:x:' "$W/show"
check "its groups are" sh -c \
	"grep -q ' postgres:x:[0-9]*:$' '$W/show' && grep -q ' ssl-cert:x:' '$W/show'"
check "its services are" grep -q 'postgresql.*\.service' "$W/show"
check "its alternatives are" grep -q 'psql\.1\.gz=' "$W/show"
check "and the base" grep -q '^base *debian-12 sha256:' "$W/show"
check "a cluster lies in it" sh -c \
	"'$B/vdrive' --socket '$W/h/sock' package files pg:1 | grep -q var/lib/postgresql/15/main/PG_VERSION"

# --- and it runs -----------------------------------------------------------------

# As a guest sees it: base and software selected, read through NFS, started as
# its own user in a root made of that.
run_inside()	# SHELL TEXT
{
	unshare -m -p -i -u -n -f --mount-proc="$W/vm/proc" \
		chroot "$W/vm" /bin/sh -c "$1"
}

on h package create base:1 "dir:$BASE/" --devices >"$W/out"
check "the base is a package" [ $? = 0 ]
on h tenant create t >"$W/out" &&
	on h tenant assign t pg:1 base:1 >>"$W/out" &&
	on h guest add t/vm >>"$W/out"
check "base and postgresql are assigned" [ $? = 0 ]
mkdir "$W/vm"
"$B/tests/tools/nfscopy" 127.0.0.1 "$PORT" /t/vm "$W/vm" 2>"$W/err"
check "a client reads all of it" [ $? = 0 ]
mknod -m 666 "$W/vm/dev/null" c 1 3 2>/dev/null
mknod -m 666 "$W/vm/dev/urandom" c 1 9 2>/dev/null
mkdir -p "$W/vm/dev/shm" "$W/vm/run/postgresql"
chmod 1777 "$W/vm/dev/shm"
chown --reference="$W/vm/var/lib/postgresql" "$W/vm/run/postgresql"
run_inside 'pg_ctlcluster 15 main start &&
	cd / && runuser -u postgres -- psql -Atc "select 6*7, current_user" &&
	runuser -u postgres -- psql -Atc "create table t as select generate_series(1, 1000) i" &&
	runuser -u postgres -- psql -Atc "select sum(i) from t" &&
	stat -c %U /proc/"$(head -1 /var/lib/postgresql/15/main/postmaster.pid)"
	pg_ctlcluster 15 main stop' >"$W/ran" 2>&1
sed 's/^/# ran: /' "$W/ran"
check "postgresql starts from the selection, as its own user, and answers" sh -c \
	"grep -qx '42|postgres' '$W/ran' && grep -qx 500500 '$W/ran' && grep -qx postgres '$W/ran'"

# --- a desktop program -----------------------------------------------------------

apt_script desktop "$PROGRAM"
capture desktop ./desktop
check "apt-get install $PROGRAM is captured" [ "$code" = 0 ]
counts "$PROGRAM"
check "and made a package" on h package create desktop:1 "$W/desktop.cap"

# --- make install ----------------------------------------------------------------

# The list of sources is the test's own: this host's apt may have none.
hello_source()
{
	mkdir -p "$W/apt/lists/partial"
	printf 'deb-src %s bookworm main\n' "$MIRROR" >"$W/apt/sources.list"
	set -- -o "Dir::Etc::sourcelist=$W/apt/sources.list" \
		-o Dir::Etc::sourceparts=- -o "Dir::State::lists=$W/apt/lists"
	apt-get "$@" update -qq &&
		apt-get "$@" source -qq --download-only hello &&
		tar -xf hello_*.orig.tar.*z && rm hello_*
}

(cd "$W/in" && hello_source >"$W/source.log" 2>&1 &&
	cd hello-* && ./configure --quiet --prefix=/usr/local \
		--disable-dependency-tracking >>"$W/source.log" 2>&1 &&
	make -s >>"$W/source.log" 2>&1)
check "hello is built" [ $? = 0 ]
script hello 'cd hello-*/ && make -s install'
capture hello ./hello
check "make install is captured" [ "$code" = 0 ]
counts hello
changed hello
check "it made its program" grep -q '^A usr/local/bin/hello$' "$W/changed"
check "and nothing outside of /usr/local" \
	sh -c "! grep -v ' usr/local' '$W/changed'"

# --- a self-extractor ------------------------------------------------------------

# As makeself writes them: the payload begins at a byte that the script knows.
self_extractor()	# FILE, payload in $W/pay
{
	tar -C "$W/pay" -cz . >"$W/pay.tgz"
	cat >"$W/pay.sh" <<'END'
#!/bin/sh
# A fixed number of bytes long, so that OFFSET can be put in.
set -e
OFFSET=@@@@@@@@
dir=$(mktemp -d /tmp/self.XXXXXX)
tail -c "+$((OFFSET + 1))" "$0" | tar -xz -C "$dir"
cd "$dir" && ./setup.sh "$@"
rm -rf "$dir"
exit 0
END
	sed -i "s/@@@@@@@@/$(printf '%-8d' "$(wc -c <"$W/pay.sh")")/" "$W/pay.sh"
	cat "$W/pay.sh" "$W/pay.tgz" >"$1"
	chmod 755 "$1"
}

mkdir -p "$W/pay/lib"
cp "$(command -v busybox)" "$W/pay/acme"
head -c 3000000 /dev/urandom >"$W/pay/lib/data"
cat >"$W/pay/setup.sh" <<'END'
#!/bin/sh
set -e
prefix=${1:-/opt/acme}
install -d "$prefix/bin" "$prefix/lib"
install -m 755 acme "$prefix/bin/acme"
cp lib/data "$prefix/lib/"
useradd --system --home-dir "$prefix" --shell /usr/sbin/nologin acme
chown -R acme: "$prefix/lib"
update-alternatives --install /usr/local/bin/ac ac "$prefix/bin/acme" 10
echo "$prefix/lib" >/etc/ld.so.conf.d/acme.conf
ldconfig
echo "ACME_HOME=$prefix" >>/etc/environment
printf 'export ACME_OPTS=--fast\n' >/etc/profile.d/acme.sh
cat >/etc/systemd/system/acme.service <<UNIT
[Unit]
Description=Acme
[Service]
User=acme
ExecStart=$prefix/bin/acme
UNIT
END
chmod 755 "$W/pay/setup.sh"
self_extractor "$W/in/acme.run"
for i in 1 2; do
	capture "acme$i" ./acme.run /opt/acme
	check "a self-extractor is captured ($i)" [ "$code" = 0 ]
	on h package create "acme:$i" "$W/acme$i.cap" --json >"$W/acme$i.json"
done
counts acme
check "two captures of it are one tree" [ "$(jq -r .tree "$W/acme1.json")" = \
	"$(jq -r .tree "$W/acme2.json")" ]
on h package diff acme:1 acme:2 | sed 's/^/# differs: /'
on h package show acme:1 >"$W/show"
for fact in 'users *acme:x:' 'groups *acme:x:' 'libraries */opt/acme/lib' \
	'alternatives *ac=/opt/acme/bin/acme' 'environment *ACME_HOME=/opt/acme' \
	' *export ACME_OPTS=--fast' 'services *acme.service'; do
	check "recorded: $fact" grep -q "^$fact" "$W/show"
done

# --- one that deletes and replaces -----------------------------------------------

script replace 'set -e
rm -r /usr/share/doc /etc/motd
mv /usr/bin/which.debianutils /usr/bin/which.old
printf "#!/bin/sh\necho mine\n" >/usr/bin/which.debianutils
chmod 755 /usr/bin/which.debianutils
rm -r /usr/share/bug && echo now a file >/usr/share/bug
rm /etc/issue && mkdir /etc/issue && echo x >/etc/issue/inside
ln -sf /etc/hostname /etc/issue.net
chown nobody /etc/debian_version; chmod 600 /etc/debian_version'
capture replace ./replace
check "one that deletes and replaces base files is captured" [ "$code" = 0 ]
counts replace
changed replace
for line in 'D etc/motd' 'D usr/share/doc' 'M usr/bin/which.debianutils' \
	'A usr/bin/which.old' 'M usr/share/bug' 'M etc/issue' \
	'A etc/issue/inside' 'M etc/issue.net' 'm etc/debian_version'; do
	check "listed: $line" grep -qx "$line" "$W/changed"
done
on h package create replace:1 "$W/replace.cap" >"$W/out"
on h tenant create r >"$W/out" &&
	on h tenant assign r replace:1 base:1 >>"$W/out" &&
	on h guest add r/vm >>"$W/out"
rm -rf "$W/vm"
mkdir "$W/vm"
"$B/tests/tools/nfscopy" 127.0.0.1 "$PORT" /r/vm "$W/vm" 2>"$W/err"
check "over the base a guest sees what the installer left" sh -c "cd '$W/vm' &&
	[ ! -e etc/motd ] && [ ! -e usr/share/doc ] && [ -f usr/share/bug ] &&
	[ -f etc/issue/inside ] && [ \"\$(readlink etc/issue.net)\" = /etc/hostname ] &&
	[ \"\$(stat -c '%U %a' etc/debian_version)\" = 'nobody 600' ] &&
	grep -q mine usr/bin/which.debianutils && [ -s usr/bin/which.old ]"

check "the base is as before" [ "$(listing "$BASE/")" = "$base_before" ]
host_stop h
finish capture-debian
