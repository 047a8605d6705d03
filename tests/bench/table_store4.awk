# SPDX-License-Identifier: Apache-2.0
#
# table_store4.awk: samples of rows_store4.sh into a table.

/"memory_mib":/ {
	store = number("store")
	memory = number("memory_mib")
}

/"phase":/ {
	where = text("phase")
	$0 = sprintf("{\"server\":\"%s\",\"ratio\":%f,\"mb_per_s\":%f,\"rss\":%f}",
		     text("server"),
		     number("hot") / (number("hot") + number("warm") + 1e-9),
		     number("read_bytes") / number("seconds") / 1e6,
		     number("rss_kb") / 1024)
	keep("ratio")
	keep("mb_per_s")
	keep("rss")
}

function cell(mode, phase, hits) {
	hits = median(mode, phase, "ratio")
	return hits < 0 ? "- | -" : \
	       sprintf("%.3f | %.0f", hits, median(mode, phase, "mb_per_s"))
}

END {
	printf "A store of %.0f MB; %d MiB of memory.\n\n", store / 1e6, memory
	print "| policy | hits | MB/s | whole: MB/s | after it: hits | MB/s | anonymous memory MiB |"
	print "|---|--:|--:|--:|--:|--:|--:|"
	for (i = split("frequency lru all", modes, " "); i; i--)
		order[i] = modes[i]
	for (i = 1; i <= 3; i++) {
		mode = order[i]
		if (median(mode, "steady", "ratio") < 0)
			continue
		printf "| %s | %s | %.0f | %s | %.0f |\n", mode,
		       cell(mode, "steady"), median(mode, "whole", "mb_per_s"),
		       cell(mode, "after"), median(mode, "after", "rss")
	}
}
