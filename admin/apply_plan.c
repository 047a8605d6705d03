/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply_plan: object by object.
 */
#include "admin/apply_plan.h"

#include <stdarg.h>
#include <stdio.h>

void apply_clear(struct apply *a)
{
	for (unsigned int i = 0; i < a->count; i++) {
		free(a->change[i].text);
		free(a->change[i].body);
	}
	free(a->change);
	json_decref(a->tenants);
	json_decref(a->guests);
	json_decref(a->upstreams);
	json_decref(a->wishes);
	json_decref(a->access);
	apply_file_clear(&a->file);
}

/* --- saying --------------------------------------------------------------- */

static int apply_refuse(struct apply *a, const struct apply_object *o,
			enum control_exit code, const char *hint,
			const char *fmt, ...) PRINTF_LIKE(5, 6);
static int apply_refuse(struct apply *a, const struct apply_object *o,
			enum control_exit code, const char *hint,
			const char *fmt, ...)
{
	char what[APPLY_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	failure_set(&a->cli->failure, -EINVAL, code, "%s:%u: %s", a->name,
		    o->line, what);
	failure_hint(&a->cli->failure, "try: %s", hint);
	return -EINVAL;
}

static struct apply_change *apply_add(struct apply *a, enum apply_step step,
				      char sign, const struct apply_object *o,
				      const char *path)
{
	struct apply_change *bigger, *change;

	bigger = realloc(a->change, (a->count + 1) * sizeof(*bigger));
	if (!bigger)
		return NULL;
	a->change = bigger;
	change = &a->change[a->count];
	*change =
	    (struct apply_change){.step = step, .sign = sign, .path = path};
	if (asprintf(&change->text, "%s %s", apply_kind_name(o->kind),
		     o->name) < 0) {
		change->text = NULL;
		return NULL;
	}
	a->count++;
	return change;
}

/* More of its text, "  quota 2G". */
static int apply_say(struct apply_change *change, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
static int apply_say(struct apply_change *change, const char *fmt, ...)
{
	char more[APPLY_TEXT_MAX], *text;
	va_list args;

	va_start(args, fmt);
	vsnprintf(more, sizeof(more), fmt, args);
	va_end(args);
	if (asprintf(&text, "%s  %s", change->text, more) < 0)
		return -ENOMEM;
	free(change->text);
	change->text = text;
	return 0;
}

static int apply_ask(struct apply_change *change, const char *key,
		     const char *value)
{
	for (unsigned int i = 0; i < APPLY_QUERY_MAX - 1; i++) {
		if (change->query[i].key)
			continue;
		change->query[i] = (struct client_query){key, value};
		return 0;
	}
	return -E2BIG;
}

/* How a value is told: sizes as they may be typed, nothing as "none". */
void apply_shown(enum apply_key key, const char *value, char *text, size_t cap)
{
	uint64_t size = strtoull(value, NULL, 10);
	unsigned int unit = 0;

	if (apply_key_is_yes(key)) {
		snprintf(text, cap, "%s", *value == '1' ? "yes" : "no");
	} else if (key == APPLY_QUOTA && size > 0) {
		for (; unit < 4 && size % 1024 == 0; unit++)
			size /= 1024;
		snprintf(text, cap, "%ju%.*s", (uintmax_t)size, unit ? 1 : 0,
			 &"BKMGT"[unit]);
	} else if ((key == APPLY_QUOTA || key == APPLY_QUOTA_FILES) &&
		   size == 0) {
		snprintf(text, cap, "none");
	} else if (key == APPLY_ADDR && !*value) {
		snprintf(text, cap, "any");
	} else if (!*value) {
		snprintf(text, cap, "none");
	} else {
		snprintf(text, cap, "%.*s", (int)cap - 1, value);
		for (char *p = text; *p; p++)
			if (*p == '\n')
				*p = ' ';
	}
}

/* --- rows of what is there ------------------------------------------------ */

const json_t *apply_row(const json_t *document, const char *list,
			const char *key, const char *name)
{
	const json_t *rows = json_object_get(document, list), *row;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		if (strcmp(cmd_text(row, key), name) == 0)
			return row;
	}
	return NULL;
}

/* Where the daemon has a value of an object, and what it calls it. */
static const struct apply_field {
	enum apply_key key;
	const char *row, *param;
} apply_fields[] = {
    {APPLY_QUOTA, "delta_quota_bytes", "quota_bytes"},
    {APPLY_QUOTA_FILES, "delta_quota_files", "quota_files"},
    {APPLY_ADDR, "addr", "addr"},
    {APPLY_LISTEN, "listen", "listen"},
    {APPLY_SECRET_PATH, "secret", "secret"},
    {APPLY_DEVICES, "devices", "devices"},
    {APPLY_ROOT_SQUASH, "root_squash", "squash"},
    {APPLY_WHITEOUTS, "whiteouts", "whiteouts"},
    {APPLY_URL, "url", "url"},
    {APPLY_UNSIGNED, "unsigned", "unsigned"},
    {APPLY_CREDENTIALS, "credentials", "credentials"},
    {APPLY_ENDPOINT, "endpoint", "endpoint"},
    {APPLY_REGION, "region", "region"},
    {APPLY_CA, "ca", "ca"},
    {APPLY_PROXY, "proxy", "proxy"},
    {APPLY_PRIORITY, "priority", "priority"},
    {APPLY_KEY, "", "key"}, /* what is trusted is not in the listing */
};

static const struct apply_field *apply_field(enum apply_key key)
{
	for (size_t i = 0; i < ARRAY_LEN(apply_fields); i++)
		if (apply_fields[i].key == key)
			return &apply_fields[i];
	return NULL;
}

/* As apply_file keeps it. */
void apply_now(const json_t *row, enum apply_key key, char *text, size_t cap)
{
	const json_t *value = json_object_get(row, apply_field(key)->row);

	if (json_is_boolean(value))
		snprintf(text, cap, "%d", json_is_true(value));
	else if (json_is_integer(value))
		snprintf(text, cap, "%jd", (intmax_t)json_integer_value(value));
	else
		snprintf(text, cap, "%s",
			 json_is_string(value) ? json_string_value(value) : "");
}

static bool apply_differs(const struct apply_object *o, const json_t *row,
			  enum apply_key key)
{
	char now[APPLY_TEXT_MAX];

	if (!o->value[key])
		return false;
	apply_now(row, key, now, sizeof(now));
	return strcmp(now, o->value[key]) != 0;
}

/* A change of those of `keys` that differ, one request for all; none: none.  Of
 * an object that is not there (row NULL) all that are given. */
static int apply_diff(struct apply *a, const struct apply_object *o,
		      const json_t *row, enum apply_step step, const char *path,
		      const enum apply_key *keys, size_t count)
{
	struct apply_change *change = NULL;
	char now[APPLY_TEXT_MAX], was[APPLY_TEXT_MAX], is[APPLY_TEXT_MAX];
	int rc = 0;

	if (!row)
		change = apply_add(a, step, '+', o, path);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const char *value = o->value[keys[i]];

		if (!value || (row && !apply_differs(o, row, keys[i])))
			continue;
		if (row && !change)
			change = apply_add(a, step, '~', o, path);
		if (!change)
			return -ENOMEM;
		apply_shown(keys[i], value, is, sizeof(is));
		if (row) {
			apply_now(row, keys[i], now, sizeof(now));
			apply_shown(keys[i], now, was, sizeof(was));
			rc = apply_say(change, "%s %.200s -> %.200s",
				       apply_key_name(keys[i]), was, is);
		} else {
			rc = apply_say(change, "%s %.400s",
				       apply_key_name(keys[i]), is);
		}
		if (rc == 0)
			rc = apply_ask(change, apply_field(keys[i])->param,
				       value);
	}
	if (!row && !change)
		return -ENOMEM;
	return rc < 0 || !change ? rc : apply_ask(change, "name", o->name);
}

/* --- tenants -------------------------------------------------------------- */

static const enum apply_key apply_quotas[] = {APPLY_QUOTA, APPLY_QUOTA_FILES};

/* Is this package of a selection what the reference names?  A tag that has
 * moved since is `tenant upgrade`'s business. */
static bool apply_is_ref(const json_t *package, const char *text)
{
	char hex[DIGEST_HEX_LEN + 1];
	struct package_ref ref;

	if (package_ref_parse(text, &ref) < 0 ||
	    strcmp(cmd_text(package, "name"), ref.name) != 0)
		return false;
	digest_to_hex(&ref.revision, hex);
	return ref.by_digest ? strcmp(cmd_text(package, "revision"), hex) == 0
			     : strcmp(cmd_text(package, "tag"), ref.tag) == 0;
}

static bool apply_same_selection(const json_t *row, const char *wanted)
{
	const json_t *packages = json_object_get(row, "packages");
	CLEANUP_FREE char *copy = strdup(wanted);
	char *save = NULL, *word;
	size_t i = 0;

	for (word = copy ? strtok_r(copy, "\n", &save) : NULL; word;
	     word = strtok_r(NULL, "\n", &save), i++)
		if (i == json_array_size(packages) ||
		    !apply_is_ref(json_array_get(packages, i), word))
			return false;
	return copy && i == json_array_size(packages);
}

/* Each is in this depot, unless an upstream may have it. */
static int apply_check_packages(struct apply *a, const struct apply_object *o)
{
	CLEANUP_FREE char *copy = strdup(o->value[APPLY_PACKAGES]);
	const json_t *here = json_object_get(a->upstreams, "upstreams");
	bool elsewhere = json_array_size(here) > 0;
	char *save = NULL, *word;
	json_t *package;
	int rc;

	for (unsigned int i = 0; i < a->file.count; i++)
		elsewhere |= a->file.object[i].kind == APPLY_UPSTREAM;
	for (word = copy ? strtok_r(copy, "\n", &save) : NULL; word;
	     word = strtok_r(NULL, "\n", &save)) {
		rc = cmd_get(a->cli, "/v1/package", "ref", word, &package);
		if (rc == 0)
			json_decref(package);
		else if (rc != -ENOENT)
			return rc;
		else if (!elsewhere)
			return apply_refuse(a, o, CONTROL_EXIT_MISSING,
					    "vdrive package list",
					    "package \"%s\" is not in this "
					    "depot, and there are no upstreams",
					    word);
	}
	return copy ? 0 : -ENOMEM;
}

static int apply_selection(struct apply *a, const struct apply_object *o,
			   const json_t *row)
{
	const char *wanted = o->value[APPLY_PACKAGES];
	struct apply_change *change;
	char is[APPLY_TEXT_MAX];
	int rc;

	if (!wanted || (row && apply_same_selection(row, wanted)))
		return 0;
	rc = apply_check_packages(a, o);
	if (rc < 0)
		return rc;
	change = apply_add(a, STEP_ASSIGN, row ? '~' : '+', o, "/v1/assign");
	if (!change)
		return -ENOMEM;
	apply_shown(APPLY_PACKAGES, wanted, is, sizeof(is));
	change->body = strdup(wanted);
	change->is_long = true;
	rc = change->body ? apply_say(change, "packages %.400s", is) : -ENOMEM;
	if (rc == 0)
		rc = apply_ask(change, "tenant", o->name);
	return rc < 0 || !o->value[APPLY_ORDER]
		   ? rc
		   : apply_ask(change, "order", o->value[APPLY_ORDER]);
}

static int apply_tenant(struct apply *a, const struct apply_object *o)
{
	const json_t *row = apply_row(a->tenants, "tenants", "tenant", o->name);
	int rc;

	rc = apply_diff(a, o, row, STEP_TENANT,
			row ? "/v1/tenants/quota" : "/v1/tenants", apply_quotas,
			ARRAY_LEN(apply_quotas));
	return rc < 0 ? rc : apply_selection(a, o, row);
}

/* --- guests --------------------------------------------------------------- */

static int apply_wish(struct apply *a, const char *name,
		      const struct apply_object *o, const json_t *row)
{
	const char *addr = o ? o->value[APPLY_ADDR] : NULL;
	const char *listen = o ? o->value[APPLY_LISTEN] : NULL;
	const char *secret = o ? o->value[APPLY_SECRET_PATH] : NULL;
	json_t *wish;

	wish = json_pack("{s:s, s:b, s:s, s:s, s:b}", "guest", name, "gone",
			 o == NULL, "addr", addr ? addr : cmd_text(row, "addr"),
			 "listen", listen ? listen : cmd_text(row, "listen"),
			 "secret",
			 secret ? *secret == '1'
				: json_is_true(json_object_get(row, "secret")));
	return wish && json_array_append_new(a->wishes, wish) == 0 ? 0
								   : -ENOMEM;
}

/* The same of one that is there, also for the request that makes it so. */
static int apply_wish_access(struct apply *a, const struct apply_object *o,
			     const json_t *row)
{
	int rc = apply_wish(a, o->name, o, row);

	if (rc < 0)
		return rc;
	return json_array_append(
		   a->access,
		   json_array_get(a->wishes, json_array_size(a->wishes) - 1)) ==
		       0
		   ? 0
		   : -ENOMEM;
}

/* What a guest that is there keeps for good. */
static int apply_check_guest(struct apply *a, const struct apply_object *o,
			     const json_t *row)
{
	static const enum apply_key keys[] = {APPLY_DEVICES, APPLY_ROOT_SQUASH};
	char hint[APPLY_TEXT_MAX];

	snprintf(hint, sizeof(hint), "vdrive guest remove %s, and its delta",
		 o->name);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (apply_differs(o, row, keys[i]))
			return apply_refuse(
			    a, o, CONTROL_EXIT_CONFLICT, hint,
			    "%s of guest %s, which is there, cannot be changed",
			    apply_key_name(keys[i]), o->name);
	return 0;
}

static int apply_guest_tenant(struct apply *a, const struct apply_object *o)
{
	char tenant[PACKAGE_NAME_MAX + 1];

	snprintf(tenant, sizeof(tenant), "%.*s", (int)strcspn(o->name, "/"),
		 o->name);
	if (apply_row(a->tenants, "tenants", "tenant", tenant) ||
	    apply_file_find(&a->file, APPLY_TENANT, tenant))
		return 0;
	return apply_refuse(a, o, CONTROL_EXIT_MISSING,
			    "a [tenant ...] of that name in the file",
			    "there is no tenant %s", tenant);
}

static int apply_guest_new(struct apply *a, const struct apply_object *o)
{
	static const enum apply_key keys[] = {
	    APPLY_ADDR,    APPLY_LISTEN,      APPLY_SECRET_PATH,
	    APPLY_DEVICES, APPLY_ROOT_SQUASH, APPLY_WHITEOUTS,
	    APPLY_QUOTA,   APPLY_QUOTA_FILES};
	int rc = apply_guest_tenant(a, o);

	return rc < 0 ? rc
		      : apply_diff(a, o, NULL, STEP_GUEST, "/v1/guests", keys,
				   ARRAY_LEN(keys));
}

static int apply_guest(struct apply *a, const struct apply_object *o)
{
	static const enum apply_key access[] = {APPLY_ADDR, APPLY_LISTEN,
						APPLY_SECRET_PATH};
	static const enum apply_key whiteouts[] = {APPLY_WHITEOUTS};
	const json_t *row = apply_row(a->guests, "guests", "guest", o->name);
	unsigned int before = a->count;
	int rc;

	if (!row) {
		rc = apply_guest_new(a, o);
		return rc < 0 ? rc : apply_wish(a, o->name, o, NULL);
	}
	rc = apply_check_guest(a, o, row);
	if (rc == 0)
		rc = apply_diff(a, o, row, STEP_ACCESS, APPLY_ACCESS_PATH,
				access, ARRAY_LEN(access));
	if (rc == 0 && a->count > before)
		rc = apply_wish_access(a, o, row);
	if (rc == 0)
		rc = apply_diff(a, o, row, STEP_GUEST, "/v1/guests/quota",
				apply_quotas, ARRAY_LEN(apply_quotas));
	before = a->count;
	if (rc == 0)
		rc = apply_diff(a, o, row, STEP_GUEST, "/v1/guests/whiteouts",
				whiteouts, ARRAY_LEN(whiteouts));
	if (rc == 0 && a->count > before) /* which calls it otherwise */
		a->change[before].query[0].key = "show";
	return rc;
}

/* --- upstreams, entitlement ----------------------------------------------- */

static int apply_upstream(struct apply *a, const struct apply_object *o)
{
	static const enum apply_key keys[] = {
	    APPLY_URL,         APPLY_UNSIGNED, APPLY_KEY,
	    APPLY_CREDENTIALS, APPLY_ENDPOINT, APPLY_REGION,
	    APPLY_CA,          APPLY_PROXY,    APPLY_PRIORITY};
	const json_t *row =
	    apply_row(a->upstreams, "upstreams", "upstream", o->name);
	unsigned int before = a->count;
	int rc;

	if (row && (apply_differs(o, row, APPLY_URL) ||
		    apply_differs(o, row, APPLY_UNSIGNED)))
		return apply_refuse(
		    a, o, CONTROL_EXIT_CONFLICT,
		    "vdrive upstream remove NAME first, or another name",
		    "upstream %s has another url, or is%s unsigned", o->name,
		    apply_differs(o, row, APPLY_UNSIGNED) ? "" : " not");
	rc = row ? apply_diff(a, o, row, STEP_UPSTREAM, "/v1/upstreams/set",
			      keys + 3, ARRAY_LEN(keys) - 3)
		 : apply_diff(a, o, NULL, STEP_UPSTREAM, "/v1/upstreams", keys,
			      ARRAY_LEN(keys));
	if (rc == 0 && a->count > before)
		a->change[before].is_long = true;
	return rc;
}

/* The list of a package as text, "all" when it has none. */
static void apply_entitled_now(const json_t *package, char *text, size_t cap)
{
	const json_t *list = json_object_get(package, "entitled");
	size_t len = 0;

	snprintf(text, cap, "%s", json_is_array(list) ? "none" : "all");
	for (size_t i = 0; i < json_array_size(list) && len < cap; i++)
		len += (size_t)snprintf(
		    text + len, cap - len, "%s%s", i ? "," : "",
		    json_string_value(json_array_get(list, i)));
}

/* The same tenants, in whatever order. */
static bool apply_same_words(const char *a, const char *b)
{
	CLEANUP_FREE char *copy = strdup(a);
	size_t a_words = 1, b_words = 1;
	char *save = NULL, *word;

	for (const char *p = a; *p; p++)
		a_words += *p == ',';
	for (const char *p = b; *p; p++)
		b_words += *p == ',';
	for (word = copy ? strtok_r(copy, ",", &save) : NULL; word;
	     word = strtok_r(NULL, ",", &save)) {
		size_t len = strlen(word);
		const char *at = b;

		while (at && !(strncmp(at, word, len) == 0 &&
			       (at[len] == ',' || !at[len]))) {
			at = strchr(at, ',');
			at = at ? at + 1 : NULL;
		}
		if (!at)
			return false;
	}
	return a_words == b_words;
}

/* Any package of the name tells; the list holds for the name. */
static int apply_package_row(struct apply *a, const struct apply_object *o,
			     json_t **package)
{
	char ref[PACKAGE_NAME_MAX + DIGEST_HEX_LEN + 16] = "";
	json_t *list;
	const json_t *rows, *row;
	int rc = cmd_get(a->cli, "/v1/packages", NULL, NULL, &list);

	if (rc < 0)
		return rc;
	rows = json_object_get(list, "packages");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		if (strcmp(cmd_text(row, "name"), o->name) == 0)
			snprintf(ref, sizeof(ref), "%s@sha256:%s", o->name,
				 cmd_text(row, "revision"));
	}
	json_decref(list);
	if (!*ref)
		return apply_refuse(
		    a, o, CONTROL_EXIT_MISSING, "vdrive package list",
		    "package \"%s\" is not in this depot", o->name);
	return cmd_get(a->cli, "/v1/package", "ref", ref, package);
}

static int apply_package(struct apply *a, const struct apply_object *o)
{
	struct apply_change *change;
	char now[APPLY_TEXT_MAX];
	json_t *package;
	int rc = apply_package_row(a, o, &package);

	if (rc < 0)
		return rc;
	apply_entitled_now(package, now, sizeof(now));
	json_decref(package);
	if (apply_same_words(now, o->value[APPLY_ENTITLED]))
		return 0;
	change = apply_add(a, STEP_ENTITLE, '~', o, "/v1/packages/entitle");
	if (!change)
		return -ENOMEM;
	change->body = strdup(o->value[APPLY_ENTITLED]);
	rc = change->body ? apply_say(change, "entitled %.200s -> %.200s", now,
				      change->body)
			  : -ENOMEM;
	return rc < 0 ? rc : apply_ask(change, "name", o->name);
}

/* --- what the file does not name ------------------------------------------ */

static int apply_prune_rows(struct apply *a, const json_t *document,
			    const char *list, const char *key,
			    enum apply_kind kind, enum apply_step step,
			    const char *path)
{
	const json_t *rows = json_object_get(document, list);
	struct apply_change *change;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		const char *name = cmd_text(json_array_get(rows, i), key);
		struct apply_object gone = {.kind = kind};

		if (apply_file_find(&a->file, kind, name))
			continue;
		snprintf(gone.name, sizeof(gone.name), "%s", name);
		change = apply_add(a, step, '-', &gone, path);
		if (!change)
			return -ENOMEM;
		rc = apply_ask(change, "name", name);
		if (rc == 0 && kind == APPLY_GUEST)
			rc = apply_ask(change, "force", "1");
		if (rc == 0 && kind == APPLY_GUEST)
			rc = apply_wish(a, name, NULL, NULL);
	}
	return rc;
}

static int apply_prune(struct apply *a)
{
	int rc;

	rc = apply_prune_rows(a, a->guests, "guests", "guest", APPLY_GUEST,
			      STEP_REMOVE_GUEST, "/v1/guests/remove");
	return rc < 0
		   ? rc
		   : apply_prune_rows(a, a->upstreams, "upstreams", "upstream",
				      APPLY_UPSTREAM, STEP_REMOVE_UPSTREAM,
				      "/v1/upstreams/remove");
}

/* --- all of it ------------------------------------------------------------ */

static int apply_plan_one(struct apply *a, const struct apply_object *o)
{
	switch (o->kind) {
	case APPLY_TENANT:
		return apply_tenant(a, o);
	case APPLY_GUEST:
		return apply_guest(a, o);
	case APPLY_UPSTREAM:
		return apply_upstream(a, o);
	default:
		return apply_package(a, o);
	}
}

/* Could the guests be told apart then? */
static int apply_check(struct apply *a)
{
	CLEANUP_FREE char *body = json_dumps(a->wishes, JSON_COMPACT);
	struct client_request request = {.method = "POST",
					 .path = "/v1/guests/check"};
	json_t *json;
	int rc;

	if (json_array_size(a->wishes) == 0)
		return 0;
	if (!body)
		return -ENOMEM;
	request.body = body;
	request.body_len = strlen(body);
	rc = client_json(a->cli->client, &request, &json, &a->cli->failure);
	if (rc == 0)
		json_decref(json);
	return rc;
}

int apply_plan(struct apply *a, bool prune)
{
	struct cli *cli = a->cli;
	int rc;

	a->wishes = json_array();
	a->access = json_array();
	rc = cmd_get(cli, "/v1/tenants", NULL, NULL, &a->tenants);
	if (rc == 0)
		rc = cmd_get(cli, "/v1/guests", NULL, NULL, &a->guests);
	if (rc == 0)
		rc = cmd_get(cli, "/v1/upstreams", NULL, NULL, &a->upstreams);
	for (unsigned int i = 0; rc == 0 && i < a->file.count; i++)
		rc = apply_plan_one(a, &a->file.object[i]);
	if (rc == 0 && prune)
		rc = apply_prune(a);
	return rc < 0 ? rc : apply_check(a);
}
