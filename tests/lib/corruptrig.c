/* SPDX-License-Identifier: Apache-2.0 */
/* corruptrig: see corruptrig.h. */
#include "tests/lib/corruptrig.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "tests/lib/check.h"
#include "tests/lib/corruption.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/rawnfs.h"
#include "tests/lib/tmpdir.h"

enum {
	RIG_SMALL_MAX = 20000,
	RIG_LARGE_MAX = 500000,
	RIG_READ = 65536,
	RIG_WAIT_MS = 60000,
	RIG_JUKEBOX = 10008,
	RIG_MEMORY = 32 << 20,
};

/* --- the package --------------------------------------------------------- */

/* Every other one compresses, the others are stored raw: there only the name
 * tells a wrong byte. */
static void rig_fill(struct corruptrig_file *file, uint32_t number,
		     uint64_t seed)
{
	uint64_t random = seed * 7919 + number + 1;
	size_t max = number < CORRUPTRIG_SMALL ? RIG_SMALL_MAX : RIG_LARGE_MAX;

	file->len = 1 + max / 8 + corruption_random(&random) % (max - max / 8);
	file->bytes = malloc(file->len);
	ASSERT(file->bytes);
	check_fill(file->bytes, file->len, random | 1);
	for (size_t i = 0; number % 2 && i < file->len; i++)
		file->bytes[i] = "a package's text "[file->bytes[i] % 17];
}

static void rig_write(const struct corruptrig *rig, const char *dir)
{
	char name[32];

	ASSERT(mkdir(dir, 0755) == 0);
	for (uint32_t i = 0; i < CORRUPTRIG_FILES; i++) {
		CLEANUP_FREE char *path = NULL;

		snprintf(name, sizeof(name), "f%u", i);
		path = tmpdir_path(dir, name);
		kit_file_write(path, rig->file[i].bytes, rig->file[i].len);
	}
}

/* On a host of its own, which is gone afterwards. */
static void rig_publish(struct corruptrig *rig)
{
	struct daemon d;
	CLEANUP_FREE char *dir = NULL, *from = NULL, *to = NULL;

	daemon_init(&d);
	dir = tmpdir_path(d.dir, "files");
	rig_write(rig, dir);
	ASSERT(asprintf(&from, "dir:%s", dir) > 0);
	ASSERT(asprintf(&to, "dir:%s", rig->www) > 0);
	ASSERT(daemon_start(&d));
	if (rig->private)
		ASSERT(daemon_cli(&d, "package", "create", "p:1", from,
				  "--private", NULL) == 0);
	else
		ASSERT(daemon_cli(&d, "package", "create", "p:1", from, NULL) ==
		       0);
	ASSERT(daemon_cli(&d, "depot", "push", to, NULL) == 0);
	daemon_free(&d);
}

static void rig_take(struct corruptrig *rig)
{
	struct daemon *d = &rig->daemon;

	ASSERT(daemon_cli(d, "upstream", "add", "lab", rig->url, "--unsigned",
			  NULL) == 0);
	ASSERT(daemon_cli(d, "tenant", "create", "t", NULL) == 0);
	ASSERT(daemon_cli(d, "tenant", "assign", "t", "p:1", NULL) == 0);
	ASSERT(daemon_cli(d, "guest", "add", "t/g", NULL) == 0);
}

char *corruptrig_path(struct corruptrig *rig, const char *name)
{
	char *path;

	ASSERT(asprintf(&path, "%s/store/%s/%s", rig->daemon.dir, name,
			rig->tree_hex) > 0);
	return path;
}

/* The one tree of the store. */
static void rig_find_tree(struct corruptrig *rig)
{
	char command[512];
	CLEANUP_FREE char *path = NULL;
	struct tree_chunk chunk;
	struct digest digest;
	FILE *out;

	snprintf(command, sizeof(command), "ls %s/store/trees",
		 rig->daemon.dir);
	out = popen(command, "r");
	ASSERT(out && fscanf(out, "%64s", rig->tree_hex) == 1);
	pclose(out);
	ASSERT(digest_from_hex(rig->tree_hex, DIGEST_HEX_LEN, &digest) == 0);
	path = corruptrig_path(rig, "trees");
	ASSERT(tree_open_file(path, &digest, &rig->tree) == 0);
	ASSERT((tree_salt(rig->tree) != NULL) == rig->private);
	for (uint32_t i = 0; i < CORRUPTRIG_FILES; i++) {
		struct tree_entry entry;
		char name[32];

		snprintf(name, sizeof(name), "f%u", i);
		ASSERT(tree_lookup(rig->tree, 0, name, strlen(name), &entry) ==
		       0);
		tree_chunk_get(rig->tree, entry.inode, 0, &chunk);
		rig->shard_of[i] = chunk.shard;
	}
}

void corruptrig_open(struct corruptrig *rig, const char *www, const char *url,
		     const char *proxy, bool private, uint64_t seed)
{
	*rig = (struct corruptrig){
	    .www = www, .url = url, .proxy = proxy, .private = private};
	for (uint32_t i = 0; i < CORRUPTRIG_FILES; i++)
		rig_fill(&rig->file[i], i, seed);
	rig_publish(rig);
	daemon_init(&rig->daemon);
	corruptrig_up(rig);
	rig_take(rig);
	rig_find_tree(rig);
}

void corruptrig_close(struct corruptrig *rig)
{
	daemon_free(&rig->daemon);
	tree_put(rig->tree);
	for (uint32_t i = 0; i < CORRUPTRIG_FILES; i++)
		free(rig->file[i].bytes);
}

void corruptrig_up(struct corruptrig *rig)
{
	ASSERT(daemon_start(&rig->daemon));
}

void corruptrig_down(struct corruptrig *rig)
{
	ASSERT(daemon_stop(&rig->daemon) == 0);
}

struct kv *corruptrig_shards(struct corruptrig *rig)
{
	CLEANUP_FREE char *path = tmpdir_path(rig->daemon.dir, "store/shards");
	struct kv *kv;

	ASSERT(kv_open(path, KV_SHARDS, RIG_MEMORY, &kv) == 0);
	return kv;
}

/* --- reading ------------------------------------------------------------- */

struct rig_reading {
	struct corruptrig *rig;
	const uint32_t *files;
	size_t count;
	_Atomic size_t next;
	_Atomic unsigned int wrong, unserved;
};

static void rig_nap(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* One READ, again while the server says later. */
static int rig_read_some(struct raw *raw, const struct raw_fh *fh, uint64_t off,
			 uint8_t *buf, uint32_t *got)
{
	uint64_t begin = check_now_ns();
	bool eof;
	int status;

	do {
		status = raw_read(raw, fh, off, RIG_READ, buf, got, &eof);
		if (status != RIG_JUKEBOX)
			return status;
		rig_nap(50);
	} while (check_now_ns() - begin < RIG_WAIT_MS * 1000000ull);
	return status;
}

static void rig_read_file(struct rig_reading *reading, struct raw *raw,
			  const struct raw_fh *root, uint32_t number)
{
	const struct corruptrig_file *file = &reading->rig->file[number];
	uint8_t buf[RIG_READ];
	struct raw_attr attr;
	struct raw_fh fh;
	char name[32];
	uint32_t got;
	int status;

	snprintf(name, sizeof(name), "f%u", number);
	status = raw_lookup(raw, root, name, &fh, &attr);
	for (uint64_t off = 0; status == 0 && off < file->len; off += got) {
		got = 0;
		status = rig_read_some(raw, &fh, off, buf, &got);
		if (status == 0 && got == 0)
			status = -1;
		if (status == 0 && (got > file->len - off ||
				    memcmp(buf, file->bytes + off, got) != 0)) {
			fprintf(stderr, "f%u at %llu: wrong bytes\n", number,
				(unsigned long long)off);
			atomic_fetch_add(&reading->wrong, 1);
			return;
		}
	}
	if (status == 0)
		return;
	fprintf(stderr, "f%u: status %d\n", number, status);
	atomic_fetch_add(&reading->unserved, 1);
}

static void *rig_reader(void *arg)
{
	struct rig_reading *reading = arg;
	struct raw_fh root;
	struct raw raw;
	size_t i;

	ASSERT(raw_open(&raw, "127.0.0.1", reading->rig->daemon.port));
	ASSERT(raw_mount(&raw, "/t/g", &root) == 0);
	while ((i = atomic_fetch_add(&reading->next, 1)) < reading->count)
		rig_read_file(reading, &raw, &root, reading->files[i]);
	raw_close(&raw);
	return NULL;
}

void corruptrig_read(struct corruptrig *rig, const uint32_t *files,
		     size_t count, unsigned int readers,
		     struct corruptrig_result *result)
{
	struct rig_reading reading = {
	    .rig = rig, .files = files, .count = count};
	pthread_t thread[CORRUPTRIG_READERS];

	ASSERT(readers <= CORRUPTRIG_READERS);
	for (unsigned int i = 0; i < readers; i++)
		ASSERT(pthread_create(&thread[i], NULL, rig_reader, &reading) ==
		       0);
	for (unsigned int i = 0; i < readers; i++)
		pthread_join(thread[i], NULL);
	result->reads += (unsigned int)count;
	result->wrong += reading.wrong;
	result->unserved += reading.unserved;
}

void corruptrig_shuffle(uint32_t *numbers, size_t count, uint64_t *random)
{
	for (size_t i = 0; i < count; i++)
		numbers[i] = (uint32_t)i;
	for (size_t i = count; i > 1; i--) {
		size_t j = corruption_random(random) % i;
		uint32_t kept = numbers[i - 1];

		numbers[i - 1] = numbers[j];
		numbers[j] = kept;
	}
}

/* --- figures and faults -------------------------------------------------- */

uint64_t corruptrig_figure(struct corruptrig *rig, const char *key)
{
	const char *b = getenv("B");
	char command[600], wanted[64], *text = NULL, *at = NULL;
	size_t size = 0;
	uint64_t value;
	FILE *out;

	snprintf(command, sizeof(command),
		 "%s/vdrive --socket %s/sock status --json",
		 b && *b ? b : "build/plain", rig->daemon.dir);
	snprintf(wanted, sizeof(wanted), "\"%s\":", key);
	out = popen(command, "r");
	ASSERT(out);
	while (!at && getline(&text, &size, out) > 0)
		at = strstr(text, wanted);
	ASSERT(at);
	value = strtoull(at + strlen(wanted), NULL, 10);
	pclose(out);
	free(text);
	return value;
}

/* The last line but "ok". */
static void rig_ask(struct corruptrig *rig, const char *line, char last[256])
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *text = NULL;
	bool fine = false;
	size_t size = 0;
	FILE *in;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig->proxy);
	ASSERT(fd >= 0 &&
	       connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	ASSERT(send(fd, line, strlen(line), MSG_NOSIGNAL) > 0);
	in = fdopen(fd, "r");
	ASSERT(in);
	while (getline(&text, &size, in) > 0) {
		fine = strcmp(text, "ok\n") == 0;
		if (!fine)
			snprintf(last, 256, "%s", text);
	}
	if (!fine)
		fprintf(stderr, "proxy: %s%s", line, last);
	ASSERT(fine);
	free(text);
	fclose(in);
}

void corruptrig_proxy(struct corruptrig *rig, const char *fmt, ...)
{
	char line[512], last[256] = "";
	va_list args;
	size_t len;

	va_start(args, fmt);
	len = (size_t)vsnprintf(line, sizeof(line) - 1, fmt, args);
	va_end(args);
	ASSERT(len < sizeof(line) - 1);
	line[len++] = '\n';
	line[len] = '\0';
	rig_ask(rig, line, last);
}

uint64_t corruptrig_left(struct corruptrig *rig)
{
	char last[256] = "";

	rig_ask(rig, "left\n", last);
	return strtoull(last, NULL, 10);
}

const char *corruptrig_packs(const struct corruptrig *rig)
{
	return rig->private ? "/private/p/packs/" : "/packs/";
}

uint64_t corruptrig_requests(struct corruptrig *rig)
{
	char line[64], last[256] = "";

	snprintf(line, sizeof(line), "count %s\n", corruptrig_packs(rig));
	rig_ask(rig, line, last);
	return strtoull(last, NULL, 10);
}
