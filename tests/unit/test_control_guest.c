/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_control_guest: guests and tenants that are made through the admin API
 * while syncs fail: each is there with all that was asked for, its quota and
 * its listening address, or it is not there.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "admin/client.h"
#include "depot/depot.h"
#include "nfsd/control.h"
#include "nfsd/server.h"
#include "overlay/site.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { TEST_QUOTA = 5 << 20, TEST_SYNCS_MAX = 20 };

/* The n-th sync from now on fails, as of a disk that is full; 0: none. */
static unsigned int test_fail_at; /* atomic */

int fdatasync(int fd)
{
	unsigned int left = __atomic_load_n(&test_fail_at, __ATOMIC_RELAXED);

	if (left > 0 &&
	    __atomic_sub_fetch(&test_fail_at, 1, __ATOMIC_RELAXED) == 0) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static bool test_no_dirs; /* atomic: none can be made */

int mkdir(const char *path, mode_t mode)
{
	if (!__atomic_load_n(&test_no_dirs, __ATOMIC_RELAXED))
		return (int)syscall(SYS_mkdir, path, mode);
	errno = ENOSPC;
	return -1;
}

struct test {
	char *dir, *socket, *store;
	struct depot *depot;
	struct site *site;
	struct server *server;
	struct control *control;
	struct client *client;
	struct failure failure;
};

static int test_post(struct test *t, struct client_request request)
{
	json_t *json;
	int rc;

	request.method = "POST";
	failure_clear(&t->failure);
	rc = client_json(t->client, &request, &json, &t->failure);
	if (rc == 0)
		json_decref(json);
	return rc;
}

static void test_open(struct test *t)
{
	static const struct depot_options options = {.memory_max = 64 << 20};
	static const char *const listen[] = {"127.0.0.1:0"};
	struct server_options server = {
	    .listen = listen, .listen_count = 1, .threads = 1};
	struct control_daemon daemon = {.listen = "127.0.0.1:0"};

	memset(t, 0, sizeof(*t));
	t->dir = tmpdir_new();
	t->socket = tmpdir_path(t->dir, "sock");
	t->store = tmpdir_path(t->dir, "store");
	mkdir(t->store, 0700);
	ASSERT(depot_open(t->store, &options, &t->depot) == 0);
	ASSERT(site_open(t->depot, &t->site) == 0);
	ASSERT(server_new(&server, t->site, &t->server) == 0);
	ASSERT(server_start(t->server) == 0);
	daemon.depot = t->depot;
	daemon.site = t->site;
	daemon.server = t->server;
	daemon.quota_bytes = 1 << 20;
	ASSERT(control_start(t->socket, &daemon, &t->control) == 0);
	t->client = client_new(t->socket, 20);
	ASSERT(site_tenant_create(t->site, "red") == 0);
}

/* Nobody asks the site any more. */
static void test_stop(struct test *t)
{
	client_free(STEAL(t->client));
	control_stop(STEAL(t->control));
	if (t->server)
		server_stop(t->server);
	server_free(STEAL(t->server));
}

static void test_close(struct test *t)
{
	test_stop(t);
	site_close(t->site);
	depot_close(t->depot);
	failure_clear(&t->failure);
	free(t->socket);
	free(t->store);
	tmpdir_remove(t->dir);
}

struct test_look {
	const char *guest;
	struct site_guest_info info;
	bool found;
};

static int test_look(void *ctx, const struct site_guest_info *info)
{
	struct test_look *look = ctx;

	if (strcmp(info->guest, look->guest) != 0)
		return 0;
	look->info = *info;
	look->found = true;
	return 1;
}

/* Somebody listens there. */
static bool test_is_served(const struct site_listen *at)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(at->port)};
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
}

/* One request with the n-th sync failing; false: none failed. */
static bool test_once(struct test *t, const char *guest, unsigned int n,
		      struct client_request request)
{
	struct test_look look = {.guest = guest};
	bool failed;
	int rc;

	__atomic_store_n(&test_fail_at, n, __ATOMIC_RELAXED);
	check_mute();
	rc = test_post(t, request);
	check_unmute();
	failed = __atomic_exchange_n(&test_fail_at, 0, __ATOMIC_RELAXED) == 0;
	CU_ASSERT_EQUAL(rc < 0, failed);
	CU_ASSERT_TRUE(site_guest_list(t->site, test_look, &look) >= 0);
	CU_ASSERT_EQUAL(look.found, rc == 0);
	if (look.found) {
		CU_ASSERT_EQUAL(look.info.quota.bytes, TEST_QUOTA);
		CU_ASSERT_EQUAL(look.info.quota.files, 7);
		CU_ASSERT_NOT_EQUAL(look.info.access.listen.port, 0);
		CU_ASSERT_TRUE(test_is_served(&look.info.access.listen));
	}
	return failed;
}

static void test_added(void)
{
	bool failed = true;
	struct test t;
	unsigned int n;

	for (n = 1; failed && n < TEST_SYNCS_MAX; n++) {
		test_open(&t);
		failed = test_once(&t, "vm1", n,
				   (struct client_request){
				       .path = "/v1/guests",
				       .query = {{"name", "red/vm1"},
						 {"listen", "127.0.0.1:0"},
						 {"quota_bytes", "5242880"},
						 {"quota_files", "7"}}});
		test_close(&t);
	}
	CU_ASSERT_TRUE(n > 2);
	CU_ASSERT_FALSE(failed);
}

static void test_cloned(void)
{
	struct site_guest_options options = {0};
	bool failed = true;
	struct test t;
	unsigned int n;

	for (n = 1; failed && n < TEST_SYNCS_MAX; n++) {
		test_open(&t);
		ASSERT(site_guest_add(t.site, "red/vm1", &options) == 0);
		failed = test_once(&t, "vm2", n,
				   (struct client_request){
				       .path = "/v1/delta/clone",
				       .query = {{"from", "red/vm1"},
						 {"name", "red/vm2"},
						 {"listen", "127.0.0.1:0"},
						 {"quota_bytes", "5242880"},
						 {"quota_files", "7"}}});
		test_close(&t);
	}
	CU_ASSERT_TRUE(n > 2);
	CU_ASSERT_FALSE(failed);
}

static bool test_is_there(struct test *t, const char *guest)
{
	struct test_look look = {.guest = guest};

	CU_ASSERT_TRUE(site_guest_list(t->site, test_look, &look) >= 0);
	return look.found;
}

/* What cannot be opened, or not be written down, is not there after the next
 * start either, and can be made then. */
static void test_add_again(void)
{
	struct site_guest_options options = {.addr = "10.0.0.7"};
	struct test t;

	test_open(&t);
	check_mute();
	__atomic_store_n(&test_no_dirs, true, __ATOMIC_RELAXED);
	CU_ASSERT_EQUAL(site_guest_add(t.site, "red/vm1", &options), -ENOSPC);
	__atomic_store_n(&test_no_dirs, false, __ATOMIC_RELAXED);
	CU_ASSERT_FALSE(test_is_there(&t, "vm1"));
	/* Its number, and then its record. */
	__atomic_store_n(&test_fail_at, 2, __ATOMIC_RELAXED);
	CU_ASSERT_TRUE(site_guest_add(t.site, "red/vm2", &options) < 0);
	CU_ASSERT_EQUAL(__atomic_exchange_n(&test_fail_at, 0, __ATOMIC_RELAXED),
			0);
	check_unmute();
	CU_ASSERT_FALSE(test_is_there(&t, "vm2"));
	test_stop(&t);
	site_close(t.site);
	ASSERT(site_open(t.depot, &t.site) == 0);
	CU_ASSERT_FALSE(test_is_there(&t, "vm1"));
	test_close(&t);
}

static int test_blue(void *ctx, const struct site_tenant_info *info)
{
	if (strcmp(info->name, "blue") != 0)
		return 0;
	*(struct site_quota *)ctx = info->quota;
	return 1;
}

static void test_tenant(void)
{
	struct client_request request = {
	    .path = "/v1/tenants",
	    .query = {{"name", "blue"}, {"quota_bytes", "5242880"}}};
	bool failed = true;
	struct test t;
	unsigned int n;

	for (n = 1; failed && n < TEST_SYNCS_MAX; n++) {
		struct site_quota quota = {0};
		int rc, found;

		test_open(&t);
		__atomic_store_n(&test_fail_at, n, __ATOMIC_RELAXED);
		check_mute();
		rc = test_post(&t, request);
		check_unmute();
		failed = __atomic_exchange_n(&test_fail_at, 0,
					     __ATOMIC_RELAXED) == 0;
		found = site_tenant_list(t.site, test_blue, &quota);
		CU_ASSERT_EQUAL(rc < 0, failed);
		CU_ASSERT_EQUAL(found == 1, rc == 0);
		CU_ASSERT_EQUAL(quota.bytes, rc == 0 ? TEST_QUOTA : 0);
		test_close(&t);
	}
	CU_ASSERT_TRUE(n > 2);
	CU_ASSERT_FALSE(failed);
}

static const struct check_test tests[] = {
    {"added while a sync fails", test_added},
    {"cloned while a sync fails", test_cloned},
    {"what could not be opened is not there", test_add_again},
    {"a tenant made while a sync fails", test_tenant},
};

int main(void)
{
	return check_main("test_control_guest", tests, ARRAY_LEN(tests));
}
