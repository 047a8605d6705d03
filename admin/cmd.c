/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd: what the commands share.
 */
#include "admin/cmd.h"

#include <stdarg.h>
#include <stdio.h>

#include "admin/interrupt.h"
#include "depot/tree.h"

int cmd_fail(struct cli *cli)
{
	if (cli->failure.code == 0)
		failure_set(&cli->failure, -EIO, CONTROL_EXIT_FAILED,
			    "failed, and nobody said why");
	return output_failure(&cli->out, &cli->failure);
}

int cmd_usage(struct cli *cli, const char *hint, const char *fmt, ...)
{
	char text[FAILURE_MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE, "%s", text);
	failure_hint(&cli->failure, "try: %s", hint);
	return cmd_fail(cli);
}

int cmd_get(struct cli *cli, const char *path, const char *key,
	    const char *value, json_t **json)
{
	struct client_request request = {
	    .method = "GET", .path = path, .query = {{key, value}}};

	return client_json(cli->client, &request, json, &cli->failure);
}

int cmd_post(struct cli *cli, const struct client_request *request,
	     json_t **json)
{
	return client_json(cli->client, request, json, &cli->failure);
}

int cmd_list(struct cli *cli, const char *path, const char *key,
	     const struct output_column *columns, size_t count,
	     const char *empty)
{
	const json_t *rows;
	json_t *json;
	int rc;

	if (cmd_get(cli, path, NULL, NULL, &json) < 0)
		return cmd_fail(cli);
	rows = json_object_get(json, key);
	if (cli->out.json) {
		output_json(json);
		json_decref(json);
		return CONTROL_EXIT_OK;
	}
	rc = output_table(&cli->out, columns, count, rows, &cli->failure);
	if (rc == 0 && json_array_size(rows) == 0 && !cli->out.quiet &&
	    !cli->out.no_header)
		fprintf(stderr, "%s\n", empty);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* One line of stdin; an end of file is no. */
static bool cmd_ask(const char *text)
{
	char line[16] = "";

	fprintf(stderr, "%s; go on? [y/N] ", text);
	fflush(stderr);
	if (!fgets(line, sizeof(line), stdin) || interrupt_seen())
		return false;
	return line[0] == 'y' || line[0] == 'Y';
}

int cmd_confirm(struct cli *cli, const char *fmt, ...)
{
	char text[FAILURE_MESSAGE_MAX - 64];
	va_list args;

	if (args_has(&cli->args, ARGS_YES))
		return 0;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (!isatty(STDIN_FILENO)) {
		failure_set(&cli->failure, -ECANCELED, CONTROL_EXIT_USAGE,
			    "%s, and nobody is here to be asked", text);
		failure_hint(&cli->failure, "try: the same with -y, or with -n "
					    "to see what would go");
		return -ECANCELED;
	}
	if (cmd_ask(text))
		return 0;
	return failure_set(&cli->failure, -ECANCELED, CONTROL_EXIT_FAILED,
			   "not done");
}

static int cmd_quota_fail(struct cli *cli, const char *option, const char *text,
			  const char *example)
{
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "%s: \"%s\" is neither \"none\" nor a number above 0",
		    option, text);
	failure_hint(&cli->failure, "try: %s %s", option, example);
	return -EINVAL;
}

int cmd_quota_read(struct cli *cli, uint64_t *bytes, uint64_t *files)
{
	const char *size = cli->args.value[ARGS_QUOTA];
	const char *number = cli->args.value[ARGS_QUOTA_FILES];
	unsigned long count = 0;

	if (size)
		*bytes = 0;
	if (size && strcmp(size, "none") != 0 &&
	    (args_size(size, bytes) < 0 || *bytes == 0))
		return cmd_quota_fail(cli, "--quota", size, "2G");
	if (number && strcmp(number, "none") != 0 &&
	    (args_number(number, INT64_MAX, &count) < 0 || count == 0))
		return cmd_quota_fail(cli, "--quota-files", number, "100000");
	if (number)
		*files = count;
	return 0;
}

int cmd_for(struct cli *cli, const char *otherwise, unsigned long *seconds)
{
	const char *text = cli->args.value[ARGS_FOR];
	unsigned long n, unit = 1;
	char digits[16];
	size_t len;

	if (!text)
		text = otherwise;
	len = strlen(text);
	if (len > 0 && len < sizeof(digits)) {
		memcpy(digits, text, len + 1);
		unit = text[len - 1] == 'm'   ? 60
		       : text[len - 1] == 'h' ? 3600
					      : 1;
		if (strchr("smh", text[len - 1]))
			digits[len - 1] = '\0';
		if (args_number(digits, 86400 / unit, &n) == 0 && n > 0) {
			*seconds = n * unit;
			return 0;
		}
	}
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--for: \"%s\" is no time of a day at most", text);
	failure_hint(&cli->failure, "try: --for 10m");
	return -EINVAL;
}

int cmd_quota(struct cli *cli, struct cmd_quota *quota,
	      struct client_query *query)
{
	const char *size = cli->args.value[ARGS_QUOTA];
	const char *number = cli->args.value[ARGS_QUOTA_FILES];
	uint64_t bytes = 0, files = 0;
	int rc = cmd_quota_read(cli, &bytes, &files);

	if (rc < 0)
		return rc;
	snprintf(quota->bytes, sizeof(quota->bytes), "%ju", (uintmax_t)bytes);
	snprintf(quota->files, sizeof(quota->files), "%ju", (uintmax_t)files);
	query[0] =
	    (struct client_query){"quota_bytes", size ? quota->bytes : NULL};
	query[1] =
	    (struct client_query){"quota_files", number ? quota->files : NULL};
	return 0;
}

int cmd_guest_row(struct cli *cli, const char *name, json_t **found)
{
	json_t *json, *rows, *row;
	size_t i;
	int rc;

	rc = cmd_get(cli, "/v1/guests", NULL, NULL, &json);
	if (rc < 0)
		return rc;
	*found = NULL;
	rows = json_object_get(json, "guests");
	json_array_foreach(rows, i, row)
	{
		if (strcmp(cmd_text(row, "guest"), name) == 0)
			*found = json_incref(row);
	}
	json_decref(json);
	if (*found)
		return 0;
	failure_set(&cli->failure, -ENOENT, CONTROL_EXIT_MISSING,
		    "there is no guest %s", name);
	failure_hint(&cli->failure, "try: vdrive guest list");
	cmd_suggest(cli, "/v1/guests", "guests", "guest", name);
	return -ENOENT;
}

int cmd_done(struct cli *cli, const struct client_request *request,
	     const char *fmt, ...)
{
	char text[FAILURE_MESSAGE_MAX];
	json_t *json;
	va_list args;

	if (client_json(cli->client, request, &json, &cli->failure) < 0)
		return cmd_fail(cli);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "%s", text);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

const char *cmd_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t cmd_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

void cmd_suggest(struct cli *cli, const char *path, const char *rows_key,
		 const char *name_key, const char *text)
{
	struct failure other = {0}; /* the first failure is the one to tell */
	struct client_request request = {.method = "GET", .path = path};
	CLEANUP_FREE const char **names = NULL;
	const char *closest = NULL;
	const json_t *rows;
	json_t *json;
	size_t count;

	if (client_json(cli->client, &request, &json, &other) < 0) {
		failure_clear(&other);
		return;
	}
	rows = json_object_get(json, rows_key);
	count = json_array_size(rows);
	names = calloc(count + 1, sizeof(*names));
	for (size_t i = 0; names && i < count; i++)
		names[i] = json_string_value(
		    json_object_get(json_array_get(rows, i), name_key));
	if (names)
		closest = args_closest(text, names, count);
	if (closest && strcmp(closest, text) != 0)
		failure_hint(&cli->failure, "did you mean: %s", closest);
	json_decref(json);
}

/* The name is right but has no such tag: say one that there is. */
static bool cmd_suggest_tag(struct cli *cli, const char *name)
{
	struct failure other = {0};
	struct client_request request = {.method = "GET",
					 .path = "/v1/packages"};
	const json_t *rows, *row;
	bool found = false;
	json_t *json;

	if (client_json(cli->client, &request, &json, &other) < 0) {
		failure_clear(&other);
		return false;
	}
	rows = json_object_get(json, "packages");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		if (strcmp(cmd_text(row, "name"), name) != 0)
			continue;
		found = true;
		failure_hint(&cli->failure, "did you mean: %s:%s", name,
			     cmd_text(row, "tag"));
	}
	json_decref(json);
	return found;
}

void cmd_suggest_package(struct cli *cli, const char *ref)
{
	char name[PACKAGE_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%.*s",
		 (int)MIN(strcspn(ref, ":@"), sizeof(name) - 1), ref);
	if (!cmd_suggest_tag(cli, name))
		cmd_suggest(cli, "/v1/packages", "packages", "name", name);
}

int cmd_package(struct cli *cli, const char *ref, json_t **json)
{
	int rc;

	rc = cmd_get(cli, "/v1/package", "ref", ref, json);
	if (rc == -ENOENT)
		cmd_suggest_package(cli, ref);
	return rc;
}

int cmd_package_tree(struct cli *cli, const json_t *package, struct tree **tree)
{
	const char *hex = cmd_text(package, "tree");
	struct client_request request = {
	    .method = "GET", .path = "/v1/tree", .query = {{"digest", hex}}};
	CLEANUP_FREE void *bytes = NULL;
	struct digest digest;
	size_t len;
	int rc;

	rc = digest_from_hex(hex, strlen(hex), &digest);
	if (rc == 0)
		rc = client_call(cli->client, &request, &bytes, &len,
				 &cli->failure);
	else
		failure_errno(&cli->failure, -EPROTO, "tree \"%s\"", hex);
	if (rc < 0)
		return rc;
	rc = tree_open_memory(bytes, len, &digest, tree);
	if (rc < 0)
		return failure_errno(&cli->failure, rc, "tree of %s:%s",
				     cmd_text(package, "name"),
				     cmd_text(package, "tag"));
	return 0;
}

int cmd_shards(struct cli *cli, const char *tree_hex, uint32_t first,
	       uint32_t count, void **frames, size_t *len)
{
	uint8_t numbers[CONTROL_GET_MAX * sizeof(uint32_t)];
	struct client_request request = {.method = "POST",
					 .path = "/v1/shards/get",
					 .query = {{"tree", tree_hex}},
					 .body = numbers,
					 .body_len = count * sizeof(uint32_t),
					 .is_long = true};

	ASSERT(count <= CONTROL_GET_MAX);
	for (uint32_t i = 0; i < count; i++)
		le32_put(numbers + i * sizeof(uint32_t), first + i);
	return client_call(cli->client, &request, frames, len, &cli->failure);
}

int cmd_frame(struct cli *cli, const void *frames, size_t len, size_t *off,
	      const struct digest *name, const void **shard, size_t *shard_len)
{
	const uint8_t *frame = (const uint8_t *)frames + *off;
	char hex[DIGEST_HEX_LEN + 1];

	if (len - *off >= CONTROL_FRAME_HEADER &&
	    memcmp(frame, name->bytes, DIGEST_LEN) == 0) {
		*shard_len = le32_get(frame + DIGEST_LEN);
		if (*shard_len <= len - *off - CONTROL_FRAME_HEADER) {
			*shard = frame + CONTROL_FRAME_HEADER;
			*off += CONTROL_FRAME_HEADER + *shard_len;
			return 0;
		}
	}
	digest_to_hex(name, hex);
	return failure_set(&cli->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			   "shard %s: the daemon did not send it", hex);
}
