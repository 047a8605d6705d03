/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk: calls one at a time, over a connection of their own: what a generator
 * must know or make before its run, and proofs after it.
 *
 * As in reply.h, whatever is not as it should be ends the program.
 */
#ifndef BENCH_TALK_H
#define BENCH_TALK_H

#include "wire.h"

enum {
	TALK_EXPORT_MAX = 1024,   /* bytes, as RFC 1813 has it */
	TALK_READ_LEN = 64 << 10, /* of data in a call or a reply, at most */
	TALK_HEAD_MAX = 1024,     /* bytes of either without the data */
};

struct talk_server {
	const char *address; /* IPv4, dotted */
	uint16_t nfs_port;
	uint16_t mount_port;
	const char *export;
	const char *hot_path; /* both below the export's root */
	const char *dir_path;
};

/* One connection and the one exchange that goes over it at a time. */
struct talk {
	int fd;
	uint32_t xid;
	uint8_t call[TALK_READ_LEN + 2 * TALK_HEAD_MAX];
	uint8_t *args; /* into `call`: where the next argument goes */
	uint8_t reply[TALK_READ_LEN + TALK_HEAD_MAX];
};

/* A connection, blocking; the caller owns it. */
int talk_connect(const struct talk_server *server, uint16_t port);

struct talk *talk_open(const struct talk_server *server, uint16_t port);
void talk_close(struct talk *talk); /* takes talk */

/* A call begins: its arguments are to be written at talk->args. */
void talk_begin(struct talk *talk, uint32_t prog, uint32_t proc);

/* Send the call whose arguments end at talk->args; its results come back,
 * behind the status, which was OK. */
struct wire_in talk_call(struct talk *talk, const char *what);

#endif
