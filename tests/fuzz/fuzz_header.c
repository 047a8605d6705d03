/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_header: arbitrary bytes as an RPC call header with its credential and
 * verifier.  The module itself is compiled in, since what it parses is its own.
 *
 * Promises: a header that is taken says again, encoded, the very bytes it was
 * read from (but for padding, which says nothing); the cursor ends behind it
 * and never behind the record; a credential that is taken does the same, with
 * the ids that must not pass below replaced.
 */
#include "nfsd/rpc_msg.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Same bytes, where padding of the input counts as zeros. */
static void fuzz_header_same(const uint8_t *out, size_t out_len,
			     const uint8_t *in, size_t pad_at, size_t pad_len)
{
	for (size_t i = 0; i < out_len; i++)
		ASSERT(out[i] == in[i] ||
		       (i >= pad_at && i - pad_at < pad_len));
}

/* Program, version, procedure and credential; *at: behind the credential. */
static void fuzz_header_again(const struct rpc_header *header,
			      const uint8_t *data, size_t *at)
{
	uint8_t again[32 + RPC_AUTH_LEN_MAX + 4], *p = again;

	p = put_u32(p, header->xid);
	p = put_u32(p, MSG_CALL);
	p = put_u32(p, header->rpc_version);
	p = put_u32(p, header->program);
	p = put_u32(p, header->version);
	p = put_u32(p, header->procedure);
	p = put_u32(p, header->flavor);
	p = put_opaque(p, header->cred, header->cred_len);
	*at = (size_t)(p - again);
	fuzz_header_same(again, *at, data, 32 + header->cred_len,
			 wire_padded(header->cred_len) - header->cred_len);
	ASSERT(header->cred == data + 32);
}

static uint32_t fuzz_header_id(uint32_t wire)
{
	return wire == UINT32_MAX ? (uint32_t)RPC_NOBODY : wire;
}

static void fuzz_header_cred(const struct rpc_header *header)
{
	const uint8_t *in = header->cred;
	struct view_cred cred;
	size_t name_len, at;

	if (!rpc_msg_auth_sys(in, header->cred_len, &cred))
		return;
	ASSERT(header->cred_len >= 20);
	name_len = be32_get(in + 4);
	ASSERT(name_len <= RPC_MACHINE_NAME_MAX);
	at = 8 + wire_padded(name_len);
	ASSERT(cred.group_count <= VIEW_GROUPS_MAX);
	ASSERT(at + 12 + 4 * cred.group_count == header->cred_len);
	ASSERT(cred.uid == fuzz_header_id(be32_get(in + at)));
	ASSERT(cred.gid == fuzz_header_id(be32_get(in + at + 4)));
	ASSERT(cred.group_count == be32_get(in + at + 8));
	for (unsigned int i = 0; i < cred.group_count; i++)
		ASSERT(cred.groups[i] ==
		       fuzz_header_id(be32_get(in + at + 12 + 4 * i)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rpc rpc;
	struct rpc_header header = {.xid = 0};
	struct wire_reader r = {.p = data, .end = data + len};
	size_t at, verf_len;
	int rc;

	if (!rpc.out.buf)
		ASSERT(out_init(&rpc.out) == 0);
	rc = rpc_msg_get(&rpc, &r, &header);
	ASSERT(r.p >= data && r.p <= r.end);
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPERM);
	/* Refused: with one answer; not a call: without any. */
	ASSERT(rpc.out.reply_count == (rc == -EPERM));
	out_drop(&rpc.out);
	if (rc < 0 || header.rpc_version != RPC_VERSION_2)
		return 0;
	ASSERT(!r.bad);
	fuzz_header_again(&header, data, &at);
	verf_len = be32_get(data + at + 4);
	ASSERT(verf_len <= RPC_AUTH_LEN_MAX);
	ASSERT(r.p == data + at + 8 + wire_padded(verf_len));
	fuzz_header_cred(&header);
	return 0;
}
