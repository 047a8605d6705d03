/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_http: a depot behind any web server.  This floor's only includer of
 * libcurl.
 *
 * An answer is taken only if it is exactly what was asked for: 206 with the
 * right Content-Range for a range (a 200 only where the range is the whole
 * object), no Content-Encoding, no redirect, never more bytes than asked.
 * Handles are kept and used again, so that connections are.
 *
 * Patience: 5 s to connect; a peer that is gone is found by the kernel in
 * SOURCE_HTTP_DEAD_MS, so one that is only slow may take its time, but not
 * below 1 KiB/s for SOURCE_HTTP_SLOW_S on end.
 */
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>

#include "depot/registry.h"
#include "depot/source.h"

enum {
	SOURCE_HTTP_CONNECT_MS = 5000,
	SOURCE_HTTP_DEAD_MS = 15000,
	SOURCE_HTTP_KEEPALIVE_S = 5,
	SOURCE_HTTP_SLOW_S = 75,
	SOURCE_HTTP_SLOW_BYTES_PER_S = 1024,
	SOURCE_HTTP_RETRY_AFTER_MAX_S = 30,
	SOURCE_HTTP_HANDLES_MAX = 16,         /* kept idle */
	SOURCE_HTTP_GET_FIRST_CAP = 64 << 10, /* bytes; doubles */
	SOURCE_HTTP_WHAT_MAX = 128,
	SOURCE_HTTP_RANGE_MAX = 64, /* characters of "from-to" */
};

struct source_http {
	struct source source;
	char *base; /* owns; ends in '/' */
	atomic_bool stopping;
	pthread_mutex_t lock;
	CURL *idle[SOURCE_HTTP_HANDLES_MAX]; /* lock; owns */
	unsigned int idle_count;             /* lock */
};

/* One request. */
struct source_http_call {
	struct source_http *http; /* borrows */
	CURL *curl;               /* borrows */
	const char *why;          /* refused; static text */
	long status;              /* of the last status line */
	bool ranged;              /* asked for [off, off + want) */
	bool range_told;          /* Content-Range is the right one */
	uint64_t off;
	size_t want;  /* ranged: exactly; else at most */
	uint8_t *buf; /* ranged: borrows; else owns */
	size_t len, cap;
	unsigned int retry_after_s;
	long os_errno;
	bool too_long, no_memory;
};

static struct source_http *source_http_of(struct source *source)
{
	return container_of(source, struct source_http, source);
}

/* --- what curl calls ----------------------------------------------------- */

static bool source_http_ok(const struct source_http_call *call)
{
	return call->status == 200 || call->status == 206;
}

/* Value of header `name` when the line is that header; not terminated. */
static const char *source_http_value(const char *line, size_t len,
				     const char *name, size_t *value_len)
{
	size_t name_len = strlen(name);

	if (len <= name_len || strncasecmp(line, name, name_len) != 0 ||
	    line[name_len] != ':')
		return NULL;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", line[len - 1]))
		len--;
	*value_len = len;
	return line;
}

/* "bytes FROM-TO/TOTAL"; the total is not ours to know. */
static bool source_http_range_right(const struct source_http_call *call,
				    const char *value, size_t len)
{
	char want[SOURCE_HTTP_RANGE_MAX];
	int want_len;

	want_len = snprintf(want, sizeof(want), "bytes %llu-%llu/",
			    (unsigned long long)call->off,
			    (unsigned long long)call->off + call->want - 1);
	return len > (size_t)want_len &&
	       strncasecmp(value, want, (size_t)want_len) == 0;
}

static void source_http_status(struct source_http_call *call, const char *line,
			       size_t len)
{
	char copy[16] = "";

	/* "HTTP/1.1 206 ..."; a 100 before it starts all over. */
	memcpy(copy, line, MIN(len, sizeof(copy) - 1));
	call->status = 0;
	if (strchr(copy, ' '))
		call->status = strtol(strchr(copy, ' '), NULL, 10);
	call->range_told = false;
	call->why = NULL;
	call->retry_after_s = 0;
}

static size_t source_http_on_header(char *line, size_t size, size_t count,
				    void *ctx)
{
	struct source_http_call *call = ctx;
	size_t len = size * count, value_len;
	const char *value;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		source_http_status(call, line, len);
		return len;
	}
	value = source_http_value(line, len, "Content-Encoding", &value_len);
	if (value && value_len > 0 &&
	    !(value_len == 8 && strncasecmp(value, "identity", 8) == 0))
		call->why = "refused: has a Content-Encoding";
	value = source_http_value(line, len, "Content-Range", &value_len);
	if (value)
		call->range_told =
		    source_http_range_right(call, value, value_len);
	value = source_http_value(line, len, "Retry-After", &value_len);
	if (value && value_len > 0 && value_len < 6)
		call->retry_after_s = (unsigned int)MIN(
		    strtoul(value, NULL, 10), SOURCE_HTTP_RETRY_AFTER_MAX_S);
	return len;
}

/* Before the first byte of a good answer: does it fit the question? */
static bool source_http_fits(struct source_http_call *call)
{
	if (call->why)
		return false;
	if (!call->ranged) {
		if (call->status != 200)
			call->why = "refused: a part of the object";
	} else if (call->status == 206) {
		if (!call->range_told)
			call->why = "refused: another range";
	} else if (call->off > 0) {
		call->why = "refused: the server ignores ranges";
	}
	return !call->why;
}

static bool source_http_grow(struct source_http_call *call, size_t need)
{
	size_t cap = MAX(call->cap, (size_t)SOURCE_HTTP_GET_FIRST_CAP);
	uint8_t *grown;

	if (need + 1 <= call->cap)
		return true;
	while (cap < need + 1)
		cap *= 2;
	grown = realloc(call->buf, cap);
	if (!grown) {
		call->no_memory = true;
		return false;
	}
	call->buf = grown;
	call->cap = cap;
	return true;
}

static size_t source_http_on_body(char *data, size_t size, size_t count,
				  void *ctx)
{
	struct source_http_call *call = ctx;
	size_t len = size * count;

	/* An error page: of no interest, but read, since the connection is. */
	if (!source_http_ok(call)) {
		call->len += len;
		return call->len <= SOURCE_HTTP_GET_FIRST_CAP ? len : 0;
	}
	if (!source_http_fits(call))
		return 0;
	if (len > call->want - call->len) {
		call->too_long = true;
		return 0;
	}
	if (!call->ranged && !source_http_grow(call, call->len + len))
		return 0;
	memcpy(call->buf + call->len, data, len);
	call->len += len;
	return len;
}

static int source_http_on_progress(void *ctx, curl_off_t total UNUSED,
				   curl_off_t now UNUSED,
				   curl_off_t up_total UNUSED,
				   curl_off_t up_now UNUSED)
{
	struct source_http_call *call = ctx;

	return atomic_load(&call->http->stopping);
}

static int source_http_on_socket(void *ctx UNUSED, curl_socket_t fd,
				 curlsocktype purpose UNUSED)
{
	unsigned int ms = SOURCE_HTTP_DEAD_MS;

	/* Best effort: without it a dead peer costs SOURCE_HTTP_SLOW_S. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

/* --- handles ------------------------------------------------------------- */

static void source_http_set_up(CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)SOURCE_HTTP_CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
			 (long)SOURCE_HTTP_SLOW_S);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT,
			 (long)SOURCE_HTTP_SLOW_BYTES_PER_S);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE,
			 (long)SOURCE_HTTP_KEEPALIVE_S);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL,
			 (long)SOURCE_HTTP_KEEPALIVE_S);
	curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, source_http_on_socket);
	/* What the operator gave is where we go: no proxy by environment. */
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "vdrive/" VDRIVE_VERSION);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, source_http_on_body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, source_http_on_header);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION,
			 source_http_on_progress);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

static CURL *source_http_take(struct source_http *http)
{
	CURL *curl = NULL;

	pthread_mutex_lock(&http->lock);
	if (http->idle_count > 0)
		curl = http->idle[--http->idle_count];
	pthread_mutex_unlock(&http->lock);
	if (curl)
		return curl;
	curl = curl_easy_init();
	if (curl)
		source_http_set_up(curl);
	return curl;
}

static void source_http_give_back(struct source_http *http, CURL *curl)
{
	pthread_mutex_lock(&http->lock);
	if (http->idle_count < SOURCE_HTTP_HANDLES_MAX) {
		http->idle[http->idle_count++] = curl;
		curl = NULL;
	}
	pthread_mutex_unlock(&http->lock);
	curl_easy_cleanup(curl);
}

/* --- one request --------------------------------------------------------- */

static int source_http_fault(struct source_fault *fault, int code,
			     const char *url, const char *what)
{
	/* A long URL must not push the reason out. */
	snprintf(fault->text, sizeof(fault->text), "GET %.*s: %.*s",
		 SOURCE_FAULT_MAX - SOURCE_HTTP_WHAT_MAX - 8, url,
		 SOURCE_HTTP_WHAT_MAX, what);
	return code;
}

/* The server answered, whole, with something that is no success. */
static int source_http_refused(const struct source_http_call *call,
			       const char *url, struct source_fault *fault)
{
	char what[64];
	int code;

	snprintf(what, sizeof(what), "%ld%s", call->status,
		 call->status >= 300 && call->status < 400
		     ? " (redirects are not followed)"
		     : "");
	fault->retry_after_s = call->retry_after_s;
	fault->denied = call->status == 401 || call->status == 403;
	if (call->status == 404 || call->status == 410 || call->status == 403 ||
	    call->status == 401)
		code = -ENOENT;
	else if (call->status == 429 || call->status == 408 ||
		 call->status >= 500)
		code = -EHOSTUNREACH;
	else
		code = -EBADMSG;
	return source_http_fault(fault, code, url, what);
}

/* What a finished request means, in the words of source.h. */
static int source_http_judge(struct source_http_call *call, CURLcode done,
			     const char *url, struct source_fault *fault)
{
	char what[SOURCE_HTTP_WHAT_MAX];

	if (atomic_load(&call->http->stopping))
		return source_http_fault(fault, -ECANCELED, url, "stopped");
	if (call->no_memory || done == CURLE_OUT_OF_MEMORY)
		return source_http_fault(fault, -ENOMEM, url, "no memory");
	if (call->status != 0 && !source_http_ok(call))
		return source_http_refused(call, url, fault);
	if (call->why)
		return source_http_fault(fault, -EBADMSG, url, call->why);
	if (call->too_long)
		return source_http_fault(fault,
					 call->ranged ? -EBADMSG : -EFBIG, url,
					 "refused: longer than asked for");
	if (done != CURLE_OK)
		return source_http_fault(
		    fault, -EHOSTUNREACH, url,
		    call->os_errno ? strerrordesc_np((int)call->os_errno)
				   : curl_easy_strerror(done));
	/* An empty body has asked source_http_on_body nothing. */
	if (!source_http_fits(call))
		return source_http_fault(fault, -EBADMSG, url, call->why);
	if (call->ranged && call->len != call->want) {
		snprintf(what, sizeof(what), "%zu bytes instead of %zu",
			 call->len, call->want);
		return source_http_fault(fault, -EBADMSG, url, what);
	}
	return 0;
}

static int source_http_perform(struct source_http_call *call, const char *path,
			       struct source_fault *fault)
{
	char url[UPSTREAM_URL_MAX + 256], range[SOURCE_HTTP_RANGE_MAX];
	CURL *curl = source_http_take(call->http);
	CURLcode done;

	memset(fault, 0, sizeof(*fault));
	snprintf(url, sizeof(url), "%s%s", call->http->base, path);
	if (!curl)
		return source_http_fault(fault, -ENOMEM, url, "no memory");
	snprintf(range, sizeof(range), "%llu-%llu",
		 (unsigned long long)call->off,
		 (unsigned long long)call->off + call->want - 1);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_RANGE, call->ranged ? range : NULL);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, call);
	done = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &call->os_errno);
	source_http_give_back(call->http, curl);
	return source_http_judge(call, done, url, fault);
}

static int source_http_get(struct source *source, const char *path, size_t max,
			   void **buf, size_t *len, struct source_fault *fault)
{
	struct source_http_call call = {.http = source_http_of(source),
					.want = max};
	int rc;

	rc = source_http_perform(&call, path, fault);
	if (rc == 0 && !source_http_grow(&call, call.len))
		rc = -ENOMEM;
	if (rc < 0) {
		free(call.buf);
		return rc;
	}
	call.buf[call.len] = '\0';
	*buf = call.buf;
	*len = call.len;
	return 0;
}

static int source_http_range(struct source *source, const char *path,
			     uint64_t off, size_t len, void *buf,
			     struct source_fault *fault)
{
	struct source_http_call call = {.http = source_http_of(source),
					.ranged = true,
					.off = off,
					.want = len,
					.buf = buf};

	ASSERT(len > 0);

	return source_http_perform(&call, path, fault);
}

/* --- the source ---------------------------------------------------------- */

static void source_http_stop(struct source *source)
{
	atomic_store(&source_http_of(source)->stopping, true);
}

static void source_http_free(struct source *source)
{
	struct source_http *http = source_http_of(source);

	for (unsigned int i = 0; i < http->idle_count; i++)
		curl_easy_cleanup(http->idle[i]);
	pthread_mutex_destroy(&http->lock);
	free(http->base);
	free(http);
}

static const struct source_ops source_http_ops = {
    .get = source_http_get,
    .range = source_http_range,
    .stop = source_http_stop,
    .free = source_http_free,
};

/* A host, and nothing that is a secret or would be cut off by a path. */
static bool source_http_url_ok(const char *url)
{
	const char *host = strstr(url, "://") + 3;

	if (strlen(url) >= UPSTREAM_URL_MAX)
		return false;
	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("@?#\\\"<>{}|^`", *p))
			return false;
	return *host != '\0' && *host != '/' && *host != ':';
}

static void source_http_global_init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

int source_http_new(const char *url,
		    const struct source_options *options UNUSED,
		    struct source **source)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct source_http *http;
	bool slash;

	if (!source_http_url_ok(url))
		return -EINVAL;
	pthread_once(&once, source_http_global_init);
	http = calloc(1, sizeof(*http));
	if (!http)
		return -ENOMEM;
	http->source.ops = &source_http_ops;
	slash = url[strlen(url) - 1] == '/';
	if (asprintf(&http->base, "%s%s", url, slash ? "" : "/") < 0) {
		free(http);
		return -ENOMEM;
	}
	pthread_mutex_init(&http->lock, NULL);
	*source = &http->source;
	return 0;
}
