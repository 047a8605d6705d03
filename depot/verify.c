/* SPDX-License-Identifier: Apache-2.0 */
/* verify: see verify.h. */
#include "depot/verify.h"

#include <stdio.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/gc_inside.h"
#include "depot/index.h"
#include "depot/io.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/registry.h"
#include "depot/shard.h"

enum {
	VERIFY_WINDOW_BYTES = 8 << 20,
	VERIFY_WORK_MS = 10, /* then as long a pause */
	VERIFY_ROOT_MAX = 1 << 20,
};

struct verify {
	struct depot *depot;
	const struct verify_what *what;
	verify_visit_fn *visit;
	void *ctx;
	struct gc_set here;
	struct tree **trees; /* owns a reference each, as they were added */
	uint32_t tree_count;
	uint64_t worked_since_ms;
	char asked[PACKAGE_NAME_MAX + 1]; /* upstream; "": none yet */
	int asked_rc;
};

static void verify_rest(struct verify *v)
{
	static const struct timespec pause = {.tv_nsec =
						  VERIFY_WORK_MS * 1000000};

	if (clock_ms() - v->worked_since_ms < VERIFY_WORK_MS)
		return;
	nanosleep(&pause, NULL);
	v->worked_since_ms = clock_ms();
}

static void verify_clear(struct verify *v)
{
	for (uint32_t i = 0; i < v->tree_count; i++)
		tree_put(v->trees[i]);
	free(v->trees);
	gc_set_clear(&v->here);
}

/* The trees that are asked for, sorted; not all need be here. */
static int verify_names(struct verify *v)
{
	int rc = 0;

	if (!v->what->only)
		rc = gc_trees_here(v->depot, &v->here);
	for (size_t i = 0; rc == 0 && i < v->what->count; i++)
		rc = gc_set_add(&v->here, &v->what->trees[i]);
	gc_set_sort(&v->here);
	return rc;
}

/* --- files -----------------------------------------------------------------
 */

static bool verify_has_origin(struct depot *depot, const struct digest *tree)
{
	struct registry_origin origin;

	return registry_origin_get(depot->state, tree, &origin) == 0;
}

static int verify_tell_file(struct verify *v, struct verify_bad *bad,
			    const struct digest *tree)
{
	bad->name = *tree;
	bad->trees[0] = *tree;
	bad->tree_count = 1;
	return v->visit(v->ctx, bad);
}

/* *opened: the tree, when it is good or could be repaired. */
static int verify_tree(struct verify *v, const struct digest *name,
		       struct tree **opened)
{
	CLEANUP_FREE char *path = layout_host_tree(v->depot->path, name);
	struct verify_bad bad = {.kind = VERIFY_TREE};
	int rc;

	*opened = NULL;
	if (!path)
		return -ENOMEM;
	rc = tree_open_file(path, name, opened);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	bad.missing = rc == -ENOENT;
	if (v->what->repair) {
		/* Or the one that is open would be taken for it. */
		(void)depot_tree_forget(v->depot, name);
		bad.rc = depot_tree_fetch(v->depot, name, opened);
		bad.repaired = bad.rc == 0;
	}
	return verify_tell_file(v, &bad, name);
}

static int verify_index(struct verify *v, const struct tree *tree)
{
	const struct digest *name = tree_digest(tree);
	CLEANUP_FREE char *path = layout_host_index(v->depot->path, name);
	struct verify_bad bad = {.kind = VERIFY_INDEX};
	struct index *index = NULL;
	int rc;

	if (!path)
		return -ENOMEM;
	if (!verify_has_origin(v->depot, name))
		return 0;
	rc = index_read(path, name, tree_shard_count(tree), &index);
	bad.missing = rc == -ENOENT;
	index_put(index);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	/* The next fetch reads it from the upstream again. */
	if (v->what->repair) {
		bad.rc = io_unlink(path);
		bad.repaired = bad.rc == 0;
		fetch_forget(v->depot->fetch, name);
	}
	return verify_tell_file(v, &bad, name);
}

int depot_verify_files(struct depot *depot, const struct verify_what *what,
		       verify_visit_fn *visit, void *ctx, uint64_t *files)
{
	CLEANUP(verify_clear)
	struct verify v = {
	    .depot = depot, .what = what, .visit = visit, .ctx = ctx};
	struct tree *tree;
	int rc;

	*files = 0;
	v.worked_since_ms = clock_ms();
	rc = verify_names(&v);
	for (size_t i = 0; rc == 0 && i < v.here.count; i++) {
		rc = depot_goes_on(depot);
		if (rc < 0)
			break;
		rc = verify_tree(&v, &v.here.names[i], &tree);
		if (rc == 0 && tree)
			rc = verify_index(&v, tree);
		tree_put(tree);
		++*files;
		verify_rest(&v);
	}
	return rc;
}

/* --- shards ----------------------------------------------------------------
 */

/* 0: good; -ENOENT: not here; -EBADMSG, and *stored is the digest of what is
 * there; *shard_len 0: that cannot be read. */
static int verify_shard(struct verify *v, const struct live_entry *entry,
			uint8_t *chunk, size_t *shard_len,
			struct digest *stored)
{
	struct kv_value value;
	size_t chunk_len;
	int rc;

	*shard_len = 0;
	rc = store_get(v->depot->store, &entry->name, &value);
	if (rc < 0)
		return rc;
	*shard_len = value.len;
	rc = shard_open(tree_salt(v->trees[entry->tree]), &entry->name,
			value.data, value.len, chunk, SHARD_CHUNK_MAX,
			&chunk_len);
	if (rc == -EBADMSG)
		*stored = digest_of(value.data, value.len);
	kv_value_release(&value);
	/* Of a newer vdrive: not ours to judge. */
	return rc == -EPROTONOSUPPORT ? 0 : rc;
}

/* Does the tree's upstream answer?  A fetch would wait for it for minutes; so
 * it is asked once a step. */
static int verify_ask(struct verify *v, const struct digest *tree)
{
	struct registry_origin origin;
	struct source_fault fault;
	struct upstream *upstream;
	void *bytes = NULL;
	size_t len;
	int rc;

	rc = registry_origin_get(v->depot->state, tree, &origin);
	if (rc < 0)
		return rc;
	if (strcmp(v->asked, origin.upstream) == 0)
		return v->asked_rc;
	upstream = upstreams_find(v->depot->upstreams, origin.upstream);
	if (!upstream)
		return -ENOENT;
	rc = upstream_get(upstream, LAYOUT_ROOT, VERIFY_ROOT_MAX, 1, &bytes,
			  &len, &fault);
	free(bytes);
	upstream_put(upstream);
	if (rc < 0)
		log_err(0, "upstream %s: %s", origin.upstream, fault.text);
	snprintf(v->asked, sizeof(v->asked), "%s", origin.upstream);
	v->asked_rc = rc < 0 ? -EHOSTUNREACH : 0;
	return v->asked_rc;
}

/* Through any of the trees that came from an upstream. */
static int verify_fetch(struct verify *v, const struct live_entry *run,
			size_t count)
{
	int rc = -ENOENT, now;

	for (size_t i = 0; rc < 0 && i < count; i++) {
		struct tree *tree = v->trees[run[i].tree];
		void *bytes;
		size_t len;

		now = verify_ask(v, tree_digest(tree));
		if (now == 0)
			now = depot_tree_shard_get(v->depot, tree, run[i].shard,
						   &bytes, &len);
		if (now == 0)
			free(bytes);
		if (rc == -ENOENT || now == 0)
			rc = now;
	}
	return rc;
}

static int verify_tell_shard(struct verify *v, struct verify_bad *bad,
			     const struct live_entry *run, size_t count)
{
	bad->kind = VERIFY_SHARD;
	bad->name = run->name;
	for (size_t i = 0; i < count && i < VERIFY_TREES_MAX; i++)
		bad->trees[bad->tree_count++] =
		    *tree_digest(v->trees[run[i].tree]);
	return v->visit(v->ctx, bad);
}

/* One shard, named by `count` trees. */
static int verify_run(struct verify *v, const struct live_entry *run,
		      size_t count, uint8_t *chunk,
		      struct verify_report *report)
{
	struct verify_bad bad = {.kind = VERIFY_SHARD};
	struct digest stored;
	size_t len;
	int rc;

	rc = verify_shard(v, run, chunk, &len, &stored);
	report->shards++;
	report->bytes += len;
	if (rc == 0)
		return 0;
	if (rc != -ENOENT && rc != -EBADMSG)
		return rc;
	bad.missing = rc == -ENOENT;
	for (size_t i = 0; bad.missing && i < count; i++)
		if (verify_has_origin(v->depot,
				      tree_digest(v->trees[run[i].tree]))) {
			report->shards--;
			report->cold++;
			return 0; /* only upstream, as it may be */
		}
	if (v->what->repair) {
		if (!bad.missing)
			store_quarantine(v->depot->store, &run->name,
					 len > 0 ? &stored : NULL,
					 "not what its name says");
		bad.rc = verify_fetch(v, run, count);
		bad.repaired = bad.rc == 0;
	}
	return verify_tell_shard(v, &bad, run, count);
}

static int verify_open(struct verify *v, struct live *live)
{
	struct tree *tree;
	int rc;

	rc = verify_names(v);
	v->trees = calloc(v->here.count + 1, sizeof(struct tree *));
	if (rc == 0 && !v->trees)
		rc = -ENOMEM;
	for (size_t i = 0; rc == 0 && i < v->here.count; i++) {
		rc = depot_goes_on(v->depot);
		if (rc < 0)
			break;
		rc = depot_tree_get(v->depot, &v->here.names[i], &tree);
		/* Told by depot_verify_files. */
		if (rc == -ENOENT || rc == -EBADMSG) {
			rc = 0;
			continue;
		}
		if (rc == 0)
			v->trees[v->tree_count++] = tree;
		if (rc == 0)
			rc = live_add(live, tree);
	}
	return rc;
}

static int verify_window(struct verify *v, struct live *live,
			 struct verify_report *report)
{
	CLEANUP_FREE uint8_t *chunk = malloc(SHARD_CHUNK_MAX);
	uint64_t until = clock_ms() + VERIFY_STEP_MS;
	const struct live_entry *entries;
	size_t count, n;
	int rc = 0;

	if (!chunk)
		return -ENOMEM;
	entries = live_entries(live, &count);
	for (size_t i = 0; rc == 0 && i < count; i += n) {
		report->next = entries[i].name;
		if (i > 0 &&
		    (clock_ms() > until || report->bytes > VERIFY_STEP_BYTES))
			return 0;
		for (n = 1; i + n < count && digest_equal(&entries[i + n].name,
							  &entries[i].name);)
			n++;
		rc = depot_goes_on(v->depot);
		if (rc == 0)
			rc = verify_run(v, &entries[i], n, chunk, report);
		verify_rest(v);
	}
	if (rc == 0)
		report->done = !live_end(live, &report->next);
	return rc;
}

int depot_verify_shards(struct depot *depot, const struct verify_what *what,
			const struct digest *from, verify_visit_fn *visit,
			void *ctx, struct verify_report *report)
{
	CLEANUP(verify_clear)
	struct verify v = {
	    .depot = depot, .what = what, .visit = visit, .ctx = ctx};
	struct live *live;
	int rc;

	memset(report, 0, sizeof(*report));
	v.worked_since_ms = clock_ms();
	rc = live_new(VERIFY_WINDOW_BYTES, &live);
	if (rc < 0)
		return rc;
	rc = verify_open(&v, live);
	if (rc == 0)
		rc = live_window(live, from);
	if (rc == 0)
		rc = verify_window(&v, live, report);
	live_free(live);
	return rc;
}
