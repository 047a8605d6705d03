/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_guest: a made-up guest: sends a sequence of NFS calls through the whole
 * RPC half of a worker (rpc.h, no sockets) to a view, fake or real, and keeps
 * a model of the tree that must come of it.  All handles are from earlier
 * replies.
 *
 * A step is GUEST_STEP bytes: what to call, a known object, a name, a second
 * object, a second name, and three choices (amounts, places, ways).  Any bytes
 * are steps, so that any change of an input is one of a call.
 *
 * Every reply must decode to its last byte, hold no more than was asked for,
 * and carry a status that its procedure may have; a call succeeds exactly when
 * it does in the model (but for what needs room), and attributes, data, targets
 * and listings are the model's.  A call sent again gets the same bytes.  What
 * is not so prints a line and aborts.
 */
#ifndef TESTS_FAKE_FAKE_GUEST_H
#define TESTS_FAKE_FAKE_GUEST_H

#include "depot/base.h"
#include "overlay/site.h"
#include "overlay/view.h"

enum { GUEST_STEP = 8, GUEST_STEPS_MAX = 128 };

struct guest;

/* Both are borrowed, until guest_free(). */
struct guest *guest_new(struct site *site, struct view *view);
void guest_free(struct guest *guest);

/*
 * The tree has this already; parents first, with names of guest_name().  A
 * regular file holds `len` bytes of `data`; a link's target is `data`.
 */
void guest_has(struct guest *guest, const char *path, uint32_t mode,
	       const void *data, size_t len);
/* One of the names that steps use. */
const char *guest_name(unsigned int i);

/* Run the steps in [data, data + len); what is left over is ignored. */
void guest_run(struct guest *guest, const uint8_t *data, size_t len);
/* Compare the whole tree with the model, by calls. */
void guest_check(struct guest *guest);
/* COMMIT all files: what was written unstable must then outlive the server. */
void guest_sync(struct guest *guest);
/* The server was started anew: everything in the model is still so. */
void guest_restart(struct guest *guest, struct site *site, struct view *view);

/* libFuzzer's mutator, by whole steps. */
size_t guest_mutate(uint8_t *data, size_t size, size_t max_size,
		    unsigned int seed);

#endif
