/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_fits: may a guest stand on layers that were frozen before a switch?
 *
 * A switch moves the records of the layers that guests stand on then (rebase.h)
 * by writing into the top ones, which a snapshot has not.  So a record in it
 * may be of an object that the image has no more, without a name of the
 * delta's: its bytes would be there, and nobody could see them.  A moved record
 * says that a file is superseded exactly when image and delta together have no
 * name for it; one that says otherwise is of another image.
 */
#include <sys/stat.h>

#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/site_impl.h"

struct fits {
	const struct image *image;            /* borrows */
	struct layer *stack[VIEW_LAYERS_MAX]; /* refs */
	unsigned int level;                   /* that is looked through */
	uint64_t lost;
};

static bool fits_hidden(const struct fits *f, uint64_t fileid)
{
	for (unsigned int i = 0; i < f->level; i++)
		if (idset_has(&f->stack[i]->recorded, fileid))
			return true;
	return false;
}

static int fits_record(void *ctx, const struct each_key *key)
{
	struct fits *f = ctx;
	uint64_t fileid = be64_get(key->rest);
	struct record rec;
	int64_t nlink;
	uint32_t inode;
	int rc;

	if ((fileid & RECORD_BORN) || fits_hidden(f, fileid))
		return 0;
	rc = record_decode(key->value, key->value_len, &rec);
	if (rc < 0 || rec.gone)
		return rc;
	inode = image_find(f->image, fileid);
	nlink = rec.nlink;
	if (inode != IMAGE_NONE)
		nlink += image_inode(f->image, inode)->nlink;
	if (S_ISDIR(rec.mode)) /* one may be superseded for what hides it */
		f->lost += !rec.superseded && nlink < 2;
	else
		f->lost += rec.superseded == (nlink > 0);
	return 0;
}

int delta_fits(struct site *site, const char *guest, const struct view *view,
	       const char *snapshot, uint64_t layer)
{
	struct fits f = {.image = view->image};
	struct record_key prefix;
	unsigned int count;
	int rc = layers_get(site->layers, layer, f.stack, &count);

	if (rc < 0)
		return rc;
	for (; rc == 0 && f.level < count; f.level++) {
		record_key_kind(&prefix, f.stack[f.level]->id, 'i');
		rc = each_scanned(site->kv, &prefix, 8, fits_record, &f);
	}
	while (count > 0)
		layer_put(site->layers, f.stack[--count]);
	if (rc == 0 && f.lost > 0)
		rc = log_err(
		    -EEXIST,
		    "%ju files that %s had changed at snapshot %s are of "
		    "packages or profiles that have changed since: give it "
		    "those of then first (tenant rollback, profile apply or "
		    "detach), and after it those of now",
		    (uintmax_t)f.lost, guest, snapshot);
	return rc;
}
