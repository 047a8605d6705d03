/* SPDX-License-Identifier: Apache-2.0 */
/*
 * killpoint: places where a build of the kill test can die (make KILLPOINTS=1).
 *
 * KILL_POINT("name") is nothing in any other build.  In that one each pass may
 * raise SIGKILL on the process, as the environment says:
 *
 *   VDRIVE_KILL=op-written:97          one pass in 97, on average
 *   VDRIVE_KILL=op-written:97,*:500    * is every point not named before it
 *   VDRIVE_KILL_SEED=n                 which passes; 1 when absent
 *
 * Whether the k-th pass of a rule dies follows from seed, name and k alone,
 * whatever the threads do.  Rules and seed are printed at the first pass, the
 * point and the pass at the death, both to stderr.
 */
#ifndef DEPOT_KILLPOINT_H
#define DEPOT_KILLPOINT_H

#ifdef KILLPOINTS
void kill_point(const char *name); /* any thread, any locks held */
#define KILL_POINT(name) kill_point(name)
#else
#define KILL_POINT(name) ((void)0)
#endif

#endif
