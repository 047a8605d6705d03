# SPDX-License-Identifier: Apache-2.0
#
# table_storage.awk: samples of rows_storage.sh into a table.

/"releases":/ {
	name = text("server")
	if (!(name in seen)) {
		seen[name] = 1
		names[++name_count] = name
	}
	n = number("releases")
	bytes[name, n] = number("bytes")
	cpu[name, n] = number("cpu_s")
	if (name == "vdrive")
		for (i = split("packs index trees", part, " "); i; i--)
			of[part[i], n] = number(part[i])
}

/"release":/ {
	corpus = corpus sprintf("%s%s: %d files, %.2f GB; %d distinct, %.2f GB",
				corpus ? "; " : "", text("release"),
				number("files"), number("bytes") / 1e9,
				number("distinct"),
				number("distinct_bytes") / 1e9)
}

function mb(x) {
	return x ? sprintf("%.1f", x / 1e6) : "-"
}

function times(name, n) {
	return bytes["vdrive", n] && bytes[name, n] ? \
	       sprintf("%.3f", bytes[name, n] / bytes["vdrive", n]) : "-"
}

END {
	print "| format | MB, one release | / vdrive | CPU s | MB, two | / vdrive | CPU s |"
	print "|---|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= name_count; i++) {
		name = names[i]
		printf "| %s | %s | %s | %.0f | %s | %s | %.0f |\n", name,
		       mb(bytes[name, 1]), times(name, 1), cpu[name, 1],
		       mb(bytes[name, 2]), times(name, 2), cpu[name, 2]
	}
	printf "\nOf vdrive's, one release and two: packs %s and %s MB, ",
	       mb(of["packs", 1]), mb(of["packs", 2])
	printf "trees %s and %s, indexes %s and %s.\n", mb(of["trees", 1]),
	       mb(of["trees", 2]), mb(of["index", 1]), mb(of["index", 2])
	print "Corpus: " corpus "."
}
