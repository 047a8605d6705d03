/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultrule: parsing, matching, counting.
 */
#include "tests/lib/faultrule.h"

#include <pthread.h>
#include <stdio.h>

static const char *const faultrule_names[FAULT_KINDS] = {
    "pass",      "delay",    "close", "reset",   "hang",
    "status",    "redirect", "html",  "trickle", "stall",
    "hang-body", "truncate", "short", "long",    "wrong-length",
    "whole",     "flip",     "zeros", "other",   "encoding",
};

struct fault_count {
	struct fault_count *next;
	uint64_t requests, bytes;
	char path[];
};

enum { FAULT_SLOTS = 4096 };

static struct {
	pthread_mutex_t lock;
	struct fault_rule rules[FAULT_RULES_MAX]; /* lock */
	unsigned int rule_count;                  /* lock */
	struct fault_count *counts[FAULT_SLOTS];  /* lock; owns */
	unsigned int path_count;                  /* lock */
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- parsing ------------------------------------------------------------- */

static bool faultrule_number(const char *text, long *number)
{
	char *end;

	*number = strtol(text, &end, 10);
	return end != text && !*end;
}

static bool faultrule_at(const char *text, long *at)
{
	if (strcmp(text, "first") == 0)
		*at = FAULT_AT_FIRST;
	else if (strcmp(text, "middle") == 0)
		*at = FAULT_AT_MIDDLE;
	else if (strcmp(text, "last") == 0)
		*at = FAULT_AT_LAST;
	else
		return faultrule_number(text, at) && *at >= 0;
	return true;
}

static bool faultrule_key(struct fault_rule *rule, const char *word)
{
	const struct {
		const char *key;
		long *value;
	} numbers[] = {
	    {"ms=", &rule->ms},       {"code=", &rule->code},
	    {"bps=", &rule->bps},     {"retry-after=", &rule->retry_after},
	    {"delta=", &rule->delta}, {"n=", &rule->n},
	    {"times=", &rule->times}, {"ranged=", &rule->ranged},
	};

	if (strncmp(word, "at=", 3) == 0)
		return faultrule_at(word + 3, &rule->at);
	if (strncmp(word, "to=", 3) == 0)
		return snprintf(rule->to, sizeof(rule->to), "%s", word + 3) <
		       FAULT_TEXT_MAX;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (strncmp(word, numbers[i].key, strlen(numbers[i].key)) == 0)
			return faultrule_number(word + strlen(numbers[i].key),
						numbers[i].value);
	return false;
}

int faultrule_parse(char *line, struct fault_rule *rule)
{
	char *save = NULL, *word = strtok_r(line, " \n", &save);

	*rule = (struct fault_rule){.kind = FAULT_KINDS,
				    .times = -1,
				    .code = 503,
				    .delta = 10,
				    .bps = 500,
				    .ms = 1000,
				    .at = FAULT_AT_MIDDLE};
	if (!word || snprintf(rule->prefix, sizeof(rule->prefix), "%s", word) >=
			 FAULT_TEXT_MAX)
		return -EINVAL;
	word = strtok_r(NULL, " \n", &save);
	for (unsigned int i = 0; word && i < FAULT_KINDS; i++)
		if (strcmp(word, faultrule_names[i]) == 0)
			rule->kind = i;
	if (rule->kind == FAULT_KINDS)
		return -EINVAL;
	while ((word = strtok_r(NULL, " \n", &save)))
		if (!faultrule_key(rule, word))
			return -EINVAL;
	return rule->bps > 0 && rule->ms >= 0 ? 0 : -EINVAL;
}

uint64_t faultrule_place(const struct fault_rule *rule, uint64_t len)
{
	if (len == 0 || rule->at == FAULT_AT_FIRST)
		return 0;
	if (rule->at == FAULT_AT_MIDDLE)
		return len / 2;
	if (rule->at == FAULT_AT_LAST)
		return len - 1;
	return MIN((uint64_t)rule->at, len - 1);
}

/* --- matching ------------------------------------------------------------ */

int faultrule_add(const struct fault_rule *rule)
{
	int rc = -ENOSPC;

	pthread_mutex_lock(&faults.lock);
	if (faults.rule_count < FAULT_RULES_MAX) {
		faults.rules[faults.rule_count++] = *rule;
		rc = 0;
	}
	pthread_mutex_unlock(&faults.lock);
	return rc;
}

void faultrule_clear(void)
{
	pthread_mutex_lock(&faults.lock);
	faults.rule_count = 0;
	pthread_mutex_unlock(&faults.lock);
}

long faultrule_left(void)
{
	long left = 0;

	pthread_mutex_lock(&faults.lock);
	for (unsigned int i = 0; i < faults.rule_count; i++)
		left += MAX(faults.rules[i].times, 0l);
	pthread_mutex_unlock(&faults.lock);
	return left;
}

void faultrule_match(const char *path, bool ranged, struct fault_rule *rule)
{
	*rule = (struct fault_rule){.kind = FAULT_PASS};
	pthread_mutex_lock(&faults.lock);
	for (unsigned int i = faults.rule_count; i-- > 0;) {
		struct fault_rule *r = &faults.rules[i];

		if (r->times == 0 || (r->ranged && !ranged) ||
		    strncmp(path, r->prefix, strlen(r->prefix)) != 0)
			continue;
		if (r->times > 0)
			r->times--;
		*rule = *r;
		break;
	}
	pthread_mutex_unlock(&faults.lock);
}

/* --- counting ------------------------------------------------------------ */

static struct fault_count **faultcount_slot(const char *path)
{
	uint32_t hash = 2166136261u;

	for (const char *p = path; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	return &faults.counts[hash % FAULT_SLOTS];
}

/* lock; NULL: too many paths, or no memory. */
static struct fault_count *faultcount_of(const char *path)
{
	struct fault_count **slot = faultcount_slot(path), *count = *slot;
	size_t len = strlen(path) + 1;

	while (count && strcmp(count->path, path) != 0)
		count = count->next;
	if (count || faults.path_count == FAULT_PATHS_MAX)
		return count;
	count = calloc(1, sizeof(*count) + len);
	if (!count)
		return NULL;
	memcpy(count->path, path, len);
	count->next = *slot;
	*slot = count;
	faults.path_count++;
	return count;
}

static void faultcount_add(const char *path, uint64_t requests, uint64_t bytes)
{
	struct fault_count *count;

	pthread_mutex_lock(&faults.lock);
	count = faultcount_of(path);
	if (count) {
		count->requests += requests;
		count->bytes += bytes;
	}
	pthread_mutex_unlock(&faults.lock);
}

void faultcount_request(const char *path)
{
	faultcount_add(path, 1, 0);
}

void faultcount_bytes(const char *path, uint64_t bytes)
{
	faultcount_add(path, 0, bytes);
}

void faultcount_reset(void)
{
	pthread_mutex_lock(&faults.lock);
	for (unsigned int i = 0; i < FAULT_SLOTS; i++)
		while (faults.counts[i]) {
			struct fault_count *gone = faults.counts[i];

			faults.counts[i] = gone->next;
			free(gone);
		}
	faults.path_count = 0;
	pthread_mutex_unlock(&faults.lock);
}

void faultcount_print(const char *prefix, int fd)
{
	uint64_t requests = 0, bytes = 0;

	pthread_mutex_lock(&faults.lock);
	for (unsigned int i = 0; i < FAULT_SLOTS; i++)
		for (struct fault_count *c = faults.counts[i]; c; c = c->next) {
			if (strncmp(c->path, prefix, strlen(prefix)) != 0)
				continue;
			requests += c->requests;
			bytes += c->bytes;
			dprintf(fd, "%llu %llu %s\n",
				(unsigned long long)c->requests,
				(unsigned long long)c->bytes, c->path);
		}
	pthread_mutex_unlock(&faults.lock);
	dprintf(fd, "%llu %llu total\n", (unsigned long long)requests,
		(unsigned long long)bytes);
}
