# SPDX-License-Identifier: Apache-2.0
#
# table.awk: samples and memory of rows_read.sh (one JSON object a line, flat) to
# the tables of the README, in Markdown.  Needs table_lib.awk.

function row(where, part) {
	split(where, part, SUBSEP)
	printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s " \
	       "| %s | %s | %s | %s / %s / %s |\n", part[1], part[2],
	       ops("bare", where), ops("vdrive", where),
	       ratio(median("vdrive", where, "ops_per_s"),
		     median("bare", where, "ops_per_s")),
	       ops("ganesha", where),
	       short(median("bare", where, "server_cpu_us")),
	       short(median("vdrive", where, "server_cpu_us")),
	       short(median("ganesha", where, "server_cpu_us")),
	       ratio(median("ganesha", where, "server_cpu_us"),
		     median("vdrive", where, "server_cpu_us")),
	       latency("bare", where), latency("vdrive", where),
	       ratio(median("vdrive", where, "p50_us"),
		     median("bare", where, "p50_us")),
	       latency("ganesha", where),
	       short(median("bare", where, "replies_per_recv")),
	       short(median("vdrive", where, "replies_per_recv")),
	       short(median("ganesha", where, "replies_per_recv"))
}

# How far to trust the rows: one line per server.
function trust(server, i, n, sum, worst, at, loudest) {
	for (i = 1; i <= cases; i++) {
		at = spread(server, order[i], "server_cpu_us")
		if (at < 0)
			continue
		n++
		sum += at
		if (at > worst)
			worst = at
	}
	if (n)
		printf "- %s: (max - min) / median of CPU us/op over the " \
		       "rounds: mean %.0f %%, worst %.0f %%; client busy at " \
		       "most %.0f %% of its time; at most %.2f other cores\n",
		       server, 100 * sum / n, 100 * worst,
		       100 * busiest[server], other[server]
}

text("when") != "" {
	memory[text("server"), text("when")] = number("rss_kb") / 1024
	anon[text("server"), text("when")] = number("anon_kb") / 1024
	next
}

{
	server = text("server")
	where = text("workload") SUBSEP number("conns") "x" number("depth")
	if (!(where in seen)) {
		seen[where] = 1
		order[++cases] = where
	}
	keep("ops_per_s")
	keep("mb_per_s")
	keep("server_cpu_us")
	keep("p50_us")
	keep("p99_us")
	keep("replies_per_recv")
	if (number("client_busy") > busiest[server])
		busiest[server] = number("client_busy")
	if (number("other_cores") > other[server])
		other[server] = number("other_cores")
}

END {
	print "| workload | conn x depth | bare op/s | vdrive op/s " \
	      "| vdrive / bare | ganesha op/s | bare CPU us/op " \
	      "| vdrive CPU us/op | ganesha CPU us/op | ganesha / vdrive " \
	      "| bare p50 / p99 us | vdrive p50 / p99 us | vdrive / bare p50 " \
	      "| ganesha p50 / p99 us | replies per receive b / v / g |"
	print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= cases; i++)
		row(order[i])
	print "\n| memory | idle RSS MiB | RSS after the load MiB " \
	      "| of it anonymous |"
	print "|---|--:|--:|--:|"
	split("bare vdrive ganesha", servers, " ")
	for (i = 1; i <= 3; i++)
		if ((servers[i], "idle") in memory)
			printf "| %s | %.1f | %.1f | %.1f |\n", servers[i],
			       memory[servers[i], "idle"],
			       memory[servers[i], "after the load"],
			       anon[servers[i], "after the load"]
	print ""
	for (i = 1; i <= 3; i++)
		trust(servers[i])
}
