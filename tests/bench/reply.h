/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply: proofs that replies are right.
 *
 * Each takes results apart from where `in` stands and leaves it behind them.
 * What is wrong ends the program with status 1 and a line that begins with
 * `what`: a bench that goes on after a wrong reply measures nothing.
 */
#ifndef BENCH_REPLY_H
#define BENCH_REPLY_H

#include "wire.h"

/* A file as the server showed it when asked first. */
struct file {
	struct wire_fh fh;
	uint64_t fileid;
	uint64_t size;
	uint32_t type;
};

/* From behind the xid up to the results. */
void reply_accepted(struct wire_in *in, const char *what);

/* NFS3_OK, or MNT3_OK, which is the same. */
void reply_status(struct wire_in *in, const char *what);

/* No byte is left, none was missing. */
void reply_end(const struct wire_in *in, const char *what);

/* Take attributes for true: fills all of `file` but its handle. */
void reply_learn_attr(struct wire_in *in, struct file *file);

/* Attributes: those of the file `want`? */
void reply_attr(struct wire_in *in, const struct file *want, const char *what);

/* The same where a server may leave them out. */
void reply_post_op_attr(struct wire_in *in, const struct file *want,
			const char *what);

/*
 * The results of a READ of `len` bytes, from behind the status: attributes,
 * count, eof, length.  Returns the data in place, not yet checked.
 */
const uint8_t *reply_read(struct wire_in *in, const struct file *file,
			  uint64_t off, size_t len);

/* The 8 bytes at data + at, which lie at file_off + at in a file of tree.h. */
void reply_word(const uint8_t *data, uint64_t file_off, size_t at);

/* wcc_data; `after`, when given, learns what the server shows of the object. */
void reply_wcc(struct wire_in *in, struct file *after);

/* The results of CREATE or MKDIR: a handle, attributes, the directory's. */
void reply_made(struct wire_in *in, struct file *made, const char *what);

/* The results of a WRITE of `len` bytes; the verifier is returned. */
uint64_t reply_write(struct wire_in *in, uint32_t len, uint32_t stable,
		     struct file *after);

#endif
