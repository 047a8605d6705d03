/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc_tree: which trees are here, which of them something points at, and the end
 * of those that have been without a pointer for long enough.
 *
 * Order of an end: time is up, nobody has it open, no lease was open since the
 * pointers were looked for -> a release is counted and revision and origin go,
 * in one synced batch -> tree and index are unlinked -> its time goes.  After a
 * death in between, the time is still there, and the end is repeated.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "depot/document.h"
#include "depot/gc_inside.h"
#include "depot/io.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/plan_rows.h"
#include "depot/registry.h"

enum { GC_TEMP_S = 3600 }; /* a file that is being written is not so old */

/* --- sets ------------------------------------------------------------------
 */

int gc_set_add(struct gc_set *set, const struct digest *name)
{
	struct digest *grown;

	if (set->count == set->cap) {
		grown = reallocarray(set->names, MAX(64, 2 * set->cap),
				     sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		set->names = grown;
		set->cap = MAX(64, 2 * set->cap);
	}
	set->names[set->count++] = *name;
	return 0;
}

static int gc_set_order(const void *a, const void *b)
{
	return digest_compare(a, b);
}

void gc_set_sort(struct gc_set *set)
{
	size_t kept = 0;

	if (set->count == 0)
		return;
	qsort(set->names, set->count, sizeof(*set->names), gc_set_order);
	for (size_t i = 0; i < set->count; i++)
		if (kept == 0 ||
		    !digest_equal(&set->names[kept - 1], &set->names[i]))
			set->names[kept++] = set->names[i];
	set->count = kept;
}

bool gc_set_has(const struct gc_set *set, const struct digest *name)
{
	return set->count > 0 && bsearch(name, set->names, set->count,
					 sizeof(*set->names), gc_set_order);
}

void gc_set_clear(struct gc_set *set)
{
	free(set->names);
	memset(set, 0, sizeof(*set));
}

static int gc_set_visit(void *ctx, const struct digest *name)
{
	return gc_set_add(ctx, name);
}

/* --- files -----------------------------------------------------------------
 */

/* What a death left behind of a file that was being written. */
static void gc_temp_remove(const char *dir, const char *name)
{
	size_t len = strlen(name);
	CLEANUP_FREE char *path = NULL;
	struct stat st;

	if (len < 4 || strcmp(name + len - 4, ".tmp") != 0)
		return;
	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return;
	}
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    time(NULL) - st.st_mtime > GC_TEMP_S && unlink(path) == 0)
		log_info("%s: left behind, removed", path);
}

/* Names of files that are digests; temp: also remove what is left behind. */
static int gc_list_dir(struct depot *depot, const char *name, bool temp,
		       struct gc_set *set)
{
	CLEANUP_FREE char *path = NULL;
	struct dirent *entry;
	struct digest digest;
	DIR *dir;
	int rc = 0;

	if (asprintf(&path, "%s/%s", depot->path, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	dir = opendir(path);
	if (!dir)
		return log_err(-errno, "%s", path);
	for (errno = 0; rc == 0 && (entry = readdir(dir)); errno = 0) {
		if (digest_from_hex(entry->d_name, strlen(entry->d_name),
				    &digest) == 0)
			rc = gc_set_add(set, &digest);
		else if (temp)
			gc_temp_remove(path, entry->d_name);
	}
	if (rc == 0 && errno)
		rc = log_err(-errno, "%s", path);
	closedir(dir);
	gc_set_sort(set);
	return rc;
}

int gc_trees_here(struct depot *depot, struct gc_set *here)
{
	return gc_list_dir(depot, "trees", false, here);
}

/* --- pointers --------------------------------------------------------------
 */

static int gc_tag_visit(void *ctx, const struct registry_tag *row)
{
	return gc_set_add(ctx, &row->tree);
}

/* Everything that something points at, but pins. */
static int gc_named(struct gc *gc, struct gc_set *named)
{
	struct kv *state = gc->depot->state;
	int rc;

	rc = registry_tag_list(state, NULL, gc_tag_visit, named);
	if (rc == 0)
		rc = gc->roots(gc->roots_ctx, gc_set_visit, named);
	gc_set_sort(named);
	return rc;
}

/*
 * A tree that something points at and that is not here, or damaged, could name
 * anything: there is no collection then.  Nothing is fetched here: a depot that
 * is down must not hold the step, and the end of the daemon, up.
 */
static int gc_check_named(struct gc *gc, const struct gc_set *named)
{
	char hex[DIGEST_HEX_LEN + 1];
	struct tree *tree;
	int rc;

	for (size_t i = 0; i < named->count; i++) {
		rc = depot_tree_get(gc->depot, &named->names[i], &tree);
		if (rc < 0) {
			digest_to_hex(&named->names[i], hex);
			return log_err(rc,
				       "tree %s is in use and cannot be read, "
				       "so nothing is collected; try: vdrive "
				       "depot verify --repair",
				       hex);
		}
		tree_put(tree);
	}
	return 0;
}

/* --- the end of a tree -----------------------------------------------------
 */

struct gc_due {
	struct gc *gc;
	struct gc_set trees;
	/* Revisions of any of them, in pairs. */
	struct gc_set revisions, revision_trees;
};

static void gc_due_clear(struct gc_due *due)
{
	gc_set_clear(&due->trees);
	gc_set_clear(&due->revisions);
	gc_set_clear(&due->revision_trees);
}

static int gc_due_revision(void *ctx, const struct digest *revision,
			   const char *json, size_t len)
{
	struct gc_due *due = ctx;
	struct revision_doc doc;
	struct digest tree;
	int rc;

	/* One that is damaged is somebody else's trouble. */
	if (revision_read(json, len, &doc) < 0)
		return 0;
	tree = doc.tree;
	revision_doc_clear(&doc);
	if (!gc_set_has(&due->trees, &tree))
		return 0;
	rc = gc_set_add(&due->revisions, revision);
	return rc < 0 ? rc : gc_set_add(&due->revision_trees, &tree);
}

static int gc_end_rows(struct gc *gc, const struct gc_due *due,
		       const struct digest *tree)
{
	struct kv *state = gc->depot->state;
	struct kv_batch *batch = kv_batch_new();
	uint64_t released = 0;
	int rc = batch ? 0 : -ENOMEM;

	if (rc == 0)
		rc = gc_row_released(state, &released);
	if (rc == 0) {
		gc_row_released_put(batch, released + 1);
		registry_origin_delete(batch, tree);
		plan_rows_forget(batch, tree);
		for (size_t i = 0; i < due->revisions.count; i++)
			if (digest_equal(&due->revision_trees.names[i], tree))
				registry_revision_delete(
				    batch, &due->revisions.names[i]);
		rc = registry_commit(state, batch);
	}
	kv_batch_free(batch);
	return rc;
}

static int gc_end_mark(struct gc *gc, const struct digest *tree)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	gc_row_tree_delete(batch, tree);
	rc = kv_write(gc->depot->state, batch);
	kv_batch_free(batch);
	return rc;
}

static int gc_end_files(struct gc *gc, const struct digest *tree)
{
	CLEANUP_FREE char *file = layout_host_tree(gc->depot->path, tree);
	CLEANUP_FREE char *index = layout_host_index(gc->depot->path, tree);
	int rc;

	if (!file || !index)
		return -ENOMEM;
	rc = io_unlink(file);
	GC_AT(gc, "gc-tree-unlinked");
	if (rc == 0)
		rc = io_unlink(index);
	if (rc < 0)
		return log_err(rc, "%s: not removed", file);
	log_info("%s: nothing points at it, removed", file);
	return 0;
}

/* Frozen: nobody can begin to name it.  *busy: somebody has it open. */
static int gc_end_frozen(struct gc *gc, const struct gc_due *due,
			 const struct digest *tree, bool *busy)
{
	int rc;

	*busy = !depot_tree_forget(gc->depot, tree);
	if (*busy)
		return 0;
	GC_AT(gc, "gc-tree-due");
	rc = gc_end_rows(gc, due, tree);
	GC_AT(gc, "gc-tree-rows");
	if (rc == 0)
		rc = gc_end_files(gc, tree);
	fetch_forget(gc->depot->fetch, tree);
	if (rc == 0)
		rc = gc_end_mark(gc, tree);
	GC_AT(gc, "gc-tree-gone");
	return rc;
}

static int gc_end_all(struct gc *gc, struct gc_due *due, uint64_t closes,
		      struct gc_report *report)
{
	bool busy = false;
	int rc;

	if (due->trees.count == 0)
		return 0;
	rc = registry_revision_list(gc->depot->state, gc_due_revision, due);
	for (size_t i = 0; rc == 0 && i < due->trees.count; i++) {
		GC_AT(gc, "gc-tree-freeze");
		if (!leases_freeze(gc->leases, closes)) {
			report->trees_busy +=
			    (unsigned int)(due->trees.count - i);
			break;
		}
		rc = gc_end_frozen(gc, due, &due->trees.names[i], &busy);
		leases_thaw(gc->leases);
		report->trees_busy += busy;
		report->trees_removed += rc == 0 && !busy;
	}
	return rc;
}

/* --- which -----------------------------------------------------------------
 */

struct gc_look {
	struct gc *gc;
	struct gc_set here, named, busy, unnamed;
	struct kv_batch *batch; /* owns */
	int64_t now;
};

static void gc_look_clear(struct gc_look *look)
{
	gc_set_clear(&look->here);
	gc_set_clear(&look->named);
	gc_set_clear(&look->busy);
	gc_set_clear(&look->unnamed);
	kv_batch_free(look->batch);
}

/* Trees that are open, before pointers are looked for: whoever has one could
 * make a pointer to it. */
static int gc_look_busy(struct gc_look *look)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < look->here.count; i++)
		if (depot_tree_in_use(look->gc->depot, &look->here.names[i]))
			rc = gc_set_add(&look->busy, &look->here.names[i]);
	gc_set_sort(&look->busy);
	return rc;
}

/* One that is here and that nothing points at. */
static int gc_look_unnamed(struct gc_look *look, const struct digest *tree,
			   struct gc_due *due, struct gc_report *report)
{
	int64_t since, until;
	int rc;

	rc = gc_set_add(&look->unnamed, tree);
	if (rc == 0)
		rc = gc_row_tree_get(look->gc->depot->state, tree, look->now,
				     &since);
	if (rc < 0)
		return rc;
	if (since == 0) {
		gc_row_tree_put(look->batch, tree, look->now);
		since = look->now;
	}
	until = since + look->gc->options.keep_s;
	if (until <= look->now) {
		if (!gc_set_has(&look->busy, tree))
			return gc_set_add(&due->trees, tree);
		report->trees_busy++;
		return 0;
	}
	report->trees_waiting++;
	if (report->next_due_sec == 0 || until < report->next_due_sec)
		report->next_due_sec = until;
	return 0;
}

static int gc_look_mark(void *ctx, const struct digest *tree)
{
	struct gc_look *look = ctx;

	/* Pointed at again, or gone. */
	if (gc_set_has(&look->named, tree) || !gc_set_has(&look->here, tree))
		gc_row_tree_delete(look->batch, tree);
	return 0;
}

/* Indexes of trees that are not here and that nothing points at.  Who takes a
 * tree over writes it first. */
static int gc_look_indexes(struct gc_look *look, uint64_t closes)
{
	CLEANUP(gc_set_clear) struct gc_set indexes = {0};
	int rc;

	rc = gc_list_dir(look->gc->depot, "indexes", true, &indexes);
	if (rc < 0 || !leases_freeze(look->gc->leases, closes))
		return rc;
	for (size_t i = 0; rc == 0 && i < indexes.count; i++) {
		const struct digest *tree = &indexes.names[i];
		CLEANUP_FREE char *path = NULL;

		if (gc_set_has(&look->here, tree) ||
		    gc_set_has(&look->named, tree))
			continue;
		path = layout_host_index(look->gc->depot->path, tree);
		rc = path ? io_unlink(path) : -ENOMEM;
	}
	leases_thaw(look->gc->leases);
	return rc;
}

static int gc_look_all(struct gc_look *look, struct gc_due *due,
		       struct gc_report *report)
{
	int rc;

	rc = gc_list_dir(look->gc->depot, "trees", true, &look->here);
	if (rc == 0)
		rc = gc_look_busy(look);
	GC_AT(look->gc, "gc-named");
	if (rc == 0)
		rc = gc_named(look->gc, &look->named);
	if (rc == 0)
		rc = gc_check_named(look->gc, &look->named);
	/* A pin is a wish for a tree, which need not be here. */
	if (rc == 0)
		rc = registry_pin_list(look->gc->depot->state, gc_set_visit,
				       &look->named);
	gc_set_sort(&look->named);
	for (size_t i = 0; rc == 0 && i < look->here.count; i++)
		if (!gc_set_has(&look->named, &look->here.names[i]))
			rc = gc_look_unnamed(look, &look->here.names[i], due,
					     report);
	gc_set_sort(&due->trees);
	return rc;
}

static int gc_look_write(struct gc_look *look, uint64_t closes)
{
	int rc;

	rc = gc_row_tree_list(look->gc->depot->state, gc_look_mark, look);
	if (rc == 0)
		rc = gc_look_indexes(look, closes);
	if (rc == 0 && kv_batch_count(look->batch) > 0)
		rc = kv_write(look->gc->depot->state, look->batch);
	return rc;
}

int gc_trees(struct gc *gc, struct gc_set *would, struct gc_report *report)
{
	CLEANUP(gc_look_clear)
	struct gc_look look = {.gc = gc, .now = time(NULL)};
	CLEANUP(gc_due_clear) struct gc_due due = {.gc = gc};
	uint64_t closes = leases_closes(gc->leases);
	int rc;

	look.batch = kv_batch_new();
	if (!look.batch)
		return -ENOMEM;
	rc = gc_look_all(&look, &due, report);
	if (rc < 0)
		return rc;
	free(gc->unnamed);
	gc->unnamed_count = look.unnamed.count;
	gc->unnamed = STEAL(look.unnamed.names);
	if (would) {
		gc_set_clear(would);
		*would = due.trees;
		memset(&due.trees, 0, sizeof(due.trees));
		return 0;
	}
	rc = gc_look_write(&look, closes);
	return rc < 0 ? rc : gc_end_all(gc, &due, closes, report);
}
