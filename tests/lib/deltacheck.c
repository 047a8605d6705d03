/* SPDX-License-Identifier: Apache-2.0 */
/* deltacheck: see deltacheck.h. */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"
#include "depot/kv.h"
#include "overlay/record.h"
#include "tests/lib/deltacheck.h"

enum { DC_PATH_MAX = 4096, DC_KV_MEMORY = 32 << 20, DC_FILE_MAX = 1 << 30 };

struct dc_inode {
	uint64_t layer, fileid;
	struct record rec;
	int names;
	bool has_inline;
};

struct dc_run {
	struct deltacheck *dc;
	struct kv *kv;
	struct dc_inode *inodes; /* owns; in the order of layer, fileid */
	size_t inode_count, inode_cap;
	struct deltacheck_file *reaps, *found; /* own; sorted */
	size_t reap_count, reap_cap, found_count, found_cap;
	size_t file_cap;
};

static bool dc_wrong(struct deltacheck *dc, const char *fmt, ...)
    PRINTF_LIKE(2, 3);

static bool dc_wrong(struct deltacheck *dc, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (!dc->trouble[0])
		vsnprintf(dc->trouble, sizeof(dc->trouble), fmt, args);
	va_end(args);
	return false;
}

/* Room for one more in an array. */
static void *dc_grow(void *array, size_t count, size_t *cap, size_t size)
{
	if (count < *cap)
		return array;
	*cap = *cap ? *cap * 2 : 256;
	array = realloc(array, *cap * size);
	ASSERT(array);
	return array;
}

static int dc_by_file(const void *a, const void *b)
{
	const struct deltacheck_file *x = a, *y = b;

	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return x->data_id < y->data_id ? -1 : x->data_id > y->data_id;
}

static bool dc_has(const struct deltacheck_file *files, size_t count,
		   const struct deltacheck_file *file)
{
	return count > 0 &&
	       bsearch(file, files, count, sizeof(*files), dc_by_file);
}

/* --- a copy of the database ---------------------------------------------- */

static bool dc_copy_file(const char *from, const char *to)
{
	CLEANUP_FREE void *buf = NULL;
	CLEANUP_CLOSE int fd = -1;
	size_t len, name_len = strlen(from);

	/* Tables never change: a second name is a copy. */
	if (name_len > 4 && strcmp(from + name_len - 4, ".sst") == 0)
		return link(from, to) == 0;
	return io_read_file(from, DC_FILE_MAX, &buf, &len) == 0 &&
	       io_open(to, true, &fd) == 0 &&
	       io_pwrite_all(fd, buf, len, 0) == 0;
}

/* Remove all files of `to`, then copy all of `from` (NULL: none). */
static bool dc_copy_dir(const char *from, const char *to)
{
	char path[DC_PATH_MAX], target[DC_PATH_MAX];
	struct dirent *entry;
	bool good = true;
	DIR *dir = opendir(to);

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", to, entry->d_name);
		if (entry->d_name[0] != '.')
			good = unlink(path) == 0 && good;
	}
	if (dir)
		closedir(dir);
	if (!from)
		return rmdir(to) == 0 && good;
	dir = io_mkdirs(to) == 0 ? opendir(from) : NULL;
	while (good && dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);
		snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
		if (entry->d_name[0] != '.' &&
		    strncmp(entry->d_name, "LOG", 3) != 0 &&
		    strcmp(entry->d_name, "LOCK") != 0)
			good = dc_copy_file(path, target);
	}
	if (dir)
		closedir(dir);
	return good && dir;
}

/* --- host files that there are ------------------------------------------- */

/* Each regular file below DATA/LAYER/xx, as dc_run.found. */
static void dc_list_files(struct dc_run *run, const char *dir_path,
			  uint64_t layer, int depth)
{
	char path[DC_PATH_MAX];
	struct dirent *entry;
	DIR *dir = opendir(dir_path);

	while (dir && (entry = readdir(dir))) {
		uint64_t number = strtoull(entry->d_name, NULL, 16);

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
		if (depth < 2) {
			dc_list_files(run, path, depth == 0 ? number : layer,
				      depth + 1);
			continue;
		}
		run->found = dc_grow(run->found, run->found_count,
				     &run->found_cap, sizeof(*run->found));
		run->found[run->found_count++] =
		    (struct deltacheck_file){layer, number};
	}
	if (dir)
		closedir(dir);
}

static void dc_list_store(struct dc_run *run, const char *store)
{
	char path[DC_PATH_MAX];

	snprintf(path, sizeof(path), "%s/data", store);
	dc_list_files(run, path, 0, 0);
	if (run->found_count > 0)
		qsort(run->found, run->found_count, sizeof(*run->found),
		      dc_by_file);
}

/* --- keys ---------------------------------------------------------------- */

static struct dc_inode *dc_find(struct dc_run *run, uint64_t layer,
				uint64_t fileid)
{
	size_t low = 0, high = run->inode_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct dc_inode *at = &run->inodes[mid];

		if (at->layer < layer ||
		    (at->layer == layer && at->fileid < fileid))
			low = mid + 1;
		else
			high = mid;
	}
	if (low < run->inode_count && run->inodes[low].layer == layer &&
	    run->inodes[low].fileid == fileid)
		return &run->inodes[low];
	return NULL;
}

static bool dc_take_inode(struct dc_run *run, uint64_t layer, uint64_t fileid,
			  const uint8_t *value, size_t len)
{
	struct deltacheck *dc = run->dc;
	struct dc_inode *inode;

	run->inodes = dc_grow(run->inodes, run->inode_count, &run->inode_cap,
			      sizeof(*run->inodes));
	inode = &run->inodes[run->inode_count++];
	*inode = (struct dc_inode){.layer = layer, .fileid = fileid};
	if (record_decode(value, len, &inode->rec) < 0)
		return dc_wrong(dc, "record of %llx is damaged",
				(unsigned long long)fileid);
	if (inode->rec.data.kind != RECORD_DATA_HOST)
		return true;
	dc->files = dc_grow(dc->files, dc->file_count, &run->file_cap,
			    sizeof(*dc->files));
	dc->files[dc->file_count++] =
	    (struct deltacheck_file){layer, inode->rec.data.data_id};
	return true;
}

static bool dc_take_name(struct dc_run *run, uint64_t layer, uint64_t dir,
			 const uint8_t *value, size_t len)
{
	struct record_name name;
	struct dc_inode *inode;

	if (record_name_decode(value, len, &name) < 0)
		return dc_wrong(run->dc, "a name in %llx is damaged",
				(unsigned long long)dir);
	if ((dir & RECORD_BORN) && !dc_find(run, layer, dir))
		return dc_wrong(run->dc,
				"a name in directory %llx, which has "
				"no record",
				(unsigned long long)dir);
	if (name.kind != RECORD_NAME_ENTRY || !(name.fileid & RECORD_BORN))
		return true;
	inode = dc_find(run, layer, name.fileid);
	if (!inode || inode->rec.generation != name.generation)
		return dc_wrong(run->dc, "%.*s: no such object", name.name_len,
				name.name);
	inode->names++;
	if (S_ISDIR(inode->rec.mode) && inode->rec.parent != dir)
		return dc_wrong(run->dc, "%.*s: its parent is another",
				name.name_len, name.name);
	return true;
}

/* Inline data ('x') or presence ('p') of a record of that kind. */
static bool dc_take_data(struct dc_run *run, uint64_t layer, char kind,
			 uint64_t fileid)
{
	struct dc_inode *inode = dc_find(run, layer, fileid);
	bool fits = inode && !inode->rec.gone;

	if (fits && kind == 'x') {
		inode->has_inline = true;
		fits = inode->rec.data.kind == RECORD_DATA_INLINE ||
		       S_ISLNK(inode->rec.mode);
	} else if (fits) {
		fits = inode->rec.data.kind == RECORD_DATA_HOST;
	}
	return fits || dc_wrong(run->dc,
				"'%c' key of %llx, whose record does "
				"not have such data",
				kind, (unsigned long long)fileid);
}

static bool dc_take(struct dc_run *run, bool inodes, const uint8_t *key,
		    size_t key_len, const uint8_t *value, size_t len)
{
	uint64_t layer, id;
	char kind;

	if (key_len < 18)
		return dc_wrong(run->dc, "a key of %zu bytes", key_len);
	layer = be64_get(key + 1);
	kind = (char)key[9];
	id = be64_get(key + 10);
	if (inodes)
		return kind != 'i' || dc_take_inode(run, layer, id, value, len);
	if (kind == 'd')
		return dc_take_name(run, layer, id, value, len);
	if (kind == 'x' || kind == 'p')
		return dc_take_data(run, layer, kind, id);
	if (kind == 'r') {
		run->reaps = dc_grow(run->reaps, run->reap_count,
				     &run->reap_cap, sizeof(*run->reaps));
		run->reaps[run->reap_count++] =
		    (struct deltacheck_file){layer, id};
	}
	return true;
}

/* One pass over all keys of all deltas: records, or all the rest. */
static bool dc_scan(struct dc_run *run, bool inodes)
{
	struct kv_iter *it = kv_iter_new(run->kv, "D", 1, NULL, 0);
	bool good = it != NULL;

	for (; good && kv_iter_valid(it); kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *key = kv_iter_key(it, &key_len);
		const uint8_t *value = kv_iter_value(it, &len);

		good = dc_take(run, inodes, key, key_len, value, len);
	}
	if (it && kv_iter_error(it) < 0)
		good = dc_wrong(run->dc, "the state database cannot be read");
	kv_iter_free(it);
	return good;
}

/* --- all together -------------------------------------------------------- */

static bool dc_judge_inodes(struct dc_run *run)
{
	for (size_t i = 0; i < run->inode_count; i++) {
		const struct dc_inode *inode = &run->inodes[i];
		const struct record *rec = &inode->rec;
		int names = S_ISDIR(rec->mode) ? 1 : rec->nlink;

		if (rec->data.kind == RECORD_DATA_INLINE && !inode->has_inline)
			return dc_wrong(run->dc, "%llx: no inline data",
					(unsigned long long)inode->fileid);
		if ((inode->fileid & RECORD_BORN) && inode->names != names)
			return dc_wrong(run->dc, "%llx: %d names of %d",
					(unsigned long long)inode->fileid,
					inode->names, names);
	}
	return true;
}

static bool dc_judge_files(struct dc_run *run)
{
	struct deltacheck *dc = run->dc;

	if (dc->file_count > 0)
		qsort(dc->files, dc->file_count, sizeof(*dc->files),
		      dc_by_file);
	for (size_t i = 0; i < dc->file_count; i++) {
		const struct deltacheck_file *file = &dc->files[i];
		unsigned long long id = file->data_id;

		if (i > 0 && dc_by_file(file - 1, file) == 0)
			return dc_wrong(dc, "host file %llx: two records", id);
		if (dc_has(run->reaps, run->reap_count, file))
			return dc_wrong(dc,
					"host file %llx: named by a record "
					"and to be reaped",
					id);
		if (!dc_has(run->found, run->found_count, file))
			return dc_wrong(dc,
					"host file %llx: named by a record "
					"and not there",
					id);
	}
	for (size_t i = 0; i < run->found_count; i++) {
		const struct deltacheck_file *file = &run->found[i];

		if (!dc_has(dc->files, dc->file_count, file) &&
		    !dc_has(run->reaps, run->reap_count, file))
			return dc_wrong(dc, "host file %llx: nobody's",
					(unsigned long long)file->data_id);
	}
	return true;
}

bool deltacheck_dead(struct deltacheck *dc, const char *store)
{
	struct dc_run run = {.dc = dc};
	char from[DC_PATH_MAX], to[DC_PATH_MAX];
	bool good;

	deltacheck_free(dc);
	snprintf(from, sizeof(from), "%s/state", store);
	snprintf(to, sizeof(to), "%s.check", store);
	good = dc_copy_dir(from, to) &&
	       kv_open(to, KV_STATE, DC_KV_MEMORY, &run.kv) == 0;
	if (!good)
		dc_wrong(dc, "no copy of the state database");
	dc_list_store(&run, store);
	good = good && dc_scan(&run, true) && dc_scan(&run, false) &&
	       dc_judge_inodes(&run) && dc_judge_files(&run);
	kv_close(run.kv);
	dc_copy_dir(NULL, to);
	dc->record_count = run.inode_count;
	dc->reap_count = run.reap_count;
	free(run.inodes);
	free(run.reaps);
	free(run.found);
	return good;
}

bool deltacheck_started(struct deltacheck *dc, const char *store)
{
	struct dc_run run = {.dc = dc};
	bool good = true;

	dc_list_store(&run, store);
	for (size_t i = 0; good && i < run.found_count; i++)
		if (!dc_has(dc->files, dc->file_count, &run.found[i]))
			good =
			    dc_wrong(dc,
				     "host file %llx: left over after "
				     "the start",
				     (unsigned long long)run.found[i].data_id);
	if (good && run.found_count != dc->file_count)
		good = dc_wrong(dc, "%zu host files after the start, %zu named",
				run.found_count, dc->file_count);
	free(run.found);
	return good;
}

void deltacheck_free(struct deltacheck *dc)
{
	free(dc->files);
	memset(dc, 0, sizeof(*dc));
}
