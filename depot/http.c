/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: libcurl's handles, and what they are told.
 *
 * Signing is libcurl's; checked against a real server: it signs what we put
 * into x-amz-content-sha256, it does not sort a query, and it signs the path as
 * it stands in the URL.  source_s3.c keeps these rules.
 */
#include "depot/http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/credentials.h"

enum {
	HTTP_CONNECT_MS = 5000,
	HTTP_DEAD_MS = 15000,
	HTTP_KEEPALIVE_S = 5,
	HTTP_SLOW_S = 75,
	HTTP_SLOW_WHOLE_S = 15,
	HTTP_SLOW_BYTES_PER_S = 1024,
	HTTP_BUFFER = 128 << 10, /* of a handle: what one recv() may bring */
	HTTP_HANDLES_MAX = 16,   /* kept idle */
	HTTP_ADDRESS_S = 3600, /* the last good one, when the resolver fails */
	HTTP_RANGE_MAX = 64,
	HTTP_HOST_MAX = 256,
};

struct http {
	char *origin; /* owns; "https://host:port", const */
	char *ca_file, *proxy, *credentials_path, *sign; /* own; may be NULL */
	bool is_tls;
	char host[HTTP_HOST_MAX]; /* "" when it is an address */
	unsigned int port;
	atomic_bool stopping, get_stopping;
	pthread_mutex_t lock;
	CURL *idle[HTTP_HANDLES_MAX];   /* lock; owns */
	unsigned int idle_count;        /* lock */
	struct credentials credentials; /* lock; as last read */
	struct stat credentials_stat;   /* lock; of the file then */
	char address[INET6_ADDRSTRLEN]; /* lock; last good one */
	time_t address_time;            /* lock; monotonic */
};

/* One request at libcurl. */
struct http_transfer {
	struct http *http;                  /* borrows */
	const struct http_request *request; /* borrows */
	struct http_answer *answer;         /* borrows */
	struct credentials credentials;
	struct curl_slist *headers; /* owns */
	struct curl_slist *resolve; /* owns */
	uint64_t sent;
	long os_errno;
	char text[CURL_ERROR_SIZE];
};

/* --- what curl calls ----------------------------------------------------- */

static size_t http_on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct http_transfer *transfer = ctx;

	http_answer_header(transfer->answer, line, size * count);
	return size * count;
}

static size_t http_on_body(char *data, size_t size, size_t count, void *ctx)
{
	struct http_transfer *transfer = ctx;
	struct source_watch *watch = transfer->request->watch;

	if (!http_answer_body(transfer->answer, data, size * count))
		return 0;
	if (watch && http_answer_ok(transfer->answer))
		watch->landed(watch, transfer->answer->len);
	return size * count;
}

static bool http_is_unwanted(const struct http_transfer *transfer)
{
	return transfer->request->watch &&
	       atomic_load(&transfer->request->watch->cancel);
}

static bool http_is_stopped(const struct http_transfer *transfer)
{
	return atomic_load(&transfer->http->stopping) ||
	       (atomic_load(&transfer->http->get_stopping) &&
		!transfer->answer->ranged);
}

static size_t http_on_send(char *buf, size_t size, size_t count, void *ctx)
{
	struct http_transfer *transfer = ctx;
	const struct http_request *request = transfer->request;
	uint64_t left = request->len - transfer->sent;
	size_t len = (size_t)MIN((uint64_t)size * count, left);
	ssize_t n = (ssize_t)len;

	if (request->bytes)
		memcpy(buf, (const char *)request->bytes + transfer->sent, len);
	else if (len > 0)
		n = pread(request->fd, buf, len, (off_t)transfer->sent);
	if (n < 0 || (n == 0 && len > 0))
		return CURL_READFUNC_ABORT;
	transfer->sent += (uint64_t)n;
	return (size_t)n;
}

/* A kept connection may turn out to be dead after a part was sent. */
static int http_on_seek(void *ctx, curl_off_t off, int origin)
{
	struct http_transfer *transfer = ctx;

	if (origin != SEEK_SET || off < 0 ||
	    (uint64_t)off > transfer->request->len)
		return CURL_SEEKFUNC_CANTSEEK;
	transfer->sent = (uint64_t)off;
	return CURL_SEEKFUNC_OK;
}

static int http_on_progress(void *ctx, curl_off_t total UNUSED,
			    curl_off_t now UNUSED, curl_off_t up_total UNUSED,
			    curl_off_t up_now UNUSED)
{
	struct http_transfer *transfer = ctx;

	return http_is_stopped(transfer) || http_is_unwanted(transfer);
}

static int http_on_socket(void *ctx UNUSED, curl_socket_t fd,
			  curlsocktype purpose UNUSED)
{
	unsigned int ms = HTTP_DEAD_MS;

	/* Best effort: without it a dead peer costs HTTP_SLOW_S. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

/* --- handles ------------------------------------------------------------- */

static void http_set_up_patience(CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)HTTP_CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)HTTP_SLOW_S);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT,
			 (long)HTTP_SLOW_BYTES_PER_S);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, (long)HTTP_KEEPALIVE_S);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, (long)HTTP_KEEPALIVE_S);
	/* A connection keeps the address that it was made to; each new one asks
	 * for it. */
	curl_easy_setopt(curl, CURLOPT_MAXLIFETIME_CONN, (long)HTTP_ADDRESS_S);
	curl_easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, http_on_socket);
}

static void http_set_up(const struct http *http, CURL *curl)
{
	http_set_up_patience(curl);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION,
			 (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (http->ca_file) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
		curl_easy_setopt(curl, CURLOPT_PROXY_CAINFO, http->ca_file);
	}
	curl_easy_setopt(curl, CURLOPT_PROXY, http->proxy ? http->proxy : "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "");
	curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "vdrive/" VDRIVE_VERSION);
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)HTTP_BUFFER);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, http_on_body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, http_on_header);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, http_on_send);
	curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, http_on_seek);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, http_on_progress);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

static CURL *http_take(struct http *http)
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
		http_set_up(http, curl);
	return curl;
}

static void http_give_back(struct http *http, CURL *curl)
{
	pthread_mutex_lock(&http->lock);
	if (http->idle_count < HTTP_HANDLES_MAX) {
		http->idle[http->idle_count++] = curl;
		curl = NULL;
	}
	pthread_mutex_unlock(&http->lock);
	curl_easy_cleanup(curl);
}

/* --- credentials --------------------------------------------------------- */

/* Read again when the file was changed: keys are rotated without a restart. */
static int http_credentials(struct http *http, struct credentials *out,
			    char why[HTTP_WHY_MAX])
{
	bool is_open = false;
	struct stat st;
	int rc = 0;

	if (!http->credentials_path)
		return 0;
	if (stat(http->credentials_path, &st) < 0)
		rc = -errno;
	pthread_mutex_lock(&http->lock);
	if (rc == 0 && (st.st_ino != http->credentials_stat.st_ino ||
			st.st_size != http->credentials_stat.st_size ||
			memcmp(&st.st_ctim, &http->credentials_stat.st_ctim,
			       sizeof(st.st_ctim)) != 0))
		rc = credentials_read(http->credentials_path,
				      &http->credentials, &is_open);
	if (rc == 0) {
		http->credentials_stat = st;
		*out = http->credentials;
	} else {
		memset(&http->credentials_stat, 0,
		       sizeof(http->credentials_stat));
	}
	pthread_mutex_unlock(&http->lock);
	if (rc == 0)
		return 0;
	snprintf(why, HTTP_WHY_MAX, "credentials %.200s: %s",
		 http->credentials_path,
		 is_open ? "others may read it; chmod 600 it"
		 : rc == -EBADMSG
		     ? "not lines of user and password, or access_key and "
		       "secret_key"
		     : strerrordesc_np(-rc));
	return -EHOSTUNREACH;
}

/* --- addresses ----------------------------------------------------------- */

static void http_address_note(struct http *http, CURL *curl)
{
	char *address = NULL;

	if (http->proxy || !*http->host ||
	    curl_easy_getinfo(curl, CURLINFO_PRIMARY_IP, &address) !=
		CURLE_OK ||
	    !address || !*address)
		return;
	pthread_mutex_lock(&http->lock);
	snprintf(http->address, sizeof(http->address), "%s", address);
	http->address_time = clock_sec();
	pthread_mutex_unlock(&http->lock);
}

/* The last good address, for a request that could not resolve the name. */
static bool http_address_again(struct http *http, CURL *curl,
			       struct http_transfer *transfer)
{
	char entry[HTTP_HOST_MAX + INET6_ADDRSTRLEN + 16];
	bool good;

	pthread_mutex_lock(&http->lock);
	good =
	    *http->address && clock_sec() - http->address_time < HTTP_ADDRESS_S;
	snprintf(entry, sizeof(entry),
		 strchr(http->address, ':') ? "%s:%u:[%s]" : "%s:%u:%s",
		 http->host, http->port, http->address);
	pthread_mutex_unlock(&http->lock);
	if (!good)
		return false;
	transfer->resolve = curl_slist_append(NULL, entry);
	if (!transfer->resolve)
		return false;
	curl_easy_setopt(curl, CURLOPT_RESOLVE, transfer->resolve);
	return true;
}

/* --- one request --------------------------------------------------------- */

int http_fault(struct source_fault *fault, int rc, const char *method,
	       const char *url, const char *why)
{
	/* A long URL must not push the reason out. */
	snprintf(fault->text, sizeof(fault->text), "%s %.*s: %.*s", method,
		 SOURCE_FAULT_MAX - HTTP_WHY_MAX - 12, url, HTTP_WHY_MAX, why);
	return rc;
}

static bool http_sends(const struct http_request *request)
{
	return request->bytes || request->fd >= 0;
}

static int http_header(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static int http_headers(struct http_transfer *transfer)
{
	int rc = 0;

	/* Not to wait for a word that not all servers say, before a large body.
	 * A signature would cover this header, which is not sent. */
	if (!transfer->http->sign)
		rc = http_header(&transfer->headers, "Expect:");
	for (size_t i = 0;
	     rc == 0 && i < HTTP_HEADERS_MAX && transfer->request->headers[i];
	     i++)
		rc = http_header(&transfer->headers,
				 transfer->request->headers[i]);
	return rc;
}

/* Each option anew: the handle has had other requests. */
static void http_question(struct http_transfer *transfer, CURL *curl)
{
	const struct http_request *request = transfer->request;
	const struct http_answer *answer = transfer->answer;
	bool sends = http_sends(request);
	char range[HTTP_RANGE_MAX];

	snprintf(range, sizeof(range), "%llu-%llu",
		 (unsigned long long)answer->off,
		 (unsigned long long)answer->off + answer->want - 1);
	curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, sends ? 1L : 0L);
	curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
			 sends ? (curl_off_t)request->len : (curl_off_t)-1);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST,
			 strcmp(request->method, "GET") == 0 || sends
			     ? NULL
			     : request->method);
	curl_easy_setopt(curl, CURLOPT_URL, request->url);
	curl_easy_setopt(curl, CURLOPT_RANGE, answer->ranged ? range : NULL);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
			 answer->ranged || sends ? (long)HTTP_SLOW_S
						 : (long)HTTP_SLOW_WHOLE_S);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->text);
	if (!transfer->http->credentials_path)
		return;
	curl_easy_setopt(curl, CURLOPT_USERNAME, transfer->credentials.user);
	curl_easy_setopt(curl, CURLOPT_PASSWORD, transfer->credentials.secret);
	if (transfer->http->sign)
		curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, transfer->http->sign);
	else
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
}

/* No pointer of this call stays with the handle. */
static void http_forget(struct http_transfer *transfer, CURL *curl)
{
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(curl, CURLOPT_RESOLVE, NULL);
	curl_slist_free_all(transfer->headers);
	curl_slist_free_all(transfer->resolve);
	explicit_bzero(&transfer->credentials, sizeof(transfer->credentials));
}

static CURLcode http_transfer(struct http_transfer *transfer, CURL *curl)
{
	struct http *http = transfer->http;
	curl_off_t connect_us = 0;
	long connects = 0;
	CURLcode done;

	done = curl_easy_perform(curl);
	if (done == CURLE_COULDNT_RESOLVE_HOST &&
	    http_address_again(http, curl, transfer))
		done = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &transfer->os_errno);
	curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &connect_us);
	if (transfer->request->watch && connects > 0)
		transfer->request->watch->connect_ms =
		    (unsigned int)(connect_us / 1000);
	if (done == CURLE_OK && !transfer->resolve)
		http_address_note(http, curl);
	return done;
}

static const char *http_why(const struct http_transfer *transfer, CURLcode done)
{
	if (transfer->os_errno && done == CURLE_COULDNT_CONNECT)
		return strerrordesc_np((int)transfer->os_errno);
	if (*transfer->text)
		return transfer->text;
	if (transfer->os_errno)
		return strerrordesc_np((int)transfer->os_errno);
	return curl_easy_strerror(done);
}

/* What a finished request means, in the words of source.h. */
static int http_judge(const struct http_transfer *transfer, CURLcode done,
		      struct source_fault *fault)
{
	const struct http_request *request = transfer->request;
	struct http_answer *answer = transfer->answer;
	char why[HTTP_WHY_MAX] = "";
	int rc;

	if (http_is_stopped(transfer)) {
		rc = -ECANCELED;
		snprintf(why, sizeof(why), "stopped");
	} else if (done == CURLE_ABORTED_BY_CALLBACK &&
		   http_is_unwanted(transfer)) {
		rc = -ECANCELED;
		snprintf(why, sizeof(why), "not wanted any more");
	} else if (answer->no_memory || done == CURLE_OUT_OF_MEMORY) {
		rc = -ENOMEM;
		snprintf(why, sizeof(why), "no memory");
	} else if (answer->status && !http_answer_ok(answer)) {
		rc = http_answer_refused(answer, why);
		fault->retry_after_s = answer->retry_after_s;
		fault->denied = answer->status == 401 || answer->status == 403;
	} else if (answer->why || answer->too_long) {
		rc = answer->too_long && !answer->ranged ? -EFBIG : -EBADMSG;
		snprintf(why, sizeof(why), "%s",
			 answer->why ? answer->why
				     : "refused: longer than asked for");
	} else if (done != CURLE_OK) {
		rc = -EHOSTUNREACH;
		snprintf(why, sizeof(why), "%s", http_why(transfer, done));
	} else {
		rc = http_answer_end(answer, why);
	}
	return rc < 0
		   ? http_fault(fault, rc, request->method, request->url, why)
		   : 0;
}

int http_call(struct http *http, const struct http_request *request,
	      struct http_answer *answer, struct source_fault *fault)
{
	struct http_transfer transfer = {
	    .http = http, .request = request, .answer = answer};
	size_t origin_len = strlen(http->origin);
	char why[HTTP_WHY_MAX];
	CURLcode done;
	CURL *curl;
	bool gone;
	int rc;

	/* Credentials are for this server. */
	ASSERT(strncmp(request->url, http->origin, origin_len) == 0 &&
	       request->url[origin_len] == '/');

	memset(fault, 0, sizeof(*fault));
	rc = http_credentials(http, &transfer.credentials, why);
	if (rc < 0)
		return http_fault(fault, rc, request->method, request->url,
				  why);
	curl = http_take(http);
	if (!curl || http_headers(&transfer) < 0) {
		curl_slist_free_all(transfer.headers);
		curl_easy_cleanup(curl);
		return http_fault(fault, -ENOMEM, request->method, request->url,
				  "no memory");
	}
	http_question(&transfer, curl);
	done = http_transfer(&transfer, curl);
	rc = http_judge(&transfer, done, fault);
	gone = transfer.resolve != NULL;
	http_forget(&transfer, curl);
	/* What it was told of the address would stay with the handle. */
	if (gone)
		curl_easy_cleanup(curl);
	else
		http_give_back(http, curl);
	return rc;
}

/* --- URLs ---------------------------------------------------------------- */

bool http_url_ok(const char *url)
{
	const char *host = strstr(url, "://");

	if (!host || (strncmp(url, "http://", 7) != 0 &&
		      strncmp(url, "https://", 8) != 0))
		return false;
	host += 3;
	if (strlen(url) >= HTTP_URL_MAX / 2)
		return false;
	for (const char *p = url; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("@?#\\\"<>{}|^`", *p))
			return false;
	return *host != '\0' && *host != '/' && *host != ':';
}

/* Host and port of a URL that is ok; host "" when it is an address. */
static void http_host(struct http *http)
{
	const char *host = strstr(http->origin, "://") + 3;
	const char *colon = strrchr(host, ':');
	size_t len = strlen(host);

	http->port = http->is_tls ? 443 : 80;
	if (*host == '[')
		return;
	if (colon) {
		http->port = (unsigned int)strtoul(colon + 1, NULL, 10);
		len = (size_t)(colon - host);
	}
	if (len < sizeof(http->host) && strspn(host, "0123456789.") != len) {
		memcpy(http->host, host, len);
		http->host[len] = '\0';
	}
}

/* No password in it: it would lie in the state database. */
static bool http_proxy_ok(const char *proxy)
{
	static const char *const schemes[] = {"http://", "https://",
					      "socks5h://"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t len = strlen(schemes[i]);

		if (strncmp(proxy, schemes[i], len) == 0)
			return proxy[len] && !strpbrk(proxy, "@ \t\r\n");
	}
	return false;
}

/* --- the client ---------------------------------------------------------- */

static void http_global_init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *http_copy(const char *text, bool *is_short)
{
	char *copy = text ? strdup(text) : NULL;

	*is_short |= text && !copy;
	return copy;
}

int http_new(const char *base, const struct http_options *options,
	     struct http **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http *http;
	bool is_short = false;
	const char *host;

	if (!http_url_ok(base) ||
	    (options->proxy && !http_proxy_ok(options->proxy)))
		return -EINVAL;
	pthread_once(&once, http_global_init);
	http = calloc(1, sizeof(*http));
	if (!http)
		return -ENOMEM;
	pthread_mutex_init(&http->lock, NULL);
	host = strstr(base, "://") + 3;
	http->origin =
	    strndup(base, (size_t)(host - base) + strcspn(host, "/"));
	is_short = !http->origin;
	http->ca_file = http_copy(options->ca_file, &is_short);
	http->proxy = http_copy(options->proxy, &is_short);
	http->credentials_path = http_copy(options->credentials, &is_short);
	http->sign = http_copy(options->sign, &is_short);
	if (is_short) {
		http_free(http);
		return -ENOMEM;
	}
	http->is_tls = strncmp(base, "https://", 8) == 0;
	http_host(http);
	*out = http;
	return 0;
}

void http_stop(struct http *http)
{
	atomic_store(&http->stopping, true);
}

void http_stop_get(struct http *http)
{
	atomic_store(&http->get_stopping, true);
}

void http_free(struct http *http)
{
	if (!http)
		return;
	for (unsigned int i = 0; i < http->idle_count; i++)
		curl_easy_cleanup(http->idle[i]);
	explicit_bzero(&http->credentials, sizeof(http->credentials));
	pthread_mutex_destroy(&http->lock);
	free(http->origin);
	free(http->ca_file);
	free(http->proxy);
	free(http->credentials_path);
	free(http->sign);
	free(http);
}
