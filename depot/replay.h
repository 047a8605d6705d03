/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay: what a cache of some size would have answered of an access trace
 * (format.h, struct format_trace), by the rule of this house, with its own code
 * (usage.h), and by others beside it.
 *
 * REPLAY_BEST knows the future: it drops what is read again last, and lets a
 * newcomer pass that would be that one.  With chunks of one length no rule can
 * do better; with several it is a good mark rather than a bound.
 */
#ifndef DEPOT_REPLAY_H
#define DEPOT_REPLAY_H

#include "depot/base.h"

enum replay_policy {
	REPLAY_OURS,
	REPLAY_LRU,
	REPLAY_FIFO,
	REPLAY_BEST,
	REPLAY_POLICY_COUNT,
};

struct replay_trace;

/* -EBADMSG: no trace, or cut off within a record; -EPROTONOSUPPORT; -EFBIG:
 * more than trace.h allows; errors of reading. */
MUST_CHECK int replay_open(const char *path, struct replay_trace **trace);
void replay_close(struct replay_trace *trace); /* takes; NULL allowed */

struct replay_shape {
	uint64_t reads, read_bytes;
	uint64_t chunks, chunk_bytes; /* different ones: the footprint */
	unsigned int tenants;
	uint64_t time_us; /* from the first to the last */
};
void replay_get_shape(const struct replay_trace *trace,
		      struct replay_shape *shape);

struct replay_result {
	uint64_t hits, hit_bytes;
};
/* A cache of bytes_max that begins empty.  -ENOMEM. */
MUST_CHECK int replay_run(const struct replay_trace *trace,
			  enum replay_policy policy, uint64_t bytes_max,
			  struct replay_result *result);

#endif
