# SPDX-License-Identifier: Apache-2.0
#
# table_cold.awk: samples of rows_cold.sh into three tables: what a start
# fetches, how long it takes, and the whole package.

/"server":/ {
	program = text("program")
	where = program SUBSEP number("mbit") SUBSEP number("rtt_ms")
	keep("seconds")
	keep("packs")
	keep("named")
	keep("tree")
	keep("index")
	keep("plan")
	keep("ahead")
	keep("ahead_used")
	keep("planned")
	keep("planned_used")
	keep("filled")
	keep("assign_s")
	keep("read_bytes")
	keep("cpu_s")
	if (!(program in program_seen)) {
		program_seen[program] = 1
		programs[++program_count] = program
	}
	link = number("mbit") SUBSEP number("rtt_ms")
	if (!(link in link_seen)) {
		link_seen[link] = 1
		links[++link_count] = link
	}
	if (text("sum") != "" && text("server") != "whole") {
		if (program in sum && sum[program] != text("sum"))
			wrong++
		sum[program] = text("sum")
	}
}

function mb(x) {
	return x < 0 ? "-" : sprintf("%.2f", x / 1e6)
}

function s(x) {
	return x < 0 ? "-" : sprintf("%.3f", x)
}

# packs less what was fetched without being asked for
function demand(mode, where) {
	return median(mode, where, "packs") - median(mode, where, "ahead") - \
	       median(mode, where, "planned") - median(mode, where, "filled")
}

function of(mode, where, name, used) {
	return median(mode, where, name) > 0 ? \
	       mb(median(mode, where, name)) " (" \
	       mb(median(mode, where, used)) ")" : "0"
}

function bytes_row(program, mode, where, packs, named) {
	packs = median(mode, where, "packs")
	named = median(mode, where, "named")
	if (packs < 0)
		return
	printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
	       program, mode, mb(median(mode, where, "read_bytes")), mb(packs),
	       mb(named), ratio(packs, named),
	       ratio(demand(mode, where), named),
	       of(mode, where, "ahead", "ahead_used"),
	       of(mode, where, "planned", "planned_used"),
	       mb(median(mode, where, "filled")),
	       mb(median(mode, where, "plan")), mb(median(mode, where, "tree")),
	       mb(median(mode, where, "index"))
}

function time_row(program, link, where, field, cold, fill, plan, warm, copy,
		  packs, bound) {
	where = program SUBSEP link
	split(link, field, SUBSEP)
	cold = median("cold", where, "seconds")
	fill = median("fill", where, "seconds")
	plan = median("plan", where, "seconds")
	warm = median("warm", where, "seconds")
	copy = median("copy", where, "seconds")
	packs = median("plan", where, "planned")
	bound = plan < 0 ? -1 : warm + 1.15 * packs * 8 / field[1] / 1e6 + \
				3 * field[2] / 1000
	printf "| %s | %s Mbit/s, %s ms | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
	       program, field[1], field[2], s(warm), s(cold), s(fill),
	       s(copy + warm), ratio(cold, copy + warm),
	       ratio(fill, copy + warm), s(plan), s(bound),
	       s(median("cold", where, "assign_s"))
}

function whole_row(program, link, where, field, packs, seconds, copy, curl) {
	where = program SUBSEP link
	seconds = median("whole", where, "seconds")
	if (seconds <= 0)
		return
	split(link, field, SUBSEP)
	packs = median("whole", where, "packs")
	copy = median("copy", where, "seconds")
	curl = median("copy", where, "packs")
	printf "| %s | %s Mbit/s, %s ms | %s | %s | %.1f | %.1f | %s | %.2f |\n",
	       program, field[1], field[2],
	       mb(median("whole", where, "read_bytes")), mb(packs),
	       packs / seconds / 1e6, curl / copy / 1e6,
	       ratio(packs / seconds, curl / copy),
	       median("whole", where, "cpu_s") * 1e8 / packs
}

END {
	print "| program | start | MB read | of packs | named by READs | ratio | asked for / named | ahead (used) | planned (used) | filled | plan | tree | index |"
	print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= program_count; i++)
		for (k = 1; k <= split("cold fill plan", mode, " "); k++)
			bytes_row(programs[i], mode[k],
				  programs[i] SUBSEP links[1])
	print "\n| program | link | warm s | cold s | with fill | copy, then start | cold / that | fill / that | with a plan | at most | assign s |"
	print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= program_count; i++)
		for (k = 1; k <= link_count; k++)
			time_row(programs[i], links[k])
	print "\n| whole package | link | MB read | of packs | MB/s | curl | ratio | CPU s per 100 MB |"
	print "|---|---|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= program_count; i++)
		for (k = 1; k <= link_count; k++)
			whole_row(programs[i], links[k])
	if (wrong)
		printf "\nWRONG: %d samples read other bytes.\n", wrong
}
