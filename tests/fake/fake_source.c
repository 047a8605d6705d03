/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/fake_source.h"

#include <pthread.h>
#include <stdio.h>

#include "depot/source.h"

enum { FAKE_DELAY_MS = 40 };

struct fake_world {
	enum fake_fault fault;
	int strikes;
	struct fake_source_counts counts;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool hold;                            /* lock */
	struct fake_world world[FAKE_WORLDS]; /* lock */
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

struct fake_source {
	struct source source;
	struct source *dir; /* owns */
	struct fake_world *world;
	atomic_bool stopping;
};

void fake_source_set(unsigned int world, enum fake_fault fault, int strikes)
{
	struct fake_world *w = &fake.world[world];
	struct fake_source_counts now;

	pthread_mutex_lock(&fake.lock);
	now = w->counts;
	w->fault = fault;
	w->strikes = strikes;
	w->counts = (struct fake_source_counts){
	    .inflight = now.inflight, .bytes_inflight = now.bytes_inflight};
	pthread_mutex_unlock(&fake.lock);
}

void fake_source_hold(bool hold)
{
	pthread_mutex_lock(&fake.lock);
	fake.hold = hold;
	pthread_cond_broadcast(&fake.wake);
	pthread_mutex_unlock(&fake.lock);
}

struct fake_source_counts fake_source_counts(unsigned int world)
{
	struct fake_source_counts counts;

	pthread_mutex_lock(&fake.lock);
	counts = fake.world[world].counts;
	pthread_mutex_unlock(&fake.lock);
	return counts;
}

/* lock */
static enum fake_fault fake_strike(struct fake_world *world, bool range)
{
	enum fake_fault fault = world->fault;

	if (world->strikes == 0 || (!range && fault != FAKE_FAULT_DOWN))
		return FAKE_FAULT_NONE;
	if (range && world->strikes > 0)
		world->strikes--;
	return fault;
}

static int fake_fault_rc(enum fake_fault fault, struct source_fault *why)
{
	memset(why, 0, sizeof(*why));
	snprintf(why->text, sizeof(why->text), "GET x: ordered fault %d",
		 (int)fault);
	switch (fault) {
	case FAKE_FAULT_DOWN:
		return -EHOSTUNREACH;
	case FAKE_FAULT_MISSING:
		return -ENOENT;
	case FAKE_FAULT_SHORT:
		return -EBADMSG;
	default:
		return 0;
	}
}

static struct fake_source *fake_source_of(struct source *source)
{
	return container_of(source, struct fake_source, source);
}

static int fake_get(struct source *source, const char *path, size_t max,
		    void **buf, size_t *len, struct source_fault *fault)
{
	struct fake_source *this = fake_source_of(source);
	enum fake_fault ordered;
	int rc;

	pthread_mutex_lock(&fake.lock);
	this->world->counts.gets++;
	ordered = fake_strike(this->world, false);
	pthread_mutex_unlock(&fake.lock);
	rc = fake_fault_rc(ordered, fault);
	return rc < 0
		   ? rc
		   : this->dir->ops->get(this->dir, path, max, buf, len, fault);
}

static enum fake_fault fake_begin(struct fake_source *this, size_t len)
{
	struct fake_source_counts *c = &this->world->counts;
	enum fake_fault ordered;

	pthread_mutex_lock(&fake.lock);
	c->ranges++;
	c->bytes += len;
	c->inflight++;
	c->bytes_inflight += len;
	c->inflight_max = MAX(c->inflight_max, c->inflight);
	c->bytes_inflight_max = MAX(c->bytes_inflight_max, c->bytes_inflight);
	while (fake.hold && !atomic_load(&this->stopping))
		pthread_cond_wait(&fake.wake, &fake.lock);
	ordered = fake_strike(this->world, true);
	pthread_mutex_unlock(&fake.lock);
	return ordered;
}

static void fake_end(struct fake_source *this, size_t len, bool cancelled)
{
	struct fake_source_counts *c = &this->world->counts;

	pthread_mutex_lock(&fake.lock);
	c->inflight--;
	c->bytes_inflight -= len;
	c->cancelled += cancelled;
	pthread_mutex_unlock(&fake.lock);
}

static bool fake_is_over(struct fake_source *this, struct source_watch *watch)
{
	return atomic_load(&this->stopping) || atomic_load(&watch->cancel);
}

/* From `from` bytes on, `step` at a time, for ever; or till len. */
static int fake_slowly(struct fake_source *this, size_t from, size_t step,
		       size_t len, struct source_watch *watch)
{
	for (size_t got = from; got < len; got += step) {
		if (fake_is_over(this, watch))
			return -ECANCELED;
		if (step)
			watch->landed(watch, got);
		usleep(5000);
	}
	return 0;
}

static int fake_wait(struct fake_source *this, uint64_t ms,
		     struct source_watch *watch)
{
	for (uint64_t waited = 0; waited < ms; waited += 5) {
		if (fake_is_over(this, watch))
			return -ECANCELED;
		usleep(5000);
	}
	return 0;
}

static int fake_range_watched(struct source *source, const char *path,
			      uint64_t off, size_t len, void *buf,
			      struct source_watch *watch,
			      struct source_fault *fault)
{
	struct fake_source *this = fake_source_of(source);
	enum fake_fault ordered = fake_begin(this, len);
	int rc = fake_fault_rc(ordered, fault);

	if (ordered == FAKE_FAULT_DELAY || ordered == FAKE_FAULT_CONNECT)
		rc = fake_wait(this, FAKE_DELAY_MS, watch);
	if (ordered == FAKE_FAULT_CONNECT)
		watch->connect_ms = FAKE_DELAY_MS;
	if (rc == 0)
		rc = this->dir->ops->range(this->dir, path, off, len, buf,
					   fault);
	if (ordered == FAKE_FAULT_WRONG)
		((uint8_t *)buf)[len / 2] ^= 4;
	if (ordered == FAKE_FAULT_ZEROS)
		memset(buf, 0, len);
	if (ordered == FAKE_FAULT_HANG)
		rc = fake_slowly(this, 0, 0, len, watch);
	if (ordered == FAKE_FAULT_TRICKLE)
		rc = fake_slowly(this, len / 2, 1, len, watch);
	fake_end(this, len, rc == -ECANCELED);
	return rc;
}

/* Nobody should ask for this while there is the other. */
static int fake_range(struct source *source UNUSED, const char *path UNUSED,
		      uint64_t off UNUSED, size_t len UNUSED, void *buf UNUSED,
		      struct source_fault *fault UNUSED)
{
	ASSERT(!"an unwatched range");
	return -EIO;
}

static void fake_stop(struct source *source)
{
	atomic_store(&fake_source_of(source)->stopping, true);
	pthread_mutex_lock(&fake.lock);
	pthread_cond_broadcast(&fake.wake);
	pthread_mutex_unlock(&fake.lock);
}

static void fake_free(struct source *source)
{
	struct fake_source *this = fake_source_of(source);

	source_free(this->dir);
	free(this);
}

const char *source_option_unfit(const char *url UNUSED,
				const struct source_options *options UNUSED)
{
	return NULL;
}

const char *source_kind(const char *url UNUSED)
{
	return "test";
}

int source_new(const char *url, const struct source_options *options UNUSED,
	       struct source **source)
{
	static const struct source_ops ops = {.get = fake_get,
					      .range = fake_range,
					      .range_watched =
						  fake_range_watched,
					      .stop = fake_stop,
					      .free = fake_free};
	struct fake_source *this = calloc(1, sizeof(*this));
	size_t len = strlen(url);
	int rc;

	ASSERT(this && strncmp(url, "dir:", 4) == 0);
	this->source.ops = &ops;
	this->world =
	    &fake.world[len > 5 && strcmp(url + len - 5, "spare") == 0];
	rc = source_dir_new(url + 4, &this->dir);
	if (rc < 0)
		free(this);
	else
		*source = &this->source;
	return rc;
}
