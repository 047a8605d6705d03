/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_fh: arbitrary bytes as a file handle, with two guests on the host of
 * whom the client is one.  Promises: only what this server made is taken; with
 * the MAC made right (as if forged), and with the check of the MAC stubbed out,
 * the object is looked for in the guest's own export and in no other, and
 * nothing breaks.
 *
 * nfsd/export.c is compiled in, so that its question for the proof comes here.
 */
#include "nfsd/fh.h"

static bool fuzz_fh_proved(const uint8_t *bytes, const uint8_t *key);
#define fh_proved fuzz_fh_proved
#include "nfsd/export.c"
#undef fh_proved
#include "tests/fake/fake_site.h"
#include "tests/fake/fake_view.h"

#include <netinet/in.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool fuzz_fh_stub; /* every handle is proved */

static bool fuzz_fh_proved(const uint8_t *bytes, const uint8_t *key)
{
	return fh_proved(bytes, key) || fuzz_fh_stub;
}

/* Without a proof: what the handle says, but of the guest's own export only. */
static void fuzz_fh_unproved(struct export_client *client, struct site *site,
			     struct view *own, const uint8_t *data, size_t len)
{
	struct export_view export;
	struct view_object obj;
	struct view_attr attr;
	struct fh fh;
	int rc;

	fuzz_fh_stub = true;
	rc = export_of_handle(client, site, data, len, &export, &obj);
	fuzz_fh_stub = false;
	ASSERT(rc == 0 || rc == -EBADF);
	if (rc < 0)
		return;
	ASSERT(export.view == own && export.info == view_get_info(own));
	ASSERT(fh_parse(data, len, &fh) == 0);
	ASSERT(fh.export_id == export.info->export_id);
	rc = view_getattr(export.view, obj, &attr);
	ASSERT(rc == 0 || rc == -ESTALE);
	if (rc == 0)
		ASSERT(attr.fileid == obj.fileid);
}

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
	struct sockaddr_in addr = {
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	static struct view *view, *blue;
	static struct site *site;
	struct export_client client;
	struct export_view export;
	struct view_object obj;
	uint8_t again[FH_LEN];
	int rc;

	if (!view) {
		view = fake_view_new(7, "/red/vm1", "127.0.0.1");
		blue = fake_view_new(8, "/blue/vm1", "10.0.0.2");
		ASSERT(site_open(NULL, &site) == 0);
		fake_site_add(site, view);
		fake_site_add(site, blue);
		fake_view_add_file(blue, 1, "theirs", "x", 1);
		fake_view_add_file(view, 1, "f", "x", 1);
	}
	export_client_init(&client, (struct sockaddr *)&addr);
	rc = export_of_handle(&client, site, data, len, &export, &obj);
	ASSERT(rc == 0 || rc == -EBADF);
	if (rc == 0) {
		fh_make(export.info, obj, again);
		ASSERT(len == FH_LEN && memcmp(again, data, FH_LEN) == 0);
		ASSERT(export.view == view);
	}
	fuzz_fh_unproved(&client, site, view, data, len);
	if (len >= 20)
		fuzz_fh_forged(&client, site, view, data);
	return 0;
}
