/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_map: open addressing with linear probing; nothing is ever removed.
 */
#include "admin/import_impl.h"

enum { IMPORT_MAP_FIRST = 1024 };

static struct import_slot *import_map_slot(const struct import_map *map,
					   const void *key, size_t key_len)
{
	size_t mask = map->cap - 1;
	size_t i = siphash64(map->hash_key, key, key_len) & mask;

	while (map->slots[i].key &&
	       (map->slots[i].key_len != key_len ||
		memcmp(map->slots[i].key, key, key_len) != 0))
		i = (i + 1) & mask;
	return &map->slots[i];
}

uint32_t *import_map_get(const struct import_map *map, const void *key,
			 size_t key_len)
{
	struct import_slot *slot;

	if (map->cap == 0)
		return NULL;
	slot = import_map_slot(map, key, key_len);
	return slot->key ? &slot->value : NULL;
}

static int import_map_grow(struct import_map *map)
{
	struct import_map grown = {.count = map->count};

	if (map->cap && map->count * 4 < map->cap * 3)
		return 0;
	if (map->cap == 0)
		random_bytes(map->hash_key, sizeof(map->hash_key));
	memcpy(grown.hash_key, map->hash_key, sizeof(grown.hash_key));
	grown.cap = map->cap ? map->cap * 2 : IMPORT_MAP_FIRST;
	grown.slots = calloc(grown.cap, sizeof(*grown.slots));
	if (!grown.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->cap; i++)
		if (map->slots[i].key)
			*import_map_slot(&grown, map->slots[i].key,
					 map->slots[i].key_len) = map->slots[i];
	free(map->slots);
	*map = grown;
	return 0;
}

int import_map_put(struct import_map *map, const void *key, size_t key_len,
		   uint32_t value)
{
	struct import_slot *slot;
	int rc;

	rc = import_map_grow(map);
	if (rc < 0)
		return rc;
	slot = import_map_slot(map, key, key_len);
	if (!slot->key) {
		slot->key = malloc(key_len + 1);
		if (!slot->key)
			return -ENOMEM;
		memcpy(slot->key, key, key_len);
		slot->key_len = (uint32_t)key_len;
		map->count++;
	}
	slot->value = value;
	return 0;
}

void import_map_clear(struct import_map *map)
{
	for (size_t i = 0; i < map->cap; i++)
		free(map->slots[i].key);
	free(map->slots);
	memset(map, 0, sizeof(*map));
}
