/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_final: what others see of a push: tags, then the root document.
 *
 * Under the lock, and always from what is there now: a push that finds the
 * generation moved since it began makes sure that the packs it relies on are
 * there still, and then merges its tags into what the other one has written.
 */
#include "depot/publish_inside.h"

#include <stdio.h>

#include "depot/layout.h"
#include "depot/log.h"

enum {
	FINAL_ATTEMPTS_MAX = 10,
	FINAL_EXPIRY_SLACK = 3600, /* seconds: not worth a new document */
};

/* --- whose signature is there -------------------------------------------- */

static int final_refuse(const struct push *push, const char *path,
			const char *why, const struct sign_keys *signers)
{
	char hex[DIGEST_HEX_LEN + 1] = "";

	if (signers->count > 0)
		sign_key_to_hex(&signers->key[0], hex);
	log_err(0, "%s: %s is %s%s%s", push->publish->url, path,
		signers->count ? "signed by key " : "not signed", hex, why);
	return -EPERM;
}

/* May this push write it again? *foreign: it is not signed by its key. */
static int final_check_signers(const struct push *push, const char *path,
			       const char *text, size_t len, bool *foreign)
{
	const struct publish *publish = push->publish;
	struct sign_keys signers;
	struct sign_key own;
	int rc;

	rc = document_signers(text, len, &signers);
	if (rc < 0)
		return publish_target_refused(push->target, path, rc);
	*foreign = false;
	if (!publish->secret)
		return signers.count == 0
			   ? 0
			   : final_refuse(push, path,
					  ", and would not be any more",
					  &signers);
	own = sign_public(publish->secret);
	for (unsigned int i = 0; i < signers.count; i++)
		if (sign_key_compare(&own, &signers.key[i]) == 0)
			return 0;
	*foreign = true;
	return publish->adopt
		   ? 0
		   : final_refuse(push, path, ", and would get your signature",
				  &signers);
}

/* --- the root document --------------------------------------------------- */

static int final_read_root(struct push *push, struct root_doc *root,
			   bool *foreign)
{
	CLEANUP_FREE void *text = NULL;
	size_t len;
	int rc;

	rc = publish_target_get(push->target, LAYOUT_ROOT, DOCUMENT_MAX, &text,
				&len);
	if (rc < 0)
		return rc;
	rc = root_doc_read(text, len, root);
	if (rc < 0)
		return publish_target_refused(push->target, LAYOUT_ROOT, rc);
	rc = final_check_signers(push, LAYOUT_ROOT, text, len, foreign);
	if (rc < 0)
		root_doc_clear(root);
	return rc;
}

int push_read_root(struct push *push)
{
	bool foreign;
	int rc;

	root_doc_clear(&push->root);
	rc = final_read_root(push, &push->root, &foreign);
	push->root_there = rc == 0;
	return rc == -ENOENT ? 0 : rc;
}

/* What the final phase makes of the root document. */
struct final {
	struct push *push; /* borrows */
	struct publish_lock lock;
	struct root_doc found; /* owns */
	bool there, foreign;   /* of found */
	struct root_doc next;  /* owns */
	bool changed;
};

static void final_clear(struct final *final)
{
	root_doc_clear(&final->found);
	root_doc_clear(&final->next);
}

/* Look again; -ESTALE when what this push relies on has gone. */
static int final_look(struct final *final)
{
	struct push *push = final->push;
	int rc;

	rc = final_read_root(push, &final->found, &final->foreign);
	final->there = rc == 0;
	if (rc == -ENOENT)
		rc = 0;
	if (rc < 0 || (final->there == push->root_there &&
		       final->found.generation == push->root.generation))
		return rc;
	publish_target_forget(push->target);
	for (unsigned int i = 0; rc == 0 && i < push->scope_count; i++)
		rc = publish_known_check(push->scopes[i].known, push->target);
	return rc;
}

static int final_begin(struct final *final)
{
	static const struct depot_id none;
	const struct root_doc *found = &final->found;
	struct root_doc *next = &final->next;

	next->packages = calloc((size_t)found->count + final->push->count + 1,
				sizeof(*next->packages));
	if (!next->packages)
		return -ENOMEM;
	if (found->count > 0)
		memcpy(next->packages, found->packages,
		       found->count * sizeof(*found->packages));
	next->count = found->count;
	next->depot = found->depot;
	final->changed = !final->there || final->foreign;
	/* Drawn once, for the life of the depot. */
	if (memcmp(&next->depot, &none, sizeof(none)) == 0) {
		random_bytes(&next->depot, sizeof(next->depot));
		final->changed = true;
	}
	return 0;
}

/* There is room for it. */
static void final_set(struct final *final, const char *name, uint64_t sequence)
{
	struct root_doc *next = &final->next;
	struct root_package *row = next->packages;
	struct root_package *end = next->packages + next->count;

	while (row < end && strcmp(row->name, name) < 0)
		row++;
	if (row == end || strcmp(row->name, name) != 0) {
		memmove(row + 1, row, (size_t)(end - row) * sizeof(*row));
		memset(row, 0, sizeof(*row));
		snprintf(row->name, sizeof(row->name), "%s", name);
		next->count++;
	} else if (row->sequence >= sequence) {
		return;
	}
	row->sequence = sequence;
	final->changed = true;
}

static bool final_expiry_moves(const struct push *push, int64_t expires)
{
	int64_t wanted = push->publish->expires_sec;

	return wanted && (wanted > expires + FINAL_EXPIRY_SLACK ||
			  wanted < expires - FINAL_EXPIRY_SLACK);
}

static int final_write_root(struct final *final)
{
	struct push *push = final->push;
	CLEANUP(root_doc_clear) struct root_doc now = {0};
	CLEANUP_FREE char *json = NULL;
	bool foreign;
	int rc;

	if (!final->changed &&
	    !final_expiry_moves(push, final->found.expires_sec))
		return 0;
	final->next.generation = final->found.generation + 1;
	final->next.expires_sec = push->publish->expires_sec;
	rc = root_doc_sign(&final->next, push->publish->secret, &json);
	if (rc == 0)
		rc = publish_lock_keep(&final->lock);
	if (rc < 0)
		return rc;
	/* The generation has the last word. */
	rc = final_read_root(push, &now, &foreign);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if ((rc == 0) != final->there ||
	    (rc == 0 && now.generation != final->found.generation))
		return -EAGAIN;
	return publish_target_put(push->target, LAYOUT_ROOT, json,
				  strlen(json));
}

/* --- tags ---------------------------------------------------------------- */

/* The row of a tag; a new one has revision zeros. */
static struct tag_row *push_tag_row(struct tag_doc *doc, const char *tag)
{
	unsigned int i = 0;

	while (i < doc->count && strcmp(doc->rows[i].tag, tag) < 0)
		i++;
	if (i < doc->count && strcmp(doc->rows[i].tag, tag) == 0)
		return &doc->rows[i];
	memmove(&doc->rows[i + 1], &doc->rows[i],
		(doc->count - i) * sizeof(*doc->rows));
	memset(&doc->rows[i], 0, sizeof(*doc->rows));
	snprintf(doc->rows[i].tag, sizeof(doc->rows[i].tag), "%s", tag);
	doc->count++;
	return &doc->rows[i];
}

/* true: that changed something. */
static bool push_set_tag(struct tag_doc *doc,
			 const struct publish_package *package, uint32_t index)
{
	unsigned int count = doc->count;
	struct tag_row *row = push_tag_row(doc, package->tag);
	bool is_new = doc->count > count;

	if (!is_new && digest_equal(&row->revision, &package->revision)) {
		if (row->index == index)
			return false;
	} else if (!is_new) {
		row->previous = row->revision;
		row->has_previous = true;
	}
	row->revision = package->revision;
	row->tree = *tree_digest(package->tree);
	row->index = index;
	return true;
}

static bool push_same_entitled(const struct tag_doc *doc,
			       const struct package_entitled *entitled)
{
	if (doc->is_restricted != entitled->is_restricted)
		return false;
	if (!doc->is_restricted)
		return true;
	if (doc->entitled_count != entitled->count)
		return false;
	for (unsigned int i = 0; i < entitled->count; i++)
		if (strcmp(doc->entitled[i], entitled->tenants[i]) != 0)
			return false;
	return true;
}

/* *changed: that is news to the depot. */
static int push_entitle(struct tag_doc *doc,
			const struct package_entitled *entitled, bool *changed)
{
	size_t size = sizeof(*doc->entitled);

	if (!entitled || push_same_entitled(doc, entitled))
		return 0;
	*changed = true;
	free(doc->entitled);
	doc->entitled_count = 0;
	doc->entitled = calloc((size_t)entitled->count + 1, size);
	if (!doc->entitled)
		return -ENOMEM;
	doc->is_restricted = entitled->is_restricted;
	if (entitled->count)
		memcpy(doc->entitled, entitled->tenants,
		       entitled->count * size);
	doc->entitled_count = entitled->count;
	return 0;
}

/* The document that is there; an empty one of that name when none is. */
static int final_read_tags(struct final *final, const char *path,
			   const char *name, struct tag_doc *doc, bool *foreign)
{
	struct push *push = final->push;
	CLEANUP_FREE void *text = NULL;
	size_t len;
	int rc;

	*foreign = false;
	rc = publish_target_get(push->target, path, DOCUMENT_MAX, &text, &len);
	if (rc == -ENOENT) {
		snprintf(doc->name, sizeof(doc->name), "%s", name);
		return 0;
	}
	if (rc < 0)
		return rc;
	rc = tag_doc_read(text, len, doc);
	if (rc == 0 && strcmp(doc->name, name) != 0)
		rc = -EBADMSG;
	if (rc < 0)
		return publish_target_refused(push->target, path, rc);
	return final_check_signers(push, path, text, len, foreign);
}

/* Somebody has put an old or another depot's document there: it would be signed
 * as new. */
static int final_check_age(struct final *final, const char *path,
			   const struct tag_doc *doc)
{
	static const struct depot_id none;
	const struct root_package *listed =
	    root_doc_find(&final->found, doc->name);
	const struct publish *publish = final->push->publish;

	if (!publish->secret || publish->adopt || doc->sequence == 0)
		return 0;
	if (memcmp(&doc->depot, &none, sizeof(none)) != 0 &&
	    memcmp(&doc->depot, &final->next.depot, sizeof(none)) != 0)
		return log_err(-EBADMSG, "%s: %s is of another depot",
			       publish->url, path);
	if (listed && doc->sequence < listed->sequence)
		return log_err(-EBADMSG,
			       "%s: %s has been rolled back: its sequence is "
			       "%llu, " LAYOUT_ROOT " says %llu",
			       publish->url, path,
			       (unsigned long long)doc->sequence,
			       (unsigned long long)listed->sequence);
	return 0;
}

static int final_put_tags(struct final *final, const char *path,
			  struct tag_doc *doc)
{
	const struct root_package *listed =
	    root_doc_find(&final->found, doc->name);
	struct push *push = final->push;
	CLEANUP_FREE char *json = NULL;
	int rc;

	doc->sequence = MAX(doc->sequence, listed ? listed->sequence : 0) + 1;
	doc->depot = final->next.depot;
	doc->expires_sec = push->publish->expires_sec;
	rc = tag_doc_sign(doc, push->publish->secret, &json);
	if (rc == 0)
		rc = publish_lock_keep(&final->lock);
	if (rc < 0)
		return rc;
	/* The root must move, too: others tell by it that something has. */
	final->changed = true;
	return publish_target_put(push->target, path, json, strlen(json));
}

/* All tags of one package name, of this push. */
static int final_tags(struct final *final,
		      const struct publish_package *package)
{
	CLEANUP(tag_doc_clear) struct tag_doc doc = {0};
	const char *private = push_private(package), *name = package->name;
	struct layout_path path = layout_tags(private, name);
	struct push *push = final->push;
	struct tag_row *grown;
	bool changed;
	int rc;

	rc = final_read_tags(final, path.text, name, &doc, &changed);
	if (rc == 0)
		rc = final_check_age(final, path.text, &doc);
	if (rc < 0)
		return rc;
	grown = realloc(doc.rows, (doc.count + push->count) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	doc.rows = grown;
	for (unsigned int i = 0; i < push->count; i++)
		if (strcmp(push->packages[i].name, name) == 0)
			changed |= push_set_tag(&doc, &push->packages[i],
						push->indexes[i]);
	rc = push_entitle(&doc, package->entitled, &changed);
	if (rc == 0 && (changed || final_expiry_moves(push, doc.expires_sec)))
		rc = final_put_tags(final, path.text, &doc);
	if (rc == 0 && !private)
		final_set(final, name, doc.sequence);
	return rc;
}

static int final_all_tags(struct final *final)
{
	struct push *push = final->push;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < push->count; i++) {
		unsigned int first = 0;

		while (strcmp(push->packages[first].name,
			      push->packages[i].name) != 0)
			first++;
		if (first == i)
			rc = final_tags(final, &push->packages[i]);
	}
	return rc;
}

/* --- packages that the root does not list -------------------------------- */

struct final_orphans {
	struct final *final;
	char (*names)[PACKAGE_NAME_MAX + 1]; /* owns */
	size_t count;
};

static int final_orphan_visit(void *ctx, const char *file, uint64_t len UNUSED)
{
	struct final_orphans *orphans = ctx;
	size_t name_len = strlen(file);
	char name[PACKAGE_NAME_MAX + 1];
	void *grown;

	if (name_len < 6 || name_len - 5 > PACKAGE_NAME_MAX ||
	    strcmp(file + name_len - 5, ".json") != 0)
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)name_len - 5, file);
	if (!depot_name_ok(name) || root_doc_find(&orphans->final->next, name))
		return 0;
	grown = realloc(orphans->names,
			(orphans->count + 1) * sizeof(*orphans->names));
	if (!grown)
		return -ENOMEM;
	orphans->names = grown;
	memcpy(orphans->names[orphans->count++], name, sizeof(name));
	return 0;
}

static int final_orphan(struct final *final, const char *name)
{
	CLEANUP(tag_doc_clear) struct tag_doc doc = {0};
	struct layout_path path = layout_tags(NULL, name);
	struct root_package *grown;
	bool foreign;

	/* What we may not, or cannot, vouch for stays unlisted. */
	if (final_read_tags(final, path.text, name, &doc, &foreign) < 0)
		return 0;
	grown = realloc(final->next.packages,
			((size_t) final->next.count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	final->next.packages = grown;
	final_set(final, name, doc.sequence);
	return 0;
}

/* A publisher that died between its tags and the root has left them. */
static int final_adopt_orphans(struct final *final)
{
	struct final_orphans orphans = {.final = final};
	int rc;

	rc = publish_target_list(final->push->target, "tags",
				 final_orphan_visit, &orphans);
	for (size_t i = 0; rc == 0 && i < orphans.count; i++)
		rc = final_orphan(final, orphans.names[i]);
	free(orphans.names);
	return rc;
}

/* --- the phase ----------------------------------------------------------- */

static int final_once(struct push *push)
{
	const struct publish *publish = push->publish;
	struct publish_wait wait = {publish->say, publish->stop, publish->ctx};
	CLEANUP(final_clear) struct final final = {.push = push};
	int rc;

	rc = publish_lock_take(&final.lock, push->target, &wait);
	if (rc < 0)
		return rc;
	rc = final_look(&final);
	if (rc == 0)
		rc = final_begin(&final);
	if (rc == 0)
		rc = final_all_tags(&final);
	if (rc == 0)
		rc = final_adopt_orphans(&final);
	if (rc == 0)
		rc = final_write_root(&final);
	publish_lock_drop(&final.lock);
	return rc;
}

int push_final(struct push *push)
{
	int rc;

	for (int i = 0; i < FINAL_ATTEMPTS_MAX; i++) {
		rc = final_once(push);
		if (rc != -EAGAIN)
			return rc;
		log_info("%s: somebody else has published; once more",
			 push->publish->url);
	}
	return log_err(-EAGAIN, "%s: others keep publishing there",
		       push->publish->url);
}
