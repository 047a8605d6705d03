#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# va.sh: a very short run of the benchmark against virtual appliances, as a test:
# real guests start nginx from an image and from the drive, and the samples say
# what can be known beforehand.  `make bench-va`; CACHE keeps images.
set -u
. tests/lib/host.sh
B=$PWD/${B#"$PWD/"}
VDRIVE_BENCH_JSON=$W/run.json

"$B/vdrive" bench run --app nginx --variants copyz,local,drive,live \
	--states cold,warm --runs 1 --seed 1 --cache "$CACHE" \
	-o "$VDRIVE_BENCH_JSON"
check "six starts in real guests" [ $? = 0 ]

# holds TEXT FILTER: of the document
holds()
{
	check "$1" sh -c 'jq -e "$1" "$2" >/dev/null' sh "
		def of(c): .results[] | select(.command == \"nginx/\" + c);
		$2" "$VDRIVE_BENCH_JSON"
}

holds "all of them are there" '[.results[].command] | length == 6'
holds "phases add up to the time" '[.results[] |
	((.phases | map(.[0]) | add) - .times[0]) | fabs < 0.01] | all'
holds "only the drive is mounted" '[.results[] |
	(.command | test("drive|live")) == (.phases | has("mounted"))] | all'
holds "only a guest that is up does not boot" '[.results[] |
	(.command | contains("live")) != (.phases | has("kernel"))] | all'
holds "a local image moves nothing" 'of("local").bytes[0] < 100000'
holds "a copied one all of it" 'of("copyz").bytes[0] > 50000000'
holds "the cold drive a part of the software" \
	'of("drive/cold").bytes[0] | . > 200000 and . < 5000000'
holds "the warm one nothing" 'of("drive/warm").bytes[0] < 100000'
holds "into a guest that is up it comes sooner than by a copy and a boot" \
	'of("live/cold").median < of("copyz").median'
holds "it brings the same" \
	'of("live/cold").bytes[0] | . > 200000 and . < 5000000'
holds "copying takes as long as the link needs" \
	'of("copyz") | .phases.image[0] >= .bytes[0] * 8 / 100e6 * 0.9'
finish bench-va
