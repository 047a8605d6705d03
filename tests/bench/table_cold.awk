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
	keep("assign_s")
	keep("read_bytes")
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

function bytes_row(program, mode, where, packs, named) {
	packs = median(mode, where, "packs")
	named = median(mode, where, "named")
	if (packs < 0)
		return
	printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
	       program, mode, mb(median(mode, where, "read_bytes")), mb(packs),
	       mb(named), ratio(packs, named), mb(median(mode, where, "ahead")),
	       mb(median(mode, where, "plan")), mb(median(mode, where, "tree")),
	       mb(median(mode, where, "index"))
}

function time_row(program, link, where, field, cold, plan, warm, copy, packs,
		  bound) {
	where = program SUBSEP link
	split(link, field, SUBSEP)
	cold = median("cold", where, "seconds")
	plan = median("plan", where, "seconds")
	warm = median("warm", where, "seconds")
	copy = median("copy", where, "seconds")
	packs = median("plan", where, "packs")
	bound = plan < 0 ? -1 : warm + 1.15 * packs * 8 / field[1] / 1e6 + \
				3 * field[2] / 1000
	printf "| %s | %s Mbit/s, %s ms | %s | %s | %s | %s | %s | %s | %s |\n",
	       program, field[1], field[2], s(warm), s(cold), s(plan), s(bound),
	       s(copy + warm), ratio(cold, copy + warm),
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
	printf "| %s | %s Mbit/s, %s ms | %s | %s | %.1f | %.1f | %s |\n",
	       program, field[1], field[2],
	       mb(median("whole", where, "read_bytes")), mb(packs),
	       packs / seconds / 1e6, curl / copy / 1e6,
	       ratio(packs / seconds, curl / copy)
}

END {
	print "| program | start | MB read | of packs | named by READs | ratio | read ahead | plan | tree | index |"
	print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= program_count; i++) {
		bytes_row(programs[i], "cold", programs[i] SUBSEP links[1])
		bytes_row(programs[i], "plan", programs[i] SUBSEP links[1])
	}
	print "\n| program | link | warm s | cold s | with a plan | at most | copy, then start | cold / that | assign s |"
	print "|---|---|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= program_count; i++)
		for (k = 1; k <= link_count; k++)
			time_row(programs[i], links[k])
	print "\n| whole package | link | MB read | of packs | MB/s | curl | ratio |"
	print "|---|---|--:|--:|--:|--:|--:|"
	for (i = 1; i <= program_count; i++)
		for (k = 1; k <= link_count; k++)
			whole_row(programs[i], links[k])
	if (wrong)
		printf "\nWRONG: %d samples read other bytes.\n", wrong
}
