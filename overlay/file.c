/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: reading regular files and symbolic links.
 *
 * A package file is answered from pinned chunks, without a copy.  A file with
 * bytes in the delta is put together in a buffer: host file where a page is
 * present, base below base_limit, zeros elsewhere.
 */
#include <fcntl.h>

#include "depot/log.h"
#include "overlay/view_impl.h"

static const uint8_t file_zeros[128 << 10];

/* Owner whatever the mode, and whoever may execute (RFC 1813 4.4). */
static bool file_may_read(struct view *view, const struct inode *inode,
			  const struct view_cred *cred)
{
	return cred->uid == inode->rec.uid ||
	       inode_may(view, inode, cred, VIEW_MAY_READ) ||
	       inode_may(view, inode, cred, VIEW_MAY_EXEC);
}

static int read_check(struct view *view, const struct inode *inode,
		      const struct view_cred *cred)
{
	if (S_ISDIR(inode->rec.mode))
		return -EISDIR;
	if (!S_ISREG(inode->rec.mode))
		return -EINVAL;
	return file_may_read(view, inode, cred) ? 0 : -EACCES;
}

/* --- from the package: iovecs into chunks -------------------------------- */

static void read_add(struct view_read *read, const void *data, size_t len)
{
	ASSERT(read->iov_count < ARRAY_LEN(read->iov));
	read->iov[read->iov_count++] =
	    (struct iovec){(void *)(uintptr_t)data, len};
	read->len += len;
}

/* Zeros for [from, to); short when there is no room for more iovecs. */
static bool read_zeros(struct view_read *read, uint64_t from, uint64_t to)
{
	while (from < to) {
		size_t len = MIN(to - from, sizeof(file_zeros));

		if (read->iov_count == ARRAY_LEN(read->iov))
			return false;
		read_add(read, file_zeros, len);
		from += len;
	}
	return true;
}

static int read_package(struct view *view, const struct inode *inode,
			uint64_t off, size_t len, struct view_wait *wait,
			struct view_read *read)
{
	uint64_t end = off + len;
	uint64_t base_end = MIN(end, MAX(off, inode->rec.data.base_limit));
	struct gather g;
	uint64_t at = off;
	int rc;

	gather_begin(&g, view, wait, inode_base(view, &inode->rec));
	if (base_end > off) {
		if (!g.tree)
			return log_err(-EIO, "%s: base of a file is missing",
				       view->info.path);
		at = gather_add(&g, inode->rec.base_inode, off, base_end - off);
		if (at < base_end)
			end = base_end = at;
		at = off;
	}
	rc = gather_run(&g);
	read->fetched = rc == 0 && (wait->depot.cold || wait->depot.ahead);
	if (g.read.count > 0 && (rc == -EINPROGRESS || read->fetched))
		ahead_read(view, g.tree, inode->rec.base_inode,
			   g.read.piece[0].shard,
			   g.read.piece[g.read.count - 1].shard,
			   rc == 0 && wait->depot.cold);
	if (rc < 0)
		return rc;
	for (unsigned int i = 0; i < wait->depot.count && g.read.count; i++) {
		uint64_t from = MAX(at, wait->chunk_off[i]);
		uint64_t to =
		    MIN(base_end, wait->chunk_off[i] + wait->chunk_len[i]);

		if (!read_zeros(read, at, from) ||
		    read->iov_count == ARRAY_LEN(read->iov))
			return 0;
		read_add(read,
			 chunk_data(wait->depot.piece[i].chunk) +
			     (from - wait->chunk_off[i]),
			 to - from);
		at = to;
	}
	(void)read_zeros(read, at, end);
	return 0;
}

/* --- from the delta: a buffer -------------------------------------------- */

static int read_inline(struct view *view, const struct inode *inode,
		       uint64_t off, size_t len, uint8_t *buf)
{
	uint8_t data[RECORD_INLINE_MAX];
	size_t data_len;
	int rc = inline_get(view, inode->fileid, data, &data_len);

	if (rc < 0)
		return rc;
	memset(buf, 0, len);
	if (off < data_len)
		memcpy(buf, data + off, MIN(len, data_len - off));
	return 0;
}

/* Ask for the base's chunks under absent pages of [off, end); returns the end
 * of what that covers. */
static uint64_t host_gather(struct gather *g, const struct inode *inode,
			    uint64_t off, uint64_t end)
{
	const struct node *node = inode->node;
	uint64_t base_end =
	    MIN(end, MIN(inode->rec.data.base_limit, node->base_seen));

	while (off < base_end) {
		uint64_t page = off / RECORD_PAGE;
		uint64_t last = (base_end + RECORD_PAGE - 1) / RECORD_PAGE;
		uint64_t run = node_source_end(node, page, last);
		uint64_t run_end = MIN(run * RECORD_PAGE, base_end);

		if (node_source(node, page).kind == NODE_BASE) {
			uint64_t got = gather_add(g, inode->rec.base_inode, off,
						  run_end - off);

			if (got < run_end)
				return got;
		}
		off = run_end;
	}
	return end;
}

/* Like io_pread_all, but what lies behind the end of the file is zeros: a cut
 * leaves the last present page short, and SETATTR may have made it longer. */
static int host_pread_blocking(int fd, uint8_t *buf, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pread(fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return log_err(-EIO, "host file: %s", strerror(errno));
		if (n == 0) {
			memset(buf, 0, len);
			return 0;
		}
		buf += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

/*
 * Read what the page cache has; the rest only when the file was read ahead
 * before (a worker must not wait for a disk).
 */
int host_pread(int fd, uint8_t *buf, size_t len, uint64_t off, bool may_block)
{
	struct iovec iov = {buf, len};
	struct stat st;
	ssize_t n;

	if (may_block)
		return host_pread_blocking(fd, buf, len, off);
	n = preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT);
	if (n == (ssize_t)len)
		return 0;
	if (n < 0 && errno == EOPNOTSUPP)
		return host_pread_blocking(fd, buf, len, off);
	n = MAX(n, 0);
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size > off + (uint64_t)n)
		return -EAGAIN;
	memset(buf + n, 0, len - (size_t)n);
	return 0;
}

/* *fd: of the file to be read ahead, when -EAGAIN is returned. */
static int host_copy(const struct inode *inode, uint64_t off, uint64_t end,
		     const struct view_wait *wait, uint8_t *buf, int *fd)
{
	const struct node *node = inode->node;

	while (off < end) {
		uint64_t page = off / RECORD_PAGE;
		uint64_t last = (end + RECORD_PAGE - 1) / RECORD_PAGE;
		uint64_t run_end =
		    MIN(node_source_end(node, page, last) * RECORD_PAGE, end);
		struct node_source source = node_source(node, page);
		size_t len = run_end - off;
		int rc = 0;

		*fd = node->fd;
		if (source.kind == NODE_HERE) {
			rc = host_pread(node->fd, buf, len, off, wait->warmed);
		} else if (source.kind == NODE_BELOW) {
			*fd = source.below->fd;
			rc = node_below_read(&source, buf, len, off,
					     wait->warmed);
		} else {
			uint64_t base_end = MIN(run_end, MAX(off, source.seen));

			memset(buf, 0, len);
			gather_copy(wait, off, base_end - off, buf);
		}
		if (rc < 0)
			return rc;
		buf += len;
		off = run_end;
	}
	return 0;
}

/* Read ahead on a pool thread, then run the call again. */
static void read_ahead(struct pool_job *job)
{
	struct view_wait *wait = container_of(job, struct view_wait, job);
	struct view *view = wait->view;
	uint8_t buf[1 << 16];

	for (size_t done = 0; done < wait->len;) {
		ssize_t n =
		    pread(wait->fd, buf, MIN(sizeof(buf), wait->len - done),
			  (off_t)(wait->off + done));

		if (n <= 0)
			break; /* the rerun meets the error itself */
		done += (size_t)n;
	}
	base_close_ptr(&wait->fd);
	wait->fd = -1;
	wait->warmed = true;
	__atomic_store_n(&wait->kind, WAIT_IDLE, __ATOMIC_RELEASE);
	wait->wake(wait);
	view_flight_end(view);
}

static int read_ahead_start(struct view *view, int fd, uint64_t off, size_t len,
			    struct view_wait *wait)
{
	view_wait_release(wait);
	wait->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (wait->fd < 0)
		return log_err(-errno, "%s: host file", view->info.path);
	wait->view = view;
	wait->off = off;
	wait->len = len;
	wait->job.run = read_ahead;
	wait->kind = WAIT_POOL;
	view_flight_begin(view);
	pool_submit(depot_pool(view->depot), &wait->job);
	return -EINPROGRESS;
}

static int read_host(struct view *view, const struct inode *inode, uint64_t off,
		     size_t *len, struct view_wait *wait, uint8_t *buf)
{
	struct gather g;
	int rc, fd;

	gather_begin(&g, view, wait, inode_base(view, &inode->rec));
	if (g.tree)
		*len = host_gather(&g, inode, off, off + *len) - off;
	else if (inode->node->base_seen > 0 && !inode->rec.data.lower)
		return log_err(-EIO, "%s: base of a file is missing",
			       view->info.path);
	rc = gather_run(&g);
	if (rc < 0)
		return rc;
	rc = host_copy(inode, off, off + *len, wait, buf, &fd);
	if (rc == -EAGAIN)
		rc = read_ahead_start(view, fd, off, *len, wait);
	return rc;
}

static int read_delta(struct view *view, const struct inode *inode,
		      uint64_t off, size_t len, struct view_wait *wait,
		      struct view_read *read)
{
	uint8_t *buf = malloc(MAX(len, 1u));
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = inode->rec.data.kind == RECORD_DATA_INLINE
		 ? read_inline(view, inode, off, len, buf)
		 : read_host(view, inode, off, &len, wait, buf);
	if (rc < 0) {
		free(buf);
		return rc;
	}
	read->buf = buf;
	if (len > 0)
		read_add(read, buf, len);
	return 0;
}

/* --- READ ---------------------------------------------------------------- */

/* A host file's node is made under the lock held alone, then we begin anew. */
static int read_open_node(struct view *view, struct view_object obj)
{
	struct inode inode;
	int rc;

	pthread_rwlock_wrlock(&view->lock);
	rc = inode_load_old(view, obj.fileid, obj.generation, &inode);
	if (rc == 0 && inode.node)
		rc = node_mend(view, &inode);
	else if (rc == 0 && inode_is_pieced(&inode))
		rc = node_open(view, &inode);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

static int read_locked(struct view *view, const struct view_cred *cred,
		       struct view_object obj, uint64_t off, size_t len,
		       struct view_wait *wait, struct view_read *read)
{
	struct inode inode;
	uint64_t size;
	int rc = inode_load_old(view, obj.fileid, obj.generation, &inode);

	if (rc < 0) {
		memset(&read->attr, 0, sizeof(read->attr));
		return rc;
	}
	inode_attr(view, &inode, &read->attr);
	rc = read_check(view, &inode, cred);
	if (rc < 0)
		return rc;
	size = inode.rec.data.size;
	len = off < size ? MIN(len, size - off) : 0;
	if (inode_is_pieced(&inode) && (!inode.node || inode.node->broken))
		return -ENOLINK; /* read_open_node, then again */
	if (inode.rec.data.kind == RECORD_DATA_NONE && !inode.rec.data.lower)
		rc = read_package(view, &inode, off, len, wait, read);
	else
		rc = read_delta(view, &inode, off, len, wait, read);
	read->eof = off + read->len >= size;
	return rc;
}

int view_read(struct view *view, const struct view_cred *cred,
	      struct view_object obj, uint64_t off, size_t len,
	      struct view_wait *wait, struct view_read *read)
{
	int rc;

	ASSERT(len <= VIEW_IO_MAX);
	do {
		read->iov_count = 0;
		read->len = 0;
		read->buf = NULL;
		read->fetched = false;
		pthread_rwlock_rdlock(&view->lock);
		rc = read_locked(view, cred, obj, off, len, wait, read);
		pthread_rwlock_unlock(&view->lock);
		if (rc != -ENOLINK)
			return rc;
		rc = read_open_node(view, obj);
	} while (rc == 0);
	return rc;
}

void view_read_release(struct view_read *read, struct view_wait *wait)
{
	free(read->buf);
	read->buf = NULL;
	view_wait_release(wait);
}

/* --- READLINK ------------------------------------------------------------ */

static int readlink_locked(struct view *view, struct view_object obj, char *buf,
			   size_t *len, struct view_attr *attr)
{
	uint8_t data[RECORD_INLINE_MAX];
	struct inode inode;
	struct tree *tree;
	const char *target;
	int rc = inode_load_old(view, obj.fileid, obj.generation, &inode);

	if (rc < 0) {
		memset(attr, 0, sizeof(*attr));
		return rc;
	}
	inode_attr(view, &inode, attr);
	if (!S_ISLNK(inode.rec.mode))
		return -EINVAL;
	tree = inode_base(view, &inode.rec);
	if (tree) {
		target = tree_symlink(tree, inode.rec.base_inode, len);
		memcpy(buf, target, *len);
		return 0;
	}
	rc = inline_get(view, inode.fileid, data, len);
	if (rc < 0)
		return rc;
	*len = MIN(*len, (size_t)VIEW_SYMLINK_MAX);
	memcpy(buf, data, *len);
	return 0;
}

int view_readlink(struct view *view, struct view_object obj, char *buf,
		  size_t *len, struct view_attr *attr)
{
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = readlink_locked(view, obj, buf, len, attr);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}
