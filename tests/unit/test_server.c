/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole server with its threads over loopback: several clients, calls that
 * wait and changes that settle on other threads, stopping.  For TSan, too.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "nfsd/fh.h"
#include "nfsd/server.h"
#include "nfsd/wirebytes.h"
#include "gen/mount3.h"
#include "gen/nfs3.h"
#include "tests/fake/fake_site.h"
#include "tests/fake/fake_view.h"
#include "tests/lib/check.h"

enum {
	ROOT = 1,
	CLIENTS = 4,
	ROUNDS = 300,
	FILE_LEN = 300000,
};

static struct view *view;
static struct site *site;
static struct server *server;
static uint8_t *file_data;
static uint64_t file;
static int stop_helper; /* atomic */

static void set_up(unsigned int threads, unsigned int hold_ms)
{
	static const char *const listen[] = {"127.0.0.1:0"};
	struct server_options options = {
	    .listen = listen,
	    .listen_count = 1,
	    .threads = threads,
	    .poll_us = 50,
	    .hold_ms = hold_ms,
	};

	view = fake_view_new(7, "/red/vm1", "127.0.0.1");
	file_data = malloc(FILE_LEN);
	ASSERT(file_data);
	check_fill(file_data, FILE_LEN, 1);
	file = fake_view_add_file(view, ROOT, "file", file_data, FILE_LEN);
	ASSERT(site_open(NULL, &site) == 0);
	fake_site_add(site, view);
	ASSERT(server_new(&options, site, &server) == 0);
	ASSERT(server_start(server) == 0);
}

static void tear_down(void)
{
	server_stop(server);
	server_free(server);
	site_close(site);
	fake_view_free(view);
	free(file_data);
}

/* --- a simple client: one call at a time -------------------------------------
 */

struct client {
	int fd;
	uint32_t xid;
	uint8_t *p;
	uint8_t call[1024];
	uint8_t reply[FILE_LEN + 1024];
	size_t reply_len; /* body behind the header of 24 bytes */
};

static int client_connect(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	addr.sin_port =
	    htons((uint16_t)atoi(strrchr(server_listen_text(server), ':') + 1));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT(fd >= 0);
	ASSERT(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void client_begin(struct client *client, uint32_t program, uint32_t proc)
{
	uint8_t *p = client->call + 4;

	p = put_u32(p, ++client->xid);
	p = put_u32(p, 0);
	p = put_u32(p, 2);
	p = put_u32(p, program);
	p = put_u32(p, 3);
	p = put_u32(p, proc);
	p = put_u32(p, 1);
	p = put_u32(p, 20);
	memset(p, 0, 28);
	client->p = p + 28;
}

static void client_fh(struct client *client, uint64_t fileid)
{
	struct view_object obj = {.fileid = fileid,
				  .generation = fileid == ROOT ? 0 : 1};
	uint8_t fh[FH_LEN];

	fh_make(view_get_info(view), obj, fh);
	client->p = put_opaque(client->p, fh, sizeof(fh));
}

static void client_send(struct client *client)
{
	size_t len = (size_t)(client->p - client->call);

	be32_put(client->call, 0x80000000u | (uint32_t)(len - 4));
	ASSERT(send(client->fd, client->call, len, MSG_NOSIGNAL) ==
	       (ssize_t)len);
}

static bool client_receive_all(int fd, uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fd, p, len, 0);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* The next reply's body; its first word, or UINT32_MAX: closed. */
static uint32_t client_take(struct client *client)
{
	uint8_t mark[4];
	uint32_t len;

	if (!client_receive_all(client->fd, mark, 4))
		return UINT32_MAX;
	len = be32_get(mark) & 0x7fffffff;
	if (len < 28 || len > sizeof(client->reply) ||
	    !client_receive_all(client->fd, client->reply, len))
		return UINT32_MAX;
	client->reply_len = len;
	return be32_get(client->reply + 24);
}

static uint32_t client_call(struct client *client)
{
	uint32_t status;

	client_send(client);
	status = client_take(client);
	if (be32_get(client->reply) != client->xid)
		return UINT32_MAX;
	return status;
}

static uint32_t client_mkdir(struct client *client, const char *name)
{
	client_begin(client, NFS3_PROGRAM, NFS3_MKDIR);
	client_fh(client, ROOT);
	client->p = put_opaque(client->p, name, strlen(name));
	memset(client->p, 0, 24);
	client->p += 24;
	return client_call(client);
}

static void client_begin_read(struct client *client, uint64_t off, uint32_t len)
{
	client_begin(client, NFS3_PROGRAM, NFS3_READ);
	client_fh(client, file);
	client->p = put_u64(client->p, off);
	client->p = put_u32(client->p, len);
}

/* Settles and wakes, as a log and a pool would. */
static void *helper_run(void *arg)
{
	struct timespec pause = {.tv_nsec = 200000};

	(void)arg;
	while (!__atomic_load_n(&stop_helper, __ATOMIC_ACQUIRE)) {
		fake_view_settle(view, 0);
		fake_view_wake(view);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void *client_run(void *arg)
{
	unsigned int number = *(unsigned int *)arg;
	struct client *client = calloc(1, sizeof(*client));
	unsigned int bad = 0;
	char name[32];

	ASSERT(client);
	client->fd = client_connect();
	client->xid = number << 20;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint32_t off = i * 997 % (FILE_LEN - 5000), len = 1 + i * 13;

		client_begin(client, NFS3_PROGRAM, NFS3_GETATTR);
		client_fh(client, file);
		bad += client_call(client) != NFS3_OK;
		snprintf(name, sizeof(name), "d%u.%u", number, i);
		bad += client_mkdir(client, name) != NFS3_OK;
		client_begin_read(client, off, len);
		bad += client_call(client) != NFS3_OK;
		bad +=
		    memcmp(client->reply + 24 + 104, file_data + off, len) != 0;
	}
	close(client->fd);
	free(client);
	return (void *)(uintptr_t)bad;
}

static void test_many_clients(void)
{
	pthread_t threads[CLIENTS], helper;
	unsigned int numbers[CLIENTS];
	struct stats stats;

	set_up(2, 0);
	fake_view_pend(view, true);
	fake_view_hold(view, 200);
	stop_helper = 0;
	pthread_create(&helper, NULL, helper_run, NULL);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		numbers[i] = i + 1;
		pthread_create(&threads[i], NULL, client_run, &numbers[i]);
	}
	for (unsigned int i = 0; i < CLIENTS; i++) {
		void *bad;

		pthread_join(threads[i], &bad);
		CU_ASSERT_PTR_NULL(bad);
	}
	server_get_stats(server, &stats);
	CU_ASSERT_EQUAL(stats.nfs3_calls[NFS3_GETATTR], CLIENTS * ROUNDS);
	CU_ASSERT_EQUAL(stats.nfs3_calls[NFS3_MKDIR], CLIENTS * ROUNDS);
	CU_ASSERT_EQUAL(stats.replies, 3 * CLIENTS * ROUNDS);
	CU_ASSERT_EQUAL(stats.connections_accepted, CLIENTS);
	CU_ASSERT_EQUAL(stats.in_flight, 0);
	CU_ASSERT_EQUAL(fake_view_changes(view), CLIENTS * ROUNDS);
	__atomic_store_n(&stop_helper, 1, __ATOMIC_RELEASE);
	pthread_join(helper, NULL);
	tear_down();
}

/* N-07 between workers: the answer goes to the newest connection only. */
static void test_duplicate_between_workers(void)
{
	struct client *first = calloc(1, sizeof(*first));
	struct client *second = calloc(1, sizeof(*second));
	struct stats stats;

	set_up(2, 0);
	ASSERT(first && second);
	first->fd = client_connect();
	second->fd = client_connect();
	fake_view_pend(view, true);
	for (unsigned int i = 0; i < 50; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		client_begin(first, NFS3_PROGRAM, NFS3_MKDIR);
		client_fh(first, ROOT);
		first->p = put_opaque(first->p, name, strlen(name));
		memset(first->p, 0, 24);
		first->p += 24;
		client_send(first);
		do
			server_get_stats(server, &stats);
		while (stats.in_flight < 1);
		second->xid = first->xid;
		memcpy(second->call, first->call, sizeof(first->call));
		second->p = second->call + (first->p - first->call);
		client_send(second);
		do
			server_get_stats(server, &stats);
		while (stats.in_flight < 2);
		fake_view_settle(view, 0);
		CU_ASSERT_EQUAL(client_take(second), NFS3_OK);
		do
			server_get_stats(server, &stats);
		while (stats.in_flight > 0);
	}
	/* Nothing ever came on the first one but this. */
	client_begin(first, NFS3_PROGRAM, NFS3_GETATTR);
	client_fh(first, file);
	CU_ASSERT_EQUAL(client_call(first), NFS3_OK);
	CU_ASSERT_EQUAL(fake_view_changes(view), 50);
	CU_ASSERT_EQUAL(stats.retransmissions, 50);
	close(first->fd);
	close(second->fd);
	free(first);
	free(second);
	tear_down();
}

/* A call that waits gets JUKEBOX when the hold is over; others go on. */
static void test_hold(void)
{
	struct client *client = calloc(1, sizeof(*client));
	uint64_t from;

	set_up(1, 300);
	ASSERT(client);
	client->fd = client_connect();
	fake_view_hold(view, 1);
	from = check_now_ns();
	client_begin_read(client, 0, 10);
	client_send(client);
	client_begin(client, NFS3_PROGRAM, NFS3_GETATTR);
	client_fh(client, file);
	/* Its reply is the first to come. */
	CU_ASSERT_EQUAL(client_call(client), NFS3_OK);
	CU_ASSERT_EQUAL(client_take(client), NFS3ERR_JUKEBOX);
	CU_ASSERT_TRUE(check_now_ns() - from > 250000000);
	close(client->fd);
	free(client);
	tear_down();
}

static uint64_t polls(void)
{
	struct stats stats = {0};

	server_get_stats(server, &stats);
	return stats.polls;
}

static uint32_t client_getattr(struct client *client)
{
	client_begin(client, NFS3_PROGRAM, NFS3_GETATTR);
	client_fh(client, file);
	return client_call(client);
}

/* Polls of a worker that has just been given bytes it had waited for, or that
 * were fetched ahead; UINT64_MAX when this thread was too slow to tell. */
static uint64_t polls_when_fed(struct client *client, bool ahead)
{
	uint64_t before, from, after;

	usleep(ahead ? 40000 : 0); /* what was waited for before is past */
	fake_view_fetched(view, ahead);
	fake_view_hold(view, !ahead);
	client_begin_read(client, 0, 10);
	client_send(client);
	usleep(ahead ? 0 : 12000);
	while (!ahead && fake_view_wake(view) == 0)
		;
	from = check_now_ns();
	CU_ASSERT_EQUAL(client_take(client), NFS3_OK);
	before = polls();
	for (int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(client_getattr(client), NFS3_OK);
	after = polls();
	return check_now_ns() - from < 10000000 ? after - before : UINT64_MAX;
}

/* What comes from an upstream has to be opened: that needs the processor. */
static void test_polls(void)
{
	struct client *client = calloc(1, sizeof(*client));

	set_up(1, 0);
	ASSERT(client);
	client->fd = client_connect();
	for (int i = 0; i < 500000 && polls() == 0; i++)
		CU_ASSERT_EQUAL(client_getattr(client), NFS3_OK);
	CU_ASSERT_TRUE(polls() > 0);
	for (int ahead = 0; ahead < 2; ahead++) {
		uint64_t when_fed = UINT64_MAX;

		for (int i = 0; i < 200 && when_fed == UINT64_MAX; i++)
			when_fed = polls_when_fed(client, ahead);
		CU_ASSERT_EQUAL(when_fed, 0);
	}
	close(client->fd);
	free(client);
	tear_down();
}

/* Half a call, and a client that reads nothing: neighbours do not notice. */
static void test_bad_neighbours(void)
{
	struct client *good = calloc(1, sizeof(*good));
	struct client *bad = calloc(1, sizeof(*bad));
	uint64_t from, worst = 0;
	int half;

	set_up(1, 0);
	ASSERT(good && bad);
	half = client_connect();
	ASSERT(send(half, "\x80\x00\x00\x60half", 8, 0) == 8);
	bad->fd = client_connect();
	good->fd = client_connect();
	for (int i = 0; i < 400; i++) {
		client_begin_read(bad, 0, FILE_LEN);
		/* The server stops reading at last. */
		be32_put(bad->call,
			 0x80000000u | (uint32_t)(bad->p - bad->call - 4));
		if (send(bad->fd, bad->call, (size_t)(bad->p - bad->call),
			 MSG_DONTWAIT) < 0)
			break;
	}
	for (int i = 0; i < 100; i++) {
		from = check_now_ns();
		client_begin(good, NFS3_PROGRAM, NFS3_GETATTR);
		client_fh(good, file);
		CU_ASSERT_EQUAL(client_call(good), NFS3_OK);
		worst = MAX(worst, check_now_ns() - from);
	}
	CU_ASSERT_TRUE(worst < 1000000000);
	close(half);
	close(bad->fd);
	close(good->fd);
	free(good);
	free(bad);
	tear_down();
}

/* What settles while the server stops is still answered. */
static void *settle_soon(void *arg)
{
	struct timespec pause = {.tv_nsec = 100000000};

	(void)arg;
	nanosleep(&pause, NULL);
	fake_view_settle(view, 0);
	return NULL;
}

static void test_stop_answers(void)
{
	struct client *client = calloc(1, sizeof(*client));
	struct stats stats;
	pthread_t thread;

	set_up(2, 0);
	ASSERT(client);
	client->fd = client_connect();
	fake_view_pend(view, true);
	client_begin(client, NFS3_PROGRAM, NFS3_COMMIT);
	client_fh(client, file);
	client->p = put_u64(client->p, 0);
	client->p = put_u32(client->p, 0);
	client_send(client);
	do
		server_get_stats(server, &stats);
	while (stats.in_flight == 0);
	pthread_create(&thread, NULL, settle_soon, NULL);
	server_stop(server);
	CU_ASSERT_EQUAL(client_take(client), NFS3_OK);
	CU_ASSERT_EQUAL(client_take(client), UINT32_MAX);
	pthread_join(thread, NULL);
	close(client->fd);
	free(client);
	tear_down();
}

/* Waiting calls and open connections at the end: cancelled, no leak. */
static void test_stop_cancels(void)
{
	struct client *client = calloc(1, sizeof(*client));
	struct stats stats;
	int idle[20];

	set_up(2, 0);
	ASSERT(client);
	for (size_t i = 0; i < ARRAY_LEN(idle); i++)
		idle[i] = client_connect();
	client->fd = client_connect();
	fake_view_hold(view, 3);
	for (int i = 0; i < 3; i++) {
		client_begin_read(client, 0, 10);
		client_send(client);
	}
	do
		server_get_stats(server, &stats);
	while (stats.in_flight < 3);
	server_stop(server);
	CU_ASSERT_EQUAL(client_take(client), UINT32_MAX);
	for (size_t i = 0; i < ARRAY_LEN(idle); i++)
		close(idle[i]);
	close(client->fd);
	free(client);
	tear_down();
}

static void test_bad_addresses(void)
{
	static const char *const bad[] = {
	    "127.0.0.1",   "127.0.0.1:", ":2049",
	    "127.0.0.1:x", "[]:1",       "192.0.2.1:1"};
	struct server *none = NULL;

	check_mute();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct server_options options = {
		    .listen = &bad[i],
		    .listen_count = 1,
		    .threads = 1,
		};

		CU_ASSERT_TRUE(server_new(&options, NULL, &none) < 0);
	}
	check_unmute();
	CU_ASSERT_PTR_NULL(none);
}

/* Connections that have used an export are closed; others stay. */
static void test_close_export(void)
{
	struct client *one = calloc(1, sizeof(*one));
	struct client *two = calloc(1, sizeof(*two));
	uint8_t byte;

	set_up(2, 300);
	ASSERT(one && two);
	one->fd = client_connect();
	two->fd = client_connect();
	client_begin(one, NFS3_PROGRAM, NFS3_GETATTR);
	client_fh(one, file);
	CU_ASSERT_EQUAL(client_call(one), NFS3_OK);
	server_close_export(server, 8);
	usleep(50000);
	CU_ASSERT_EQUAL(recv(one->fd, &byte, 1, MSG_DONTWAIT), -1);
	server_close_export(server, 7);
	CU_ASSERT_EQUAL(recv(one->fd, &byte, 1, 0), 0);
	client_begin(two, NFS3_PROGRAM, NFS3_GETATTR);
	client_fh(two, file);
	CU_ASSERT_EQUAL(client_call(two), NFS3_OK);
	close(one->fd);
	close(two->fd);
	free(one);
	free(two);
	tear_down();
}

static const struct check_test tests[] = {
    {"many clients, waits and settles", test_many_clients},
    {"duplicate between workers", test_duplicate_between_workers},
    {"hold", test_hold},
    {"polls, but not while cold bytes come", test_polls},
    {"bad neighbours", test_bad_neighbours},
    {"stop answers what settles", test_stop_answers},
    {"stop cancels what waits", test_stop_cancels},
    {"bad addresses", test_bad_addresses},
    {"close an export's connections", test_close_export},
};

int main(void)
{
	return check_main("test_server", tests, ARRAY_LEN(tests));
}
