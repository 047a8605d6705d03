/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_oci: index.json -> manifest -> config and layers.  A layer is read
 * once: libarchive reads through oci_layer_read(), which hashes what passes,
 * and nothing of the import is committed before all digests were right.
 */
#include "admin/import_oci.h"

#include <archive.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "admin/import_archive.h"
#include "depot/io.h"

#define OCI_WHAT     "OCI image"
#define OCI_REF_NAME "org.opencontainers.image.ref.name"
#define OCI_WHITEOUT ".wh."
#define OCI_OPAQUE   ".wh..wh..opq"

enum { OCI_BLOCK = 256 << 10, OCI_DIGEST_TEXT = 7 + DIGEST_HEX_LEN };

struct oci {
	struct import *import;
	struct output *out;
	struct failure *failure;
	const char *dir; /* borrows */
	const char *reference;
};

static int oci_bad(const struct oci *oci, const char *object, const char *why)
{
	return failure_set(oci->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			   "%s is no whole " OCI_WHAT ": %s: %s", oci->dir,
			   object, why);
}

static const char *oci_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* --- blobs --------------------------------------------------------------- */

/* "sha256:HEX" of a descriptor, to digest and to the blob's path (malloc'ed).
 */
static int oci_blob_path(const struct oci *oci, const json_t *descriptor,
			 struct digest *digest, char **path)
{
	const char *text = oci_text(descriptor, "digest");

	if (strncmp(text, "sha256:", 7) != 0 ||
	    digest_from_hex(text + 7, strlen(text + 7), digest) < 0)
		return oci_bad(oci, "descriptor",
			       "its digest is not sha256 and 64 hex digits");
	if (asprintf(path, "%s/blobs/sha256/%s", oci->dir, text + 7) < 0)
		return failure_errno(oci->failure, -ENOMEM, "%s", oci->dir);
	return 0;
}

static int oci_read(const struct oci *oci, const char *path, void **text,
		    size_t *len)
{
	int rc = io_read_file(path, OCI_JSON_MAX, text, len);

	if (rc == -EFBIG)
		return oci_bad(oci, path, "too long");
	return rc < 0 ? failure_errno(oci->failure, rc, "cannot read %s", path)
		      : 0;
}

static int oci_parse(const struct oci *oci, const char *path, const void *text,
		     size_t len, json_t **json)
{
	*json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(*json))
		return 0;
	json_decref(*json);
	*json = NULL;
	return oci_bad(oci, path, "no JSON object");
}

static int oci_json(const struct oci *oci, const json_t *descriptor,
		    json_t **json)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FREE void *text = NULL;
	struct digest want, got;
	size_t len;
	int rc;

	rc = oci_blob_path(oci, descriptor, &want, &path);
	if (rc == 0)
		rc = oci_read(oci, path, &text, &len);
	if (rc < 0)
		return rc;
	got = digest_of(text, len);
	if (!digest_equal(&got, &want))
		return oci_bad(oci, path, "not what its name says");
	return oci_parse(oci, path, text, len, json);
}

/* --- layers -------------------------------------------------------------- */

struct oci_layer {
	int fd;                    /* owns */
	struct digest_ctx *digest; /* owns */
	uint8_t *block;            /* owns */
	int error;
};

static void oci_layer_close(struct oci_layer *layer)
{
	if (layer->fd >= 0)
		close(layer->fd);
	if (layer->digest)
		digest_ctx_end(layer->digest);
	free(layer->block);
}

static la_ssize_t oci_layer_read(struct archive *archive, void *ctx,
				 const void **block)
{
	struct oci_layer *layer = ctx;
	ssize_t got;

	do
		got = read(layer->fd, layer->block, OCI_BLOCK);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		layer->error = -errno;
		archive_set_error(archive, errno, "%s", strerror(errno));
		return -1;
	}
	digest_ctx_add(layer->digest, layer->block, (size_t)got);
	*block = layer->block;
	return got;
}

/* What follows the end of the tar belongs to the blob, too. */
static int oci_layer_rest(struct oci_layer *layer, struct archive *archive)
{
	const void *block;
	la_ssize_t got;

	while ((got = oci_layer_read(archive, layer, &block)) > 0)
		;
	return got < 0 ? layer->error : 0;
}

static int oci_layer_take(struct oci *oci, struct oci_layer *layer,
			  const char *path)
{
	struct import_archive from = {.archive = import_archive_new(),
				      .path = path,
				      .what = "layer of an " OCI_WHAT,
				      .failure = oci->failure};
	struct archive_entry *entry;
	int rc;

	if (!from.archive)
		return failure_errno(oci->failure, -ENOMEM, "%s", path);
	/* An empty tar, of which images have many, is not told from an empty
	 * file otherwise. */
	archive_read_support_format_empty(from.archive);
	if (archive_read_open(from.archive, layer, NULL, oci_layer_read,
			      NULL) != ARCHIVE_OK) {
		rc = import_archive_bad(&from, NULL);
		archive_read_free(from.archive);
		return rc;
	}
	while ((rc = import_archive_next(&from, &entry)) > 0) {
		rc = import_archive_layer_entry(&from, oci->import, entry);
		if (rc < 0)
			break;
	}
	if (rc == 0 && oci_layer_rest(layer, from.archive) < 0)
		rc = failure_errno(oci->failure, layer->error, "%s", path);
	archive_read_free(from.archive);
	return rc;
}

static int oci_layer(struct oci *oci, const json_t *descriptor)
{
	CLEANUP(oci_layer_close) struct oci_layer layer = {.fd = -1};
	CLEANUP_FREE char *path = NULL;
	struct digest want, got;
	int rc;

	if (!strstr(oci_text(descriptor, "mediaType"), "tar"))
		return failure_set(oci->failure, -ENOTSUP, CONTROL_EXIT_FAILED,
				   "%s: a layer is of media type \"%s\", not "
				   "a tar",
				   oci->dir, oci_text(descriptor, "mediaType"));
	rc = oci_blob_path(oci, descriptor, &want, &path);
	if (rc == 0)
		rc = import_origin(oci->import, path);
	if (rc < 0)
		return rc;
	layer.block = malloc(OCI_BLOCK);
	layer.digest = digest_ctx_new();
	if (!layer.block || !layer.digest)
		return failure_errno(oci->failure, -ENOMEM, "%s", path);
	layer.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (layer.fd < 0)
		return failure_errno(oci->failure, -errno, "cannot read %s",
				     path);
	rc = oci_layer_take(oci, &layer, path);
	if (rc < 0)
		return rc;
	got = digest_ctx_end(STEAL(layer.digest));
	if (!digest_equal(&got, &want))
		return oci_bad(oci, path, "not what its name says");
	return 0;
}

/* --- which image --------------------------------------------------------- */

/* GOARCH names, as images use them. */
static const char *oci_architecture(void)
{
	static struct utsname name;

	if (uname(&name) < 0)
		return "";
	if (strcmp(name.machine, "x86_64") == 0)
		return "amd64";
	if (strcmp(name.machine, "aarch64") == 0)
		return "arm64";
	return name.machine;
}

static bool oci_wanted(const struct oci *oci, const json_t *row,
		       unsigned int depth)
{
	const json_t *platform = json_object_get(row, "platform");
	const char *name =
	    oci_text(json_object_get(row, "annotations"), OCI_REF_NAME);

	if (depth == 0 && oci->reference && strcmp(name, oci->reference) != 0)
		return false;
	return !platform || (strcmp(oci_text(platform, "architecture"),
				    oci_architecture()) == 0 &&
			     strcmp(oci_text(platform, "os"), "linux") == 0);
}

/* No image, or too many to choose: says which there are. */
static int oci_choose_refuse(const struct oci *oci, const json_t *rows,
			     size_t matching)
{
	json_t *names = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *name =
		    oci_text(json_object_get(row, "annotations"), OCI_REF_NAME);

		if (*name)
			json_array_append_new(names, json_string(name));
	}
	failure_set(oci->failure, -ENOENT, CONTROL_EXIT_MISSING,
		    matching > 1 ? "%s holds several images"
				 : "%s holds no such image for this machine",
		    oci->dir);
	failure_hint(oci->failure, "try: oci:%s:NAME", oci->dir);
	oci->failure->details = names;
	return -ENOENT;
}

static int oci_manifest(const struct oci *oci, const json_t *index,
			unsigned int depth, json_t **manifest)
{
	const json_t *rows = json_object_get(index, "manifests"), *row;
	const json_t *found = NULL;
	size_t i, matching = 0;
	json_t *json;
	int rc;

	json_array_foreach(rows, i, row)
	{
		if (!oci_wanted(oci, row, depth))
			continue;
		found = row;
		matching++;
	}
	/* Below an index several may be of one platform: the first counts. */
	if (matching == 0 || (matching > 1 && depth == 0))
		return oci_choose_refuse(oci, rows, matching);
	rc = oci_json(oci, found, &json);
	if (rc < 0)
		return rc;
	if (!json_object_get(json, "manifests")) {
		*manifest = json;
		return 0;
	}
	rc = depth < OCI_INDEX_DEPTH_MAX
		 ? oci_manifest(oci, json, depth + 1, manifest)
		 : oci_bad(oci, "index.json", "too many indexes in indexes");
	json_decref(json);
	return rc;
}

static int oci_open(const struct oci *oci, json_t **index)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FREE void *text = NULL;
	size_t len;
	int rc;

	if (asprintf(&path, "%s/index.json", oci->dir) < 0)
		return failure_errno(oci->failure, -ENOMEM, "%s", oci->dir);
	rc = oci_read(oci, path, &text, &len);
	if (rc < 0) {
		failure_hint(oci->failure,
			     "try: skopeo copy docker-archive:FILE oci:DIR");
		return rc;
	}
	return oci_parse(oci, path, text, len, index);
}

static int oci_take(struct oci *oci, const json_t *manifest,
		    struct oci_result *result)
{
	const json_t *layers = json_object_get(manifest, "layers"), *row;
	json_t *config;
	uint64_t total = 0;
	size_t i;
	int rc;

	if (json_array_size(layers) > OCI_LAYERS_MAX)
		return oci_bad(oci, "manifest", "too many layers");
	rc = oci_json(oci, json_object_get(manifest, "config"), &config);
	if (rc < 0)
		return rc;
	result->config = json_incref(json_object_get(config, "config"));
	json_decref(config);
	json_array_foreach(layers, i, row) total +=
	    (uint64_t)json_integer_value(json_object_get(row, "size"));
	import_set_total(oci->import, total);
	json_array_foreach(layers, i, row)
	{
		output_verbose(oci->out, "layer %zu of %zu", i + 1,
			       json_array_size(layers));
		rc = oci_layer(oci, row);
		if (rc < 0)
			return rc;
		result->layers++;
	}
	return 0;
}

int import_oci(struct import *import, const char *dir, const char *reference,
	       struct output *out, struct failure *failure,
	       struct oci_result *result)
{
	struct oci oci = {.import = import,
			  .out = out,
			  .failure = failure,
			  .dir = dir,
			  .reference = reference};
	json_t *index, *manifest = NULL;
	int rc;

	memset(result, 0, sizeof(*result));
	import_layers(import);
	rc = oci_open(&oci, &index);
	if (rc < 0)
		return rc;
	rc = oci_manifest(&oci, index, 0, &manifest);
	json_decref(index);
	if (rc == 0)
		rc = oci_take(&oci, manifest, result);
	json_decref(manifest);
	return rc;
}
