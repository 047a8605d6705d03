/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc_walk: what no tree here names goes, in the order of keys.
 *
 * A shard is found not live in a window of live names (live.h), which is void
 * as soon as a lease is closed: what was done under it may have given the shard
 * a name.  So shards are deleted in small batches, each under the lock of
 * leases, which says that none was closed since the window was made and that
 * none that is open guards them.
 */

#include "depot/clock.h"
#include "depot/gc_inside.h"
#include "depot/log.h"

enum {
	GC_BATCH = 64,            /* shards deleted under the lock at once */
	GC_STEP_BYTES = 32 << 20, /* read by a step, about */
	GC_SAVE_EVERY = 64 << 10, /* shards between two positions saved */
	GC_WINDOW_BYTES = 8 << 20,
	GC_COMPACT_BYTES = 256 << 20,
	GC_STOP = 1,   /* a visitor's: enough for now */
	GC_BEYOND = 2, /* a visitor's: the window ends here */
};

/* The name after this one; false: there is none. */
static bool gc_next(struct digest *name)
{
	for (int i = DIGEST_LEN - 1; i >= 0; i--)
		if (++name->bytes[i] != 0)
			return true;
	return false;
}

/* --- live names ------------------------------------------------------------
 */

static int gc_live_tree(struct gc *gc, struct live *live,
			const struct digest *name)
{
	struct gc_set unnamed = {.names = gc->unnamed,
				 .count = gc->unnamed_count};
	char hex[DIGEST_HEX_LEN + 1];
	struct tree *tree;
	int rc;

	rc = depot_tree_get(gc->depot, name, &tree);
	if (rc == 0) {
		rc = live_add(live, tree);
		tree_put(tree);
		return rc;
	}
	/* Gone since the directory was read: its end came, so no step of the
	 * walk is under way; or somebody removed the file by hand. */
	digest_to_hex(name, hex);
	if (rc == -EBADMSG && gc_set_has(&unnamed, name)) {
		log_warn("tree %s is damaged, and nothing points at it: its "
			 "shards are not kept",
			 hex);
		return 0;
	}
	return log_err(rc, "tree %s cannot be read, so nothing is collected",
		       hex);
}

int gc_live(struct gc *gc, const struct gc_set *without, struct live **out)
{
	CLEANUP(gc_set_clear) struct gc_set here = {0};
	struct live *live;
	int rc;

	rc = live_new(GC_WINDOW_BYTES, &live);
	if (rc < 0)
		return rc;
	rc = gc_trees_here(gc->depot, &here);
	for (size_t i = 0; rc == 0 && i < here.count; i++)
		if (!without || !gc_set_has(without, &here.names[i]))
			rc = gc_live_tree(gc, live, &here.names[i]);
	if (rc < 0) {
		live_free(live);
		return rc;
	}
	*out = live;
	return 0;
}

/* A window that holds `from`, made from what is named now. */
static int gc_window(struct gc *gc, const struct digest *from)
{
	uint64_t closes = leases_closes(gc->leases);
	struct live *live;
	int rc;

	if (gc->live && gc->live_closes == closes &&
	    live_covers(gc->live, from))
		return 0;
	live_free(STEAL(gc->live));
	GC_AT(gc, "gc-window");
	rc = gc_live(gc, NULL, &live);
	if (rc < 0)
		return rc;
	rc = live_window(live, from);
	/* Nobody shall find a tree in use because we looked at it. */
	live_drop_trees(live);
	if (rc < 0) {
		live_free(live);
		return rc;
	}
	gc->live = live;
	gc->live_closes = closes;
	GC_AT(gc, "gc-window-made");
	return 0;
}

/* --- looking ---------------------------------------------------------------
 */

struct gc_found {
	struct digest name;
	size_t len;
};

struct gc_view {
	struct live *live;      /* borrows */
	struct gc_found *found; /* owns; not live */
	size_t count, max;
	uint64_t looked, read, bytes;
	uint64_t until_ms;
	struct digest next; /* the first not looked at */
	bool end;           /* there is none */
};

static int gc_view_visit(void *ctx, const struct digest *name, size_t len)
{
	const struct live_entry *first;
	struct gc_view *view = ctx;

	view->next = *name;
	if (!live_covers(view->live, name))
		return GC_BEYOND;
	if (view->looked >= view->max || view->read >= GC_STEP_BYTES ||
	    (view->looked % 256 == 255 && clock_ms() > view->until_ms))
		return GC_STOP;
	view->looked++;
	view->read += len;
	if (live_find(view->live, name, &first) == 0) {
		view->found[view->count++] = (struct gc_found){*name, len};
		view->bytes += len;
	}
	view->end = !gc_next(&view->next);
	return view->end ? GC_STOP : 0;
}

/* From view->next on, to the end of the window at most. */
static int gc_view_run(struct gc *gc, struct gc_view *view)
{
	struct digest from = view->next;
	int rc;

	rc = store_walk(gc->depot->store, &from, gc_view_visit, view);
	if (rc == 0)
		view->end = true;
	return rc < 0 ? rc : 0;
}

static int gc_view_new(struct gc_view *view, struct live *live,
		       const struct digest *from, unsigned int shards)
{
	memset(view, 0, sizeof(*view));
	view->live = live;
	view->max = MAX(1u, MIN(shards, (unsigned int)GC_STEP_MAX));
	view->next = *from;
	view->until_ms = clock_ms() + GC_STEP_MS;
	view->found = malloc(view->max * sizeof(*view->found));
	return view->found ? 0 : -ENOMEM;
}

static void gc_view_clear(struct gc_view *view)
{
	free(view->found);
}

/* --- deleting --------------------------------------------------------------
 */

/*
 * Of one batch what is not guarded goes.  -EAGAIN: the window is void, and
 * nothing went.
 */
static int gc_delete_batch(struct gc *gc, const struct gc_found *found,
			   size_t count, struct gc_report *report)
{
	struct digest names[GC_BATCH];
	uint64_t bytes = 0;
	size_t gone = 0;
	int rc = 0;

	ASSERT(count <= GC_BATCH);
	leases_lock(gc->leases);
	if (!leases_unchanged(gc->leases, gc->live_closes)) {
		leases_unlock(gc->leases);
		return -EAGAIN;
	}
	for (size_t i = 0; i < count; i++)
		if (leases_guarded(gc->leases, &found[i].name))
			report->guarded++;
		else
			names[gone++] = found[i].name;
	if (gone > 0)
		rc = store_remove_list(gc->depot->store, names, gone, &bytes);
	leases_unlock(gc->leases);
	if (rc == 0 && gone < count)
		rc = leases_note_held(gc->leases);
	if (rc < 0)
		return rc;
	gc->walk.removed += gone;
	gc->walk.bytes += bytes;
	gc->since_saved += gone;
	return 0;
}

/* A new window: of what was found, what is not live now, either. */
static int gc_filter(struct gc *gc, struct gc_found *found, size_t *count)
{
	const struct live_entry *first;
	size_t kept = 0;
	int rc;

	for (size_t i = 0; i < *count; i++) {
		rc = gc_window(gc, &found[i].name);
		if (rc < 0)
			return rc;
		if (live_find(gc->live, &found[i].name, &first) == 0)
			found[kept++] = found[i];
	}
	*count = kept;
	return 0;
}

static int gc_delete(struct gc *gc, struct gc_found *found, size_t count,
		     struct gc_report *report)
{
	size_t n;
	int rc = 0;

	while (rc == 0 && count > 0) {
		n = MIN(count, (size_t)GC_BATCH);
		GC_AT(gc, "gc-delete");
		rc = gc_delete_batch(gc, found, n, report);
		if (rc == -EAGAIN) {
			rc = gc_filter(gc, found, &count);
			continue;
		}
		GC_AT(gc, "gc-deleted");
		found += n;
		count -= n;
	}
	return rc;
}

/* --- steps -----------------------------------------------------------------
 */

/* Deleted for good first: a position that is saved is never ahead of that. */
int gc_walk_save(struct gc *gc)
{
	int rc;

	rc = store_flush(gc->depot->store);
	GC_AT(gc, "gc-flushed");
	if (rc == 0)
		rc = gc_row_walk_set(gc->depot->state, &gc->walk);
	GC_AT(gc, "gc-saved");
	if (rc == 0)
		gc->since_saved = 0;
	return rc;
}

static int gc_walk_ended(struct gc *gc)
{
	gc->walk.phase =
	    gc->walk.removed > 0 ? GC_PHASE_COMPACT : GC_PHASE_DONE;
	memset(&gc->walk.position, 0, sizeof(gc->walk.position));
	live_free(STEAL(gc->live));
	return gc_walk_save(gc);
}

static int gc_walk_shards(struct gc *gc, unsigned int shards,
			  struct gc_report *report)
{
	CLEANUP(gc_view_clear) struct gc_view view;
	int rc;

	rc = gc_window(gc, &gc->walk.position);
	if (rc < 0)
		return rc;
	rc = gc_view_new(&view, gc->live, &gc->walk.position, shards);
	if (rc == 0)
		rc = gc_view_run(gc, &view);
	GC_AT(gc, "gc-looked");
	if (rc == 0)
		rc = gc_delete(gc, view.found, view.count, report);
	if (rc < 0)
		return rc;
	gc->walk.position = view.next;
	gc->walk.looked += view.looked;
	gc->since_saved += view.looked;
	if (view.end)
		return gc_walk_ended(gc);
	return gc->since_saved >= GC_SAVE_EVERY ? gc_walk_save(gc) : 0;
}

/* How many first bytes a range has: of a small store all, of a large one so few
 * that a range is about GC_COMPACT_BYTES. */
static unsigned int gc_compact_width(struct gc *gc)
{
	struct store_stats stats;
	uint64_t ranges;

	store_get_stats(gc->depot->store, &stats);
	ranges = MIN(stats.bytes / GC_COMPACT_BYTES + 1, (uint64_t)256);
	return (unsigned int)(256 / ranges);
}

static int gc_walk_compact(struct gc *gc)
{
	unsigned int first = gc->walk.position.bytes[0];
	unsigned int next = MIN(first + gc_compact_width(gc), 256u);
	struct digest from, to;
	int rc;

	memset(&from, 0, sizeof(from));
	memset(&to, 0xff, sizeof(to));
	from.bytes[0] = (uint8_t)first;
	to.bytes[0] = (uint8_t)(next - 1);
	rc = store_compact(gc->depot->store, &from, &to);
	GC_AT(gc, "gc-compacted");
	if (rc < 0)
		return rc;
	memset(&gc->walk.position, 0, sizeof(gc->walk.position));
	if (next < 256)
		gc->walk.position.bytes[0] = (uint8_t)next;
	else
		gc->walk.phase = GC_PHASE_DONE;
	return gc_row_walk_set(gc->depot->state, &gc->walk);
}

int gc_walk_step(struct gc *gc, unsigned int shards, struct gc_report *report)
{
	return gc->walk.phase == GC_PHASE_COMPACT
		   ? gc_walk_compact(gc)
		   : gc_walk_shards(gc, shards, report);
}

int gc_walk_look(struct gc *gc, const struct gc_set *without,
		 const struct digest *from, unsigned int shards,
		 struct gc_report *report)
{
	CLEANUP(gc_view_clear) struct gc_view view = {.found = NULL};
	struct live *live;
	int rc;

	rc = gc_live(gc, without, &live);
	if (rc == 0) {
		rc = live_window(live, from);
		live_drop_trees(live);
		if (rc == 0)
			rc = gc_view_new(&view, live, from, shards);
		if (rc == 0)
			rc = gc_view_run(gc, &view);
		live_free(live);
	}
	if (rc < 0)
		return rc;
	/* Marks leases as if they had held something back: one walk more. */
	leases_lock(gc->leases);
	for (size_t i = 0; i < view.count; i++) {
		if (!leases_guarded(gc->leases, &view.found[i].name))
			continue;
		report->guarded++;
		view.bytes -= view.found[i].len;
	}
	leases_unlock(gc->leases);
	report->looked = view.looked;
	report->removed = view.count - report->guarded;
	report->bytes = view.bytes;
	report->position = view.next;
	report->done = view.end;
	return 0;
}
