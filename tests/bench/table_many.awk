# SPDX-License-Identifier: Apache-2.0
#
# table_many.awk: memory and million of rows_write.sh (one JSON object a line,
# flat) to a table of the README, in Markdown.  Needs table_lib.awk.

text("when") != "" {
	rss[text("when")] = number("rss_kb") / 1024
	next
}

{
	phase = text("phase")
	if (!(phase in seen)) {
		seen[phase] = 1
		order[++phases] = phase
	}
	if (number("store_kb"))
		store[phase] = number("store_kb") / 1024
	if (number("ready_ms"))
		seconds[phase] = number("ready_ms") / 1000
	if (number("seconds")) {
		seconds[phase] = number("seconds")
		files[phase] = number("items_per_s")
		cpu[phase] = number("server_cpu_us")
		p50[phase] = number("p50_us")
		p99[phase] = number("p99_us")
	}
}

function have(list, at) {
	return at in list ? list[at] : -1
}

END {
	print "\n| phase | seconds | files/s | CPU µs a call | p50 µs | p99 µs " \
	      "| vdrived's memory after, MiB | store after, MiB |"
	print "|---|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= phases; i++) {
		at = order[i]
		printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", at,
		       at in seconds ? sprintf("%.2f", seconds[at]) : "-",
		       rate(have(files, at)), short(have(cpu, at)),
		       short(have(p50, at)), short(have(p99, at)),
		       short(have(rss, at)), short(have(store, at))
	}
}
