# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# web.sh: a real nginx for a depot at rest, and a network namespace for a second
# host.  Sourced after host.sh.
#
#   net_up              namespace $NS with a veth pair: we are $NET_HOST, it is
#                       $NET_GUEST; net_down removes it
#   web_start DIR       nginx serves DIR at $WEB, on a port that the kernel
#                       chooses (WEB_PORT) unless that is set before; its log:
#                       "STATUS BYTES URI"; WEB_SERVER: more lines of its
#                       server block; WEB_DIR, WEB_LOG: its files, for tests
#                       that have two
#   web_stop, web_again
#   web_bytes PREFIX    body bytes sent so far for URIs that begin so

NS=vd$$
NET_HOST=10.77.$(($$ % 250)).1
NET_GUEST=10.77.$(($$ % 250)).2
WEB_PORT=${WEB_PORT:-}
WEB_DIR=$W/nginx
WEB_LOG=$WEB_DIR/access.log

net_up()
{
	ip netns add "$NS" &&
		ip link add "h$NS" type veth peer name "g$NS" netns "$NS" &&
		ip addr add "$NET_HOST/24" dev "h$NS" &&
		ip link set "h$NS" up &&
		ip -n "$NS" addr add "$NET_GUEST/24" dev "g$NS" &&
		ip -n "$NS" link set "g$NS" up &&
		ip -n "$NS" link set lo up
}

net_down()
{
	ip netns del "$NS" 2>/dev/null
	ip link del "h$NS" 2>/dev/null
	return 0
}

web_port()	# one that nobody has just now
{
	WEB_PORT=$(python3 -c 'import socket
s = socket.socket()
s.bind(("", 0))
print(s.getsockname()[1])')
}

web_start()
{
	mkdir -p "$WEB_DIR"
	[ -n "$WEB_PORT" ] || web_port || return 1
	WEB=http://$NET_HOST:$WEB_PORT/
	cat >"$WEB_DIR/conf" <<-END
	user nobody nogroup;
	worker_processes 1;
	pid $WEB_DIR/pid;
	error_log $WEB_DIR/error.log;
	events { worker_connections 256; }
	http {
	    log_format bytes '\$status \$body_bytes_sent \$request_uri';
	    access_log $WEB_LOG bytes;
	    client_body_temp_path $WEB_DIR/b;
	    proxy_temp_path $WEB_DIR/p;
	    fastcgi_temp_path $WEB_DIR/f;
	    uwsgi_temp_path $WEB_DIR/u;
	    scgi_temp_path $WEB_DIR/s;
	    keepalive_requests 100000;
	    server { listen $NET_HOST:$WEB_PORT; root $1;
	        ${WEB_SERVER:-} }
	}
	END
	web_again
}

web_again()
{
	nginx -c "$WEB_DIR/conf" -p "$WEB_DIR" 2>"$WEB_DIR/start.log" ||
		{ cat "$WEB_DIR/start.log" >&2; return 1; }
}

web_stop()
{
	[ ! -s "$WEB_DIR/pid" ] || kill "$(cat "$WEB_DIR/pid")" 2>/dev/null
	tries=0
	while [ -e "$WEB_DIR/pid" ] && [ $tries -lt 50 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
}

web_bytes()
{
	[ -e "$WEB_LOG" ] || { echo 0; return; }
	# nginx writes a request's line after its last byte has gone out.
	web_lines=none
	until [ "$web_lines" = "$(wc -l <"$WEB_LOG")" ]; do
		web_lines=$(wc -l <"$WEB_LOG")
		sleep 0.3
	done
	awk -v p="$1" 'index($3, p) == 1 { n += $2 } END { print n + 0 }' \
		"$WEB_LOG"
}

web_cleanup()
{
	web_stop
	net_down
	cleanup
}
trap web_cleanup EXIT
