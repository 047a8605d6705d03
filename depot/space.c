/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space: the guard is an estimate of the room above the floor, taken from
 * statvfs() now and then and counted down in between.  The reserve is whole or
 * gone, nothing in between.
 */
#include "depot/space.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/io.h"
#include "depot/log.h"

enum {
	SPACE_LOOK_MS = 100,
	SPACE_LOOK_TIGHT_MS = 10,
	SPACE_MEND_MS = 200,
};

struct space_listener {
	int (*fn)(void *ctx);
	void *ctx;
};

struct space {
	char *dir;               /* owns */
	int fd;                  /* owns: the reserve; -1: it can't be made */
	uint64_t reserve, floor; /* bytes; constant */
	uint64_t inodes;         /* floor of free inodes; constant */
	atomic_bool whole;       /* the reserve; changed under reserve_lock */
	pthread_mutex_t reserve_lock;
	_Atomic int64_t room; /* estimate of bytes above the floor */
	_Atomic int64_t looked_ms;
	_Atomic uint64_t given_up, made;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	/* guarded by lock: */
	bool running, stop;
	bool trouble;
	struct space_listener listeners[SPACE_LISTENERS_MAX];
	unsigned int listener_count;
};

/* --- the guard ----------------------------------------------------------- */

static uint64_t space_free_of(const struct statvfs *st)
{
	return (uint64_t)st->f_bavail * st->f_frsize;
}

static void space_look(struct space *space)
{
	struct statvfs st;
	int64_t room;

	if (statvfs(space->dir, &st) < 0) {
		/* Then the writes themselves will say what is wrong. */
		atomic_store(&space->room, (int64_t)space->floor);
		return;
	}
	room = (int64_t)space_free_of(&st) - (int64_t)space->floor;
	if (!atomic_load(&space->whole) ||
	    (space->inodes > 0 && st.f_favail < space->inodes))
		room = MIN(room, -1);
	atomic_store(&space->room, room);
}

int space_check(struct space *space, uint64_t bytes)
{
	int64_t want = (int64_t)MIN(bytes, (uint64_t)INT32_MAX);
	int64_t now, last, left;

	if (!space)
		return 0;
#ifdef BROKEN_NO_RESERVE
	return 0;
#endif
	now = (int64_t)clock_coarse_ms();
	last = atomic_load(&space->looked_ms);
	left = atomic_fetch_sub(&space->room, want) - want;
	if (now - last >= (left < 0 ? SPACE_LOOK_TIGHT_MS : SPACE_LOOK_MS) &&
	    atomic_compare_exchange_strong(&space->looked_ms, &last, now)) {
		space_look(space);
		left = atomic_fetch_sub(&space->room, want) - want;
	}
	return left < 0 ? -ENOSPC : 0;
}

uint64_t space_floor(const struct space *space)
{
	return space->floor;
}

/* --- the reserve --------------------------------------------------------- */

static bool space_open_file(struct space *space)
{
	char path[4096];
	int rc;

	if (space->fd >= 0)
		return true;
	snprintf(path, sizeof(path), "%s/reserve", space->dir);
	rc = io_open(path, true, &space->fd);
	if (rc < 0)
		log_err(rc, "%s", path);
	return rc == 0;
}

static bool space_holds_reserve(const struct space *space)
{
	struct stat st;

	return fstat(space->fd, &st) == 0 &&
	       (uint64_t)st.st_blocks * 512 >= space->reserve;
}

/* Make it if there is room for twice as much.  Returns whether it is whole. */
static bool space_make_reserve(struct space *space)
{
	struct statvfs st;
	int rc = 0;

#ifdef BROKEN_NO_RESERVE
	return true;
#endif
	if (atomic_load(&space->whole))
		return true;
	if (statvfs(space->dir, &st) < 0)
		return false;
	pthread_mutex_lock(&space->reserve_lock);
	if (!space_open_file(space)) {
		rc = -ENOSPC;
	} else if (!space_holds_reserve(space)) {
		rc = space_free_of(&st) > 2 * space->reserve
			 ? io_allocate(space->fd, space->reserve)
			 : -ENOSPC;
		if (rc == 0)
			atomic_fetch_add(&space->made, 1);
		else if (io_truncate(space->fd, 0) < 0)
			log_warn("store %s: part of a reserve stays",
				 space->dir);
	}
	if (rc == 0)
		atomic_store(&space->whole, true);
	pthread_mutex_unlock(&space->reserve_lock);
	return rc == 0;
}

bool space_give_up(struct space *space)
{
	bool given;
	int rc = 0;

	if (!space)
		return false;
	pthread_mutex_lock(&space->reserve_lock);
	given = atomic_load(&space->whole);
	if (given) {
		atomic_store(&space->whole, false);
		rc = io_truncate(space->fd, 0);
		/* ext4 gives blocks to others when the journal has it. */
		if (rc == 0)
			rc = io_sync(space->fd);
		atomic_fetch_add(&space->given_up, 1);
		atomic_store(&space->room, -1);
	}
	pthread_mutex_unlock(&space->reserve_lock);
	if (rc < 0)
		log_err(rc, "store %s: giving up the reserve", space->dir);
	else if (given)
		log_warn("store %s: the disk is full: the reserve of %llu KiB "
			 "is given up; nothing may grow now",
			 space->dir, (unsigned long long)space->reserve / 1024);
	space_trouble(space);
	return given;
}

/* --- after trouble ------------------------------------------------------- */

void space_trouble(struct space *space)
{
	if (!space)
		return;
	pthread_mutex_lock(&space->lock);
	space->trouble = true;
	pthread_cond_signal(&space->wake);
	pthread_mutex_unlock(&space->lock);
}

void space_on_room(struct space *space, int (*fn)(void *ctx), void *ctx)
{
	if (!space)
		return;
	pthread_mutex_lock(&space->lock);
	ASSERT(space->listener_count < SPACE_LISTENERS_MAX);
	space->listeners[space->listener_count++] =
	    (struct space_listener){fn, ctx};
	pthread_mutex_unlock(&space->lock);
}

/* true: nothing is left to be done. */
static bool space_mend(struct space *space)
{
	struct space_listener listeners[SPACE_LISTENERS_MAX];
	unsigned int count;
	bool well = true;

	if (!space_make_reserve(space))
		return false;
	if (space_check(space, 0) < 0)
		return false;
	pthread_mutex_lock(&space->lock);
	count = space->listener_count;
	memcpy(listeners, space->listeners, sizeof(listeners));
	pthread_mutex_unlock(&space->lock);
	for (unsigned int i = 0; i < count; i++)
		well &= listeners[i].fn(listeners[i].ctx) == 0;
	if (well)
		log_info("store %s: there is room again", space->dir);
	return well;
}

/* space->lock is held. */
static void space_sleep(struct space *space)
{
	struct timespec until = clock_after_ms(SPACE_MEND_MS);

	while (!space->stop &&
	       pthread_cond_timedwait(&space->wake, &space->lock, &until) == 0)
		;
}

static void *space_main(void *arg)
{
	struct space *space = arg;

	pthread_setname_np(pthread_self(), "space");
	pthread_mutex_lock(&space->lock);
	while (!space->stop) {
		bool well;

		if (!space->trouble) {
			pthread_cond_wait(&space->wake, &space->lock);
			continue;
		}
		space_sleep(space);
		if (space->stop)
			break;
		space->trouble = false; /* what comes now is new trouble */
		pthread_mutex_unlock(&space->lock);
		well = space_mend(space);
		pthread_mutex_lock(&space->lock);
		space->trouble |= !well;
	}
	pthread_mutex_unlock(&space->lock);
	return NULL;
}

/* --- opening ------------------------------------------------------------- */

static int space_measure(struct space *space)
{
	struct statvfs st;
	uint64_t size;

	if (statvfs(space->dir, &st) < 0)
		return log_err(-errno, "store %s", space->dir);
	size = (uint64_t)st.f_blocks * st.f_frsize;
	space->reserve =
	    MIN(size / SPACE_RESERVE_PART, (uint64_t)SPACE_RESERVE_MAX) &
	    ~UINT64_C(4095);
	space->floor = MIN(size / SPACE_FLOOR_PART, (uint64_t)SPACE_FLOOR_MAX);
	space->inodes = MIN((uint64_t)st.f_files / SPACE_FLOOR_PART,
			    (uint64_t)SPACE_INODES_MAX);
	return 0;
}

static void space_open_reserve(struct space *space)
{
	if (!space_make_reserve(space)) {
		log_warn("store %s: no room for the reserve of %llu KiB: "
			 "nothing may grow",
			 space->dir, (unsigned long long)space->reserve / 1024);
		space->trouble = true;
	}
}

int space_open(const char *dir, struct space **space)
{
	pthread_condattr_t attr;
	struct space *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->reserve_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	s->dir = strdup(dir);
	rc = s->dir ? space_measure(s) : -ENOMEM;
	if (rc == 0) {
		space_open_reserve(s);
		space_look(s);
		atomic_store(&s->looked_ms, (int64_t)clock_coarse_ms());
		rc = -pthread_create(&s->thread, NULL, space_main, s);
	}
	s->running = rc == 0;
	if (rc < 0)
		space_close(s);
	else
		*space = s;
	return rc;
}

void space_stop(struct space *space)
{
	if (!space || !space->running)
		return;
	pthread_mutex_lock(&space->lock);
	space->stop = true;
	pthread_cond_signal(&space->wake);
	pthread_mutex_unlock(&space->lock);
	pthread_join(space->thread, NULL);
	space->running = false;
}

void space_close(struct space *space)
{
	if (!space)
		return;
	space_stop(space);
	base_close_ptr(&space->fd);
	pthread_cond_destroy(&space->wake);
	pthread_mutex_destroy(&space->reserve_lock);
	pthread_mutex_destroy(&space->lock);
	free(space->dir);
	free(space);
}

void space_get_stats(struct space *space, struct space_stats *stats)
{
	struct statvfs st;

	stats->free = statvfs(space->dir, &st) == 0 ? space_free_of(&st) : 0;
	stats->reserve = space->reserve;
	stats->whole = atomic_load(&space->whole);
	stats->given_up = atomic_load(&space->given_up);
	stats->made = atomic_load(&space->made);
}
