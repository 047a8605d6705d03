/* SPDX-License-Identifier: Apache-2.0 */
/* image_diff: see image_diff.h. */
#include "overlay/image_diff.h"

#include <stdio.h>

struct diff_run {
	struct image_diff *diff;
	uint32_t dir_max, change_max, gone_max, back_max; /* capacities */
};

static int diff_grow(void *array, uint32_t count, uint32_t *max, size_t size)
{
	uint32_t wanted = *max ? *max * 2 : 64;
	void **at = array, *bigger;

	if (count < *max)
		return 0;
	bigger = realloc(*at, (size_t)wanted * size);
	if (!bigger)
		return -ENOMEM;
	*at = bigger;
	*max = wanted;
	return 0;
}

static uint64_t diff_id(const struct image *image,
			const struct image_entry *entry)
{
	return entry ? image_inode(image, entry->inode)->fileid : 0;
}

/* A name of the directory at hand, as both images have it. */
static int diff_name(struct diff_run *run, const struct image_entry *before,
		     const struct image_entry *after)
{
	struct image_diff *diff = run->diff;
	struct image_diff_dir *dir = &diff->dirs[diff->dir_count];
	bool same =
	    diff_id(diff->before, before) == diff_id(diff->after, after);
	int rc;

	if (same && before->cookie == after->cookie)
		return 0;
	rc = diff_grow(&diff->changes, diff->change_count, &run->change_max,
		       sizeof(*diff->changes));
	if (rc < 0)
		return rc;
	dir->names |= !before || !after;
	dir->count++;
	diff->changes[diff->change_count++] =
	    (struct image_change){diff->dir_count, before, after};
	return 0;
}

static const struct image_entry *diff_other(const struct image *image,
					    uint32_t dir,
					    const struct image_entry *entry)
{
	return dir == IMAGE_NONE
		   ? NULL
		   : image_lookup(image, dir, entry->name, entry->name_len);
}

static bool diff_same_name(const struct image_entry *a,
			   const struct image_entry *b)
{
	return a->cookie == b->cookie && a->name_len == b->name_len &&
	       memcmp(a->name, b->name, a->name_len) == 0;
}

/* The entries of an image's directory; none: equal pointers. */
static const struct image_entry *diff_entries(const struct image *image,
					      uint32_t dir,
					      const struct image_entry **end)
{
	*end = NULL;
	return dir == IMAGE_NONE ? NULL : image_from(image, dir, 0, end);
}

/* Both runs are in order of cookies; most names are at the same. */
static int diff_names(struct diff_run *run, uint32_t before, uint32_t after)
{
	struct image_diff *diff = run->diff;
	const struct image_entry *a_end, *b_end;
	const struct image_entry *a =
	    diff_entries(diff->before, before, &a_end);
	const struct image_entry *b = diff_entries(diff->after, after, &b_end);
	int rc = 0;

	while (rc == 0 && (a != a_end || b != b_end)) {
		if (a != a_end && b != b_end && diff_same_name(a, b)) {
			rc = diff_name(run, a++, b++);
		} else if (b == b_end ||
			   (a != a_end && a->cookie <= b->cookie)) {
			rc = diff_name(run, a,
				       diff_other(diff->after, after, a));
			a++;
		} else {
			/* One that both have is told from the other side. */
			if (!diff_other(diff->before, before, b))
				rc = diff_name(run, NULL, b);
			b++;
		}
	}
	return rc;
}

static bool diff_same_attr(const struct image_diff *diff, uint32_t before,
			   uint32_t after)
{
	struct tree_inode a, b;

	if (before == IMAGE_NONE || after == IMAGE_NONE)
		return false;
	(void)image_attr(diff->before, before, &a);
	(void)image_attr(diff->after, after, &b);
	return a.mode == b.mode && a.uid == b.uid && a.gid == b.gid &&
	       a.mtime.tv_sec == b.mtime.tv_sec &&
	       a.mtime.tv_nsec == b.mtime.tv_nsec;
}

static int diff_dir(struct diff_run *run, uint64_t fileid, uint32_t before,
		    uint32_t after)
{
	struct image_diff *diff = run->diff;
	struct image_diff_dir *dir;
	int rc = diff_grow(&diff->dirs, diff->dir_count, &run->dir_max,
			   sizeof(*diff->dirs));

	if (rc < 0)
		return rc;
	dir = &diff->dirs[diff->dir_count];
	*dir = (struct image_diff_dir){.fileid = fileid,
				       .before = before,
				       .after = after,
				       .first = diff->change_count};
	rc = diff_names(run, before, after);
	if (rc < 0)
		return rc;
	if (dir->count > 0 || !diff_same_attr(diff, before, after))
		diff->dir_count++;
	return 0;
}

static int diff_add(uint32_t **array, uint32_t *count, uint32_t *max,
		    uint32_t inode)
{
	int rc = diff_grow(array, *count, max, sizeof(**array));

	if (rc == 0)
		(*array)[(*count)++] = inode;
	return rc;
}

static int diff_objects(struct diff_run *run)
{
	struct image_diff *diff = run->diff;
	uint32_t count = image_inode_count(diff->before);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct image_inode *inode = image_inode(diff->before, i);
		uint32_t other = image_find(diff->after, inode->fileid);

		if (other == IMAGE_NONE)
			rc = diff_add(&diff->gone, &diff->gone_count,
				      &run->gone_max, i);
		if (rc == 0 && inode->parent != IMAGE_NONE)
			rc = diff_dir(run, inode->fileid, i, other);
	}
	count = image_inode_count(diff->after);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct image_inode *inode = image_inode(diff->after, i);

		if (image_find(diff->before, inode->fileid) != IMAGE_NONE)
			continue;
		rc =
		    diff_add(&diff->back, &diff->back_count, &run->back_max, i);
		if (rc == 0 && inode->parent != IMAGE_NONE)
			rc = diff_dir(run, inode->fileid, IMAGE_NONE, i);
	}
	return rc;
}

/* --- names of an object --------------------------------------------------- */

static uint32_t diff_before_of(const struct image_diff *diff, uint32_t change)
{
	return diff->changes[change].before->inode;
}

static uint32_t diff_after_of(const struct image_diff *diff, uint32_t change)
{
	return diff->changes[change].after->inode;
}

static int diff_order_before(const void *a, const void *b, void *diff)
{
	uint32_t x = diff_before_of(diff, *(const uint32_t *)a);
	uint32_t y = diff_before_of(diff, *(const uint32_t *)b);

	return x < y ? -1 : x > y;
}

static int diff_order_after(const void *a, const void *b, void *diff)
{
	uint32_t x = diff_after_of(diff, *(const uint32_t *)a);
	uint32_t y = diff_after_of(diff, *(const uint32_t *)b);

	return x < y ? -1 : x > y;
}

static int diff_index(struct image_diff *diff)
{
	size_t room = MAX(diff->change_count, 1u);

	diff->by_before = calloc(room, sizeof(*diff->by_before));
	diff->by_after = calloc(room, sizeof(*diff->by_after));
	if (!diff->by_before || !diff->by_after)
		return -ENOMEM;
	for (uint32_t i = 0; i < diff->change_count; i++) {
		if (diff->changes[i].before)
			diff->by_before[diff->by_before_count++] = i;
		if (diff->changes[i].after)
			diff->by_after[diff->by_after_count++] = i;
	}
	qsort_r(diff->by_before, diff->by_before_count, sizeof(uint32_t),
		diff_order_before, diff);
	qsort_r(diff->by_after, diff->by_after_count, sizeof(uint32_t),
		diff_order_after, diff);
	return 0;
}

static const uint32_t *
diff_range(const struct image_diff *diff, const uint32_t *index, uint32_t total,
	   uint32_t (*of)(const struct image_diff *, uint32_t), uint32_t inode,
	   uint32_t *count)
{
	uint32_t low = 0, left = total;

	while (left > 0) {
		uint32_t half = left / 2;

		if (of(diff, index[low + half]) < inode) {
			low += half + 1;
			left -= half + 1;
		} else {
			left = half;
		}
	}
	*count = 0;
	while (low + *count < total && of(diff, index[low + *count]) == inode)
		++*count;
	return index + low;
}

const uint32_t *image_diff_from(const struct image_diff *diff, uint32_t inode,
				uint32_t *count)
{
	return diff_range(diff, diff->by_before, diff->by_before_count,
			  diff_before_of, inode, count);
}

const uint32_t *image_diff_to(const struct image_diff *diff, uint32_t inode,
			      uint32_t *count)
{
	return diff_range(diff, diff->by_after, diff->by_after_count,
			  diff_after_of, inode, count);
}

/* --- the whole ------------------------------------------------------------ */

int image_diff_new(struct image *before, struct image *after,
		   struct image_diff **diff)
{
	struct diff_run run = {.diff = calloc(1, sizeof(*run.diff))};
	int rc;

	if (!run.diff)
		return -ENOMEM;
	run.diff->before = image_get(before);
	run.diff->after = image_get(after);
	rc = before == after ? 0 : diff_objects(&run);
	if (rc == 0)
		rc = diff_index(run.diff);
	if (rc < 0)
		image_diff_free(run.diff);
	else
		*diff = run.diff;
	return rc;
}

void image_diff_free(struct image_diff *diff)
{
	if (!diff)
		return;
	image_put(diff->before);
	image_put(diff->after);
	free(diff->dirs);
	free(diff->changes);
	free(diff->gone);
	free(diff->back);
	free(diff->by_before);
	free(diff->by_after);
	free(diff);
}

/* The name of a directory in its parent. */
static const struct image_entry *diff_dir_entry(const struct image *image,
						uint32_t dir)
{
	const struct image_entry *end;
	const struct image_entry *e =
	    image_from(image, image_inode(image, dir)->parent, 0, &end);

	while (e != end && e->inode != dir)
		e++;
	ASSERT(e != end);
	return e;
}

bool image_dir_path(const struct image *image, uint32_t dir, char *path,
		    size_t path_len)
{
	size_t at = path_len;

	if (path_len == 0)
		return false;
	path[--at] = '\0';
	while (dir != IMAGE_ROOT) {
		const struct image_entry *e = diff_dir_entry(image, dir);

		if (at < (size_t)e->name_len + 1)
			return false;
		if (path[at] != '\0')
			path[--at] = '/';
		at -= e->name_len;
		memcpy(path + at, e->name, e->name_len);
		dir = image_inode(image, dir)->parent;
	}
	memmove(path, path + at, path_len - at);
	return true;
}
