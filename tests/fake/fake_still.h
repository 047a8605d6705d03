/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_still: overlay/still.c whose view_still() fails when it is told to, as
 * after thirty seconds in which a disk has taken nothing.
 */
#ifndef TESTS_FAKE_FAKE_STILL_H
#define TESTS_FAKE_FAKE_STILL_H

#include "depot/base.h"

/* From now on: -EIO (true), or what it does (false). */
void fake_still_fail(bool fail);

#endif
