/* SPDX-License-Identifier: Apache-2.0 */
/* site_move: guests of a tenant get another image, all at once. */
#include "depot/log.h"
#include "overlay/site_impl.h"

/* One guest on its way. */
struct moving {
	struct view *view;
	struct image *image; /* ref; the next */
};

struct move_run {
	struct site *site;
	struct site_move *move;
	struct moving *guests; /* owns */
	unsigned int count;
};

static void move_conflict(void *ctx, const char *what)
{
	struct site_move *move = ctx;

	move->conflicts++;
	if (move->conflict)
		move->conflict(move->ctx, what);
}

static int move_add(struct move_run *run, struct site_view *sv)
{
	struct site_move *move = run->move;
	struct tenant *tenant = move->tenant;
	struct moving *m = &run->guests[run->count];
	int rc = site_guest_image(
	    run->site, tenant, move->own ? move->own : sv->own,
	    move->selection ? move->selection : &tenant->selection, &m->image);

	m->view = sv->view;
	run->count += rc == 0;
	return rc;
}

/* Who moves, and to which images. */
static int move_gather(struct move_run *run)
{
	struct site *site = run->site;
	int rc = 0;

	run->guests = calloc(MAX(site->view_count, 1u), sizeof(*run->guests));
	if (!run->guests)
		return -ENOMEM;
	if (run->move->guest)
		return move_add(run, run->move->guest);
	for (unsigned int i = 0; rc == 0 && i < site->view_count; i++)
		if (site_view_is_of(site->views[i].view, run->move->tenant))
			rc = move_add(run, &site->views[i]);
	return rc;
}

/* Would every guest's delta still stand on its new image?  All guests'
 * conflicts are told. */
static int move_check(struct move_run *run)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < run->count; i++) {
		rc =
		    view_switch_check(run->guests[i].view, run->guests[i].image,
				      move_conflict, run->move);
		if (rc == -EEXIST)
			rc = 0;
	}
	if (rc == 0 && run->move->conflicts > 0)
		rc = log_err(-EEXIST,
			     "%u changes of guests of tenant %s are over files "
			     "that the new selection lacks",
			     run->move->conflicts, run->move->tenant->name);
	return rc;
}

static int move_write(struct move_run *run)
{
	struct site_move *move = run->move;
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	if (move->selection)
		selection_put(batch, move->tenant->name, move->selection);
	if (move->put)
		move->put(move->put_ctx, batch);
	rc = site_write(run->site, batch);
	kv_batch_free(batch);
	return rc;
}

static int move_own(struct move_run *run)
{
	struct site_move *move = run->move;
	struct guest_own *own;

	if (!move->own)
		return 0;
	ASSERT(move->guest);
	own = malloc(sizeof(*own));
	if (!own)
		return -ENOMEM;
	*own = *move->own;
	free(move->guest->own);
	move->guest->own = own;
	return 0;
}

static int move_commit(struct move_run *run)
{
	struct site_move *move = run->move;
	int rc = move_write(run);

	if (rc == 0)
		rc = move_own(run);
	if (rc < 0)
		return rc;
	if (move->selection) {
		pthread_rwlock_wrlock(&run->site->lock);
		move->tenant->selection = *move->selection;
		pthread_rwlock_unlock(&run->site->lock);
	}
	for (unsigned int i = 0; i < run->count; i++)
		view_switch(run->guests[i].view, run->guests[i].image);
	return 0;
}

int site_move(struct site *site, struct site_move *move)
{
	struct move_run run = {.site = site, .move = move};
	int rc = move_gather(&run);

	if (rc == 0)
		rc = move_check(&run);
	if (rc == 0)
		rc = move_commit(&run);
	for (unsigned int i = 0; i < run.count; i++)
		image_put(run.guests[i].image);
	free(run.guests);
	site_images_trim(move->tenant);
	return rc;
}
