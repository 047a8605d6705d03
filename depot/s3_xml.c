/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_xml: elements, one after another, with the path to each.
 */
#include "depot/s3_xml.h"

#include <stdio.h>

enum { S3_DEPTH_MAX = 8, S3_NAME_MAX = 40, S3_ENTITY_MAX = 10 };

struct s3_reader {
	const char *at, *end;
	char path[S3_DEPTH_MAX][S3_NAME_MAX + 1]; /* open elements */
	unsigned int depth;
	const char *text; /* between the last two tags */
	size_t text_len;
	bool is_close; /* the tag that was read last closes an element */
	char name[S3_NAME_MAX + 1]; /* its name */
};

/* --- texts --------------------------------------------------------------- */

/* One entity, `at` behind its '&'; 0: none that we know. */
static size_t s3_entity(const char *at, size_t len, char *out)
{
	static const struct {
		const char *text;
		char is;
	} known[] = {{"amp;", '&'},
		     {"lt;", '<'},
		     {"gt;", '>'},
		     {"quot;", '"'},
		     {"apos;", '\''}};
	char copy[S3_ENTITY_MAX + 1] = "", *stop;
	unsigned long code;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t known_len = strlen(known[i].text);

		if (len < known_len ||
		    memcmp(at, known[i].text, known_len) != 0)
			continue;
		*out = known[i].is;
		return known_len;
	}
	memcpy(copy, at, MIN(len, (size_t)S3_ENTITY_MAX));
	if (copy[0] != '#')
		return 0;
	code = copy[1] == 'x' ? strtoul(copy + 2, &stop, 16)
			      : strtoul(copy + 1, &stop, 10);
	/* Names of depots are ASCII. */
	if (*stop != ';' || code < ' ' || code >= 0x7f)
		return 0;
	*out = (char)code;
	return (size_t)(stop - copy) + 1;
}

/* false: longer than max, or with something that is no text. */
static bool s3_text(const char *text, size_t len, char *out, size_t max)
{
	size_t n = 0, skip;
	char c;

	for (size_t i = 0; i < len; i++) {
		c = text[i];
		if (c == '&') {
			skip = s3_entity(text + i + 1, len - i - 1, &c);
			if (skip == 0)
				return false;
			i += skip;
		}
		if ((unsigned char)c < ' ' || c == 0x7f || n == max)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

static uint64_t s3_number(const char *text, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return UINT64_MAX;
	return n;
}

/* --- tags ---------------------------------------------------------------- */

/* The name in a tag, without its namespace. */
static void s3_name(const char *tag, size_t len, char out[S3_NAME_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < len && !strchr(" \t\r\n/", tag[i]) && tag[i];
	     i++) {
		if (tag[i] == ':')
			n = 0;
		else if (n < S3_NAME_MAX)
			out[n++] = tag[i];
	}
	out[n] = '\0';
}

static bool s3_open_element(struct s3_reader *reader)
{
	if (reader->depth == S3_DEPTH_MAX)
		return false;
	memcpy(reader->path[reader->depth++], reader->name,
	       sizeof(reader->name));
	return true;
}

static bool s3_close_element(struct s3_reader *reader)
{
	return reader->depth > 0 &&
	       strcmp(reader->path[--reader->depth], reader->name) == 0;
}

/* To behind the next '>'; its tag.  1, 0: the end, -EBADMSG. */
static int s3_next_tag(struct s3_reader *reader, const char **tag, size_t *len)
{
	const char *from, *end;

	from = memchr(reader->at, '<', (size_t)(reader->end - reader->at));
	if (!from)
		return reader->depth == 0 ? 0 : -EBADMSG;
	end = memchr(from, '>', (size_t)(reader->end - from));
	if (!end)
		return -EBADMSG;
	reader->text = reader->at;
	reader->text_len = (size_t)(from - reader->at);
	reader->at = end + 1;
	*tag = from + 1;
	*len = (size_t)(end - from) - 1;
	return 1;
}

/* Declarations, comments, and <Prefix/>, which opens and closes nothing. */
static bool s3_is_nothing(const char *tag, size_t len)
{
	return len > 0 && (*tag == '?' || *tag == '!' || tag[len - 1] == '/');
}

/* To behind the next tag of an element.  1: one was read; 0: the end;
 * -EBADMSG. */
static int s3_next(struct s3_reader *reader)
{
	const char *tag;
	size_t len;
	int rc;

	do {
		rc = s3_next_tag(reader, &tag, &len);
		if (rc != 1)
			return rc;
		if (len >= 8 && strncasecmp(tag, "!DOCTYPE", 8) == 0)
			return -EBADMSG;
	} while (s3_is_nothing(tag, len));
	reader->is_close = len > 0 && *tag == '/';
	s3_name(reader->is_close ? tag + 1 : tag,
		reader->is_close ? len - 1 : len, reader->name);
	if (!*reader->name)
		return -EBADMSG;
	if (reader->is_close)
		return s3_close_element(reader) ? 1 : -EBADMSG;
	return s3_open_element(reader) ? 1 : -EBADMSG;
}

/* Closed just now: `name`, within the elements `parent` and, above, the root.
 */
static bool s3_is(const struct s3_reader *reader, const char *parent,
		  const char *name)
{
	unsigned int depth = parent ? 2 : 1;

	return reader->is_close && reader->depth == depth &&
	       strcmp(reader->name, name) == 0 &&
	       (!parent || strcmp(reader->path[1], parent) == 0);
}

/* --- error --------------------------------------------------------------- */

void s3_error_read(const char *text, size_t len, struct s3_error *error)
{
	struct s3_reader reader = {.at = text, .end = text + len};

	memset(error, 0, sizeof(*error));
	/* The text may have been cut: what was whole by then counts. */
	while (s3_next(&reader) == 1) {
		if (reader.depth >= 1 && strcmp(reader.path[0], "Error") != 0)
			return;
		if (s3_is(&reader, NULL, "Code") &&
		    !s3_text(reader.text, reader.text_len, error->code,
			     S3_CODE_MAX))
			error->code[0] = '\0';
		if (s3_is(&reader, NULL, "Message") &&
		    !s3_text(reader.text,
			     MIN(reader.text_len, (size_t)S3_MESSAGE_MAX),
			     error->message, S3_MESSAGE_MAX))
			error->message[0] = '\0';
	}
}

/* --- listing ------------------------------------------------------------- */

struct s3_object {
	char key[S3_KEY_MAX + 1];
	uint64_t len;
	bool has_key;
};

static bool s3_list_key(const struct s3_reader *reader,
			struct s3_object *object)
{
	return s3_text(reader->text, reader->text_len, object->key,
		       S3_KEY_MAX) &&
	       *object->key;
}

/* What the tag that was just read has brought to its end. */
static int s3_list_tag(const struct s3_reader *reader, struct s3_object *object,
		       int (*visit)(void *ctx, const char *key, uint64_t len),
		       void *ctx, struct s3_list_end *end)
{
	if (!reader->is_close) {
		if (reader->depth == 2)
			memset(object, 0, sizeof(*object));
		return 0;
	}
	if (s3_is(reader, "Contents", "Key"))
		object->has_key = s3_list_key(reader, object);
	else if (s3_is(reader, "Contents", "Size"))
		object->len = s3_number(reader->text, reader->text_len);
	else if (s3_is(reader, "CommonPrefixes", "Prefix"))
		object->has_key = s3_list_key(reader, object);
	else if (s3_is(reader, NULL, "IsTruncated"))
		end->more = reader->text_len == 4 &&
			    memcmp(reader->text, "true", 4) == 0;
	else if (s3_is(reader, NULL, "NextContinuationToken") &&
		 !s3_text(reader->text, reader->text_len, end->token,
			  S3_TOKEN_MAX))
		return -EBADMSG;
	else if (object->has_key && s3_is(reader, NULL, "CommonPrefixes"))
		return visit(ctx, object->key, 0);
	else if (object->has_key && s3_is(reader, NULL, "Contents"))
		return visit(ctx, object->key, object->len);
	return 0;
}

int s3_list_read(const char *text, size_t len,
		 int (*visit)(void *ctx, const char *key, uint64_t len),
		 void *ctx, struct s3_list_end *end)
{
	struct s3_reader reader = {.at = text, .end = text + len};
	struct s3_object object = {.len = 0};
	bool is_list = false;
	int rc, visited;

	memset(end, 0, sizeof(*end));
	while ((rc = s3_next(&reader)) == 1) {
		if (reader.depth >= 1 &&
		    strcmp(reader.path[0], "ListBucketResult") != 0)
			return -EBADMSG;
		is_list = true;
		visited = s3_list_tag(&reader, &object, visit, ctx, end);
		if (visited)
			return visited;
	}
	if (rc < 0 || !is_list)
		return -EBADMSG;
	return end->more && !*end->token ? -EBADMSG : 0;
}
