/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_control_long: the long requests of the admin API, over a fake site: the
 * others are answered meanwhile, and streams larger than any body go both ways.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "admin/client.h"
#include "depot/depot.h"
#include "nfsd/control.h"
#include "tests/fake/fake_site.h"
#include "tests/fake/fake_view.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

struct fixture {
	char *dir, *socket, *store;
	struct depot *depot;
	struct site *site;
	struct view *view;
	struct control *control;
	struct client *client;
	struct failure failure;
};

static void fixture_open(struct fixture *f)
{
	static const struct depot_options options = {.memory_max = 64 << 20};
	struct control_daemon daemon = {.listen = "127.0.0.1:2049",
					.start_time_sec = 1};

	memset(f, 0, sizeof(*f));
	f->dir = tmpdir_new();
	f->socket = tmpdir_path(f->dir, "sock");
	f->store = tmpdir_path(f->dir, "store");
	mkdir(f->store, 0700);
	CU_ASSERT_EQUAL_FATAL(depot_open(f->store, &options, &f->depot), 0);
	CU_ASSERT_EQUAL_FATAL(site_open(f->depot, &f->site), 0);
	f->view = fake_view_new(7, "/red/vm1", "");
	fake_site_add(f->site, f->view);
	daemon.depot = f->depot;
	daemon.site = f->site;
	daemon.store_path = f->store;
	CU_ASSERT_EQUAL_FATAL(control_start(f->socket, &daemon, &f->control),
			      0);
	f->client = client_new(f->socket, 20);
}

static void fixture_close(struct fixture *f)
{
	client_free(f->client);
	control_stop(f->control);
	site_close(f->site);
	fake_view_free(f->view);
	depot_close(f->depot);
	failure_clear(&f->failure);
	free(f->socket);
	free(f->store);
	tmpdir_remove(f->dir);
}

/* One request of a client of its own, on a thread of its own. */
struct asking {
	struct fixture *f;
	pthread_t thread;
	struct failure failure;
	json_t *json;
	int rc;
};

static void *asking_run(void *arg)
{
	struct client_request request = {.method = "GET",
					 .path = "/v1/delta/verify",
					 .query = {{"name", "red/vm1"}}};
	struct asking *asking = arg;
	struct client *client = client_new(asking->f->socket, 30);

	asking->rc =
	    client_json(client, &request, &asking->json, &asking->failure);
	client_free(client);
	return NULL;
}

static void asking_start(struct asking *asking, struct fixture *f)
{
	*asking = (struct asking){.f = f};
	ASSERT(pthread_create(&asking->thread, NULL, asking_run, asking) == 0);
}

static void wait_held(struct fixture *f, unsigned int count)
{
	for (int i = 0; i < 5000 && fake_site_held(f->site) < count; i++)
		usleep(1000);
	CU_ASSERT_EQUAL_FATAL(fake_site_held(f->site), count);
}

/* Verifies do not return: status is answered all the same, and one verify more
 * than may be is refused; then all get their answers. */
static void test_others_go_on(void)
{
	struct client_request status = {.method = "GET", .path = "/v1/status"};
	struct asking asking[CONTROL_LONG_MAX], more;
	struct fixture f;
	json_t *json;

	fixture_open(&f);
	fake_site_hold(f.site, true);
	for (unsigned int i = 0; i < CONTROL_LONG_MAX; i++)
		asking_start(&asking[i], &f);
	wait_held(&f, CONTROL_LONG_MAX);
	CU_ASSERT_EQUAL_FATAL(client_json(f.client, &status, &json, &f.failure),
			      0);
	json_decref(json);
	check_mute();
	asking_start(&more, &f);
	pthread_join(more.thread, NULL);
	check_unmute();
	CU_ASSERT_EQUAL(more.rc, -EREMOTEIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(more.failure.message, "too many"));
	fake_site_hold(f.site, false);
	for (unsigned int i = 0; i < CONTROL_LONG_MAX; i++) {
		pthread_join(asking[i].thread, NULL);
		CU_ASSERT_EQUAL_FATAL(asking[i].rc, 0);
		CU_ASSERT_EQUAL(json_integer_value(json_object_get(
				    asking[i].json, "problems")),
				1);
		json_decref(asking[i].json);
	}
	failure_clear(&more.failure);
	fixture_close(&f);
}

/* A long request ends with the daemon, and who asked hears why. */
static void test_stop_ends(void)
{
	struct asking asking;
	struct fixture f;

	fixture_open(&f);
	fake_site_hold(f.site, true);
	asking_start(&asking, &f);
	wait_held(&f, 1);
	check_mute();
	depot_hurry(f.depot); /* first, as nfsd.c does */
	control_stop(STEAL(f.control));
	pthread_join(asking.thread, NULL);
	check_unmute();
	CU_ASSERT_EQUAL(asking.rc, -EREMOTEIO);
	CU_ASSERT_STRING_EQUAL(
	    asking.failure.message,
	    "cannot verify the delta of red/vm1: the daemon is ending");
	CU_ASSERT_STRING_EQUAL(
	    asking.failure.hint,
	    "try: the same again when vdrived has been started");
	failure_clear(&asking.failure);
	fixture_close(&f);
}

static void test_streams(void)
{
	struct client_request request = {.method = "GET",
					 .path = "/v1/delta/export",
					 .query = {{"name", "red/vm1"}},
					 .is_stream = true,
					 .out = tmpfile()};
	CLEANUP_FREE void *bytes = NULL;
	struct fixture f;
	json_t *json;
	size_t len;

	fixture_open(&f);
	CU_ASSERT_EQUAL_FATAL(
	    client_call(f.client, &request, &bytes, &len, &f.failure), 0);
	CU_ASSERT_EQUAL(len, FAKE_STREAM_LEN);
	request.method = "POST";
	request.path = "/v1/delta/import";
	request.in = STEAL(request.out);
	rewind(request.in);
	CU_ASSERT_EQUAL_FATAL(
	    client_json(f.client, &request, &json, &f.failure), 0);
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "bytes")),
			FAKE_STREAM_LEN);
	json_decref(json);
	CU_ASSERT_EQUAL(fake_site_imported(f.site), FAKE_STREAM_LEN);
	/* No bytes are no stream; of no guest there is none. */
	CU_ASSERT_TRUE(client_json(f.client, &request, &json, &f.failure) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	request.query[0].value = "red/vm2";
	CU_ASSERT_EQUAL(client_json(f.client, &request, &json, &f.failure),
			-ENOENT);
	fclose(request.in);
	fixture_close(&f);
}

/* Names that are no UTF-8 arrive as JSON all the same, one change a line. */
static void test_diff(void)
{
	struct client_request request = {.method = "GET",
					 .path = "/v1/delta/diff",
					 .query = {{"name", "red/vm1"}}};
	CLEANUP_FREE void *bytes = NULL;
	struct fixture f;
	json_t *json;
	size_t len;

	fixture_open(&f);
	CU_ASSERT_EQUAL_FATAL(
	    client_call(f.client, &request, &bytes, &len, &f.failure), 0);
	json = json_loadb(bytes, len, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "path")),
			       "a/?\n");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "kind")),
			       "R");
	CU_ASSERT_PTR_EQUAL(strchr(bytes, '\n'), (char *)bytes + len - 1);
	json_decref(json);
	fixture_close(&f);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"others_go_on", test_others_go_on},
	    {"stop_ends", test_stop_ends},
	    {"streams", test_streams},
	    {"diff", test_diff},
	};

	return check_main("test_control_long", tests, ARRAY_LEN(tests));
}
