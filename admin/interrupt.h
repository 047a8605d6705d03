/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt: SIGINT, SIGTERM and SIGHUP as a question that loops ask, so that
 * a command which is stopped leaves no temporary files.  A second signal ends
 * the program at once.
 */
#ifndef ADMIN_INTERRUPT_H
#define ADMIN_INTERRUPT_H

#include "depot/base.h"

void interrupt_setup(void);
bool interrupt_seen(void);

#endif
