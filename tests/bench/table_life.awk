# SPDX-License-Identifier: Apache-2.0
#
# table_life.awk: samples of rows_life.sh into a table, each figure beside what
# it is to reach.

{
	keep("ms")
	keep("cpu_ms")
	keep("longest_ms")
	keep("all_ms")
}

/"server":"image/ {
	objects = number("objects")
}

/"exports":/ {
	each = (number("after_kb") - number("before_kb")) / number("exports")
	open = (number("mounted_kb") - number("before_kb")) / number("exports")
}

function row(what, value, aim) {
	print "| " what " | " value " | " aim " |"
}

function ms(server, name) {
	return short(median(server, "", name)) " ms"
}

END {
	print "| | median | aim |"
	print "|---|--:|--:|"
	row("plain install", ms("plain", "ms"), "")
	row("the same by capture", ms("capture", "ms") ", " \
	    ratio(median("capture", "", "ms"), median("plain", "", "ms")) " x", "reported")
	row("image of " objects " names, one package", ms("image", "ms") " (CPU " ms("image", "cpu_ms") ")", "< 300 ms")
	row("the same, four packages that share directories", ms("image4", "ms") " (CPU " ms("image4", "cpu_ms") ")", "< 300 ms")
	row("the same, one flat directory", ms("imageflat", "ms") " (CPU " ms("imageflat", "cpu_ms") ")", "< 300 ms")
	row("assign of it, while a guest looks names up", ms("assign", "ms"), "")
	row("longest lookup meanwhile", ms("assign", "longest_ms"), "answered")
	row("assign to 100 mounted guests", ms("assign100", "ms"), "< 1 s")
	row("until the last sees it", ms("assign100", "all_ms"), "< 1 s")
	row("switch of 100 mounted guests with deltas", ms("switch100", "ms"), "< 1 s")
	row("until the last sees it", ms("switch100", "all_ms"), "< 1 s")
	row("memory for an idle export", sprintf("%.1f KiB", each), "< 64 KiB")
	row("while it has a connection", sprintf("%.1f KiB", open), "")
}
