/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_access: how guests are told apart, through the admin API: parameters
 * addr, listen and secret, and the listening addresses themselves.
 *
 * A listening address is opened before the guest is changed, so that one that
 * cannot be opened changes nothing, and served afterwards.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "nfsd/control_request.h"
#include "nfsd/export.h"
#include "nfsd/listen.h"
#include "nfsd/server.h"
#include "overlay/site.h"

enum { CONTROL_ADDR_MAX = 63, CONTROL_WISHES_MAX = 65536 };

/* Empty: any address. */
static int control_access_addr(struct control_request *req, const char *text,
			       const char **addr)
{
	unsigned char buf[sizeof(struct in6_addr)];

	*addr = *text ? text : NULL;
	if (!*addr || (strlen(text) <= CONTROL_ADDR_MAX &&
		       (inet_pton(AF_INET, text, buf) == 1 ||
			inet_pton(AF_INET6, text, buf) == 1)))
		return 0;
	return control_refuse(req, -EINVAL, "--addr 10.20.0.11",
			      "\"%s\" is no IPv4 or IPv6 address", text);
}

/* Empty: none. */
static int control_access_listen(struct control_request *req, const char *text,
				 struct control_access *access)
{
	access->listens = *text != '\0';
	access->options.listen = (struct site_listen){.port = 0};
	if (!*text || listen_parse(text, &access->options.listen))
		return 0;
	return control_refuse(req, -EINVAL, "--listen 10.20.0.1:2051",
			      "\"%s\" is no IP address and port", text);
}

static int control_access_secret(struct control_request *req, const char *text,
				 struct control_access *access)
{
	access->fresh = strcmp(text, "new") == 0;
	access->options.has_secret = access->fresh || strcmp(text, "1") == 0;
	if (access->options.has_secret || strcmp(text, "0") == 0)
		return 0;
	return control_refuse(req, -EINVAL, NULL,
			      "%s: parameter \"secret\" must be 0, 1 or new",
			      req->route->path);
}

int control_param_access(struct control_request *req,
			 const struct site_access *now,
			 struct control_access *access)
{
	const char *addr = control_param_text(req, "addr");
	const char *listen = control_param_text(req, "listen");
	const char *secret = control_param_text(req, "secret");
	int rc = 0;

	if (now) {
		access->options.addr = now->addr;
		access->options.listen = now->listen;
		access->options.has_secret = now->has_secret;
		access->listens = now->listen.port != 0;
	}
	if (addr)
		rc = control_access_addr(req, addr, &access->options.addr);
	if (rc == 0 && listen)
		rc = control_access_listen(req, listen, access);
	if (rc == 0 && secret)
		rc = control_access_secret(req, secret, access);
	return rc;
}

/* --- listening addresses ------------------------------------------------- */

const char *control_listen_hint(int rc)
{
	switch (rc) {
	case -EADDRINUSE:
		return "another port; ss -ltnp shows who has this one";
	case -EADDRNOTAVAIL:
		return "an address of this host; ip addr shows them";
	case -EACCES:
		return "a port above 1023";
	default:
		return NULL;
	}
}

bool control_listen_same(const struct site_listen *a,
			 const struct site_listen *b)
{
	return a->port == b->port && memcmp(a->addr, b->addr, 16) == 0;
}

int control_listen_open(struct control_request *req, const char *name,
			const struct site_access *now,
			struct control_access *access)
{
	struct site_listen *at = &access->options.listen;
	struct server *server = req->control->daemon.server;
	int rc;

	if (!access->listens || !server)
		return 0;
	/* Any port: the one that it has. */
	if (now && now->listen.port && at->port == 0 &&
	    memcmp(now->listen.addr, at->addr, 16) == 0)
		at->port = now->listen.port;
	if (now && control_listen_same(&now->listen, at))
		return 0;
	rc = listeners_open(server_listeners(server), at, &access->listener);
	if (rc < 0)
		return control_fail(req, rc, control_listen_hint(rc),
				    "guest %s cannot have that listening "
				    "address",
				    name);
	return 0;
}

void control_listen_end(struct control_request *req, const char *name, int rc,
			struct control_access *access)
{
	struct server *server = req->control->daemon.server;
	struct site_guest_info info;

	if (!access->listener)
		return;
	if (rc == 0 && control_guest_find(req, name, &info) == 0)
		listeners_serve(server_listeners(server),
				STEAL(access->listener), info.access.export_id);
	listeners_drop(server_listeners(server), STEAL(access->listener));
}

const char *control_access_hint(int rc)
{
	return rc == -ENOTUNIQ
		   ? "--addr ADDRESS, --listen ADDRESS:PORT or --secret-path "
		     "for each of them (vdrive guest set changes one that is "
		     "there); or nfs.trust-paths = yes, where all guests are "
		     "trusted"
		   : NULL;
}

/* --- what is answered ---------------------------------------------------- */

int control_access_json(struct control_request *req, const char *name,
			const struct site_access *access, json_t *json)
{
	char path[EXPORT_SECRET_PATH_LEN + 1], text[LISTEN_TEXT_MAX] = "";
	struct site_secret secret;
	int rc = 0;

	if (access->listen.port != 0)
		listen_format(&access->listen, text);
	if (json_object_set_new(json, "addr", json_string(access->addr)) < 0 ||
	    json_object_set_new(json, "listen", json_string(text)) < 0 ||
	    json_object_set_new(json, "secret",
				json_boolean(access->has_secret)) < 0)
		return -ENOMEM;
	if (!name || !access->has_secret)
		return 0;
	rc = site_guest_secret(req->control->daemon.site, name, &secret);
	if (rc < 0)
		return rc;
	export_secret_path(&secret, path);
	return json_object_set_new(json, "secret_path", json_string(path)) < 0
		   ? -ENOMEM
		   : 0;
}

int control_access_answer(struct control_request *req, const char *schema,
			  const char *name)
{
	struct site_guest_info info;
	json_t *json;
	int rc = control_guest_find(req, name, &info);

	if (rc < 0)
		return rc;
	json = json_pack("{s:s, s:s}", "schema", schema, "guest", name);
	if (!json)
		return -ENOMEM;
	rc = control_access_json(req, name, &info.access, json);
	if (rc == 0)
		return control_answer(req, json);
	json_decref(json);
	return rc;
}

/* --- handlers ------------------------------------------------------------ */

/* Durable: the old address is nobody's, the new one its own, and who is
 * connected decides anew. */
static void control_access_switch(struct control_request *req, const char *name,
				  const struct site_access *before,
				  struct control_access *access)
{
	struct server *server = req->control->daemon.server;
	uint32_t export_id = before->export_id;

	if (!server)
		return;
	if (!control_listen_same(&before->listen, &access->options.listen))
		listeners_close(server_listeners(server), export_id);
	control_listen_end(req, name, 0, access);
	server_close_export(server, export_id);
}

int control_guest_access(struct control_request *req)
{
	struct control_access access = {.listens = false};
	struct site_guest_info info;
	const char *name;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_guest_find(req, name, &info);
	if (rc == 0)
		rc = control_param_access(req, &info.access, &access);
	if (rc == 0)
		rc = control_listen_open(req, name, &info.access, &access);
	if (rc < 0)
		return rc;
	rc = site_guest_set_access(req->control->daemon.site, name,
				   &access.options, access.fresh);
	if (rc < 0) {
		control_fail(req, rc, control_access_hint(rc),
			     "cannot set guest %s", name);
		control_listen_end(req, name, rc, &access);
		return rc;
	}
	control_access_switch(req, name, &info.access, &access);
	return control_access_answer(req, "guest-access/1", name);
}

static int control_wish(struct control_request *req, const json_t *row,
			struct site_guest_wish *wish)
{
	const char *listen = "";
	int gone = 0, secret = 0;

	*wish = (struct site_guest_wish){.gone = false};
	if (json_unpack((json_t *)(uintptr_t)row, "{s:s, s:b, s:s, s:s, s:b}",
			"guest", &wish->name, "gone", &gone, "addr",
			&wish->options.addr, "listen", &listen, "secret",
			&secret) < 0)
		return control_refuse(req, -EINVAL, NULL,
				      "%s: each is guest, gone, addr, listen "
				      "and secret",
				      req->route->path);
	wish->gone = gone;
	wish->options.has_secret = secret;
	if (!*listen || (listen_parse(listen, &wish->options.listen) &&
			 wish->options.listen.port != 0))
		return 0;
	return control_refuse(req, -EINVAL, "--listen 10.20.0.1:2051",
			      "\"%s\" is no IP address and port", listen);
}

void control_wishes_clear(struct control_wishes *wishes)
{
	json_decref(wishes->list);
	free(wishes->wish);
}

int control_wishes_read(struct control_request *req,
			struct control_wishes *wishes)
{
	json_t *list =
	    json_loadb((const char *)req->body, req->body_len, 0, NULL);
	size_t count = json_array_size(list);
	int rc = 0;

	*wishes = (struct control_wishes){.list = list};
	if (!json_is_array(list) || count > CONTROL_WISHES_MAX)
		return control_refuse(req, -EINVAL, NULL,
				      "%s: the body is no list of at most %d "
				      "guests",
				      req->route->path, CONTROL_WISHES_MAX);
	wishes->wish = calloc(count + 1, sizeof(*wishes->wish));
	if (!wishes->wish)
		return -ENOMEM;
	wishes->count = (unsigned int)count;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = control_wish(req, json_array_get(list, i),
				  &wishes->wish[i]);
	return rc;
}

int control_guest_check(struct control_request *req)
{
	CLEANUP(control_wishes_clear) struct control_wishes wishes = {0};
	int rc = control_wishes_read(req, &wishes);

	if (rc < 0)
		return rc;
	rc = site_guests_check(req->control->daemon.site, wishes.wish,
			       wishes.count);
	if (rc < 0)
		return control_fail(req, rc, control_access_hint(rc), "guests");
	return control_answer(req,
			      json_pack("{s:s}", "schema", "guest-check/1"));
}

int control_guest_secret(struct control_request *req)
{
	const char *name;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	return rc < 0 ? rc : control_access_answer(req, "guest-secret/1", name);
}
