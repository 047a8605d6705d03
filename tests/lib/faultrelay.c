/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultrelay: a thread per connection, which blocks where the fault says so.
 */
#include "tests/lib/faultrelay.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "tests/lib/faultrule.h"

enum {
	RELAY_BUF = 256 << 10,
	RELAY_STEP_MS = 50, /* between two looks at whether to go on */
	RELAY_TRICKLE_MS = 100,
	RELAY_FOREVER_MS = 1 << 30,
	RELAY_LONG_MAX = 1 << 20, /* bytes that a `long` answer adds */
};

static struct sockaddr_storage relay_server;
static socklen_t relay_server_len;
static atomic_uint relay_rtt_ms, relay_epoch, relay_conns;
static atomic_bool relay_frozen;

struct relay {
	int client, server;
	unsigned int epoch;
	bool first;         /* no request has come yet */
	bool client_closes; /* it said Connection: close */
	size_t at, have;    /* of buf, from the client: not yet used */
	char *buf;          /* owns; RELAY_BUF */
	char *body;         /* owns; RELAY_BUF */
	int pipe[2];        /* owns; what is not spoilt goes through it */
};

/* What one request asks for. */
struct relay_ask {
	char head[FAULTRELAY_HEAD_MAX];
	size_t head_len;
	char method[16], path[2048];
	bool ranged;
	uint64_t from, to; /* bytes, both included */
	uint64_t body_len;
	struct fault_rule rule;
};

struct relay_answer {
	char head[FAULTRELAY_HEAD_MAX];
	size_t head_len;
	char early[FAULTRELAY_HEAD_MAX]; /* body that came with the head */
	size_t early_len;
	bool known;   /* the length is */
	uint64_t len; /* of the body, as the server says it */
};

void faultrelay_to(const struct sockaddr *server, socklen_t len)
{
	ASSERT(len <= sizeof(relay_server));

	memcpy(&relay_server, server, len);
	relay_server_len = len;
}

void faultrelay_rtt(unsigned int ms)
{
	atomic_store(&relay_rtt_ms, ms);
}

void faultrelay_end(void)
{
	atomic_fetch_add(&relay_epoch, 1);
}

void faultrelay_freeze(bool frozen)
{
	atomic_store(&relay_frozen, frozen);
}

unsigned int faultrelay_count(void)
{
	return atomic_load(&relay_conns);
}

/* --- waiting ------------------------------------------------------------- */

static bool relay_over(const struct relay *relay)
{
	return atomic_load(&relay_epoch) != relay->epoch;
}

static uint64_t relay_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* false: the client has gone, or all are to end. */
static bool relay_pause(struct relay *relay, uint64_t ms)
{
	uint64_t end = relay_now_ms() + ms, now;

	while ((now = relay_now_ms()) < end || atomic_load(&relay_frozen)) {
		struct pollfd p = {.fd = relay->client, .events = POLLRDHUP};
		uint64_t left = now < end ? end - now : RELAY_STEP_MS;

		if (poll(&p, 1, (int)MIN(left, (uint64_t)RELAY_STEP_MS)) > 0)
			return false;
		if (relay_over(relay))
			return false;
	}
	return true;
}

/* Till a socket is ready for `events`; false: all are to end. */
static bool relay_ready(struct relay *relay, int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	while (!relay_over(relay))
		if (poll(&p, 1, RELAY_STEP_MS) > 0)
			return !atomic_load(&relay_frozen) ||
			       relay_pause(relay, 0);
	return false;
}

/* Bytes as they come; 0: the end, or an error, or all are to end. */
static size_t relay_read(struct relay *relay, int fd, void *buf, size_t len)
{
	ssize_t got;

	if (!relay_ready(relay, fd, POLLIN))
		return 0;
	got = recv(fd, buf, len, 0);
	return got > 0 ? (size_t)got : 0;
}

static bool relay_write(struct relay *relay, int fd, const void *buf,
			size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t sent;

		if (!relay_ready(relay, fd, POLLOUT))
			return false;
		sent = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN)
			continue;
		if (sent <= 0)
			return false;
		p += sent;
		len -= (size_t)sent;
	}
	return true;
}

/* Like a read of up to `len` bytes and their writing, without copies; how many
 * that were, or 0. */
static size_t relay_splice(struct relay *relay, size_t len)
{
	ssize_t got, sent;

	if (!relay_ready(relay, relay->server, POLLIN))
		return 0;
	got = splice(relay->server, NULL, relay->pipe[1], NULL, len,
		     SPLICE_F_MOVE);
	for (ssize_t left = got; left > 0; left -= sent) {
		if (!relay_ready(relay, relay->client, POLLOUT))
			return 0;
		sent = splice(relay->pipe[0], NULL, relay->client, NULL,
			      (size_t)left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (sent < 0 && errno == EAGAIN)
			sent = 0;
		else if (sent <= 0)
			return 0;
	}
	return got > 0 ? (size_t)got : 0;
}

/* --- heads --------------------------------------------------------------- */

/* The end of the blank line, or NULL. */
static char *relay_head_end(char *head, size_t len)
{
	char *end = memmem(head, len, "\r\n\r\n", 4);

	return end ? end + 4 : NULL;
}

/* Value of a header, as text up to its line's end; NULL: none. */
static const char *relay_header(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = strstr(head, "\r\n"); p && p[2] != '\r';
	     p = strstr(p + 2, "\r\n"))
		if (strncasecmp(p + 2, name, len) == 0 && p[2 + len] == ':') {
			p += 3 + len;
			return p + strspn(p, " ");
		}
	return NULL;
}

/* Takes a header's line out. */
static void relay_drop(char *head, size_t *len, const char *name)
{
	const char *value = relay_header(head, name);
	char *line, *end;

	if (!value)
		return;
	line = head + (value - head);
	while (line[-1] != '\n')
		line--;
	end = strstr(line, "\r\n") + 2;
	memmove(line, end, *len - (size_t)(end - head) + 1);
	*len -= (size_t)(end - line);
}

static void relay_add(char *head, size_t *len, const char *line)
{
	int n;

	ASSERT(*len + strlen(line) + 3 < FAULTRELAY_HEAD_MAX);

	n = sprintf(head + *len - 2, "%s\r\n\r\n", line);
	*len += (size_t)n - 2;
}

/* A whole head from the client; false: none. */
static bool relay_ask_head(struct relay *relay, struct relay_ask *ask)
{
	char *end;

	for (;;) {
		end = relay_head_end(relay->buf + relay->at,
				     relay->have - relay->at);
		if (end)
			break;
		if (relay->at > 0) {
			memmove(relay->buf, relay->buf + relay->at,
				relay->have - relay->at);
			relay->have -= relay->at;
			relay->at = 0;
		}
		if (relay->have >= FAULTRELAY_HEAD_MAX / 2)
			return false;
		size_t got =
		    relay_read(relay, relay->client, relay->buf + relay->have,
			       RELAY_BUF - relay->have);

		if (got == 0)
			return false;
		relay->have += got;
	}
	ask->head_len = (size_t)(end - (relay->buf + relay->at));
	if (ask->head_len >= FAULTRELAY_HEAD_MAX / 2)
		return false;
	memcpy(ask->head, relay->buf + relay->at, ask->head_len);
	ask->head[ask->head_len] = '\0';
	relay->at += ask->head_len;
	return true;
}

static bool relay_ask_parse(struct relay *relay, struct relay_ask *ask)
{
	unsigned long long from, to;
	const char *value;

	if (sscanf(ask->head, "%15s %2047s HTTP/", ask->method, ask->path) != 2)
		return false;
	value = relay_header(ask->head, "Range");
	ask->ranged =
	    value && sscanf(value, "bytes=%llu-%llu", &from, &to) == 2;
	if (ask->ranged) {
		ask->from = from;
		ask->to = to;
	}
	value = relay_header(ask->head, "Content-Length");
	ask->body_len = value ? strtoull(value, NULL, 10) : 0;
	value = relay_header(ask->head, "Connection");
	relay->client_closes = value && strncasecmp(value, "close", 5) == 0;
	return !relay_header(ask->head, "Transfer-Encoding");
}

static bool relay_answer_parse(struct relay_answer *answer, bool no_body)
{
	const char *value = relay_header(answer->head, "Content-Length");

	answer->known = value || no_body;
	answer->len = value && !no_body ? strtoull(value, NULL, 10) : 0;
	return strncmp(answer->head, "HTTP/1.", 7) == 0;
}

/* --- the server's side --------------------------------------------------- */

static bool relay_connect(struct relay *relay)
{
	int one = 1;

	relay->server =
	    socket(relay_server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (relay->server < 0)
		return false;
	setsockopt(relay->server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connect(relay->server, (struct sockaddr *)&relay_server,
		       relay_server_len) == 0;
}

static bool relay_ask_body(struct relay *relay, uint64_t left)
{
	while (left > 0) {
		size_t here = relay->have - relay->at;

		if (here == 0) {
			relay->at = 0;
			relay->have = relay_read(relay, relay->client,
						 relay->buf, RELAY_BUF);
			here = relay->have;
			if (here == 0)
				return false;
		}
		here = MIN(here, left);
		if (!relay_write(relay, relay->server, relay->buf + relay->at,
				 here))
			return false;
		relay->at += here;
		left -= here;
	}
	return true;
}

static bool relay_send_ask(struct relay *relay, struct relay_ask *ask)
{
	char line[128];

	relay_drop(ask->head, &ask->head_len, "Connection");
	relay_drop(ask->head, &ask->head_len, "Expect");
	relay_add(ask->head, &ask->head_len, "Connection: close");
	if (ask->rule.kind == FAULT_WHOLE)
		relay_drop(ask->head, &ask->head_len, "Range");
	if (ask->rule.kind == FAULT_OTHER && ask->ranged) {
		relay_drop(ask->head, &ask->head_len, "Range");
		snprintf(line, sizeof(line), "Range: bytes=%llu-%llu",
			 (unsigned long long)ask->from +
			     (unsigned long long)ask->rule.delta,
			 (unsigned long long)ask->to +
			     (unsigned long long)ask->rule.delta);
		relay_add(ask->head, &ask->head_len, line);
	}
	return relay_write(relay, relay->server, ask->head, ask->head_len) &&
	       relay_ask_body(relay, ask->body_len);
}

static bool relay_get_answer(struct relay *relay, const struct relay_ask *ask,
			     struct relay_answer *answer)
{
	size_t have = 0, got, rest;
	char *end;

	for (;;) {
		got = relay_read(relay, relay->server, answer->head + have,
				 FAULTRELAY_HEAD_MAX - 1 - have);
		if (got == 0)
			return false;
		have += got;
		end = relay_head_end(answer->head, have);
		if (end && strncmp(answer->head, "HTTP/1.1 100", 12) == 0) {
			have -= (size_t)(end - answer->head);
			memmove(answer->head, end, have);
			continue;
		}
		if (end)
			break;
		if (have >= FAULTRELAY_HEAD_MAX - 1)
			return false;
	}
	rest = have - (size_t)(end - answer->head);
	memcpy(answer->early, end, rest);
	answer->early_len = rest;
	*end = '\0';
	answer->head_len = (size_t)(end - answer->head);
	return relay_answer_parse(answer, strcmp(ask->method, "HEAD") == 0);
}

/* --- spoiling the head --------------------------------------------------- */

static uint64_t relay_said_len(const struct fault_rule *rule, uint64_t len)
{
	uint64_t delta = (uint64_t)MAX(rule->delta, -(long)len);

	switch (rule->kind) {
	case FAULT_SHORT:
		return len - MIN(len, delta);
	case FAULT_LONG:
		return len + MIN(delta, (uint64_t)RELAY_LONG_MAX);
	case FAULT_WRONG_LENGTH:
		return len + delta;
	default:
		return len;
	}
}

static void relay_spoil_head(const struct relay_ask *ask,
			     struct relay_answer *answer)
{
	const struct fault_rule *rule = &ask->rule;
	const char *total;
	char line[160];

	relay_drop(answer->head, &answer->head_len, "Connection");
	if (answer->known) {
		relay_drop(answer->head, &answer->head_len, "Content-Length");
		snprintf(line, sizeof(line), "Content-Length: %llu",
			 (unsigned long long)relay_said_len(rule, answer->len));
		relay_add(answer->head, &answer->head_len, line);
	}
	if (rule->kind == FAULT_ENCODING)
		relay_add(answer->head, &answer->head_len,
			  "Content-Encoding: gzip");
	total = relay_header(answer->head, "Content-Range");
	if (rule->kind == FAULT_OTHER && total) {
		snprintf(line, sizeof(line),
			 "Content-Range: bytes %llu-%llu%.*s",
			 (unsigned long long)ask->from,
			 (unsigned long long)ask->to, 24, strchr(total, '/'));
		line[strcspn(line, "\r\n")] = '\0';
		relay_drop(answer->head, &answer->head_len, "Content-Range");
		relay_add(answer->head, &answer->head_len, line);
	}
}

/* --- spoiling the body --------------------------------------------------- */

struct relay_flow {
	struct relay *relay;
	const struct relay_ask *ask;
	uint64_t off;   /* of the next byte */
	uint64_t place; /* where the rule strikes */
	uint64_t limit; /* bytes of it that are sent */
	bool struck;
};

static void relay_spoil_bytes(const struct relay_flow *flow, char *p,
			      size_t len)
{
	const struct fault_rule *rule = &flow->ask->rule;
	uint64_t end = rule->n ? flow->place + (uint64_t)rule->n : UINT64_MAX;

	if (rule->kind == FAULT_FLIP && flow->place >= flow->off &&
	    flow->place < flow->off + len)
		p[flow->place - flow->off] ^= 1;
	if (rule->kind != FAULT_ZEROS)
		return;
	for (size_t i = 0; i < len; i++)
		if (flow->off + i < end &&
		    (!rule->n || flow->off + i >= flow->place))
			p[i] = 0;
}

/* `len` bytes, at the pace of the rule. */
static bool relay_flow_send(struct relay_flow *flow, const char *p, size_t len)
{
	const struct fault_rule *rule = &flow->ask->rule;
	struct relay *relay = flow->relay;
	size_t step = len;

	if (rule->kind == FAULT_TRICKLE)
		step = (size_t)MAX(rule->bps * RELAY_TRICKLE_MS / 1000, 1);
	while (len > 0) {
		size_t n = MIN(step, len);

		if (!relay_write(relay, relay->client, p, n))
			return false;
		faultcount_bytes(flow->ask->path, n);
		flow->off += n;
		p += n;
		len -= n;
		if (rule->kind == FAULT_TRICKLE &&
		    !relay_pause(relay, RELAY_TRICKLE_MS))
			return false;
	}
	return true;
}

static bool relay_strike(struct relay_flow *flow)
{
	const struct fault_rule *rule = &flow->ask->rule;

	flow->struck = true;
	switch (rule->kind) {
	case FAULT_STALL:
		return relay_pause(flow->relay, (uint64_t)rule->ms);
	case FAULT_HANG_BODY:
		return relay_pause(flow->relay, RELAY_FOREVER_MS);
	case FAULT_TRUNCATE:
		return false;
	default:
		return true;
	}
}

/* Passes bytes on; false: the connection is over. */
static bool relay_flow(struct relay_flow *flow, char *p, size_t len)
{
	relay_spoil_bytes(flow, p, len);
	while (len > 0) {
		size_t n = len;

		if (!flow->struck && flow->place < flow->off + n)
			n = (size_t)(flow->place - flow->off);
		if (flow->off + n > flow->limit)
			n = (size_t)(flow->limit - flow->off);
		if (!relay_flow_send(flow, p, n))
			return false;
		if (flow->off >= flow->limit)
			return true;
		if (!flow->struck && flow->off == flow->place &&
		    !relay_strike(flow))
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* What follows the body that the server sent; false: close. */
static bool relay_flow_end(struct relay_flow *flow, uint64_t len)
{
	const struct fault_rule *rule = &flow->ask->rule;
	struct relay *relay = flow->relay;

	if (rule->kind == FAULT_LONG) {
		size_t more = (size_t)(relay_said_len(rule, len) - len);

		while (more > 0) {
			size_t n = MIN(more, (size_t)RELAY_BUF);

			memset(relay->body, 'x', n);
			if (!relay_write(relay, relay->client, relay->body, n))
				return false;
			more -= n;
		}
	}
	return rule->kind != FAULT_WRONG_LENGTH;
}

/* All that is left of a body that nothing is done to. */
static bool relay_flow_rest(struct relay_flow *flow, uint64_t left)
{
	size_t n;

	for (; left > 0; left -= n) {
		n = relay_splice(flow->relay, MIN(left, (uint64_t)RELAY_BUF));
		if (n == 0)
			return false;
		faultcount_bytes(flow->ask->path, n);
		flow->off += n;
	}
	return true;
}

static bool relay_answer_body(struct relay *relay, const struct relay_ask *ask,
			      struct relay_answer *answer)
{
	struct relay_flow flow = {
	    .relay = relay,
	    .ask = ask,
	    .place =
		answer->known ? faultrule_place(&ask->rule, answer->len) : 0,
	    .limit =
		answer->known
		    ? MIN(answer->len, relay_said_len(&ask->rule, answer->len))
		    : UINT64_MAX,
	};
	uint64_t left = answer->known ? answer->len : UINT64_MAX;
	size_t n = MIN(answer->early_len, left);

	if (ask->rule.kind == FAULT_WRONG_LENGTH)
		flow.limit = answer->len;
	if (!relay_flow(&flow, answer->early, n))
		return false;
	if (ask->rule.kind == FAULT_PASS && answer->known)
		return relay_flow_rest(&flow, left - n);
	for (left -= n; left > 0 && flow.off < flow.limit; left -= n) {
		n = relay_read(relay, relay->server, relay->body,
			       MIN(left, (uint64_t)RELAY_BUF));
		if (n == 0)
			return false;
		if (!relay_flow(&flow, relay->body, n))
			return false;
	}
	return relay_flow_end(&flow, answer->len) && answer->known;
}

/* --- answers of our own -------------------------------------------------- */

static bool relay_say(struct relay *relay, const char *text)
{
	return relay_write(relay, relay->client, text, strlen(text));
}

static bool relay_status(struct relay *relay, const struct fault_rule *rule)
{
	char text[160 + FAULT_TEXT_MAX], more[40 + FAULT_TEXT_MAX] = "";
	bool moved = rule->kind == FAULT_REDIRECT;

	if (moved)
		snprintf(more, sizeof(more), "Location: %s\r\n", rule->to);
	else if (rule->retry_after)
		snprintf(more, sizeof(more), "Retry-After: %ld\r\n",
			 rule->retry_after);
	snprintf(text, sizeof(text),
		 "HTTP/1.1 %ld As ordered\r\n%sContent-Length: 0\r\n\r\n",
		 moved ? 302 : rule->code, more);
	return relay_say(relay, text);
}

static bool relay_html(struct relay *relay, const struct relay_ask *ask)
{
	static const char page[] =
	    "<html><head><title>Sign in</title></head><body>Please sign in to "
	    "this network.</body></html>\n";
	uint64_t len = ask->ranged ? ask->to - ask->from + 1 : strlen(page);
	char head[320], range[100] = "";

	if (ask->ranged)
		snprintf(range, sizeof(range),
			 "Content-Range: bytes %llu-%llu/99999999999\r\n",
			 (unsigned long long)ask->from,
			 (unsigned long long)ask->to);
	snprintf(head, sizeof(head),
		 "HTTP/1.1 %s\r\nContent-Type: text/html\r\n%s"
		 "Content-Length: %llu\r\n\r\n",
		 ask->ranged ? "206 Partial Content" : "200 OK", range,
		 (unsigned long long)len);
	if (!relay_say(relay, head))
		return false;
	for (uint64_t off = 0; off < len; off += strlen(page))
		if (!relay_write(relay, relay->client, page,
				 MIN(strlen(page), len - off)))
			return false;
	return true;
}

static void relay_reset(struct relay *relay)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(relay->client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* --- one request --------------------------------------------------------- */

static bool relay_pass(struct relay *relay, struct relay_ask *ask)
{
	struct relay_answer *answer = malloc(sizeof(*answer));
	bool on;

	on = answer && relay_connect(relay) && relay_send_ask(relay, ask) &&
	     relay_get_answer(relay, ask, answer);
	if (on && relay_pause(relay, atomic_load(&relay_rtt_ms))) {
		relay_spoil_head(ask, answer);
		on = relay_write(relay, relay->client, answer->head,
				 answer->head_len) &&
		     relay_answer_body(relay, ask, answer);
	}
	if (relay->server >= 0)
		close(STEAL_FD(relay->server));
	free(answer);
	return on;
}

/* false: the connection is over. */
static bool relay_one(struct relay *relay, struct relay_ask *ask)
{
	const struct fault_rule *rule = &ask->rule;

	if (!relay_ask_head(relay, ask) || !relay_ask_parse(relay, ask))
		return false;
	faultrule_match(ask->path, ask->ranged, &ask->rule);
	faultcount_request(ask->path);
	if (relay->first && !relay_pause(relay, atomic_load(&relay_rtt_ms)))
		return false;
	relay->first = false;
	switch (rule->kind) {
	case FAULT_RESET:
		relay_reset(relay);
		return false;
	case FAULT_CLOSE:
		return false;
	case FAULT_HANG:
		return relay_pause(relay, RELAY_FOREVER_MS);
	case FAULT_STATUS:
	case FAULT_REDIRECT:
		/* The connection may not be used with a body unread. */
		return relay_status(relay, rule) && ask->body_len == 0;
	case FAULT_HTML:
		return relay_html(relay, ask) && ask->body_len == 0;
	case FAULT_DELAY:
		if (!relay_pause(relay, (uint64_t)rule->ms))
			return false;
		break;
	default:
		break;
	}
	return relay_pass(relay, ask);
}

static bool relay_pipe(struct relay *relay)
{
	if (pipe2(relay->pipe, O_CLOEXEC) < 0)
		return false;
	/* Best effort: as it is by default it takes more turns. */
	fcntl(relay->pipe[1], F_SETPIPE_SZ, RELAY_BUF);
	return true;
}

void faultrelay_serve(int fd)
{
	struct relay relay = {.client = fd,
			      .server = -1,
			      .epoch = atomic_load(&relay_epoch),
			      .first = true,
			      .buf = malloc(RELAY_BUF),
			      .body = malloc(RELAY_BUF),
			      .pipe = {-1, -1}};
	struct relay_ask *ask = malloc(sizeof(*ask));
	int one = 1;

	atomic_fetch_add(&relay_conns, 1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (relay.buf && relay.body && ask && relay_pipe(&relay))
		while (relay_one(&relay, ask) && !relay.client_closes)
			;
	free(ask);
	free(relay.body);
	free(relay.buf);
	if (relay.pipe[0] >= 0) {
		close(relay.pipe[0]);
		close(relay.pipe[1]);
	}
	close(fd);
	atomic_fetch_sub(&relay_conns, 1);
}
