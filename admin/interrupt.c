/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt: see interrupt.h.
 */
#include "admin/interrupt.h"

#include <signal.h>

static volatile sig_atomic_t interrupt_flag;

static void interrupt_catch(int signo UNUSED)
{
	interrupt_flag = 1;
}

void interrupt_setup(void)
{
	struct sigaction action = {.sa_handler = interrupt_catch};

	/* RESETHAND: the second one is the default's, death.  No RESTART: a
	 * waiting call must come back. */
	action.sa_flags = (int)SA_RESETHAND;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool interrupt_seen(void)
{
	return interrupt_flag != 0;
}
