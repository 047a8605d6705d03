/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: which chunks were read, when, by which tenant, how long: to a file,
 * for `vdrive cache replay`.  Names are hashed with a key of the recording,
 * which nobody keeps: a trace tells nothing about content or customers.
 *
 * Costs one load a chunk while nobody records.  Thread-safe.
 */
#ifndef DEPOT_TRACE_H
#define DEPOT_TRACE_H

#include "depot/base.h"
#include "depot/digest.h"

struct trace;

enum { TRACE_RECORDS_MAX = 64 << 20 }; /* of one file: 1.5 GiB; then no more */

struct trace *trace_new(void);        /* NULL: no memory */
void trace_free(struct trace *trace); /* nobody records; takes; NULL allowed */

/* Record to fd, borrowed until trace_stop().  -EBUSY: somebody does already. */
MUST_CHECK int trace_start(struct trace *trace, int fd);
/* -ENOSPC and such: the file is cut short.  *records: how many it has. */
MUST_CHECK int trace_stop(struct trace *trace, uint64_t *records);

bool trace_is_on(const struct trace *trace);
/* One access; quick, may write 64 KiB to the file. */
void trace_note(struct trace *trace, const struct digest *name, uint32_t who,
		size_t len);

#endif
