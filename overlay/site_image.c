/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_image: the images of a tenant's guests.  Flattening takes a while and
 * memory, so guests with the same packages and flags have one together.
 */
#include "depot/log.h"
#include "overlay/site_impl.h"

/* The key of an image; `image` stays NULL. */
static void image_key(const struct guest_own *own,
		      const struct selection *selection,
		      struct tenant_image *key)
{
	memset(key, 0, sizeof(*key));
	key->since = selection->since;
	key->flags = own ? own->flags : 0;
	for (unsigned int i = 0; own && i < own->count; i++)
		key->trees[key->count++] = own->package[i].tree;
	for (unsigned int i = 0; i < selection->count; i++)
		key->trees[key->count++] = selection->package[i].tree;
}

static bool image_key_same(const struct tenant_image *a,
			   const struct tenant_image *b)
{
	if (a->flags != b->flags || a->count != b->count ||
	    a->since.tv_sec != b->since.tv_sec ||
	    a->since.tv_nsec != b->since.tv_nsec)
		return false;
	for (unsigned int i = 0; i < a->count; i++)
		if (!digest_equal(&a->trees[i], &b->trees[i]))
			return false;
	return true;
}

int site_guest_image(struct site *site, struct tenant *tenant,
		     const struct guest_own *own,
		     const struct selection *selection, struct image **image)
{
	struct tenant_image *fresh = malloc(sizeof(*fresh));
	struct tenant_image *found = tenant->images;
	int rc;

	if (!fresh)
		return -ENOMEM;
	image_key(own, selection, fresh);
	while (found && !image_key_same(found, fresh))
		found = found->next;
	if (found) {
		free(fresh);
		*image = image_get(found->image);
		return 0;
	}
	rc = selection_image(site->depot, own, selection, tenant->key, NULL,
			     &fresh->image);
	if (rc < 0) {
		free(fresh);
		return rc;
	}
	fresh->next = tenant->images;
	tenant->images = fresh;
	*image = image_get(fresh->image);
	return 0;
}

static void images_drop(struct tenant *tenant, bool all)
{
	struct tenant_image **at = &tenant->images;

	while (*at) {
		struct tenant_image *t = *at;

		if (!all && !image_is_last(t->image)) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		image_put(t->image);
		free(t);
	}
}

void site_images_trim(struct tenant *tenant)
{
	images_drop(tenant, false);
}

void site_images_free(struct tenant *tenant)
{
	images_drop(tenant, true);
}
