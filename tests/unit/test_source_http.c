/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_source_http: what a web server may answer, and what we take.  The server
 * is a thread of this test, whose answers are written out, byte by byte.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "depot/source.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

enum { TEST_BUF = 16384, TEST_ENDLESS = 64 << 20 };

struct test_server {
	int listener;
	unsigned int port;
	pthread_t thread;
	/* One answer at a time, set between requests. */
	const char *answer;                 /* borrows; atomic */
	bool endless;                       /* 'x' till the client has enough */
	bool hang_up;                       /* close after the answer */
	bool silent;                        /* no answer at all */
	unsigned int connections, requests; /* atomic */
	char request[TEST_BUF];
};

/* true: a whole head, in server->request. */
static bool test_server_head(struct test_server *server, int fd)
{
	size_t len = 0;
	ssize_t n;

	while (len < TEST_BUF - 1) {
		n = recv(fd, server->request + len, TEST_BUF - 1 - len, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
		server->request[len] = '\0';
		if (strstr(server->request, "\r\n\r\n"))
			return true;
	}
	return false;
}

static bool test_server_send(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static void test_server_answer(struct test_server *server, int fd)
{
	const char *answer = __atomic_load_n(&server->answer, __ATOMIC_ACQUIRE);
	char block[4096];

	test_server_send(fd, answer, strlen(answer));
	memset(block, 'x', sizeof(block));
	for (size_t sent = 0; server->endless && sent < TEST_ENDLESS;
	     sent += sizeof(block))
		if (!test_server_send(fd, block, sizeof(block)))
			break;
}

static void *test_server_main(void *arg)
{
	struct test_server *server = arg;
	int fd;

	while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
		__atomic_fetch_add(&server->connections, 1, __ATOMIC_RELAXED);
		while (test_server_head(server, fd)) {
			__atomic_fetch_add(&server->requests, 1,
					   __ATOMIC_RELAXED);
			if (server->silent)
				continue;
			test_server_answer(server, fd);
			if (server->hang_up)
				break;
		}
		close(fd);
	}
	return NULL;
}

static void test_server_start(struct test_server *server)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);

	memset(server, 0, sizeof(*server));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT(server->listener >= 0);
	ASSERT(bind(server->listener, (struct sockaddr *)&addr, len) == 0);
	ASSERT(listen(server->listener, 16) == 0);
	ASSERT(getsockname(server->listener, (struct sockaddr *)&addr, &len) ==
	       0);
	server->port = ntohs(addr.sin_port);
	ASSERT(pthread_create(&server->thread, NULL, test_server_main,
			      server) == 0);
}

/* After the clients: their connections end the inner loop. */
static void test_server_stop(struct test_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
}

static struct source *test_source(const struct test_server *server)
{
	struct source *source;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/depot", server->port);
	ASSERT(source_new(url, NULL, &source) == 0);
	return source;
}

static void test_set(struct test_server *server, const char *answer)
{
	__atomic_store_n(&server->answer, answer, __ATOMIC_RELEASE);
}

#define TEST_206(range, body_len, body)                                        \
	"HTTP/1.1 206 Partial Content\r\nContent-Length: " body_len            \
	"\r\nContent-Range: bytes " range "\r\n\r\n" body
#define TEST_200(body_len, more, body)                                         \
	"HTTP/1.1 200 OK\r\nContent-Length: " body_len "\r\n" more "\r\n" body

static void test_get(void)
{
	struct test_server server;
	struct source_fault fault;
	struct source *source;
	void *buf = NULL;
	size_t len = 0;

	test_server_start(&server);
	source = test_source(&server);
	test_set(&server, TEST_200("5", "", "hello"));
	CU_ASSERT_EQUAL_FATAL(
	    source->ops->get(source, "tags/a.json", 100, &buf, &len, &fault),
	    0);
	CU_ASSERT_EQUAL(len, 5);
	CU_ASSERT_STRING_EQUAL((char *)buf, "hello");
	free(buf);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(server.request, "GET /depot/tags/a.json HTTP/1.1\r\n"));
	CU_ASSERT_PTR_NULL(strstr(server.request, "Accept-Encoding"));
	CU_ASSERT_PTR_NULL(strstr(server.request, "Range"));
	test_set(&server, TEST_200("0", "", ""));
	CU_ASSERT_EQUAL(source->ops->get(source, "x", 100, &buf, &len, &fault),
			0);
	CU_ASSERT_EQUAL(len, 0);
	free(buf);
	CU_ASSERT_EQUAL(server.connections, 1);
	CU_ASSERT_EQUAL(server.requests, 2);
	source_free(source);
	test_server_stop(&server);
}

struct test_case {
	const char *what;
	const char *answer;
	int rc;
	bool hang_up;
	const char *text; /* in the fault */
};

static void test_case_run(const struct test_case *c, bool range, uint64_t off)
{
	struct test_server server;
	struct source_fault fault = {.text = ""};
	struct source *source;
	char five[5] = "";
	void *buf = NULL;
	size_t len;
	int rc;

	test_server_start(&server);
	server.hang_up = c->hang_up;
	source = test_source(&server);
	test_set(&server, c->answer);
	if (range)
		rc = source->ops->range(source, "p", off, 5, five, &fault);
	else
		rc = source->ops->get(source, "p", 100, &buf, &len, &fault);
	CU_ASSERT_EQUAL(rc, c->rc);
	if (rc != c->rc)
		fprintf(stderr, "case: %s: %d (%s)\n", c->what, rc, fault.text);
	if (rc == 0 && range)
		CU_ASSERT_EQUAL(memcmp(five, "hello", 5), 0);
	if (rc < 0) {
		CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "GET http://127."));
		CU_ASSERT_PTR_NOT_NULL(
		    strstr(fault.text, c->text ? c->text : ""));
	}
	if (rc == 0 && !range)
		free(buf);
	source_free(source);
	test_server_stop(&server);
}

static void test_get_cases(void)
{
	static const struct test_case cases[] = {
	    {"404", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
	     -ENOENT, false, "404"},
	    {"403", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
	     -ENOENT, false, "403"},
	    {"500", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
	     -EHOSTUNREACH, false, "500"},
	    {"redirect",
	     "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\n"
	     "Content-Length: 0\r\n\r\n",
	     -EBADMSG, false, "302"},
	    {"204", "HTTP/1.1 204 No Content\r\n\r\n", -EBADMSG, false, "204"},
	    {"gzip", TEST_200("5", "Content-Encoding: gzip\r\n", "hello"),
	     -EBADMSG, false, "Content-Encoding"},
	    {"identity",
	     TEST_200("5", "content-encoding: identity\r\n", "hello"), 0, false,
	     NULL},
	    {"206 unasked", TEST_206("0-4/9", "5", "hello"), -EBADMSG, false,
	     "part"},
	    {"short", TEST_200("50", "", "hello"), -EHOSTUNREACH, true, NULL},
	    {"too long",
	     TEST_200("101", "",
		      "0123456789012345678901234567890123456789"
		      "0123456789012345678901234567890123456789"
		      "012345678901234567890"),
	     -EFBIG, false, "longer"},
	    {"no HTTP", "SSH-2.0-x\r\n\r\n", -EHOSTUNREACH, true, NULL},
	    {"nothing", "", -EHOSTUNREACH, true, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		test_case_run(&cases[i], false, 0);
}

static void test_range_cases(void)
{
	static const struct test_case cases[] = {
	    {"right", TEST_206("7-11/99", "5", "hello"), 0, false, NULL},
	    {"total unknown", TEST_206("7-11/*", "5", "hello"), 0, false, NULL},
	    {"other range", TEST_206("8-12/99", "5", "hello"), -EBADMSG, false,
	     "another range"},
	    {"no Content-Range",
	     "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello",
	     -EBADMSG, false, "another range"},
	    {"shorter", TEST_206("7-11/99", "4", "hell"), -EBADMSG, false,
	     "4 bytes instead of 5"},
	    {"longer", TEST_206("7-11/99", "6", "hello!"), -EBADMSG, false,
	     "longer"},
	    {"cut off", TEST_206("7-11/99", "5", "hel"), -EHOSTUNREACH, true,
	     NULL},
	    {"whole object", TEST_200("99", "", "hello"), -EBADMSG, true,
	     "ignores ranges"},
	    {"416",
	     "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: "
	     "0\r\n\r\n",
	     -EBADMSG, false, "416"},
	    {"503",
	     "HTTP/1.1 503 Later\r\nRetry-After: 2\r\nContent-Length: "
	     "0\r\n\r\n",
	     -EHOSTUNREACH, false, "503"},
	    {"encoded",
	     "HTTP/1.1 206 Partial Content\r\nContent-Encoding: br\r\n"
	     "Content-Range: bytes 7-11/99\r\nContent-Length: 5\r\n\r\nhello",
	     -EBADMSG, false, "Content-Encoding"},
	};
	static const struct test_case whole[] = {
	    {"200, whole object", TEST_200("5", "", "hello"), 0, false, NULL},
	    {"200, shorter", TEST_200("4", "", "hell"), -EBADMSG, false,
	     "4 bytes"},
	    {"200, longer", TEST_200("6", "", "hello!"), -EBADMSG, false,
	     "longer"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		test_case_run(&cases[i], true, 7);
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		test_case_run(&whole[i], true, 0);
}

static void test_retry_after(void)
{
	struct test_server server;
	struct source_fault fault;
	struct source *source;
	char byte;

	test_server_start(&server);
	source = test_source(&server);
	test_set(&server, "HTTP/1.1 429 Slow\r\nRetry-After: 9\r\n"
			  "Content-Length: 0\r\n\r\n");
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			-EHOSTUNREACH);
	CU_ASSERT_EQUAL(fault.retry_after_s, 9);
	test_set(&server, "HTTP/1.1 503 Slow\r\nRetry-After: 9999\r\n"
			  "Content-Length: 0\r\n\r\n");
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			-EHOSTUNREACH);
	CU_ASSERT_EQUAL(fault.retry_after_s, 30);
	/* The same connection, also after errors. */
	CU_ASSERT_EQUAL(server.connections, 1);
	source_free(source);
	test_server_stop(&server);
}

/* A body without end costs what was asked for, and not more. */
static void test_endless(void)
{
	struct test_server server;
	struct source_fault fault;
	struct source *source;
	uint64_t start = check_now_ns();
	void *buf;
	size_t len;

	test_server_start(&server);
	server.endless = server.hang_up = true;
	source = test_source(&server);
	test_set(&server, "HTTP/1.1 200 OK\r\n\r\n");
	CU_ASSERT_EQUAL(
	    source->ops->get(source, "p", 100000, &buf, &len, &fault), -EFBIG);
	test_set(&server, "HTTP/1.1 404 No\r\n\r\n");
	CU_ASSERT_EQUAL(
	    source->ops->get(source, "p", 100000, &buf, &len, &fault), -ENOENT);
	CU_ASSERT(check_now_ns() - start < 2000000000);
	source_free(source);
	test_server_stop(&server);
}

static void test_refused(void)
{
	struct test_server server;
	struct source_fault fault;
	struct source *source;
	char byte;

	test_server_start(&server);
	source = test_source(&server);
	test_server_stop(&server);
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			-EHOSTUNREACH);
	CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "Connection refused"));
	source_free(source);
}

static void test_credentials(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *file = tmpdir_path(dir, "keys");
	struct source_options options = {.credentials = file};
	struct test_server server;
	struct source_fault fault;
	struct source *source;
	char url[64], byte;

	test_server_start(&server);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/depot", server.port);
	ASSERT(source_new(url, &options, &source) == 0);
	test_set(&server, TEST_206("0-0/9", "1", "x"));
	/* Not there, open to others, good, changed. */
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			-EHOSTUNREACH);
	CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "credentials"));
	kit_file_write(file, "user=a\npassword=b\n", 18);
	ASSERT(chmod(file, 0644) == 0);
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			-EHOSTUNREACH);
	CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "chmod 600"));
	CU_ASSERT_EQUAL(server.requests, 0);
	ASSERT(chmod(file, 0600) == 0);
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			0);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(server.request, "Authorization: Basic YTpi\r\n"));
	kit_file_write(file, "user=a\npassword=cc\n", 19);
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			0);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(server.request, "Authorization: Basic YTpjYw==\r\n"));
	source_free(source);
	test_server_stop(&server);
}

/* Another server's words do not take the credentials there: no redirect. */
static void test_redirect(void)
{
	struct test_server server, other;
	struct source_fault fault;
	struct source *source;
	char answer[128], byte;

	test_server_start(&server);
	test_server_start(&other);
	snprintf(answer, sizeof(answer),
		 "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/p\r\n"
		 "Content-Length: 0\r\n\r\n",
		 other.port);
	test_set(&server, answer);
	source = test_source(&server);
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			-EBADMSG);
	CU_ASSERT_EQUAL(other.connections, 0);
	source_free(source);
	test_server_stop(&server);
	test_server_stop(&other);
}

static void *test_stop_later(void *arg)
{
	usleep(100000);
	source_stop(arg);
	return NULL;
}

/* A server that never answers holds nobody at the end. */
static void test_stop(void)
{
	struct test_server server;
	struct source_fault fault;
	struct source *source;
	pthread_t thread;
	char byte;

	test_server_start(&server);
	server.silent = true;
	source = test_source(&server);
	ASSERT(pthread_create(&thread, NULL, test_stop_later, source) == 0);
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			-ECANCELED);
	pthread_join(thread, NULL);
	source_free(source);
	test_server_stop(&server);
}

/* What asks for a whole object ends; a range of the same upstream goes on. */
static void test_stop_get(void)
{
	struct test_server server;
	struct source_fault fault;
	struct source *source;
	char byte = 0;
	size_t len;
	void *buf;

	test_server_start(&server);
	test_set(&server, "HTTP/1.1 206 Partial Content\r\n"
			  "Content-Range: bytes 0-0/9\r\n"
			  "Content-Length: 1\r\n\r\nx");
	source = test_source(&server);
	source_stop_get(source);
	CU_ASSERT_EQUAL(source->ops->get(source, "p", 9, &buf, &len, &fault),
			-ECANCELED);
	CU_ASSERT_EQUAL(source->ops->range(source, "p", 0, 1, &byte, &fault),
			0);
	CU_ASSERT_EQUAL(byte, 'x');
	source_free(source);
	test_server_stop(&server);
}

static void *test_hurry_later(void *arg)
{
	usleep(100000);
	depot_hurry(arg);
	return NULL;
}

/* Three tries of 15 s held the daemon's end up for 46 s, and a server of a few
 * bytes a second for as long as it liked. */
static void test_hurry(void)
{
	CLEANUP_FREE char *dir = tmpdir_new();
	struct depot *depot = kit_open(dir);
	struct upstream_spec spec = {.name = "u", .is_unsigned = true};
	struct test_server server;
	struct timespec from, to;
	pthread_t thread;
	char url[64];

	test_server_start(&server);
	server.silent = true;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", server.port);
	spec.url = url;
	clock_gettime(CLOCK_MONOTONIC, &from);
	ASSERT(pthread_create(&thread, NULL, test_hurry_later, depot) == 0);
	CU_ASSERT_EQUAL(depot_upstream_set(depot, &spec), -ECANCELED);
	/* Later ones likewise. */
	CU_ASSERT_EQUAL(depot_upstream_set(depot, &spec), -ECANCELED);
	clock_gettime(CLOCK_MONOTONIC, &to);
	CU_ASSERT(to.tv_sec - from.tv_sec < 5);
	pthread_join(thread, NULL);
	depot_close(depot);
	tmpdir_remove(STEAL(dir));
	test_server_stop(&server);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"get, one connection", test_get},
	    {"get: what a server may answer", test_get_cases},
	    {"range: what a server may answer", test_range_cases},
	    {"Retry-After", test_retry_after},
	    {"a body without end", test_endless},
	    {"connection refused", test_refused},
	    {"credentials", test_credentials},
	    {"a redirect to another host", test_redirect},
	    {"stop", test_stop},
	    {"stop of gets", test_stop_get},
	    {"the end of the daemon does not wait", test_hurry},
	};

	return check_main("test_source_http", tests, ARRAY_LEN(tests));
}
