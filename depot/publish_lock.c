/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_lock: see publish_lock.h.
 */
#include "depot/publish_lock.h"

#include <stdio.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/digest.h"
#include "depot/layout.h"
#include "depot/log.h"

enum {
	LOCK_TEXT_MAX = 512,
	LOCK_CHANGE_S = 10,
	LOCK_LOOK_MS = 200,
};

/* First line: what a person wants to know. */
static void lock_text(const struct publish_lock *lock, char text[LOCK_TEXT_MAX])
{
	char host[128] = "?";

	if (gethostname(host, sizeof(host) - 1) < 0)
		snprintf(host, sizeof(host), "?");
	snprintf(text, LOCK_TEXT_MAX, "host %s, process %d\n%s %u\n", host,
		 (int)getpid(), lock->token, lock->count);
}

static void lock_say(const struct publish_wait *wait, const char *what,
		     const char *text)
{
	char line[LOCK_TEXT_MAX + 128];

	snprintf(line, sizeof(line), "%s (%.*s)", what,
		 (int)strcspn(text, "\n"), text);
	if (wait->say)
		wait->say(wait->ctx, line);
}

/* What is there now; "" when nothing is. */
static int lock_read(struct publish_target *target, char text[LOCK_TEXT_MAX])
{
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc;

	text[0] = '\0';
	rc = publish_target_get(target, LAYOUT_LOCK, LOCK_TEXT_MAX - 1, &bytes,
				&len);
	if (rc == -ENOENT)
		return 0;
	if (rc == 0)
		snprintf(text, LOCK_TEXT_MAX, "%s", (char *)bytes);
	return rc;
}

/* Watches another's lock till it goes, or has not moved for too long. */
static int lock_watch(struct publish_target *target,
		      const struct publish_wait *wait)
{
	const struct timespec nap = {.tv_nsec = LOCK_LOOK_MS * 1000000L};
	char seen[LOCK_TEXT_MAX], now[LOCK_TEXT_MAX];
	int64_t since = clock_sec();
	bool said = false;
	int rc;

	rc = lock_read(target, seen);
	while (rc == 0 && seen[0]) {
		if (wait->stop && wait->stop(wait->ctx))
			return -EINTR;
		if (clock_sec() - since >= PUBLISH_LOCK_STALE_S) {
			lock_say(wait,
				 "another publisher's lock has not moved for "
				 "60 s: it has died, its lock is broken",
				 seen);
			return publish_target_remove(target, LAYOUT_LOCK);
		}
		if (!said && clock_sec() - since >= 2) {
			lock_say(wait, "waiting for another publisher", seen);
			said = true;
		}
		nanosleep(&nap, NULL);
		rc = lock_read(target, now);
		if (strcmp(seen, now) != 0)
			since = clock_sec();
		memcpy(seen, now, sizeof(seen));
	}
	return rc;
}

int publish_lock_take(struct publish_lock *lock, struct publish_target *target,
		      const struct publish_wait *wait)
{
	char text[LOCK_TEXT_MAX];
	uint8_t token[16];
	int rc;

	memset(lock, 0, sizeof(*lock));
	lock->target = target;
	random_bytes(token, sizeof(token));
	hex_write(token, sizeof(token), lock->token);
	lock_text(lock, text);
	for (;;) {
		lock->changed_sec = clock_sec();
		rc = publish_target_create(target, LAYOUT_LOCK, text,
					   strlen(text));
		if (rc == -EOPNOTSUPP) {
			lock_say(wait,
				 "there are no locks there: see that nobody "
				 "else publishes meanwhile",
				 publish_target_url(target));
			lock->none = true;
			return 0;
		}
		if (rc != -EEXIST)
			break;
		rc = lock_watch(target, wait);
		if (rc < 0)
			return rc;
	}
	lock->held = rc == 0;
	return rc;
}

int publish_lock_keep(struct publish_lock *lock)
{
	char text[LOCK_TEXT_MAX], found[LOCK_TEXT_MAX];
	int rc;

	if (lock->none)
		return 0;
	lock_text(lock, text);
	rc = lock_read(lock->target, found);
	if (rc < 0)
		return rc;
	if (strcmp(found, text) != 0) {
		lock->held = false;
		return -EAGAIN;
	}
	if (clock_sec() - lock->changed_sec < LOCK_CHANGE_S)
		return 0;
	lock->count++;
	lock->changed_sec = clock_sec();
	lock_text(lock, text);
	return publish_target_put(lock->target, LAYOUT_LOCK, text,
				  strlen(text));
}

void publish_lock_drop(struct publish_lock *lock)
{
	if (!lock->held)
		return;
	/* Somebody else's stays. */
	if (publish_lock_keep(lock) == 0 &&
	    publish_target_remove(lock->target, LAYOUT_LOCK) < 0)
		log_warn("%s: %s is left behind",
			 publish_target_url(lock->target), LAYOUT_LOCK);
	lock->held = false;
}
