/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_oci: an image in an OCI image layout, a directory as skopeo, umoci and
 * buildah write it (OCI image specification 1.0: image-layout, manifest,
 * layer).
 *
 * Every blob is proved by its digest, whichever way it is read.  Layers are
 * merged as the specification says, whiteouts in any order.  Of an index for
 * several platforms this machine's is taken.
 */
#ifndef ADMIN_IMPORT_OCI_H
#define ADMIN_IMPORT_OCI_H

#include "admin/import.h"

enum {
	OCI_JSON_MAX = 4 << 20, /* bytes of one document */
	OCI_LAYERS_MAX = 512,
	OCI_INDEX_DEPTH_MAX = 4, /* indexes that name indexes */
};

struct oci_result {
	size_t layers;
	json_t *config; /* owns; the image's "config" object; or NULL */
};

/*
 * dir: the layout; reference: a name as index.json annotates it, NULL: the only
 * image.  -EBADMSG: no such layout, or damaged; -ENOENT: no such image (the
 * names that there are, are said); -ENOTSUP: a media type that is not known.
 */
MUST_CHECK int import_oci(struct import *import, const char *dir,
			  const char *reference, struct output *out,
			  struct failure *failure, struct oci_result *result);

#endif
