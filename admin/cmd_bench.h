/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_bench: what the commands of `vdrive bench` share.
 */
#ifndef ADMIN_CMD_BENCH_H
#define ADMIN_CMD_BENCH_H

#include "admin/cmd.h"

/* What admin/bench knows, blanks around each. */
#define BENCH_APPS     " nginx postgresql openjdk libreoffice five "
#define BENCH_VARIANTS " copy copyz stream streamz local drive run root live "
#define BENCH_STATES   " cold plan warm "
/* The program of results that are no starts. */
#define BENCH_RUN_TIME "run-time"

/* A line for each result: samples, p50, p95. */
void bench_show(struct cli *cli, const json_t *json);

#endif
