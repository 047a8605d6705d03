/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk: one exchange at a time with a server; see talk.h.
 */
#include "talk.h"

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reply.h"

int talk_connect(const struct talk_server *server, uint16_t port)
{
	static const char congestion[] = "reno";
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	if (inet_pton(AF_INET, server->address, &addr.sin_addr) != 1)
		errx(2, "%s is no IPv4 address", server->address);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
		   sizeof(congestion) - 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "%s:%u", server->address, port);
	return fd;
}

struct talk *talk_open(const struct talk_server *server, uint16_t port)
{
	struct talk *talk = calloc(1, sizeof(*talk));

	if (!talk)
		err(1, "set-up");
	talk->fd = talk_connect(server, port);
	return talk;
}

void talk_close(struct talk *talk)
{
	close(talk->fd);
	free(talk);
}

static void talk_receive(struct talk *talk, uint8_t *p, size_t len)
{
	while (len) {
		ssize_t got = recv(talk->fd, p, len, 0);

		if (got <= 0)
			errx(1, "set-up: the server hung up");
		p += got;
		len -= (size_t)got;
	}
}

void talk_begin(struct talk *talk, uint32_t prog, uint32_t proc)
{
	talk->args = wire_call_head(talk->call, prog, proc);
}

/* Send the call whose arguments end at talk->args; its results come back. */
struct wire_in talk_call(struct talk *talk, const char *what)
{
	size_t call_len = (size_t)(talk->args - talk->call), len = 0;
	struct wire_in in;
	uint32_t mark = 0;

	wire_call_seal(talk->call, talk->args, ++talk->xid);
	if (send(talk->fd, talk->call, call_len, MSG_NOSIGNAL) !=
	    (ssize_t)call_len)
		err(1, "%s: send", what);
	while (!(mark & RPC_LAST_FRAGMENT)) {
		size_t part;

		talk_receive(talk, (uint8_t *)&mark, sizeof(mark));
		mark = be32toh(mark);
		part = mark & ~RPC_LAST_FRAGMENT;
		if (part > sizeof(talk->reply) - len)
			errx(1, "%s: reply too long", what);
		talk_receive(talk, talk->reply + len, part);
		len += part;
	}
	in = (struct wire_in){.p = talk->reply, .end = talk->reply + len};
	if (wire_get32(&in) != talk->xid)
		errx(1, "%s: answer to another call", what);
	reply_accepted(&in, what);
	reply_status(&in, what);
	return in;
}
