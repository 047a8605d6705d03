/* SPDX-License-Identifier: Apache-2.0 */
#include "depot/kept.h"

struct kept {
	uint64_t *names; /* owns */
	size_t count, cap;
};

struct kept *kept_new(void)
{
	return calloc(1, sizeof(struct kept));
}

void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	free(kept->names);
	free(kept);
}

static uint64_t kept_key(const struct digest *name)
{
	return le64_get(name->bytes + 8);
}

static int kept_reserve(struct kept *kept, size_t count)
{
	size_t cap = MAX(kept->cap, (size_t)256);
	uint64_t *grown;

	if (count <= kept->cap)
		return 0;
	while (cap < count)
		cap *= 2;
	grown = realloc(kept->names, cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	kept->names = grown;
	kept->cap = cap;
	return 0;
}

int kept_add(struct kept *kept, const struct digest *name)
{
	int rc = kept_reserve(kept, kept->count + 1);

	if (rc == 0)
		kept->names[kept->count++] = kept_key(name);
	return rc;
}

int kept_add_all(struct kept *kept, const struct kept *other)
{
	int rc = kept_reserve(kept, kept->count + other->count);

	if (rc < 0 || other->count == 0)
		return rc;
	memcpy(kept->names + kept->count, other->names,
	       other->count * sizeof(*other->names));
	kept->count += other->count;
	return 0;
}

static int kept_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void kept_sort(struct kept *kept)
{
	if (kept->count > 0)
		qsort(kept->names, kept->count, sizeof(*kept->names),
		      kept_compare);
}

bool kept_has(const struct kept *kept, const struct digest *name)
{
	uint64_t key = kept_key(name);

	return kept->count > 0 && bsearch(&key, kept->names, kept->count,
					  sizeof(key), kept_compare) != NULL;
}

size_t kept_count(const struct kept *kept)
{
	return kept->count;
}
