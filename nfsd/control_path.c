/* SPDX-License-Identifier: Apache-2.0 */
/* control_path: paths, which are bytes, as text of the admin API. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>

#include "nfsd/control.h"

static bool path_is_utf8(const char *text, size_t len)
{
	json_t *string = json_stringn(text, len);
	bool is = string != NULL;

	json_decref(string);
	return is;
}

char *control_path_escape(const char *text, size_t len)
{
	bool utf8 = path_is_utf8(text, len);
	char *out = malloc(3 * len + 1), *to = out;

	for (size_t i = 0; out && i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < ' ' || c == '%' || c == 0x7f || (c >= 0x80 && !utf8))
			to += sprintf(to, "%%%02X", c);
		else
			*to++ = (char)c;
	}
	if (out)
		*to = '\0';
	return out;
}

static int path_digit(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *control_path_unescape(const char *text)
{
	char *out = malloc(strlen(text) + 1), *to = out;

	while (out && *text) {
		int high, low;

		if (*text != '%') {
			*to++ = *text++;
			continue;
		}
		high = path_digit(text[1]);
		low = high < 0 ? -1 : path_digit(text[2]);
		if (low < 0 || high + low == 0) {
			free(out);
			return NULL;
		}
		*to++ = (char)(high * 16 + low);
		text += 3;
	}
	if (out)
		*to = '\0';
	return out;
}
