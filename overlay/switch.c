/* SPDX-License-Identifier: Apache-2.0 */
/*
 * switch: another image under a delta.  It is refused when the delta builds on
 * an object that the new image lacks, or when a name would lose its place.
 */
#include <stdio.h>

#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/starts.h"
#include "overlay/view_impl.h"

/* --- another image ------------------------------------------------------- */

struct switching {
	struct view *view;
	struct image *image;
	void (*conflict)(void *ctx, const char *what);
	void *ctx;
	unsigned int count;
};

static void switch_tell(struct switching *s, const char *what, uint64_t fileid,
			const char *name, size_t name_len)
{
	char text[512];

	s->count++;
	snprintf(text, sizeof(text), "%s%s %.*s (file number %llu)",
		 s->view->info.path, what, (int)name_len, name,
		 (unsigned long long)fileid);
	if (s->conflict)
		s->conflict(s->ctx, text);
}

/* A record of a package object: the new image must have the object. */
static int switch_check_record(struct switching *s, uint64_t fileid,
			       const uint8_t *value, size_t len)
{
	struct record rec;
	int rc;

	if ((fileid & RECORD_BORN) ||
	    image_find(s->image, fileid) != IMAGE_NONE)
		return 0;
	rc = record_decode(value, len, &rec);
	if (rc == 0 && !rec.gone)
		switch_tell(s, ": changed file is gone or other:", fileid, "",
			    0);
	return rc;
}

/* Is there a name at this cookie, in the delta or the new image? */
static int switch_is_taken(struct switching *s, uint64_t dir, uint32_t image,
			   uint64_t cookie, bool *taken)
{
	const struct image_entry *entry, *end;
	struct record_name name;
	int rc;

	entry = image_from(s->image, image, cookie, &end);
	*taken = entry != end && entry->cookie == cookie;
	if (*taken)
		return 0;
	rc = name_from_layers(s->view, 0, dir, cookie, &name);
	*taken = rc == 0;
	return rc == -ENOENT ? 0 : rc;
}

/* A name that gave way to others is found only while they are there. */
static int switch_check_chain(struct switching *s, uint64_t dir, uint32_t image,
			      uint64_t cookie, const struct record_name *name)
{
	uint64_t at = name_cookie(name->name, name->name_len);

	for (int i = 0; at != cookie && i < NAME_CHAIN_MAX; i++) {
		bool taken;
		int rc = switch_is_taken(s, dir, image, at, &taken);

		if (rc < 0)
			return rc;
		if (!taken) {
			switch_tell(s, ": place moves of", dir, name->name,
				    name->name_len);
			return 0;
		}
		at = name_cookie_next(at);
	}
	return 0;
}

/* A name of the delta: the new image must not claim its cookie for another
 * name, nor the name at another cookie. */
static int switch_check_name(struct switching *s, uint64_t dir, uint64_t cookie,
			     const uint8_t *value, size_t len)
{
	const struct image_entry *entry, *end;
	struct record_name name;
	uint32_t i = image_find(s->image, dir);
	int rc = record_name_decode(value, len, &name);

	if (rc < 0 || i == IMAGE_NONE || name.kind == RECORD_NAME_FILLER)
		return rc;
	entry = image_from(s->image, i, cookie, &end);
	if (entry != end && entry->cookie == cookie &&
	    (entry->name_len != name.name_len ||
	     memcmp(entry->name, name.name, name.name_len) != 0))
		switch_tell(s, ": place is taken of", dir, name.name,
			    name.name_len);
	entry = image_lookup(s->image, i, name.name, name.name_len);
	if (entry && entry->cookie != cookie)
		switch_tell(s, ": place moves of", dir, name.name,
			    name.name_len);
	if (entry || name.kind != RECORD_NAME_ENTRY)
		return 0;
	return switch_check_chain(s, dir, i, cookie, &name);
}

static int switch_visit_record(void *ctx, const struct each_key *key)
{
	return switch_check_record(ctx, be64_get(key->rest), key->value,
				   key->value_len);
}

static int switch_visit_name(void *ctx, const struct each_key *key)
{
	return switch_check_name(ctx, be64_get(key->rest),
				 be64_get(key->rest + 8), key->value,
				 key->value_len);
}

static int switch_check_layer(struct switching *s, uint64_t layer)
{
	struct record_key prefix;
	int rc;

	record_key_kind(&prefix, layer, 'i');
	rc = each_key(s->view->kv, &prefix, 8, switch_visit_record, s);
	record_key_kind(&prefix, layer, 'd');
	if (rc == 0)
		rc = each_key(s->view->kv, &prefix, 16, switch_visit_name, s);
	return rc;
}

/* Files that are written to just now may have no record yet. */
static void switch_check_nodes(struct switching *s)
{
	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		for (struct node *n = s->view->nodes[i]; n; n = n->hash_next)
			if (!n->recorded && !(n->fileid & RECORD_BORN) &&
			    image_find(s->image, n->fileid) == IMAGE_NONE)
				switch_tell(s, ": open file is gone or other:",
					    n->fileid, "", 0);
}

int view_switch_check(struct view *view, struct image *image,
		      void (*conflict)(void *ctx, const char *what), void *ctx)
{
	struct switching s = {view, image, conflict, ctx, 0};
	int rc = 0;

	pthread_rwlock_rdlock(&view->lock);
	switch_check_nodes(&s);
	for (unsigned int i = 0; rc == 0 && i < view->layer_count; i++)
		rc = switch_check_layer(&s, view->layer[i]->id);
	pthread_rwlock_unlock(&view->lock);
	if (rc == 0 && s.count > 0)
		rc = -EEXIST;
	return rc;
}

/* Records hold their bases themselves; open files may have no record yet. */
static void switch_hold(struct view *view)
{
	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		for (struct node *n = view->nodes[i]; n; n = n->hash_next) {
			struct tree *tree = inode_base(view, &n->rec);

			if (tree && layer_hold_tree(view_top(view), tree) < 0)
				log_err(-ENOMEM, "delta %s: base of %llx",
					view->info.path,
					(unsigned long long)n->fileid);
		}
}

void view_switch(struct view *view, struct image *image)
{
	struct image *old;

	pthread_rwlock_wrlock(&view->lock);
	switch_hold(view);
	old = view->image;
	view->image = image_get(image);
	starts_switched(view);
	pthread_rwlock_unlock(&view->lock);
	image_put(old);
}
