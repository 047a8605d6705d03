/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen: a list of sockets under one lock, which accept() is called under,
 * too, so that a closed one is never accepted from.
 */
#include "nfsd/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "depot/log.h"

enum { LISTEN_BACKLOG = 1024 };

struct listener {
	LIST_ENTRY(listener) link;
	int fd;             /* owns; -1: not open, or closed */
	uint32_t export_id; /* 0: the daemon's own, or not served yet */
	struct site_listen at;
	int error; /* why it is not open, or not watched */
};
LIST_HEAD(listener_list, listener);

struct listeners {
	pthread_mutex_t lock;
	/* guarded by lock: */
	struct listener_list live, dead; /* owns */
	struct listener *first;          /* the daemon's first; borrows */
	unsigned int missing;            /* live ones that are not open */
	int epoll_fd;                    /* borrows; -1: none yet */
	bool paused, quiet;
	int spare_fd; /* owns; given up to refuse when there is no other */
	uint64_t retry_ms;
};

int listeners_new(struct listeners **listeners)
{
	struct listeners *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	pthread_mutex_init(&made->lock, NULL);
	LIST_INIT(&made->live);
	LIST_INIT(&made->dead);
	made->epoll_fd = -1;
	made->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*listeners = made;
	return 0;
}

static void listener_free_all(struct listener_list *list)
{
	struct listener *listener;

	while ((listener = LIST_FIRST(list))) {
		LIST_REMOVE(listener, link);
		if (listener->fd >= 0)
			close(listener->fd);
		free(listener);
	}
}

void listeners_free(struct listeners *listeners)
{
	if (!listeners)
		return;
	listener_free_all(&listeners->live);
	listener_free_all(&listeners->dead);
	if (listeners->spare_fd >= 0)
		close(listeners->spare_fd);
	pthread_mutex_destroy(&listeners->lock);
	free(listeners);
}

/* --- addresses ------------------------------------------------------------ */

/* "HOST:PORT" or "[HOST]:PORT" in two; -EINVAL, said of `text`. */
static int listen_split(const char *text, char *host, size_t cap,
			const char **port)
{
	const char *colon = strrchr(text, ':'), *from = text;
	size_t len;

	if (!colon || colon[1] == '\0')
		return log_err(-EINVAL, "listen %s: not ADDRESS:PORT", text);
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		from++;
		len -= 2;
	}
	if (len == 0 || len >= cap)
		return log_err(-EINVAL, "listen %s: no address", text);
	memcpy(host, from, len);
	host[len] = '\0';
	*port = colon + 1;
	return 0;
}

static int listen_resolve(const char *text, struct addrinfo **found)
{
	struct addrinfo hints = {
	    .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	const char *port = NULL;
	char host[256];
	int rc = listen_split(text, host, sizeof(host), &port);

	if (rc < 0)
		return rc;
	rc = getaddrinfo(host, port, &hints, found);
	if (rc != 0)
		return log_err(-EINVAL, "listen %s: %s", text,
			       gai_strerror(rc));
	return 0;
}

bool listen_parse(const char *text, struct site_listen *at)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	char host[INET6_ADDRSTRLEN + 2], *end;
	unsigned long port;

	*at = (struct site_listen){.port = 0};
	if (len == 0 || len >= sizeof(host) || colon[1] < '0' || colon[1] > '9')
		return false;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX)
		return false;
	at->port = (uint16_t)port;
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		return inet_pton(AF_INET6, host + 1, at->addr) == 1 &&
		       memcmp(at->addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) !=
			   0;
	}
	memset(at->addr + 10, 0xff, 2);
	return inet_pton(AF_INET, host, at->addr + 12) == 1;
}

static socklen_t listen_sockaddr(const struct site_listen *at,
				 struct sockaddr_storage *to)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;

	memset(to, 0, sizeof(*to));
	if (memcmp(at->addr, mapped, sizeof(mapped)) == 0) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(at->port);
		memcpy(&v4->sin_addr, at->addr + 12, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(at->port);
	memcpy(&v6->sin6_addr, at->addr, 16);
	return sizeof(*v6);
}

static void listen_text(const struct sockaddr *addr, socklen_t len, char *text,
			size_t cap)
{
	char host[INET6_ADDRSTRLEN + 16] = "?", port[8] = "?";

	getnameinfo(addr, len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(text, cap, addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
		 host, port);
}

void listen_format(const struct site_listen *at, char text[LISTEN_TEXT_MAX])
{
	struct sockaddr_storage addr;
	socklen_t len = listen_sockaddr(at, &addr);

	listen_text((struct sockaddr *)&addr, len, text, LISTEN_TEXT_MAX);
}

/* --- opening -------------------------------------------------------------- */

/* Bound and listening; `text` is for the error, NULL: nothing is logged.  The
 * socket, or -errno. */
static int listen_socket(const struct sockaddr *addr, socklen_t len,
			 const char *text)
{
	int fd = socket(addr->sa_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1, rc = 0;

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (addr->sa_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one,
				   sizeof(one));
	}
	if (fd < 0 || bind(fd, addr, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		rc = text ? log_err(-errno, "listen %s", text) : -errno;
	if (rc < 0 && fd >= 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

static struct listener *listener_new(int fd)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (listener)
		listener->fd = fd;
	else
		close(fd);
	return listener;
}

/* Have epoll report it, or not any more; the lock is held. */
static int listener_watch(struct listeners *listeners,
			  struct listener *listener, int op)
{
	struct epoll_event event = {.events = listeners->paused ? 0 : EPOLLIN,
				    .data.ptr =
					(void *)((uintptr_t)listener | 1)};

	if (listeners->epoll_fd < 0 || listener->fd < 0 || listeners->quiet)
		return 0;
	if (epoll_ctl(listeners->epoll_fd, op, listener->fd, &event) < 0)
		return log_err(-errno, "epoll_ctl of a listening socket");
	return 0;
}

struct listener *listener_of_tag(void *tag)
{
	uintptr_t bits = (uintptr_t)tag;

	return bits & 1 ? (struct listener *)(bits & ~(uintptr_t)1) : NULL;
}

int listeners_open_text(struct listeners *listeners, const char *text)
{
	struct listener *listener;
	struct addrinfo *info;
	int fd = listen_resolve(text, &info);

	if (fd < 0)
		return fd;
	fd = listen_socket(info->ai_addr, info->ai_addrlen, text);
	freeaddrinfo(info);
	if (fd < 0)
		return fd;
	listener = listener_new(fd);
	if (!listener)
		return -ENOMEM;
	LIST_INSERT_HEAD(&listeners->live, listener, link);
	if (!listeners->first)
		listeners->first = listener;
	return 0;
}

int listeners_describe(struct listeners *listeners, char *text, size_t cap)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	if (getsockname(listeners->first->fd, (struct sockaddr *)&addr, &len) <
	    0)
		return log_err(-EIO, "cannot tell what is listened on");
	listen_text((struct sockaddr *)&addr, len, text, cap);
	return 0;
}

/* The port that the kernel chose. */
static void listen_take_port(int fd, struct site_listen *at)
{
	struct sockaddr_storage addr = {.ss_family = 0};
	socklen_t len = sizeof(addr);

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return;
	at->port = ntohs(addr.ss_family == AF_INET6
			     ? ((struct sockaddr_in6 *)&addr)->sin6_port
			     : ((struct sockaddr_in *)&addr)->sin_port);
}

int listeners_open(struct listeners *listeners UNUSED, struct site_listen *at,
		   struct listener **listener)
{
	struct sockaddr_storage addr;
	socklen_t len = listen_sockaddr(at, &addr);
	char text[LISTEN_TEXT_MAX];
	int fd;

	*listener = NULL;
	listen_format(at, text);
	fd = listen_socket((struct sockaddr *)&addr, len, text);
	if (fd < 0)
		return fd;
	listen_take_port(fd, at);
	*listener = listener_new(fd);
	if (!*listener)
		return -ENOMEM;
	(*listener)->at = *at;
	return 0;
}

void listeners_serve(struct listeners *listeners, struct listener *listener,
		     uint32_t export_id)
{
	listener->export_id = export_id;
	pthread_mutex_lock(&listeners->lock);
	LIST_INSERT_HEAD(&listeners->live, listener, link);
	/* Logged; who comes waits in vain, as when nobody listens. */
	listener->error = listener_watch(listeners, listener, EPOLL_CTL_ADD);
	pthread_mutex_unlock(&listeners->lock);
}

void listeners_drop(struct listeners *listeners UNUSED,
		    struct listener *listener)
{
	if (!listener)
		return;
	close(listener->fd);
	free(listener);
}

int listeners_want(struct listeners *listeners, const struct site_listen *at,
		   uint32_t export_id)
{
	struct site_listen where = *at;
	struct listener *listener;
	int rc = listeners_open(listeners, &where, &listener);

	if (rc == 0) {
		listeners_serve(listeners, listener, export_id);
		return 0;
	}
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	*listener = (struct listener){
	    .fd = -1, .export_id = export_id, .at = *at, .error = rc};
	pthread_mutex_lock(&listeners->lock);
	LIST_INSERT_HEAD(&listeners->live, listener, link);
	listeners->missing++;
	pthread_mutex_unlock(&listeners->lock);
	return rc;
}

/* The lock is held. */
static void listener_end(struct listeners *listeners, struct listener *listener)
{
	if (listener->fd >= 0)
		close(STEAL_FD(listener->fd));
	else
		listeners->missing--;
	LIST_REMOVE(listener, link);
	LIST_INSERT_HEAD(&listeners->dead, listener, link);
}

void listeners_close(struct listeners *listeners, uint32_t export_id)
{
	struct listener *listener, *next;

	pthread_mutex_lock(&listeners->lock);
	for (listener = LIST_FIRST(&listeners->live); listener;
	     listener = next) {
		next = LIST_NEXT(listener, link);
		if (export_id != 0 && listener->export_id == export_id)
			listener_end(listeners, listener);
	}
	pthread_mutex_unlock(&listeners->lock);
}

static const struct listen_heir *listen_heir_of(const struct listen_heir *heirs,
						unsigned int count,
						uint32_t export_id)
{
	for (unsigned int i = 0; export_id != 0 && i < count; i++)
		if (heirs[i].from == export_id)
			return &heirs[i];
	return NULL;
}

void listeners_pass(struct listeners *listeners,
		    const struct listen_heir *heirs, unsigned int count)
{
	struct listener *listener, *next;

	pthread_mutex_lock(&listeners->lock);
	for (listener = LIST_FIRST(&listeners->live); listener;
	     listener = next) {
		const struct listen_heir *heir =
		    listen_heir_of(heirs, count, listener->export_id);

		next = LIST_NEXT(listener, link);
		if (heir && heir->to == 0)
			listener_end(listeners, listener);
		else if (heir)
			listener->export_id = heir->to;
	}
	pthread_mutex_unlock(&listeners->lock);
}

void listeners_each_missing(struct listeners *listeners,
			    void (*visit)(void *ctx, uint32_t export_id,
					  const struct site_listen *at,
					  int error),
			    void *ctx)
{
	struct listener *listener;

	pthread_mutex_lock(&listeners->lock);
	LIST_FOREACH(listener, &listeners->live, link)
	if (listener->fd < 0)
		visit(ctx, listener->export_id, &listener->at, listener->error);
	pthread_mutex_unlock(&listeners->lock);
}

/* --- the first worker's --------------------------------------------------- */

int listeners_watch(struct listeners *listeners, int epoll_fd)
{
	struct listener *listener;
	int rc = 0;

	pthread_mutex_lock(&listeners->lock);
	listeners->epoll_fd = epoll_fd;
	LIST_FOREACH(listener, &listeners->live, link)
	if (rc == 0)
		rc = listener_watch(listeners, listener, EPOLL_CTL_ADD);
	pthread_mutex_unlock(&listeners->lock);
	return rc;
}

void listeners_quiet(struct listeners *listeners)
{
	struct listener *listener;

	pthread_mutex_lock(&listeners->lock);
	LIST_FOREACH(listener, &listeners->live, link)
	if (listener->fd >= 0)
		epoll_ctl(listeners->epoll_fd, EPOLL_CTL_DEL, listener->fd,
			  NULL);
	listeners->quiet = true;
	pthread_mutex_unlock(&listeners->lock);
}

/* Listen no more, for now: the queue of the kernel holds who comes.  The lock
 * is held. */
static void listeners_pause(struct listeners *listeners, bool pause)
{
	struct listener *listener;

	if (listeners->paused == pause)
		return;
	listeners->paused = pause;
	/* Logged; it is tried again with the next change. */
	LIST_FOREACH(listener, &listeners->live, link)
	listener->error =
	    listener->fd >= 0
		? listener_watch(listeners, listener, EPOLL_CTL_MOD)
		: listener->error;
}

/*
 * No descriptor is left: accept would fail for ever and epoll report for ever.
 * The spare one lets us take the connection and end it.  The lock is held.
 */
static void listeners_refuse(struct listeners *listeners, int listen_fd)
{
	int fd;

	if (listeners->spare_fd >= 0)
		close(STEAL_FD(listeners->spare_fd));
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		close(fd);
	listeners->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || listeners->spare_fd < 0)
		listeners_pause(listeners, true);
}

/* false: there is none, or it was refused (counted).  Taken under the lock:
 * whose the address is may change when that is dropped. */
static bool listeners_accept_one(struct listeners *listeners,
				 struct listener *listener,
				 listen_take_fn *take, void *ctx,
				 unsigned int *refused)
{
	struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(addr);
	int fd = -1;

	pthread_mutex_lock(&listeners->lock);
	if (listener->fd >= 0) {
		fd = accept4(listener->fd, (struct sockaddr *)&addr, &len,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			take(ctx, fd, (struct sockaddr *)&addr,
			     listener->export_id);
		} else if (errno == EMFILE || errno == ENFILE) {
			++*refused;
			listeners_refuse(listeners, listener->fd);
		} else if (errno == ENOMEM || errno == ENOBUFS) {
			listeners_pause(listeners, true);
		}
	}
	pthread_mutex_unlock(&listeners->lock);
	return fd >= 0;
}

unsigned int listeners_accept(struct listeners *listeners,
			      struct listener *listener, listen_take_fn *take,
			      void *ctx)
{
	unsigned int refused = 0;

	for (unsigned int n = 0; n < LISTEN_TURN_MAX; n++)
		if (!listeners_accept_one(listeners, listener, take, ctx,
					  &refused))
			break;
	return refused;
}

/* Try again what could not be opened; the lock is held. */
static void listeners_retry(struct listeners *listeners)
{
	struct listener *listener;

	LIST_FOREACH(listener, &listeners->live, link)
	{
		struct sockaddr_storage addr;
		socklen_t len = listen_sockaddr(&listener->at, &addr);
		char text[LISTEN_TEXT_MAX];

		if (listener->fd >= 0)
			continue;
		listener->fd =
		    listen_socket((struct sockaddr *)&addr, len, NULL);
		if (listener->fd < 0) {
			listener->error = STEAL_FD(listener->fd);
			continue;
		}
		listen_format(&listener->at, text);
		log_info("listening on %s at last", text);
		listeners->missing--;
		listener->error =
		    listener_watch(listeners, listener, EPOLL_CTL_ADD);
	}
}

void listeners_tick(struct listeners *listeners, uint64_t now_ms, bool resume)
{
	pthread_mutex_lock(&listeners->lock);
	listener_free_all(&listeners->dead);
	if (resume)
		listeners_pause(listeners, false);
	if (listeners->missing > 0 && now_ms >= listeners->retry_ms) {
		listeners->retry_ms = now_ms + LISTEN_RETRY_MS;
		listeners_retry(listeners);
	}
	pthread_mutex_unlock(&listeners->lock);
}

bool listeners_waiting(struct listeners *listeners)
{
	bool waiting;

	pthread_mutex_lock(&listeners->lock);
	waiting = listeners->missing > 0 || listeners->paused;
	pthread_mutex_unlock(&listeners->lock);
	return waiting;
}
