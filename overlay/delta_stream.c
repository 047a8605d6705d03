/* SPDX-License-Identifier: Apache-2.0 */
/* delta_stream: items, there and back.  See delta_stream.h. */
#include "overlay/delta_stream.h"

#include <unistd.h>

#include "depot/log.h"

enum { STREAM_HEAD = 5 };

/* --- writing ------------------------------------------------------------- */

int stream_out_begin(struct stream_out *out, int fd)
{
	*out = (struct stream_out){.fd = fd, .digest = digest_ctx_new()};
	return out->digest ? 0 : -ENOMEM;
}

static void stream_write(struct stream_out *out, const void *data, size_t len)
{
	const uint8_t *at = data;

	if (len > 0 && out->digest)
		digest_ctx_add(out->digest, data, len);
	while (len > 0 && out->error == 0) {
		ssize_t n = write(out->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			out->error = log_err(-errno, "writing a delta");
			return;
		}
		at += n;
		len -= (size_t)n;
	}
}

void stream_out_item(struct stream_out *out, char type, const void *a,
		     size_t a_len, const void *b, size_t b_len, const void *c,
		     size_t c_len)
{
	uint8_t head[STREAM_HEAD] = {(uint8_t)type};

	ASSERT(a_len + b_len + c_len <= STREAM_ITEM_MAX);
	le32_put(head + 1, (uint32_t)(a_len + b_len + c_len));
	stream_write(out, head, sizeof(head));
	stream_write(out, a, a_len);
	stream_write(out, b, b_len);
	stream_write(out, c, c_len);
}

int stream_out_end(struct stream_out *out)
{
	struct digest digest = digest_ctx_end(out->digest);

	out->digest = NULL;
	if (out->error == 0)
		stream_out_item(out, 'E', digest.bytes, DIGEST_LEN, NULL, 0,
				NULL, 0);
	return out->error;
}

/* --- reading ------------------------------------------------------------- */

int stream_in_begin(struct stream_in *in, int fd)
{
	*in = (struct stream_in){.fd = fd, .digest = digest_ctx_new()};
	in->item = malloc(STREAM_ITEM_MAX);
	return in->digest && in->item ? 0 : -ENOMEM;
}

void stream_in_end(struct stream_in *in)
{
	if (in->digest)
		(void)digest_ctx_end(in->digest);
	in->digest = NULL;
	free(in->item);
	in->item = NULL;
}

static int stream_read(struct stream_in *in, void *out, size_t len)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t n = read(in->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return log_err(-errno, "reading a delta");
		if (n == 0)
			return log_err(-EBADMSG, "a delta ends too early");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int stream_prove(struct stream_in *in)
{
	struct digest digest = digest_ctx_end(in->digest);

	in->digest = NULL;
	if (in->len == DIGEST_LEN &&
	    memcmp(digest.bytes, in->item, DIGEST_LEN) == 0)
		return 0;
	return log_err(-EBADMSG, "a delta's digest is not what it ends with: "
				 "it was changed or cut; export it again");
}

int stream_in_next(struct stream_in *in)
{
	uint8_t head[STREAM_HEAD];
	int rc = stream_read(in, head, sizeof(head));

	if (rc < 0)
		return rc;
	in->type = (char)head[0];
	in->len = le32_get(head + 1);
	if (in->len > STREAM_ITEM_MAX)
		return log_err(-EBADMSG, "a delta has an item of %zu bytes",
			       in->len);
	rc = stream_read(in, in->item, in->len);
	if (rc < 0)
		return rc;
	if (in->type == 'E')
		return stream_prove(in);
	digest_ctx_add(in->digest, head, sizeof(head));
	digest_ctx_add(in->digest, in->item, in->len);
	return 0;
}
