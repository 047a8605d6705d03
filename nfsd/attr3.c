/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr3: struct view_attr to fattr3 and wcc_data, sattr3 to view_setattr.
 */
#include "nfsd/attr3.h"

#include <sys/stat.h>

#include "nfsd/wirebytes.h"

enum { ATTR3_MODE_MASK = 07777 };

static uint32_t attr3_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return NF3DIR;
	case S_IFLNK:
		return NF3LNK;
	case S_IFBLK:
		return NF3BLK;
	case S_IFCHR:
		return NF3CHR;
	case S_IFSOCK:
		return NF3SOCK;
	case S_IFIFO:
		return NF3FIFO;
	default:
		return NF3REG;
	}
}

static uint32_t attr3_seconds(const struct timespec *ts)
{
	if (ts->tv_sec < 0)
		return 0;
	return ts->tv_sec > UINT32_MAX ? UINT32_MAX : (uint32_t)ts->tv_sec;
}

static uint8_t *attr3_put_time(uint8_t *p, const struct timespec *ts)
{
	p = put_u32(p, attr3_seconds(ts));
	return put_u32(p, (uint32_t)ts->tv_nsec);
}

uint8_t *attr3_put(uint8_t *p, const struct view_attr *attr, uint32_t export_id)
{
	p = put_u32(p, attr3_type(attr->mode));
	p = put_u32(p, attr->mode & ATTR3_MODE_MASK);
	p = put_u32(p, attr->nlink);
	p = put_u32(p, attr->uid);
	p = put_u32(p, attr->gid);
	p = put_u64(p, attr->size);
	p = put_u64(p, attr->used);
	p = put_u32(p, attr->rdev_major);
	p = put_u32(p, attr->rdev_minor);
	p = put_u64(p, export_id);
	p = put_u64(p, attr->fileid);
	p = attr3_put_time(p, &attr->atime);
	p = attr3_put_time(p, &attr->mtime);
	return attr3_put_time(p, &attr->ctime);
}

uint8_t *attr3_put_post_op(uint8_t *p, const struct view_attr *attr,
			   uint32_t export_id)
{
	p = put_u32(p, attr != NULL);
	return attr ? attr3_put(p, attr, export_id) : p;
}

uint8_t *attr3_put_wcc(uint8_t *p, const struct view_wcc *wcc,
		       uint32_t export_id)
{
	p = put_u32(p, wcc->has_before);
	if (wcc->has_before) {
		p = put_u64(p, wcc->before_size);
		p = attr3_put_time(p, &wcc->before_mtime);
		p = attr3_put_time(p, &wcc->before_ctime);
	}
	return attr3_put_post_op(p, wcc->has_after ? &wcc->after : NULL,
				 export_id);
}

static nfstime3 attr3_time(const struct timespec *ts)
{
	return (nfstime3){
	    .seconds = attr3_seconds(ts),
	    .nseconds = (uint32_t)ts->tv_nsec,
	};
}

void attr3_fill_post_op(post_op_attr *post, const struct view_attr *attr,
			uint32_t export_id)
{
	fattr3 *fattr = &post->post_op_attr_u.attributes;

	post->attributes_follow = attr != NULL;
	if (!attr)
		return;
	*fattr = (fattr3){
	    .type = (ftype3)attr3_type(attr->mode),
	    .mode = attr->mode & ATTR3_MODE_MASK,
	    .nlink = attr->nlink,
	    .uid = attr->uid,
	    .gid = attr->gid,
	    .size = attr->size,
	    .used = attr->used,
	    .rdev = {attr->rdev_major, attr->rdev_minor},
	    .fsid = export_id,
	    .fileid = attr->fileid,
	    .atime = attr3_time(&attr->atime),
	    .mtime = attr3_time(&attr->mtime),
	    .ctime = attr3_time(&attr->ctime),
	};
}

static int attr3_get_time(const set_time3 *from, struct timespec *to,
			  unsigned int *mask, unsigned int set_bit,
			  unsigned int now_bit)
{
	const nfstime3 *time = &from->set_time3_u.time;

	if (from->set_it == DONT_CHANGE)
		return 0;
	if (from->set_it == SET_TO_SERVER_TIME) {
		*mask |= now_bit;
		return 0;
	}
	if (time->nseconds >= 1000000000u)
		return -EINVAL;
	*mask |= set_bit;
	to->tv_sec = time->seconds;
	to->tv_nsec = time->nseconds;
	return 0;
}

int attr3_get_set(const sattr3 *sattr, struct view_setattr *set)
{
	int rc;

	*set = (struct view_setattr){.mask = 0};
	if (sattr->mode.set_it) {
		set->mask |= VIEW_SET_MODE;
		set->mode = sattr->mode.set_mode3_u.mode & ATTR3_MODE_MASK;
	}
	if (sattr->uid.set_it) {
		set->mask |= VIEW_SET_UID;
		set->uid = sattr->uid.set_uid3_u.uid;
	}
	if (sattr->gid.set_it) {
		set->mask |= VIEW_SET_GID;
		set->gid = sattr->gid.set_gid3_u.gid;
	}
	if (sattr->size.set_it) {
		set->mask |= VIEW_SET_SIZE;
		set->size = sattr->size.set_size3_u.size;
		if (set->size > VIEW_FILE_SIZE_MAX)
			return -EFBIG;
	}
	rc = attr3_get_time(&sattr->atime, &set->atime, &set->mask,
			    VIEW_SET_ATIME, VIEW_SET_ATIME_NOW);
	if (rc < 0)
		return rc;
	return attr3_get_time(&sattr->mtime, &set->mtime, &set->mask,
			      VIEW_SET_MTIME, VIEW_SET_MTIME_NOW);
}
