/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: libcurl on the daemon's UNIX socket.  One connection is kept for all
 * requests of a command.
 */
#include "admin/client.h"

#include <curl/curl.h>
#include <stdio.h>

#include "admin/interrupt.h"
#include "depot/tree.h"

enum {
	CLIENT_REPLY_MAX = TREE_FILE_MAX,
	CLIENT_REPLY_FIRST = 64 << 10,
	CLIENT_ERROR_MAX = 512,
	CLIENT_HTTP_OK = 200,
};

struct client {
	CURL *curl;                 /* owns */
	char *socket;               /* owns */
	unsigned int timeout_sec;   /* 0: by request */
	struct curl_slist *headers; /* owns */
	struct curl_slist *chunked; /* owns; for a body of unknown length */
};

struct client_reply {
	uint8_t *bytes; /* owns */
	size_t len, cap;
	int rc;
	CURL *curl; /* borrows */
	FILE *out;  /* borrows; or NULL */
	FILE *in;   /* borrows; or NULL */
};

/* --- where the daemon is ------------------------------------------------- */

static char *client_default_socket(void)
{
	const char *dir = getenv("VDRIVE_SOCKET");
	char *path = NULL;

	if (dir && *dir)
		return strdup(dir);
	if (geteuid() == 0)
		return strdup("/run/vdrive/vdrive.sock");
	dir = getenv("XDG_RUNTIME_DIR");
	if (dir && *dir)
		return asprintf(&path, "%s/vdrive.sock", dir) < 0 ? NULL : path;
	dir = getenv("HOME");
	if (asprintf(&path, "%s/.local/state/vdrive/vdrive.sock",
		     dir ? dir : "") < 0)
		return NULL;
	return path;
}

/* takes list.  NULL: no memory. */
static struct curl_slist *client_append(struct curl_slist *list,
					const char *text)
{
	struct curl_slist *longer = curl_slist_append(list, text);

	if (!longer)
		curl_slist_free_all(list);
	return longer;
}

struct client *client_new(const char *socket, unsigned int timeout_sec)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	client->socket = socket ? strdup(socket) : client_default_socket();
	client->timeout_sec = timeout_sec;
	client->curl = curl_easy_init();
	/* Waiting for "100 Continue" would cost a turn for each large body. */
	client->headers = curl_slist_append(NULL, "Expect:");
	client->chunked = client_append(NULL, "Transfer-Encoding: chunked");
	if (client->chunked)
		client->chunked = client_append(client->chunked, "Expect:");
	if (client->socket && client->curl && client->headers &&
	    client->chunked)
		return client;
	client_free(client);
	return NULL;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	curl_slist_free_all(client->headers);
	curl_slist_free_all(client->chunked);
	free(client->socket);
	free(client);
	curl_global_cleanup();
}

const char *client_socket(const struct client *client)
{
	return client->socket;
}

/* --- one call ------------------------------------------------------------ */

static bool client_is_success(CURL *curl)
{
	long status = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	return status == CLIENT_HTTP_OK;
}

/* A failure is JSON and goes to memory, not to `out`. */
static size_t client_pass(struct client_reply *reply, const char *data,
			  size_t len)
{
	if (fwrite(data, 1, len, reply->out) != len) {
		reply->rc = errno ? -errno : -EIO;
		return 0;
	}
	reply->len += len;
	return len;
}

static size_t client_give(char *data, size_t size, size_t count, void *ctx)
{
	struct client_reply *reply = ctx;
	size_t len = fread(data, size, count, reply->in);

	if (len == 0 && ferror(reply->in)) {
		reply->rc = errno ? -errno : -EIO;
		return CURL_READFUNC_ABORT;
	}
	return len;
}

static size_t client_take(char *data, size_t size, size_t count, void *ctx)
{
	struct client_reply *reply = ctx;
	size_t len = size * count, cap;
	uint8_t *grown;

	if (reply->out && client_is_success(reply->curl))
		return client_pass(reply, data, len);
	if (len > CLIENT_REPLY_MAX - reply->len) {
		reply->rc = -EFBIG;
		return 0;
	}
	if (reply->len + len + 1 > reply->cap) {
		cap = MAX(reply->cap * 2, (size_t)CLIENT_REPLY_FIRST);
		cap = MAX(cap, reply->len + len + 1);
		grown = realloc(reply->bytes, cap);
		if (!grown) {
			reply->rc = -ENOMEM;
			return 0;
		}
		reply->bytes = grown;
		reply->cap = cap;
	}
	memcpy(reply->bytes + reply->len, data, len);
	reply->len += len;
	reply->bytes[reply->len] = '\0';
	return len;
}

static int client_poll_interrupt(void *ctx UNUSED, curl_off_t dl_total UNUSED,
				 curl_off_t dl_now UNUSED,
				 curl_off_t ul_total UNUSED,
				 curl_off_t ul_now UNUSED)
{
	return interrupt_seen() ? 1 : 0;
}

/* false: no memory, or too long. */
static bool client_url(struct client *client,
		       const struct client_request *request, char *url)
{
	size_t len;
	char *value;
	int n;

	n = snprintf(url, CLIENT_PATH_MAX, "http://vdrived%s", request->path);
	for (size_t i = 0;
	     i < ARRAY_LEN(request->query) && request->query[i].key && n >= 0 &&
	     n < CLIENT_PATH_MAX;
	     i++) {
		const struct client_query *query = &request->query[i];

		if (!query->value)
			continue;
		value = curl_easy_escape(client->curl, query->value, 0);
		if (!value)
			return false;
		len = strlen(url);
		n = snprintf(url + len, CLIENT_PATH_MAX - len, "%c%s=%s",
			     strchr(url, '?') ? '&' : '?', query->key, value);
		n = n < 0 ? n : n + (int)len;
		curl_free(value);
	}
	return n >= 0 && n < CLIENT_PATH_MAX;
}

static long client_timeout(const struct client *client,
			   const struct client_request *request)
{
	if (client->timeout_sec)
		return (long)client->timeout_sec;
	if (request->is_stream)
		return CLIENT_TIMEOUT_STREAM_SEC;
	return request->is_long ? CLIENT_TIMEOUT_LONG_SEC : CLIENT_TIMEOUT_SEC;
}

static void client_prepare(struct client *client,
			   const struct client_request *request,
			   const char *url, struct client_reply *reply,
			   char *error)
{
	CURL *curl = client->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT,
			 client_timeout(client, request));
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, client_take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, client_poll_interrupt);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS,
			 request->must_finish ? 1L : 0L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	if (strcmp(request->method, "POST") != 0)
		return;
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	if (request->in) {
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->chunked);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, client_give);
		curl_easy_setopt(curl, CURLOPT_READDATA, reply);
		return;
	}
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
			 (curl_off_t)request->body_len);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
			 request->body_len ? request->body : "");
}

/* --- what failed, in words ----------------------------------------------- */

static int client_fail_connect(struct client *client, struct failure *failure)
{
	long err = 0;

	curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &err);
	if (err == EACCES || err == EPERM) {
		failure_set(failure, -EACCES, CONTROL_EXIT_NOT_PERMITTED,
			    "cannot use the daemon's socket %s: %s",
			    client->socket, strerrordesc_np((int)err));
		failure_hint(failure, "try: sudo vdrive ...");
		return -EACCES;
	}
	failure_set(failure, -ENOTCONN, CONTROL_EXIT_NO_DAEMON,
		    "the daemon does not answer on %s: %s", client->socket,
		    err ? strerrordesc_np((int)err) : "cannot connect");
	if (geteuid() == 0)
		failure_hint(failure, "try: systemctl start vdrived  (or, by "
				      "hand: vdrived)");
	else
		failure_hint(failure, "try: vdrived &  (or name its socket: "
				      "--socket PATH)");
	return -ENOTCONN;
}

static int client_fail_curl(struct client *client,
			    const struct client_request *request, CURLcode code,
			    int rc, const char *error, struct failure *failure)
{
	if (code == CURLE_COULDNT_CONNECT)
		return client_fail_connect(client, failure);
	if (rc < 0)
		return failure_errno(
		    failure, rc, "%s %s: %s", request->method, request->path,
		    request->in ? "what is to be sent" : "the answer");
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return failure_set(failure, -EINTR, CONTROL_EXIT_INTERRUPTED,
				   "interrupted");
	if (code == CURLE_OPERATION_TIMEDOUT) {
		failure_set(failure, -ETIMEDOUT, CONTROL_EXIT_NO_DAEMON,
			    "%s %s: no answer on %s in %ld s", request->method,
			    request->path, client->socket,
			    client_timeout(client, request));
		failure_hint(failure, "try: --timeout SEC, or: vdrive status");
		return -ETIMEDOUT;
	}
	failure_set(failure, -EIO, CONTROL_EXIT_NO_DAEMON, "%s %s on %s: %s",
		    request->method, request->path, client->socket,
		    *error ? error : curl_easy_strerror(code));
	failure_hint(failure, "try: vdrive status");
	return -EIO;
}

/* The daemon answered with a failure of its own. */
static int client_fail_http(const struct client_request *request, long status,
			    const struct client_reply *reply,
			    struct failure *failure)
{
	const char *message = NULL, *hint = NULL;
	json_t *json, *error, *conflicts = NULL;
	int code = 0;

	json = reply->bytes
		   ? json_loadb((const char *)reply->bytes, reply->len, 0, NULL)
		   : NULL;
	error = json_object_get(json, "error");
	if (json_unpack(error, "{s:i, s:s, s?s, s?o}", "code", &code, "message",
			&message, "try", &hint, "conflicts", &conflicts) < 0 ||
	    code <= 0) {
		failure_set(failure, -EPROTO, CONTROL_EXIT_FAILED,
			    "%s %s: the daemon answered HTTP status %ld",
			    request->method, request->path, status);
	} else {
		failure_set(failure, -EREMOTEIO, code, "%s", message);
		if (hint)
			failure_hint(failure, "try: %s", hint);
		failure->details = json_incref(conflicts);
	}
	json_decref(json);
	return code == CONTROL_EXIT_MISSING ? -ENOENT : -EREMOTEIO;
}

int client_call(struct client *client, const struct client_request *request,
		void **bytes, size_t *len, struct failure *failure)
{
	char url[CLIENT_PATH_MAX], error[CURL_ERROR_SIZE] = "";
	struct client_reply reply = {
	    .curl = client->curl, .out = request->out, .in = request->in};
	long status = 0;
	CURLcode code;
	int rc;

	if (!client_url(client, request, url))
		return failure_set(failure, -E2BIG, CONTROL_EXIT_USAGE,
				   "%s: its names are too long", request->path);
	client_prepare(client, request, url, &reply, error);
	code = curl_easy_perform(client->curl);
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		rc = client_fail_curl(client, request, code, reply.rc, error,
				      failure);
	else if (status != CLIENT_HTTP_OK)
		rc = client_fail_http(request, status, &reply, failure);
	else if (!reply.bytes && !(reply.bytes = calloc(1, 1)))
		rc = failure_errno(failure, -ENOMEM, "%s", request->path);
	else
		rc = 0;
	if (rc < 0) {
		free(reply.bytes);
		return rc;
	}
	*bytes = reply.bytes;
	*len = reply.len;
	return 0;
}

int client_json(struct client *client, const struct client_request *request,
		json_t **json, struct failure *failure)
{
	CLEANUP_FREE void *bytes = NULL;
	json_error_t error;
	size_t len;
	int rc;

	rc = client_call(client, request, &bytes, &len, failure);
	if (rc < 0)
		return rc;
	ASSERT(!request->out);
	*json = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(*json))
		return 0;
	json_decref(*json);
	*json = NULL;
	return failure_set(failure, -EPROTO, CONTROL_EXIT_FAILED,
			   "%s %s: the daemon's answer is no JSON object: %s",
			   request->method, request->path, error.text);
}
