# SPDX-License-Identifier: Apache-2.0
#
# compare.awk DEVIATIONS RESULTS: suites.sh's judge.  A check is passed, failed
# as expected, or failed; an expected failure that does not happen in a unit
# that was run is a failure, too.

function unit_of(check) {
	sub(/:[^:]*$/, "", check)
	return check
}

function suite_of(unit) {
	sub(/\/.*/, "", unit)
	return unit
}

function complain(check, why) {
	print "not ok " check ": " why
	unexpected[suite_of(check)]++
}

FNR == NR && (/^#/ || NF == 0) { next }

FNR == NR {
	unit = unit_of($1)
	count = split(substr($1, length(unit) + 2), numbers, ",")
	if (NF < 4 || count == 0)
		complain($1, "no reason in the list of deviations")
	for (i = 1; i <= count; i++)
		expected[unit ":" numbers[i]] = 1
	next
}

$1 == "ran" {
	ran[$2] = 1
	suite = suite_of($2)
	units[suite]++
	checks[suite] += $3
	time[suite] += $4
}

$1 == "bad" {
	bad[$2] = 1
	suite = suite_of($2)
	if ($2 !~ /:plan$/)
		failures[suite]++
	if ($2 in expected) {
		deviations[suite]++
	} else {
		check = $2
		sub(/^bad [^ ]* /, "")
		complain(check, $0)
	}
}

END {
	for (check in expected)
		if (unit_of(check) in ran && !(check in bad))
			complain(check, "passes; deviations says it fails")
	for (suite in units) {
		good = checks[suite] - failures[suite]
		printf "%s: %d checks in %d units: %d passed, %d failed as" \
			" expected, %d not expected (%d s of work)\n", suite,
			checks[suite], units[suite], good, deviations[suite],
			unexpected[suite], time[suite]
		passed += good
		all_expected += deviations[suite]
	}
	for (suite in unexpected)
		failed += unexpected[suite]
	print "total", passed + 0, failed + 0, all_expected + 0
}
