/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: rights per connection.
 */
#include "nfsd/export.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "depot/digest.h"
#include "nfsd/fh.h"

static void export_map_v4(const struct in_addr *v4, uint8_t addr[16])
{
	memset(addr, 0, 10);
	memset(addr + 10, 0xff, 2);
	memcpy(addr + 12, v4, 4);
}

void export_client_init(struct export_client *client,
			const struct sockaddr *addr)
{
	*client = (struct export_client){.count = 0};
	if (addr->sa_family == AF_INET)
		export_map_v4(&((const struct sockaddr_in *)addr)->sin_addr,
			      client->addr);
	else if (addr->sa_family == AF_INET6)
		memcpy(client->addr,
		       &((const struct sockaddr_in6 *)addr)->sin6_addr, 16);
}

bool export_client_has(const struct export_client *client, uint32_t export_id)
{
	for (unsigned int i = 0; i < client->count; i++)
		if (client->seen[i].info->export_id == export_id)
			return true;
	return false;
}

bool export_addr_matches(const struct export_client *client, const char *addr)
{
	uint8_t want[16];
	struct in_addr v4;

	if (addr[0] == '\0')
		return true;
	if (inet_pton(AF_INET, addr, &v4) == 1)
		export_map_v4(&v4, want);
	else if (inet_pton(AF_INET6, addr, want) != 1)
		return false;
	return memcmp(want, client->addr, sizeof(want)) == 0;
}

bool export_allows(const struct export_client *client,
		   const struct site_access *access, bool by_name)
{
	uint32_t listener = access->listen.port ? access->export_id : 0;

	return client->listener == listener &&
	       export_addr_matches(client, access->addr) &&
	       !(by_name && access->has_secret);
}

/* Decide, and remember; the oldest decision makes room. */
static struct export_view *export_decide(struct export_client *client,
					 struct site *site, struct view *view)
{
	struct site_access access;
	struct export_view *export = &client->seen[client->next];

	client->next = (client->next + 1) % EXPORT_CLIENT_MAX;
	client->count = MIN(client->count + 1, (unsigned)EXPORT_CLIENT_MAX);
	export->view = view;
	export->info = view_get_info(view);
	export->allowed = site_access(site, export->info->export_id, &access) &&
			  export_allows(client, &access, false);
	return export;
}

/* NULL: there is no such export. */
static struct export_view *export_by_id(struct export_client *client,
					struct site *site, uint32_t export_id)
{
	struct view *view;

	for (unsigned int i = 0; i < client->count; i++)
		if (client->seen[i].info->export_id == export_id)
			return &client->seen[i];
	view = site_view_by_id(site, export_id);
	return view ? export_decide(client, site, view) : NULL;
}

int export_of_handle(struct export_client *client, struct site *site,
		     const uint8_t *fh, size_t fh_len,
		     struct export_view *export, struct view_object *obj)
{
	static const uint8_t nobodys_key[SIPHASH_KEY_LEN];
	struct export_view *found;
	struct fh parsed;
	bool proved;
	int rc;

	rc = fh_parse(fh, fh_len, &parsed);
	if (rc < 0)
		return rc;
	found = export_by_id(client, site, parsed.export_id);
	proved = fh_proved(fh, found ? found->info->key : nobodys_key);
	if (!found || !proved || !found->allowed)
		return -EBADF;
	*export = *found;
	*obj = parsed.obj;
	return 0;
}

int export_of_path(struct export_client *client, struct site *site,
		   const char *path, struct export_view *export)
{
	struct view *view = site_view_by_path(site, path);
	struct site_access access;

	if (!view)
		return -EACCES;
	*export = *export_decide(client, site, view);
	return export->allowed &&
		       site_access(site, export->info->export_id, &access) &&
		       !access.has_secret
		   ? 0
		   : -EACCES;
}

static const char export_secret_dir[] = "/s/";

void export_secret_path(const struct site_secret *secret,
			char path[EXPORT_SECRET_PATH_LEN + 1])
{
	strcpy(path, export_secret_dir);
	hex_write(secret->bytes, sizeof(secret->bytes),
		  path + sizeof(export_secret_dir) - 1);
}

bool export_secret_parse(const char *path, struct site_secret *secret)
{
	const char *hex = path + sizeof(export_secret_dir) - 1;

	return strncmp(path, export_secret_dir,
		       sizeof(export_secret_dir) - 1) == 0 &&
	       hex_read(hex, strlen(hex), secret->bytes,
			sizeof(secret->bytes)) == 0;
}

int export_of_secret(struct export_client *client, struct site *site,
		     const struct site_secret *secret,
		     struct export_view *export)
{
	struct view *view = site_view_by_secret(site, secret);

	if (!view)
		return -EACCES;
	*export = *export_decide(client, site, view);
	return export->allowed ? 0 : -EACCES;
}
