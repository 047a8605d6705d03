/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_fh: arbitrary bytes as a file handle.  Promises: only what this server
 * made is taken; with the MAC made right (as if forged), the object is looked
 * for in the export that the handle names and in no other, and nothing breaks.
 */
#include "nfsd/export.h"
#include "nfsd/fh.h"
#include "tests/fake/fake_site.h"
#include "tests/fake/fake_view.h"

#include <netinet/in.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_fh_forged(struct export_client *client, struct site *site,
			   struct view *view, const uint8_t *data)
{
	uint8_t bytes[FH_LEN];
	struct view_object obj;
	struct export_view export;
	struct view_attr attr;
	struct fh fh;

	/* A generation and fileid of the input's, in a true handle. */
	fh_make(view_get_info(view),
		(struct view_object){.fileid = le64_get(data + 8),
				     .generation = le32_get(data + 16)},
		bytes);
	ASSERT(fh_parse(bytes, sizeof(bytes), &fh) == 0);
	ASSERT(export_of_handle(client, site, bytes, sizeof(bytes), &export,
				&obj) == 0);
	ASSERT(export.view == view);
	ASSERT(obj.fileid == le64_get(data + 8));
	if (view_getattr(view, obj, &attr) == 0)
		ASSERT(attr.fileid == obj.fileid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	static struct view *view;
	static struct site *site;
	struct export_client client;
	struct export_view export;
	struct view_object obj;
	uint8_t again[FH_LEN];
	int rc;

	if (!view) {
		view = fake_view_new(7, "/red/vm1", "");
		ASSERT(site_open(NULL, &site) == 0);
		fake_site_add(site, view);
		fake_view_add_file(view, 1, "f", "x", 1);
	}
	export_client_init(&client, (struct sockaddr *)&addr);
	rc = export_of_handle(&client, site, data, len, &export, &obj);
	ASSERT(rc == 0 || rc == -EBADF);
	if (rc == 0) {
		fh_make(export.info, obj, again);
		ASSERT(len == FH_LEN && memcmp(again, data, FH_LEN) == 0);
	}
	if (len >= 20)
		fuzz_fh_forged(&client, site, view, data);
	return 0;
}
