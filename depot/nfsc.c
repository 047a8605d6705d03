/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsc: one call at a time on a connection of libnfs.
 *
 * Three faults of libnfs 4.0.0 are kept off here: a connection that breaks
 * while it is read leaves its descriptor open (nfsc_rpc_free); it writes to
 * sockets that are gone without MSG_NOSIGNAL (nfsc_service); and it adds
 * lengths that the other side sends to its position without regard to overflow,
 * so that a hostile server makes it read and write where nothing is
 * (libnfs_zdr_*).
 */
#include "depot/nfsc.h"
#include "depot/clock.h"

/* The others lean on the first. */
#include <nfsc/libnfs.h>

#include <nfsc/libnfs-raw.h>

#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

enum {
	NFSC_CONNECT_MS = 5000,
	NFSC_ANSWER_MS = 10000,
	NFSC_SYNC_MS = 60000, /* of a call that writes: a disk may be busy */
	NFSC_STEP_MS = 50,    /* how soon a stop is seen */
	NFSC_IO_DEFAULT = 32 << 10,
	NFSC_IO_MIN = 512,
	NFSC_DIR_BYTES = 8 << 10,
	NFSC_DIR_REPLY_BYTES = 64 << 10,
	NFSC_FILE_MODE = 0644,
	NFSC_DIR_MODE = 0755,
};

struct nfsc_session {
	struct rpc_context *rpc; /* owns; NULL when broken */
	const atomic_bool *stopping;
	struct nfsc_fh root;
	size_t read_max, write_max;
	char why[NFSC_WHY_MAX];
};

/* One call and its answer; lives until the answer or the connection's end. */
struct nfsc_call {
	bool done;
	int rc; /* as of nfs.h, once done */
	/* Copies an answer's result; returns status or -EBADMSG. */
	int (*take)(struct nfsc_call *call, void *answer);
	void *out;  /* borrows; take's */
	void *out2; /* borrows; take's */
	size_t max; /* take's */
	char *why;  /* borrows; NFSC_WHY_MAX */
};

/* --- lengths from outside ------------------------------------------------ */

/*
 * These stand before libnfs' own of the same names, by which it decodes each
 * answer: the program's symbols come first.  They look at the length that is
 * next, and have the real one do the work when there is so much.
 */
static void *nfsc_real(const char *name)
{
	void *real = dlsym(RTLD_NEXT, name);

	ASSERT(real);
	return real;
}

/* The length that stands next, in what is left; false: there is not so much
 * left as `least` bytes of each. */
static bool nfsc_zdr_fits(const ZDR *zdr, uint32_t least, uint64_t *count)
{
	uint8_t word[4];

	if (zdr->x_op != ZDR_DECODE)
		return true;
	if (zdr->pos < 0 || zdr->pos > zdr->size || zdr->size - zdr->pos < 4)
		return false;
	memcpy(word, zdr->buf + zdr->pos, sizeof(word));
	*count = be32_get(word);
	return *count * least <= (uint64_t)(zdr->size - zdr->pos - 4);
}

bool_t libnfs_zdr_bytes(ZDR *zdr, char **bytes, uint32_t *size, uint32_t max)
{
	static bool_t (*_Atomic real)(ZDR *, char **, uint32_t *, uint32_t);
	uint64_t count;

	if (!nfsc_zdr_fits(zdr, 1, &count))
		return 0;
	if (!real)
		real = nfsc_real(__func__);
	return real(zdr, bytes, size, max);
}

bool_t libnfs_zdr_opaque(ZDR *zdr, char *bytes, uint32_t size)
{
	static bool_t (*_Atomic real)(ZDR *, char *, uint32_t);

	if (zdr->x_op == ZDR_DECODE &&
	    (zdr->pos < 0 || zdr->pos > zdr->size ||
	     size > (uint32_t)(zdr->size - zdr->pos)))
		return 0;
	if (!real)
		real = nfsc_real(__func__);
	return real(zdr, bytes, size);
}

bool_t libnfs_zdr_string(ZDR *zdr, char **text, uint32_t max)
{
	static bool_t (*_Atomic real)(ZDR *, char **, uint32_t);
	uint64_t count;

	if (!nfsc_zdr_fits(zdr, 1, &count))
		return 0;
	if (!real)
		real = nfsc_real(__func__);
	return real(zdr, text, max);
}

bool_t libnfs_zdr_array(ZDR *zdr, char **items, uint32_t *size, uint32_t max,
			uint32_t item_size, zdrproc_t proc)
{
	static bool_t (*_Atomic real)(ZDR *, char **, uint32_t *, uint32_t,
				      uint32_t, zdrproc_t);
	uint64_t count = 0;

	/* No item is shorter than a word; its struct may be longer. */
	if (!nfsc_zdr_fits(zdr, 4, &count) || count * item_size > INT32_MAX)
		return 0;
	if (!real)
		real = nfsc_real(__func__);
	return real(zdr, items, size, max, item_size, proc);
}

/* --- waiting ------------------------------------------------------------- */

static void nfsc_on_answer(struct rpc_context *rpc UNUSED, int status,
			   void *answer, void *ctx)
{
	struct nfsc_call *call = ctx;

	call->done = true;
	if (status == RPC_STATUS_SUCCESS) {
		call->rc = call->take ? call->take(call, answer) : 0;
		return;
	}
	call->rc = -EHOSTUNREACH;
	if (status == RPC_STATUS_ERROR && answer && !*call->why)
		snprintf(call->why, NFSC_WHY_MAX, "%.200s",
			 (const char *)answer);
}

static void nfsc_rpc_free(struct rpc_context *rpc)
{
	if (!rpc)
		return;
	/* After a broken read libnfs has put the descriptor aside and would
	 * not close it. */
	rpc_set_fd(rpc, rpc_get_fd(rpc));
	rpc_destroy_context(rpc);
}

static int nfsc_service(struct rpc_context *rpc, int events)
{
	static const struct timespec now = {0, 0};
	sigset_t pipe, old, pending;
	int rc;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	rc = rpc_service(rpc, events);
	sigpending(&pending);
	if (!sigismember(&old, SIGPIPE) && sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/* libnfs says "POLLHUP". */
static void nfsc_socket_error(int fd, int events, char *why)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if ((events & (POLLERR | POLLHUP)) &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error)
		snprintf(why, NFSC_WHY_MAX, "%s", strerrordesc_np(error));
}

/* Until the call is done, or -errno: the context must be freed then, while the
 * call still lives. */
static int nfsc_wait_rpc(struct rpc_context *rpc, struct nfsc_call *call,
			 const atomic_bool *stopping, unsigned int ms)
{
	uint64_t end = clock_ms() + ms;
	struct pollfd poll_fd;

	while (!call->done) {
		if (atomic_load(stopping)) {
			snprintf(call->why, NFSC_WHY_MAX, "stopped");
			return -ECANCELED;
		}
		if (clock_ms() >= end) {
			snprintf(call->why, NFSC_WHY_MAX,
				 "no answer within %u s", ms / 1000);
			return -ETIMEDOUT;
		}
		poll_fd.fd = rpc_get_fd(rpc);
		poll_fd.events = (short)rpc_which_events(rpc);
		poll_fd.revents = 0;
		if (poll(&poll_fd, 1, NFSC_STEP_MS) < 0 && errno != EINTR)
			return -EHOSTUNREACH;
		nfsc_socket_error(poll_fd.fd, poll_fd.revents, call->why);
		if (poll_fd.revents && nfsc_service(rpc, poll_fd.revents) < 0 &&
		    !call->done) {
			if (!*call->why)
				snprintf(call->why, NFSC_WHY_MAX,
					 "the connection was lost");
			return -EHOSTUNREACH;
		}
	}
	return call->rc;
}

static void nfsc_break(struct nfsc_session *session)
{
	nfsc_rpc_free(session->rpc);
	session->rpc = NULL;
}

/* `queued`: what the async function returned. */
static int nfsc_wait(struct nfsc_session *session, struct nfsc_call *call,
		     int queued, unsigned int ms)
{
	int rc = -ENOMEM;

	session->why[0] = '\0';
	if (queued == 0)
		rc = nfsc_wait_rpc(session->rpc, call, session->stopping, ms);
	if (rc < 0)
		nfsc_break(session);
	return rc;
}

static int nfsc_misfit(struct nfsc_call *call, const char *what)
{
	snprintf(call->why, NFSC_WHY_MAX, "refused: %s", what);
	return -EBADMSG;
}

/* --- arguments and results ----------------------------------------------- */

static struct nfs_fh3 nfsc_fh_arg(const struct nfsc_fh *fh)
{
	struct nfs_fh3 arg = {.data = {fh->len, (char *)(uintptr_t)fh->bytes}};

	return arg;
}

static struct diropargs3 nfsc_name_arg(const struct nfsc_fh *dir,
				       const char *name)
{
	struct diropargs3 arg = {.dir = nfsc_fh_arg(dir),
				 .name = (char *)(uintptr_t)name};

	return arg;
}

static bool nfsc_fh_take(const char *bytes, uint32_t len, struct nfsc_fh *fh)
{
	if (len == 0 || len > NFSC_FH_MAX)
		return false;
	fh->len = len;
	memcpy(fh->bytes, bytes, len);
	return true;
}

static void nfsc_attr_take(const struct fattr3 *attr,
			   struct nfsc_object *object)
{
	object->is_file = attr->type == NF3REG;
	object->is_dir = attr->type == NF3DIR;
	object->size = attr->size;
}

static struct sattr3 nfsc_mode_arg(unsigned int mode)
{
	struct sattr3 attr;

	memset(&attr, 0, sizeof(attr));
	attr.mode.set_it = 1;
	attr.mode.set_mode3_u.mode = mode;
	return attr;
}

#define NFSC_CALL(session, take_fn, ...)                                       \
	{                                                                      \
		.take = (take_fn), .why = (session)->why, __VA_ARGS__          \
	}

/* --- LOOKUP, GETATTR, READ ----------------------------------------------- */

static int nfsc_getattr_take(struct nfsc_call *call, void *answer)
{
	const struct GETATTR3res *res = answer;

	if (res->status == NFS3_OK)
		nfsc_attr_take(&res->GETATTR3res_u.resok.obj_attributes,
			       call->out);
	return (int)res->status;
}

static int nfsc_getattr(struct nfsc_session *session,
			struct nfsc_object *object)
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_getattr_take, .out = object);
	struct GETATTR3args args = {.object = nfsc_fh_arg(&object->fh)};

	return nfsc_wait(
	    session, &call,
	    rpc_nfs3_getattr_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_ANSWER_MS);
}

static int nfsc_lookup_take(struct nfsc_call *call, void *answer)
{
	const struct LOOKUP3res *res = answer;
	const struct LOOKUP3resok *ok = &res->LOOKUP3res_u.resok;
	struct nfsc_object *object = call->out;

	if (res->status != NFS3_OK)
		return (int)res->status;
	if (!nfsc_fh_take(ok->object.data.data_val, ok->object.data.data_len,
			  &object->fh))
		return nfsc_misfit(call, "a file handle of that length");
	if (ok->obj_attributes.attributes_follow) {
		nfsc_attr_take(&ok->obj_attributes.post_op_attr_u.attributes,
			       object);
		*(bool *)call->out2 = true;
	}
	return 0;
}

int nfsc_lookup(struct nfsc_session *session, const struct nfsc_fh *dir,
		const char *name, struct nfsc_object *object)
{
	bool has_attr = false;
	struct nfsc_call call = NFSC_CALL(session, nfsc_lookup_take,
					  .out = object, .out2 = &has_attr);
	struct LOOKUP3args args = {.what = nfsc_name_arg(dir, name)};
	int rc;

	memset(object, 0, sizeof(*object));
	rc = nfsc_wait(
	    session, &call,
	    rpc_nfs3_lookup_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_ANSWER_MS);
	return rc || has_attr ? rc : nfsc_getattr(session, object);
}

struct nfsc_read {
	void *buf;
	size_t got;
	bool eof;
};

static int nfsc_read_take(struct nfsc_call *call, void *answer)
{
	const struct READ3res *res = answer;
	const struct READ3resok *ok = &res->READ3res_u.resok;
	struct nfsc_read *read = call->out;

	if (res->status != NFS3_OK)
		return (int)res->status;
	if (ok->count > call->max || ok->data.data_len != ok->count)
		return nfsc_misfit(call, "more bytes than asked for");
	memcpy(read->buf, ok->data.data_val, ok->count);
	read->got = ok->count;
	read->eof = ok->eof != 0;
	return 0;
}

int nfsc_read(struct nfsc_session *session, const struct nfsc_fh *file,
	      uint64_t off, size_t len, void *buf, size_t *got, bool *eof)
{
	struct nfsc_read read = {.buf = buf};
	size_t count = MIN(len, session->read_max);
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_read_take, .out = &read, .max = count);
	struct READ3args args = {
	    .file = nfsc_fh_arg(file), .offset = off, .count = (count3)count};
	int rc;

	rc = nfsc_wait(
	    session, &call,
	    rpc_nfs3_read_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_ANSWER_MS);
	*got = read.got;
	*eof = read.eof;
	return rc;
}

/* --- WRITE, COMMIT ------------------------------------------------------- */

static int nfsc_write_take(struct nfsc_call *call, void *answer)
{
	const struct WRITE3res *res = answer;
	const struct WRITE3resok *ok = &res->WRITE3res_u.resok;

	if (res->status != NFS3_OK)
		return (int)res->status;
	if (ok->count == 0 || ok->count > call->max)
		return nfsc_misfit(call, "another number of bytes written");
	*(size_t *)call->out = ok->count;
	memcpy(call->out2, ok->verf, NFSC_VERF_LEN);
	return 0;
}

int nfsc_write(struct nfsc_session *session, const struct nfsc_fh *file,
	       uint64_t off, const void *bytes, size_t len, size_t *got,
	       uint8_t verf[NFSC_VERF_LEN])
{
	size_t count = MIN(len, session->write_max);
	struct nfsc_call call = NFSC_CALL(session, nfsc_write_take, .out = got,
					  .out2 = verf, .max = count);
	struct WRITE3args args = {
	    .file = nfsc_fh_arg(file),
	    .offset = off,
	    .count = (count3)count,
	    .stable = UNSTABLE,
	    .data = {(u_int)count, (char *)(uintptr_t)bytes}};

	return nfsc_wait(
	    session, &call,
	    rpc_nfs3_write_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_SYNC_MS);
}

static int nfsc_commit_take(struct nfsc_call *call, void *answer)
{
	const struct COMMIT3res *res = answer;

	if (res->status == NFS3_OK)
		memcpy(call->out, res->COMMIT3res_u.resok.verf, NFSC_VERF_LEN);
	return (int)res->status;
}

int nfsc_commit(struct nfsc_session *session, const struct nfsc_fh *file,
		uint8_t verf[NFSC_VERF_LEN])
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_commit_take, .out = verf);
	struct COMMIT3args args = {.file = nfsc_fh_arg(file)};

	return nfsc_wait(
	    session, &call,
	    rpc_nfs3_commit_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_SYNC_MS);
}

/* --- names --------------------------------------------------------------- */

static int nfsc_create_take(struct nfsc_call *call, void *answer)
{
	const struct CREATE3res *res = answer;
	const struct post_op_fh3 *obj = &res->CREATE3res_u.resok.obj;
	struct nfsc_fh *file = call->out;

	if (res->status != NFS3_OK)
		return (int)res->status;
	file->len = 0; /* a LOOKUP gets it */
	if (obj->handle_follows &&
	    !nfsc_fh_take(obj->post_op_fh3_u.handle.data.data_val,
			  obj->post_op_fh3_u.handle.data.data_len, file))
		return nfsc_misfit(call, "a file handle of that length");
	return 0;
}

int nfsc_create(struct nfsc_session *session, const struct nfsc_fh *dir,
		const char *name, struct nfsc_fh *file)
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_create_take, .out = file);
	struct CREATE3args args = {.where = nfsc_name_arg(dir, name),
				   .how = {.mode = GUARDED}};
	struct nfsc_object object;
	int rc;

	args.how.createhow3_u.g_obj_attributes = nfsc_mode_arg(NFSC_FILE_MODE);
	rc = nfsc_wait(
	    session, &call,
	    rpc_nfs3_create_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_SYNC_MS);
	if (rc || file->len)
		return rc;
	rc = nfsc_lookup(session, dir, name, &object);
	*file = object.fh;
	return rc;
}

/* The status is the first word of every result. */
static int nfsc_status_take(struct nfsc_call *call UNUSED, void *answer)
{
	return (int)*(const nfsstat3 *)answer;
}

int nfsc_mkdir(struct nfsc_session *session, const struct nfsc_fh *dir,
	       const char *name)
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_status_take, .out = NULL);
	struct MKDIR3args args = {.where = nfsc_name_arg(dir, name),
				  .attributes = nfsc_mode_arg(NFSC_DIR_MODE)};

	return nfsc_wait(
	    session, &call,
	    rpc_nfs3_mkdir_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_SYNC_MS);
}

int nfsc_rename(struct nfsc_session *session, const struct nfsc_fh *from_dir,
		const char *from, const struct nfsc_fh *to_dir, const char *to)
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_status_take, .out = NULL);
	struct RENAME3args args = {.from = nfsc_name_arg(from_dir, from),
				   .to = nfsc_name_arg(to_dir, to)};

	return nfsc_wait(
	    session, &call,
	    rpc_nfs3_rename_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_SYNC_MS);
}

int nfsc_link(struct nfsc_session *session, const struct nfsc_fh *file,
	      const struct nfsc_fh *dir, const char *name)
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_status_take, .out = NULL);
	struct LINK3args args = {.file = nfsc_fh_arg(file),
				 .link = nfsc_name_arg(dir, name)};

	return nfsc_wait(
	    session, &call,
	    rpc_nfs3_link_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_SYNC_MS);
}

int nfsc_remove(struct nfsc_session *session, const struct nfsc_fh *dir,
		const char *name)
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_status_take, .out = NULL);
	struct REMOVE3args args = {.object = nfsc_name_arg(dir, name)};

	return nfsc_wait(
	    session, &call,
	    rpc_nfs3_remove_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_SYNC_MS);
}

/* --- listing ------------------------------------------------------------- */

static bool nfsc_list_name_ok(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len > 0 && len <= NFSC_NAME_BYTES_MAX && !strchr(name, '/') &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int nfsc_list_take(struct nfsc_call *call, void *answer)
{
	const struct READDIRPLUS3res *res = answer;
	const struct READDIRPLUS3resok *ok = &res->READDIRPLUS3res_u.resok;
	struct nfsc_list *list = call->out;

	if (res->status != NFS3_OK)
		return (int)res->status;
	memcpy(list->verf, ok->cookieverf, NFSC_VERF_LEN);
	list->eof = ok->reply.eof != 0;
	for (const struct entryplus3 *e = ok->reply.entries; e;
	     e = e->nextentry) {
		const struct fattr3 *attr =
		    &e->name_attributes.post_op_attr_u.attributes;
		bool has_attr = e->name_attributes.attributes_follow;

		list->count++;
		list->cookie = e->cookie;
		if (!nfsc_list_name_ok(e->name) || list->stopped)
			continue;
		list->stopped = list->visit(list->ctx, e->name, has_attr,
					    has_attr && attr->type == NF3REG,
					    has_attr && attr->type == NF3DIR,
					    has_attr ? attr->size : 0);
	}
	return 0;
}

int nfsc_list_page(struct nfsc_session *session, const struct nfsc_fh *dir,
		   struct nfsc_list *list)
{
	struct nfsc_call call = NFSC_CALL(session, nfsc_list_take, .out = list);
	struct READDIRPLUS3args args = {.dir = nfsc_fh_arg(dir),
					.cookie = list->cookie,
					.dircount = NFSC_DIR_BYTES,
					.maxcount = NFSC_DIR_REPLY_BYTES};

	list->count = 0;
	memcpy(args.cookieverf, list->verf, NFSC_VERF_LEN);
	return nfsc_wait(session, &call,
			 rpc_nfs3_readdirplus_async(
			     session->rpc, nfsc_on_answer, &args, &call),
			 NFSC_ANSWER_MS);
}

/* --- sessions ------------------------------------------------------------ */

static int nfsc_connect(struct nfsc_session *session,
			const struct nfsc_place *place, int program,
			int version, unsigned int port)
{
	struct nfsc_call call = NFSC_CALL(session, NULL, .out = NULL);
	int queued;

	session->rpc = rpc_init_context();
	if (!session->rpc) {
		snprintf(session->why, NFSC_WHY_MAX, "no memory");
		return -ENOMEM;
	}
	if (port)
		queued = rpc_connect_async(session->rpc, place->host, (int)port,
					   nfsc_on_answer, &call);
	else
		queued = rpc_connect_program_async(session->rpc, place->host,
						   program, version,
						   nfsc_on_answer, &call);
	if (queued == 0)
		return nfsc_wait(session, &call, 0, NFSC_CONNECT_MS);
	snprintf(session->why, NFSC_WHY_MAX, "%.200s",
		 rpc_get_error(session->rpc));
	nfsc_break(session);
	return -EHOSTUNREACH;
}

static int nfsc_mount_take(struct nfsc_call *call, void *answer)
{
	const struct mountres3 *res = answer;
	const fhandle3 *fh = &res->mountres3_u.mountinfo.fhandle;

	if (res->fhs_status != MNT3_OK)
		return (int)res->fhs_status;
	if (!nfsc_fh_take(fh->fhandle3_val, fh->fhandle3_len, call->out))
		return nfsc_misfit(call, "a file handle of that length");
	return 0;
}

static int nfsc_mount(struct nfsc_session *session,
		      const struct nfsc_place *place, const char *path)
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_mount_take, .out = &session->root);
	int rc;

	rc = nfsc_connect(session, place, MOUNT_PROGRAM, MOUNT_V3,
			  place->mount_port);
	if (rc < 0)
		return rc;
	rc = nfsc_wait(session, &call,
		       rpc_mount3_mnt_async(session->rpc, nfsc_on_answer,
					    (char *)(uintptr_t)path, &call),
		       NFSC_ANSWER_MS);
	nfsc_break(session);
	if (rc > 0)
		snprintf(session->why, NFSC_WHY_MAX, "mounting %.150s: %s",
			 path, nfsc_status_text(rc));
	return rc;
}

static int nfsc_fsinfo_take(struct nfsc_call *call, void *answer)
{
	const struct FSINFO3res *res = answer;
	struct nfsc_session *session = call->out;
	size_t max = NFSC_IO_MAX;

	if (res->status != NFS3_OK)
		return (int)res->status;
	session->read_max =
	    MIN(MAX(res->FSINFO3res_u.resok.rtmax, (u_int)NFSC_IO_MIN), max);
	session->write_max =
	    MIN(MAX(res->FSINFO3res_u.resok.wtmax, (u_int)NFSC_IO_MIN), max);
	return 0;
}

static int nfsc_fsinfo(struct nfsc_session *session)
{
	struct nfsc_call call =
	    NFSC_CALL(session, nfsc_fsinfo_take, .out = session);
	struct FSINFO3args args = {.fsroot = nfsc_fh_arg(&session->root)};

	session->read_max = session->write_max = NFSC_IO_DEFAULT;
	return nfsc_wait(
	    session, &call,
	    rpc_nfs3_fsinfo_async(session->rpc, nfsc_on_answer, &args, &call),
	    NFSC_ANSWER_MS);
}

int nfsc_session_open(const struct nfsc_place *place, const char *path,
		      const atomic_bool *stopping, struct nfsc_session **out,
		      char why[NFSC_WHY_MAX])
{
	struct nfsc_session *session = calloc(1, sizeof(*session));
	int rc;

	snprintf(why, NFSC_WHY_MAX, "no memory");
	if (!session)
		return -ENOMEM;
	session->stopping = stopping;
	rc = nfsc_mount(session, place, path);
	if (rc == 0)
		rc = nfsc_connect(session, place, NFS_PROGRAM, NFS_V3,
				  place->port);
	if (rc == 0)
		rc = nfsc_fsinfo(session);
	/* A status: then the sizes are small. */
	if (rc < 0 || !session->rpc) {
		snprintf(why, NFSC_WHY_MAX, "%s", session->why);
		nfsc_session_close(session);
		return rc;
	}
	*out = session;
	return 0;
}

void nfsc_session_close(struct nfsc_session *session)
{
	if (!session)
		return;
	nfsc_break(session);
	free(session);
}

const struct nfsc_fh *nfsc_session_root(const struct nfsc_session *session)
{
	return &session->root;
}

const char *nfsc_session_why(const struct nfsc_session *session)
{
	return *session->why ? session->why : "connection lost";
}

const char *nfsc_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {
	    {NFSC_PERM, "NFS3ERR_PERM"},
	    {NFSC_NOENT, "NFS3ERR_NOENT"},
	    {NFSC_ACCES, "NFS3ERR_ACCES"},
	    {NFSC_EXIST, "NFS3ERR_EXIST"},
	    {NFSC_NOTDIR, "NFS3ERR_NOTDIR"},
	    {NFSC_ISDIR, "NFS3ERR_ISDIR"},
	    {NFSC_NOSPC, "NFS3ERR_NOSPC"},
	    {NFSC_ROFS, "NFS3ERR_ROFS"},
	    {NFSC_DQUOT, "NFS3ERR_DQUOT"},
	    {NFSC_STALE, "NFS3ERR_STALE"},
	    {NFSC_BADHANDLE, "NFS3ERR_BADHANDLE"},
	    {NFSC_JUKEBOX, "NFS3ERR_JUKEBOX"},
	    {5, "NFS3ERR_IO"},
	    {10006, "NFS3ERR_SERVERFAULT"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "another error of NFS";
}
