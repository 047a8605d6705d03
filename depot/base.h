/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: the words every file of the house may use.  No state.
 *
 * Errors: a function that can fail returns 0 or -errno and is MUST_CHECK; a
 * question returns bool; a miss is -ENOENT; bytes that are not what they claim
 * are -EBADMSG; a format written by a newer vdrive is -EPROTONOSUPPORT.
 */
#ifndef DEPOT_BASE_H
#define DEPOT_BASE_H

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VDRIVE_VERSION "0.1.0"

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member)                                        \
	((type *)((char *)(ptr)-offsetof(type, member)))

/*
 * Our own promises, checked in release builds too: a guest on a hard mount
 * rides out a crash and a restart, but not silent corruption.  Never used on
 * bytes from the wire, a disk, a configuration or a clock.
 */
#define ASSERT(cond)                                                           \
	do {                                                                   \
		if (__builtin_expect(!(cond), 0))                              \
			base_assert_failed(#cond, __FILE__, __LINE__);         \
	} while (0)

/* Defined in log.c: one line to stderr, then abort(). */
__attribute__((noreturn)) void base_assert_failed(const char *cond,
						  const char *file, int line);

/* Locals free themselves; STEAL hands what they own to somebody else. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define CLEANUP_FREE CLEANUP(base_free_ptr)
#define CLEANUP_CLOSE CLEANUP(base_close_ptr)
#define STEAL(p)                                                               \
	({                                                                     \
		__typeof__(p) *stolen_at_ = &(p);                              \
		__typeof__(p) stolen_ = *stolen_at_;                           \
		*stolen_at_ = NULL;                                            \
		stolen_;                                                       \
	})
#define STEAL_FD(fd)                                                           \
	({                                                                     \
		int *stolen_at_ = &(fd);                                       \
		int stolen_ = *stolen_at_;                                     \
		*stolen_at_ = -1;                                              \
		stolen_;                                                       \
	})

static inline void base_free_ptr(void *p)
{
	free(*(void **)p);
}

static inline void base_close_ptr(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Little-endian fields of formats, at any alignment. */
static inline uint16_t le16_get(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t le32_get(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t le64_get(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void le16_put(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void le32_put(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void le64_put(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* Big-endian fields of database keys, so that byte order is number order. */
static inline void be32_put(void *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint32_t be32_get(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline void be64_put(void *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint64_t be64_get(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

#endif
