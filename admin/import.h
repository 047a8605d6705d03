/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import: what all importers share.  An importer (import_dir.c, import_deb.c)
 * hands over objects and the bytes of files, in any order; import cuts the
 * bytes into chunks, asks the depot which shards it has, sends the others, and
 * in the end makes tree and revision and commits them.
 *
 * Life: new -> (origin, objects, files)* -> finish -> free.  Nothing names the
 * shards before finish has committed, so an import that stops half-way has
 * stored no package.
 *
 * Paths are kept as they are given; but a path below a symbolic link (one
 * package ships "lib" as a link to "usr/lib", another "lib/x.so") is placed
 * below the link's target, inside the tree, as dpkg would on a disk.  Objects
 * at one place: of the same origin the later one counts; of two origins a
 * directory's attributes are the first one's, equal objects count once, and
 * different ones are refused (-EEXIST).
 *
 * With import_layers() a later origin replaces what earlier ones have at a
 * place, whatever the two are, and hides what it takes away.
 *
 * Every failure is told in the struct failure given to import_new.
 */
#ifndef ADMIN_IMPORT_H
#define ADMIN_IMPORT_H

#include <jansson.h>

#include "admin/output.h"
#include "depot/base.h"
#include "depot/digest.h"
#include "depot/tree_build.h"

enum {
	IMPORT_PATH_MAX = 16384, /* bytes of a path */
	IMPORT_FOLLOW_MAX = 40,  /* links on the way to one object */
	IMPORT_BATCH_MAX = 512,  /* shards of one question */
	IMPORT_BATCH_BYTES = 16 << 20,
	IMPORT_SETUID_MAX = 1000, /* told in the summary */
};

struct import_commit {
	const char *name, *tag; /* borrows, as all here */
	const char *revision_json;
	const void *tree_bytes;
	size_t tree_len;
	struct digest tree;
};

/* Where an import goes: the daemon (sink_daemon.c), or a test. */
struct import_sink {
	/* here[i]: the depot has names[i]. */
	int (*have)(void *ctx, const struct digest *names, size_t count,
		    bool *here, struct failure *failure);
	/* Frames of nfsd/control.h.  salt: NULL, or of the private package. */
	int (*put)(void *ctx, const uint8_t *salt, const void *frames,
		   size_t len, uint64_t *added, uint64_t *bytes_added,
		   struct failure *failure);
	int (*commit)(void *ctx, const struct import_commit *commit,
		      bool *created, struct failure *failure);
	void *ctx;
};

struct import_options {
	bool allow_devices;
	bool dry_run;         /* ask, but send nothing */
	uint64_t bytes_total; /* for progress; 0: not known */
	/* More is refused (-EFBIG) before it is read: an archive may be small
	 * and say that it holds anything.  0: no limit. */
	uint64_t bytes_max; /* of regular files, holes included */
	uint64_t files_max; /* entries of any kind */
	/* Borrows; SHARD_SALT_LEN bytes make the package a private one. */
	const uint8_t *salt;
};

struct import_summary {
	struct digest tree, revision;
	uint64_t files; /* names of regular files and symbolic links */
	uint64_t bytes; /* of regular files */
	uint64_t shards, shards_new, bytes_added;
	/* Of a private package: what was added though everybody's shards with
	 * the same bytes are here. */
	uint64_t shards_unshared, bytes_unshared;
	uint64_t capabilities; /* files with file capabilities */
	bool created;          /* false: it was there in the same form */
	json_t *setuid;        /* owns; array of "MODE PATH" */
};
void import_summary_clear(struct import_summary *summary);

struct import;

/* All parameters are borrowed.  NULL: no memory. */
struct import *import_new(const struct import_sink *sink,
			  const struct import_options *options,
			  struct output *out, struct failure *failure);
void import_free(struct import *import); /* takes; NULL allowed */

/* Name of the archive or directory that what follows comes from. */
MUST_CHECK int import_origin(struct import *import, const char *name);
void import_set_total(struct import *import, uint64_t bytes_total);

/* Directory, FIFO or device node; a socket is skipped with a warning. */
MUST_CHECK int import_add(struct import *import, const char *path,
			  const struct tree_build_attr *attr);
MUST_CHECK int import_symlink(struct import *import, const char *path,
			      const struct tree_build_attr *attr,
			      const char *target);
/* Another name of a file; `existing` may be given later. */
MUST_CHECK int import_link(struct import *import, const char *path,
			   const char *existing);
/* Is an extended attribute content?  (Labels of this host's policy are not.) */
bool import_xattr_wanted(const char *name);
/* Extended attribute of what was added last; the same name again replaces. */
MUST_CHECK int import_xattr(struct import *import, const char *name,
			    const void *value, size_t len);

/*
 * What an upper layer takes away from those below it: the object at path, or
 * all that a directory held before.  With import_layers() origins are layers,
 * lowest first, and nothing of this is left in the end; without, the tree says
 * so itself: a package over a base that it deletes from.
 */
MUST_CHECK int import_whiteout(struct import *import, const char *path);
MUST_CHECK int import_opaque(struct import *import, const char *path);
void import_layers(struct import *import);

/* A regular file: begin, its bytes, end.  -EBADMSG: they are not `size`. */
MUST_CHECK int import_file(struct import *import, const char *path,
			   const struct tree_build_attr *attr, uint64_t size);
MUST_CHECK int import_data(struct import *import, const void *data, size_t len);
MUST_CHECK int import_zeros(struct import *import, uint64_t len);
MUST_CHECK int import_file_end(struct import *import);
/* Forget the file that was begun; its shards may have been sent. */
void import_file_drop(struct import *import);

/* What the revision says besides: base and records of revision_doc
 * (depot/document.h), NULL: nothing.  Borrowed till import_finish. */
void import_note(struct import *import, const char *base, const char *records);

/*
 * Send what is left, place the objects, write tree and revision, commit.
 * closure: "name=version" strings, sorted, NULL-terminated; or NULL.
 */
MUST_CHECK int import_finish(struct import *import, const char *name,
			     const char *tag, const char *version,
			     char **closure, struct import_summary *summary);

#endif
