/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: libmicrohttpd in front of the shelf.
 */
#include "nfsd/peer.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "depot/clock.h"
#include "depot/log.h"
#include "depot/shelf.h"

enum {
	PEER_BACKLOG = 64,
	PEER_RANGE_DIGITS = 20,
	PEER_RETRY_AFTER_S = 1,
	PEER_BURST_S = 1, /* of the rate may go at once */
};

struct peer {
	struct shelf *shelf;     /* owns */
	struct MHD_Daemon *http; /* owns */
	char listen[PEER_LISTEN_TEXT_MAX];
	uint64_t rate;
	pthread_mutex_t lock;
	int64_t tokens;    /* lock; bytes that may go now */
	int64_t filled_ms; /* lock; when they were counted last */
};

/* --- the rate ------------------------------------------------------------ */

/* May anything go now?  Then as much as it is: debts are waited for. */
static bool peer_may_send(struct peer *peer)
{
	int64_t now = (int64_t)clock_ms(),
		burst = (int64_t)peer->rate * PEER_BURST_S;
	bool may;

	if (peer->rate == 0)
		return true;
	pthread_mutex_lock(&peer->lock);
	peer->tokens += (int64_t)((double)peer->rate *
				  (double)(now - peer->filled_ms) / 1000.0);
	peer->tokens = MIN(peer->tokens, burst);
	peer->filled_ms = now;
	may = peer->tokens > 0;
	pthread_mutex_unlock(&peer->lock);
	return may;
}

static void peer_sent(struct peer *peer, size_t len)
{
	pthread_mutex_lock(&peer->lock);
	peer->tokens -= (int64_t)len;
	pthread_mutex_unlock(&peer->lock);
}

/* --- answers ------------------------------------------------------------- */

static enum MHD_Result peer_status(struct MHD_Connection *conn,
				   unsigned int status)
{
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result done;
	char text[16];

	if (!response)
		return MHD_NO;
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE) {
		snprintf(text, sizeof(text), "%d", PEER_RETRY_AFTER_S);
		MHD_add_response_header(response, "Retry-After", text);
	}
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET");
	done = MHD_queue_response(conn, status, response);
	MHD_destroy_response(response);
	return done;
}

/* takes bytes.  total 0: the whole object. */
static enum MHD_Result peer_bytes(struct peer *peer,
				  struct MHD_Connection *conn, void *bytes,
				  uint64_t off, size_t len, bool is_range)
{
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result done;
	char text[96];

	if (!response) {
		free(bytes);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type",
				"application/octet-stream");
	if (is_range) {
		snprintf(text, sizeof(text), "bytes %ju-%ju/*", (uintmax_t)off,
			 (uintmax_t)(off + len - 1));
		MHD_add_response_header(response, "Content-Range", text);
	}
	done = MHD_queue_response(
	    conn, is_range ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	peer_sent(peer, len);
	return done;
}

static unsigned int peer_error(int rc)
{
	return rc == -ENOENT ? MHD_HTTP_NOT_FOUND
			     : MHD_HTTP_INTERNAL_SERVER_ERROR;
}

/* --- questions ----------------------------------------------------------- */

static bool peer_digits(const char **text, uint64_t *number)
{
	const char *p = *text;
	size_t n = 0;

	for (*number = 0; p[n] >= '0' && p[n] <= '9' && n < PEER_RANGE_DIGITS;
	     n++)
		if (__builtin_mul_overflow(*number, (uint64_t)10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(p[n] - '0'),
					   number))
			return false;
	*text = p + n;
	return n > 0;
}

bool peer_range_parse(const char *text, uint64_t *off, size_t *len)
{
	uint64_t to;

	if (strncmp(text, "bytes=", 6) != 0)
		return false;
	text += 6;
	if (!peer_digits(&text, off) || *text++ != '-' ||
	    !peer_digits(&text, &to) || *text || to < *off ||
	    to - *off >= SHELF_RANGE_MAX)
		return false;
	*len = (size_t)(to - *off) + 1;
	return true;
}

/* A part of a document is cut from the whole: those are small. */
static enum MHD_Result peer_part(struct peer *peer, struct MHD_Connection *conn,
				 const char *path, uint64_t off, size_t len)
{
	CLEANUP_FREE void *whole = NULL;
	size_t whole_len;
	void *part;
	int rc;

	rc = shelf_get(peer->shelf, path, &whole, &whole_len);
	if (rc < 0)
		return peer_status(conn, peer_error(rc));
	if (off >= whole_len)
		return peer_status(conn, MHD_HTTP_RANGE_NOT_SATISFIABLE);
	len = MIN(len, whole_len - (size_t)off);
	part = malloc(len);
	if (!part)
		return peer_status(conn, peer_error(-ENOMEM));
	memcpy(part, (uint8_t *)whole + off, len);
	return peer_bytes(peer, conn, part, off, len, true);
}

static enum MHD_Result peer_get(struct peer *peer, struct MHD_Connection *conn,
				const char *path)
{
	const char *range =
	    MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Range");
	bool is_pack = shelf_is_pack(path);
	uint64_t off = 0;
	size_t len = 0;
	void *bytes;
	int rc;

	if (range && !peer_range_parse(range, &off, &len))
		return peer_status(conn, MHD_HTTP_RANGE_NOT_SATISFIABLE);
	if (range && !is_pack)
		return peer_part(peer, conn, path, off, len);
	if (is_pack && !range)
		return peer_status(conn, MHD_HTTP_NOT_FOUND);
	if (is_pack)
		rc = shelf_range(peer->shelf, path, off, len, &bytes);
	else
		rc = shelf_get(peer->shelf, path, &bytes, &len);
	if (rc < 0)
		return peer_status(conn, peer_error(rc));
	return peer_bytes(peer, conn, bytes, off, len, is_pack);
}

static enum MHD_Result peer_handle(void *ctx, struct MHD_Connection *conn,
				   const char *url, const char *method,
				   const char *version UNUSED,
				   const char *upload UNUSED,
				   size_t *upload_len, void **seen)
{
	static const char head_seen = 1;
	struct peer *peer = ctx;

	/* First with the head alone: an early answer would close. */
	if (!*seen) {
		*seen = (void *)(uintptr_t)&head_seen;
		return MHD_YES;
	}
	if (*upload_len) {
		*upload_len = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0)
		return peer_status(conn, MHD_HTTP_METHOD_NOT_ALLOWED);
	if (!peer_may_send(peer))
		return peer_status(conn, MHD_HTTP_SERVICE_UNAVAILABLE);
	return peer_get(peer, conn, *url == '/' ? url + 1 : url);
}

/* --- listening ----------------------------------------------------------- */

static int peer_resolve(const char *listen, struct addrinfo **found)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICHOST};
	CLEANUP_FREE char *host = strdup(listen);
	char *colon = host ? strrchr(host, ':') : NULL, *name = host;

	if (!host)
		return -ENOMEM;
	if (!colon)
		return -EINVAL;
	*colon = '\0';
	if (*name == '[' && colon > name && colon[-1] == ']') {
		colon[-1] = '\0';
		name++;
	}
	if (!*name || getaddrinfo(name, colon + 1, &hints, found) != 0)
		return -EINVAL;
	return 0;
}

static int peer_socket(const char *listen_text, int *out)
{
	CLEANUP_CLOSE int fd = -1;
	struct addrinfo *found;
	int yes = 1, rc;

	rc = peer_resolve(listen_text, &found);
	if (rc < 0)
		return rc;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) < 0 ||
	    listen(fd, PEER_BACKLOG) < 0)
		rc = -errno;
	freeaddrinfo(found);
	if (rc == 0)
		*out = STEAL_FD(fd);
	return rc;
}

static void peer_name(struct peer *peer, int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[64] = "", port[16] = "";

	if (getsockname(fd, (struct sockaddr *)&addr, &len) == 0 &&
	    getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(peer->listen, sizeof(peer->listen),
			 addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
			 port);
}

static int peer_http_start(struct peer *peer, const char *listen_text)
{
	int fd = -1, rc;

	rc = peer_socket(listen_text, &fd);
	if (rc < 0)
		return rc;
	peer_name(peer, fd);
	peer->http = MHD_start_daemon(
	    /* poll(): select() knows no descriptor beyond 1023. */
	    MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ERROR_LOG,
	    0, NULL, NULL, peer_handle, peer, MHD_OPTION_LISTEN_SOCKET, fd,
	    MHD_OPTION_THREAD_POOL_SIZE, (unsigned int)PEER_THREADS,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned int)PEER_CONNECTIONS_MAX,
	    MHD_OPTION_PER_IP_CONNECTION_LIMIT,
	    (unsigned int)PEER_CONNECTIONS_MAX / 4,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)PEER_IDLE_SEC,
	    MHD_OPTION_END);
	if (peer->http)
		return 0;
	close(fd);
	return -EIO;
}

int peer_start(const char *listen, uint64_t rate, struct depot *depot,
	       struct peer **out)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	int rc;

	if (!peer)
		return -ENOMEM;
	pthread_mutex_init(&peer->lock, NULL);
	peer->rate = rate;
	peer->filled_ms = (int64_t)clock_ms();
	peer->tokens = (int64_t)rate;
	rc = shelf_new(depot, &peer->shelf);
	if (rc == 0)
		rc = peer_http_start(peer, listen);
	if (rc < 0) {
		peer_stop(peer);
		return log_err(rc, "peer: listen %s", listen);
	}
	*out = peer;
	return 0;
}

void peer_stop(struct peer *peer)
{
	if (!peer)
		return;
	if (peer->http)
		MHD_stop_daemon(peer->http);
	shelf_free(peer->shelf);
	pthread_mutex_destroy(&peer->lock);
	free(peer);
}

const char *peer_listen_text(const struct peer *peer)
{
	return peer->listen;
}
