/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture: what a program has changed over a base, found by comparing the
 * overlay's upper directory (sandbox.h) with the base, path by path.
 *
 * A file that was only copied up, and is the same in content and attributes, is
 * no change; a socket is as a name that is not there.  Facts are read out of
 * files only, never through a link: it would lead to this host's.  Rules of
 * noise (capture_noise.c) mark files, never directories: logs, caches, machine
 * ids, what belongs to a machine or a moment.
 *
 * Times of what was made during the capture are not the software's: they are
 * set to the newest time that the software brought along, so that two captures
 * of one installer differ only where the installer itself does.
 */
#ifndef ADMIN_CAPTURE_H
#define ADMIN_CAPTURE_H

#include <jansson.h>
#include <sys/stat.h>

#include "admin/output.h"
#include "depot/base.h"

enum capture_letter {
	CAPTURE_ADDED = 'A',
	CAPTURE_MODIFIED = 'M', /* content or type */
	CAPTURE_META = 'm',     /* mode, owner, attributes only */
	CAPTURE_DELETED = 'D',
	CAPTURE_WAY = '.', /* a directory on the way to a change */
};

struct capture_row {
	char letter;       /* enum capture_letter */
	bool opaque;       /* directory that hides the base's */
	const char *noise; /* borrows; the rule, NULL: none */
	struct stat st;    /* in upper; of deleted ones in the base */
	char *path;        /* owns */
};

struct capture {
	struct capture_row *rows; /* owns; in order of paths */
	size_t count, cap;
	struct timespec newest; /* see above */
	uint64_t unchanged;     /* copied up for nothing */
	uint64_t base_count;    /* objects of the base */
	json_t *records;        /* owns; capture_records.c */
	char base_id[160];      /* "debian-12 sha256:HEX", "" when unknown */
};

struct capture_options {
	const char *upper, *base; /* borrow */
	struct timespec started;  /* nothing of the software is newer */
	const char *const *keep;  /* patterns that are no noise; NULL-ended */
	const char *const *leave; /* patterns that are; may be NULL */
};

/* Fills *capture, which capture_clear() ends whatever the result.  Errors of
 * reading, said in failure. */
MUST_CHECK int capture_compare(const struct capture_options *options,
			       struct capture *capture,
			       struct failure *failure);
void capture_clear(struct capture *capture);

/* The rule that makes `path` noise, or NULL.  patterns: "*" does not cross a
 * "/", "**" does. */
const char *capture_noise(const struct capture_options *options,
			  const char *path);
bool capture_match(const char *pattern, const char *path);

/*
 * The name of an operating system: "ID-VERSION sha256:HEX" by the text of its
 * usr/lib/os-release, and what its var/lib/dpkg/status has of packages and
 * their versions; "" without an ID.  -ENOMEM.
 */
enum { CAPTURE_OS_MAX = 160 };
#define CAPTURE_OS_RELEASE "usr/lib/os-release"
#define CAPTURE_OS_STATUS  "var/lib/dpkg/status"
MUST_CHECK int capture_os_name(const char *release, const char *status,
			       char name[CAPTURE_OS_MAX]);

/*
 * What the software brings that is no file of its own: users, groups,
 * alternatives, library search entries, environment, services; a JSON object
 * of arrays of text, only those that are not empty.  And what base it was.
 */
MUST_CHECK int capture_records(const struct capture_options *options,
			       struct capture *capture,
			       struct failure *failure);

#endif
