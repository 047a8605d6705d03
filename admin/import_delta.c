/* SPDX-License-Identifier: Apache-2.0 */
/* import_delta: see import_delta.h. */
#include "admin/import_delta.h"

#include "admin/import_impl.h"
#include "admin/interrupt.h"

enum { DELTA_BLOCK = 256 << 10 };

struct delta_reader {
	FILE *file; /* borrows */
	struct import *import;
	const struct delta_pick *pick;
	struct delta_result *result;
	struct failure *failure;
	char *line; /* owns */
	size_t line_cap;
	uint8_t *block;             /* owns */
	struct import_map files;    /* paths taken that may have other names */
	struct import_map packages; /* whose files were taken */
	struct delta_object *ways;  /* owns; new directories above the object at
				       hand that were not taken */
	size_t way_count, way_cap;
	uint64_t objects;
};

static int delta_bad(struct delta_reader *r, const char *why)
{
	return failure_set(r->failure, -EPROTO, CONTROL_EXIT_FAILED,
			   "the daemon's list of changes %s", why);
}

void delta_result_clear(struct delta_result *result)
{
	json_decref(result->changes);
	json_decref(result->base);
	json_decref(result->over);
	json_decref(result->hits);
	memset(result, 0, sizeof(*result));
}

static void delta_object_clear(struct delta_object *object)
{
	free(object->path);
	free(object->link);
	free(object->target);
	json_decref(object->json);
	memset(object, 0, sizeof(*object));
}

/* --- asking --------------------------------------------------------------- */

int delta_fetch(struct cli *cli, const char *name, FILE **file)
{
	size_t len = strcspn(name, "@");
	CLEANUP_FREE char *guest = strndup(name, len);
	struct client_request request = {
	    .method = "GET",
	    .path = "/v1/delta/changes",
	    .query = {{"name", guest},
		      {"snapshot", name[len] ? name + len + 1 : NULL}},
	    .is_stream = true,
	    .out = tmpfile()};
	CLEANUP_FREE void *nothing = NULL;
	int rc;

	if (!guest || !request.out)
		return failure_errno(&cli->failure, -ENOMEM,
				     "no temporary file");
	rc = client_call(cli->client, &request, &nothing, &len, &cli->failure);
	if (rc == -ENOENT && strstr(cli->failure.message, "no guest"))
		cmd_suggest(cli, "/v1/guests", "guests", "guest", guest);
	if (rc < 0) {
		fclose(request.out);
		return rc;
	}
	rewind(request.out);
	*file = request.out;
	return 0;
}

/* --- one line ------------------------------------------------------------- */

static char *delta_text(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? control_path_unescape(text) : NULL;
}

/* takes json. */
static int delta_object_read(struct delta_reader *r, json_t *json,
			     struct delta_object *o)
{
	const char *kind = cmd_text(json, "kind");

	*o = (struct delta_object){
	    .kind = *kind,
	    .json = json,
	    .path = delta_text(json, "path"),
	    .link = delta_text(json, "link"),
	    .target = delta_text(json, "target"),
	    .package = json_string_value(json_object_get(json, "package")),
	    .base = cmd_text(json, "base"),
	    .size = cmd_number(json, "size"),
	    .nlink = cmd_number(json, "nlink"),
	    .opaque = json_is_true(json_object_get(json, "opaque")),
	    .attr = {.mode = (uint32_t)cmd_number(json, "mode"),
		     .uid = (uint32_t)cmd_number(json, "uid"),
		     .gid = (uint32_t)cmd_number(json, "gid"),
		     .rdev_major = (uint32_t)cmd_number(json, "rdev_major"),
		     .rdev_minor = (uint32_t)cmd_number(json, "rdev_minor")},
	};
	o->attr.mtime.tv_sec =
	    (time_t)json_integer_value(json_object_get(json, "mtime"));
	o->attr.mtime.tv_nsec = (long)cmd_number(json, "mtime_nsec");
	if (!o->path || !strchr("AMmD", o->kind) || !o->kind)
		return delta_bad(r, "has a line that is none");
	return 0;
}

static bool delta_has_data(const struct delta_object *o)
{
	return o->kind != CAPTURE_DELETED && S_ISREG(o->attr.mode);
}

/* --- what is picked ------------------------------------------------------- */

static const char *delta_matches(const char *const *patterns, const char *path)
{
	for (; patterns && *patterns; patterns++)
		if (capture_match(*patterns, path))
			return *patterns;
	return NULL;
}

enum delta_verdict delta_judge(const struct delta_pick *pick,
			       const struct delta_object *object)
{
	struct capture_options rules = {.keep = pick->keep};
	bool wanted;

	if (delta_matches(pick->exclude, object->path))
		return DELTA_EXCLUDED;
	if (delta_matches(pick->include, object->path))
		return DELTA_TAKEN;
	if (pick->package)
		wanted = *pick->package
			     ? object->package &&
				   strcmp(pick->package, object->package) == 0
			     : !object->package;
	else
		wanted = !pick->include;
	if (!wanted)
		return DELTA_OTHERS;
	return capture_noise(&rules, object->path) ? DELTA_NOISE : DELTA_TAKEN;
}

/* Note which patterns are of use: the others are slips of the pen. */
static void delta_note_hits(struct delta_reader *r, const char *path)
{
	const char *const *lists[] = {r->pick->include, r->pick->exclude};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (const char *const *p = lists[i]; p && *p; p++)
			if (!json_object_get(r->result->hits, *p) &&
			    capture_match(*p, path))
				json_object_set_new(r->result->hits, *p,
						    json_true());
}

/* The first of a list that has matched nothing from *at on; NULL: none. */
static const char *delta_next_miss(const struct delta_result *result,
				   const char *const **at)
{
	while (*at && **at) {
		const char *pattern = *(*at)++;

		if (!json_object_get(result->hits, pattern))
			return pattern;
	}
	return NULL;
}

int delta_check_hits(const struct delta_pick *pick,
		     const struct delta_result *result, const char *name,
		     struct output *out, struct failure *failure)
{
	const char *const *at = pick->include;
	const char *missed = delta_next_miss(result, &at);

	if (missed) {
		failure_set(failure, -ENOENT, CONTROL_EXIT_MISSING,
			    "--include \"%s\" matches nothing that %s has "
			    "changed",
			    missed, name);
		failure_hint(failure, "try: vdrive delta diff %.*s",
			     (int)strcspn(name, "@"), name);
		return -ENOENT;
	}
	at = pick->exclude;
	while ((missed = delta_next_miss(result, &at)))
		output_warn(out,
			    "--exclude \"%s\" matches nothing that %s has "
			    "changed",
			    missed, name);
	return 0;
}

/* --- handing over --------------------------------------------------------- */

/* A row as a capture's head has it. */
static void delta_tell(struct delta_reader *r, const struct delta_object *o,
		       const char *noise)
{
	json_t *row;
	char letter[2] = {o->kind, '\0'};

	if (json_array_size(r->result->changes) >= DELTA_TOLD_MAX)
		return;
	row = json_pack("{s:s, s:O, s:s?, s:s?}", "change", letter, "path",
			json_object_get(o->json, "path"), "package", o->package,
			"noise", noise);
	json_array_append_new(r->result->changes, row);
}

static int delta_note_base(struct delta_reader *r, const struct delta_object *o)
{
	json_t *row;

	if (!*o->base)
		return 0;
	row = json_sprintf("%c %s %s", o->kind, o->base,
			   cmd_text(o->json, "path"));
	if (json_array_append_new(r->result->base, row) < 0)
		return failure_errno(r->failure, -ENOMEM, "%s", o->path);
	return 0;
}

static void delta_count(struct delta_result *result, char kind)
{
	result->added += kind == CAPTURE_ADDED;
	result->modified += kind == CAPTURE_MODIFIED;
	result->meta += kind == CAPTURE_META;
	result->deleted += kind == CAPTURE_DELETED;
}

static int delta_skip(struct delta_reader *r, uint64_t left)
{
	while (left > 0) {
		size_t len = MIN(left, (uint64_t)DELTA_BLOCK);

		if (fread(r->block, 1, len, r->file) != len)
			return delta_bad(r, "is cut short");
		left -= len;
	}
	return 0;
}

static int delta_file(struct delta_reader *r, const struct delta_object *o)
{
	uint64_t left = o->size;
	int rc = import_file(r->import, o->path, &o->attr, o->size);

	if (rc < 0)
		return rc;
	while (rc == 0 && left > 0) {
		size_t len = MIN(left, (uint64_t)DELTA_BLOCK);

		if (fread(r->block, 1, len, r->file) != len)
			rc = delta_bad(r, "is cut short");
		else
			rc = import_data(r->import, r->block, len);
		left -= len;
	}
	if (rc < 0) {
		import_file_drop(r->import);
		return rc;
	}
	return import_file_end(r->import);
}

/* Is it another name of a file that was handed over? */
static bool delta_is_link(struct delta_reader *r, const struct delta_object *o)
{
	return o->link && import_map_get(&r->files, o->link, strlen(o->link));
}

static int delta_hand(struct delta_reader *r, const struct delta_object *o)
{
	int rc;

	if (o->kind == CAPTURE_DELETED)
		return import_whiteout(r->import, o->path);
	if (delta_is_link(r, o)) {
		rc = import_link(r->import, o->path, o->link);
		if (rc == 0 && delta_has_data(o))
			rc = delta_skip(r, o->size);
		return rc;
	}
	if (o->nlink > 1 && !S_ISDIR(o->attr.mode) &&
	    import_map_put(&r->files, o->path, strlen(o->path), 1) < 0)
		return failure_errno(r->failure, -ENOMEM, "%s", o->path);
	if (S_ISREG(o->attr.mode))
		return delta_file(r, o);
	if (S_ISLNK(o->attr.mode))
		return import_symlink(r->import, o->path, &o->attr,
				      o->target ? o->target : "");
	rc = import_add(r->import, o->path, &o->attr);
	return rc == 0 && o->opaque ? import_opaque(r->import, o->path) : rc;
}

/* --- directories on the way ----------------------------------------------- */

static bool delta_is_above(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	return strncmp(dir, path, len) == 0 && (path[len] == '/' || len == 0);
}

/* Forget those that the object at hand is not below. */
static void delta_ways_leave(struct delta_reader *r, const char *path)
{
	while (r->way_count > 0 &&
	       !delta_is_above(r->ways[r->way_count - 1].path, path))
		delta_object_clear(&r->ways[--r->way_count]);
}

static int delta_ways_take(struct delta_reader *r)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->way_count; i++) {
		if (r->import)
			rc = import_add(r->import, r->ways[i].path,
					&r->ways[i].attr);
		r->result->verdict[r->ways[i].verdict]--;
		delta_object_clear(&r->ways[i]);
	}
	r->way_count = 0;
	return rc;
}

/* A directory that is not taken, but new: takes the object. */
static int delta_way(struct delta_reader *r, struct delta_object *o)
{
	if (!S_ISDIR(o->attr.mode) ||
	    (o->kind != CAPTURE_ADDED && o->kind != CAPTURE_MODIFIED))
		return 0;
	if (import_grow(&r->ways, r->way_count, &r->way_cap, sizeof(*o)) < 0)
		return failure_errno(r->failure, -ENOMEM, "%s", o->path);
	r->ways[r->way_count++] = *o;
	memset(o, 0, sizeof(*o));
	return 0;
}

/* --- the whole ------------------------------------------------------------ */

static int delta_take(struct delta_reader *r, struct delta_object *o)
{
	int rc = delta_ways_take(r);

	delta_count(r->result, o->kind);
	delta_tell(r, o, NULL);
	if (rc == 0)
		rc = delta_note_base(r, o);
	if (rc == 0 && o->package &&
	    import_map_put(&r->packages, o->package, strlen(o->package), 1) < 0)
		rc = failure_errno(r->failure, -ENOMEM, "%s", o->path);
	if (rc == 0 && r->import)
		return delta_hand(r, o);
	return rc == 0 && delta_has_data(o) ? delta_skip(r, o->size) : rc;
}

static int delta_object(struct delta_reader *r, struct delta_object *o)
{
	struct capture_options rules = {.keep = r->pick->keep};
	enum delta_verdict verdict = delta_judge(r->pick, o);
	int rc = 0;

	r->objects++;
	delta_note_hits(r, o->path);
	delta_ways_leave(r, o->path);
	r->result->verdict[verdict]++;
	o->verdict = verdict;
	if (verdict == DELTA_TAKEN)
		return delta_take(r, o);
	if (verdict == DELTA_NOISE)
		delta_tell(r, o, capture_noise(&rules, o->path));
	if (delta_has_data(o))
		rc = delta_skip(r, o->size);
	return rc == 0 ? delta_way(r, o) : rc;
}

/* The packages whose files were taken, of all that the guest has. */
static int delta_end(struct delta_reader *r, const json_t *end)
{
	const json_t *over = json_object_get(end, "over"), *text;
	size_t i;

	if (cmd_number(end, "objects") != r->objects)
		return delta_bad(r, "lacks some");
	json_array_foreach(over, i, text)
	{
		const char *package = json_string_value(text);
		size_t len = package ? strcspn(package, ":") : 0;

		if (len > 0 && import_map_get(&r->packages, package, len) &&
		    json_array_append(r->result->over,
				      (json_t *)(uintptr_t)text) < 0)
			return failure_errno(r->failure, -ENOMEM, "%s",
					     package);
	}
	return 0;
}

/* 1: it was the last line. */
static int delta_line(struct delta_reader *r)
{
	ssize_t len = getline(&r->line, &r->line_cap, r->file);
	struct delta_object object;
	json_t *json;
	int rc;

	if (interrupt_seen())
		return failure_set(r->failure, -EINTR, CONTROL_EXIT_INTERRUPTED,
				   "interrupted; nothing has been stored");
	if (len <= 0 || len > DELTA_LINE_MAX)
		return delta_bad(r, "is cut short");
	json = json_loadb(r->line, (size_t)len, 0, NULL);
	if (!json_is_object(json)) {
		json_decref(json);
		return delta_bad(r, "has a line that is none");
	}
	if (json_is_true(json_object_get(json, "end"))) {
		rc = delta_end(r, json);
		json_decref(json);
		return rc < 0 ? rc : 1;
	}
	rc = delta_object_read(r, json, &object);
	if (rc == 0)
		rc = delta_object(r, &object);
	delta_object_clear(&object);
	return rc;
}

int import_delta(struct import *import, FILE *file,
		 const struct delta_pick *pick, struct delta_result *result,
		 struct failure *failure)
{
	struct delta_reader r = {.file = file,
				 .import = import,
				 .pick = pick,
				 .result = result,
				 .failure = failure,
				 .block = malloc(DELTA_BLOCK)};
	int rc = 0;

	result->changes = json_array();
	result->base = json_array();
	result->over = json_array();
	result->hits = json_object();
	if (!r.block || !result->changes || !result->base || !result->over ||
	    !result->hits)
		rc = failure_errno(failure, -ENOMEM, "list of changes");
	while (rc == 0)
		rc = delta_line(&r);
	while (r.way_count > 0)
		delta_object_clear(&r.ways[--r.way_count]);
	free(r.ways);
	free(r.line);
	free(r.block);
	import_map_clear(&r.files);
	import_map_clear(&r.packages);
	return rc < 0 ? rc : 0;
}

/* --- showing -------------------------------------------------------------- */

static void delta_print_left(struct output *out,
			     const struct delta_result *result)
{
	static const char *const why[DELTA_VERDICTS] = {
	    [DELTA_NOISE] = "noise (logs, caches)",
	    [DELTA_OTHERS] = "of other software",
	    [DELTA_EXCLUDED] = "excluded",
	};
	char text[160] = "";
	size_t len = 0;

	for (size_t i = 0; i < DELTA_VERDICTS; i++)
		if (why[i] && result->verdict[i] > 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"%s%ju %s", len ? ", " : "",
						(uintmax_t)result->verdict[i],
						why[i]);
	if (len > 0)
		output_line(out, "  left out: %s", text);
}

void delta_print(struct output *out, const struct delta_result *result,
		 size_t told)
{
	size_t count = 0, i;
	const json_t *row;

	output_line(out,
		    "  %ju created, %ju modified, %ju with other attributes, "
		    "%ju deleted",
		    (uintmax_t)result->added, (uintmax_t)result->modified,
		    (uintmax_t)result->meta, (uintmax_t)result->deleted);
	delta_print_left(out, result);
	json_array_foreach(result->changes, i, row)
	{
		if (*cmd_text(row, "noise"))
			continue;
		if (++count <= told || out->verbose)
			output_line(out, "  %s %s", cmd_text(row, "change"),
				    cmd_text(row, "path"));
	}
	if (count > told && !out->verbose)
		output_line(out, "  and %zu more; -v lists all", count - told);
}

void delta_print_json(json_t *json, const struct delta_result *result)
{
	json_t *more = json_pack(
	    "{s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "changes",
	    result->changes, "added", (json_int_t)result->added, "modified",
	    (json_int_t)result->modified, "meta", (json_int_t)result->meta,
	    "deleted", (json_int_t)result->deleted, "noise",
	    (json_int_t)result->verdict[DELTA_NOISE], "others",
	    (json_int_t)result->verdict[DELTA_OTHERS], "excluded",
	    (json_int_t)result->verdict[DELTA_EXCLUDED], "over", result->over);

	json_object_update(json, more);
	json_decref(more);
}
