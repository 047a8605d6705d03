/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply_file: what tenants, guests, upstreams and entitlements shall be, as
 * text; vdrive-apply(8) is the manual.
 *
 *	; a comment, as is # at the beginning of a line
 *	[tenant red]
 *	quota = 2G
 *	packages = python3:3.11.2, postgresql:stable
 *	[guest red/vm1]
 *	addr = 10.20.0.11
 *	[upstream lab]
 *	url = http://depot.example/
 *	[package postgresql]
 *	entitled = red, blue
 *
 * The form is vdrive.conf's.  It is read here and not by libinih, which cuts
 * names of sections at 49 bytes (a guest's may have 127) and does not tell of a
 * section without keys, which is a guest like any other.
 *
 * Everything a file can say wrongly by itself is found here: sections and keys
 * that there are not, objects and keys given twice, values out of form.  What
 * has to be known of the host is cmd_apply's business.  Pure.
 */
#ifndef ADMIN_APPLY_FILE_H
#define ADMIN_APPLY_FILE_H

#include "depot/base.h"
#include "depot/depot.h"

enum {
	APPLY_FILE_MAX = 4 << 20,
	APPLY_NAME_MAX = 2 * PACKAGE_NAME_MAX + 1,
	APPLY_ERROR_MAX = 512,
	APPLY_PACKAGES_MAX = 64, /* of a tenant */
};

enum apply_kind {
	APPLY_TENANT,
	APPLY_GUEST,
	APPLY_UPSTREAM,
	APPLY_PACKAGE,
	APPLY_KINDS,
};

enum apply_key {
	APPLY_QUOTA,       /* bytes as digits; 0: none */
	APPLY_QUOTA_FILES, /* likewise */
	APPLY_PACKAGES,    /* references, one a line */
	APPLY_ORDER,       /* "1" or "0", as all that is yes or no */
	APPLY_ADDR,        /* in its one spelling; "": any */
	APPLY_LISTEN,      /* "": none */
	APPLY_SECRET_PATH,
	APPLY_DEVICES,
	APPLY_ROOT_SQUASH,
	APPLY_WHITEOUTS,
	APPLY_URL,
	APPLY_UNSIGNED,
	APPLY_KEY,
	APPLY_CREDENTIALS,
	APPLY_ENDPOINT,
	APPLY_REGION,
	APPLY_CA,
	APPLY_PROXY,
	APPLY_PRIORITY,
	APPLY_ENTITLED, /* as the daemon takes it: "all", "none", "red,blue" */
	APPLY_KEYS,
};

struct apply_object {
	enum apply_kind kind;
	unsigned int line; /* of its section */
	char name[APPLY_NAME_MAX + 1];
	char *value[APPLY_KEYS]; /* owns; NULL: not given */
};

struct apply_file {
	struct apply_object *object; /* owns; in the file's order */
	unsigned int count;
	char error[APPLY_ERROR_MAX]; /* "NAME:LINE: ..." */
};

/* Take a text apart; `name` is for the error.  -EINVAL: file->error says what;
 * -ENOMEM. */
MUST_CHECK int apply_file_parse(struct apply_file *file, const char *name,
				const char *text);
void apply_file_clear(struct apply_file *file); /* also of a failed parse */

/* Borrowed from the file; NULL: it has none. */
const struct apply_object *apply_file_find(const struct apply_file *file,
					   enum apply_kind kind,
					   const char *name);

/* "tenant", "quota-files": as they are written. */
const char *apply_kind_name(enum apply_kind kind);
const char *apply_key_name(enum apply_key key);
/* Is it yes or no? */
bool apply_key_is_yes(enum apply_key key);

#endif
