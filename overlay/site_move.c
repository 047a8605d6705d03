/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_move: guests of a tenant get another image, all at once.
 *
 * 1. Files that are open and written to while the switch takes them away are
 *    made quiet, without a lock.
 * 2. All views that move are locked, in the order of their paths; each delta is
 *    rebased into the one batch, which has the new selection, too.
 * 3. The batch is written; from here on nothing fails: records and images in
 *    memory follow, and the locks are dropped.
 * 4. The log is synced.
 * So a crash anywhere leaves every guest wholly with the old images or wholly
 * with the new ones.
 */
#include "depot/killpoint.h"
#include "depot/log.h"
#include "overlay/rebase.h"
#include "overlay/site_own.h"

/* One guest on its way. */
struct moving {
	struct site_view *sv; /* borrows; verbs keeps it where it is */
	struct image *image;  /* ref; the next */
	struct rebase rebase;
	bool still; /* its writers are kept out */
};

struct move_run {
	struct site *site;
	struct site_move *move;
	struct moving *guests; /* owns */
	unsigned int count;
	struct image_diff **diffs; /* owns; of each pair of images once */
	unsigned int diff_count;
	struct kv_batch *batch;     /* owns */
	struct guest_own *own;      /* owns; for move->guest */
	struct guest_record record; /* with own */
	struct past_table *past;    /* owns; the tenant's next */
};

/* --- who, and where to ---------------------------------------------------- */

static int move_add(struct move_run *run, struct site_view *sv)
{
	struct site_move *move = run->move;
	struct tenant *tenant = move->tenant;
	struct moving *m = &run->guests[run->count];
	int rc = site_guest_image(
	    run->site, tenant, move->own ? move->own : sv->own,
	    move->selection ? move->selection : &tenant->selection, &m->image);

	m->sv = sv;
	run->count += rc == 0;
	return rc;
}

static int move_gather(struct move_run *run)
{
	struct site *site = run->site;
	int rc = 0;

	run->guests = calloc(MAX(site->view_count, 1u), sizeof(*run->guests));
	run->diffs =
	    calloc(MAX(site->view_count, 1u), sizeof(struct image_diff *));
	run->batch = kv_batch_new();
	if (!run->guests || !run->diffs || !run->batch)
		return -ENOMEM;
	if (run->move->guest)
		return move_add(run, run->move->guest);
	for (unsigned int i = 0; rc == 0 && i < site->view_count; i++)
		if (site_view_is_of(site->views[i].view, run->move->tenant))
			rc = move_add(run, &site->views[i]);
	return rc;
}

/* Guests with the same images share what differs between them. */
static int move_diff(struct move_run *run, struct moving *m)
{
	struct image *before = m->sv->view->image;
	struct image_diff **diff = run->diffs;
	int rc;

	for (unsigned int i = 0; i < run->diff_count; i++, diff++)
		if ((*diff)->before == before && (*diff)->after == m->image) {
			m->rebase.diff = *diff;
			return 0;
		}
	rc = image_diff_new(before, m->image, diff);
	if (rc < 0)
		return rc;
	m->rebase.diff = *diff;
	run->diff_count++;
	return 0;
}

/* --- conflicts ------------------------------------------------------------ */

static const struct package_info *move_find(const struct package_info *list,
					    unsigned int count,
					    const struct digest *tree)
{
	for (unsigned int i = 0; i < count; i++)
		if (digest_equal(&list[i].tree, tree))
			return &list[i];
	return NULL;
}

/* Which package of a guest's image has this tree? */
static const struct package_info *
move_package(const struct guest_own *own, const struct selection *selection,
	     const struct digest *tree)
{
	const struct package_info *found = NULL;

	if (tree && own)
		found = move_find(own->package, own->count, tree);
	if (tree && !found)
		found = move_find(selection->package, selection->count, tree);
	return found;
}

struct move_tell {
	struct site_move *move;
	const struct site_view *sv;
};

static void move_conflict(void *ctx, const struct rebase_conflict *c)
{
	const struct move_tell *tell = ctx;
	struct site_move *move = tell->move;
	const struct tenant *tenant = move->tenant;
	const struct guest_own *own = tell->sv->own;
	struct site_guest_conflict told = {
	    .guest = tell->sv->view->info.path + 1,
	    .kind = c->kind,
	    .path = c->path,
	    .gone = !c->after,
	    .refused = c->refused,
	    .before = move_package(own, &tenant->selection, c->before),
	    .after = move_package(move->own ? move->own : own,
				  move->selection ? move->selection
						  : &tenant->selection,
				  c->after),
	};

	if (move->conflict)
		move->conflict(move->ctx, &told);
}

/* --- the steps ------------------------------------------------------------ */

static int move_quiet(struct move_run *run)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < run->count; i++) {
		struct moving *m = &run->guests[i];
		struct view *view = m->sv->view;

		rc = move_diff(run, m);
		if (rc < 0 || run->move->dry_run ||
		    !rebase_needs_still(view, m->rebase.diff))
			continue;
		rc = view_still(view);
		m->still = rc == 0;
		if (m->still) /* writers stay out */
			pthread_rwlock_unlock(&view->lock);
	}
	return rc;
}

static void move_lock(struct move_run *run)
{
	for (unsigned int i = 0; i < run->count; i++) {
		struct view *view = run->guests[i].sv->view;

		pthread_rwlock_wrlock(&view->lock);
		if (run->guests[i].still) /* readers may have opened some */
			node_close_all(view);
	}
}

static void move_unlock(struct move_run *run)
{
	for (unsigned int i = run->count; i > 0; i--) {
		struct moving *m = &run->guests[i - 1];

		if (m->still)
			view_stir(m->sv->view);
		else
			pthread_rwlock_unlock(&m->sv->view->lock);
		m->still = false;
	}
}

static int move_rebase(struct move_run *run, struct moving *m)
{
	struct site_move *move = run->move;
	struct move_tell tell = {move, m->sv};
	struct rebase *r = &m->rebase;
	int rc;

	r->view = m->sv->view;
	r->policy = move->policy;
	r->tell = move_conflict;
	r->ctx = &tell;
	rc = rebase_prepare(r);
	move->conflicts += r->conflicts;
	move->kept += r->kept;
	move->superseded += r->superseded;
	move->restored += r->restored;
	return rc;
}

static int move_check(struct move_run *run)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < run->count; i++)
		rc = move_rebase(run, &run->guests[i]);
	if (rc == 0 && run->move->conflicts > 0 && !run->move->dry_run &&
	    run->move->policy == SITE_POLICY_FAIL)
		rc = log_err(-EEXIST,
			     "%u changes of guests of tenant %s are of files "
			     "that change",
			     run->move->conflicts, run->move->tenant->name);
	return rc;
}

/* What the guests may still ask for afterwards. */
static int move_past(struct move_run *run)
{
	struct site_move *move = run->move;
	struct past *past = move->tenant->past;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return past_next(past, run->diffs, run->diff_count,
			 move->selection ? &move->selection->since : &now,
			 !move->guest, run->batch, &run->past);
}

/* What the one guest has of its own from now on. */
static int move_put_guest(struct move_run *run)
{
	const char *name = run->move->guest->view->info.path + 1;

	site_put_guest(run->batch, name, &run->record);
	return own_put(run->batch, name, run->own);
}

static int move_write(struct move_run *run)
{
	struct site_move *move = run->move;
	int rc = move_past(run);

	if (move->selection)
		selection_put(run->batch, move->tenant->name, move->selection);
	for (unsigned int i = 0; rc == 0 && i < run->count; i++)
		rc = rebase_write(&run->guests[i].rebase, run->batch);
	if (rc == 0 && run->own)
		rc = move_put_guest(run);
	KILL_POINT("switch-rebased");
	return rc < 0 ? rc : kv_write(run->site->kv, run->batch);
}

/* The batch is in the log; views are locked. */
static void move_apply(struct move_run *run)
{
	struct site_move *move = run->move;

	KILL_POINT("switch-written");
	for (unsigned int i = 0; i < run->count; i++)
		rebase_apply(&run->guests[i].rebase);
	past_set(move->tenant->past, STEAL(run->past));
	if (run->own) {
		free(move->guest->own);
		move->guest->own = STEAL(run->own);
	}
	KILL_POINT("switch-applied");
}

static int move_locked(struct move_run *run)
{
	int rc;

	move_lock(run);
	rc = move_check(run);
	if (rc == 0 && !run->move->dry_run) {
		rc = move_write(run);
		if (rc == 0)
			move_apply(run);
	}
	move_unlock(run);
	return rc;
}

static int move_commit(struct move_run *run)
{
	struct site_move *move = run->move;
	int rc = move_locked(run);

	if (rc < 0 || move->dry_run)
		return rc;
	if (move->selection) {
		pthread_rwlock_wrlock(&run->site->lock);
		move->tenant->selection = *move->selection;
		pthread_rwlock_unlock(&run->site->lock);
	}
	if (move->own) {
		pthread_rwlock_wrlock(&run->site->lock);
		move->guest->record = run->record;
		pthread_rwlock_unlock(&run->site->lock);
	}
	rc = kv_sync_log(run->site->kv);
	KILL_POINT("switch-synced");
	return rc;
}

/* After a step that failed, nobody is kept out. */
static void move_stir(struct move_run *run)
{
	for (unsigned int i = 0; i < run->count; i++) {
		struct view *view = run->guests[i].sv->view;

		if (!run->guests[i].still)
			continue;
		pthread_rwlock_wrlock(&view->lock);
		view_stir(view);
	}
}

static int move_own(struct move_run *run)
{
	if (!run->move->own || run->move->dry_run)
		return 0;
	ASSERT(run->move->guest);
	run->own = malloc(sizeof(*run->own));
	if (!run->own)
		return -ENOMEM;
	*run->own = *run->move->own;
	run->record =
	    run->move->record ? *run->move->record : run->move->guest->record;
	return 0;
}

int site_move(struct site *site, struct site_move *move)
{
	struct move_run run = {.site = site, .move = move};
	int rc = move_gather(&run);

	if (rc == 0)
		rc = move_own(&run);
	if (rc == 0)
		rc = move_quiet(&run);
	if (rc == 0)
		rc = move_commit(&run);
	move_stir(&run);
	for (unsigned int i = 0; i < run.count; i++) {
		rebase_free(&run.guests[i].rebase);
		image_put(run.guests[i].image);
	}
	for (unsigned int i = 0; i < run.diff_count; i++)
		image_diff_free(run.diffs[i]);
	past_table_free(run.past);
	kv_batch_free(run.batch);
	free(run.guests);
	free(run.diffs);
	free(run.own);
	site_images_trim(move->tenant);
	return rc;
}
