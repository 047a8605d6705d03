/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_access_all: several guests are told apart in other ways at once, so
 * that they may change places.
 *
 * In phases: who they are now -> listening addresses that nobody has are opened
 * (one that cannot be changes nothing) -> all records in one durable batch ->
 * sockets go from guest to guest, without a moment in which nobody listens ->
 * who is connected decides anew.
 */
#include <stdio.h>

#include "nfsd/control_request.h"
#include "nfsd/listen.h"
#include "nfsd/server.h"
#include "overlay/site.h"

struct all_guest {
	struct site_access now;
	bool moves;                /* it shall listen elsewhere, or nowhere */
	bool inherits;             /* there one of the others listens now */
	struct listener *listener; /* owns; open, and not served yet */
};

struct all_guests {
	struct control_request *req;
	struct control_wishes wishes;
	struct all_guest *guest;   /* owns; of each wish */
	struct listen_heir *heirs; /* owns */
	unsigned int heir_count;
};

static void all_clear(struct all_guests *all)
{
	struct server *server = all->req->control->daemon.server;

	for (unsigned int i = 0; all->guest && i < all->wishes.count; i++)
		if (all->guest[i].listener)
			listeners_drop(server_listeners(server),
				       all->guest[i].listener);
	free(all->guest);
	free(all->heirs);
	control_wishes_clear(&all->wishes);
}

static int all_look(struct all_guests *all)
{
	struct site *site = all->req->control->daemon.site;
	char path[SITE_EXPORT_PATH_MAX];

	for (unsigned int i = 0; i < all->wishes.count; i++) {
		const struct site_guest_wish *wish = &all->wishes.wish[i];
		struct all_guest *guest = &all->guest[i];
		struct view *view = NULL;

		if (snprintf(path, sizeof(path), "/%s", wish->name) <
		    (int)sizeof(path))
			view = site_view_by_path(site, path);
		if (!view || !site_access(site, view_get_info(view)->export_id,
					  &guest->now))
			return control_refuse(
			    all->req, -ENOENT, "vdrive guest list",
			    "there is no guest %s", wish->name);
		guest->moves = !control_listen_same(&guest->now.listen,
						    &wish->options.listen);
	}
	return 0;
}

/* Who gets which of the addresses that are listened on for them now. */
static void all_inherit(struct all_guests *all)
{
	for (unsigned int i = 0; i < all->wishes.count; i++) {
		const struct site_access *now = &all->guest[i].now;
		struct listen_heir *heir = &all->heirs[all->heir_count];

		if (!all->guest[i].moves || now->listen.port == 0)
			continue;
		*heir = (struct listen_heir){.from = now->export_id};
		all->heir_count++;
		for (unsigned int k = 0; k < all->wishes.count; k++) {
			struct site_listen *at =
			    &all->wishes.wish[k].options.listen;

			if (!all->guest[k].moves ||
			    !control_listen_same(&now->listen, at))
				continue;
			all->guest[k].inherits = true;
			heir->to = all->guest[k].now.export_id;
		}
	}
}

static int all_open(struct all_guests *all)
{
	struct server *server = all->req->control->daemon.server;

	for (unsigned int i = 0; server && i < all->wishes.count; i++) {
		struct site_guest_wish *wish = &all->wishes.wish[i];
		struct all_guest *guest = &all->guest[i];
		int rc;

		if (!guest->moves || guest->inherits ||
		    wish->options.listen.port == 0)
			continue;
		rc = listeners_open(server_listeners(server),
				    &wish->options.listen, &guest->listener);
		if (rc < 0)
			return control_fail(all->req, rc,
					    control_listen_hint(rc),
					    "guest %s cannot have that "
					    "listening address",
					    wish->name);
	}
	return 0;
}

/* It is durable. */
static void all_switch(struct all_guests *all)
{
	struct server *server = all->req->control->daemon.server;

	if (!server)
		return;
	listeners_pass(server_listeners(server), all->heirs, all->heir_count);
	for (unsigned int i = 0; i < all->wishes.count; i++) {
		struct all_guest *guest = &all->guest[i];

		if (guest->listener)
			listeners_serve(server_listeners(server),
					STEAL(guest->listener),
					guest->now.export_id);
		server_close_export(server, guest->now.export_id);
	}
}

int control_guests_access(struct control_request *req)
{
	CLEANUP(all_clear) struct all_guests all = {.req = req};
	unsigned int count;
	int rc = control_wishes_read(req, &all.wishes);

	if (rc < 0)
		return rc;
	count = all.wishes.count;
	all.guest = calloc(count + 1, sizeof(*all.guest));
	all.heirs = calloc(count + 1, sizeof(*all.heirs));
	if (!all.guest || !all.heirs)
		return -ENOMEM;
	rc = all_look(&all);
	if (rc < 0)
		return rc;
	all_inherit(&all);
	rc = all_open(&all);
	if (rc < 0)
		return rc;
	rc = site_guests_set_access(req->control->daemon.site, all.wishes.wish,
				    count);
	if (rc < 0)
		return control_fail(req, rc, control_access_hint(rc),
				    "cannot set %u guests", count);
	all_switch(&all);
	return control_answer(req, json_pack("{s:s, s:I}", "schema",
					     "guests-access/1", "guests",
					     (json_int_t)count));
}
