/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultrelay: one client connection of the fault proxy: HTTP/1.1 requests, each
 * passed on to the real server over a connection of its own, and its answer
 * passed back as faultrule.h says.
 *
 * Round trips: a connection's first request and every answer are held back by
 * rtt_ms; once an answer flows it flows as fast as the link lets it, as it
 * would over a long line.  A rule's `delay` comes on top.
 *
 * Not for requests with a chunked body; answers may be anything.
 */
#ifndef TESTS_LIB_FAULTRELAY_H
#define TESTS_LIB_FAULTRELAY_H

#include <sys/socket.h>

#include "depot/base.h"

enum { FAULTRELAY_HEAD_MAX = 16 << 10 };

/* Once, before the first connection. */
void faultrelay_to(const struct sockaddr *server, socklen_t len);
void faultrelay_rtt(unsigned int ms);
/* Serve till one side ends it, or faultrelay_end(); takes fd. */
void faultrelay_serve(int fd);
/* All connections of now end; those of later are served. */
void faultrelay_end(void);
/* While frozen nothing moves on any connection. */
void faultrelay_freeze(bool frozen);
unsigned int faultrelay_count(void); /* connections being served */

#endif
