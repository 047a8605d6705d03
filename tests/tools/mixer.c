/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mixer: packages are replaced under readers (rule N-20, promise P-07).
 *
 * A file of MIXER_LEN bytes holds its version in every word.  Readers look it
 * up by name and read it piece by piece, over and over, while UPDATES (20)
 * other versions of it come; each keeps a handle of an earlier version, too,
 * as a mapped library does.  No read of one handle may show words of two
 * versions, and none may fail.
 */
#include <pthread.h>
#include <stdio.h>

#include "tests/lib/nfsrig.h"
#include "tests/lib/tmpdir.h"

enum { MIXER_LEN = 192 << 10, MIXER_PIECE = 4096, MIXER_READERS = 4 };

static struct rig rig;
static bool mixer_over; /* atomic */
static unsigned long mixer_reads, mixer_mixed, mixer_failed;
static char mixer_dir[600];

struct mixer_reader {
	pthread_t thread;
	struct raw raw;
	struct raw_fh held; /* of an earlier version */
	uint32_t held_version;
	unsigned long reads, mixed, failed;
};

/* All of it by one handle; *version: of its first word. */
static void mixer_read(struct mixer_reader *r, const struct raw_fh *fh,
		       uint32_t *version)
{
	uint32_t words[MIXER_PIECE / 4];

	for (uint64_t off = 0; off < MIXER_LEN; off += MIXER_PIECE) {
		uint32_t got = 0;
		bool eof;

		if (raw_read(&r->raw, fh, off, MIXER_PIECE, words, &got,
			     &eof) != S_OK ||
		    got != MIXER_PIECE) {
			r->failed++;
			return;
		}
		if (off == 0 && *version == 0)
			*version = words[0];
		for (uint32_t i = 0; i < got / 4; i++)
			if (words[i] != *version) {
				r->mixed++;
				return;
			}
	}
	r->reads++;
}

static void *mixer_run(void *arg)
{
	struct mixer_reader *r = arg;

	for (unsigned int turn = 0;
	     !__atomic_load_n(&mixer_over, __ATOMIC_RELAXED); turn++) {
		uint32_t version = 0;
		struct raw_fh fh;

		if (raw_walk(&r->raw, &rig.root, "lib/file", &fh, NULL) !=
		    S_OK) {
			r->failed++;
			continue;
		}
		mixer_read(r, &fh, &version);
		if (turn % 16 == 0) {
			r->held = fh;
			r->held_version = version;
		}
		mixer_read(r, &r->held, &r->held_version);
	}
	return NULL;
}

static void mixer_version(uint32_t version)
{
	static uint32_t words[MIXER_LEN / 4];
	char name[32], source[700];

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		words[i] = version;
	snprintf(source, sizeof(source), "%s/lib/file", mixer_dir);
	unlink(source);
	rig_host_file(mixer_dir, "lib/file", 0644, words, sizeof(words));
	snprintf(name, sizeof(name), "m:%u", version);
	snprintf(source, sizeof(source), "dir:%s", mixer_dir);
	ASSERT(daemon_cli(&rig.daemon, "package", "create", name, source,
			  NULL) == 0);
	ASSERT(daemon_cli(&rig.daemon, "tenant", "assign", "t", name, NULL) ==
	       0);
}

int main(void)
{
	const char *text = getenv("UPDATES");
	unsigned long updates = text ? strtoul(text, NULL, 10) : 20;
	struct mixer_reader readers[MIXER_READERS] = {{0}};

	rig_open(&rig);
	snprintf(mixer_dir, sizeof(mixer_dir), "%s/mixed", rig.daemon.dir);
	rig_host_dir(rig.daemon.dir, "mixed", 0755);
	rig_host_dir(mixer_dir, "lib", 0755);
	mixer_version(1);
	for (int i = 0; i < MIXER_READERS; i++) {
		rig_connect(&rig, &readers[i].raw);
		ASSERT(pthread_create(&readers[i].thread, NULL, mixer_run,
				      &readers[i]) == 0);
	}
	for (uint32_t v = 2; v < updates + 2; v++)
		mixer_version(v);
	__atomic_store_n(&mixer_over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < MIXER_READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		mixer_reads += readers[i].reads;
		mixer_mixed += readers[i].mixed;
		mixer_failed += readers[i].failed;
		raw_close(&readers[i].raw);
	}
	printf("%lu reads of %d bytes by %d readers, %lu failed\n", mixer_reads,
	       MIXER_LEN, MIXER_READERS, mixer_failed);
	printf("promise P-07 n=%lu violations=%lu bound=%.4f\n", updates,
	       mixer_mixed + mixer_failed, 3.0 / (double)updates);
	rig_close(&rig);
	return mixer_mixed + mixer_failed == 0 && mixer_reads > updates ? 0 : 1;
}
