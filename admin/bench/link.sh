# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# link.sh: another host at the end of a link: a network namespace, a veth pair
# to it (bench-a here, bench-b there), and tbf in both directions.  Needs root.
# Sourced by host.sh, and by the rows of `make bench` that have a link.
#
# Each function gives non-zero when ip or tc refuses; what they say goes where
# the caller's standard error goes.

link_up() { # namespace, its address, ours (of one /24)
	LINK_NS=$1
	ip netns add "$LINK_NS" &&
		ip link add bench-a type veth peer name bench-b \
			netns "$LINK_NS" &&
		ip addr add "$3/24" dev bench-a &&
		ip link set bench-a up &&
		ip -n "$LINK_NS" addr add "$2/24" dev bench-b &&
		ip -n "$LINK_NS" link set bench-b up &&
		ip -n "$LINK_NS" link set lo up
}

# So fast from now on.
link_shape() { # Mbit/s
	tc qdisc replace dev bench-a root tbf rate "$1mbit" burst 128kb \
		latency 50ms &&
		tc -n "$LINK_NS" qdisc replace dev bench-b root tbf \
			rate "$1mbit" burst 128kb latency 50ms
}

# Bytes that came over it so far, there.
link_bytes() {
	ip netns exec "$LINK_NS" cat /sys/class/net/bench-b/statistics/rx_bytes
}

# Gone, whatever there was of it.
link_down() { # namespace
	ip netns del "$1" 2>/dev/null || :
	ip link del bench-a 2>/dev/null || :
}
