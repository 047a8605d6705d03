/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selection_base: is each package of a selection over the operating system that
 * it was captured over?
 *
 * Told are a package over another system than its own, and, where the selection
 * holds no system (it is the guest's), packages that were captured over
 * different ones.  Of a system that has no list of packages nothing is known.
 */
#include <stdio.h>

#include "overlay/selection.h"

enum { BASE_SHOWN_MAX = 64 }; /* name, version and 12 digits of the digest */

struct base_check {
	const struct selection *selection;
	const struct selection_bases *bases;
	site_conflict_fn *conflict;
	void *ctx;
};

int selection_bases_load(struct depot *depot, const struct selection *selection,
			 struct selection_bases *bases)
{
	int rc = 0;

	memset(bases, 0, sizeof(*bases));
	for (unsigned int i = 0; rc == 0 && i < selection->count; i++) {
		rc = depot_revision_base(depot, &selection->package[i].revision,
					 &bases->base[i], &bases->os[i]);
		/* What it was over is not known; its tree is. */
		if (rc == -ENOENT || rc == -EBADMSG)
			rc = 0;
	}
	return rc;
}

void selection_bases_clear(struct selection_bases *bases)
{
	for (unsigned int i = 0; i < SITE_SELECTION_MAX; i++) {
		free(bases->base[i]);
		free(bases->os[i]);
	}
}

bool selection_is_over(const struct selection_bases *bases, unsigned int i,
		       unsigned int os)
{
	return bases->base[i] && bases->os[os] &&
	       strcmp(bases->base[i], bases->os[os]) == 0;
}

/* "debian-12 sha256:01f6daa7c211" */
static const char *base_short(const char *base, char text[BASE_SHOWN_MAX])
{
	const char *colon = strchr(base, ':');
	int len = colon ? (int)(colon - base) + 1 + 12 : BASE_SHOWN_MAX - 1;

	snprintf(text, BASE_SHOWN_MAX, "%.*s", len, base);
	return text;
}

static void base_tell(const struct base_check *check, unsigned int i,
		      unsigned int other, const char *is, const char *what)
{
	const struct package_info *a = &check->selection->package[i];
	const struct package_info *b = &check->selection->package[other];
	char was[BASE_SHOWN_MAX], now[BASE_SHOWN_MAX], text[1024];

	snprintf(text, sizeof(text), "%s:%s was captured over %s, %s:%s %s %s",
		 a->name, a->tag, base_short(check->bases->base[i], was),
		 b->name, b->tag, is, base_short(what, now));
	check->conflict(check->ctx, text);
}

/* The system that a package lies over: of several the highest below it, else
 * the first one.  SITE_SELECTION_MAX: there is none. */
static unsigned int base_below(const struct base_check *check, unsigned int i)
{
	unsigned int count = check->selection->count;

	for (unsigned int step = 1; step < count; step++)
		if (check->bases->os[(i + step) % count])
			return (i + step) % count;
	return SITE_SELECTION_MAX;
}

void selection_bases_check(const struct selection *selection,
			   const struct selection_bases *bases,
			   site_conflict_fn *conflict, void *ctx)
{
	struct base_check check = {selection, bases, conflict, ctx};
	unsigned int first = SITE_SELECTION_MAX;

	for (unsigned int i = 0; i < selection->count; i++) {
		unsigned int os = base_below(&check, i);

		if (!bases->base[i])
			continue;
		if (os < SITE_SELECTION_MAX) {
			if (!selection_is_over(bases, i, os))
				base_tell(&check, i, os, "is", bases->os[os]);
		} else if (first == SITE_SELECTION_MAX) {
			first = i;
		} else if (strcmp(bases->base[i], bases->base[first]) != 0) {
			base_tell(&check, i, first, "over", bases->base[first]);
		}
	}
}
