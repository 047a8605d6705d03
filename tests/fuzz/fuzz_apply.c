/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_apply: arbitrary text as a file for `vdrive apply`.  Promises: taken,
 * with every name and value in its form, or refused with a text that names the
 * place; what is taken, written down again, is taken as the same.
 */
#include <stdio.h>

#include "admin/apply_file.h"

enum { FUZZ_TEXT_MAX = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_check_object(const struct apply_object *o)
{
	static const enum apply_key digits[] = {APPLY_QUOTA, APPLY_QUOTA_FILES,
						APPLY_PRIORITY};
	static const enum apply_key flags[] = {
	    APPLY_ORDER,       APPLY_SECRET_PATH, APPLY_DEVICES,
	    APPLY_ROOT_SQUASH, APPLY_WHITEOUTS,   APPLY_UNSIGNED};

	ASSERT(o->name[0] && o->line > 0);
	ASSERT((strchr(o->name, '/') != NULL) == (o->kind == APPLY_GUEST));
	for (size_t i = 0; i < ARRAY_LEN(digits); i++)
		ASSERT(!o->value[digits[i]] ||
		       strspn(o->value[digits[i]], "0123456789") ==
			   strlen(o->value[digits[i]]));
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		ASSERT(!o->value[flags[i]] ||
		       strcmp(o->value[flags[i]], "0") == 0 ||
		       strcmp(o->value[flags[i]], "1") == 0);
}

/* A key and its value as a file has them. */
static void fuzz_write_key(FILE *out, enum apply_key key, const char *value)
{
	CLEANUP_FREE char *copy = strdup(value);
	bool none = key == APPLY_LISTEN || key == APPLY_QUOTA ||
		    key == APPLY_QUOTA_FILES;

	ASSERT(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\n')
			*p = ',';
	if (none && (!*copy || strcmp(copy, "0") == 0))
		fprintf(out, "%s=none\n", apply_key_name(key));
	else
		fprintf(out, "%s=%s\n", apply_key_name(key),
			*copy ? copy : "any");
}

static char *fuzz_write(const struct apply_file *file)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ASSERT(out);
	for (unsigned int i = 0; i < file->count; i++) {
		const struct apply_object *o = &file->object[i];

		fprintf(out, "[%s %s]\n", apply_kind_name(o->kind), o->name);
		for (unsigned int k = 0; k < APPLY_KEYS; k++)
			if (o->value[k])
				fuzz_write_key(out, (enum apply_key)k,
					       o->value[k]);
	}
	fclose(out);
	return text;
}

static void fuzz_same(const struct apply_file *a, const struct apply_file *b)
{
	ASSERT(a->count == b->count);
	for (unsigned int i = 0; i < a->count; i++) {
		const struct apply_object *x = &a->object[i];
		const struct apply_object *y = &b->object[i];

		ASSERT(x->kind == y->kind && strcmp(x->name, y->name) == 0);
		for (unsigned int k = 0; k < APPLY_KEYS; k++)
			ASSERT((!x->value[k] && !y->value[k]) ||
			       (x->value[k] && y->value[k] &&
				strcmp(x->value[k], y->value[k]) == 0));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct apply_file file, again;
	char *text, *written;

	if (len > FUZZ_TEXT_MAX)
		return 0;
	text = malloc(len + 1);
	ASSERT(text);
	memcpy(text, data, len);
	text[len] = '\0';
	if (apply_file_parse(&file, "fuzz", text) < 0) {
		ASSERT(strncmp(file.error, "fuzz:", 5) == 0);
	} else {
		for (unsigned int i = 0; i < file.count; i++)
			fuzz_check_object(&file.object[i]);
		written = fuzz_write(&file);
		ASSERT(apply_file_parse(&again, "again", written) == 0);
		fuzz_same(&file, &again);
		apply_file_clear(&again);
		free(written);
	}
	apply_file_clear(&file);
	free(text);
	return 0;
}
