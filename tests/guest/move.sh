#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# move.sh: a guest with Debian's kernel has the drive mounted while `vdrive guest
# move` takes it to another vdrived with a store of its own, and the server's
# address moves along.  Each line of the job is a test.
set -u
. tests/lib/host.sh
. tests/lib/guests.sh

# Two hosts with the same package; the address of the first goes to the second.
mover()
{
	cat >"$W/kill-restart" <<-END
	#!/bin/sh
	end()
	{
	    kill "\$1"
	    while kill -0 "\$1" 2>/dev/null &&
		! grep -q ') Z ' "/proc/\$1/stat"; do sleep 0.05; done
	}
	"$B/vdrive" --socket "$W/from/sock" guest move demo/vm1 \\
	    --to "unix:$W/to/sock" >"$W/move.out" 2>&1 ||
	    { cat "$W/move.out"; exit 1; }
	"$B/vdrive" --socket "$W/from/sock" -H guest list >"$W/from.guests"
	end \$(cat "$W/from.pid")
	end \$(cat "$W/to.pid")
	: >"$W/to.log"
	setsid "$B/vdrived" --user nobody -o "store.path=$W/to" \\
	    -o "nfs.listen=127.0.0.1:$1" -o "admin.socket=$W/to/sock" \\
	    >>"$W/to.log" 2>&1 </dev/null &
	echo \$! >"$W/to.pid"
	i=0
	until grep -q ' ready, ' "$W/to.log"; do
	    i=\$((i + 1))
	    [ \$i -lt 300 ] || { tail -n 3 "$W/to.log"; exit 1; }
	    sleep 0.1
	done
	END
	chmod +x "$W/kill-restart"
}

prepare()
{
	sh tests/guest/image.sh "$(guest_cache)" >"$W/image.log" 2>&1 ||
		{ cat "$W/image.log"; return 1; }
	mkdir -p "$W/src/pkg/dir"
	echo packaged >"$W/src/pkg/text"
	head -c 1000000 /dev/urandom >"$W/src/pkg/big"
	seq 1000 >"$W/src/pkg/dir/numbers"
	chmod -R a+rX "$W/src"
	host_start to && on to package create p:1 "dir:$W/src" >/dev/null &&
		host_start from &&
		on from package create p:1 "dir:$W/src" >/dev/null &&
		on from tenant create demo && on from tenant assign demo p:1 &&
		on from guest add demo/vm1 && mover "$PORT"
}

if prepare; then
	guest_run from demo/vm1 tests/guest/job_move.sh "$W/vm1"
	count_job vm1 $? "$W/vm1"
	check "the first host knows the guest no more" \
		[ -e "$W/from.guests" ] && ! grep -q vm1 "$W/from.guests"
	check "the second has it" sh -c \
		"'$B/vdrive' --socket '$W/to/sock' -H guest list | grep -q demo/vm1"
	check "its delta is sound" on to delta verify demo/vm1
else
	not_ok "hosts and guest image"
fi
echo "guest_move: $passed passed, $failed failed"
[ $failed -eq 0 ]
