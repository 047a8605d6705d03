/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_file_caps: arbitrary bytes as a file's capabilities.  Promises: what is
 * taken is a text of clauses "NUMBER,NUMBER=FLAGS", in which each of the 64 is at
 * most once, and it fits.
 */
#include "admin/file_caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* "13,14=ep", in place; the numbers are added to seen. */
static void fuzz_file_caps_clause(char *clause, uint64_t *seen)
{
	char *flags = strchr(clause, '='), *rest = NULL;

	ASSERT(flags && strspn(flags + 1, "eip") == strlen(flags + 1));
	*flags = '\0';
	for (char *number = strtok_r(clause, ",", &rest); number;
	     number = strtok_r(NULL, ",", &rest)) {
		unsigned long cap = strtoul(number, NULL, 10);

		ASSERT(strspn(number, "0123456789") == strlen(number));
		ASSERT(cap < 64 && !(*seen >> cap & 1));
		*seen |= (uint64_t)1 << cap;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[FILE_CAPS_TEXT_MAX], *rest = NULL;
	uint64_t seen = 0;
	int rc = file_caps_text(data, len, text);

	ASSERT(rc == 0 || rc == -EBADMSG || rc == -ENOTSUP);
	if (rc < 0)
		return 0;
	ASSERT(memchr(text, '\0', sizeof(text)) && text[0]);
	for (char *clause = strtok_r(text, " ", &rest); clause;
	     clause = strtok_r(NULL, " ", &rest))
		fuzz_file_caps_clause(clause, &seen);
	return 0;
}
