# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# host.sh: the host that guests run on, at the end of a link (link.sh), with a
# vdrived; and the depot's side with nginx.  Sourced by bench.sh, which is in a
# network namespace of its own: the depot's.

HOST_A=10.79.0.1 HOST_B=10.79.0.2
HOST_WEB=8080 HOST_NFS=2049
HOST_PID='' HOST_WEB_PID='' HOST_NS=''
GUEST_UNTIL=answered

# The link and the host at its end.
host_up() { # Mbit/s
	HOST_NS=vdrive-bench-$$
	ip link set lo up && link_up "$HOST_NS" "$HOST_B" "$HOST_A" &&
		link_shape "$1" ||
		bench_die "no namespaces or no tbf: is this a real root?"
	# BBR would pace by its own idea of a link of no length.
	echo reno >/proc/sys/net/ipv4/tcp_congestion_control
}

web_up() {
	mkdir -p "$WORK/nginx"
	cat >"$WORK/nginx/conf" <<-END
	user root root;
	worker_processes 1;
	daemon off;
	pid $WORK/nginx/pid;
	error_log $WORK/nginx/error.log;
	events { worker_connections 512; }
	http {
	    access_log off;
	    client_body_temp_path $WORK/nginx/b; proxy_temp_path $WORK/nginx/p;
	    fastcgi_temp_path $WORK/nginx/f; uwsgi_temp_path $WORK/nginx/u;
	    scgi_temp_path $WORK/nginx/s;
	    sendfile on;
	    tcp_nopush on;
	    keepalive_requests 1000000;
	    server { listen $HOST_A:$HOST_WEB; root $CACHE; }
	}
	END
	nginx -c "$WORK/nginx/conf" -p "$WORK/nginx" >"$WORK/nginx/out" 2>&1 &
	HOST_WEB_PID=$!
	bench_wait ip netns exec "$HOST_NS" curl -sf -o /dev/null \
		"http://$HOST_A:$HOST_WEB/vmlinuz"
}

cli() {
	"$BIN/vdrive" --socket "$HOST_STORE/sock" "$@"
}

# vdrived at the far end of the link.
host_start() { # store, more options
	HOST_STORE=$1
	shift
	mkdir -p "$HOST_STORE"
	# shellcheck disable=SC2086
	ip netns exec "$HOST_NS" "$BIN/vdrived" --user root ${VDRIVED_OPTIONS:-} \
		-o "store.path=$HOST_STORE" \
		-o "nfs.listen=127.0.0.1:$HOST_NFS" \
		-o "admin.socket=$HOST_STORE/sock" "$@" \
		>>"$WORK/vdrived.log" 2>&1 &
	HOST_PID=$!
	bench_wait cli status
}

host_stop() {
	[ -n "$HOST_PID" ] || return 0
	bench_end "$HOST_PID"
	HOST_PID=
}

host_upstream() { # program
	for host_depot in "$1" os; do
		cli upstream add "$host_depot" \
			"http://$HOST_A:$HOST_WEB/$host_depot.depot/" \
			--unsigned >>"$WORK/log" 2>&1 ||
			bench_die "no depot of $host_depot"
	done
}

# --- guests ------------------------------------------------------------------

# A guest of tenant t, and its disk over an image (a URL, too): $WORK/disk.
host_guest() { # program, guest
	cli guest add "t/$2" >>"$WORK/log" && guest_disk "$CACHE/base.qcow2"
}

guest_disk() { # image: a file, or a URL
	rm -f "$WORK/disk"
	ip netns exec "$HOST_NS" qemu-img create -q -f qcow2 -F qcow2 \
		-b "$1" "$WORK/disk" >>"$WORK/log" 2>&1
}

# Boot until the program has answered; a line in the file for each event: seconds
# of the host's clock, then its words.  Status 0: answered.
guest_run() { # program, guest, how, file of events
	guest_boot "$1" "$2" "$3"
	guest_until "$GUEST_UNTIL" "$4"
	guest_end
	grep -q ' answered' "$4"
}

# how: "image", from $WORK/disk; "drive", the same with a drive; "live", that when
# guest_go says so; "run", with vdrive-run; "jobs", for guest/jobs; "root", the
# drive alone.  A processor and a kernel without what costs most in emulation.
guest_boot() { # program, guest, how
	guest_drive="bench.export=/t/$2 \
bench.ports=port=$HOST_NFS,mountport=$HOST_NFS"
	guest_system="-drive file=$WORK/disk,if=virtio,format=qcow2"
	case $3 in
	image) guest_drive= ;;
	drive | live | run | jobs) guest_drive="$guest_drive bench.how=$3 \
bench.binds=$(app_binds "$1" | tr ' ' ,)" ;;
	root) guest_drive="$guest_drive bench.root=nfs" guest_system= ;;
	esac
	rm -f "$WORK/port.in" "$WORK/port.out"
	mkfifo "$WORK/port.in" "$WORK/port.out"
	# shellcheck disable=SC2086
	ip netns exec "$HOST_NS" qemu-system-x86_64 \
		-accel tcg,thread=multi -cpu qemu64 -m "$GUEST_MEMORY" -smp 1 \
		-nodefaults -no-user-config -display none -no-reboot \
		-kernel "$CACHE/vmlinuz" -initrd "$CACHE/initrd" -append \
		"console=ttyS0 quiet panic=-1 no_timer_check mitigations=off \
bench.app=$1 $guest_drive" \
		-serial "file:$WORK/console" $guest_system \
		-netdev user,id=network \
		-device virtio-net-pci,netdev=network,romfile= \
		-device virtio-serial-pci \
		-chardev "pipe,id=events,path=$WORK/port" \
		-device virtserialport,chardev=events,name=events \
		</dev/null >>"$WORK/qemu.log" 2>&1 &
	guest_pid=$!
}

guest_until() { # event, file of events
	guest_listen "$1" "$2" &
	guest_listener=$!
	wait "$guest_listener"
	guest_listener=
}

# A guest of "live" waits for it.
guest_go() {
	echo go >"$WORK/port.in"
}

guest_end() {
	bench_end "$guest_pid"
	guest_pid=
}

# Until the event that ends it, the end of QEMU, or too long a silence.  No fork
# between an event and its time.  The fifo is open for writing, too, so that an
# end of QEMU is no end of file: what it wrote last is read.
guest_listen() { # event, file of events
	exec bash -c '
		silent=0
		while [ $silent -lt "$1" ]; do
			if read -r -t 1 words; then
				echo "$EPOCHREALTIME $words"
				silent=0
				case $words in "$2"* | failed*) exit ;; esac
			else
				kill -0 "$3" || exit
				silent=$((silent + 1))
			fi
		done <>"$4"' listen "$GUEST_LIMIT" "$1" \
		"$guest_pid" "$WORK/port.out" >"$2" 2>/dev/null
}
