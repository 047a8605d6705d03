# SPDX-License-Identifier: Apache-2.0
#
# table_lib.awk: flat JSON objects, a line each, into medians and short numbers;
# for the other table_*.awk, given to awk before them.

function number(name) {
	if (!match($0, "\"" name "\":[^,}]*"))
		return 0
	return substr($0, RSTART + length(name) + 3,
		      RLENGTH - length(name) - 3) + 0
}

function text(name) {
	if (!match($0, "\"" name "\":\"[^\"]*"))
		return ""
	return substr($0, RSTART + length(name) + 4,
		      RLENGTH - length(name) - 4)
}

# Keep a value of this sample: list[key, 1 ..], how many in count[key].
function keep(name, key) {
	key = text("server") SUBSEP where SUBSEP name
	list[key, ++count[key]] = number(name)
}

# Sort list[key, 1 ..] in place; a handful of rounds.
function sort(key, i, k, value) {
	for (i = 2; i <= count[key]; i++) {
		value = list[key, i]
		for (k = i - 1; k > 0 && list[key, k] > value; k--)
			list[key, k + 1] = list[key, k]
		list[key, k + 1] = value
	}
}

function median(server, where, name, key, n) {
	key = server SUBSEP where SUBSEP name
	n = count[key]
	if (!n)
		return -1
	sort(key)
	if (n % 2)
		return list[key, (n + 1) / 2]
	return (list[key, n / 2] + list[key, n / 2 + 1]) / 2
}

# (max - min) / median
function spread(server, where, name, key, middle) {
	key = server SUBSEP where SUBSEP name
	middle = median(server, where, name)
	if (middle <= 0)
		return -1
	return (list[key, count[key]] - list[key, 1]) / middle
}

function short(x) {
	if (x < 0)
		return "-"
	return sprintf(x < 1 ? "%.2f" : x < 100 ? "%.1f" : "%.0f", x)
}

function rate(x) {
	if (x < 0)
		return "-"
	if (x < 10000)
		return sprintf("%.0f", x)
	return sprintf(x < 100000 ? "%.1fk" : "%.0fk", x / 1000)
}

function ratio(a, b) {
	return a < 0 || b <= 0 ? "-" : sprintf(a < 10 * b ? "%.2f" : "%.0f",
					       a / b)
}

function ops(server, where, gbytes) {
	gbytes = median(server, where, "mb_per_s") / 1000
	return rate(median(server, where, "ops_per_s")) \
	       (gbytes > 0 ? sprintf(" (%.2f GB/s)", gbytes) : "")
}

function latency(server, where) {
	return short(median(server, where, "p50_us")) " / " \
	       short(median(server, where, "p99_us"))
}
