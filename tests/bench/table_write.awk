# SPDX-License-Identifier: Apache-2.0
#
# table_write.awk: samples of rows_write.sh (one JSON object a line, flat) to the
# tables of the README, in Markdown.  Needs table_lib.awk.

{
	where = text("workload") SUBSEP number("conns") "x" number("depth")
	if (!(where in seen)) {
		seen[where] = 1
		order[++cases] = where
	}
	keep("ops_per_s")
	keep("mb_per_s")
	keep("items_per_s")
	keep("server_cpu_us")
	keep("server_cores")
	keep("p50_us")
	keep("p99_us")
	loud = number("other_cores") > loud ? number("other_cores") : loud
}

function latencies(where, name) {
	return short(median("vdrive", where, name)) " | " \
	       short(median("gsync", where, name)) " | " \
	       short(median("gasync", where, name))
}

function speed(server, where, files, gbytes) {
	files = median(server, where, "items_per_s")
	gbytes = median(server, where, "mb_per_s") / 1000
	return rate(median(server, where, "ops_per_s")) \
	       (files > 0 ? " (" rate(files) " files)" : "") \
	       (gbytes >= 0.1 ? sprintf(" (%.2f GB/s)", gbytes) : "")
}

function calls(where, part) {
	split(where, part, SUBSEP)
	printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
	       part[1], part[2], speed("vdrive", where), speed("gsync", where),
	       ratio(median("vdrive", where, "ops_per_s"),
		     median("gsync", where, "ops_per_s")),
	       speed("gasync", where),
	       ratio(median("vdrive", where, "ops_per_s"),
		     median("gasync", where, "ops_per_s")),
	       latencies(where, "server_cpu_us"),
	       latencies(where, "p50_us"), latencies(where, "p99_us")
}

# Entries for each second of the server's CPU time.
function per_cpu(server, where, cores) {
	cores = median(server, where, "server_cores")
	return cores > 0 ? median(server, where, "items_per_s") / cores : -1
}

function listing(where, part) {
	split(where, part, SUBSEP)
	printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", part[1], part[2],
	       rate(median("vdrive", where, "items_per_s")),
	       rate(median("gasync", where, "items_per_s")),
	       rate(per_cpu("vdrive", where)), rate(per_cpu("gasync", where)),
	       ratio(per_cpu("vdrive", where), per_cpu("gasync", where)),
	       short(median("vdrive", where, "p50_us")) " | " \
	       short(median("gasync", where, "p50_us"))
}

# How far to trust the rows: the worst spread of a server's calls per second.
function trust(server, i, at, n, sum, worst) {
	for (i = 1; i <= cases; i++) {
		at = spread(server, order[i], "ops_per_s")
		if (at < 0)
			continue
		n++
		sum += at
		if (at > worst)
			worst = at
	}
	if (n)
		printf "- %s: (max - min) / median of calls a second over " \
		       "the rounds: mean %.0f %%, worst %.0f %%\n", server,
		       100 * sum / n, 100 * worst
}

END {
	print "| workload | in flight | vdrive op/s | ganesha, sync, op/s " \
	      "| vdrive / it | ganesha, async, op/s | vdrive / it " \
	      "| CPU µs a call: vdrive | sync | async " \
	      "| p50 µs: vdrive | sync | async | p99 µs: vdrive | sync | async |"
	print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= cases; i++)
		if (order[i] !~ /^list/)
			calls(order[i])
	print "\n| READDIRPLUS of 10,000 | in flight | vdrive entries/s " \
	      "| ganesha entries/s | per CPU second: vdrive | ganesha " \
	      "| vdrive / ganesha | p50 µs a call: vdrive | ganesha |"
	print "|---|---|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= cases; i++)
		if (order[i] ~ /^list/)
			listing(order[i])
	print ""
	trust("vdrive")
	trust("gsync")
	trust("gasync")
	printf "- at most %.2f other cores\n", loud
}
