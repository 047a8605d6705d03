#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# prepare.sh: what the rows about depots need from the network: Debian packages
# (corpus.sh), and for ROWS=cold the image of the guest that records starts.
# Done once: everything stays in build/.
set -eu
cd "$(dirname "$0")/../.."
. tests/bench/corpus.sh
corpus_make || {
	echo "bench: no corpus: has apt-get update run?" >&2
	exit 1
}
case " ${ROWS:-} " in
*" cold "*) sh tests/guest/image.sh "${GUEST_CACHE:-$PWD/build/guest}" ;;
esac
