/* SPDX-License-Identifier: Apache-2.0 */
/* layer: see layer.h. */
#include "overlay/layer.h"

#include <pthread.h>
#include <sys/stat.h>

#include "depot/log.h"
#include "depot/tree.h"
#include "overlay/each.h"

struct layers {
	struct depot *depot; /* borrows */
	struct kv *kv;       /* borrows */
	pthread_mutex_t lock;
	struct layer *first; /* guarded by lock */
};

int layers_new(struct depot *depot, struct layers **layers)
{
	struct layers *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->depot = depot;
	l->kv = depot_state(depot);
	pthread_mutex_init(&l->lock, NULL);
	*layers = l;
	return 0;
}

void layers_free(struct layers *layers)
{
	if (!layers)
		return;
	ASSERT(!layers->first);
	pthread_mutex_destroy(&layers->lock);
	free(layers);
}

/* --- trees --------------------------------------------------------------- */

struct tree *layer_tree(const struct layer *layer, const struct digest *digest)
{
	for (unsigned int i = 0; i < layer->tree_count; i++)
		if (digest_equal(tree_digest(layer->trees[i]), digest))
			return layer->trees[i];
	return NULL;
}

int layer_hold_tree(struct layer *layer, struct tree *tree)
{
	struct tree **bigger;

	if (layer_tree(layer, tree_digest(tree)))
		return 0;
	bigger = realloc(layer->trees,
			 (layer->tree_count + 1) * sizeof(struct tree *));
	if (!bigger)
		return -ENOMEM;
	layer->trees = bigger;
	layer->trees[layer->tree_count++] = tree_get(tree);
	return 0;
}

/* --- loading ------------------------------------------------------------- */

void layer_put_key(struct kv_batch *batch, uint64_t id, uint64_t parent)
{
	uint8_t value[9] = {RECORD_FORMAT};
	struct record_key key;

	record_key_layer(&key, id);
	le64_put(value + 1, parent);
	kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
}

int layer_parent(struct kv *kv, uint64_t id, uint64_t *parent)
{
	struct record_key key;
	struct kv_value value;
	int rc;

	*parent = 0;
	record_key_layer(&key, id);
	rc = kv_get(kv, key.bytes, key.len, &value);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	if (value.len == 9 && value.data[0] == RECORD_FORMAT)
		*parent = le64_get(value.data + 1);
	else
		rc = value.len > 0 && value.data[0] > RECORD_FORMAT
			 ? record_newer("layer record", value.data[0],
					RECORD_FORMAT)
			 : log_err(-EBADMSG, "state: record of layer %llu",
				   (unsigned long long)id);
	kv_value_release(&value);
	return rc;
}

struct layer_load {
	struct layers *layers;
	struct layer *layer;
};

/* What a record says of its base must be so: its bytes are read by it. */
static int layer_check_base(const struct record *rec, const struct tree *tree)
{
	struct tree_inode base = {.mode = 0};

	if (rec->base_inode < tree_inode_count(tree))
		tree_inode_get(tree, rec->base_inode, &base);
	if ((base.mode & S_IFMT) == (rec->mode & S_IFMT) &&
	    (rec->data.lower || rec->data.base_limit <= base.size))
		return 0;
	return log_err(-EBADMSG, "state: a record does not fit its base");
}

static int layer_load_base(struct layer_load *load, const struct record *rec)
{
	const struct digest *digest = &rec->base_tree;
	struct tree *tree = layer_tree(load->layer, digest);
	int rc;

	if (tree)
		return layer_check_base(rec, tree);
	rc = depot_tree_get(load->layers->depot, digest, &tree);
	if (rc == -ENOENT || rc == -EBADMSG)
		rc = depot_tree_fetch(load->layers->depot, digest, &tree);
	if (rc < 0) /* -ENOENT would be a guest or a snapshot */
		return rc == -ENOENT ? -EHOSTDOWN : rc;
	rc = layer_hold_tree(load->layer, tree);
	if (rc == 0)
		rc = layer_check_base(rec, tree);
	tree_put(tree);
	return rc;
}

static int layer_load_inode(void *ctx, const struct each_key *key)
{
	struct layer_load *load = ctx;
	struct record rec;
	int rc = record_decode(key->value, key->value_len, &rec);

	if (rc == 0 && be64_get(key->rest) == 0)
		rc = log_err(-EBADMSG, "state: damaged key");
	if (rc == 0)
		rc = idset_reserve(&load->layer->recorded, 1);
	if (rc < 0)
		return rc;
	idset_add(&load->layer->recorded, be64_get(key->rest));
	load->layer->bytes += rec.data.used;
	return rec.has_base && !rec.gone ? layer_load_base(load, &rec) : 0;
}

static int layer_load_name(void *ctx, const struct each_key *key)
{
	struct layer_load *load = ctx;
	int rc = key->value_len > 0 && key->value[0] > RECORD_FORMAT
		     ? record_newer("name record", key->value[0], RECORD_FORMAT)
		 : be64_get(key->rest)
		     ? idset_reserve(&load->layer->touched, 1)
		     : log_err(-EBADMSG, "state: damaged key");

	if (rc == 0)
		idset_add(&load->layer->touched, be64_get(key->rest));
	return rc;
}

static int layer_load(struct layers *layers, struct layer *layer)
{
	struct layer_load load = {layers, layer};
	struct record_key prefix;
	int rc = layer_parent(layers->kv, layer->id, &layer->parent);

	record_key_kind(&prefix, layer->id, 'i');
	if (rc == 0)
		rc = each_scanned(layers->kv, &prefix, 8, layer_load_inode,
				  &load);
	record_key_kind(&prefix, layer->id, 'd');
	if (rc == 0)
		rc = each_scanned(layers->kv, &prefix, 16, layer_load_name,
				  &load);
	return rc;
}

struct layer_sums {
	uint64_t bytes, files;
};

static int layer_sum_inode(void *ctx, const struct each_key *key)
{
	struct layer_sums *sums = ctx;
	struct record rec;
	int rc = record_decode(key->value, key->value_len, &rec);

	if (rc < 0)
		return rc;
	sums->bytes += rec.data.used;
	sums->files++;
	return 0;
}

int layer_sum(struct kv *kv, uint64_t id, uint64_t *bytes, uint64_t *files)
{
	struct layer_sums sums = {0};
	struct record_key prefix;
	int rc = 0;

	while (rc == 0 && id != 0) {
		record_key_kind(&prefix, id, 'i');
		rc = each_scanned(kv, &prefix, 8, layer_sum_inode, &sums);
		if (rc == 0)
			rc = layer_parent(kv, id, &id);
	}
	*bytes = sums.bytes;
	*files = sums.files;
	return rc;
}

/* --- references ---------------------------------------------------------- */

static void layer_free(struct layer *layer)
{
	for (unsigned int i = 0; i < layer->tree_count; i++)
		tree_put(layer->trees[i]);
	free(layer->trees);
	idset_clear(&layer->recorded);
	idset_clear(&layer->touched);
	recent_fini(&layer->recent);
	free(layer);
}

/* layers->lock is held. */
static int layer_add(struct layers *layers, uint64_t id, bool load,
		     struct layer **layer)
{
	struct layer *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->id = id;
	l->refs = 1;
	recent_init(&l->recent);
	rc = load ? layer_load(layers, l) : 0;
	if (rc < 0) {
		layer_free(l);
		return rc;
	}
	l->next = layers->first;
	layers->first = l;
	*layer = l;
	return 0;
}

int layer_get(struct layers *layers, uint64_t id, struct layer **layer)
{
	struct layer *l;
	int rc = 0;

	pthread_mutex_lock(&layers->lock);
	for (l = layers->first; l && l->id != id; l = l->next)
		;
	if (l) {
		l->refs++;
		*layer = l;
	} else {
		rc = layer_add(layers, id, true, layer);
	}
	pthread_mutex_unlock(&layers->lock);
	return rc;
}

int layer_new(struct layers *layers, uint64_t id, uint64_t parent,
	      struct layer **layer)
{
	int rc;

	pthread_mutex_lock(&layers->lock);
	rc = layer_add(layers, id, false, layer);
	pthread_mutex_unlock(&layers->lock);
	if (rc == 0)
		(*layer)->parent = parent;
	return rc;
}

void layer_put(struct layers *layers, struct layer *layer)
{
	struct layer **at = &layers->first;

	if (!layer)
		return;
	pthread_mutex_lock(&layers->lock);
	if (--layer->refs == 0) {
		while (*at != layer)
			at = &(*at)->next;
		*at = layer->next;
		layer_free(layer);
	}
	pthread_mutex_unlock(&layers->lock);
}
