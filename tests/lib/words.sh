# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# words.sh: what vdrive says on host a, asserted.  Sourced after host.sh.
#
#   works PATTERN WORD...         success, the pattern on stdout, nothing on
#                                 stderr
#   fails CODE PATTERN WORD...    a failure as operators are promised them, in
#                                 words and as JSON; hints PATTERN: what it says
#                                 to do
#   document SCHEMA FILTER WORD...  --json gives a document for which the filter
#                                 of jq holds
#   run WORD...                   code, $OUT, $ERR
OUT=$W/out
ERR=$W/err

show()
{
	sed 's/^/# out: /' "$OUT"
	sed 's/^/# err: /' "$ERR"
}

# tell TEXT CODE...: the commands' success is the test; shown if it fails
tell()
{
	tell_text=$1
	shift
	if "$@"; then ok "$tell_text"; else not_ok "$tell_text"; show; fi
}

# run WORD...: on host a; code, $OUT, $ERR
run()
{
	on a "$@" >"$OUT" 2>"$ERR"
	code=$?
}

# said CODE OUT ERR: patterns; "" is nothing at all
said()
{
	[ "$code" = "$1" ] && matches "$2" "$OUT" && matches "$3" "$ERR"
}

matches()	# PATTERN FILE
{
	if [ -n "$1" ]; then grep -qE -e "$1" "$2"; else [ ! -s "$2" ]; fi
}

# works PATTERN WORD...: success, and PATTERN on stdout, nothing on stderr
works()
{
	pattern=$1
	shift
	run "$@"
	tell "vdrive $*" said 0 "$pattern" ""
}

# fails CODE PATTERN WORD...: a failure as above; the hint is any of the two
fails()
{
	want_code=$1 pattern=$2
	shift 2
	run "$@"
	tell "vdrive $* fails with $want_code" \
		failed_well "$want_code" "$pattern" "$@"
}

failed_well()	# CODE PATTERN WORD...
{
	well_code=$1 well_pattern=$2
	shift 2
	said "$well_code" "" "^vdrive: .*$well_pattern" &&
		grep -qE '^  (try|did you mean|columns): .' "$ERR" &&
		fails_as_json "$well_code" "$@"
}

fails_as_json()
{
	json_code=$1
	shift
	on a --json "$@" >"$W/json.out" 2>"$W/json.err"
	[ $? = "$json_code" ] && [ ! -s "$W/json.out" ] &&
		jq -es --argjson code "$json_code" 'last | .type == "error" and
			.code == $code and (.message | length) > 0 and
			(.hint | length) > 0' "$W/json.err" >/dev/null
}

# hints PATTERN: what the last failure says to do
hints()
{
	tell "  and says: $1" grep -qE -e "^  .*$1" "$ERR"
}

# document SCHEMA FILTER WORD...: --json gives a document for which FILTER holds
document()
{
	schema=$1 filter=$2
	shift 2
	run --json "$@"
	tell "vdrive --json $*" is_document "$schema" "$filter"
}

is_document()
{
	[ "$code" = 0 ] && jq -es --arg schema "$1" \
		"last | .schema == \$schema and ($2)" "$OUT" >/dev/null
}
