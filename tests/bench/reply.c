/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply: proofs that replies are right; see reply.h.
 */
#include "reply.h"

#include <err.h>
#include <inttypes.h>

#include "tree.h"

void reply_accepted(struct wire_in *in, const char *what)
{
	uint32_t type = wire_get32(in), reply = wire_get32(in), status;
	size_t len;

	wire_get32(in); /* verifier */
	wire_get_opaque(in, &len);
	status = wire_get32(in);
	if (in->bad || type != RPC_REPLY || reply != RPC_ACCEPTED ||
	    status != RPC_SUCCESS)
		errx(1, "%s: refused: message %u, reply %u, status %u", what,
		     type, reply, status);
}

void reply_status(struct wire_in *in, const char *what)
{
	uint32_t status = wire_get32(in);

	if (in->bad || status != NFS3_OK)
		errx(1, "%s: status %u", what, status);
}

void reply_end(const struct wire_in *in, const char *what)
{
	if (in->bad || in->p != in->end)
		errx(1, "%s: reply is %s", what,
		     in->bad ? "too short" : "too long");
}

void reply_learn_attr(struct wire_in *in, struct file *file)
{
	struct wire_in attr = {.p = wire_take(in, FATTR3_LEN)};

	if (!attr.p)
		return;
	attr.end = attr.p + FATTR3_LEN;
	file->type = wire_get32(&attr);
	wire_take(&attr, 16); /* mode, nlink, uid, gid */
	file->size = wire_get64(&attr);
	wire_take(&attr, 24); /* used, rdev, fsid */
	file->fileid = wire_get64(&attr);
}

void reply_attr(struct wire_in *in, const struct file *want, const char *what)
{
	struct file got = {.type = 0};

	reply_learn_attr(in, &got);
	if (in->bad || got.type != want->type || got.size != want->size ||
	    got.fileid != want->fileid)
		errx(1,
		     "%s: attributes of another file: type %u size %" PRIu64
		     " fileid %" PRIu64 ", not %u %" PRIu64 " %" PRIu64,
		     what, got.type, got.size, got.fileid, want->type,
		     want->size, want->fileid);
}

void reply_post_op_attr(struct wire_in *in, const struct file *want,
			const char *what)
{
	if (wire_get32(in))
		reply_attr(in, want, what);
}

void reply_word(const uint8_t *data, uint64_t file_off, size_t at)
{
	uint64_t word;

	memcpy(&word, data + at, sizeof(word));
	if (le64toh(word) != tree_word(file_off + at))
		errx(1,
		     "READ: wrong data at offset %" PRIu64 ": %#" PRIx64
		     ", not %#" PRIx64,
		     file_off + at, le64toh(word), tree_word(file_off + at));
}

const uint8_t *reply_read(struct wire_in *in, const struct file *file,
			  uint64_t off, size_t len)
{
	const uint8_t *data;
	uint32_t count, eof;
	size_t data_len;

	reply_post_op_attr(in, file, "READ");
	count = wire_get32(in);
	eof = wire_get32(in);
	data = wire_get_opaque(in, &data_len);
	if (!data || count != len || data_len != len ||
	    !eof != (off + len < file->size))
		errx(1,
		     "READ at %" PRIu64 ": count %u, eof %u, %zu bytes of "
		     "data, not %zu",
		     off, count, eof, data_len, len);
	return data;
}

void reply_wcc(struct wire_in *in, struct file *after)
{
	struct file unused;

	if (wire_get32(in))
		wire_take(in, 24); /* size, mtime, ctime */
	if (wire_get32(in))
		reply_learn_attr(in, after ? after : &unused);
}

void reply_made(struct wire_in *in, struct file *made, const char *what)
{
	uint32_t has_fh = wire_get32(in);

	if (has_fh)
		wire_get_fh(in, &made->fh);
	if (!has_fh || !wire_get32(in))
		errx(1, "%s: no handle or no attributes", what);
	reply_learn_attr(in, made);
	reply_wcc(in, NULL);
}

uint64_t reply_write(struct wire_in *in, uint32_t len, uint32_t stable,
		     struct file *after)
{
	uint32_t count, committed;

	reply_wcc(in, after);
	count = wire_get32(in);
	committed = wire_get32(in);
	if (count != len || committed < stable)
		errx(1, "WRITE: %u bytes, stable %u, not %u and %u", count,
		     committed, len, stable);
	return wire_get64(in);
}
