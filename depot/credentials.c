/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials: lines of "KEY = VALUE".
 */
#include "depot/credentials.h"

#include <sys/stat.h>

#include "depot/io.h"

struct credentials_text {
	const char *at;
	size_t len;
};

static struct credentials_text credentials_trim(const char *from,
						const char *end)
{
	while (from < end && strchr(" \t\r", *from) && *from)
		from++;
	while (end > from && strchr(" \t\r", end[-1]) && end[-1])
		end--;
	return (struct credentials_text){from, (size_t)(end - from)};
}

static bool credentials_is(struct credentials_text key, const char *name)
{
	return key.len == strlen(name) && memcmp(key.at, name, key.len) == 0;
}

static int credentials_take(struct credentials_text value,
			    char out[CREDENTIALS_TEXT_MAX + 1])
{
	if (value.len == 0 || value.len > CREDENTIALS_TEXT_MAX ||
	    memchr(value.at, '\0', value.len))
		return -EBADMSG;
	memcpy(out, value.at, value.len);
	out[value.len] = '\0';
	return 0;
}

static int credentials_line(const char *from, const char *end,
			    struct credentials *out)
{
	struct credentials_text line = credentials_trim(from, end), key, value;
	const char *equals;

	if (line.len == 0 || *line.at == '#' || *line.at == ';' ||
	    *line.at == '[')
		return 0;
	equals = memchr(line.at, '=', line.len);
	if (!equals)
		return -EBADMSG;
	key = credentials_trim(line.at, equals);
	value = credentials_trim(equals + 1, line.at + line.len);
	if (credentials_is(key, "user") || credentials_is(key, "access_key") ||
	    credentials_is(key, "aws_access_key_id"))
		return credentials_take(value, out->user);
	if (credentials_is(key, "password") ||
	    credentials_is(key, "secret_key") ||
	    credentials_is(key, "aws_secret_access_key"))
		return credentials_take(value, out->secret);
	return 0;
}

int credentials_parse(const char *text, size_t len, struct credentials *out)
{
	const char *end = text + len;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	while (rc == 0 && text < end) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));

		if (!line_end)
			line_end = end;
		rc = credentials_line(text, line_end, out);
		text = line_end + 1;
	}
	if (rc == 0 && (!*out->user || !*out->secret))
		rc = -EBADMSG;
	return rc;
}

int credentials_read(const char *path, struct credentials *out, bool *is_open)
{
	CLEANUP_FREE void *text = NULL;
	struct stat st;
	size_t len;
	int rc;

	*is_open = false;
	if (stat(path, &st) < 0)
		return -errno;
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		*is_open = true;
		return -EACCES;
	}
	rc = io_read_file(path, CREDENTIALS_FILE_MAX, &text, &len);
	if (rc < 0)
		return rc == -EFBIG ? -EBADMSG : rc;
	rc = credentials_parse(text, len, out);
	explicit_bzero(text, len);
	return rc;
}
