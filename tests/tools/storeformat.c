/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storeformat: give a database of a host's store, or one value in it, another
 * format number, as a vdrive of another version would have written it.
 *
 *   storeformat STORE state|shards NUMBER        (nobody has the store open)
 *   storeformat STORE KIND NUMBER
 *   storeformat STORE OLD NEW                    (digests of trees, as hex)
 *
 * KIND is a letter of overlay/record.h: A S G C E Y, or Di Dd Dp; the first
 * value of that kind is changed.  OLD becomes NEW in all selections.
 */
#include <stdio.h>

#include "depot/digest.h"
#include "depot/kv.h"

enum { STOREFORMAT_MEMORY = 16 << 20 };

static int storeformat_database(struct kv *kv, uint32_t number)
{
	uint8_t value[4];

	le32_put(value, number);
	return kv_put(kv, "format", strlen("format"), value, sizeof(value));
}

/* The first value whose key begins so, and, of a layer's, is of that kind. */
static int storeformat_value(struct kv *kv, const char *kind, uint8_t number)
{
	struct kv_iter *it = kv_iter_new(kv, kind, 1, NULL, 0);
	int rc = -ENOENT;

	if (!it)
		return -ENOMEM;
	for (; rc == -ENOENT && kv_iter_valid(it); kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *key = kv_iter_key(it, &key_len);
		const uint8_t *value = kv_iter_value(it, &len);
		uint8_t *copy;

		if (kind[1] && (key_len < 10 || key[9] != (uint8_t)kind[1]))
			continue;
		copy = malloc(len + 1);
		if (!copy)
			break;
		memcpy(copy, value, len);
		copy[0] = number;
		rc = kv_put(kv, key, key_len, copy, len);
		free(copy);
	}
	kv_iter_free(it);
	return rc;
}

static int storeformat_tree(struct kv *kv, const struct digest *old,
			    const struct digest *new)
{
	struct kv_iter *it = kv_iter_new(kv, "S", 1, NULL, 0);
	int rc = -ENOENT;

	if (!it)
		return -ENOMEM;
	for (; kv_iter_valid(it); kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *key = kv_iter_key(it, &key_len);
		const uint8_t *value = kv_iter_value(it, &len);
		const uint8_t *at = memmem(value, len, old, DIGEST_LEN);
		uint8_t *copy = at ? malloc(len) : NULL;

		if (!copy)
			continue;
		memcpy(copy, value, len);
		memcpy(copy + (at - value), new, DIGEST_LEN);
		rc = kv_put(kv, key, key_len, copy, len);
		free(copy);
	}
	kv_iter_free(it);
	return rc;
}

int main(int argc, char **argv)
{
	const char *what = argc == 4 ? argv[2] : "";
	bool is_shards = strcmp(what, "shards") == 0;
	bool is_database = is_shards || strcmp(what, "state") == 0;
	struct digest old, new;
	bool is_tree = argc == 4 &&
		       digest_from_hex(what, strlen(what), &old) == 0 &&
		       digest_from_hex(argv[3], strlen(argv[3]), &new) == 0;
	unsigned long number;
	char path[4096];
	struct kv *kv;
	int rc;

	if (!is_database && !is_tree &&
	    (strlen(what) < 1 || strlen(what) > 2)) {
		fprintf(stderr,
			"usage: storeformat STORE state|shards|KIND N\n");
		return 2;
	}
	number = strtoul(argv[3], NULL, 10);
	snprintf(path, sizeof(path), "%s/%s", argv[1],
		 is_shards ? "shards" : "state");
	rc = kv_open(path, is_shards ? KV_SHARDS : KV_STATE, STOREFORMAT_MEMORY,
		     &kv);
	if (rc == 0) {
		rc = is_tree ? storeformat_tree(kv, &old, &new)
		     : is_database
			 ? storeformat_database(kv, (uint32_t)number)
			 : storeformat_value(kv, what, (uint8_t)number);
		if (rc == 0)
			rc = kv_flush(kv);
		kv_close(kv);
	}
	if (rc < 0)
		fprintf(stderr, "storeformat %s: %s\n", path,
			strerrordesc_np(-rc));
	return rc < 0;
}
