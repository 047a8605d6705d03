/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share: accounts in three hash tables: guests by export, tenants by name,
 * addresses.
 */
#include "nfsd/share.h"

#include <pthread.h>

#include "overlay/view.h"

enum { SHARE_BUCKETS = 256 };

enum share_table { TABLE_GUESTS, TABLE_TENANTS, TABLE_ADDRESSES, TABLES };

struct share {
	struct share *next;       /* shares->lock */
	struct share *tenant;     /* borrows; NULL: it is none of a guest */
	const size_t *limit;      /* borrows; by kind */
	size_t used[SHARE_KINDS]; /* atomic */
	unsigned int number;      /* in its table */
	size_t key_len;
	uint8_t key[];
};

struct shares {
	struct share_limits limits;
	size_t address_limit[SHARE_KINDS];
	pthread_mutex_t lock;
	struct share *table[TABLES][SHARE_BUCKETS]; /* owns */
	unsigned int count[TABLES];
};

struct share_limits share_defaults(void)
{
	return (struct share_limits){
	    .guest = {SHARE_GUEST_CONNS, SHARE_GUEST_PARKED, SHARE_GUEST_BYTES},
	    .tenant = {SHARE_TENANT_CONNS, SHARE_TENANT_PARKED,
		       SHARE_TENANT_BYTES},
	    .address_conns = SHARE_ADDRESS_CONNS,
	};
}

int shares_new(const struct share_limits *limits, struct shares **shares)
{
	struct shares *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->limits = *limits;
	made->address_limit[SHARE_CONNS] = limits->address_conns;
	pthread_mutex_init(&made->lock, NULL);
	*shares = made;
	return 0;
}

void shares_free(struct shares *shares)
{
	if (!shares)
		return;
	for (unsigned int i = 0; i < TABLES * SHARE_BUCKETS; i++) {
		struct share **head =
		    &shares->table[i / SHARE_BUCKETS][i % SHARE_BUCKETS];

		while (*head) {
			struct share *share = *head;

			*head = share->next;
			free(share);
		}
	}
	pthread_mutex_destroy(&shares->lock);
	free(shares);
}

static struct share **share_bucket(struct shares *shares,
				   enum share_table table, const void *key,
				   size_t key_len)
{
	static const uint8_t no_secret[SIPHASH_KEY_LEN];

	return &shares->table[table][siphash64(no_secret, key, key_len) %
				     SHARE_BUCKETS];
}

/* Found or made; under the lock. */
static struct share *share_get(struct shares *shares, enum share_table table,
			       const void *key, size_t key_len)
{
	struct share **head = share_bucket(shares, table, key, key_len);
	struct share *share;

	for (share = *head; share; share = share->next)
		if (share->key_len == key_len &&
		    memcmp(share->key, key, key_len) == 0)
			return share;
	share = calloc(1, sizeof(*share) + key_len);
	if (!share)
		return NULL;
	share->limit = table == TABLE_GUESTS    ? shares->limits.guest
		       : table == TABLE_TENANTS ? shares->limits.tenant
						: shares->address_limit;
	share->number = shares->count[table]++;
	share->key_len = key_len;
	memcpy(share->key, key, key_len);
	share->next = *head;
	*head = share;
	return share;
}

struct share *share_of_guest(struct shares *shares,
			     const struct view_info *info)
{
	struct share *share, *tenant;
	const char *slash;

	/* "/tenant/guest" */
	slash = strchr(info->path + 1, '/');
	pthread_mutex_lock(&shares->lock);
	tenant = share_get(shares, TABLE_TENANTS, info->path,
			   slash ? (size_t)(slash - info->path)
				 : strlen(info->path));
	share = share_get(shares, TABLE_GUESTS, &info->export_id,
			  sizeof(info->export_id));
	/* Once: other threads read it without the lock from then on. */
	if (share && !share->tenant)
		share->tenant = tenant;
	pthread_mutex_unlock(&shares->lock);
	return tenant ? share : NULL;
}

struct share *share_take_address(struct shares *shares, const uint8_t addr[16])
{
	struct share *share;

	pthread_mutex_lock(&shares->lock);
	share = share_get(shares, TABLE_ADDRESSES, addr, 16);
	if (share && share_is_full(share, SHARE_CONNS))
		share = NULL;
	share_add(share, SHARE_CONNS, 1);
	pthread_mutex_unlock(&shares->lock);
	return share;
}

void share_give_address(struct shares *shares, struct share *share)
{
	struct share **at;

	if (!share)
		return;
	pthread_mutex_lock(&shares->lock);
	share_sub(share, SHARE_CONNS, 1);
	if (share->used[SHARE_CONNS] == 0) {
		at = share_bucket(shares, TABLE_ADDRESSES, share->key,
				  share->key_len);
		while (*at != share)
			at = &(*at)->next;
		*at = share->next;
		free(share);
	}
	pthread_mutex_unlock(&shares->lock);
}

static size_t share_used(const struct share *share, enum share_kind kind)
{
	return __atomic_load_n(&share->used[kind], __ATOMIC_RELAXED);
}

unsigned int share_number(const struct share *share)
{
	return share->number;
}

bool share_is_full(const struct share *share, enum share_kind kind)
{
	for (; share; share = share->tenant)
		if (share_used(share, kind) >= share->limit[kind])
			return true;
	return false;
}

void share_add(struct share *share, enum share_kind kind, size_t n)
{
	for (; share; share = share->tenant)
		__atomic_add_fetch(&share->used[kind], n, __ATOMIC_RELAXED);
}

void share_sub(struct share *share, enum share_kind kind, size_t n)
{
	for (; share; share = share->tenant) {
		size_t left =
		    __atomic_sub_fetch(&share->used[kind], n, __ATOMIC_RELAXED);

		ASSERT(left <= SIZE_MAX / 2);
	}
}

bool share_must_relieve(const struct share *share)
{
	for (; share; share = share->tenant)
		if (share_used(share, SHARE_BYTES) / SHARE_RELIEVE >=
		    share->limit[SHARE_BYTES])
			return true;
	return false;
}
