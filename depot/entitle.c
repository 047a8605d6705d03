/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entitle: rows to lists and back, and the one question that they answer.
 */
#include "depot/entitle.h"

#include <stdio.h>

#include "depot/inside.h"
#include "depot/log.h"
#include "depot/registry.h"

enum {
	ENTITLE_KEY_MAX = 1 + 2 * (PACKAGE_NAME_MAX + 1),
	ENTITLE_TEXT_MAX = 200, /* of a list in a message */
};

void package_entitled_clear(struct package_entitled *entitled)
{
	free(entitled->tenants);
	memset(entitled, 0, sizeof(*entitled));
}

static int entitle_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool entitle_has(const struct package_entitled *entitled,
			const char *tenant)
{
	return !entitled->is_restricted ||
	       (entitled->count &&
		bsearch(tenant, entitled->tenants, entitled->count,
			sizeof(*entitled->tenants), entitle_compare));
}

/* --- lists --------------------------------------------------------------- */

static int entitle_add(struct package_entitled *entitled, const char *name,
		       size_t len)
{
	char(*grown)[PACKAGE_NAME_MAX + 1];

	if (entitled->count == PACKAGE_ENTITLED_MAX)
		return -E2BIG;
	if (len > PACKAGE_NAME_MAX)
		return -EINVAL;
	grown = reallocarray(entitled->tenants, entitled->count + 1,
			     sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	entitled->tenants = grown;
	memcpy(grown[entitled->count], name, len);
	grown[entitled->count][len] = '\0';
	if (strlen(grown[entitled->count]) != len ||
	    !depot_name_ok(grown[entitled->count]))
		return -EINVAL;
	entitled->count++;
	return 0;
}

static void entitle_sort(struct package_entitled *entitled)
{
	unsigned int kept = 0;

	if (entitled->count == 0)
		return;
	qsort(entitled->tenants, entitled->count, sizeof(*entitled->tenants),
	      entitle_compare);
	for (unsigned int i = 1; i < entitled->count; i++)
		if (strcmp(entitled->tenants[i], entitled->tenants[kept]) != 0)
			memmove(entitled->tenants[++kept], entitled->tenants[i],
				sizeof(*entitled->tenants));
	entitled->count = kept + 1;
}

int package_entitled_parse(const char *text, struct package_entitled *entitled)
{
	int rc = 0;

	memset(entitled, 0, sizeof(*entitled));
	entitled->is_restricted = strcmp(text, "all") != 0;
	if (!entitled->is_restricted || strcmp(text, "none") == 0)
		return 0;
	for (const char *p = text; rc == 0; p++) {
		size_t len = strcspn(p, ",");

		rc = entitle_add(entitled, p, len);
		p += len;
		if (!*p)
			break;
	}
	if (rc < 0)
		package_entitled_clear(entitled);
	entitle_sort(entitled);
	return rc;
}

/* "blue, red", cut with dots when it is long. */
static void entitle_text(const struct package_entitled *entitled, char *text,
			 size_t cap)
{
	size_t used = 0;

	snprintf(text, cap, "nobody");
	for (unsigned int i = 0; i < entitled->count; i++) {
		if (used + PACKAGE_NAME_MAX + 8 > cap) {
			snprintf(text + used, cap - used, ", ...");
			return;
		}
		used += (size_t)snprintf(text + used, cap - used, "%s%s",
					 i ? ", " : "", entitled->tenants[i]);
	}
}

/* --- rows ---------------------------------------------------------------- */

static size_t entitle_key(uint8_t *key, const char *name, const char *upstream)
{
	size_t len = strlen(name), upstream_len;

	ASSERT(len <= PACKAGE_NAME_MAX);

	key[0] = STATE_KEY_ENTITLED;
	memcpy(key + 1, name, len);
	if (!upstream)
		return 1 + len;
	upstream_len = strlen(upstream);
	ASSERT(upstream_len <= PACKAGE_NAME_MAX);
	key[1 + len] = '\0';
	memcpy(key + 2 + len, upstream, upstream_len);
	return 2 + len + upstream_len;
}

static int entitle_parse(const uint8_t *bytes, size_t len,
			 struct package_entitled *entitled)
{
	const uint8_t *zero;
	int rc = 0;

	entitled->is_restricted = true;
	while (rc == 0 && len > 0) {
		size_t name_len;

		zero = memchr(bytes, '\0', len);
		if (!zero)
			return -EINVAL;
		name_len = (size_t)(zero - bytes);
		rc = entitle_add(entitled, (const char *)bytes, name_len);
		if (rc == 0 && entitled->count > 1 &&
		    strcmp(entitled->tenants[entitled->count - 2],
			   entitled->tenants[entitled->count - 1]) >= 0)
			rc = -EINVAL;
		bytes += name_len + 1;
		len -= name_len + 1;
	}
	return rc;
}

int entitle_get(struct kv *state, const char *name, const char *upstream,
		struct package_entitled *entitled)
{
	uint8_t key[ENTITLE_KEY_MAX];
	struct kv_value value;
	int rc;

	memset(entitled, 0, sizeof(*entitled));
	rc = kv_get(state, key, entitle_key(key, name, upstream), &value);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	rc = entitle_parse(value.data, value.len, entitled);
	kv_value_release(&value);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	package_entitled_clear(entitled);
	return log_err(-EBADMSG, "state database: who may have package %s",
		       name);
}

int entitle_put(struct kv_batch *batch, const char *name, const char *upstream,
		const struct package_entitled *entitled)
{
	CLEANUP_FREE uint8_t *value = NULL;
	uint8_t key[ENTITLE_KEY_MAX];
	size_t key_len = entitle_key(key, name, upstream), len = 0;

	if (entitled->count > PACKAGE_ENTITLED_MAX)
		return log_err(-E2BIG, "package %s: given to more than %d",
			       name, PACKAGE_ENTITLED_MAX);
	if (!entitled->is_restricted) {
		kv_batch_delete(batch, key, key_len);
		return 0;
	}
	value = malloc((size_t)entitled->count * (PACKAGE_NAME_MAX + 1) + 1);
	if (!value)
		return -ENOMEM;
	for (unsigned int i = 0; i < entitled->count; i++) {
		size_t name_len = strlen(entitled->tenants[i]) + 1;

		memcpy(value + len, entitled->tenants[i], name_len);
		len += name_len;
	}
	kv_batch_put(batch, key, key_len, value, len);
	return 0;
}

/* --- the facade ---------------------------------------------------------- */

int depot_package_entitle(struct depot *depot, const char *name,
			  const struct package_entitled *entitled)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	rc = entitle_put(batch, name, NULL, entitled);
	if (rc == 0)
		rc = registry_commit(depot->state, batch);
	kv_batch_free(batch);
	return rc;
}

int depot_package_entitled(struct depot *depot, const char *name,
			   const char *upstream,
			   struct package_entitled *entitled)
{
	return entitle_get(depot->state, name, upstream, entitled);
}

/* The list of one package without the tenant; -ENOENT: it is not in it. */
static int entitle_take_out(struct package_entitled *entitled,
			    const char *tenant)
{
	char(*at)[PACKAGE_NAME_MAX + 1] = NULL;

	if (entitled->count > 0)
		at = bsearch(tenant, entitled->tenants, entitled->count,
			     sizeof(*entitled->tenants), entitle_compare);
	if (!at)
		return -ENOENT;
	entitled->count--;
	memmove(at, at + 1,
		(size_t)(entitled->tenants + entitled->count - at) *
		    sizeof(*at));
	return 0;
}

/* A list that is damaged gives the package to nobody, and stays. */
static int entitle_forget_row(const struct kv_iter *it, const char *tenant,
			      struct kv_batch *batch, unsigned int *count)
{
	CLEANUP(package_entitled_clear) struct package_entitled entitled = {0};
	char name[PACKAGE_NAME_MAX + 1];
	size_t key_len, len;
	const uint8_t *key = kv_iter_key(it, &key_len);
	const uint8_t *value = kv_iter_value(it, &len);
	int rc;

	/* With a NUL in it: a publisher's. */
	if (key_len - 1 >= sizeof(name) || memchr(key, '\0', key_len))
		return 0;
	memcpy(name, key + 1, key_len - 1);
	name[key_len - 1] = '\0';
	rc = entitle_parse(value, len, &entitled);
	if (rc == 0)
		rc = entitle_take_out(&entitled, tenant);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0)
		return 0;
	++*count;
	return entitle_put(batch, name, NULL, &entitled);
}

int depot_entitled_forget(struct depot *depot, const char *tenant,
			  struct kv_batch *batch, unsigned int *count)
{
	static const uint8_t prefix = STATE_KEY_ENTITLED;
	struct kv_iter *it = kv_iter_new(depot->state, &prefix, 1, NULL, 0);
	int rc = it ? 0 : -ENOMEM;

	*count = 0;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it))
		rc = entitle_forget_row(it, tenant, batch, count);
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

/* Only those that `other` has, too; takes other. */
static void entitle_narrow(struct package_entitled *entitled,
			   struct package_entitled *other)
{
	unsigned int kept = 0;

	if (!entitled->is_restricted) {
		package_entitled_clear(entitled);
		*entitled = *other;
		return;
	}
	for (unsigned int i = 0; i < entitled->count; i++) {
		if (!entitle_has(other, entitled->tenants[i]))
			continue;
		if (kept != i)
			memcpy(entitled->tenants[kept], entitled->tenants[i],
			       sizeof(*entitled->tenants));
		kept++;
	}
	entitled->count = kept;
	package_entitled_clear(other);
}

int depot_package_entitled_both(struct depot *depot, const char *name,
				const char *upstream,
				struct package_entitled *entitled)
{
	struct package_entitled there;
	int rc;

	rc = entitle_get(depot->state, name, NULL, entitled);
	if (rc < 0 || !*upstream)
		return rc;
	rc = entitle_get(depot->state, name, upstream, &there);
	if (rc < 0)
		package_entitled_clear(entitled);
	else
		entitle_narrow(entitled, &there);
	return rc;
}

/* Does this one of the two allow it? */
static int entitle_ask(struct depot *depot, const struct package_info *info,
		       const char *upstream, const char *tenant)
{
	CLEANUP(package_entitled_clear) struct package_entitled entitled = {0};
	char text[ENTITLE_TEXT_MAX];
	int rc;

	rc = entitle_get(depot->state, info->name, upstream, &entitled);
	if (rc < 0 || entitle_has(&entitled, tenant))
		return rc;
	entitle_text(&entitled, text, sizeof(text));
	return log_err(-EACCES,
		       "package %s is not for tenant %s: %s%s gives it to %s",
		       info->name, tenant, upstream ? "upstream " : "this host",
		       upstream ? upstream : "", text);
}

int depot_package_permits(struct depot *depot, const struct package_info *info,
			  const char *tenant)
{
	struct registry_origin origin;
	const char *upstream = info->upstream;
	int rc;

	rc = entitle_ask(depot, info, NULL, tenant);
	if (rc < 0)
		return rc;
	/* A selection that came with a guest does not know it. */
	if (!*upstream) {
		rc = registry_origin_get(depot->state, &info->tree, &origin);
		upstream = origin.upstream;
	}
	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? rc : entitle_ask(depot, info, upstream, tenant);
}
