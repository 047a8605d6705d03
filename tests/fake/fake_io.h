/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_io: depot/io.c with a fault to order.  Linked in place of io.o.  All
 * does the real work but one call, which fails without having done anything.
 *
 * The sweep:
 *	for (n = 1;; n++) {
 *		fake_io_fail_at(n, EIO);
 *		rc = thing_do(thing);
 *		if (!fake_io_failed())
 *			break;	// fewer than n calls: rc must be 0
 *		// rc must be -EIO, the object as before
 *	}
 */
#ifndef TESTS_FAKE_FAKE_IO_H
#define TESTS_FAKE_FAKE_IO_H

#include "depot/base.h"

/*
 * Fail the n-th io_ call from now (1: the next) with -err, once; 0: none.
 * Starts counting again.
 */
void fake_io_fail_at(unsigned int n, int err);
/* From then on, as from a full or dying disk: fail all calls that change
 * something, beginning with the n-th call; fake_io_fail_at() ends it. */
void fake_io_fail_from(unsigned int n, int err);
/* io_ calls since the last fake_io_fail_at() or fake_io_fail_from(). */
unsigned int fake_io_calls(void);
/* Whether the ordered fault has struck. */
bool fake_io_failed(void);

#endif
