/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "nfsd/conf.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

static int load(struct conf *conf, const char *text)
{
	ASSERT(conf_init(conf) == 0);
	return conf_load_text(conf, "vdrive.conf", text);
}

static void check_error(const char *text, const char *want)
{
	struct conf conf;

	CU_ASSERT_EQUAL(load(&conf, text), -EINVAL);
	if (strcmp(conf.error, want) != 0)
		fprintf(stderr, "got:  %s\nwant: %s\n", conf.error, want);
	CU_ASSERT_STRING_EQUAL(conf.error, want);
	conf_free(&conf);
}

static void test_defaults(void)
{
	struct conf conf;

	CU_ASSERT_EQUAL(load(&conf, ""), 0);
	CU_ASSERT_EQUAL(conf.listen_count, 1);
	CU_ASSERT_STRING_EQUAL(conf.listen[0], "127.0.0.1:2049");
	CU_ASSERT_EQUAL(conf.threads, 0);
	CU_ASSERT_EQUAL(conf.poll_us, 50);
	CU_ASSERT_EQUAL(conf.memory, 512ull << 20);
	CU_ASSERT_EQUAL(conf.quota, 2ull << 30);
	CU_ASSERT_EQUAL(conf.fill, CONF_FILL_AUTO);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "upstream.fill=off"), 0);
	CU_ASSERT_EQUAL(conf.fill, 0);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "upstream.fill=auto"), 0);
	CU_ASSERT_EQUAL(conf.fill, CONF_FILL_AUTO);
	CU_ASSERT_EQUAL(conf.snapshots, 5);
	CU_ASSERT_EQUAL(conf.log_level, LOG_LEVEL_INFO);
	CU_ASSERT_EQUAL(conf_finish(&conf, true), 0);
	CU_ASSERT_STRING_EQUAL(conf.store_path, "/var/lib/vdrive");
	CU_ASSERT_STRING_EQUAL(conf.admin_socket, "/run/vdrive/vdrive.sock");
	conf_free(&conf);
}

static void test_all_keys(void)
{
	struct conf conf;

	CU_ASSERT_EQUAL(load(&conf, "# comment\n"
				    "[nfs]\n"
				    "listen = 10.0.0.1:2049 ; inline\n"
				    "listen=[::1]:0\n"
				    "threads = 3\n"
				    "poll-us = 0\n"
				    "[store]\n"
				    "path = /srv/drive\n"
				    "memory = 2G\n"
				    "[upstream]\n"
				    "plans = off\n"
				    "plan-bytes = 64M\n"
				    "fill = 10M\n"
				    "[delta]\n"
				    "quota = none\n"
				    "snapshots = 7\n"
				    "[peer]\n"
				    "listen = 10.0.0.1:2050\n"
				    "rate = 100M\n"
				    "[upstream]\n"
				    "parallel = 7\n"
				    "inflight = 8M\n"
				    "hedge = 250ms\n"
				    "timeout = 4\n"
				    "patience = 2m\n"
				    "[admin]\n"
				    "socket = /tmp/s\n"
				    "[log]\n"
				    "level = debug\n"),
			0);
	CU_ASSERT_EQUAL_FATAL(conf.listen_count, 2);
	CU_ASSERT_STRING_EQUAL(conf.listen[0], "10.0.0.1:2049");
	CU_ASSERT_STRING_EQUAL(conf.listen[1], "[::1]:0");
	CU_ASSERT_EQUAL(conf.threads, 3);
	CU_ASSERT_EQUAL(conf.poll_us, 0);
	CU_ASSERT_EQUAL(conf.memory, 2ull << 30);
	CU_ASSERT_EQUAL(conf.quota, 0);
	CU_ASSERT_EQUAL(conf.snapshots, 7);
	CU_ASSERT_FALSE(conf.plans);
	CU_ASSERT_EQUAL(conf.plan_bytes, 64ull << 20);
	CU_ASSERT_EQUAL(conf.fill, 10ull << 20);
	CU_ASSERT_EQUAL(conf.upstream.parallel, 7);
	CU_ASSERT_EQUAL(conf.upstream.inflight, 8 << 20);
	CU_ASSERT_EQUAL(conf.upstream.hedge_ms, 250);
	CU_ASSERT_EQUAL(conf.upstream.timeout_ms, 4000);
	CU_ASSERT_EQUAL(conf.upstream.patience_ms, 120000);
	CU_ASSERT_EQUAL(conf.upstream.retry_ms, 0);
	CU_ASSERT_EQUAL(conf.log_level, LOG_LEVEL_DEBUG);
	CU_ASSERT_EQUAL(conf_finish(&conf, true), 0);
	CU_ASSERT_STRING_EQUAL(conf.store_path, "/srv/drive");
	CU_ASSERT_STRING_EQUAL(conf.admin_socket, "/tmp/s");
	CU_ASSERT_STRING_EQUAL(conf.peer_listen, "10.0.0.1:2050");
	CU_ASSERT_EQUAL(conf.peer_rate, 100ull << 20);
	conf_free(&conf);
}

static void test_errors(void)
{
	check_error("[nfs]\nlisten = 127.0.0.1:1\n\nlisten = a:1\nlisen = x\n",
		    "vdrive.conf:5: unknown key \"lisen\" in [nfs]; did you "
		    "mean \"listen\"?");
	check_error("[nsf]\nlisten = a:1\n",
		    "vdrive.conf:2: unknown section [nsf]; did you mean "
		    "[nfs]?");
	check_error("[something]\nx = 1\n",
		    "vdrive.conf:2: unknown section [something]");
	check_error("[nfs]\nzzzzzzzzz = 1\n",
		    "vdrive.conf:2: unknown key \"zzzzzzzzz\" in [nfs]");
	check_error("listen = a:1\n",
		    "vdrive.conf:1: \"listen\" stands before any [section]");
	check_error("[nfs]\nthreads = 2\nthreads = 3\n",
		    "vdrive.conf:3: threads is set twice in [nfs]");
	check_error("[nfs]\nwhat\n",
		    "vdrive.conf:2: neither [section] nor key = value");
	check_error("[nfs]\nlisten = nowhere\n",
		    "vdrive.conf:2: listen: \"nowhere\" is not ADDRESS:PORT, "
		    "such as 127.0.0.1:2049");
	check_error("[store]\npath = here\n",
		    "vdrive.conf:2: path: \"here\" is not an absolute path");
}

static void test_bad_values(void)
{
	static const char *const bad[] = {
	    "[upstream]\nparallel = 0\n",
	    "[upstream]\nparallel = 65\n",
	    "[upstream]\ninflight = 1K\n",
	    "[upstream]\nhedge = 0\n",
	    "[upstream]\ntimeout = 2x\n",
	    "[upstream]\npatience = 100000h\n",
	    "[upstream]\nretry =\n",
	    "[nfs]\nthreads = 0\n",
	    "[nfs]\nthreads = 17\n",
	    "[nfs]\nthreads = -1\n",
	    "[nfs]\nthreads = 3x\n",
	    "[nfs]\nthreads =\n",
	    "[nfs]\npoll-us = 1001\n",
	    "[nfs]\npoll-us = 5us\n",
	    "[nfs]\nlisten = 1.2.3.4:65536\n",
	    "[nfs]\nlisten = :1\n",
	    "[nfs]\nlisten = 1.2.3.4:\n",
	    "[store]\nmemory = 1M\n",
	    "[delta]\nquota = 0\n",
	    "[delta]\nquota = nothing\n",
	    "[delta]\nsnapshots = 8\n",
	    "[upstream]\nplans = maybe\n",
	    "[upstream]\nplan-bytes = 0\n",
	    "[upstream]\nfill = on\n",
	    "[store]\nmemory = 512MB\n",
	    "[limits]\nguest-connections = 0\n",
	    "[limits]\nguest-parked = many\n",
	    "[limits]\ntenant-held = 1000\n",
	    "[limits]\naddress-connections = 1000001\n",
	    "[store]\nmemory = 99999999999T\n",
	    "[store]\nmemory = 18446744073709551616\n",
	    "[store]\nmemory = G\n",
	    "[store]\nmemory =\n",
	    "[log]\nlevel = loud\n",
	    "[admin]\nsocket = s\n",
	};
	struct conf conf;
	char text[400];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CU_ASSERT_EQUAL(load(&conf, bad[i]), -EINVAL);
		CU_ASSERT_NOT_EQUAL(conf.error[0], '\0');
		conf_free(&conf);
	}
	/* A line that libinih would cut in two. */
	memset(text, 'x', sizeof(text));
	memcpy(text, "[store]\npath = /", 16);
	text[398] = '\n';
	text[399] = '\0';
	CU_ASSERT_EQUAL(load(&conf, text), -EINVAL);
	CU_ASSERT_NOT_EQUAL(strstr(conf.error, "vdrive.conf:2: longer"), NULL);
	conf_free(&conf);
}

static void test_env_and_options(void)
{
	char *env[] = {(char *)(uintptr_t) "PATH=/bin",
		       (char *)(uintptr_t) "VDRIVE_NFS_POLL_US=7",
		       (char *)(uintptr_t) "VDRIVE_NFS_LISTEN=1.1.1.1:1",
		       (char *)(uintptr_t) "VDRIVE_SOCKET=/elsewhere",
		       (char *)(uintptr_t) "VDRIVE_STORE_PATH=/env",
		       NULL};
	char *bad_key[] = {(char *)(uintptr_t) "VDRIVE_NFS_LISTN=1:1", NULL};
	char *bad_value[] = {(char *)(uintptr_t) "VDRIVE_NFS_THREADS=x", NULL};
	struct conf conf;

	CU_ASSERT_EQUAL(load(&conf, "[nfs]\nlisten=9.9.9.9:9\npoll-us=1\n"), 0);
	CU_ASSERT_EQUAL(conf_load_env(&conf, env), 0);
	CU_ASSERT_EQUAL(conf.poll_us, 7);
	CU_ASSERT_EQUAL(conf.listen_count, 1);
	CU_ASSERT_STRING_EQUAL(conf.listen[0], "1.1.1.1:1");
	CU_ASSERT_STRING_EQUAL(conf.store_path, "/env");
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.listen=2.2.2.2:2"), 0);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.listen=3.3.3.3:3"), 0);
	CU_ASSERT_EQUAL_FATAL(conf.listen_count, 2);
	CU_ASSERT_STRING_EQUAL(conf.listen[0], "2.2.2.2:2");
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.poll-us=8"), 0);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.poll-us=9"), 0);
	CU_ASSERT_EQUAL(conf.poll_us, 9);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "store.path=/a=b"), 0);
	CU_ASSERT_STRING_EQUAL(conf.store_path, "/a=b");
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nonsense"), -EINVAL);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs=1"), -EINVAL);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "=nfs.x"), -EINVAL);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.thread=1"), -EINVAL);
	CU_ASSERT_STRING_EQUAL(conf.error,
			       "-o nfs.thread=1: unknown key \"thread\" in "
			       "[nfs]; did you mean \"threads\"?");
	CU_ASSERT_EQUAL(conf_load_env(&conf, bad_key), -EINVAL);
	CU_ASSERT_STRING_EQUAL(conf.error,
			       "environment: VDRIVE_NFS_LISTN: unknown key "
			       "\"listn\" in [nfs]; did you mean \"listen\"?");
	CU_ASSERT_EQUAL(conf_load_env(&conf, bad_value), -EINVAL);
	conf_free(&conf);
}

static void test_listen_max(void)
{
	struct conf conf;

	CU_ASSERT_EQUAL(load(&conf, ""), 0);
	for (int i = 0; i < SERVER_LISTEN_MAX; i++)
		CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.listen=a:1"), 0);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.listen=a:1"), -EINVAL);
	conf_free(&conf);
}

static void test_user_paths(void)
{
	struct conf conf;

	setenv("XDG_STATE_HOME", "/x/state", 1);
	setenv("XDG_RUNTIME_DIR", "/x/run", 1);
	setenv("HOME", "/home/u", 1);
	CU_ASSERT_EQUAL(load(&conf, ""), 0);
	CU_ASSERT_EQUAL(conf_finish(&conf, false), 0);
	CU_ASSERT_STRING_EQUAL(conf.store_path, "/x/state/vdrive");
	CU_ASSERT_STRING_EQUAL(conf.admin_socket, "/x/run/vdrive.sock");
	conf_free(&conf);
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	CU_ASSERT_EQUAL(load(&conf, ""), 0);
	CU_ASSERT_EQUAL(conf_finish(&conf, false), 0);
	CU_ASSERT_STRING_EQUAL(conf.store_path, "/home/u/.local/state/vdrive");
	CU_ASSERT_STRING_EQUAL(conf.admin_socket,
			       "/home/u/.local/state/vdrive/vdrive.sock");
	conf_free(&conf);
	unsetenv("HOME");
	CU_ASSERT_EQUAL(load(&conf, ""), 0);
	CU_ASSERT_EQUAL(conf_finish(&conf, false), -EINVAL);
	conf_free(&conf);
}

static void test_file(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "vdrive.conf");
	struct conf conf;
	FILE *file;

	ASSERT(conf_init(&conf) == 0);
	CU_ASSERT_EQUAL(conf_load_file(&conf, path), -EINVAL);
	CU_ASSERT_NOT_EQUAL(strstr(conf.error, "No such file"), NULL);
	file = fopen(path, "w");
	ASSERT(file);
	fputs("[nfs]\nthreads = 5\n", file);
	fclose(file);
	CU_ASSERT_EQUAL(conf_load_file(&conf, path), 0);
	CU_ASSERT_EQUAL(conf.threads, 5);
	file = fopen(path, "w");
	ASSERT(file);
	fwrite("[nfs]\n\0x", 1, 8, file);
	fclose(file);
	CU_ASSERT_EQUAL(conf_load_file(&conf, path), -EINVAL);
	file = fopen(path, "w");
	ASSERT(file);
	for (int i = 0; i < CONF_FILE_MAX; i++)
		fputs("\n ", file);
	fclose(file);
	CU_ASSERT_EQUAL(conf_load_file(&conf, path), -EINVAL);
	CU_ASSERT_EQUAL(conf_load_file(&conf, dir), -EINVAL);
	conf_free(&conf);
}

static int test_store_text(struct conf *conf, const char *line)
{
	char text[128];

	conf_free(conf);
	ASSERT(conf_init(conf) == 0);
	snprintf(text, sizeof(text), "[store]\n%s\n", line);
	return conf_load_text(conf, "c", text);
}

/* What the store may take, what is left free, and who goes first. */
static void test_store_keys(void)
{
	static const char *const bad[] = {
	    "size = 1M",    "size = 0%",    "size = 101%", "size = %",
	    "size = 2000%", "size = -1",    "size = many", "free = 3",
	    "free = x",     "evict = fifo", "size = 5.5%"};
	struct conf conf;

	ASSERT(conf_init(&conf) == 0);
	CU_ASSERT_EQUAL(conf.store_size, CONF_STORE);
	CU_ASSERT_EQUAL(conf.store_free, UINT64_MAX);
	CU_ASSERT_FALSE(conf.store_lru);
	CU_ASSERT_EQUAL(test_store_text(&conf, "size = 64M"), 0);
	CU_ASSERT_EQUAL(conf.store_size, 64 << 20);
	CU_ASSERT_EQUAL(test_store_text(&conf, "size = 30%"), 0);
	CU_ASSERT_EQUAL(conf.store_size, 0);
	CU_ASSERT_EQUAL(conf.store_percent, 30);
	CU_ASSERT_EQUAL(test_store_text(&conf, "size = none"), 0);
	CU_ASSERT_EQUAL(conf.store_size + conf.store_percent, 0);
	CU_ASSERT_EQUAL(test_store_text(&conf, "free = 2G"), 0);
	CU_ASSERT_EQUAL(conf.store_free, UINT64_C(2) << 30);
	CU_ASSERT_EQUAL(test_store_text(&conf, "free = none"), 0);
	CU_ASSERT_EQUAL(conf.store_free, 0);
	CU_ASSERT_EQUAL(test_store_text(&conf, "evict = lru"), 0);
	CU_ASSERT(conf.store_lru);
	CU_ASSERT_EQUAL(test_store_text(&conf, "evict = frequency"), 0);
	CU_ASSERT_FALSE(conf.store_lru);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CU_ASSERT_EQUAL(test_store_text(&conf, bad[i]), -EINVAL);
	conf_free(&conf);
}

static void test_trust(void)
{
	struct conf conf;

	ASSERT(conf_init(&conf) == 0);
	CU_ASSERT_EQUAL(conf.trust_paths, CONF_TRUST_LOCAL);
	conf_free(&conf);
	CU_ASSERT_EQUAL(load(&conf, "[nfs]\ntrust-paths = no\n"), 0);
	CU_ASSERT_EQUAL(conf.trust_paths, CONF_TRUST_NO);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.trust-paths=yes"), 0);
	CU_ASSERT_EQUAL(conf.trust_paths, CONF_TRUST_YES);
	CU_ASSERT_EQUAL(conf_set_option(&conf, "nfs.trust-paths=maybe"),
			-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(conf.error, "local"));
	conf_free(&conf);
}

static const struct check_test tests[] = {
    {"defaults", test_defaults},
    {"all keys", test_all_keys},
    {"errors say where and what", test_errors},
    {"bad values", test_bad_values},
    {"environment and -o", test_env_and_options},
    {"too many listen", test_listen_max},
    {"paths of a user", test_user_paths},
    {"files", test_file},
    {"what the store may take", test_store_keys},
    {"who may be told apart by names", test_trust},
};

int main(void)
{
	return check_main("test_conf", tests, ARRAY_LEN(tests));
}
