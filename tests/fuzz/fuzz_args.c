/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_args: the whole dispatcher over the fake view: call headers, the
 * decoders of all procedures, parking, duplicates.
 *
 * Input: steps, each an opcode, a length and so many bytes:
 *	0..21	NFS procedure; a right header and handle come before the bytes
 *	22..27	MOUNT procedure; a right header
 *	28	the bytes are a whole record
 *	29	the first byte picks: wake, settle, settle failed, hold, pend,
 *... 30	the previous call once more, on the other connection
 *
 * Promises: every answer is one well-formed record; its status is one that the
 * procedure may return, its length within what was asked; all pins and parked
 * calls are gone at the end.
 */
#include "nfsd/status3.h"
#include "tests/fake/fake_rig.h"

enum {
	FUZZ_ARGS_STEPS_MAX = 64,
	FUZZ_ARGS_RECORD = 28,
	FUZZ_ARGS_EVENT = 29,
	FUZZ_ARGS_AGAIN = 30,
	FUZZ_ARGS_OPCODES = 31,
	FUZZ_ARGS_REPLY_MAX = (1 << 20) + 1024,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t fuzz_args_file[5000];

/* `proc` of NFS, or NFS3_PROC_COUNT when it is not known. */
static void fuzz_args_check(struct rig *rig, uint32_t proc)
{
	uint32_t taken;

	while ((taken = rig_take(rig)) != RIG_NO_REPLY) {
		size_t len = (size_t)(rig->reply.end - rig->reply.p);

		ASSERT(len <= FUZZ_ARGS_REPLY_MAX && len % 4 == 0);
		if (taken == RIG_REFUSED || proc == NFS3_PROC_COUNT ||
		    proc == NFS3_NULL || rig->reply_xid != rig->xid)
			continue;
		ASSERT(len >= 4);
		ASSERT(status3_allowed(get_u32(&rig->reply), proc));
	}
}

static void fuzz_args_event(struct rig *rig, uint8_t event)
{
	switch (event % 8) {
	case 0:
		fake_view_wake(rig->red);
		break;
	case 1:
		fake_view_settle(rig->red, 0);
		break;
	case 2:
		fake_view_settle(rig->red, -EIO);
		break;
	case 3:
		fake_view_hold(rig->red, 2);
		break;
	case 4:
		fake_view_pend(rig->red, event & 16);
		break;
	case 5:
		rig->rpc.now_ms += RPC_HOLD_MS;
		rpc_expire(&rig->rpc);
		break;
	case 6:
		rpc_close_peer(&rig->rpc,
			       event & 16 ? &rig->peer : &rig->other);
		break;
	case 7:
		fake_view_late_wake(rig->red, event & 16);
		break;
	}
	rig_pump(rig);
	fuzz_args_check(rig, NFS3_PROC_COUNT);
}

static void fuzz_args_bytes(struct rig *rig, const uint8_t *bytes, size_t len)
{
	memcpy(rig->p, bytes, len);
	rig->p += len;
}

static void fuzz_args_send(struct rig *rig, struct peer *peer, uint32_t proc)
{
	int rc;

	if (peer->broken || rpc_peer_is_full(peer) || rig->p == rig->call)
		return;
	rc = rig_send(rig, peer);
	ASSERT(rc == 0 || rc == -EBADMSG);
	fuzz_args_check(rig, proc);
}

static void fuzz_args_step(struct rig *rig, uint8_t opcode,
			   const uint8_t *bytes, size_t len)
{
	uint32_t proc = NFS3_PROC_COUNT;

	if (opcode == FUZZ_ARGS_EVENT) {
		if (len > 0)
			fuzz_args_event(rig, bytes[0]);
		return;
	}
	if (opcode == FUZZ_ARGS_AGAIN) {
		fuzz_args_send(rig, &rig->other, proc);
		return;
	}
	if (opcode < NFS3_PROC_COUNT) {
		proc = opcode;
		rig_call(rig, NFS3_PROGRAM, proc);
		/* Root, the directory or the file, by the first byte. */
		if (proc != NFS3_NULL)
			rig_fh_of(rig, rig->red,
				  len > 0 ? 1 + bytes[0] % 3 : 1);
		if (len > 0)
			fuzz_args_bytes(rig, bytes + 1, len - 1);
	} else if (opcode < FUZZ_ARGS_RECORD) {
		rig_call(rig, MOUNT3_PROGRAM, opcode - NFS3_PROC_COUNT + 0u);
		fuzz_args_bytes(rig, bytes, len);
	} else {
		rig->p = rig->call;
		fuzz_args_bytes(rig, bytes, len);
	}
	fuzz_args_send(rig, &rig->peer, proc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rig *rig = rig_new();
	size_t at = 0;

	fake_view_access(rig->red)->addr[0] = '\0';
	fake_view_add_dir(rig->red, 1, "dir");
	fake_view_add_file(rig->red, 1, "file", fuzz_args_file,
			   sizeof(fuzz_args_file));
	rig->p = rig->call;
	for (int i = 0; i < FUZZ_ARGS_STEPS_MAX && at + 2 <= len; i++) {
		uint8_t opcode = data[at] % FUZZ_ARGS_OPCODES;
		size_t step_len = MIN((size_t)data[at + 1], len - at - 2);

		fuzz_args_step(rig, opcode, data + at + 2, step_len);
		at += 2 + step_len;
	}
	rig_free(rig);
	return 0;
}
