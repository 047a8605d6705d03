/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount3: MOUNT version 3 (RFC 1813 appendix I): MNT DUMP UMNT UMNTALL EXPORT.
 *
 * Nothing is remembered of who mounted what: the handle is the mount.  So DUMP
 * is empty and UMNT always succeeds.
 */
#include "nfsd/handlers.h"

#include <sys/stat.h>

#include "nfsd/fh.h"
#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"

enum {
	MOUNT3_COMPONENTS_MAX = 128,
	MOUNT3_LIST_MAX = 60 << 10, /* bytes of EXPORT's answer */
	MOUNT3_FLAVOR_SYS = 1,
};

struct mount3_name {
	const char *bytes;
	size_t len;
};

/* The components of an absolute path; repeated and trailing slashes say
 * nothing.  -EINVAL: relative, a NUL, or "..", which would lead out. */
static int mount3_split(const dirpath3 *path, struct mount3_name *names,
			unsigned int *count)
{
	const char *p = (const char *)path->bytes, *end = p + path->len;

	*count = 0;
	if (path->len > MNTPATHLEN)
		return -ENAMETOOLONG;
	if (path->len == 0 || *p != '/' || memchr(p, '\0', path->len))
		return -EINVAL;
	while (p < end) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t len = (size_t)((slash ? slash : end) - p);

		if ((len == 1 && p[0] == '.') ||
		    (len == 2 && p[0] == '.' && p[1] == '.'))
			return -EINVAL;
		if (len > VIEW_NAME_MAX || *count == MOUNT3_COMPONENTS_MAX)
			return -ENAMETOOLONG;
		if (len > 0)
			names[(*count)++] = (struct mount3_name){p, len};
		p = slash ? slash + 1 : end;
	}
	return 0;
}

/* Down from the root, symbolic links not followed. */
static int mount3_walk(struct call *call, const struct export_view *export,
		       const struct mount3_name *names, unsigned int count,
		       struct view_object *obj)
{
	struct view_attr attr, dir_attr;
	struct view_cred cred;
	int rc;

	call_squash(call, export->info, &cred);
	*obj = view_root(export->view);
	for (unsigned int i = 0; i < count; i++) {
		rc = view_lookup(export->view, &cred, *obj, names[i].bytes,
				 names[i].len, &attr, &dir_attr);
		if (rc < 0)
			return rc;
		if (!S_ISDIR(attr.mode))
			return -ENOTDIR;
		*obj = (struct view_object){.fileid = attr.fileid,
					    .generation = attr.generation};
	}
	return 0;
}

static int mount3_export_of(struct call *call, const char *path,
			    struct export_view *export)
{
	struct export_client *client = &call->peer->client;
	struct site *site = call->rpc->site;
	struct site_secret secret;

	if (export_secret_parse(path, &secret) &&
	    export_of_secret(client, site, &secret, export) == 0)
		return 0;
	return export_of_path(client, site, path, export);
}

static int mount3_find(struct call *call, struct export_view *export,
		       struct view_object *obj)
{
	struct mount3_name names[MOUNT3_COMPONENTS_MAX];
	char path[SITE_EXPORT_PATH_MAX];
	unsigned int count;
	int rc;

	rc = mount3_split(&call->args.mnt.dirpath, names, &count);
	if (rc < 0)
		return rc;
	if (count < 2 || names[0].len > PACKAGE_NAME_MAX ||
	    names[1].len > PACKAGE_NAME_MAX)
		return -ENOENT;
	path[0] = '/';
	memcpy(path + 1, names[0].bytes, names[0].len);
	path[1 + names[0].len] = '/';
	memcpy(path + 2 + names[0].len, names[1].bytes, names[1].len);
	path[2 + names[0].len + names[1].len] = '\0';
	rc = mount3_export_of(call, path, export);
	if (rc < 0)
		return rc;
	return mount3_walk(call, export, names + 2, count - 2, obj);
}

static mountstat3 mount3_status(int rc)
{
	switch (-rc) {
	case ENOENT:
		return MNT3ERR_NOENT;
	case EACCES:
		return MNT3ERR_ACCES;
	case ENOTDIR:
		return MNT3ERR_NOTDIR;
	case EINVAL:
		return MNT3ERR_INVAL;
	case ENAMETOOLONG:
		return MNT3ERR_NAMETOOLONG;
	default:
		return MNT3ERR_IO;
	}
}

/* RFC 1813 section 5.2.1 */
int mount3_mnt(struct call *call)
{
	struct view_object obj;
	struct export_view export;
	uint8_t *p;
	int rc;

	rc = mount3_find(call, &export, &obj);
	if (rc == -ESHUTDOWN || (rc == 0 && view_is_paused(export.view)))
		return -ESHUTDOWN;
	if (rc < 0) {
		call->end = put_u32(call->body, mount3_status(rc));
		return 0;
	}
	view_mounted(export.view);
	p = put_u32(call->body, MNT3_OK);
	p = put_u32(p, FH_LEN);
	fh_make(export.info, obj, p);
	p = put_u32(p + FH_LEN, 1); /* flavours */
	call->end = put_u32(p, MOUNT3_FLAVOR_SYS);
	return 0;
}

/* RFC 1813 section 5.2.2 */
int mount3_dump(struct call *call)
{
	call->end = put_u32(call->body, false); /* no more entries */
	return 0;
}

/* RFC 1813 section 5.2.3, 5.2.4 */
int mount3_umnt(struct call *call)
{
	call->end = call->body;
	return 0;
}

struct mount3_exports {
	const struct export_client *client;
	uint8_t *p, *limit;
};

static int mount3_visit(void *ctx, const struct site_guest_info *guest)
{
	struct mount3_exports *exports = ctx;
	char path[SITE_EXPORT_PATH_MAX];
	uint8_t *p = exports->p;
	size_t tenant_len = strlen(guest->tenant);
	size_t guest_len = strlen(guest->guest);
	size_t addr_len = strlen(guest->access.addr);

	if (!export_allows(exports->client, &guest->access, true))
		return 0;
	if (exports->limit - p < 32 + SITE_EXPORT_PATH_MAX + 64)
		return 1;
	path[0] = '/';
	memcpy(path + 1, guest->tenant, tenant_len);
	path[1 + tenant_len] = '/';
	memcpy(path + 2 + tenant_len, guest->guest, guest_len);
	p = put_u32(p, true);
	p = put_opaque(p, path, 2 + tenant_len + guest_len);
	if (addr_len > 0) {
		p = put_u32(p, true);
		p = put_opaque(p, guest->access.addr, addr_len);
	}
	exports->p = put_u32(p, false); /* no more groups */
	return 0;
}

/* RFC 1813 section 5.2.5: only what this client may mount by its name; secret
 * paths are told to nobody. */
int mount3_export(struct call *call)
{
	struct mount3_exports exports = {
	    .client = &call->peer->client,
	    .p = call->body,
	    .limit = call->body + MOUNT3_LIST_MAX,
	};

	if (site_guest_list(call->rpc->site, mount3_visit, &exports) < 0)
		exports.p = call->body;
	call->end = put_u32(exports.p, false);
	return 0;
}
