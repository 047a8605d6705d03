/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_verify_sums: what all records add up to: host files that none of them
 * names, and what is in use of the quota.
 */
#include <dirent.h>
#include <stdio.h>

#include "depot/array.h"
#include "depot/log.h"
#include "overlay/delta_verify.h"

/* --- host files without a record ---------------------------------------- */

struct host_dir {
	unsigned int level, low; /* low byte of the numbers in it */
};

static int host_list_file(struct verify *v, struct host_dir dir,
			  const char *path, const char *name)
{
	struct findings f = {0};
	char *end;
	uint64_t data_id = strtoull(name, &end, 16);
	int rc;

	if (strlen(name) != 16 || *end || (data_id & 0xff) != dir.low) {
		found(&f, false, "%s/%s is no host file", path, name);
		verify_tell(v, &f);
		return 0;
	}
	rc =
	    array_room(&v->host, v->host_count, &v->host_cap, sizeof(*v->host));
	if (rc == 0)
		v->host[v->host_count++] =
		    (struct host_name){dir.level, data_id};
	return rc;
}

static int host_list_dir(struct verify *v, struct host_dir at, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int rc = 0;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return log_err(-errno, "delta %s: %s", v->view->info.path,
			       path);
	while (rc == 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = host_list_file(v, at, path, e->d_name);
	closedir(dir);
	return rc;
}

int verify_list_host(struct verify *v)
{
	int rc = 0;

	for (unsigned int i = 0; i < v->view->layer_count; i++)
		for (unsigned int low = 0; rc == 0 && low < 256; low++) {
			char path[640];

			snprintf(path, sizeof(path), "%s/%016llx/%02x",
				 v->view->data_dir, verify_layer_id(v, i), low);
			rc = site_goes_on(v->site);
			if (rc == 0)
				rc = host_list_dir(v, (struct host_dir){i, low},
						   path);
		}
	return rc;
}

/* Will it be deleted, or is it still to be named? */
static int host_has_reap(struct verify *v, uint64_t data_id, bool *has)
{
	*has = false;
	for (unsigned int i = 0; !*has && i < v->view->layer_count; i++) {
		struct record_key key;
		struct kv_value value;
		int rc;

		record_key_reap(&key, verify_layer_id(v, i), data_id);
		rc = kv_get(v->view->kv, key.bytes, key.len, &value);
		kv_value_release(&value);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		*has = rc == 0;
	}
	return 0;
}

/* Drop from the list what is named, to be deleted, or gone. */
static int host_sift(struct verify *v)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->host_count; i++) {
		struct host_name h = v->host[i];
		char path[640];
		bool reap = false;
		int rc = site_goes_on(v->site);

		if (rc < 0)
			return rc;
		data_path(v->view, verify_layer_id(v, h.level), h.data_id, path,
			  sizeof(path));
		if (idset_has(&v->named[h.level], h.data_id) ||
		    access(path, F_OK) < 0)
			continue;
		rc = host_has_reap(v, h.data_id, &reap);
		if (rc < 0)
			return rc;
		if (!reap)
			v->host[kept++] = h;
	}
	v->host_count = kept;
	return 0;
}

/* --- quota -------------------------------------------------------------- */

/* What is in use, by the records and by open files that are ahead of them. */
static void quota_sum(const struct verify *v, uint64_t *bytes, uint64_t *files)
{
	*bytes = *files = 0;
	for (unsigned int i = 0; i < v->view->layer_count; i++) {
		*bytes += v->layer_bytes[i];
		*files += v->layer_files[i];
	}
	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		for (const struct node *n = v->view->nodes[i]; n;
		     n = n->hash_next)
			*bytes += n->rec.data.used - n->saved.used;
}

static bool quota_is_right(const struct verify *v, struct findings *f)
{
	const struct quota *q = &v->view->quota;
	uint64_t in_use = __atomic_load_n(&q->bytes, __ATOMIC_RELAXED);
	uint64_t objects = __atomic_load_n(&q->files, __ATOMIC_RELAXED);
	uint64_t bytes, files;

	quota_sum(v, &bytes, &files);
	if (v->damaged || (bytes == in_use && files == objects))
		return true;
	found(f, true,
	      "quota: %llu bytes and %llu files are counted, but there are "
	      "%llu and %llu",
	      (unsigned long long)in_use, (unsigned long long)objects,
	      (unsigned long long)bytes, (unsigned long long)files);
	return false;
}

int verify_sums(struct verify *v)
{
	struct findings f = {0};
	bool right;
	int rc = host_sift(v);

	pthread_rwlock_rdlock(&v->view->lock);
	right = quota_is_right(v, &f);
	pthread_rwlock_unlock(&v->view->lock);
	if (rc < 0 || (right && v->host_count == 0))
		return rc;
	f.count = 0;
	pthread_rwlock_wrlock(&v->view->lock);
	rc = verify_top_again(v);
	if (rc == 0)
		rc = host_sift(v);
	if (rc == 0)
		(void)quota_is_right(v, &f);
	pthread_rwlock_unlock(&v->view->lock);
	if (rc < 0)
		return rc;
	verify_tell(v, &f);
	for (size_t i = 0; i < v->host_count; i++) {
		f.count = 0;
		found(&f, false,
		      "layer %llu: host file %016llx is of no record",
		      verify_layer_id(v, v->host[i].level),
		      (unsigned long long)v->host[i].data_id);
		verify_tell(v, &f);
	}
	return 0;
}
