/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultproxy: an HTTP/1.1 reverse proxy that does what real networks do.
 *
 *	faultproxy --listen ADDR:PORT --to ADDR:PORT --control SOCKET
 *	           [--rtt MS] [--life SECONDS] [--connections N]
 *	faultproxy --control SOCKET COMMAND...
 *
 * ADDR is numeric; a v6 one in brackets.  Says "ready" when it listens; PORT 0
 * takes a free one, which it says then ("ready PORT").  It ends by itself after
 * --life (600 s).  Commands, each answered with lines and an exit status:
 *
 *	rule PREFIX FAULT [KEY=VALUE...]   see tests/lib/faultrule.h
 *	clear                              no rules, and listening again
 *	rtt MS                             round trip of what follows
 *	listen on|refuse|blackhole         refuse: nobody listens, and open
 *	                                   connections end; blackhole: SYNs are
 *	                                   dropped and open connections hang
 *	count [PREFIX]                     "REQUESTS BYTES PATH" lines, then
 *	                                   "REQUESTS BYTES total"
 *	reset                              counts from 0
 *	left                               requests that rules with times=N
 *	                                   would still spoil
 *	stop                               the end
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/un.h>
#include <time.h>

#include "tests/lib/faultrelay.h"
#include "tests/lib/faultrule.h"

enum {
	PROXY_LINE_MAX = 1024,
	PROXY_BACKLOG = 128,
	PROXY_FILLERS = 16,
	PROXY_LIFE_S = 600,
	PROXY_LIFE_MAX_S = 24 * 3600,
	PROXY_CONNECTIONS = 512,
};

static struct {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	const char *control;
	unsigned int connections_max;
	time_t end;
	int listener; /* -1: refusing */
	bool blackhole;
	int fillers[PROXY_FILLERS]; /* connections nobody accepts */
	unsigned int filler_count;
	bool stop;
} proxy = {.listener = -1, .connections_max = PROXY_CONNECTIONS};

static time_t proxy_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void proxy_die(const char *what)
{
	fprintf(stderr, "faultproxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- the listening socket ------------------------------------------------ */

static bool proxy_addr(const char *text, struct sockaddr_storage *addr,
		       socklen_t *len)
{
	char copy[80], *colon, *host = copy;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)addr;
	struct sockaddr_in *v4 = (struct sockaddr_in *)addr;
	in_port_t port;

	snprintf(copy, sizeof(copy), "%s", text);
	colon = strrchr(copy, ':');
	if (!colon)
		return false;
	*colon = '\0';
	port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	memset(addr, 0, sizeof(*addr));
	if (*host == '[') {
		host++;
		host[strcspn(host, "]")] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = port;
		*len = sizeof(*v6);
		return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = port;
	*len = sizeof(*v4);
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

static int proxy_listen(void)
{
	int one = 1;

	if (proxy.listener >= 0)
		return 0;
	proxy.listener = socket(proxy.addr.ss_family,
				SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (proxy.listener < 0)
		return -errno;
	setsockopt(proxy.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(proxy.listener, (struct sockaddr *)&proxy.addr,
		 proxy.addr_len) < 0 ||
	    listen(proxy.listener, PROXY_BACKLOG) < 0 ||
	    getsockname(proxy.listener, (struct sockaddr *)&proxy.addr,
			&proxy.addr_len) < 0) {
		int rc = -errno;

		close(STEAL_FD(proxy.listener));
		return rc;
	}
	return 0;
}

/* A queue for one connection, which we fill: further SYNs are dropped. */
static void proxy_blackhole(void)
{
	proxy.blackhole = true;
	faultrelay_freeze(true);
	if (listen(proxy.listener, 0) < 0)
		return;
	while (proxy.filler_count < PROXY_FILLERS) {
		struct pollfd p = {.events = POLLOUT};

		p.fd = socket(proxy.addr.ss_family,
			      SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (p.fd < 0)
			return;
		proxy.fillers[proxy.filler_count++] = p.fd;
		if (connect(p.fd, (struct sockaddr *)&proxy.addr,
			    proxy.addr_len) < 0 &&
		    errno != EINPROGRESS)
			return;
		if (poll(&p, 1, 100) == 0)
			return; /* nobody answered it */
	}
}

/* listen on|refuse|blackhole */
static int proxy_set_listen(const char *how)
{
	int rc;

	while (proxy.filler_count > 0)
		close(proxy.fillers[--proxy.filler_count]);
	/* What lies in the queue goes with the socket. */
	if (proxy.blackhole)
		close(STEAL_FD(proxy.listener));
	proxy.blackhole = false;
	faultrelay_freeze(false);
	if (strcmp(how, "refuse") == 0) {
		if (proxy.listener >= 0)
			close(STEAL_FD(proxy.listener));
		faultrelay_end();
		return 0;
	}
	rc = proxy_listen();
	if (rc == 0 && strcmp(how, "blackhole") == 0)
		proxy_blackhole();
	else if (rc == 0 && strcmp(how, "on") != 0)
		rc = -EINVAL;
	return rc;
}

static void *proxy_serve(void *arg)
{
	faultrelay_serve((int)(intptr_t)arg);
	return NULL;
}

static void proxy_accept(void)
{
	int fd = accept4(proxy.listener, NULL, NULL, SOCK_CLOEXEC);
	pthread_attr_t attr;
	pthread_t thread;

	if (fd < 0)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	if (faultrelay_count() >= proxy.connections_max ||
	    pthread_create(&thread, &attr, proxy_serve, (void *)(intptr_t)fd) !=
		0)
		close(fd);
	pthread_attr_destroy(&attr);
}

/* --- commands ------------------------------------------------------------ */

static int proxy_rule(char *rest)
{
	struct fault_rule rule;
	int rc;

	rc = faultrule_parse(rest, &rule);
	return rc == 0 ? faultrule_add(&rule) : rc;
}

static int proxy_command(char *line, int out)
{
	char *rest = line + strcspn(line, " \n");

	if (*rest)
		*rest++ = '\0';
	rest[strcspn(rest, "\n")] = '\0';
	if (strcmp(line, "rule") == 0)
		return proxy_rule(rest);
	if (strcmp(line, "listen") == 0)
		return proxy_set_listen(rest);
	if (strcmp(line, "rtt") == 0)
		faultrelay_rtt((unsigned int)strtoul(rest, NULL, 10));
	else if (strcmp(line, "count") == 0)
		faultcount_print(rest, out);
	else if (strcmp(line, "left") == 0)
		dprintf(out, "%ld\n", faultrule_left());
	else if (strcmp(line, "reset") == 0)
		faultcount_reset();
	else if (strcmp(line, "stop") == 0)
		proxy.stop = true;
	else if (strcmp(line, "clear") != 0)
		return -EINVAL;
	if (strcmp(line, "clear") == 0) {
		faultrule_clear();
		return proxy_set_listen("on");
	}
	return 0;
}

static void proxy_answer(int control)
{
	char line[PROXY_LINE_MAX] = "";
	int fd = accept4(control, NULL, NULL, SOCK_CLOEXEC), rc;
	struct timeval wait = {.tv_sec = 5};
	ssize_t got;

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	got = recv(fd, line, sizeof(line) - 1, 0);
	if (got > 0) {
		line[got] = '\0';
		rc = proxy_command(line, fd);
		dprintf(fd, rc == 0 ? "ok\n" : "error %s\n", strerror(-rc));
	}
	close(fd);
}

static struct sockaddr_un proxy_control_addr(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", proxy.control);
	return addr;
}

/* The other side: sends a command, prints what comes. */
static int proxy_ask(char **words)
{
	struct sockaddr_un addr = proxy_control_addr();
	char line[PROXY_LINE_MAX] = "", *text = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t size = 0, len = 0;
	FILE *in;
	int rc = 1;

	for (; *words; words++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%s",
					*words, words[1] ? " " : "\n");
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    send(fd, line, len, MSG_NOSIGNAL) < 0)
		proxy_die(proxy.control);
	in = fdopen(fd, "r");
	while (in && getline(&text, &size, in) > 0) {
		if (strcmp(text, "ok\n") == 0)
			rc = 0;
		else
			fputs(text,
			      strncmp(text, "error", 5) ? stdout : stderr);
	}
	free(text);
	return rc;
}

/* --- main ---------------------------------------------------------------- */

static int proxy_control(void)
{
	struct sockaddr_un addr = proxy_control_addr();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink(proxy.control);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 16) < 0)
		proxy_die(proxy.control);
	return fd;
}

static void proxy_run(int control)
{
	while (!proxy.stop && proxy_now() < proxy.end) {
		struct pollfd p[2] = {
		    {.fd = control, .events = POLLIN},
		    {.fd = proxy.blackhole ? -1 : proxy.listener,
		     .events = POLLIN}};

		if (poll(p, 2, 500) <= 0)
			continue;
		if (p[0].revents)
			proxy_answer(control);
		else if (p[1].revents)
			proxy_accept();
	}
}

static void proxy_usage(void)
{
	fputs("usage: faultproxy --listen ADDR:PORT --to ADDR:PORT --control "
	      "SOCKET\n           [--rtt MS] [--life SECONDS] [--connections "
	      "N]\n       faultproxy --control SOCKET COMMAND...\n",
	      stderr);
	exit(2);
}

static void proxy_number(const char *text, unsigned long max,
			 unsigned long *number)
{
	char *end;

	*number = strtoul(text, &end, 10);
	if (*end || *number > max)
		proxy_usage();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"listen", required_argument, NULL, 'l'},
	    {"to", required_argument, NULL, 't'},
	    {"control", required_argument, NULL, 'c'},
	    {"rtt", required_argument, NULL, 'r'},
	    {"life", required_argument, NULL, 'e'},
	    {"connections", required_argument, NULL, 'n'},
	    {NULL, 0, NULL, 0},
	};
	unsigned long number, life = PROXY_LIFE_S;
	struct sockaddr_storage to = {.ss_family = AF_UNSPEC};
	socklen_t to_len = 0;
	int c, control;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (c == 'l' &&
		    proxy_addr(optarg, &proxy.addr, &proxy.addr_len))
			continue;
		if (c == 't' && proxy_addr(optarg, &to, &to_len))
			continue;
		if (c == 'l' || c == 't' || c == '?')
			proxy_usage();
		if (c == 'c') {
			proxy.control = optarg;
			continue;
		}
		proxy_number(optarg, c == 'n' ? 4096 : PROXY_LIFE_MAX_S,
			     &number);
		if (c == 'r')
			faultrelay_rtt((unsigned int)number);
		else if (c == 'e')
			life = number;
		else
			proxy.connections_max = (unsigned int)number;
	}
	if (!proxy.control)
		proxy_usage();
	if (argv[optind])
		return proxy_ask(argv + optind);
	if (!to_len || !proxy.addr_len)
		proxy_usage();
	signal(SIGPIPE, SIG_IGN);
	faultrelay_to((struct sockaddr *)&to, to_len);
	control = proxy_control();
	if (proxy_listen() < 0)
		proxy_die("listen");
	proxy.end = proxy_now() + (time_t)life;
	/* The port is at the same place for v4 and v6. */
	printf("ready %u\n",
	       ntohs(((struct sockaddr_in *)&proxy.addr)->sin_port));
	fflush(stdout);
	proxy_run(control);
	unlink(proxy.control);
	return 0;
}
