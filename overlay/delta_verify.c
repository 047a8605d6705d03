/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_verify: the whole of it, in its sequence, and how one thing is looked
 * at.  What is looked at is in the header.
 */
#include "overlay/delta_verify.h"

void verify_tell(struct verify *v, const struct findings *f)
{
	for (unsigned int i = 0; i < f->count; i++) {
		if (f->item[i].problem)
			v->figures->problems++;
		else
			v->figures->warnings++;
		v->tell(v->ctx, f->item[i].problem, f->item[i].what);
	}
}

int verify_look(struct verify *v, struct look look,
		int (*fn)(struct verify *v, const struct look *look,
			  struct findings *f))
{
	struct findings f = {0};
	int rc = site_goes_on(v->site);

	if (rc < 0)
		return rc;
	pthread_rwlock_rdlock(&v->view->lock);
	rc = fn(v, &look, &f);
	pthread_rwlock_unlock(&v->view->lock);
	if (rc < 0 || f.count == 0)
		return rc;
	f.count = 0;
	look.again = true;
	pthread_rwlock_wrlock(&v->view->lock);
	rc = fn(v, &look, &f);
	pthread_rwlock_unlock(&v->view->lock);
	if (rc == 0)
		verify_tell(v, &f);
	return rc;
}

unsigned long long verify_layer_id(const struct verify *v, unsigned int level)
{
	return v->view->layer[level]->id;
}

static void verify_free(struct verify *v)
{
	for (unsigned int i = 0; i < VIEW_LAYERS_MAX; i++)
		idset_clear(&v->named[i]);
	free(v->host);
	free(v->dirs);
	free(v->image_names);
	free(v->born);
	free(v->suspects);
}

static int verify_run(struct verify *v)
{
	int rc;

	v->image_names =
	    calloc(image_inode_count(v->image), sizeof(*v->image_names));
	if (!v->image_names)
		return -ENOMEM;
	rc = verify_list_host(v);
	if (rc == 0)
		rc = verify_walk(v, false);
	if (rc == 0)
		rc = verify_layers(v);
	if (rc == 0)
		rc = verify_links(v);
	return rc < 0 ? rc : verify_sums(v);
}

int site_delta_verify(struct site *site, const char *guest,
		      void (*tell)(void *ctx, bool problem, const char *what),
		      void *ctx, struct site_delta_figures *figures)
{
	struct verify v = {
	    .site = site, .tell = tell, .ctx = ctx, .figures = figures};
	struct site_view *sv;
	int rc;

	*figures = (struct site_delta_figures){0};
	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0) {
		v.view = sv->view;
		v.image = sv->view->image;
		/* What the database says is verified, not what is kept of it.
		 */
		for (unsigned int i = 0; i < sv->view->layer_count; i++)
			recent_clear(&sv->view->layer[i]->recent);
		rc = verify_run(&v);
		verify_free(&v);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
