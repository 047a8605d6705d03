/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outage: guests at work while every depot is down (P-10), and when one is
 * back.
 *
 *   outage PORT PATIENCE_S WARM COLD EXPORT...
 *
 * WARM and COLD have lines "SHA256  PATH", as sha256sum prints them: files in
 * the root that are on the host, and files of which only the names are (COLD
 * may be empty). Twice a second each guest reads a few warm files by handles
 * that it has had from the beginning, looks one up, lists, mounts anew, and
 * writes: all of that must go well.  A lost connection is made again, as a hard
 * mount does, for 30 s at most.  Each guest also reads one cold file: JUKEBOX
 * it asks again after 5 s, an I/O error is right only after PATIENCE_S of
 * asking the same daemon, anything else is wrong, and so is an answer that
 * takes more than 15 s.
 *
 * SIGTERM: a depot is back.  Every cold file must now come, right, within 60 s.
 * Then it prints what it saw; exit 1 when anything was wrong.
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "depot/digest.h"
#include "tests/lib/check.h"
#include "tests/lib/nfsrig.h"

enum {
	OUT_IO = 128 << 10, /* files are not larger */
	OUT_FILES = 1000,
	OUT_GUESTS = 16,
	OUT_READS = 8, /* a round and guest */
	OUT_TIMES = 1 << 22,
	OUT_SHOWN = 20,
	OUT_ROUND_MS = 500,
	OUT_RECONNECT_MS = 30000,
	OUT_ANSWER_MS = 15000,
	OUT_JUKEBOX_MS = 5000,
	OUT_BACK_MS = 60000,
	OUT_IO_ERROR = 5,
	OUT_JUKEBOX = 10008,
};

struct out_file {
	char path[120];
	struct digest digest;
};

struct out_files {
	struct out_file *all; /* OUT_FILES */
	size_t count;
};

struct out_cold {
	struct raw raw;
	struct raw_fh fh;
	const struct out_file *file; /* NULL: none */
	bool asked, come;
	uint64_t asked_ms, first_ms, next_ms;
};

struct out_guest {
	const char *export;
	struct raw raw;
	struct raw_fh root;
	struct raw_fh *fhs; /* of the warm files */
	struct out_cold cold;
};

static int out_port;
static uint64_t out_patience_ms, out_back_ms;
static struct out_files out_warm, out_colds;
static struct out_guest out_guests[OUT_GUESTS];
static int out_guest_count;
static uint8_t out_buf[OUT_IO];
static float *out_times; /* us of warm reads */
static size_t out_time_count;
static unsigned long out_calls, out_wrong, out_reconnects, out_mounts;
static unsigned long out_jukebox, out_io;
static bool out_back;

static uint64_t out_now_ms(void)
{
	return check_now_ns() / 1000000;
}

static void out_sleep_ms(unsigned int ms)
{
	struct timespec t = {.tv_sec = ms / 1000,
			     .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

static void out_complain(const struct out_guest *g, const char *what,
			 const char *path, int status)
{
	if (out_wrong++ < OUT_SHOWN)
		fprintf(stderr, "outage: %s: %s %s: %d\n", g->export, what,
			path, status);
}

static void out_load(const char *name, struct out_files *files)
{
	FILE *file = fopen(name, "re");
	char hex[DIGEST_HEX_LEN + 1];

	files->all = calloc(OUT_FILES, sizeof(*files->all));
	ASSERT(file && files->all);
	while (files->count < OUT_FILES &&
	       fscanf(file, "%64s %119s", hex, files->all[files->count].path) ==
		   2)
		ASSERT(digest_from_hex(hex, DIGEST_HEX_LEN,
				       &files->all[files->count++].digest) ==
		       0);
	fclose(file);
}

/* --- connections --------------------------------------------------------- */

static bool out_connect(const struct out_guest *g, struct raw *raw)
{
	uint64_t end = out_now_ms() + OUT_RECONNECT_MS;

	while (!raw_open(raw, NULL, out_port)) {
		if (out_now_ms() > end) {
			out_complain(g, "no connection", "", 0);
			return false;
		}
		out_sleep_ms(50);
	}
	return true;
}

/* Of a daemon that has ended: false when it was not that. */
static bool out_again(const struct out_guest *g, struct raw *raw, int status)
{
	if (status != RAW_CLOSED)
		return false;
	raw_close(raw);
	out_reconnects++;
	return out_connect(g, raw);
}

static void out_count(const struct out_guest *g, const char *what,
		      const char *path, int status)
{
	out_calls++;
	if (status != S_OK)
		out_complain(g, what, path, status);
}

/* --- what is here -------------------------------------------------------- */

static bool out_right(const struct out_file *file, size_t len)
{
	struct digest digest = digest_of(out_buf, len);

	return digest_equal(&digest, &file->digest);
}

static void out_read(struct out_guest *g, size_t which)
{
	const struct out_file *file = &out_warm.all[which];
	uint64_t begin;
	uint32_t got;
	bool eof;
	int rc;

	do {
		begin = check_now_ns();
		rc = raw_read(&g->raw, &g->fhs[which], 0, OUT_IO, out_buf, &got,
			      &eof);
	} while (out_again(g, &g->raw, rc));
	if (out_time_count < OUT_TIMES)
		out_times[out_time_count++] =
		    (float)(check_now_ns() - begin) / 1000;
	out_count(g, "read", file->path, rc);
	if (rc == S_OK && (!eof || !out_right(file, got)))
		out_complain(g, "wrong bytes of", file->path, 0);
}

static void out_names(struct out_guest *g, size_t which)
{
	const struct out_file *file = &out_warm.all[which];
	struct raw_listing list = {0};
	struct raw_attr attr;
	struct raw_fh fh;
	int rc;

	do
		rc = raw_walk(&g->raw, &g->root, file->path, &fh, &attr);
	while (out_again(g, &g->raw, rc));
	out_count(g, "look up", file->path, rc);
	if (rc == S_OK && (fh.len != g->fhs[which].len ||
			   memcmp(fh.bytes, g->fhs[which].bytes, fh.len) != 0))
		out_complain(g, "another handle of", file->path, 0);
	do
		rc = raw_list(&g->raw, &g->root, true, 1 << 15, &list);
	while (out_again(g, &g->raw, rc));
	out_count(g, "list", "/", rc);
	if (rc == S_OK && !raw_listing_find(&list, file->path))
		out_complain(g, "not listed:", file->path, 0);
	raw_listing_free(&list);
}

static void out_mount(struct out_guest *g)
{
	struct raw_fh root;
	struct raw raw;
	int rc;

	if (!out_connect(g, &raw))
		return;
	do
		rc = raw_mount(&raw, g->export, &root);
	while (out_again(g, &raw, rc));
	out_count(g, "mount", g->export, rc);
	out_mounts++;
	if (rc == S_OK && (root.len != g->root.len ||
			   memcmp(root.bytes, g->root.bytes, root.len) != 0))
		out_complain(g, "another root handle", "", 0);
	raw_close(&raw);
}

/* UNCHECKED: may be done twice. */
static void out_write(struct out_guest *g, uint64_t round)
{
	uint64_t verifier, back = 0;
	struct raw_fh fh;
	uint32_t done;
	bool eof;
	int rc;

	do
		rc = raw_create(&g->raw, &g->root, "own", 0, 0644, &fh, NULL);
	while (out_again(g, &g->raw, rc));
	out_count(g, "create", "own", rc);
	if (rc != S_OK)
		return;
	do
		rc = raw_write(&g->raw, &fh, 0, &round, sizeof(round), 2, &done,
			       &verifier);
	while (out_again(g, &g->raw, rc));
	out_count(g, "write", "own", rc);
	do
		rc =
		    raw_read(&g->raw, &fh, 0, sizeof(back), &back, &done, &eof);
	while (out_again(g, &g->raw, rc));
	out_count(g, "read back", "own", rc);
	if (back != round)
		out_complain(g, "wrong bytes of", "own", 0);
}

/* --- what is not here ---------------------------------------------------- */

static void out_cold_ask(struct out_guest *g, uint64_t now)
{
	struct out_cold *cold = &g->cold;

	raw_begin_fh(&cold->raw, P_READ, &cold->fh);
	raw_put64(&cold->raw, 0);
	raw_put32(&cold->raw, OUT_IO);
	if (!raw_send(&cold->raw)) {
		out_again(g, &cold->raw, RAW_CLOSED);
		cold->first_ms = 0;
		return;
	}
	cold->asked = true;
	cold->asked_ms = now;
	if (!cold->first_ms)
		cold->first_ms = now;
}

static void out_cold_bytes(struct out_guest *g)
{
	struct raw *raw = &g->cold.raw;
	struct raw_attr attr;
	size_t len;

	raw_get_post_attr(raw, &attr);
	raw_get32(raw);
	raw_get32(raw);
	len = raw_get_opaque(raw, out_buf, OUT_IO);
	if (!out_back)
		out_complain(g, "answered, but by whom:", g->cold.file->path,
			     0);
	if (len > OUT_IO || raw->short_read || !out_right(g->cold.file, len))
		out_complain(g, "wrong bytes of", g->cold.file->path, 0);
	g->cold.come = true;
}

static void out_cold_answer(struct out_guest *g, uint64_t now)
{
	struct out_cold *cold = &g->cold;
	int rc = raw_reply(&cold->raw);

	cold->asked = false;
	if (out_again(g, &cold->raw, rc)) {
		cold->first_ms = 0;
		return;
	}
	out_calls++;
	rc = rc == 0 ? (int)raw_get32(&cold->raw) : rc;
	cold->next_ms = now + OUT_JUKEBOX_MS;
	if (rc == S_OK) {
		out_cold_bytes(g);
	} else if (rc == OUT_JUKEBOX) {
		out_jukebox++;
	} else if (rc == OUT_IO_ERROR &&
		   now - cold->first_ms + 1000 >= out_patience_ms) {
		out_io++;
		cold->first_ms = 0;
	} else {
		out_complain(g, "cold read", cold->file->path, rc);
	}
}

static void out_cold_turn(struct out_guest *g)
{
	struct out_cold *cold = &g->cold;
	uint64_t now = out_now_ms();

	if (!cold->file || cold->come)
		return;
	if (!cold->asked && now >= cold->next_ms)
		out_cold_ask(g, now);
	if (!cold->asked)
		return;
	if (raw_readable(&cold->raw, 0)) {
		out_cold_answer(g, now);
	} else if (now - cold->asked_ms > OUT_ANSWER_MS) {
		out_complain(g, "no answer for 15 s:", cold->file->path, 0);
		cold->asked_ms = now;
	}
}

/* --- all of it ----------------------------------------------------------- */

static void out_begin(struct out_guest *g, const char *export, int number)
{
	g->export = export;
	g->fhs = calloc(out_warm.count, sizeof(*g->fhs));
	ASSERT(g->fhs && out_connect(g, &g->raw));
	ASSERT(raw_mount(&g->raw, export, &g->root) == S_OK);
	for (size_t i = 0; i < out_warm.count; i++)
		ASSERT(raw_walk(&g->raw, &g->root, out_warm.all[i].path,
				&g->fhs[i], NULL) == S_OK);
	if (out_colds.count == 0)
		return;
	g->cold.file = &out_colds.all[(size_t)number % out_colds.count];
	ASSERT(out_connect(g, &g->cold.raw));
	ASSERT(raw_walk(&g->raw, &g->root, g->cold.file->path, &g->cold.fh,
			NULL) == S_OK);
}

static void out_round(uint64_t round)
{
	for (int i = 0; i < out_guest_count; i++) {
		struct out_guest *g = &out_guests[i];

		out_cold_turn(g);
		for (size_t n = 0; n < OUT_READS; n++)
			out_read(g, (round * OUT_READS + n) % out_warm.count);
		out_names(g, round % out_warm.count);
		out_mount(g);
		out_write(g, round);
	}
}

static bool out_all_come(void)
{
	for (int i = 0; i < out_guest_count; i++)
		if (out_guests[i].cold.file && !out_guests[i].cold.come)
			return false;
	return true;
}

static int out_by_time(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void out_tell(void)
{
	size_t n = out_time_count;

	qsort(out_times, n, sizeof(*out_times), out_by_time);
	printf("# %lu mounts, %lu connections made again; cold reads: %lu "
	       "JUKEBOX, %lu I/O errors after %.0f s; all came %.1f s after "
	       "the depot\n",
	       out_mounts, out_reconnects, out_jukebox, out_io,
	       (double)out_patience_ms / 1000,
	       (double)(out_now_ms() - out_back_ms) / 1000);
	printf("# warm reads: %zu, p50 %.0f us, p99 %.0f us\n", n,
	       (double)out_times[n / 2], (double)out_times[n * 99 / 100]);
	printf("promise P-10 n=%lu violations=%lu\n", out_calls, out_wrong);
}

/* Between rounds only: a call is not to be interrupted. */
static void out_rest(const sigset_t *term)
{
	struct timespec t = {.tv_nsec = OUT_ROUND_MS * 1000000L};

	if (sigtimedwait(term, NULL, &t) == SIGTERM && !out_back) {
		out_back = true;
		out_back_ms = out_now_ms();
	}
}

static void out_prepare(char **argv, sigset_t *term)
{
	sigemptyset(term);
	sigaddset(term, SIGTERM);
	sigprocmask(SIG_BLOCK, term, NULL);
	out_port = atoi(argv[1]);
	out_patience_ms = strtoull(argv[2], NULL, 10) * 1000;
	out_load(argv[3], &out_warm);
	out_load(argv[4], &out_colds);
	out_times = calloc(OUT_TIMES, sizeof(*out_times));
	ASSERT(out_times && out_warm.count > 0);
}

int main(int argc, char **argv)
{
	uint64_t round = 0;
	sigset_t term;

	if (argc < 6 || argc - 5 > OUT_GUESTS)
		return 2;
	out_prepare(argv, &term);
	for (; out_guest_count < argc - 5; out_guest_count++)
		out_begin(&out_guests[out_guest_count],
			  argv[5 + out_guest_count], out_guest_count);
	printf("ready\n");
	fflush(stdout);
	while (!out_back || !out_all_come()) {
		out_round(round++);
		out_rest(&term);
		if (out_back && out_now_ms() - out_back_ms > OUT_BACK_MS) {
			out_complain(&out_guests[0], "cold files did not come",
				     "", 0);
			break;
		}
	}
	out_tell();
	return out_wrong ? 1 : 0;
}
