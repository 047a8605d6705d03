/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_access: how guests are told apart: by the address they listen on, the
 * address they come from, or a path that nobody can guess.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "depot/log.h"
#include "overlay/site_impl.h"

static bool access_has_secret(const struct guest_record *record)
{
	static const struct site_secret none;

	return memcmp(&record->secret, &none, sizeof(none)) != 0;
}

void access_of_record(const struct guest_record *record,
		      struct site_access *access)
{
	access->export_id = record->export_id;
	memcpy(access->addr, record->addr, sizeof(access->addr));
	access->listen = record->listen;
	access->has_secret = access_has_secret(record);
}

/* An address in its one spelling, so that equal ones are equal texts. */
static int access_fill_addr(const char *name, const char *text,
			    struct guest_record *record)
{
	char *out = record->addr;
	struct in6_addr v6;
	struct in_addr v4;

	memset(out, 0, sizeof(record->addr));
	if (!text || !*text)
		return 0;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		inet_ntop(AF_INET, &v4, out, sizeof(record->addr));
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return log_err(-EINVAL,
			       "guest %s: \"%s\" is no IPv4 or IPv6 address",
			       name, text);
	if (IN6_IS_ADDR_V4MAPPED(&v6))
		inet_ntop(AF_INET, &v6.s6_addr[12], out, sizeof(record->addr));
	else
		inet_ntop(AF_INET6, &v6, out, sizeof(record->addr));
	return 0;
}

int access_fill(const char *name, const struct site_guest_options *options,
		bool fresh, struct guest_record *record)
{
	int rc = access_fill_addr(name, options->addr, record);

	if (rc < 0)
		return rc;
	record->listen = options->listen;
	if (!options->has_secret)
		memset(&record->secret, 0, sizeof(record->secret));
	/* All zeros would be none. */
	else if (fresh || !access_has_secret(record))
		do
			random_bytes(&record->secret, sizeof(record->secret));
		while (!access_has_secret(record));
	return 0;
}

static bool access_listens_same(const struct site_listen *a,
				const struct site_listen *b)
{
	return a->port == b->port && memcmp(a->addr, b->addr, 16) == 0;
}

bool access_matches(const struct guest_record *record,
		    const struct guest_record *wanted)
{
	return strcmp(record->addr, wanted->addr) == 0 &&
	       access_listens_same(&record->listen, &wanted->listen) &&
	       access_has_secret(record) == access_has_secret(wanted);
}

/* --- two guests ---------------------------------------------------------- */

/* Whoever reaches the daemon and knows its name may mount it. */
static bool access_is_open(const struct guest_record *record)
{
	return record->listen.port == 0 && !record->addr[0] &&
	       !access_has_secret(record);
}

/* Where one's client comes from and arrives, the other's could, too, and not
 * both are asked for more than a name. */
static bool access_overlaps(const struct guest_record *a,
			    const struct guest_record *b)
{
	return a->listen.port == 0 && b->listen.port == 0 && a->addr[0] &&
	       strcmp(a->addr, b->addr) == 0 &&
	       !(access_has_secret(a) && access_has_secret(b));
}

static int access_refuse(const char *name, const char *other, bool is_open,
			 const struct guest_record *record)
{
	if (is_open)
		return log_err(-ENOTUNIQ,
			       "guest %s may be mounted from any address by "
			       "its name, so guests %s and %s cannot be told "
			       "apart",
			       access_is_open(record) ? name : other, name,
			       other);
	return log_err(-ENOTUNIQ,
		       "guests %s and %s both have the address %s, so they "
		       "cannot be told apart",
		       name, other, record->addr);
}

/* The other one is another guest. */
static int access_check_pair(const struct site *site, const char *name,
			     const struct guest_record *record,
			     const char *path, const struct guest_record *other)
{
	size_t tenant_len = strcspn(name, "/") + 1;
	bool is_open;

	if (record->listen.port != 0 &&
	    access_listens_same(&record->listen, &other->listen))
		return log_err(-ENOTUNIQ,
			       "guest %s listens on that address and port "
			       "already, so guest %s cannot be told apart "
			       "from it",
			       path, name);
	if (site->trust == SITE_TRUST_ALWAYS ||
	    (site->trust == SITE_TRUST_TENANT &&
	     strncmp(name, path, tenant_len) == 0))
		return 0;
	is_open = access_is_open(record) || access_is_open(other);
	if (is_open || access_overlaps(record, other))
		return access_refuse(name, path, is_open, record);
	return 0;
}

/* "tenant/guest" of a view. */
static const char *access_name(const struct site_view *sv)
{
	return sv->view->info.path + 1;
}

int access_check(const struct site *site, const char *name,
		 const struct guest_record *record)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < site->view_count; i++) {
		const struct site_view *sv = &site->views[i];

		if (strcmp(access_name(sv), name) != 0)
			rc = access_check_pair(site, name, record,
					       access_name(sv), &sv->record);
	}
	return rc;
}

struct access_wishes {
	const struct site_guest_wish *wish; /* borrows */
	struct guest_record *records;       /* owns; of each wish */
	struct site_view **views; /* owns; NULL, or the guest of each wish */
	unsigned int count;
	bool *other; /* owns; by view: it is wished other, or gone */
};

static void access_wishes_clear(struct access_wishes *wishes)
{
	free(wishes->records);
	free(wishes->views);
	free(wishes->other);
}

/* The guests that are there and named; lock is held. */
static int access_mark_wished(struct site *site, struct access_wishes *wishes)
{
	char path[SITE_EXPORT_PATH_MAX];

	wishes->other = calloc(site->view_count + 1, sizeof(*wishes->other));
	if (!wishes->other)
		return -ENOMEM;
	for (unsigned int i = 0; i < wishes->count; i++) {
		const struct site_view *sv;

		snprintf(path, sizeof(path), "/%s", wishes->wish[i].name);
		sv = site_find_view(site, path);
		if (sv)
			wishes->other[sv - site->views] = true;
	}
	return 0;
}

/* Wish i against those after it, and against guests that nobody wishes other.
 */
static int access_check_wish(const struct site *site,
			     const struct access_wishes *wishes, unsigned int i)
{
	const char *name = wishes->wish[i].name;
	const struct guest_record *record = &wishes->records[i];
	int rc = 0;

	for (unsigned int k = i + 1; rc == 0 && k < wishes->count; k++)
		if (!wishes->wish[k].gone)
			rc = access_check_pair(site, name, record,
					       wishes->wish[k].name,
					       &wishes->records[k]);
	for (unsigned int v = 0; rc == 0 && v < site->view_count; v++) {
		const struct site_view *sv = &site->views[v];

		if (!wishes->other[v])
			rc = access_check_pair(site, name, record,
					       access_name(sv), &sv->record);
	}
	return rc;
}

/* All of them; lock is held. */
static int access_check_wishes(struct site *site, struct access_wishes *wishes)
{
	int rc = access_mark_wished(site, wishes);

	for (unsigned int i = 0; rc == 0 && i < wishes->count; i++)
		if (!wishes->wish[i].gone)
			rc = access_check_wish(site, wishes, i);
	return rc;
}

int site_guests_check(struct site *site, const struct site_guest_wish *wish,
		      unsigned int count)
{
	CLEANUP(access_wishes_clear)
	struct access_wishes wishes = {.wish = wish, .count = count};
	int rc;

	wishes.records = calloc(count + 1, sizeof(*wishes.records));
	rc = wishes.records ? 0 : -ENOMEM;
	for (unsigned int i = 0; rc == 0 && i < count; i++)
		if (!wish[i].gone)
			rc = access_fill(wish[i].name, &wish[i].options, true,
					 &wishes.records[i]);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&site->verbs);
	pthread_rwlock_rdlock(&site->lock);
	rc = access_check_wishes(site, &wishes);
	pthread_rwlock_unlock(&site->lock);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* --- several guests at once ----------------------------------------------- */

/* Their records as they shall be; verbs is held. */
static int access_wish_records(struct site *site, struct access_wishes *wishes)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < wishes->count; i++) {
		const struct site_guest_wish *wish = &wishes->wish[i];
		struct site_view *sv = site_guest_record(site, wish->name);

		if (!sv)
			return -ENOENT;
		if (wish->gone)
			return log_err(-EINVAL, "guest %s shall be gone",
				       wish->name);
		wishes->views[i] = sv;
		wishes->records[i] = sv->record;
		rc = access_fill(wish->name, &wish->options, false,
				 &wishes->records[i]);
	}
	return rc;
}

/* Of two wishes for one guest one would be lost. */
static int access_check_once(const struct site *site,
			     const struct access_wishes *wishes)
{
	unsigned int guests = 0;

	for (unsigned int i = 0; i < site->view_count; i++)
		guests += wishes->other[i];
	return guests == wishes->count
		   ? 0
		   : log_err(-EINVAL, "a guest is named twice");
}

/* In one batch; verbs is held. */
static int access_write_wishes(struct site *site,
			       const struct access_wishes *wishes)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	for (unsigned int i = 0; i < wishes->count; i++)
		site_put_guest(batch, wishes->wish[i].name,
			       &wishes->records[i]);
	rc = site_write(site, batch);
	kv_batch_free(batch);
	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&site->lock);
	for (unsigned int i = 0; i < wishes->count; i++)
		wishes->views[i]->record = wishes->records[i];
	pthread_rwlock_unlock(&site->lock);
	return 0;
}

int site_guests_set_access(struct site *site,
			   const struct site_guest_wish *wish,
			   unsigned int count)
{
	CLEANUP(access_wishes_clear)
	struct access_wishes wishes = {.wish = wish, .count = count};
	int rc;

	wishes.records = calloc(count + 1, sizeof(*wishes.records));
	wishes.views = calloc(count + 1, sizeof(struct site_view *));
	if (!wishes.records || !wishes.views)
		return -ENOMEM;
	pthread_mutex_lock(&site->verbs);
	rc = access_wish_records(site, &wishes);
	if (rc == 0)
		rc = access_check_wishes(site, &wishes);
	if (rc == 0)
		rc = access_check_once(site, &wishes);
	if (rc == 0 && count > 0)
		rc = access_write_wishes(site, &wishes);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

void site_set_trust(struct site *site, enum site_trust trust)
{
	pthread_mutex_lock(&site->verbs);
	site->trust = trust;
	pthread_mutex_unlock(&site->verbs);
}

/* --- asking -------------------------------------------------------------- */

bool site_access(struct site *site, uint32_t export_id,
		 struct site_access *access)
{
	struct site_view *found = NULL;
	struct view *view;

	pthread_rwlock_rdlock(&site->lock);
	view = site_find_id(site, export_id);
	if (view)
		found = site_find_view(site, view->info.path);
	if (found)
		access_of_record(&found->record, access);
	pthread_rwlock_unlock(&site->lock);
	return found != NULL;
}

struct view *site_view_by_secret(struct site *site,
				 const struct site_secret *secret)
{
	struct view *view = NULL;

	pthread_rwlock_rdlock(&site->lock);
	for (unsigned int i = 0; i < site->view_count; i++) {
		const struct site_view *sv = &site->views[i];
		bool equal =
		    secret_equal(&sv->record.secret, secret, sizeof(*secret));

		if (equal && access_has_secret(&sv->record))
			view = sv->view;
	}
	pthread_rwlock_unlock(&site->lock);
	return view;
}

int site_guest_secret(struct site *site, const char *name,
		      struct site_secret *secret)
{
	struct site_view *sv;
	int rc = -ENOENT;

	pthread_mutex_lock(&site->verbs);
	sv = site_guest_record(site, name);
	if (sv && access_has_secret(&sv->record)) {
		*secret = sv->record.secret;
		rc = 0;
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
