/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_s3: a depot in a bucket, read and written, in path style:
 * ENDPOINT/BUCKET[/PREFIX]/PATH.
 *
 * Rules of signing that libcurl leaves to us: x-amz-content-sha256 is ours to
 * set, also of nothing; a query is sorted, and each parameter has a "="; a path
 * is percent-encoded as S3 wants it, all but unreserved letters and '/'.
 *
 * create: PUT with "If-None-Match: *" (Amazon since 2024, Ceph, MinIO).  Where
 * the server has no such thing (Swift: 501) the object is asked for, put, and
 * read back after SOURCE_S3_SETTLE_MS: of those who put within that time the
 * last one has it, the others see its bytes.  A put that took longer than half
 * of it is not trusted, so a stalled writer can't take what another was given.
 */
#include <stdio.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/digest.h"
#include "depot/http.h"
#include "depot/io.h"
#include "depot/s3_xml.h"
#include "depot/source.h"

enum {
	SOURCE_S3_PAGE_MAX = 8 << 20, /* bytes of one page of a listing */
	SOURCE_S3_SETTLE_MS = 2000,
	SOURCE_S3_PAGES_MAX = 100000,
	SOURCE_S3_STEP = 256 << 10, /* bytes digested at one time */
	SOURCE_S3_CREATE_MAX = 64 << 10,
	SOURCE_S3_HASH_HEADER = sizeof("x-amz-content-sha256: ") + 64,
};

struct source_s3 {
	struct source source;
	struct http *http; /* owns */
	char *bucket_url;  /* owns; "ENDPOINT/BUCKET" */
	char *prefix;      /* owns; "" or "a/b/" */
};

static struct source_s3 *source_s3_of(struct source *source)
{
	return container_of(source, struct source_s3, source);
}

/* --- URLs ---------------------------------------------------------------- */

/* Appends `text`, encoded; -ENAMETOOLONG. */
static int source_s3_encode(char *url, size_t size, const char *text,
			    bool keep_slash)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "abcdefghijklmnopqrstuvwxyz"
					 "0123456789-_.~";
	size_t len = strlen(url);

	for (; *text; text++) {
		if (len + 4 > size)
			return -ENAMETOOLONG;
		if (strchr(unreserved, *text) || (keep_slash && *text == '/'))
			url[len++] = *text;
		else
			len += (size_t)snprintf(url + len, 4, "%%%02X",
						(unsigned char)*text);
		url[len] = '\0';
	}
	return 0;
}

static int source_s3_url(struct source *source, const char *path,
			 char url[HTTP_URL_MAX])
{
	struct source_s3 *s3 = source_s3_of(source);
	int rc;

	snprintf(url, HTTP_URL_MAX, "%s/", s3->bucket_url);
	rc = source_s3_encode(url, HTTP_URL_MAX, s3->prefix, true);
	return rc < 0 ? rc : source_s3_encode(url, HTTP_URL_MAX, path, true);
}

/* --- requests ------------------------------------------------------------ */

/* What the server's own words mean: a key or a clock that is wrong is no
 * missing object, and passes when it is put right. */
static int source_s3_meaning(int rc, const char *code, bool writes)
{
	static const char *const ours[] = {
	    "InvalidAccessKeyId",
	    "SignatureDoesNotMatch",
	    "AuthorizationHeaderMalformed",
	    "RequestTimeTooSkewed",
	    "RequestExpired",
	    "NoSuchBucket",
	    "InvalidRequest",
	};

	if (strcmp(code, "PreconditionFailed") == 0 ||
	    strcmp(code, "ConditionalRequestConflict") == 0)
		return -EEXIST;
	if (strcmp(code, "NotImplemented") == 0)
		return -EOPNOTSUPP;
	if (strcmp(code, "QuotaExceeded") == 0)
		return -ENOSPC;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (strcmp(code, ours[i]) == 0)
			return writes && i < 3 ? -EACCES : -EHOSTUNREACH;
	return rc;
}

static const char *source_s3_advice(const char *code)
{
	if (strcmp(code, "RequestTimeTooSkewed") == 0 ||
	    strcmp(code, "RequestExpired") == 0)
		return "; this host's clock and the server's differ";
	if (strcmp(code, "SignatureDoesNotMatch") == 0)
		return "; is the secret key right?";
	if (strcmp(code, "AuthorizationHeaderMalformed") == 0)
		return "; is --region right?";
	return "";
}

static int source_s3_refused(const struct http_request *request,
			     const struct http_answer *answer, int rc,
			     struct source_fault *fault)
{
	struct s3_error error;
	char why[HTTP_WHY_MAX];

	if (answer->status < 300 || answer->error_len == 0)
		return rc;
	s3_error_read(answer->error, answer->error_len, &error);
	if (!*error.code)
		return rc;
	snprintf(why, sizeof(why), "%u %s%s%s%s", answer->status, error.code,
		 *error.message ? ": " : "", error.message,
		 source_s3_advice(error.code));
	rc = source_s3_meaning(rc, error.code, answer->no_body);
	return http_fault(fault, rc, request->method, request->url, why);
}

/* The digest of what is sent goes with it, signed. */
static int source_s3_call(struct source *source, struct http_request *request,
			  const struct digest *sent, struct http_answer *answer,
			  struct source_fault *fault)
{
	struct digest nothing = digest_of("", 0);
	char header[SOURCE_S3_HASH_HEADER], hex[DIGEST_HEX_LEN + 1];
	int rc;

	digest_to_hex(sent ? sent : &nothing, hex);
	snprintf(header, sizeof(header), "x-amz-content-sha256: %s", hex);
	request->headers[0] = header;
	rc = http_call(source_s3_of(source)->http, request, answer, fault);
	return rc < 0 ? source_s3_refused(request, answer, rc, fault) : 0;
}

static int source_s3_object(struct source *source, const char *method,
			    const char *path, struct http_request *request,
			    char url[HTTP_URL_MAX], struct source_fault *fault)
{
	memset(fault, 0, sizeof(*fault));
	request->method = method;
	request->url = url;
	if (source_s3_url(source, path, url) == 0)
		return 0;
	return http_fault(fault, -EBADMSG, method, url, "name too long");
}

static int source_s3_get(struct source *source, const char *path, size_t max,
			 void **buf, size_t *len, struct source_fault *fault)
{
	struct http_answer answer = {.want = max};
	struct http_request request = {.fd = -1};
	char url[HTTP_URL_MAX];
	int rc;

	rc = source_s3_object(source, "GET", path, &request, url, fault);
	if (rc == 0)
		rc = source_s3_call(source, &request, NULL, &answer, fault);
	if (rc < 0) {
		free(answer.buf);
		return rc;
	}
	*buf = answer.buf;
	*len = answer.len;
	return 0;
}

static int source_s3_range_watched(struct source *source, const char *path,
				   uint64_t off, size_t len, void *buf,
				   struct source_watch *watch,
				   struct source_fault *fault)
{
	struct http_answer answer = {
	    .ranged = true, .off = off, .want = len, .buf = buf};
	struct http_request request = {.fd = -1, .watch = watch};
	char url[HTTP_URL_MAX];
	int rc;

	ASSERT(len > 0);

	rc = source_s3_object(source, "GET", path, &request, url, fault);
	return rc < 0 ? rc
		      : source_s3_call(source, &request, NULL, &answer, fault);
}

static int source_s3_range(struct source *source, const char *path,
			   uint64_t off, size_t len, void *buf,
			   struct source_fault *fault)
{
	return source_s3_range_watched(source, path, off, len, buf, NULL,
				       fault);
}

/* --- writing ------------------------------------------------------------- */

/* `condition`: a header, or NULL. */
static int source_s3_send(struct source *source, const char *path,
			  struct http_request *request,
			  const struct digest *sent, const char *condition,
			  struct source_fault *fault)
{
	struct http_answer answer = {.no_body = true};
	char url[HTTP_URL_MAX];
	int rc;

	rc = source_s3_object(source, "PUT", path, request, url, fault);
	request->headers[1] = condition;
	if (rc == 0)
		rc = source_s3_call(source, request, sent, &answer, fault);
	/* A condition may be refused without a word of XML. */
	if (rc < 0 && condition && answer.status == 412)
		return -EEXIST;
	if (rc < 0 && condition && answer.status == 501)
		return -EOPNOTSUPP;
	return rc;
}

static int source_s3_put(struct source *source, const char *path,
			 const void *bytes, size_t len,
			 struct source_fault *fault)
{
	struct http_request request = {.bytes = bytes, .fd = -1, .len = len};
	struct digest sent = digest_of(bytes, len);

	return source_s3_send(source, path, &request, &sent, NULL, fault);
}

static int source_s3_digest_file(int fd, uint64_t len, struct digest *digest)
{
	struct digest_ctx *ctx = digest_ctx_new();
	CLEANUP_FREE uint8_t *buf = malloc(SOURCE_S3_STEP);
	int rc = ctx && buf ? 0 : -ENOMEM;

	for (uint64_t off = 0; rc == 0 && off < len; off += SOURCE_S3_STEP) {
		size_t step = (size_t)MIN(len - off, (uint64_t)SOURCE_S3_STEP);

		rc = io_pread_all(fd, buf, step, off);
		if (rc == 0)
			digest_ctx_add(ctx, buf, step);
	}
	if (ctx)
		*digest = digest_ctx_end(ctx);
	return rc;
}

static int source_s3_put_file(struct source *source, const char *path, int fd,
			      uint64_t len, struct source_fault *fault)
{
	struct http_request request = {.fd = fd, .len = len};
	struct digest sent;
	int rc;

	memset(fault, 0, sizeof(*fault));
	rc = source_s3_digest_file(fd, len, &sent);
	if (rc < 0) {
		snprintf(fault->text, sizeof(fault->text),
			 "PUT %s: its file: %s", path, strerrordesc_np(-rc));
		return rc == -ENOMEM ? rc : -EHOSTUNREACH;
	}
	return source_s3_send(source, path, &request, &sent, NULL, fault);
}

static int source_s3_taken(struct source_fault *fault, const char *path)
{
	snprintf(fault->text, sizeof(fault->text), "%.300s: it is there", path);
	return -EEXIST;
}

/* See the head of this file. */
static int source_s3_create_settled(struct source *source, const char *path,
				    const void *bytes, size_t len,
				    struct source_fault *fault)
{
	struct timespec settle = {SOURCE_S3_SETTLE_MS / 1000, 0};
	CLEANUP_FREE void *there = NULL;
	uint64_t start = clock_ms();
	size_t there_len;
	int rc;

	rc = source_s3_get(source, path, SOURCE_S3_CREATE_MAX, &there,
			   &there_len, fault);
	if (rc == 0 || rc == -EFBIG)
		return source_s3_taken(fault, path);
	if (rc != -ENOENT)
		return rc;
	rc = source_s3_put(source, path, bytes, len, fault);
	if (rc < 0)
		return rc;
	if (clock_ms() - start > SOURCE_S3_SETTLE_MS / 2) {
		snprintf(fault->text, sizeof(fault->text),
			 "%.300s: the server is too slow to be sure of it",
			 path);
		return -EHOSTUNREACH;
	}
	nanosleep(&settle, NULL);
	rc = source_s3_get(source, path, SOURCE_S3_CREATE_MAX, &there,
			   &there_len, fault);
	if (rc < 0)
		return rc == -EFBIG ? source_s3_taken(fault, path) : rc;
	return there_len == len && memcmp(there, bytes, len) == 0
		   ? 0
		   : source_s3_taken(fault, path);
}

static int source_s3_create(struct source *source, const char *path,
			    const void *bytes, size_t len,
			    struct source_fault *fault)
{
	struct http_request request = {.bytes = bytes, .fd = -1, .len = len};
	struct digest sent = digest_of(bytes, len);
	int rc;

	rc = source_s3_send(source, path, &request, &sent, "If-None-Match: *",
			    fault);
	if (rc == -EOPNOTSUPP)
		return source_s3_create_settled(source, path, bytes, len,
						fault);
	return rc;
}

static int source_s3_remove(struct source *source, const char *path,
			    struct source_fault *fault)
{
	struct http_answer answer = {.no_body = true};
	struct http_request request = {.fd = -1};
	char url[HTTP_URL_MAX];
	int rc;

	rc = source_s3_object(source, "DELETE", path, &request, url, fault);
	return rc < 0 ? rc
		      : source_s3_call(source, &request, NULL, &answer, fault);
}

/* --- list ---------------------------------------------------------------- */

struct source_s3_list {
	const char *prefix; /* of all keys; names begin behind it */
	int (*visit)(void *ctx, const char *name, uint64_t len);
	void *ctx;
};

static int source_s3_list_visit(void *ctx, const char *key, uint64_t len)
{
	struct source_s3_list *list = ctx;
	size_t prefix_len = strlen(list->prefix);

	/* The directory itself, or a server that does as it likes. */
	if (strncmp(key, list->prefix, prefix_len) != 0 || !key[prefix_len])
		return 0;
	return list->visit(list->ctx, key + prefix_len, len);
}

/* Parameters in the order of their names. */
static int source_s3_list_url(const struct source_s3 *s3, const char *prefix,
			      const char *token, char url[HTTP_URL_MAX])
{
	int rc = 0;

	snprintf(url, HTTP_URL_MAX, "%s?", s3->bucket_url);
	if (*token) {
		strcat(url, "continuation-token=");
		rc = source_s3_encode(url, HTTP_URL_MAX, token, false);
	}
	if (rc == 0 && strlen(url) + 64 < HTTP_URL_MAX) {
		strcat(url, *token ? "&delimiter=%2F&list-type=2&prefix="
				   : "delimiter=%2F&list-type=2&prefix=");
		rc = source_s3_encode(url, HTTP_URL_MAX, prefix, false);
	} else if (rc == 0) {
		rc = -ENAMETOOLONG;
	}
	return rc;
}

static int source_s3_list_page(struct source *source,
			       struct source_s3_list *list,
			       struct s3_list_end *end,
			       struct source_fault *fault)
{
	struct http_answer answer = {.want = SOURCE_S3_PAGE_MAX};
	struct http_request request = {.method = "GET", .fd = -1};
	char url[HTTP_URL_MAX];
	int rc;

	request.url = url;
	if (source_s3_list_url(source_s3_of(source), list->prefix, end->token,
			       url) < 0)
		return http_fault(fault, -EBADMSG, "GET", url, "name too long");
	rc = source_s3_call(source, &request, NULL, &answer, fault);
	if (rc == 0) {
		rc = s3_list_read((char *)answer.buf, answer.len,
				  source_s3_list_visit, list, end);
		if (rc == -EBADMSG)
			http_fault(fault, rc, "GET", url,
				   "the answer is no listing");
	}
	free(answer.buf);
	return rc;
}

static int source_s3_list(struct source *source, const char *dir,
			  int (*visit)(void *ctx, const char *name,
				       uint64_t len),
			  void *ctx, struct source_fault *fault)
{
	struct source_s3 *s3 = source_s3_of(source);
	struct s3_list_end end = {.more = true};
	CLEANUP_FREE char *prefix = NULL;
	struct source_s3_list list = {.visit = visit, .ctx = ctx};
	int rc = 0;

	memset(fault, 0, sizeof(*fault));
	if (asprintf(&prefix, "%s%s%s", s3->prefix, dir, *dir ? "/" : "") < 0) {
		prefix = NULL;
		return -ENOMEM;
	}
	list.prefix = prefix;
	for (unsigned int page = 0; rc == 0 && end.more; page++) {
		if (page == SOURCE_S3_PAGES_MAX)
			return http_fault(fault, -EBADMSG, "GET",
					  s3->bucket_url,
					  "a listing without end");
		rc = source_s3_list_page(source, &list, &end, fault);
	}
	return rc;
}

/* --- the source ---------------------------------------------------------- */

static void source_s3_stop(struct source *source)
{
	http_stop(source_s3_of(source)->http);
}

static void source_s3_stop_get(struct source *source)
{
	http_stop_get(source_s3_of(source)->http);
}

static void source_s3_free(struct source *source)
{
	struct source_s3 *s3 = source_s3_of(source);

	http_free(s3->http);
	free(s3->bucket_url);
	free(s3->prefix);
	free(s3);
}

static const struct source_ops source_s3_ops = {
    .get = source_s3_get,
    .range = source_s3_range,
    .range_watched = source_s3_range_watched,
    .stop = source_s3_stop,
    .stop_get = source_s3_stop_get,
    .free = source_s3_free,
    .put = source_s3_put,
    .put_file = source_s3_put_file,
    .create = source_s3_create,
    .remove = source_s3_remove,
    .list = source_s3_list,
};

/* Letters that stand for themselves in a URL, and no name of a directory that
 * means another. */
static bool source_s3_names_ok(const char *rest)
{
	if (!*rest || *rest == '/' || strstr(rest, "//") || strstr(rest, ".."))
		return false;
	return strspn(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789-_./") ==
	       strlen(rest);
}

static int source_s3_fill(struct source_s3 *s3, const char *rest,
			  const char *endpoint)
{
	size_t bucket_len = strcspn(rest, "/");
	size_t end_len = strlen(endpoint);
	const char *prefix = rest[bucket_len] ? rest + bucket_len + 1 : "";
	bool slash = *prefix && prefix[strlen(prefix) - 1] != '/';

	while (end_len > 0 && endpoint[end_len - 1] == '/')
		end_len--;
	if (asprintf(&s3->bucket_url, "%.*s/%.*s", (int)end_len, endpoint,
		     (int)bucket_len, rest) < 0)
		s3->bucket_url = NULL;
	if (asprintf(&s3->prefix, "%s%s", prefix, slash ? "/" : "") < 0)
		s3->prefix = NULL;
	return s3->bucket_url && s3->prefix ? 0 : -ENOMEM;
}

int source_s3_new(const char *rest, const struct source_options *options,
		  struct source **source)
{
	const char *region = options->region ? options->region : "us-east-1";
	char sign[128], amazon[128];
	struct http_options http_options = {
	    .ca_file = options->ca_file,
	    .proxy = options->proxy,
	    .credentials = options->credentials,
	    .sign = sign,
	};
	const char *endpoint = options->endpoint ? options->endpoint : amazon;
	struct source_s3 *s3;
	int rc;

	if (!source_s3_names_ok(rest) || strlen(region) > 63 ||
	    strspn(region,
		   "abcdefghijklmnopqrstuvwxyz"
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(region))
		return -EINVAL;
	snprintf(sign, sizeof(sign), "aws:amz:%s:s3", region);
	snprintf(amazon, sizeof(amazon), "https://s3.%s.amazonaws.com", region);
	s3 = calloc(1, sizeof(*s3));
	if (!s3)
		return -ENOMEM;
	s3->source.ops = &source_s3_ops;
	rc = source_s3_fill(s3, rest, endpoint);
	if (rc == 0)
		rc = http_new(s3->bucket_url, &http_options, &s3->http);
	if (rc < 0) {
		source_s3_free(&s3->source);
		return rc;
	}
	*source = &s3->source;
	return 0;
}
