/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_control: the admin API over its socket, in front of a real depot and
 * site, asked by admin/client.
 */
#include "nfsd/control.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "admin/client.h"
#include "depot/depot.h"
#include "depot/document.h"
#include "depot/shard.h"
#include "depot/tree_build.h"
#include "overlay/site.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { CHUNK_LEN = 5000, RAW_MAX = 64 << 10 };

struct fixture {
	char *dir, *socket, *store;
	struct depot *depot;
	struct site *site;
	struct control *control;
	struct client *client;
	struct failure failure;
	/* A package of one file. */
	uint8_t chunk[CHUNK_LEN];
	struct digest name, tree_digest;
	uint8_t frame[CONTROL_FRAME_HEADER + SHARD_MAX];
	size_t frame_len;
	void *tree;
	size_t tree_len;
	char tree_hex[DIGEST_HEX_LEN + 1];
	char *revision;
};

static void fixture_open(struct fixture *f)
{
	static const struct depot_options options = {.memory_max = 64 << 20};
	struct control_daemon daemon = {.listen = "127.0.0.1:2049",
					.start_time_sec = 1};
	CLEANUP_FREE char *run = NULL;

	memset(f, 0, sizeof(*f));
	f->dir = tmpdir_new();
	f->socket = tmpdir_path(f->dir, "run/vdrive.sock");
	f->store = tmpdir_path(f->dir, "store");
	mkdir(f->store, 0700);
	run = tmpdir_path(f->dir, "run");
	mkdir(run, 0700);
	CU_ASSERT_EQUAL_FATAL(depot_open(f->store, &options, &f->depot), 0);
	CU_ASSERT_EQUAL_FATAL(site_open(f->depot, &f->site), 0);
	daemon.depot = f->depot;
	daemon.site = f->site;
	CU_ASSERT_EQUAL_FATAL(control_start(f->socket, &daemon, &f->control),
			      0);
	f->client = client_new(f->socket, 20);
}

static void fixture_close(struct fixture *f)
{
	client_free(f->client);
	control_stop(f->control);
	site_close(f->site);
	depot_close(f->depot);
	failure_clear(&f->failure);
	free(f->tree);
	free(f->revision);
	free(f->socket);
	free(f->store);
	tmpdir_remove(f->dir);
}

static void make_package(struct fixture *f, unsigned int seed)
{
	struct tree_build *build = tree_build_new();
	struct tree_build_attr attr = {.mode = S_IFREG | 0644};
	struct revision_doc doc = {.name = "app",
				   .version = "1",
				   .files = 1,
				   .content_len = CHUNK_LEN};
	uint8_t *shard = f->frame + CONTROL_FRAME_HEADER;
	size_t len;

	free(STEAL(f->tree));
	free(STEAL(f->revision));
	check_fill(f->chunk, CHUNK_LEN, seed);
	f->name = shard_name_of(NULL, f->chunk, CHUNK_LEN);
	ASSERT(shard_seal(f->chunk, CHUNK_LEN, 6, shard, SHARD_MAX, &len) == 0);
	memcpy(f->frame, f->name.bytes, DIGEST_LEN);
	le32_put(f->frame + DIGEST_LEN, (uint32_t)len);
	f->frame_len = CONTROL_FRAME_HEADER + len;
	ASSERT(tree_build_file(build, "bin/app", &attr) == 0);
	ASSERT(tree_build_chunk(build, &f->name, CHUNK_LEN) == 0);
	ASSERT(tree_build_finish(build, &f->tree, &f->tree_len) == 0);
	tree_build_free(build);
	f->tree_digest = digest_of(f->tree, f->tree_len);
	digest_to_hex(&f->tree_digest, f->tree_hex);
	doc.tree = f->tree_digest;
	ASSERT(revision_write(&doc, &f->revision) == 0);
}

/* One request; its result, or -errno with f->failure filled. */
static int ask(struct fixture *f, struct client_request request, json_t **json)
{
	json_t *unused;
	int rc;

	failure_clear(&f->failure);
	rc = client_json(f->client, &request, json ? json : &unused,
			 &f->failure);
	if (rc == 0 && !json)
		json_decref(unused);
	return rc;
}

#define GET(p, ...)                                                            \
	(struct client_request)                                                \
	{                                                                      \
		.method = "GET", .path = p, .query = { __VA_ARGS__ }           \
	}
#define POST(p, b, l, ...)                                                     \
	(struct client_request)                                                \
	{                                                                      \
		.method = "POST", .path = p, .body = b, .body_len = l,         \
		.query = {                                                     \
			__VA_ARGS__                                            \
		}                                                              \
	}

static int commit(struct fixture *f, const char *tag, json_t **json)
{
	return ask(f,
		   POST("/v1/packages", f->revision, strlen(f->revision),
			{"name", "app"}, {"tag", tag}, {"tree", f->tree_hex}),
		   json);
}

static int put_all(struct fixture *f)
{
	int rc;

	rc = ask(f, POST("/v1/shards/put", f->frame, f->frame_len), NULL);
	if (rc == 0)
		rc = ask(f, POST("/v1/tree", f->tree, f->tree_len), NULL);
	return rc ? rc : commit(f, "1", NULL);
}

static json_int_t number(json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

/* --- packages ----------------------------------------------------------------
 */

static void test_create(void)
{
	struct fixture f;
	json_t *json;

	fixture_open(&f);
	make_package(&f, 1);
	CU_ASSERT_EQUAL_FATAL(
	    ask(&f, POST("/v1/shards/put", f.frame, f.frame_len), &json), 0);
	CU_ASSERT_EQUAL(number(json, "added"), 1);
	CU_ASSERT_EQUAL(number(json, "bytes_added"),
			(json_int_t)(f.frame_len - CONTROL_FRAME_HEADER));
	json_decref(json);
	CU_ASSERT_EQUAL_FATAL(put_all(&f), 0);
	/* The same again is success, and nothing new. */
	CU_ASSERT_EQUAL_FATAL(commit(&f, "1", &json), 0);
	CU_ASSERT_TRUE(json_is_false(json_object_get(json, "created")));
	json_decref(json);
	/* Another tag needs no tree: it is here. */
	CU_ASSERT_EQUAL_FATAL(commit(&f, "2", &json), 0);
	CU_ASSERT_TRUE(json_is_true(json_object_get(json, "created")));
	json_decref(json);
	CU_ASSERT_EQUAL_FATAL(ask(&f, GET("/v1/packages"), &json), 0);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(json, "packages")), 2);
	json_decref(json);
	CU_ASSERT_EQUAL_FATAL(
	    ask(&f, GET("/v1/package", {"ref", "app:1"}), &json), 0);
	CU_ASSERT_STRING_EQUAL(
	    json_string_value(json_object_get(json, "revision_json")),
	    f.revision);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "tree")),
			       f.tree_hex);
	json_decref(json);
	fixture_close(&f);
}

static void test_create_refused(void)
{
	struct fixture f;

	fixture_open(&f);
	check_mute();
	make_package(&f, 1);
	/* No tree yet; then a tree whose shards are not here. */
	CU_ASSERT_TRUE(commit(&f, "1", NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_MISSING);
	CU_ASSERT_EQUAL(ask(&f, POST("/v1/tree", f.tree, f.tree_len), NULL), 0);
	CU_ASSERT_TRUE(commit(&f, "1", NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	CU_ASSERT_EQUAL(put_all(&f), 0);
	/* The tag is taken. */
	make_package(&f, 2);
	CU_ASSERT_TRUE(put_all(&f) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_CONFLICT);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.hint, "another tag"));
	/* A revision of another tree, and text that is none. */
	make_package(&f, 3);
	memset(f.tree_hex, '0', DIGEST_HEX_LEN);
	CU_ASSERT_TRUE(commit(&f, "3", NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	f.revision[0] = '[';
	CU_ASSERT_TRUE(commit(&f, "3", NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	check_unmute();
	fixture_close(&f);
}

static void test_bad_content(void)
{
	struct fixture f;

	fixture_open(&f);
	check_mute();
	make_package(&f, 1);
	f.frame[f.frame_len - 1] ^= 1;
	CU_ASSERT_TRUE(
	    ask(&f, POST("/v1/shards/put", f.frame, f.frame_len), NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	CU_ASSERT_TRUE(ask(&f, POST("/v1/shards/put", f.frame, f.frame_len - 1),
			   NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_USAGE);
	CU_ASSERT_TRUE(ask(&f, POST("/v1/shards/put", f.frame, 10), NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_USAGE);
	CU_ASSERT_TRUE(ask(&f, POST("/v1/tree", f.chunk, CHUNK_LEN), NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	check_unmute();
	fixture_close(&f);
}

static void test_shards(void)
{
	uint8_t names[2 * DIGEST_LEN] = {0}, numbers[8] = {0};
	CLEANUP_FREE void *bytes = NULL;
	CLEANUP_FREE void *frames = NULL;
	struct client_request request;
	struct fixture f;
	size_t len;

	fixture_open(&f);
	make_package(&f, 1);
	CU_ASSERT_EQUAL_FATAL(put_all(&f), 0);
	memcpy(names + DIGEST_LEN, f.name.bytes, DIGEST_LEN);
	request = POST("/v1/shards/have", names, sizeof(names));
	CU_ASSERT_EQUAL_FATAL(
	    client_call(f.client, &request, &bytes, &len, &f.failure), 0);
	CU_ASSERT_EQUAL(len, 2);
	CU_ASSERT_EQUAL(memcmp(bytes, "01", 2), 0);
	request.body_len = 33;
	CU_ASSERT_TRUE(ask(&f, request, NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_USAGE);

	request = POST("/v1/shards/get", numbers, 4, {"tree", f.tree_hex});
	CU_ASSERT_EQUAL_FATAL(
	    client_call(f.client, &request, &frames, &len, &f.failure), 0);
	CU_ASSERT_EQUAL(len, f.frame_len);
	CU_ASSERT_EQUAL(memcmp(frames, f.frame, len), 0);
	numbers[4] = 1; /* there is no second shard */
	request.body_len = 8;
	CU_ASSERT_TRUE(ask(&f, request, NULL) < 0);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_USAGE);
	fixture_close(&f);
}

static void test_tree(void)
{
	CLEANUP_FREE void *bytes = NULL;
	struct client_request request;
	struct fixture f;
	size_t len;

	fixture_open(&f);
	make_package(&f, 1);
	CU_ASSERT_EQUAL_FATAL(put_all(&f), 0);
	request = GET("/v1/tree", {"digest", f.tree_hex});
	CU_ASSERT_EQUAL_FATAL(
	    client_call(f.client, &request, &bytes, &len, &f.failure), 0);
	CU_ASSERT_EQUAL(len, f.tree_len);
	CU_ASSERT_EQUAL(memcmp(bytes, f.tree, len), 0);
	check_mute();
	CU_ASSERT_EQUAL(ask(&f, GET("/v1/tree", {"digest", "zz"}), NULL),
			-EREMOTEIO);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_USAGE);
	memset(f.tree_hex, '0', DIGEST_HEX_LEN);
	CU_ASSERT_EQUAL(ask(&f, GET("/v1/tree", {"digest", f.tree_hex}), NULL),
			-ENOENT);
	check_unmute();
	fixture_close(&f);
}

/* More trees than are held: the oldest is forgotten, the newest is not. */
static void test_held_trees(void)
{
	struct fixture f;

	fixture_open(&f);
	for (unsigned int i = 1; i <= CONTROL_TREES_HELD_MAX + 1; i++) {
		make_package(&f, i);
		CU_ASSERT_EQUAL(
		    ask(&f, POST("/v1/shards/put", f.frame, f.frame_len), NULL),
		    0);
		CU_ASSERT_EQUAL(
		    ask(&f, POST("/v1/tree", f.tree, f.tree_len), NULL), 0);
	}
	CU_ASSERT_EQUAL(commit(&f, "last", NULL), 0);
	check_mute();
	make_package(&f, 1);
	CU_ASSERT_EQUAL(commit(&f, "first", NULL), -ENOENT);
	make_package(&f, 2);
	CU_ASSERT_EQUAL(commit(&f, "second", NULL), 0);
	check_unmute();
	fixture_close(&f);
}

/* --- tenants, guests, upstreams ----------------------------------------------
 */

static int add_guest(struct fixture *f, const char *name, const char *addr)
{
	return ask(f,
		   POST("/v1/guests", NULL, 0, {"name", name}, {"addr", addr},
			{"devices", "0"}, {"squash", "1"}),
		   NULL);
}

static void test_site(void)
{
	struct fixture f;
	json_t *json, *row;

	fixture_open(&f);
	make_package(&f, 1);
	CU_ASSERT_EQUAL_FATAL(put_all(&f), 0);
	CU_ASSERT_EQUAL(
	    ask(&f, POST("/v1/tenants", NULL, 0, {"name", "red"}), NULL), 0);
	CU_ASSERT_EQUAL_FATAL(ask(&f,
				  POST("/v1/assign", "app:1\n", 6,
				       {"tenant", "red"}, {"order", "0"}),
				  &json),
			      0);
	CU_ASSERT_EQUAL(number(json, "generation"), 1);
	json_decref(json);
	CU_ASSERT_EQUAL(add_guest(&f, "red/vm1", "10.20.0.11"), 0);
	CU_ASSERT_EQUAL(add_guest(&f, "red/vm1", "10.20.0.11"), 0);
	CU_ASSERT_EQUAL_FATAL(ask(&f, GET("/v1/exports"), &json), 0);
	row = json_array_get(json_object_get(json, "exports"), 0);
	CU_ASSERT_STRING_EQUAL(
	    json_string_value(json_object_get(row, "export")), "/red/vm1");
	CU_ASSERT_TRUE(json_is_true(json_object_get(row, "root_squash")));
	json_decref(json);
	CU_ASSERT_EQUAL_FATAL(ask(&f, GET("/v1/tenants"), &json), 0);
	row = json_array_get(json_object_get(json, "tenants"), 0);
	CU_ASSERT_EQUAL(number(row, "guests"), 1);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(row, "packages")), 1);
	json_decref(json);
	CU_ASSERT_EQUAL_FATAL(ask(&f, GET("/v1/status"), &json), 0);
	CU_ASSERT_EQUAL(number(json, "guests"), 1);
	CU_ASSERT_EQUAL(number(json_object_get(json, "depot"), "packages"), 1);
	json_decref(json);
	fixture_close(&f);
}

static void refused(struct fixture *f, struct client_request request, int code,
		    const char *word)
{
	CU_ASSERT_TRUE(ask(f, request, NULL) < 0);
	CU_ASSERT_EQUAL(f->failure.code, code);
	CU_ASSERT_PTR_NOT_NULL(strstr(f->failure.message, word));
}

static void test_site_refused(void)
{
	struct fixture f;

	fixture_open(&f);
	check_mute();
	refused(&f, POST("/v1/tenants", NULL, 0, {"name", "Red!"}),
		CONTROL_EXIT_USAGE, "Red!");
	refused(&f, POST("/v1/tenants", NULL, 0), CONTROL_EXIT_USAGE, "name");
	refused(
	    &f,
	    POST("/v1/assign", "app\n", 4, {"tenant", "red"}, {"order", "2"}),
	    CONTROL_EXIT_USAGE, "order");
	refused(&f, POST("/v1/assign", "app:9\n", 6, {"tenant", "red"}),
		CONTROL_EXIT_MISSING, "app:9");
	refused(&f, POST("/v1/assign", "a b\n", 4, {"tenant", "red"}),
		CONTROL_EXIT_USAGE, "a b");
	refused(&f, POST("/v1/assign", "\n", 1, {"tenant", "red"}),
		CONTROL_EXIT_USAGE, "no package");
	refused(&f, POST("/v1/guests", NULL, 0, {"name", "red"}),
		CONTROL_EXIT_USAGE, "TENANT/GUEST");
	refused(&f, POST("/v1/guests", NULL, 0, {"name", "red/../x"}),
		CONTROL_EXIT_USAGE, "red/../x");
	refused(&f,
		POST("/v1/guests", NULL, 0, {"name", "red/a"},
		     {"addr", "10.0.0.300"}),
		CONTROL_EXIT_USAGE, "10.0.0.300");
	refused(&f, POST("/v1/guests", NULL, 0, {"name", "red/a"}),
		CONTROL_EXIT_MISSING, "red");
	refused(&f,
		POST("/v1/upstreams", NULL, 0, {"name", "lab"},
		     {"url", "dir:/nonexistent"}, {"unsigned", "0"}),
		CONTROL_EXIT_UPSTREAM, "nonexistent");
	refused(&f,
		POST("/v1/upstreams", NULL, 0, {"name", "lab"},
		     {"url", "dir:/nonexistent"}, {"key", "9A"}),
		CONTROL_EXIT_USAGE, "9A");
	refused(&f,
		POST("/v1/keys", NULL, 0, {"upstream", "lab"},
		     {"key", "d75a980182b10ab7d54bfed3c964073a"
			     "0ee172f3daa62325af021a68f707511a"}),
		CONTROL_EXIT_MISSING, "lab");
	refused(&f, POST("/v1/pull", NULL, 0, {"ref", "app:9"}),
		CONTROL_EXIT_MISSING, "app:9");
	refused(&f,
		POST("/v1/pull", NULL, 0, {"ref", "app:9"}, {"from", "lab"}),
		CONTROL_EXIT_MISSING, "lab");
	refused(&f, POST("/v1/upstreams/remove", NULL, 0, {"name", "lab"}),
		CONTROL_EXIT_MISSING, "lab");
	refused(&f, GET("/v1/package", {"ref", "nosuch:1"}),
		CONTROL_EXIT_MISSING, "nosuch:1");
	refused(&f, GET("/v1/nosuch"), CONTROL_EXIT_FAILED, "/v1/nosuch");
	refused(&f, POST("/v1/status", NULL, 0), CONTROL_EXIT_FAILED,
		"/v1/status");
	check_unmute();
	fixture_close(&f);
}

/* --- the socket --------------------------------------------------------------
 */

/* Send bytes as they are; the first line of the answer. */
static void raw(struct fixture *f, const char *text, char *line, size_t cap)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t n;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", f->socket);
	ASSERT(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	n = send(fd, text, strlen(text), MSG_NOSIGNAL);
	ASSERT(n == (ssize_t)strlen(text));
	n = read(fd, line, cap - 1);
	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
}

static void test_too_long(void)
{
	char line[256];
	struct fixture f;

	fixture_open(&f);
	raw(&f,
	    "POST /v1/shards/have HTTP/1.1\r\nHost: x\r\n"
	    "Content-Length: 67108865\r\n\r\n",
	    line, sizeof(line));
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "413"));
	raw(&f,
	    "POST /v1/tenants?name=red HTTP/1.1\r\nHost: x\r\n"
	    "Content-Length: 1\r\n\r\nx",
	    line, sizeof(line));
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "413"));
	raw(&f,
	    "POST /v1/tenants?name=red HTTP/1.1\r\nHost: x\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
	    line, sizeof(line));
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "413"));
	fixture_close(&f);
}

static void test_socket(void)
{
	struct control_daemon daemon = {.listen = ""};
	struct control *second = NULL;
	struct fixture f;
	struct stat st;

	fixture_open(&f);
	ASSERT(stat(f.socket, &st) == 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0660);
	check_mute();
	CU_ASSERT_EQUAL(control_start(f.socket, &daemon, &second), -EADDRINUSE);
	check_unmute();
	/* It still serves. */
	CU_ASSERT_EQUAL(ask(&f, GET("/v1/status"), NULL), 0);
	control_stop(STEAL(f.control));
	CU_ASSERT_EQUAL(access(f.socket, F_OK), -1);
	CU_ASSERT_EQUAL(ask(&f, GET("/v1/status"), NULL), -ENOTCONN);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_NO_DAEMON);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, f.socket));
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.hint, "try: "));
	fixture_close(&f);
}

/* A socket file that a killed daemon left behind is replaced. */
static void test_stale_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct control_daemon daemon = {.listen = ""};
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "s");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct control *control = NULL;
	FILE *file;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	ASSERT(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	close(fd);
	CU_ASSERT_EQUAL_FATAL(control_start(path, &daemon, &control), 0);
	control_stop(control);
	/* A file that is no socket is not ours to remove. */
	file = fopen(path, "w");
	fclose(file);
	check_mute();
	CU_ASSERT_EQUAL(control_start(path, &daemon, &control), -ENOTSOCK);
	check_unmute();
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
}

/* In a child that is nobody; its exit status is the code it was told. */
__attribute__((noreturn)) static void ask_as_nobody(struct fixture *f)
{
	struct client_request request = GET("/v1/status");
	struct client *client;
	json_t *json;

	if (setuid(65534) < 0)
		_exit(99);
	client = client_new(f->socket, 20);
	if (client_json(client, &request, &json, &f->failure) == 0)
		_exit(0);
	_exit(f->failure.code);
}

/* File modes are one lock, the uid of the caller the other. */
static void test_peer(void)
{
	struct fixture f;
	int status = 0;
	pid_t pid;

	if (geteuid() != 0)
		return;
	fixture_open(&f);
	ASSERT(chmod(f.dir, 0755) == 0);
	CU_ASSERT_EQUAL(ask(&f, GET("/v1/status"), NULL), 0);
	for (int open = 0; open < 2; open++) {
		if (open) {
			CLEANUP_FREE char *run = tmpdir_path(f.dir, "run");

			ASSERT(chmod(run, 0755) == 0);
			ASSERT(chmod(f.socket, 0666) == 0);
		}
		pid = fork();
		if (pid == 0)
			ask_as_nobody(&f);
		ASSERT(waitpid(pid, &status, 0) == pid);
		CU_ASSERT_TRUE(WIFEXITED(status));
		CU_ASSERT_EQUAL(WEXITSTATUS(status),
				CONTROL_EXIT_NOT_PERMITTED);
	}
	fixture_close(&f);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"create", test_create},
	    {"create_refused", test_create_refused},
	    {"bad_content", test_bad_content},
	    {"shards", test_shards},
	    {"tree", test_tree},
	    {"held_trees", test_held_trees},
	    {"site", test_site},
	    {"site_refused", test_site_refused},
	    {"too_long", test_too_long},
	    {"socket", test_socket},
	    {"stale_socket", test_stale_socket},
	    {"peer", test_peer},
	};

	return check_main("test_control", tests, ARRAY_LEN(tests));
}
