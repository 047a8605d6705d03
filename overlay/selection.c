/* SPDX-License-Identifier: Apache-2.0 */
/* selection: see selection.h. */
#include <stdio.h>

#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/selection.h"

enum {
	GUEST_HEAD = 31,
	GUEST_TAIL = 28,                    /* from format 2 */
	GUEST_WHERE = 18 + SITE_SECRET_LEN, /* from format 3 */
	GUEST_FORMAT = 3,
};

static void selection_prefix(struct record_key *key, const char *tenant)
{
	record_key_text(key, 'S', tenant);
	key->bytes[key->len++] = '\0';
}

static uint8_t *selection_put_text(uint8_t *out, const char *text)
{
	size_t len = strlen(text);

	*out++ = (uint8_t)len;
	memcpy(out, text, len);
	return out + len;
}

size_t selection_encode(const struct selection *selection, uint8_t *value)
{
	uint8_t *out = value + SELECTION_HEAD;

	value[0] = RECORD_FORMAT;
	le64_put(value + 1, (uint64_t)selection->since.tv_sec);
	le32_put(value + 9, (uint32_t)selection->since.tv_nsec);
	le32_put(value + 13, selection->count);
	for (unsigned int i = 0; i < selection->count; i++) {
		const struct package_info *p = &selection->package[i];

		memcpy(out, p->revision.bytes, DIGEST_LEN);
		memcpy(out + DIGEST_LEN, p->tree.bytes, DIGEST_LEN);
		out = selection_put_text(out + 2 * DIGEST_LEN, p->name);
		out = selection_put_text(out, p->tag);
	}
	return (size_t)(out - value);
}

void selection_put(struct kv_batch *batch, const char *tenant,
		   const struct selection *selection)
{
	uint8_t value[SELECTION_VALUE_MAX];
	struct record_key key;

	selection_prefix(&key, tenant);
	be32_put(key.bytes + key.len, selection->generation);
	key.len += 4;
	kv_batch_put(batch, key.bytes, key.len, value,
		     selection_encode(selection, value));
}

/* Text of at most `max` bytes at *in; false when it does not fit. */
static bool selection_get_text(const uint8_t **in, const uint8_t *end,
			       size_t max, char *text)
{
	size_t len;

	if (*in == end)
		return false;
	len = *(*in)++;
	if (len > max || (size_t)(end - *in) < len)
		return false;
	memcpy(text, *in, len);
	text[len] = '\0';
	*in += len;
	return true;
}

int selection_decode(const uint8_t *in, size_t len, struct selection *selection)
{
	const uint8_t *end = in + len;

	if (len >= 1 && in[0] > RECORD_FORMAT)
		return record_newer("selection", in[0], RECORD_FORMAT);
	if (len < SELECTION_HEAD || in[0] != RECORD_FORMAT)
		return -EBADMSG;
	selection->since.tv_sec = (time_t)le64_get(in + 1);
	selection->since.tv_nsec = le32_get(in + 9);
	selection->count = le32_get(in + 13);
	if (selection->count > SITE_SELECTION_MAX)
		return -EBADMSG;
	in += SELECTION_HEAD;
	for (unsigned int i = 0; i < selection->count; i++) {
		struct package_info *p = &selection->package[i];

		memset(p, 0, sizeof(*p));
		if (end - in < 2 * DIGEST_LEN)
			return -EBADMSG;
		memcpy(p->revision.bytes, in, DIGEST_LEN);
		memcpy(p->tree.bytes, in + DIGEST_LEN, DIGEST_LEN);
		in += 2 * DIGEST_LEN;
		if (!selection_get_text(&in, end, PACKAGE_NAME_MAX, p->name) ||
		    !selection_get_text(&in, end, TAG_NAME_MAX, p->tag))
			return -EBADMSG;
	}
	return in == end ? 0 : -EBADMSG;
}

struct selection_walk {
	const char *tenant;
	struct selection *selection;
	int (*visit)(void *ctx,
		     const struct selection *selection); /* or NULL */
	void *ctx;
};

static int selection_visit(void *ctx, const struct each_key *key)
{
	const struct selection_walk *walk = ctx;
	int rc = selection_decode(key->value, key->value_len, walk->selection);

	if (rc == -EBADMSG)
		return log_err(rc, "state: selection of tenant %s",
			       walk->tenant);
	if (rc < 0)
		return rc;
	walk->selection->generation = be32_get(key->rest);
	return walk->visit ? walk->visit(walk->ctx, walk->selection) : 0;
}

int selection_load(struct kv *kv, const char *tenant,
		   struct selection *selection)
{
	struct selection_walk walk = {.tenant = tenant, .selection = selection};
	struct record_key prefix;

	memset(selection, 0, sizeof(*selection));
	selection_prefix(&prefix, tenant);
	return each_key(kv, &prefix, 4, selection_visit, &walk);
}

int selection_each(struct kv *kv, const char *tenant,
		   int (*visit)(void *ctx, const struct selection *selection),
		   void *ctx)
{
	CLEANUP_FREE struct selection *selection =
	    calloc(1, sizeof(*selection));
	struct selection_walk walk = {.tenant = tenant,
				      .selection = selection,
				      .visit = visit,
				      .ctx = ctx};
	struct record_key prefix;

	if (!selection)
		return -ENOMEM;
	selection_prefix(&prefix, tenant);
	return each_key(kv, &prefix, 4, selection_visit, &walk);
}

bool selection_same(const struct selection *a, const struct selection *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned int i = 0; i < a->count; i++)
		if (!digest_equal(&a->package[i].revision,
				  &b->package[i].revision) ||
		    strcmp(a->package[i].name, b->package[i].name) != 0 ||
		    strcmp(a->package[i].tag, b->package[i].tag) != 0)
			return false;
	return true;
}

/* --- flattening ---------------------------------------------------------- */

/* The packages of an image in order: a guest's own, then the selection's. */
struct selection_stack {
	const struct guest_own *own; /* or NULL */
	const struct selection *selection;
	const struct selection_teller *teller; /* or NULL */
	struct selection_bases bases; /* owned; loaded for conflicts only */
	struct tree *trees[IMAGE_TREES_MAX]; /* ref; in this order */
};

static unsigned int stack_own_count(const struct selection_stack *stack)
{
	return stack->own ? stack->own->count : 0;
}

static const struct package_info *
stack_package(const struct selection_stack *stack, unsigned int i)
{
	unsigned int own = stack_own_count(stack);

	return i < own ? &stack->own->package[i]
		       : &stack->selection->package[i - own];
}

/* What a package has changed in the system it was captured over is what it is
 * for. */
static bool stack_is_meant(const struct selection_stack *stack,
			   unsigned int winner, unsigned int loser)
{
	unsigned int own = stack_own_count(stack);

	return winner >= own && loser >= own &&
	       selection_is_over(&stack->bases, winner - own, loser - own);
}

/* What a package says of a directory: "0755 0:0". */
enum { STACK_SAYS_MAX = 32 };
static const char *stack_says(const struct selection_stack *stack,
			      unsigned int i, const char *path,
			      char text[STACK_SAYS_MAX])
{
	struct tree_inode attr = {.mode = 0};
	uint32_t inode;

	if (tree_find_path(stack->trees[i], path, &inode) == 0)
		tree_inode_get(stack->trees[i], inode, &attr);
	snprintf(text, STACK_SAYS_MAX, "%04o %u:%u", attr.mode & 07777,
		 attr.uid, attr.gid);
	return text;
}

static void selection_note(const struct selection_stack *stack,
			   const char *path, unsigned int winner,
			   unsigned int loser)
{
	const struct package_info *w = stack_package(stack, winner);
	const struct package_info *l = stack_package(stack, loser);
	char seen[STACK_SAYS_MAX], other[STACK_SAYS_MAX], text[4096 + 512];

	snprintf(text, sizeof(text),
		 "%s/: %s of %s:%s is seen, not %s of %s:%s", path,
		 stack_says(stack, winner, path, seen), w->name, w->tag,
		 stack_says(stack, loser, path, other), l->name, l->tag);
	stack->teller->note(stack->teller->ctx, text);
}

static void selection_conflict(void *ctx, const char *path,
			       enum image_conflict kind, unsigned int winner,
			       unsigned int loser)
{
	static const char *const words[][2] = {
	    [IMAGE_CONFLICT_CONTENT] = {"and", "have different files"},
	    [IMAGE_CONFLICT_WINNER_DELETES] = {"deletes what", "has"},
	    [IMAGE_CONFLICT_LOSER_DELETES] = {"has what", "deletes"},
	};
	const struct selection_stack *stack = ctx;
	const struct package_info *w = stack_package(stack, winner);
	const struct package_info *l = stack_package(stack, loser);
	char text[4096 + 512];

	if (stack_is_meant(stack, winner, loser))
		return;
	if (kind == IMAGE_CONFLICT_ATTRIBUTES) {
		selection_note(stack, path, winner, loser);
		return;
	}
	snprintf(text, sizeof(text), "%s: %s:%s %s %s:%s %s", path, w->name,
		 w->tag, words[kind][0], l->name, l->tag, words[kind][1]);
	stack->teller->conflict(stack->teller->ctx, text);
}

static int selection_tree(struct depot *depot, const struct package_info *p,
			  struct tree **tree)
{
	int rc = depot_tree_get(depot, &p->tree, tree);
	char hex[DIGEST_HEX_LEN + 1];

	if (rc == -ENOENT || rc == -EBADMSG)
		rc = depot_tree_fetch(depot, &p->tree, tree);
	if (rc == 0)
		return 0;
	/* -ENOENT would be a package, or a tenant, that is not there. */
	digest_to_hex(&p->tree, hex);
	log_err(0,
		"package %s:%s cannot be served: its tree is neither in %s nor "
		"%s; another host that has the package has it as trees/%s of "
		"its store",
		p->name, p->tag, depot_path(depot),
		rc == -EHOSTUNREACH ? "to be had, since the upstream that it "
				      "came from does not answer"
				    : "at an upstream",
		hex);
	return rc == -ENOENT ? -EBADMSG : rc;
}

int selection_image(struct depot *depot, const struct guest_own *own,
		    const struct selection *selection,
		    const uint8_t key[SIPHASH_KEY_LEN],
		    const struct selection_teller *teller, struct image **image)
{
	struct selection_stack stack = {
	    .own = own, .selection = selection, .teller = teller};
	unsigned int total = stack_own_count(&stack) + selection->count;
	unsigned int count = 0;
	int rc = 0;

	ASSERT(total <= IMAGE_TREES_MAX);
	while (rc == 0 && count < total) {
		rc = selection_tree(depot, stack_package(&stack, count),
				    &stack.trees[count]);
		count += rc == 0;
	}
	if (rc == 0 && teller) {
		rc = selection_bases_load(depot, selection, &stack.bases);
		selection_bases_check(selection, &stack.bases, teller->conflict,
				      teller->ctx);
	}
	if (rc == 0)
		rc = image_new(stack.trees, count, own ? own->flags : 0, key,
			       &selection->since,
			       teller ? selection_conflict : NULL, &stack,
			       image);
	for (unsigned int i = 0; i < count; i++)
		tree_put(stack.trees[i]);
	selection_bases_clear(&stack.bases);
	return rc;
}

/* --- guests, counters ---------------------------------------------------- */

size_t guest_encode(const struct guest_record *guest, uint8_t *out)
{
	size_t addr_len = strlen(guest->addr);
	uint8_t *tail = out + GUEST_HEAD + addr_len;

	out[0] = GUEST_FORMAT;
	le32_put(out + 1, guest->export_id);
	le64_put(out + 5, guest->layer);
	memcpy(out + 13, guest->key, SIPHASH_KEY_LEN);
	out[29] = guest->flags;
	out[30] = (uint8_t)addr_len;
	memcpy(out + GUEST_HEAD, guest->addr, addr_len);
	le64_put(tail, guest->quota.bytes);
	le64_put(tail + 8, guest->quota.files);
	le64_put(tail + 16, (uint64_t)guest->since.tv_sec);
	le32_put(tail + 24, (uint32_t)guest->since.tv_nsec);
	memcpy(tail + 28, guest->listen.addr, 16);
	le16_put(tail + 44, guest->listen.port);
	memcpy(tail + 46, guest->secret.bytes, SITE_SECRET_LEN);
	return GUEST_HEAD + addr_len + GUEST_TAIL + GUEST_WHERE;
}

/* Bytes behind the address; the format is known. */
static size_t guest_tail_len(uint8_t format)
{
	return (format > 1 ? GUEST_TAIL : 0) + (format > 2 ? GUEST_WHERE : 0);
}

int guest_decode(const void *data, size_t len, struct guest_record *guest)
{
	const uint8_t *in = data, *tail;

	if (len >= 1 && in[0] > GUEST_FORMAT)
		return record_newer("guest record", in[0], GUEST_FORMAT);
	if (len < GUEST_HEAD || in[0] == 0 || in[30] >= sizeof(guest->addr) ||
	    len != (size_t)GUEST_HEAD + in[30] + guest_tail_len(in[0]))
		return log_err(-EBADMSG, "state: damaged guest record");
	memset(guest, 0, sizeof(*guest));
	guest->export_id = le32_get(in + 1);
	guest->layer = le64_get(in + 5);
	memcpy(guest->key, in + 13, SIPHASH_KEY_LEN);
	guest->flags = in[29];
	memcpy(guest->addr, in + GUEST_HEAD, in[30]);
	if (in[0] == 1)
		return 0;
	tail = in + GUEST_HEAD + in[30];
	guest->quota.bytes = le64_get(tail);
	guest->quota.files = le64_get(tail + 8);
	guest->since.tv_sec = (time_t)le64_get(tail + 16);
	guest->since.tv_nsec = le32_get(tail + 24);
	if (in[0] > 2) {
		memcpy(guest->listen.addr, tail + 28, 16);
		guest->listen.port = le16_get(tail + 44);
		memcpy(guest->secret.bytes, tail + 46, SITE_SECRET_LEN);
	}
	return guest->since.tv_nsec < 1000000000
		   ? 0
		   : log_err(-EBADMSG, "state: damaged guest record");
}

void snapshot_encode(const struct snapshot_record *snapshot,
		     uint8_t out[SNAPSHOT_RECORD_LEN])
{
	out[0] = RECORD_FORMAT;
	le64_put(out + 1, snapshot->layer);
	le64_put(out + 9, (uint64_t)snapshot->time.tv_sec);
	le32_put(out + 17, (uint32_t)snapshot->time.tv_nsec);
}

int snapshot_decode(const void *data, size_t len,
		    struct snapshot_record *snapshot)
{
	const uint8_t *in = data;

	if (len >= 1 && in[0] > RECORD_FORMAT)
		return record_newer("snapshot record", in[0], RECORD_FORMAT);
	if (len != SNAPSHOT_RECORD_LEN || in[0] != RECORD_FORMAT)
		return log_err(-EBADMSG, "state: damaged snapshot record");
	snapshot->layer = le64_get(in + 1);
	snapshot->time.tv_sec = (time_t)le64_get(in + 9);
	snapshot->time.tv_nsec = le32_get(in + 17);
	return 0;
}

int counter_next(struct kv *kv, const char *name, uint64_t *value)
{
	uint8_t bytes[9] = {RECORD_FORMAT};
	struct record_key key;
	struct kv_value old;
	int rc;

	record_key_text(&key, 'C', name);
	rc = kv_get(kv, key.bytes, key.len, &old);
	if (rc == 0) {
		if (old.len > 0 && old.data[0] > RECORD_FORMAT)
			rc =
			    record_newer("counter", old.data[0], RECORD_FORMAT);
		else if (old.len != sizeof(bytes) ||
			 old.data[0] != RECORD_FORMAT)
			rc = log_err(-EBADMSG, "state: damaged counter %s",
				     name);
		else
			*value = le64_get(old.data + 1) + 1;
		kv_value_release(&old);
	} else if (rc == -ENOENT) {
		*value = 1;
		rc = 0;
	}
	if (rc < 0)
		return rc;
	le64_put(bytes + 1, *value);
	rc = kv_put(kv, key.bytes, key.len, bytes, sizeof(bytes));
	return rc < 0 ? rc : kv_sync_log(kv);
}
