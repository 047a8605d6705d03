/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import: objects as the importers hand them over, and the end: tree, revision
 * and commit.
 */
#include "admin/import.h"

#include <stdio.h>

#include "admin/import_impl.h"
#include "depot/document.h"
#include "depot/tree.h"

enum { IMPORT_GROW_FIRST = 64 };

int import_grow(void *items, size_t count, size_t *cap, size_t size)
{
	size_t grown_cap;
	void *grown;

	if (count < *cap)
		return 0;
	grown_cap = *cap ? *cap * 2 : IMPORT_GROW_FIRST;
	memcpy(&grown, items, sizeof(grown));
	grown = reallocarray(grown, grown_cap, size);
	if (!grown)
		return -ENOMEM;
	memcpy(items, &grown, sizeof(grown));
	*cap = grown_cap;
	return 0;
}

struct import *import_new(const struct import_sink *sink,
			  const struct import_options *options,
			  struct output *out, struct failure *failure)
{
	struct import *import = calloc(1, sizeof(*import));

	if (!import)
		return NULL;
	import->sink = sink;
	import->options = *options;
	import->out = out;
	import->failure = failure;
	import->progress.phase = "sharding";
	import->progress.bytes_total = options->bytes_total;
	if (import_data_open(import) == 0)
		return import;
	import_free(import);
	return NULL;
}

void import_free(struct import *import)
{
	if (!import)
		return;
	for (size_t i = 0; i < import->entry_count; i++) {
		free(import->entries[i].path);
		free(import->entries[i].placed);
		free(import->entries[i].target);
	}
	for (size_t i = 0; i < import->xattr_count; i++) {
		free(import->xattrs[i].name);
		free(import->xattrs[i].value);
	}
	for (size_t i = 0; i < import->origin_count; i++)
		free(import->origins[i]);
	free(import->entries);
	free(import->xattrs);
	free(import->origins);
	free(import->chunks);
	import_os_clear(import);
	import_data_close(import);
	free(import);
}

void import_summary_clear(struct import_summary *summary)
{
	json_decref(summary->setuid);
	memset(summary, 0, sizeof(*summary));
}

int import_origin(struct import *import, const char *name)
{
	char **grown = reallocarray(import->origins, import->origin_count + 1,
				    sizeof(*grown));
	char *copy = strdup(name);

	if (grown)
		import->origins = grown;
	if (!grown || !copy) {
		free(copy);
		return failure_errno(import->failure, -ENOMEM, "%s", name);
	}
	import->origins[import->origin_count++] = copy;
	return 0;
}

const char *import_origin_name(const struct import *import, uint32_t origin)
{
	return origin < import->origin_count ? import->origins[origin] : "?";
}

void import_set_total(struct import *import, uint64_t bytes_total)
{
	import->progress.bytes_total = bytes_total;
}

/* --- objects ------------------------------------------------------------- */

static int import_refuse(struct import *import, const char *path,
			 const char *why)
{
	return failure_set(import->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			   "%s: entry \"%s\": %s",
			   import_origin_name(import, import->origin_count - 1),
			   path, why);
}

/* "./usr//bin/" becomes "usr/bin", malloc'ed; the root "". */
static int import_clean(struct import *import, const char *path, char **out)
{
	size_t depth = 0, used = 0, len;
	char *clean;

	if (strlen(path) >= IMPORT_PATH_MAX)
		return import_refuse(import, path, "the path is too long");
	clean = malloc(strlen(path) + 1);
	if (!clean)
		return failure_errno(import->failure, -ENOMEM, "%s", path);
	for (const char *p = path; *p; p += len + (p[len] == '/')) {
		len = strcspn(p, "/");
		if (len == 0 || (len == 1 && p[0] == '.'))
			continue;
		if (!tree_name_ok(p, len) || ++depth > TREE_DEPTH_MAX) {
			free(clean);
			return import_refuse(
			    import, path,
			    len == 2 && memcmp(p, "..", 2) == 0
				? "the path leaves the tree"
				: "the path is too long or deep");
		}
		if (used > 0)
			clean[used++] = '/';
		memcpy(clean + used, p, len);
		used += len;
	}
	clean[used] = '\0';
	*out = clean;
	return 0;
}

static int import_too_large(struct import *import, const char *option,
			    uint64_t max, const char *what)
{
	failure_set(import->failure, -EFBIG, CONTROL_EXIT_NO_SPACE,
		    "%s holds more than %ju %s",
		    import_origin_name(import, import->origin_count - 1),
		    (uintmax_t)max, what);
	failure_hint(import->failure, "try: a larger %s, if that is to be",
		     option);
	return -EFBIG;
}

static int import_entry_add(struct import *import, const char *path,
			    const struct tree_build_attr *attr,
			    const char *target)
{
	struct import_entry entry = {0};
	int rc;

	ASSERT(!import->in_file && import->origin_count > 0);
	if (import->options.files_max &&
	    import->entry_count >= import->options.files_max)
		return import_too_large(import, "--quota-files",
					import->options.files_max, "entries");
	rc = import_clean(import, path, &entry.path);
	if (rc < 0)
		return rc;
	if (target)
		entry.target = strdup(target);
	if ((target && !entry.target) || import->entry_count >= IMPORT_NONE ||
	    import_grow(&import->entries, import->entry_count,
			&import->entry_cap, sizeof(entry)) < 0) {
		free(entry.path);
		free(entry.target);
		return failure_errno(import->failure, -ENOMEM, "%s", path);
	}
	if (attr)
		entry.attr = *attr;
	entry.origin = import->origin_count - 1;
	entry.first_chunk = (uint32_t)import->chunk_count;
	import->entries[import->entry_count++] = entry;
	return 0;
}

int import_add(struct import *import, const char *path,
	       const struct tree_build_attr *attr)
{
	switch (attr->mode & S_IFMT) {
	case S_IFDIR:
	case S_IFIFO:
		return import_entry_add(import, path, attr, NULL);
	case S_IFSOCK:
		output_warn(import->out, "%s: a socket, left out", path);
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		if (import->options.allow_devices)
			return import_entry_add(import, path, attr, NULL);
		import_refuse(import, path, "device nodes are refused");
		failure_hint(import->failure,
			     "try: --devices, if its guests may have them");
		return -EBADMSG;
	default:
		return import_refuse(import, path, "its type is not known");
	}
}

int import_symlink(struct import *import, const char *path,
		   const struct tree_build_attr *attr, const char *target)
{
	if (!*target || strlen(target) > TREE_SYMLINK_MAX)
		return import_refuse(import, path,
				     "the target is empty or too long");
	return import_entry_add(import, path, attr, target);
}

int import_link(struct import *import, const char *path, const char *existing)
{
	CLEANUP_FREE char *clean = NULL;
	int rc;

	rc = import_clean(import, existing, &clean);
	if (rc < 0)
		return rc;
	if (!*clean)
		return import_refuse(import, path,
				     "a hard link to a directory");
	return import_entry_add(import, path, NULL, clean);
}

static int import_mark(struct import *import, const char *path,
		       enum import_kind kind)
{
	int rc = import_entry_add(import, path, NULL, NULL);

	if (rc == 0)
		import->entries[import->entry_count - 1].kind = kind;
	return rc;
}

int import_whiteout(struct import *import, const char *path)
{
	return import_mark(import, path, IMPORT_WHITEOUT);
}

int import_opaque(struct import *import, const char *path)
{
	return import_mark(import, path, IMPORT_OPAQUE);
}

void import_layers(struct import *import)
{
	import->layered = true;
}

void import_note(struct import *import, const char *base, const char *records)
{
	import->base = base;
	import->records = records;
}

bool import_xattr_wanted(const char *name)
{
	return strncmp(name, "user.", 5) == 0 ||
	       strcmp(name, "security.capability") == 0 ||
	       strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

/* The one of that name of the last entry, or NULL. */
static struct import_xattr *import_xattr_of_last(const struct import *import,
						 const char *name)
{
	for (size_t i = import->xattr_count; i-- > 0;) {
		struct import_xattr *xattr = &import->xattrs[i];

		if (xattr->entry != import->entry_count - 1)
			break;
		if (strcmp(xattr->name, name) == 0)
			return xattr;
	}
	return NULL;
}

int import_xattr(struct import *import, const char *name, const void *value,
		 size_t len)
{
	struct import_xattr xattr = {.len = len}, *old;

	ASSERT(import->entry_count > 0);
	xattr.entry = (uint32_t)import->entry_count - 1;
	old = import_xattr_of_last(import, name);
	xattr.name = strdup(name);
	xattr.value = malloc(len + 1);
	if (!xattr.name || !xattr.value ||
	    (!old && import_grow(&import->xattrs, import->xattr_count,
				 &import->xattr_cap, sizeof(xattr)) < 0)) {
		free(xattr.name);
		free(xattr.value);
		return failure_errno(import->failure, -ENOMEM, "%s", name);
	}
	if (len)
		memcpy(xattr.value, value, len);
	if (old) {
		free(old->name);
		free(old->value);
	} else {
		old = &import->xattrs[import->xattr_count++];
	}
	*old = xattr;
	return 0;
}

int import_file(struct import *import, const char *path,
		const struct tree_build_attr *attr, uint64_t size)
{
	uint64_t max = import->options.bytes_max;
	int rc;

	if (max && (size > max || import->bytes > max - size))
		return import_too_large(import, "--quota", max,
					"bytes in its files");
	rc = import_entry_add(import, path, attr, NULL);
	if (rc < 0)
		return rc;
	import->bytes += size;
	import_os_begin(import, import->entries[import->entry_count - 1].path,
			size);
	import->in_file = true;
	import->whole = size <= CHUNK_WHOLE_MAX;
	import->file_size = size;
	import->file_got = 0;
	import->window_len = 0;
	return 0;
}

void import_file_drop(struct import *import)
{
	struct import_entry *entry = &import->entries[import->entry_count - 1];

	import->in_file = false;
	import->window_len = 0;
	import->chunk_count = entry->first_chunk;
	free(entry->path);
	import->entry_count--;
}

/* --- the end ------------------------------------------------------------- */

static void import_note_setuid(const struct import_entry *entry,
			       struct import_summary *summary)
{
	char text[IMPORT_PATH_MAX + 8];

	if (!S_ISREG(entry->attr.mode) ||
	    !(entry->attr.mode & (S_ISUID | S_ISGID)) ||
	    json_array_size(summary->setuid) >= IMPORT_SETUID_MAX)
		return;
	snprintf(text, sizeof(text), "%04o %s", entry->attr.mode & 07777,
		 entry->placed);
	json_array_append_new(summary->setuid, output_json_name(text));
}

static int import_sum_up(struct import *import, struct tree *tree,
			 struct import_summary *summary)
{
	summary->setuid = json_array();
	if (!summary->setuid)
		return failure_errno(import->failure, -ENOMEM, "summary");
	for (size_t i = 0; i < import->entry_count; i++) {
		const struct import_entry *entry = &import->entries[i];

		if (!entry->placed)
			continue;
		summary->files += import_is_link(entry) ||
				  S_ISREG(entry->attr.mode) ||
				  S_ISLNK(entry->attr.mode);
		import_note_setuid(entry, summary);
	}
	for (size_t i = 0; i < import->xattr_count; i++)
		summary->capabilities +=
		    strcmp(import->xattrs[i].name, "security.capability") == 0;
	summary->tree = *tree_digest(tree);
	summary->bytes = tree_content_len(tree);
	summary->shards = tree_shard_count(tree);
	summary->shards_new = import->shards_new;
	summary->bytes_added = import->bytes_added;
	summary->shards_unshared = import->shards_unshared;
	summary->bytes_unshared = import->bytes_unshared;
	return 0;
}

static int import_commit_revision(struct import *import,
				  struct import_commit *commit,
				  const char *version, char **closure,
				  struct import_summary *summary)
{
	CLEANUP_FREE char *json = NULL;
	struct revision_doc doc = {
	    .tree = summary->tree,
	    .files = summary->files,
	    .content_len = summary->bytes,
	    .closure = closure, /* borrowed here: not cleared */
	    .base = import->base ? strdup(import->base) : NULL,
	};
	int rc;

	snprintf(doc.name, sizeof(doc.name), "%s", commit->name);
	snprintf(doc.version, sizeof(doc.version), "%s", version);
	rc = import->base && !doc.base
		 ? -ENOMEM
		 : import_os_records(import, &doc.records);
	if (rc == 0)
		rc = revision_write(&doc, &json);
	free(doc.base);
	free(doc.records);
	if (rc < 0)
		return failure_errno(import->failure, rc, "revision of %s:%s",
				     commit->name, commit->tag);
	summary->revision = digest_of(json, strlen(json));
	commit->revision_json = json;
	if (import->options.dry_run)
		return 0;
	return import->sink->commit(import->sink->ctx, commit,
				    &summary->created, import->failure);
}

int import_finish(struct import *import, const char *name, const char *tag,
		  const char *version, char **closure,
		  struct import_summary *summary)
{
	struct import_commit commit = {.name = name, .tag = tag};
	CLEANUP_FREE void *bytes = NULL;
	struct tree *tree;
	size_t len;
	int rc;

	ASSERT(!import->in_file);
	rc = import_data_flush(import);
	if (rc == 0 && import->layered)
		rc = import_flatten(import);
	if (rc == 0)
		rc = import_place(import);
	if (rc == 0)
		rc = import_build(import, &bytes, &len);
	if (rc < 0)
		return rc;
	rc = tree_open_memory(bytes, len, NULL, &tree);
	if (rc < 0)
		return failure_errno(import->failure, rc, "tree of %s:%s", name,
				     tag);
	rc = import_sum_up(import, tree, summary);
	commit.tree = *tree_digest(tree);
	tree_put(tree);
	if (rc < 0)
		return rc;
	commit.tree_bytes = bytes;
	commit.tree_len = len;
	return import_commit_revision(import, &commit, version, closure,
				      summary);
}
