/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drc: a hash and a list by age for each guest.
 *
 * Record, little-endian, at most VIEW_REPLY_MAX bytes:
 *	0	format, 1
 *	1	procedure
 *	2	zero
 *	4	xid
 *	8	hash of the credential
 *	16	checksum of the arguments
 *	24	sequence number; slot = sequence % VIEW_REPLY_SLOTS
 *	32	SipHash-2-4 of bytes 0..31 and of the body, with the export's
 *		key
 *	40	reply body
 */
#include "nfsd/drc.h"

#include <pthread.h>
#include <sys/queue.h>

#include "depot/killpoint.h"
#include "depot/log.h"
#include "nfsd/program.h"

enum {
	DRC_GUEST_BUCKETS = 256,
	DRC_BUCKETS = 1024,
};

enum drc_state { DRC_RUNNING, DRC_FINISHED, DRC_FAILED_LOG };

struct drc_entry {
	LIST_ENTRY(drc_entry) bucket_link;
	TAILQ_ENTRY(drc_entry) age_link;
	struct drc_guest *guest; /* borrows */
	struct drc_key key;
	enum drc_state state;
	struct drc_waiter *waiter; /* newest retransmission, or NULL */
	uint64_t order;            /* the newest connection so far */
	uint64_t sequence;         /* of its record; 0: it has none */
	size_t body_len;
	uint8_t *body; /* owns */
};

TAILQ_HEAD(drc_ages, drc_entry);
LIST_HEAD(drc_bucket, drc_entry);

struct drc_guest {
	struct drc_guest *next;  /* drc->lock */
	const struct view *view; /* borrows; only compared */
	uint8_t key[SIPHASH_KEY_LEN];
	pthread_mutex_t
	    load_lock;        /* taken before view calls, and before lock */
	bool loaded;          /* load_lock; atomic to read */
	pthread_mutex_t lock; /* all below, and the entries */
	uint64_t sequence;    /* of the next record */
	unsigned int finished_count;
	struct drc_ages ages; /* oldest first */
	struct drc_bucket buckets[DRC_BUCKETS];
};

struct drc {
	pthread_mutex_t lock; /* the table; guests stay until drc_free */
	struct drc_guest *guests[DRC_GUEST_BUCKETS];
};

int drc_new(struct drc **drc)
{
	*drc = calloc(1, sizeof(**drc));
	if (!*drc)
		return -ENOMEM;
	pthread_mutex_init(&(*drc)->lock, NULL);
	return 0;
}

static void drc_entry_free(struct drc_entry *entry)
{
	free(entry->body);
	free(entry);
}

static void drc_guest_free(struct drc_guest *guest)
{
	struct drc_entry *entry;

	while ((entry = TAILQ_FIRST(&guest->ages))) {
		TAILQ_REMOVE(&guest->ages, entry, age_link);
		drc_entry_free(entry);
	}
	pthread_mutex_destroy(&guest->lock);
	pthread_mutex_destroy(&guest->load_lock);
	free(guest);
}

void drc_free(struct drc *drc)
{
	if (!drc)
		return;
	for (unsigned int i = 0; i < DRC_GUEST_BUCKETS; i++) {
		while (drc->guests[i]) {
			struct drc_guest *guest = drc->guests[i];

			drc->guests[i] = guest->next;
			drc_guest_free(guest);
		}
	}
	pthread_mutex_destroy(&drc->lock);
	free(drc);
}

static struct drc_guest *drc_guest_new(const struct view *view,
				       const struct view_info *info)
{
	struct drc_guest *guest = calloc(1, sizeof(*guest));

	if (!guest)
		return NULL;
	guest->view = view;
	memcpy(guest->key, info->key, sizeof(guest->key));
	guest->sequence = 1;
	pthread_mutex_init(&guest->load_lock, NULL);
	pthread_mutex_init(&guest->lock, NULL);
	TAILQ_INIT(&guest->ages);
	return guest;
}

static struct drc_bucket *drc_bucket_of(struct drc_guest *guest,
					const struct drc_key *key)
{
	uint64_t h = (key->xid ^ key->args_sum) * 0x9e3779b97f4a7c15ull;

	return &guest->buckets[(h >> 32) % DRC_BUCKETS];
}

static struct drc_entry *drc_find(struct drc_guest *guest,
				  const struct drc_key *key)
{
	struct drc_entry *entry;

	LIST_FOREACH(entry, drc_bucket_of(guest, key), bucket_link)
	if (entry->key.xid == key->xid &&
	    entry->key.args_sum == key->args_sum &&
	    entry->key.cred_hash == key->cred_hash &&
	    entry->key.proc == key->proc)
		return entry;
	return NULL;
}

static struct drc_entry *drc_insert(struct drc_guest *guest,
				    const struct drc_key *key)
{
	struct drc_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->guest = guest;
	entry->key = *key;
	LIST_INSERT_HEAD(drc_bucket_of(guest, key), entry, bucket_link);
	TAILQ_INSERT_TAIL(&guest->ages, entry, age_link);
	return entry;
}

static void drc_remove(struct drc_entry *entry)
{
	LIST_REMOVE(entry, bucket_link);
	TAILQ_REMOVE(&entry->guest->ages, entry, age_link);
	drc_entry_free(entry);
}

/* Entries that still run cannot go; they are as many as calls are parked. */
static void drc_evict(struct drc_guest *guest)
{
	struct drc_entry *entry = TAILQ_FIRST(&guest->ages);

	while (entry && guest->finished_count > DRC_ENTRIES_MAX) {
		struct drc_entry *next = TAILQ_NEXT(entry, age_link);

		if (entry->state != DRC_RUNNING) {
			drc_remove(entry);
			guest->finished_count--;
		}
		entry = next;
	}
}

static uint64_t drc_record_sum(const struct drc_guest *guest,
			       const uint8_t *record, size_t len)
{
	uint8_t bytes[VIEW_REPLY_MAX];

	ASSERT(len >= DRC_RECORD_HEADER && len <= VIEW_REPLY_MAX);

	memcpy(bytes, record, len);
	memset(bytes + 32, 0, 8);
	return siphash64(guest->key, bytes, len);
}

/* Loading: records in the order of their sequence numbers. */
struct drc_load {
	struct drc_guest *guest;
	unsigned int count, corrupt, no_memory;
	struct drc_loaded {
		uint64_t sequence;
		struct drc_entry *entry; /* not yet in the age list */
	} loaded[VIEW_REPLY_SLOTS];
};

static struct drc_entry *drc_decode(struct drc_guest *guest, uint32_t slot,
				    const uint8_t *record, size_t len)
{
	struct drc_entry *entry;

	if (len < DRC_RECORD_HEADER + 4 || len > VIEW_REPLY_MAX ||
	    record[0] != DRC_RECORD_FORMAT || record[1] >= NFS3_PROC_COUNT ||
	    le64_get(record + 24) % VIEW_REPLY_SLOTS != slot ||
	    le64_get(record + 24) == UINT64_MAX ||
	    le64_get(record + 32) != drc_record_sum(guest, record, len))
		return NULL;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->guest = guest;
	entry->key = (struct drc_key){
	    .xid = le32_get(record + 4),
	    .proc = record[1],
	    .cred_hash = le64_get(record + 8),
	    .args_sum = le64_get(record + 16),
	};
	entry->state = DRC_FINISHED;
	entry->sequence = le64_get(record + 24);
	entry->body_len = len - DRC_RECORD_HEADER;
	entry->body = malloc(entry->body_len);
	if (!entry->body) {
		free(entry);
		return NULL;
	}
	memcpy(entry->body, record + DRC_RECORD_HEADER, entry->body_len);
	return entry;
}

static void drc_visit(void *ctx, uint32_t slot, const uint8_t *record,
		      size_t len)
{
	struct drc_load *load = ctx;
	struct drc_entry *entry;

	entry = drc_decode(load->guest, slot, record, len);
	if (!entry || load->count == ARRAY_LEN(load->loaded)) {
		load->corrupt++;
		if (entry)
			drc_entry_free(entry);
		return;
	}
	load->loaded[load->count++] = (struct drc_loaded){
	    .sequence = entry->sequence,
	    .entry = entry,
	};
}

static int drc_by_sequence(const void *a, const void *b)
{
	const struct drc_loaded *x = a, *y = b;

	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static int drc_load(struct drc_guest *guest, struct view *view)
{
	CLEANUP_FREE struct drc_load *load = calloc(1, sizeof(*load));
	int rc;

	if (!load)
		return -ENOMEM;
	load->guest = guest;
	rc = view_replies(view, drc_visit, load);
	qsort(load->loaded, load->count, sizeof(load->loaded[0]),
	      drc_by_sequence);
	pthread_mutex_lock(&guest->lock);
	for (unsigned int i = 0; i < load->count; i++) {
		struct drc_entry *entry = load->loaded[i].entry;

		if (rc < 0) {
			drc_entry_free(entry);
			continue;
		}
		LIST_INSERT_HEAD(drc_bucket_of(guest, &entry->key), entry,
				 bucket_link);
		TAILQ_INSERT_TAIL(&guest->ages, entry, age_link);
		guest->finished_count++;
		guest->sequence = entry->sequence + 1;
	}
	pthread_mutex_unlock(&guest->lock);
	if (load->corrupt > 0)
		log_warn("export %s: %u stored replies are damaged, ignored",
			 view_get_info(view)->path, load->corrupt);
	return rc;
}

static int drc_guest_get(struct drc *drc, struct view *view,
			 struct drc_guest **found)
{
	const struct view_info *info = view_get_info(view);
	struct drc_guest **head, *guest;
	int rc = 0;

	head = &drc->guests[info->export_id % DRC_GUEST_BUCKETS];
	pthread_mutex_lock(&drc->lock);
	/* Not by number: a guest that left and came back is another view, with
	 * the replies that it brings. */
	for (guest = *head; guest; guest = guest->next)
		if (guest->view == view)
			break;
	if (!guest) {
		guest = drc_guest_new(view, info);
		if (guest) {
			guest->next = *head;
			*head = guest;
		}
	}
	pthread_mutex_unlock(&drc->lock);
	if (!guest)
		return -ENOMEM;
	*found = guest;
	if (__atomic_load_n(&guest->loaded, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&guest->load_lock);
	if (!guest->loaded) {
		rc = drc_load(guest, view);
		if (rc == 0)
			__atomic_store_n(&guest->loaded, true,
					 __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&guest->load_lock);
	return rc;
}

static void drc_fill(struct drc_waiter *waiter, const uint8_t *body,
		     size_t body_len)
{
	ASSERT(body_len <= DRC_BODY_MAX);

	waiter->verdict = DRC_REPLAY;
	waiter->body_len = body_len;
	memcpy(waiter->body, body, body_len);
}

/* Under the guest's lock.  *older: who waited until now. */
static int drc_meet(struct drc_entry *entry, struct drc_waiter *waiter,
		    struct drc_waiter **older)
{
	if (entry->state == DRC_FAILED_LOG)
		return DRC_LOST;
	if (entry->state == DRC_FINISHED) {
		drc_fill(waiter, entry->body, entry->body_len);
		return DRC_REPLAY;
	}
	if (waiter->order < entry->order)
		return DRC_OLD;
	entry->order = waiter->order;
	*older = entry->waiter;
	if (*older) {
		(*older)->entry = NULL;
		(*older)->verdict = DRC_BUSY;
	}
	entry->waiter = waiter;
	waiter->entry = entry;
	waiter->guest = entry->guest;
	return DRC_BUSY;
}

int drc_begin(struct drc *drc, struct view *view, const struct drc_key *key,
	      struct drc_waiter *waiter, struct drc_entry **entry)
{
	struct drc_waiter *older = NULL;
	struct drc_guest *guest;
	struct drc_entry *found;
	int rc;

	ASSERT(waiter->told);

	rc = drc_guest_get(drc, view, &guest);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&guest->lock);
	found = drc_find(guest, key);
	if (found) {
		rc = drc_meet(found, waiter, &older);
	} else {
		*entry = drc_insert(guest, key);
		rc = *entry ? DRC_NEW : -ENOMEM;
		if (*entry)
			(*entry)->order = waiter->order;
	}
	pthread_mutex_unlock(&guest->lock);
	if (older)
		older->told(older);
	return rc;
}

size_t drc_store(struct drc_entry *entry, const uint8_t *body, size_t body_len,
		 uint8_t *record, uint32_t *slot)
{
	struct drc_guest *guest = entry->guest;

	ASSERT(entry->state == DRC_RUNNING);

	if (body_len > DRC_BODY_MAX)
		return 0;
	pthread_mutex_lock(&guest->lock);
	entry->sequence = guest->sequence++;
	pthread_mutex_unlock(&guest->lock);
	memset(record, 0, DRC_RECORD_HEADER);
	record[0] = DRC_RECORD_FORMAT;
	record[1] = (uint8_t)entry->key.proc;
	le32_put(record + 4, entry->key.xid);
	le64_put(record + 8, entry->key.cred_hash);
	le64_put(record + 16, entry->key.args_sum);
	le64_put(record + 24, entry->sequence);
	memcpy(record + DRC_RECORD_HEADER, body, body_len);
	le64_put(record + 32,
		 drc_record_sum(guest, record, DRC_RECORD_HEADER + body_len));
	*slot = (uint32_t)(entry->sequence % VIEW_REPLY_SLOTS);
	KILL_POINT("drc-stored");
#ifdef BROKEN_DRC_MEMORY
	/* The kill test's control: the reply does not ride with its effect. */
	return 0;
#else
	return DRC_RECORD_HEADER + body_len;
#endif
}

/* Under the guest's lock: who is to be told. */
static struct drc_waiter *drc_take_waiter(struct drc_entry *entry)
{
	struct drc_waiter *waiter = STEAL(entry->waiter);

	if (waiter)
		waiter->entry = NULL;
	return waiter;
}

bool drc_finish(struct drc_entry *entry, const uint8_t *body, size_t body_len)
{
	struct drc_guest *guest = entry->guest;
	struct drc_waiter *waiter;
	uint8_t *copy = NULL;

	ASSERT(body_len > 0 && body_len <= DRC_BODY_MAX);

	copy = malloc(body_len);
	pthread_mutex_lock(&guest->lock);
	ASSERT(entry->state == DRC_RUNNING);
	waiter = drc_take_waiter(entry);
	if (waiter)
		drc_fill(waiter, body, body_len);
	if (copy) {
		memcpy(copy, body, body_len);
		entry->body = copy;
		entry->body_len = body_len;
		entry->state = DRC_FINISHED;
		guest->finished_count++;
		drc_evict(guest);
	} else {
		drc_remove(entry);
	}
	pthread_mutex_unlock(&guest->lock);
	if (waiter)
		waiter->told(waiter);
	return waiter != NULL;
}

void drc_lose(struct drc_entry *entry)
{
	struct drc_guest *guest = entry->guest;
	struct drc_waiter *waiter;

	pthread_mutex_lock(&guest->lock);
	ASSERT(entry->state == DRC_RUNNING);
	waiter = drc_take_waiter(entry);
	if (waiter)
		waiter->verdict = DRC_LOST;
	entry->state = DRC_FAILED_LOG;
	guest->finished_count++;
	drc_evict(guest);
	pthread_mutex_unlock(&guest->lock);
	if (waiter)
		waiter->told(waiter);
}

bool drc_cancel(struct drc_waiter *waiter)
{
	struct drc_guest *guest = waiter->guest;
	bool waits;

	pthread_mutex_lock(&guest->lock);
	waits = waiter->entry != NULL;
	if (waits)
		drc_take_waiter(waiter->entry);
	pthread_mutex_unlock(&guest->lock);
	return waits;
}

unsigned int drc_count(struct drc *drc, struct view *view)
{
	struct drc_guest *guest;
	unsigned int count;

	if (drc_guest_get(drc, view, &guest) < 0)
		return 0;
	pthread_mutex_lock(&guest->lock);
	count = guest->finished_count;
	pthread_mutex_unlock(&guest->lock);
	return count;
}
