/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_target: requests with tries, and the remembered listings.
 */
#include "depot/publish_target.h"

#include <stdio.h>
#include <time.h>

#include "depot/log.h"

enum {
	TARGET_TRIES = 4,
	TARGET_WAIT_MS = 300, /* after the first; doubles */
	TARGET_WAIT_MAX_MS = 10000,
	TARGET_NAME_MAX = 128, /* of what we ask for */
};

struct target_entry {
	char name[TARGET_NAME_MAX];
	uint64_t len;
};

struct target_dir {
	char *dir;                    /* owns */
	struct target_entry *entries; /* owns; sorted */
	size_t count, cap;
};

struct publish_target {
	struct source *source;   /* borrows */
	const char *url;         /* borrows */
	struct target_dir *dirs; /* owns */
	size_t dir_count, dir_cap;
};

int publish_target_new(struct source *source, const char *url,
		       struct publish_target **target)
{
	const struct source_ops *ops = source->ops;
	struct publish_target *t;

	if (!ops->put || !ops->remove || !ops->list)
		return log_err(-EOPNOTSUPP, "%s cannot be written", url);
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->source = source;
	t->url = url;
	*target = t;
	return 0;
}

void publish_target_forget(struct publish_target *target)
{
	for (size_t i = 0; i < target->dir_count; i++) {
		free(target->dirs[i].dir);
		free(target->dirs[i].entries);
	}
	free(target->dirs);
	target->dirs = NULL;
	target->dir_count = target->dir_cap = 0;
}

void publish_target_free(struct publish_target *target)
{
	if (!target)
		return;
	publish_target_forget(target);
	free(target);
}

const char *publish_target_url(const struct publish_target *target)
{
	return target->url;
}

/* --- requests ------------------------------------------------------------ */

/* After a failed try: false when there should be no other. */
static bool target_again(int rc, unsigned int tried,
			 const struct source_fault *fault)
{
	unsigned int ms = TARGET_WAIT_MS << tried;
	struct timespec nap;

	if (rc != -EHOSTUNREACH || tried + 1 >= TARGET_TRIES)
		return false;
	ms = MIN(MAX(ms, fault->retry_after_s * 1000),
		 (unsigned int)TARGET_WAIT_MAX_MS);
	nap = (struct timespec){ms / 1000, (long)(ms % 1000) * 1000000};
	nanosleep(&nap, NULL);
	return true;
}

static int target_failed(const struct publish_target *target, int rc,
			 const struct source_fault *fault)
{
	log_err(0, "%s: %s", target->url, fault->text);
	return rc;
}

int publish_target_get(struct publish_target *target, const char *path,
		       size_t max, void **bytes, size_t *len)
{
	struct source *source = target->source;
	struct source_fault fault;
	int rc;

	for (unsigned int i = 0;; i++) {
		rc = source->ops->get(source, path, max, bytes, len, &fault);
		if (rc == 0 || rc == -ENOENT)
			return rc;
		if (!target_again(rc, i, &fault))
			return target_failed(target, rc, &fault);
	}
}

/* One try: after one of unknown end an -EEXIST might be our own. */
int publish_target_create(struct publish_target *target, const char *path,
			  const void *bytes, size_t len)
{
	struct source *source = target->source;
	struct source_fault fault;
	int rc;

	if (!source->ops->create)
		return -EOPNOTSUPP;
	rc = source->ops->create(source, path, bytes, len, &fault);
	if (rc == 0 || rc == -EEXIST || rc == -EOPNOTSUPP)
		return rc;
	return target_failed(target, rc, &fault);
}

int publish_target_remove(struct publish_target *target, const char *path)
{
	struct source *source = target->source;
	struct source_fault fault;
	int rc;

	for (unsigned int i = 0;; i++) {
		rc = source->ops->remove(source, path, &fault);
		if (rc == 0 || rc == -ENOENT)
			return 0;
		if (!target_again(rc, i, &fault))
			return target_failed(target, rc, &fault);
	}
}

struct target_visit {
	int (*visit)(void *ctx, const char *name, uint64_t len);
	void *ctx;
	bool visited, stopped;
};

static int target_visit(void *ctx, const char *name, uint64_t len)
{
	struct target_visit *v = ctx;
	int rc;

	v->visited = true;
	rc = v->visit(v->ctx, name, len);
	v->stopped = rc != 0;
	return rc;
}

int publish_target_list(struct publish_target *target, const char *dir,
			int (*visit)(void *ctx, const char *name, uint64_t len),
			void *ctx)
{
	struct target_visit v = {.visit = visit, .ctx = ctx};
	struct source *source = target->source;
	struct source_fault fault;
	int rc;

	for (unsigned int i = 0;; i++) {
		rc = source->ops->list(source, dir, target_visit, &v, &fault);
		if (rc == 0 || v.stopped)
			return rc;
		/* What was told once is not told again. */
		if (v.visited || !target_again(rc, i, &fault))
			return target_failed(target, rc, &fault);
	}
}

/* --- what is there ------------------------------------------------------- */

static int target_entry_compare(const void *a, const void *b)
{
	const struct target_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int target_note(void *ctx, const char *name, uint64_t len)
{
	struct target_dir *dir = ctx;
	struct target_entry *grown;

	/* A name that we never ask for. */
	if (strlen(name) >= TARGET_NAME_MAX)
		return 0;
	if (dir->count == dir->cap) {
		dir->cap = MAX((size_t)16, 2 * dir->cap);
		grown = realloc(dir->entries, dir->cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		dir->entries = grown;
	}
	snprintf(dir->entries[dir->count].name, TARGET_NAME_MAX, "%s", name);
	dir->entries[dir->count++].len = len;
	return 0;
}

static int target_dir_add(struct publish_target *target, const char *path,
			  size_t len, struct target_dir **dir)
{
	struct target_dir *grown;
	int rc;

	if (target->dir_count == target->dir_cap) {
		target->dir_cap = MAX((size_t)16, 2 * target->dir_cap);
		grown = realloc(target->dirs, target->dir_cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		target->dirs = grown;
	}
	*dir = &target->dirs[target->dir_count];
	memset(*dir, 0, sizeof(**dir));
	(*dir)->dir = strndup(path, len);
	if (!(*dir)->dir)
		return -ENOMEM;
	target->dir_count++;
	rc = publish_target_list(target, (*dir)->dir, target_note, *dir);
	if (rc < 0) {
		free((*dir)->dir);
		free((*dir)->entries);
		target->dir_count--;
	} else if ((*dir)->count > 1) {
		qsort((*dir)->entries, (*dir)->count, sizeof(*(*dir)->entries),
		      target_entry_compare);
	}
	return rc;
}

static struct target_dir *target_dir_find(struct publish_target *target,
					  const char *path, size_t len)
{
	for (size_t i = 0; i < target->dir_count; i++)
		if (strncmp(target->dirs[i].dir, path, len) == 0 &&
		    target->dirs[i].dir[len] == '\0')
			return &target->dirs[i];
	return NULL;
}

static const char *target_base(const char *path, size_t *dir_len)
{
	const char *slash = strrchr(path, '/');

	*dir_len = slash ? (size_t)(slash - path) : 0;
	return slash ? slash + 1 : path;
}

static struct target_entry *target_entry_find(const struct target_dir *dir,
					      const char *name)
{
	struct target_entry key;

	snprintf(key.name, sizeof(key.name), "%s", name);
	return dir->count ? bsearch(&key, dir->entries, dir->count, sizeof(key),
				    target_entry_compare)
			  : NULL;
}

/* What has just been put is there. */
static int target_noted(struct publish_target *target, const char *path,
			size_t len)
{
	struct target_entry *found;
	struct target_dir *dir;
	const char *name;
	size_t dir_len;
	int rc;

	name = target_base(path, &dir_len);
	dir = target_dir_find(target, path, dir_len);
	if (!dir)
		return 0;
	found = target_entry_find(dir, name);
	if (found) {
		found->len = len;
		return 0;
	}
	rc = target_note(dir, name, len);
	if (rc == 0)
		qsort(dir->entries, dir->count, sizeof(*dir->entries),
		      target_entry_compare);
	return rc;
}

int publish_target_len(struct publish_target *target, const char *path,
		       uint64_t *len)
{
	const struct target_entry *found;
	struct target_dir *dir;
	const char *name;
	size_t dir_len;
	int rc;

	name = target_base(path, &dir_len);
	dir = target_dir_find(target, path, dir_len);
	if (!dir) {
		rc = target_dir_add(target, path, dir_len, &dir);
		if (rc < 0)
			return rc;
	}
	found = target_entry_find(dir, name);
	if (!found)
		return -ENOENT;
	*len = found->len;
	return 0;
}

int publish_target_put(struct publish_target *target, const char *path,
		       const void *bytes, size_t len)
{
	struct source *source = target->source;
	struct source_fault fault;
	int rc;

	for (unsigned int i = 0;; i++) {
		rc = source->ops->put(source, path, bytes, len, &fault);
		if (rc == 0)
			return target_noted(target, path, len);
		if (!target_again(rc, i, &fault))
			return target_failed(target, rc, &fault);
	}
}

int publish_target_refused(const struct publish_target *target,
			   const char *path, int rc)
{
	if (rc == -ENOMEM)
		return rc;
	if (rc != -EPROTONOSUPPORT)
		return log_err(rc, "%s/%s: not what it should be", target->url,
			       path);
	log_err(0, "%s/%s: written by a newer vdrive", target->url, path);
	return rc;
}
