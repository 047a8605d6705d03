/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_nfs_source: whatever another NFS server may answer (F-10).  A server of
 * our own on loopback answers each call as it should, spoiled by the input.
 * Promises: never a byte more than was asked for; handles and names within
 * their bounds; an answer, or an error of nfsc.h, and soon.
 *
 * The input is read as it is needed; an answer begins with a byte, of which the
 * lowest three bits say: 0 as it should be; 1 bytes exclusive-ored (count, then
 * place and value of each); 2 cut off behind so many words; 3 bytes of the
 * input put in; 4 a word of the input at a place; 5 a body of the input; 6 a
 * record of the input, then the end; 7 the end.  Behind the input's end there
 * are FUZZ_GOOD_MAX right answers.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "depot/nfsc.h"

enum {
	FUZZ_MOUNT = 100005,
	FUZZ_BODY_MAX = 4096,
	FUZZ_INPUT_MAX = 4096,
	FUZZ_GOOD_MAX = 12,
	FUZZ_READ = 100,
	FUZZ_CANARY = 0x5a,
	/* reply header: mark, xid, REPLY, accepted, verifier (2), success */
	FUZZ_HEAD_WORDS = 7,
	FUZZ_FATTR_WORDS = 21,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static pthread_mutex_t fuzz_lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t fuzz_input[FUZZ_INPUT_MAX]; /* fuzz_lock */
static size_t fuzz_len, fuzz_at;           /* fuzz_lock */
static unsigned int fuzz_good;             /* fuzz_lock; left */
static int fuzz_listener, fuzz_port;

/* --- the input ----------------------------------------------------------- */

static unsigned int fuzz_byte(void)
{
	return fuzz_at < fuzz_len ? fuzz_input[fuzz_at++] : 0;
}

static size_t fuzz_bytes(uint8_t *out, size_t max)
{
	size_t n = MIN(max, fuzz_len - fuzz_at);

	memcpy(out, fuzz_input + fuzz_at, n);
	fuzz_at += n;
	return n;
}

/* --- right answers ------------------------------------------------------- */

struct fuzz_body {
	uint8_t bytes[FUZZ_BODY_MAX];
	size_t len;
};

static void fuzz_put(struct fuzz_body *body, uint32_t word)
{
	be32_put(body->bytes + body->len, word);
	body->len += 4;
}

static void fuzz_put_many(struct fuzz_body *body, unsigned int count,
			  uint32_t word)
{
	while (count-- > 0)
		fuzz_put(body, word);
}

static void fuzz_put_fh(struct fuzz_body *body)
{
	fuzz_put(body, 8);
	fuzz_put_many(body, 2, 0x01020304);
}

static void fuzz_put_attr(struct fuzz_body *body)
{
	fuzz_put(body, 1); /* a regular file */
	fuzz_put_many(body, FUZZ_FATTR_WORDS - 1, 3);
}

static void fuzz_put_entry(struct fuzz_body *body, uint32_t number)
{
	fuzz_put(body, 1);
	fuzz_put_many(body, 2, number); /* fileid */
	fuzz_put(body, 2);
	memcpy(body->bytes + body->len, "f1\0\0", 4);
	body->len += 4;
	fuzz_put_many(body, 2, number); /* cookie */
	fuzz_put(body, number % 2);
	if (number % 2)
		fuzz_put_attr(body);
	fuzz_put(body, 0);
}

static void fuzz_answer_nfs(struct fuzz_body *body, uint32_t proc,
			    uint32_t count)
{
	fuzz_put(body, 0);
	switch (proc) {
	case 1: /* GETATTR */
		fuzz_put_attr(body);
		break;
	case 3: /* LOOKUP */
		fuzz_put_fh(body);
		fuzz_put(body, 1);
		fuzz_put_attr(body);
		fuzz_put(body, 0);
		break;
	case 6: /* READ */
		count = MIN(count, 1024u);
		fuzz_put(body, 0);
		fuzz_put(body, count);
		fuzz_put(body, 1);
		fuzz_put(body, count);
		fuzz_put_many(body, (count + 3) / 4, 0x61626364);
		break;
	case 7: /* WRITE */
		fuzz_put_many(body, 2, 0);
		fuzz_put(body, 10);
		fuzz_put_many(body, 3, 0);
		break;
	case 8: /* CREATE */
		fuzz_put(body, 1);
		fuzz_put_fh(body);
		fuzz_put_many(body, 3, 0);
		break;
	case 17: /* READDIRPLUS */
		fuzz_put_many(body, 3, 0);
		for (uint32_t i = 1; i < 4; i++)
			fuzz_put_entry(body, i);
		fuzz_put(body, 0);
		fuzz_put(body, 1);
		break;
	case 19: /* FSINFO */
		fuzz_put(body, 0);
		fuzz_put_many(body, 12, 65536);
		break;
	default:
		fuzz_put_many(body, 8, 0);
	}
}

static void fuzz_answer(struct fuzz_body *body, const uint8_t *call, size_t len)
{
	uint32_t program = be32_get(call + 12), proc = be32_get(call + 20);

	body->len = 0;
	if (program == FUZZ_MOUNT) {
		fuzz_put(body, 0);
		fuzz_put_fh(body);
		fuzz_put(body, 1);
		fuzz_put(body, 1);
		return;
	}
	fuzz_answer_nfs(body, proc, be32_get(call + len - 4));
}

/* --- spoiled ones -------------------------------------------------------- */

static void fuzz_spoil(struct fuzz_body *body, unsigned int how)
{
	uint8_t word[4] = {0};
	size_t at, n;

	switch (how & 7) {
	case 1:
		for (n = 1 + (how >> 3) % 8; n > 0; n--) {
			at = fuzz_byte() | fuzz_byte() << 8;
			body->bytes[at % body->len] ^= (uint8_t)fuzz_byte();
		}
		break;
	case 2:
		body->len = MIN(body->len, (size_t)fuzz_byte() * 4);
		break;
	case 3:
		at = fuzz_byte() * 4 % body->len;
		n = MIN((size_t)fuzz_byte() * 4, FUZZ_BODY_MAX - body->len);
		memmove(body->bytes + at + n, body->bytes + at, body->len - at);
		memset(body->bytes + at, 0, n);
		body->len += n;
		fuzz_bytes(body->bytes + at, n);
		break;
	case 4:
		at = fuzz_byte() * 4 % body->len;
		fuzz_bytes(word, sizeof(word));
		memcpy(body->bytes + at, word, sizeof(word));
		break;
	case 5:
		memset(body->bytes, 0, FUZZ_BODY_MAX);
		body->len = (fuzz_byte() | fuzz_byte() << 8) % FUZZ_BODY_MAX;
		body->len &= ~(size_t)3;
		fuzz_bytes(body->bytes, body->len);
		break;
	default:
		break;
	}
}

static bool fuzz_send(int fd, const void *bytes, size_t len)
{
	return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* false: the connection ends. */
static bool fuzz_reply(int fd, const uint8_t *call, size_t len)
{
	/* In one piece: two would wait for each other's acknowledgement. */
	uint8_t all[4 * FUZZ_HEAD_WORDS + FUZZ_BODY_MAX] = {0};
	size_t head = (size_t)4 * FUZZ_HEAD_WORDS;
	struct fuzz_body body;
	unsigned int how;
	bool more;

	fuzz_answer(&body, call, len);
	pthread_mutex_lock(&fuzz_lock);
	how = fuzz_byte();
	more = fuzz_at < fuzz_len || fuzz_good-- > 0;
	if ((how & 7) == 6)
		body.len = fuzz_bytes(body.bytes, FUZZ_BODY_MAX);
	else
		fuzz_spoil(&body, how);
	pthread_mutex_unlock(&fuzz_lock);
	if (!more || (how & 7) == 7)
		return false;
	if ((how & 7) == 6) {
		fuzz_send(fd, body.bytes, body.len);
		return false;
	}
	be32_put(all, (uint32_t)(head - 4 + body.len) | 1u << 31);
	memcpy(all + 4, call, 4);
	be32_put(all + 8, 1);
	memcpy(all + head, body.bytes, body.len);
	return fuzz_send(fd, all, head + body.len);
}

static bool fuzz_recv(int fd, uint8_t *bytes, size_t len)
{
	return recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

static void *fuzz_serve(void *arg)
{
	uint8_t mark[4], call[FUZZ_BODY_MAX];
	size_t len;
	int fd;

	(void)arg;
	while ((fd = accept(fuzz_listener, NULL, NULL)) >= 0) {
		while (fuzz_recv(fd, mark, sizeof(mark))) {
			len = be32_get(mark) & 0x7fffffffu;
			if (len < 40 || len > sizeof(call) ||
			    !fuzz_recv(fd, call, len) ||
			    !fuzz_reply(fd, call, len))
				break;
		}
		close(fd);
	}
	return NULL;
}

static void fuzz_start(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	pthread_t thread;

	fuzz_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT(fuzz_listener >= 0 &&
	       bind(fuzz_listener, (struct sockaddr *)&addr, len) == 0 &&
	       listen(fuzz_listener, 16) == 0 &&
	       getsockname(fuzz_listener, (struct sockaddr *)&addr, &len) == 0);
	fuzz_port = ntohs(addr.sin_port);
	ASSERT(pthread_create(&thread, NULL, fuzz_serve, NULL) == 0);
}

/* --- the client ---------------------------------------------------------- */

static int fuzz_visit(void *ctx, const char *name, bool has_attr, bool is_file,
		      bool is_dir, uint64_t size)
{
	(void)size;
	ASSERT(strlen(name) > 0 && strlen(name) <= NFSC_NAME_BYTES_MAX);
	ASSERT(!strchr(name, '/') && strcmp(name, "..") != 0);
	ASSERT(has_attr || (!is_file && !is_dir));
	return ++*(unsigned int *)ctx > 1000;
}

static void fuzz_read(struct nfsc_session *session, const struct nfsc_fh *fh)
{
	uint8_t buf[FUZZ_READ + 64];
	size_t got = 0;
	bool eof;

	memset(buf, FUZZ_CANARY, sizeof(buf));
	if (nfsc_read(session, fh, 0, FUZZ_READ, buf, &got, &eof) == 0)
		ASSERT(got <= FUZZ_READ);
	for (size_t i = FUZZ_READ; i < sizeof(buf); i++)
		ASSERT(buf[i] == FUZZ_CANARY);
}

static void fuzz_write(struct nfsc_session *session)
{
	const struct nfsc_fh *root = nfsc_session_root(session);
	uint8_t verf[NFSC_VERF_LEN];
	struct nfsc_fh file = {0};
	size_t got = 0;
	int rc;

	rc = nfsc_create(session, root, "f", &file);
	ASSERT(file.len <= NFSC_FH_MAX);
	if (rc == 0)
		rc =
		    nfsc_write(session, &file, 0, "0123456789", 10, &got, verf);
	if (rc == 0) {
		ASSERT(got >= 1 && got <= 10);
		rc = nfsc_commit(session, &file, verf);
	}
	if (rc == 0)
		rc = nfsc_rename(session, root, "f", root, "g");
	if (rc == 0)
		rc = nfsc_mkdir(session, root, "d");
	if (rc == 0 && nfsc_remove(session, root, "g") == 0)
		return;
}

static void fuzz_calls(struct nfsc_session *session)
{
	const struct nfsc_fh *root = nfsc_session_root(session);
	struct nfsc_object object;
	unsigned int names = 0;
	struct nfsc_list list = {.visit = fuzz_visit, .ctx = &names};
	int rc;

	ASSERT(root->len > 0 && root->len <= NFSC_FH_MAX);
	rc = nfsc_lookup(session, root, "p", &object);
	ASSERT(object.fh.len <= NFSC_FH_MAX);
	if (rc < 0)
		return;
	rc = nfsc_list_page(session, root, &list);
	if (rc < 0)
		return;
	if (object.fh.len == 0)
		object.fh = *root;
	fuzz_read(session, &object.fh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static const atomic_bool stopping;
	struct nfsc_place place = {.host = "127.0.0.1"};
	struct nfsc_session *session;
	char why[NFSC_WHY_MAX];
	bool writes = len > 0 && data[0] & 0x80;
	int rc;

	pthread_once(&once, fuzz_start);
	pthread_mutex_lock(&fuzz_lock);
	fuzz_len = MIN(len, (size_t)FUZZ_INPUT_MAX);
	if (fuzz_len)
		memcpy(fuzz_input, data, fuzz_len);
	fuzz_at = 0;
	fuzz_good = FUZZ_GOOD_MAX;
	pthread_mutex_unlock(&fuzz_lock);
	place.port = place.mount_port = (unsigned int)fuzz_port;
	rc = nfsc_session_open(&place, "/depot", &stopping, &session, why);
	ASSERT(memchr(why, '\0', sizeof(why)) || rc == 0);
	if (rc != 0)
		return 0;
	if (writes)
		fuzz_write(session);
	else
		fuzz_calls(session);
	nfsc_session_close(session);
	return 0;
}
