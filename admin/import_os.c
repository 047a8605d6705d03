/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_os: is what is imported an operating system, and which?  The two files
 * that tell pass by with all others, and are kept on the way.
 */
#include "admin/capture.h"
#include "admin/import_impl.h"

enum { IMPORT_OS_TEXT_MAX = 64 << 20 };

static const char *const import_os_paths[IMPORT_OS_FILES] = {CAPTURE_OS_RELEASE,
							     CAPTURE_OS_STATUS};

void import_os_begin(struct import *import, const char *path, uint64_t size)
{
	import->os_file = NULL;
	for (int i = 0; i < IMPORT_OS_FILES; i++) {
		struct import_os_file *file = &import->os[i];

		if (strcmp(path, import_os_paths[i]) != 0)
			continue;
		free(file->text); /* of a lower layer */
		file->len = 0;
		/* Without it the system has no name, and nothing is wrong. */
		file->text = size <= IMPORT_OS_TEXT_MAX
				 ? calloc(1, (size_t)size + 1)
				 : NULL;
		import->os_file = file->text ? file : NULL;
	}
}

void import_os_data(struct import *import, const void *data, size_t len)
{
	struct import_os_file *file = import->os_file;

	if (!file)
		return;
	memcpy(file->text + file->len, data, len);
	file->len += len;
}

int import_os_records(const struct import *import, char **records)
{
	json_t *json, *list;
	char name[CAPTURE_OS_MAX] = "";
	int rc = 0;

	*records = import->records ? strdup(import->records) : NULL;
	if (import->records && !*records)
		return -ENOMEM;
	/* What was captured over a system is none. */
	if (import->base || !import->os[0].text || !import->os[1].text)
		return 0;
	rc = capture_os_name(import->os[0].text, import->os[1].text, name);
	if (rc < 0 || !*name)
		return rc;
	json = *records ? json_loads(*records, 0, NULL) : json_object();
	list = json_pack("[s]", name);
	free(STEAL(*records));
	if (json_object_set_new(json, "os", list) == 0)
		*records = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(json);
	return *records ? 0 : -ENOMEM;
}

void import_os_clear(struct import *import)
{
	for (int i = 0; i < IMPORT_OS_FILES; i++)
		free(import->os[i].text);
}
