/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ignore_quota: the gate of evict that always has room, whatever the files
 * take: for the control of test_store_evict.
 */
#define BROKEN_IGNORE_QUOTA 1
#include "depot/evict_gate.c"
