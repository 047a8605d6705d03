/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_history: a tenant's earlier selections.  Generations are only ever
 * added, so a reader needs no more than that the tenant is there.
 */
#include <pthread.h>

#include "depot/log.h"
#include "overlay/selection.h"
#include "overlay/site_impl.h"

static int history_has(struct site *site, const char *tenant)
{
	bool there;

	pthread_rwlock_rdlock(&site->lock);
	there = site_find_tenant(site, tenant) != NULL;
	pthread_rwlock_unlock(&site->lock);
	return there ? 0 : log_err(-ENOENT, "no tenant \"%s\"", tenant);
}

struct history_walk {
	int (*visit)(void *ctx, const struct site_generation *generation);
	void *ctx;
};

static int history_visit(void *ctx, const struct selection *selection)
{
	const struct history_walk *walk = ctx;
	struct site_generation generation = {
	    .generation = selection->generation,
	    .since = selection->since,
	    .package_count = selection->count,
	    .package = selection->package,
	};

	return walk->visit(walk->ctx, &generation);
}

int site_tenant_history(struct site *site, const char *tenant,
			int (*visit)(void *ctx, const struct site_generation *),
			void *ctx)
{
	struct history_walk walk = {visit, ctx};
	int rc = history_has(site, tenant);

	return rc < 0 ? rc
		      : selection_each(site->kv, tenant, history_visit, &walk);
}

/* --- back ---------------------------------------------------------------- */

struct history_choice {
	uint32_t to; /* 0: the last but one */
	struct selection *last, *found;
};

static int history_choose(void *ctx, const struct selection *selection)
{
	struct history_choice *choice = ctx;

	if (choice->to == 0)
		*choice->found = *choice->last;
	else if (selection->generation == choice->to)
		*choice->found = *selection;
	*choice->last = *selection;
	return 0;
}

static int history_find(struct site *site, const char *tenant, uint32_t to,
			struct selection *found)
{
	struct selection *last = calloc(1, sizeof(*last));
	struct history_choice choice = {to, last, found};
	int rc;

	if (!last)
		return -ENOMEM;
	rc = selection_each(site->kv, tenant, history_choose, &choice);
	free(last);
	if (rc == 0 && found->generation == 0)
		return log_err(-ERANGE, "tenant %s has no %s generation",
			       tenant, to ? "such" : "earlier");
	return rc;
}

int site_tenant_rollback(struct site *site, const char *tenant, uint32_t to,
			 struct site_switch *how, uint32_t *from,
			 uint32_t *generation)
{
	struct selection *found = calloc(1, sizeof(*found));
	int rc;

	if (!found)
		return -ENOMEM;
	rc = history_has(site, tenant);
	if (rc == 0)
		rc = history_find(site, tenant, to, found);
	*from = found->generation;
	how->take_order = true; /* it has been agreed to before */
	if (rc == 0)
		rc = site_tenant_switch(site, tenant, found->package,
					found->count, how, generation);
	free(found);
	return rc;
}
