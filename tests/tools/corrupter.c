/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corrupter: damages a host's store and what comes from its upstream, N times
 * in all, and reads everything touched through NFS (tests/e2e/corrupt).
 *
 *   corrupter --www DIR --url URL --proxy SOCKET [-n N] [--private]
 *             [--seed SEED]
 *
 * The store is damaged while its daemon is down, hundreds of places at a time:
 *   values   shards' values: bits, lengths, noise, the one of another name
 *   tables   bytes of RocksDB's own files
 *   tree     trees/HEX       index     indexes/HEX (with shards missing)
 * and answers on their way, while it reads a package that is not here:
 *   flight   bits, zeros, other bytes, other lengths, other answers
 *
 * P-08: no byte that is read is another than the package's, all can be read,
 * and whatever the store holds afterwards proves.  n counts damages; in flight,
 * answers, though one may spoil hundreds of shards.
 * P-09: a damaged value costs one shard fetched, and when its file is read
 * alone, one request.
 */
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"
#include "depot/log.h"
#include "depot/shard.h"
#include "tests/lib/check.h"
#include "tests/lib/corruption.h"
#include "tests/lib/corruptrig.h"
#include "tests/lib/depotkit.h"

enum {
	VALUES_ROUND = 240, /* damaged shards */
	FLIGHT_ROUND = 100, /* damaged answers */
	FLIGHT_READS = 5,   /* cold files for each */
	TABLES_ROUND = 10,
	INDEX_READS = 20,
	PLAN_MS = 300,
	/* Of 100 damages so many are of: */
	PERCENT_FLIGHT = 25,
	PERCENT_TABLES = 4,
	PERCENT_TREE = 2,
	PERCENT_INDEX = 2,
};

_Static_assert(FLIGHT_ROUND *FLIGHT_READS <= (int)CORRUPTRIG_FILES, "cold");
_Static_assert((int)VALUES_ROUND < (int)CORRUPTRIG_SMALL, "one is whole");

static struct {
	struct corruptrig rig;
	uint64_t random;
	struct corruptrig_result result;
	uint64_t values, tables, tree, index, flight; /* done */
	uint64_t harmless;                            /* of values */
	uint64_t badly_stored;
	uint64_t healed, heal_violations, requests;
} run;

static const uint8_t *run_salt(void)
{
	return tree_salt(run.rig.tree);
}

static int run_prove(const struct digest *name, const void *bytes, size_t len)
{
	uint8_t chunk[SHARD_CHUNK_MAX];
	size_t chunk_len;

	return shard_open(run_salt(), name, bytes, len, chunk, sizeof(chunk),
			  &chunk_len);
}

/* --- the store, closed --------------------------------------------------- */

/* Does every shard that is here prove?  `all`: delete them, too. */
static void store_check(struct kv *kv, bool all)
{
	struct kv_batch *batch = kv_batch_new();
	const struct digest *name;
	struct kv_value value;
	int rc;

	ASSERT(batch);
	for (uint32_t i = 0; i < tree_shard_count(run.rig.tree); i++) {
		name = tree_shard_name(run.rig.tree, i);
		rc = kv_get(kv, name->bytes, DIGEST_LEN, &value);
		if (rc == 0) {
			run.badly_stored +=
			    run_prove(name, value.data, value.len) < 0;
			kv_value_release(&value);
		}
		/* RocksDB refuses what it cannot read: that is no byte shown.
		 */
		ASSERT(rc == 0 || rc == -ENOENT || rc == -EBADMSG);
		if (all)
			kv_batch_delete(batch, name->bytes, DIGEST_LEN);
	}
	if (kv_batch_count(batch) > 0)
		ASSERT(kv_write(kv, batch) == 0);
	kv_batch_free(batch);
}

/* The daemon down, and its shards open. */
static struct kv *store_open_down(bool cold)
{
	struct kv *kv;

	corruptrig_down(&run.rig);
	kv = corruptrig_shards(&run.rig);
	store_check(kv, cold);
	return kv;
}

static void store_close_up(struct kv *kv)
{
	ASSERT(kv_flush(kv) == 0);
	kv_close(kv);
	corruptrig_up(&run.rig);
}

static const struct digest *file_shard(uint32_t file)
{
	return tree_shard_name(run.rig.tree, run.rig.shard_of[file]);
}

/* --- values -------------------------------------------------------------- */

/* One value: of the kinds of corruption, or another shard's. */
static void value_damage(struct kv *kv, struct kv_batch *batch, uint32_t file,
			 uint32_t other)
{
	unsigned int kind =
	    corruption_random(&run.random) % (CORRUPTION_KINDS + 1);
	const struct digest *name = file_shard(file);
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct kv_value value;
	size_t len;

	ASSERT(kv_get(kv, kind == CORRUPTION_KINDS ? file_shard(other) : name,
		      DIGEST_LEN, &value) == 0);
	if (kind == CORRUPTION_KINDS) {
		len = value.len;
		bytes = malloc(len);
		memcpy(bytes, value.data, len);
	} else {
		bytes = corruption_make(kind, &run.random, value.data,
					value.len, &len);
	}
	kv_value_release(&value);
	run.harmless += run_prove(name, bytes, len) == 0;
	kv_batch_put(batch, name->bytes, DIGEST_LEN, bytes, len);
}

/* Of small files alone, read one by one, requests are as many as shards. */
static void values_judge(uint64_t broken, bool one_by_one)
{
	uint64_t fetched = corruptrig_figure(&run.rig, "fetched_shards");
	uint64_t requests = corruptrig_requests(&run.rig);

	run.healed += broken;
	run.requests += requests;
	if (fetched == broken && requests <= broken &&
	    (!one_by_one || requests == broken))
		return;
	run.heal_violations++;
	fprintf(stderr, "%llu shards damaged, %llu fetched in %llu requests\n",
		(unsigned long long)broken, (unsigned long long)fetched,
		(unsigned long long)requests);
}

static void values_round(size_t count)
{
	bool one_by_one = corruption_random(&run.random) % 4 != 0;
	size_t files = one_by_one ? CORRUPTRIG_SMALL : CORRUPTRIG_FILES;
	uint32_t order[CORRUPTRIG_FILES];
	struct kv *kv = store_open_down(false);
	struct kv_batch *batch = kv_batch_new();
	uint64_t harmless = run.harmless;

	corruptrig_shuffle(order, files, &run.random);
	for (size_t i = 0; i < count; i++)
		value_damage(kv, batch, order[i], order[(i + 1) % files]);
	ASSERT(kv_write(kv, batch) == 0);
	kv_batch_free(batch);
	store_close_up(kv);
	/* A first read starts the package's plan, which passes over what is
	 * here; one that meets a damaged shard at the moment it is taken out
	 * may fetch it, too. */
	corruptrig_read(&run.rig, order + count, 1, 1, &run.result);
	usleep(PLAN_MS * 1000);
	corruptrig_proxy(&run.rig, "reset");
	corruptrig_read(&run.rig, order, count,
			one_by_one ? 1 : CORRUPTRIG_READERS, &run.result);
	values_judge(count - (run.harmless - harmless), one_by_one);
	run.values += count;
}

/* --- RocksDB's files ----------------------------------------------------- */

/* In the part of a table that holds values; what is behind it RocksDB needs to
 * open the table at all. */
static void table_damage(const char *path)
{
	struct stat st;
	CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t off;
	uint8_t byte;

	ASSERT(fd >= 0 && fstat(fd, &st) == 0);
	if (st.st_size < 64 << 10)
		return;
	off = corruption_random(&run.random) % (uint64_t)(st.st_size * 3 / 4);
	ASSERT(io_pread_all(fd, &byte, 1, off) == 0);
	byte ^= (uint8_t)(1 + corruption_random(&run.random) % 255);
	ASSERT(io_pwrite_all(fd, &byte, 1, off) == 0);
	run.tables++;
}

static void tables_round(void)
{
	CLEANUP_FREE char *pattern = NULL;
	uint32_t order[CORRUPTRIG_FILES];
	glob_t found;

	kv_close(store_open_down(false));
	ASSERT(asprintf(&pattern, "%s/store/shards/*.sst", run.rig.daemon.dir) >
	       0);
	ASSERT(glob(pattern, 0, NULL, &found) == 0);
	for (int i = 0; i < TABLES_ROUND; i++)
		table_damage(found.gl_pathv[corruption_random(&run.random) %
					    found.gl_pathc]);
	globfree(&found);
	corruptrig_up(&run.rig);
	corruptrig_shuffle(order, CORRUPTRIG_FILES, &run.random);
	corruptrig_read(&run.rig, order, CORRUPTRIG_FILES, CORRUPTRIG_READERS,
			&run.result);
}

/* --- tree and index ------------------------------------------------------ */

static void file_damage(const char *dir)
{
	CLEANUP_FREE char *path = corruptrig_path(&run.rig, dir);
	CLEANUP_FREE uint8_t *bytes = NULL;
	CLEANUP_FREE uint8_t *bad = NULL;
	size_t len, bad_len;

	kit_file_read(path, &bytes, &len);
	bad = corruption_make(corruption_random(&run.random) % CORRUPTION_KINDS,
			      &run.random, bytes, len, &bad_len);
	kit_file_write(path, bad, bad_len);
}

static void tree_round(void)
{
	uint32_t order[CORRUPTRIG_FILES];
	CLEANUP_FREE char *path = corruptrig_path(&run.rig, "trees");
	struct tree *tree;

	corruptrig_down(&run.rig);
	file_damage("trees");
	corruptrig_up(&run.rig);
	corruptrig_shuffle(order, CORRUPTRIG_FILES, &run.random);
	corruptrig_read(&run.rig, order, INDEX_READS, CORRUPTRIG_READERS,
			&run.result);
	/* And it is whole again. */
	if (tree_open_file(path, tree_digest(run.rig.tree), &tree) == 0)
		tree_put(tree);
	else
		run.badly_stored++;
	run.tree++;
}

static void index_round(void)
{
	uint32_t order[CORRUPTRIG_FILES];
	struct kv *kv = store_open_down(false);

	corruptrig_shuffle(order, CORRUPTRIG_FILES, &run.random);
	for (size_t i = 0; i < INDEX_READS; i++)
		ASSERT(kv_delete(kv, file_shard(order[i])->bytes, DIGEST_LEN) ==
		       0);
	file_damage("indexes");
	store_close_up(kv);
	corruptrig_read(&run.rig, order, INDEX_READS, CORRUPTRIG_READERS,
			&run.result);
	run.index++;
}

/* --- on the way ---------------------------------------------------------- */

/* One answer is spoiled, then some more are right: a source that never answers
 * well is a matter of patience, which is not what is tried here. */
static void flight_one(const char *fault, const uint32_t *files)
{
	corruptrig_proxy(&run.rig, "clear");
	corruptrig_proxy(&run.rig, "rule %s %s times=1",
			 corruptrig_packs(&run.rig), fault);
	corruptrig_read(&run.rig, files, FLIGHT_READS, CORRUPTRIG_READERS,
			&run.result);
	run.flight += 1 - corruptrig_left(&run.rig);
}

static void flight_round(unsigned int count)
{
	static const char *const faults[] = {
	    "flip at=first",
	    "flip at=middle",
	    "flip at=last",
	    "zeros at=middle n=64",
	    "other delta=100",
	    "other delta=-16",
	    "truncate at=middle",
	    "short delta=1",
	    "long delta=3",
	    "wrong-length delta=5",
	    "whole",
	    "html",
	    "encoding",
	};
	uint32_t order[CORRUPTRIG_FILES];

	store_close_up(store_open_down(true));
	corruptrig_shuffle(order, CORRUPTRIG_FILES, &run.random);
	for (unsigned int i = 0; i < count; i++)
		flight_one(
		    faults[corruption_random(&run.random) % ARRAY_LEN(faults)],
		    order + (size_t)i * FLIGHT_READS);
	corruptrig_proxy(&run.rig, "clear");
	/* All that are not here yet, so that the next round finds them. */
	corruptrig_read(&run.rig, order, CORRUPTRIG_FILES, CORRUPTRIG_READERS,
			&run.result);
}

/* --- all of it ----------------------------------------------------------- */

static void run_rounds(uint64_t n)
{
	uint64_t flight = n * PERCENT_FLIGHT / 100;
	uint64_t tables = n * PERCENT_TABLES / 100;
	uint64_t tree = n * PERCENT_TREE / 100, index = n * PERCENT_INDEX / 100;
	uint64_t values = n - flight - tables - tree - index;

	for (int tries = 0; run.flight < flight && tries < 1000; tries++)
		flight_round((unsigned int)MIN(flight - run.flight,
					       (uint64_t)FLIGHT_ROUND));
	while (run.values < values)
		values_round(
		    (size_t)MIN(values - run.values, (uint64_t)VALUES_ROUND));
	while (run.tree < tree)
		tree_round();
	while (run.index < index)
		index_round();
	while (run.tables < tables)
		tables_round();
	kv_close(store_open_down(false));
}

static int run_verdict(void)
{
	uint64_t n =
	    run.values + run.tables + run.tree + run.index + run.flight;
	uint64_t violations =
	    run.result.wrong + run.result.unserved + run.badly_stored;

	printf("# damaged: %llu values (%llu of them still prove), %llu bytes "
	       "of tables, %llu trees, %llu indexes, %llu answers\n",
	       (unsigned long long)run.values, (unsigned long long)run.harmless,
	       (unsigned long long)run.tables, (unsigned long long)run.tree,
	       (unsigned long long)run.index, (unsigned long long)run.flight);
	printf("# read: %u files, %u with wrong bytes, %u not to be had; "
	       "%llu wrong in the store\n",
	       run.result.reads, run.result.wrong, run.result.unserved,
	       (unsigned long long)run.badly_stored);
	printf("promise P-08 n=%llu violations=%llu bound=%.2g\n",
	       (unsigned long long)n, (unsigned long long)violations,
	       3.0 / (double)MAX(n, (uint64_t)1));
	printf("promise P-09 n=%llu violations=%llu bound=%.2g requests=%llu\n",
	       (unsigned long long)run.healed,
	       (unsigned long long)run.heal_violations,
	       3.0 / (double)MAX(run.healed, (uint64_t)1),
	       (unsigned long long)run.requests);
	return violations || run.heal_violations ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"www", required_argument, NULL, 'w'},
	    {"url", required_argument, NULL, 'u'},
	    {"proxy", required_argument, NULL, 'p'},
	    {"private", no_argument, NULL, 'P'},
	    {"seed", required_argument, NULL, 's'},
	    {NULL, 0, NULL, 0},
	};
	const char *www = NULL, *url = NULL, *proxy = NULL;
	uint64_t n = 300, seed = 1;
	bool private = false;
	int c, rc;

	while ((c = getopt_long(argc, argv, "n:", options, NULL)) != -1) {
		switch (c) {
		case 'w':
			www = optarg;
			break;
		case 'u':
			url = optarg;
			break;
		case 'p':
			proxy = optarg;
			break;
		case 'P':
			private
			= true;
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			n = strtoull(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	if (!www || !url || !proxy)
		return 2;
	log_setup("corrupter", LOG_LEVEL_NONE); /* RocksDB's complaints */
	run.random = seed * 2654435761u + 1;
	corruptrig_open(&run.rig, www, url, proxy, private, seed);
	run_rounds(n);
	rc = run_verdict();
	corruptrig_close(&run.rig);
	return rc;
}
