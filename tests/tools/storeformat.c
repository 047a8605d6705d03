/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storeformat: give a database of a host's store another format number, as a
 * vdrive of another version would have written it.
 *
 *   storeformat STORE state|shards NUMBER      (nobody has the store open)
 */
#include <stdio.h>

#include "depot/kv.h"

int main(int argc, char **argv)
{
	enum { MEMORY = 16 << 20 };
	bool is_state = argc == 4 && strcmp(argv[2], "state") == 0;
	char path[4096];
	uint8_t value[4];
	struct kv *kv;
	int rc;

	if (argc != 4 || (!is_state && strcmp(argv[2], "shards") != 0)) {
		fprintf(stderr, "usage: storeformat STORE state|shards N\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/%s", argv[1], argv[2]);
	rc = kv_open(path, is_state ? KV_STATE : KV_SHARDS, MEMORY, &kv);
	if (rc == 0) {
		le32_put(value, (uint32_t)strtoul(argv[3], NULL, 10));
		rc = kv_put(kv, "format", strlen("format"), value,
			    sizeof(value));
		if (rc == 0)
			rc = kv_flush(kv);
		kv_close(kv);
	}
	if (rc < 0)
		fprintf(stderr, "storeformat %s: %s\n", path,
			strerrordesc_np(-rc));
	return rc < 0;
}
