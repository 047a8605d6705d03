/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_clean: what nothing names any more goes, not before readers have had
 * a week to see that.
 *
 * Under the lock, and the generation moves before anything is removed: a push
 * that has counted on such a pack, since it lay there, finds that and looks
 * again.  Indexes go before the packs that they name.
 */
#include <stdio.h>
#include <time.h>

#include "depot/layout.h"
#include "depot/log.h"
#include "depot/publish_inside.h"

struct clean_row {
	char path[LAYOUT_PATH_MAX];
	uint64_t len;
	int64_t since_sec;
	bool goes;
};

struct clean {
	struct push push; /* what the final phase's files need; owns its root */
	struct publish_target *target; /* owns */
	struct publish_cleaning *cleaning;
	int64_t now;
	struct unused_doc noted; /* owns */
	struct clean_row *rows;  /* owns; unnamed, indexes first */
	size_t count, cap;
	struct publish_known *known;          /* owns; of the scope at hand */
	char (*scopes)[PACKAGE_NAME_MAX + 1]; /* owns; private packages */
	size_t scope_count;
};

static void clean_clear(struct clean *clean)
{
	root_doc_clear(&clean->push.root);
	publish_target_free(clean->target);
	unused_doc_clear(&clean->noted);
	free(clean->rows);
	publish_known_free(clean->known);
	free(clean->scopes);
}

static int clean_add(struct clean *clean, const char *path, uint64_t len)
{
	const struct unused_row *noted = unused_doc_find(&clean->noted, path);
	struct clean_row *grown, *row;

	if (clean->count == clean->cap) {
		clean->cap = MAX((size_t)64, 2 * clean->cap);
		grown = realloc(clean->rows, clean->cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		clean->rows = grown;
	}
	row = &clean->rows[clean->count++];
	memset(row, 0, sizeof(*row));
	snprintf(row->path, sizeof(row->path), "%s", path);
	row->len = len;
	/* From a clock ahead of ours: now. */
	row->since_sec = noted ? MIN(noted->since_sec, clean->now) : clean->now;
	row->goes = clean->now - row->since_sec >= PUBLISH_KEEP_S;
	return 0;
}

/* --- what is not named --------------------------------------------------- */

static int clean_index(void *ctx, const struct digest *tree, uint32_t number)
{
	struct clean *clean = ctx;
	struct layout_path path =
	    layout_index(publish_known_private(clean->known), tree, number);

	return clean_add(clean, path.text, 0);
}

struct clean_dir {
	struct clean *clean;
	const char *dir;
};

static bool clean_named(const struct publish_known *known,
			const struct digest *pack)
{
	for (uint32_t i = 0; i < publish_known_pack_count(known); i++)
		if (digest_equal(publish_known_pack_name(known, i), pack))
			return true;
	return false;
}

static int clean_pack(void *ctx, const char *name, uint64_t len)
{
	struct clean_dir *dir = ctx;
	struct clean *clean = dir->clean;
	struct layout_path path;
	struct digest pack;

	/* Not one of ours: not ours to remove. */
	if (digest_from_hex(name, strlen(name), &pack) < 0 ||
	    clean_named(clean->known, &pack))
		return 0;
	path = layout_pack(publish_known_private(clean->known), &pack);
	return clean_add(clean, path.text, len);
}

static int clean_packs(struct clean *clean)
{
	static const struct digest zeros;
	struct layout_path path =
	    layout_pack(publish_known_private(clean->known), &zeros);
	struct clean_dir dir = {.clean = clean, .dir = path.text};
	char *digits = strstr(path.text, "/00/") + 1;
	int rc = 0;

	digits[2] = '\0';
	for (unsigned int i = 0; rc == 0 && i < 256; i++) {
		hex_write(&(uint8_t){(uint8_t)i}, 1, digits);
		rc = publish_target_list(clean->target, path.text, clean_pack,
					 &dir);
	}
	return rc;
}

static int clean_scope(struct clean *clean, const char *private)
{
	int rc;

	publish_known_free(clean->known);
	clean->known = publish_known_new(private);
	if (!clean->known)
		return -ENOMEM;
	rc = publish_known_load(clean->known, clean->target);
	if (rc == 0)
		rc =
		    publish_known_old_indexes(clean->known, clean_index, clean);
	return rc == 0 ? clean_packs(clean) : rc;
}

static int clean_private(void *ctx, const char *name, uint64_t len UNUSED)
{
	struct clean *clean = ctx;
	char text[PACKAGE_NAME_MAX + 1];
	size_t name_len = strlen(name);
	void *grown;

	if (name_len < 2 || name_len - 1 > PACKAGE_NAME_MAX ||
	    name[name_len - 1] != '/')
		return 0;
	snprintf(text, sizeof(text), "%.*s", (int)name_len - 1, name);
	if (!depot_name_ok(text))
		return 0;
	grown = realloc(clean->scopes,
			(clean->scope_count + 1) * sizeof(*clean->scopes));
	if (!grown)
		return -ENOMEM;
	clean->scopes = grown;
	memcpy(clean->scopes[clean->scope_count++], text, sizeof(text));
	return 0;
}

static int clean_look(struct clean *clean)
{
	CLEANUP_FREE void *text = NULL;
	size_t len;
	int rc;

	rc = publish_target_get(clean->target, LAYOUT_UNUSED, DOCUMENT_MAX,
				&text, &len);
	if (rc == 0)
		rc = unused_doc_read(text, len, &clean->noted);
	else if (rc == -ENOENT)
		rc = 0;
	if (rc == 0)
		rc = publish_target_list(clean->target, "private",
					 clean_private, clean);
	if (rc == 0)
		rc = clean_scope(clean, NULL);
	for (size_t i = 0; rc == 0 && i < clean->scope_count; i++)
		rc = clean_scope(clean, clean->scopes[i]);
	return rc;
}

/* --- going --------------------------------------------------------------- */

static bool clean_is_pack(const struct clean_row *row)
{
	return strncmp(row->path, "packs/", 6) == 0 ||
	       strstr(row->path, "/packs/");
}

static void clean_count(struct clean *clean)
{
	struct publish_cleaning *c = clean->cleaning;

	for (size_t i = 0; i < clean->count; i++) {
		const struct clean_row *row = &clean->rows[i];

		if (clean_is_pack(row)) {
			c->packs_removed += row->goes;
			c->packs_kept += !row->goes;
		} else {
			c->indexes_removed += row->goes;
			c->indexes_kept += !row->goes;
		}
		*(row->goes ? &c->bytes_removed : &c->bytes_kept) += row->len;
	}
}

/* What stays is noted; what goes is, too, until it has gone. */
static int clean_note(struct clean *clean, bool all)
{
	CLEANUP(unused_doc_clear) struct unused_doc doc = {0};
	CLEANUP_FREE char *json = NULL;
	int rc;

	doc.rows = calloc(clean->count + 1, sizeof(*doc.rows));
	if (!doc.rows)
		return -ENOMEM;
	for (size_t i = 0; i < clean->count; i++) {
		if (clean->rows[i].goes && !all)
			continue;
		snprintf(doc.rows[doc.count].path,
			 sizeof(doc.rows[doc.count].path), "%s",
			 clean->rows[i].path);
		doc.rows[doc.count++].since_sec = clean->rows[i].since_sec;
	}
	if (doc.count == 0 && clean->noted.count == 0)
		return 0;
	rc = unused_doc_write(&doc, &json);
	if (rc < 0)
		return rc;
	return publish_target_put(clean->target, LAYOUT_UNUSED, json,
				  strlen(json));
}

static int clean_move_generation(struct clean *clean)
{
	struct root_doc *root = &clean->push.root;
	CLEANUP_FREE char *json = NULL;
	int rc;

	root->generation++;
	rc = root_doc_sign(root, clean->push.publish->secret, &json);
	if (rc < 0)
		return rc;
	return publish_target_put(clean->target, LAYOUT_ROOT, json,
				  strlen(json));
}

static int clean_remove(struct clean *clean, struct publish_lock *lock,
			bool packs)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < clean->count; i++) {
		if (!clean->rows[i].goes ||
		    clean_is_pack(&clean->rows[i]) != packs)
			continue;
		rc = publish_lock_keep(lock);
		if (rc == 0)
			rc = publish_target_remove(clean->target,
						   clean->rows[i].path);
	}
	return rc;
}

static int clean_apply(struct clean *clean, struct publish_lock *lock)
{
	struct publish_cleaning *c = clean->cleaning;
	int rc;

	clean_count(clean);
	if (c->dry_run)
		return 0;
	rc = clean_note(clean, true);
	if (rc < 0 || c->packs_removed + c->indexes_removed == 0)
		return rc;
	rc = clean_move_generation(clean);
	if (rc == 0)
		rc = clean_remove(clean, lock, false);
	if (rc == 0)
		rc = clean_remove(clean, lock, true);
	return rc == 0 ? clean_note(clean, false) : rc;
}

static int clean_locked(struct clean *clean, struct publish_lock *lock)
{
	int rc;

	rc = push_read_root(&clean->push);
	if (rc == 0 && !clean->push.root_there)
		return log_err(-ENOENT, "%s: no depot there",
			       clean->push.publish->url);
	if (rc == 0)
		rc = clean_look(clean);
	return rc < 0 ? rc : clean_apply(clean, lock);
}

int publish_clean(struct publish *publish, struct publish_cleaning *cleaning)
{
	CLEANUP(clean_clear)
	struct clean clean = {.push.publish = publish, .cleaning = cleaning};
	struct publish_wait wait = {publish->say, publish->stop, publish->ctx};
	struct publish_lock lock;
	struct timespec ts;
	int rc;

	clock_gettime(CLOCK_REALTIME, &ts);
	clean.now = ts.tv_sec;
	rc = publish_target_new(publish->source, publish->url, &clean.target);
	if (rc < 0)
		return rc;
	clean.push.target = clean.target;
	rc = publish_lock_take(&lock, clean.target, &wait);
	if (rc < 0)
		return rc;
	rc = clean_locked(&clean, &lock);
	publish_lock_drop(&lock);
	return rc;
}
