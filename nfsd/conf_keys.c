/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_keys: the one table of keys; a setter for each, that says what a value
 * must be.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "nfsd/conf_impl.h"

enum { CONF_NEAR_MAX = 3 /* edits that still count as a slip */ };

int conf_error(struct conf *conf, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(conf->error, sizeof(conf->error), fmt, args);
	va_end(args);
	return -EINVAL;
}

/* --- values ------------------------------------------------------------------
 */

static int conf_number(const char *value, uint64_t max, uint64_t *number)
{
	char *end;

	if (!isdigit((unsigned char)value[0]))
		return -EINVAL;
	errno = 0;
	*number = strtoull(value, &end, 10);
	return errno != 0 || *end != '\0' || *number > max ? -EINVAL : 0;
}

static int conf_set_string(struct conf *conf, char **to, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return conf_error(conf, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

static int conf_set_listen(struct conf *conf, const char *value)
{
	const char *colon = strrchr(value, ':');
	uint64_t port;

	if (!colon || colon == value ||
	    conf_number(colon + 1, UINT16_MAX, &port) < 0)
		return conf_error(conf,
				  "listen: \"%s\" is not ADDRESS:PORT, such as "
				  "127.0.0.1:2049",
				  value);
	if (conf->listen_place != conf->place) {
		while (conf->listen_count > 0) {
			conf->listen_count--;
			free(STEAL(conf->listen[conf->listen_count]));
		}
		conf->listen_place = conf->place;
	}
	if (conf->listen_count == SERVER_LISTEN_MAX)
		return conf_error(conf, "listen: more than %d addresses",
				  SERVER_LISTEN_MAX);
	return conf_set_string(conf, &conf->listen[conf->listen_count++],
			       value);
}

static int conf_set_threads(struct conf *conf, const char *value)
{
	uint64_t n = 0;

	if (strcmp(value, "auto") != 0 &&
	    (conf_number(value, CONF_THREADS_MAX, &n) < 0 || n == 0))
		return conf_error(conf,
				  "threads: \"%s\" is neither \"auto\" nor a "
				  "number from 1 to %d",
				  value, CONF_THREADS_MAX);
	conf->threads = (unsigned int)n;
	return 0;
}

static int conf_set_poll_us(struct conf *conf, const char *value)
{
	uint64_t n;

	if (conf_number(value, CONF_POLL_US_MAX, &n) < 0)
		return conf_error(conf,
				  "poll-us: \"%s\" is not a number from 0 to "
				  "%d (microseconds)",
				  value, CONF_POLL_US_MAX);
	conf->poll_us = (unsigned int)n;
	return 0;
}

/* Absolute, since the daemon's directory is nobody's concern. */
static int conf_set_path(struct conf *conf, const char *key, char **to,
			 size_t len_max, const char *value)
{
	if (value[0] != '/')
		return conf_error(conf, "%s: \"%s\" is not an absolute path",
				  key, value);
	if (strlen(value) > len_max)
		return conf_error(conf, "%s: longer than %zu bytes", key,
				  len_max);
	return conf_set_string(conf, to, value);
}

static int conf_set_store(struct conf *conf, const char *value)
{
	return conf_set_path(conf, "path", &conf->store_path, CONF_PATH_MAX,
			     value);
}

static int conf_set_socket(struct conf *conf, const char *value)
{
	return conf_set_path(conf, "socket", &conf->admin_socket,
			     CONF_SOCKET_MAX, value);
}

/* Bytes with K, M, G or T (powers of 1024). */
static int conf_size(const char *value, uint64_t min, uint64_t max,
		     uint64_t *size)
{
	static const char units[] = "KMGT";
	char digits[32];
	size_t len = strlen(value);
	const char *unit;
	uint64_t n;
	unsigned int shift = 0;

	if (len == 0 || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, value, len + 1);
	unit = strchr(units, digits[len - 1]);
	if (unit && *unit) {
		shift = 10 * (unsigned int)(unit - units + 1);
		digits[len - 1] = '\0';
	}
	if (conf_number(digits, max >> shift, &n) < 0 || n << shift < min)
		return -EINVAL;
	*size = n << shift;
	return 0;
}

static int conf_set_memory(struct conf *conf, const char *value)
{
	if (conf_size(value, CONF_MEMORY_MIN, CONF_MEMORY_MAX, &conf->memory) <
	    0)
		return conf_error(conf,
				  "memory: \"%s\" is not a size of 64M or "
				  "more, such as 512M or 2G",
				  value);
	return 0;
}

static int conf_set_store_size(struct conf *conf, const char *value)
{
	size_t len = strlen(value);
	char digits[4];
	uint64_t n;

	conf->store_size = conf->store_percent = 0;
	if (strcmp(value, "none") == 0)
		return 0;
	if (len > 1 && len <= sizeof(digits) && value[len - 1] == '%') {
		memcpy(digits, value, len - 1);
		digits[len - 1] = '\0';
		if (conf_number(digits, 100, &n) == 0 && n > 0) {
			conf->store_percent = (unsigned int)n;
			return 0;
		}
	} else if (conf_size(value, CONF_STORE_MIN, CONF_QUOTA_MAX,
			     &conf->store_size) == 0) {
		return 0;
	}
	return conf_error(conf,
			  "size: \"%s\" is neither \"none\" nor a size of 32M "
			  "or more, such as 20G, nor a part of the file "
			  "system, such as 30%%",
			  value);
}

static int conf_set_store_free(struct conf *conf, const char *value)
{
	conf->store_free = 0;
	if (strcmp(value, "none") == 0 ||
	    conf_size(value, CONF_QUOTA_MIN, CONF_QUOTA_MAX,
		      &conf->store_free) == 0)
		return 0;
	return conf_error(conf,
			  "free: \"%s\" is neither \"none\" nor a size of 1M "
			  "or more, such as 1G",
			  value);
}

static int conf_set_store_evict(struct conf *conf, const char *value)
{
	conf->store_lru = strcmp(value, "lru") == 0;
	if (conf->store_lru || strcmp(value, "frequency") == 0)
		return 0;
	return conf_error(conf,
			  "evict: \"%s\" is neither \"frequency\" nor "
			  "\"lru\"",
			  value);
}

static int conf_set_count(struct conf *conf, const char *key, const char *value,
			  size_t *count)
{
	uint64_t n;

	if (conf_number(value, CONF_COUNT_MAX, &n) < 0 || n == 0)
		return conf_error(conf,
				  "%s: \"%s\" is not a number from 1 to %d",
				  key, value, CONF_COUNT_MAX);
	*count = (size_t)n;
	return 0;
}

static int conf_set_held(struct conf *conf, const char *key, const char *value,
			 size_t *held)
{
	uint64_t n;

	if (conf_size(value, CONF_HELD_MIN, CONF_MEMORY_MAX, &n) < 0)
		return conf_error(conf,
				  "%s: \"%s\" is not a size of 1M or more, "
				  "such as 16M",
				  key, value);
	*held = (size_t)n;
	return 0;
}

#define CONF_LIMIT(name, kind, key, member)                                    \
	static int conf_set_##name(struct conf *conf, const char *value)       \
	{                                                                      \
		return conf_set_##kind(conf, key, value,                       \
				       &conf->limits.member);                  \
	}
CONF_LIMIT(address_conns, count, "address-connections", address_conns)
CONF_LIMIT(guest_conns, count, "guest-connections", guest[SHARE_CONNS])
CONF_LIMIT(guest_parked, count, "guest-parked", guest[SHARE_PARKED])
CONF_LIMIT(guest_held, held, "guest-held", guest[SHARE_BYTES])
CONF_LIMIT(tenant_conns, count, "tenant-connections", tenant[SHARE_CONNS])
CONF_LIMIT(tenant_parked, count, "tenant-parked", tenant[SHARE_PARKED])
CONF_LIMIT(tenant_held, held, "tenant-held", tenant[SHARE_BYTES])

static int conf_set_quota(struct conf *conf, const char *value)
{
	if (strcmp(value, "none") == 0) {
		conf->quota = 0;
		return 0;
	}
	if (conf_size(value, CONF_QUOTA_MIN, CONF_QUOTA_MAX, &conf->quota) == 0)
		return 0;
	return conf_error(conf,
			  "quota: \"%s\" is neither \"none\" nor a size of 1M "
			  "or more, such as 512M or 2G",
			  value);
}

static int conf_set_peer_listen(struct conf *conf, const char *value)
{
	const char *colon = strrchr(value, ':');

	if (!colon || colon == value || !colon[1] ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return conf_error(conf,
				  "listen: \"%s\" is no address and port such "
				  "as 10.0.0.1:2050",
				  value);
	return conf_set_string(conf, &conf->peer_listen, value);
}

static int conf_set_peer_rate(struct conf *conf, const char *value)
{
	if (strcmp(value, "none") == 0) {
		conf->peer_rate = 0;
		return 0;
	}
	if (conf_size(value, 1, CONF_QUOTA_MAX, &conf->peer_rate) == 0)
		return 0;
	return conf_error(conf,
			  "rate: \"%s\" is neither \"none\" nor bytes a "
			  "second such as 100M",
			  value);
}

static int conf_set_plans(struct conf *conf, const char *value)
{
	conf->plans = strcmp(value, "on") == 0;
	if (conf->plans || strcmp(value, "off") == 0)
		return 0;
	return conf_error(conf, "plans: \"%s\" is neither on nor off", value);
}

static int conf_set_plan_bytes(struct conf *conf, const char *value)
{
	if (conf_size(value, CONF_QUOTA_MIN, CONF_QUOTA_MAX,
		      &conf->plan_bytes) == 0)
		return 0;
	return conf_error(conf,
			  "plan-bytes: \"%s\" is not a size of 1M or more, "
			  "such as 256M",
			  value);
}

static int conf_set_fill(struct conf *conf, const char *value)
{
	conf->fill = 0;
	if (strcmp(value, "off") == 0)
		return 0;
	if (strcmp(value, "auto") == 0) {
		conf->fill = CONF_FILL_AUTO;
		return 0;
	}
	if (conf_size(value, CONF_FILL_MIN, CONF_FILL_MAX, &conf->fill) == 0)
		return 0;
	return conf_error(conf,
			  "fill: \"%s\" is neither \"auto\", \"off\" nor bytes "
			  "a second, 64K or more, such as 10M",
			  value);
}

static int conf_set_snapshots(struct conf *conf, const char *value)
{
	uint64_t n;

	if (conf_number(value, CONF_SNAPSHOTS_MAX, &n) < 0)
		return conf_error(conf,
				  "snapshots: \"%s\" is not a number from 0 "
				  "to %d",
				  value, CONF_SNAPSHOTS_MAX);
	conf->snapshots = (unsigned int)n;
	return 0;
}

/* "24h"; a number alone is seconds. */
static int conf_ms(const char *value, uint64_t max_s, uint64_t *ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"ms", 1},
		     {"s", 1000},
		     {"m", 60 * 1000},
		     {"h", 3600 * 1000},
		     {"d", 86400 * 1000}};
	size_t digits = strspn(value, "0123456789");
	uint64_t unit = 0, n;
	char number[32];

	if (digits == 0 || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, value, digits);
	number[digits] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(value + digits, units[i].name) == 0)
			unit = units[i].ms;
	if (!value[digits])
		unit = 1000;
	if (!unit || conf_number(number, max_s * 1000 / unit, &n) < 0)
		return -EINVAL;
	*ms = n * unit;
	return 0;
}

static int conf_set_keep(struct conf *conf, const char *value)
{
	uint64_t ms;

	if (conf_ms(value, CONF_KEEP_MAX_S, &ms) < 0 || ms % 1000)
		return conf_error(conf,
				  "keep: \"%s\" is no time such as 24h, 90m "
				  "or 7d",
				  value);
	conf->keep_s = (unsigned int)(ms / 1000);
	return 0;
}

static int conf_set_parallel(struct conf *conf, const char *value)
{
	uint64_t n;

	if (conf_number(value, CONF_PARALLEL_MAX, &n) < 0 || n == 0)
		return conf_error(conf,
				  "parallel: \"%s\" is not a number from 1 to "
				  "%d",
				  value, CONF_PARALLEL_MAX);
	conf->upstream.parallel = (unsigned int)n;
	return 0;
}

static int conf_set_inflight(struct conf *conf, const char *value)
{
	return conf_set_held(conf, "inflight", value, &conf->upstream.inflight);
}

static int conf_set_patience_of(struct conf *conf, const char *key,
				const char *value, uint64_t *ms)
{
	if (conf_ms(value, CONF_PATIENCE_MAX_S, ms) < 0 || *ms == 0)
		return conf_error(conf,
				  "%s: \"%s\" is no time such as 10s, 500ms "
				  "or 5m",
				  key, value);
	return 0;
}

#define CONF_PATIENCE(key, member)                                             \
	static int conf_set_##key(struct conf *conf, const char *value)        \
	{                                                                      \
		return conf_set_patience_of(conf, #key, value,                 \
					    &conf->upstream.member);           \
	}
CONF_PATIENCE(hedge, hedge_ms)
CONF_PATIENCE(timeout, timeout_ms)
CONF_PATIENCE(retry, retry_ms)
CONF_PATIENCE(avoid, avoid_ms)
CONF_PATIENCE(patience, patience_ms)

static int conf_set_level(struct conf *conf, const char *value)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(value, names[i]) == 0) {
			conf->log_level = (enum log_level)i;
			return 0;
		}
	}
	return conf_error(
	    conf, "level: \"%s\" is none of error, warn, info, debug", value);
}

static int conf_set_trust(struct conf *conf, const char *value)
{
	static const char *const names[] = {"local", "yes", "no"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(value, names[i]) == 0) {
			conf->trust_paths = (enum conf_trust)i;
			return 0;
		}
	}
	return conf_error(conf,
			  "trust-paths: \"%s\" is neither local nor yes nor "
			  "no",
			  value);
}

/* --- keys --------------------------------------------------------------------
 */

static const struct conf_key {
	const char *section, *key;
	int (*set)(struct conf *conf, const char *value);
	bool repeatable;
} conf_keys[] = {
    {"nfs", "listen", conf_set_listen, true},
    {"nfs", "threads", conf_set_threads, false},
    {"nfs", "poll-us", conf_set_poll_us, false},
    {"nfs", "trust-paths", conf_set_trust, false},
    {"limits", "address-connections", conf_set_address_conns, false},
    {"limits", "guest-connections", conf_set_guest_conns, false},
    {"limits", "guest-parked", conf_set_guest_parked, false},
    {"limits", "guest-held", conf_set_guest_held, false},
    {"limits", "tenant-connections", conf_set_tenant_conns, false},
    {"limits", "tenant-parked", conf_set_tenant_parked, false},
    {"limits", "tenant-held", conf_set_tenant_held, false},
    {"store", "path", conf_set_store, false},
    {"store", "memory", conf_set_memory, false},
    {"store", "keep", conf_set_keep, false},
    {"store", "size", conf_set_store_size, false},
    {"store", "free", conf_set_store_free, false},
    {"store", "evict", conf_set_store_evict, false},
    {"upstream", "plans", conf_set_plans, false},
    {"upstream", "plan-bytes", conf_set_plan_bytes, false},
    {"upstream", "fill", conf_set_fill, false},
    {"upstream", "parallel", conf_set_parallel, false},
    {"upstream", "inflight", conf_set_inflight, false},
    {"upstream", "hedge", conf_set_hedge, false},
    {"upstream", "timeout", conf_set_timeout, false},
    {"upstream", "retry", conf_set_retry, false},
    {"upstream", "avoid", conf_set_avoid, false},
    {"upstream", "patience", conf_set_patience, false},
    {"delta", "quota", conf_set_quota, false},
    {"delta", "snapshots", conf_set_snapshots, false},
    {"admin", "socket", conf_set_socket, false},
    {"peer", "listen", conf_set_peer_listen, false},
    {"peer", "rate", conf_set_peer_rate, false},
    {"log", "level", conf_set_level, false},
};
_Static_assert(ARRAY_LEN(conf_keys) <= 64, "seen is a set of 64 bits");

const char *conf_section(size_t i)
{
	return i < ARRAY_LEN(conf_keys) ? conf_keys[i].section : NULL;
}

/* Edits (insert, delete, replace) between two short words. */
static unsigned int conf_distance(const char *a, const char *b)
{
	enum { WORD_MAX = 32 };
	unsigned int row[WORD_MAX + 1], diagonal, above;
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= a_len; i++) {
		diagonal = row[0];
		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_len; j++) {
			above = row[j];
			row[j] = MIN(MIN(row[j] + 1, row[j - 1] + 1),
				     diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

/* The nearest key of a section (NULL: the nearest section), or NULL. */
static const char *conf_nearest(const char *section, const char *word)
{
	unsigned int best = CONF_NEAR_MAX + 1;
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(conf_keys); i++) {
		const char *name =
		    section ? conf_keys[i].key : conf_keys[i].section;
		unsigned int distance = conf_distance(word, name);

		if (section && strcmp(section, conf_keys[i].section) != 0)
			continue;
		if (distance < best && distance < strlen(name)) {
			best = distance;
			found = name;
		}
	}
	return found;
}

static int conf_unknown(struct conf *conf, const char *section, const char *key)
{
	const char *near;
	bool section_known = false;

	for (size_t i = 0; i < ARRAY_LEN(conf_keys); i++)
		section_known |= strcmp(section, conf_keys[i].section) == 0;
	near = conf_nearest(section_known ? section : NULL,
			    section_known ? key : section);
	if (!section_known && section[0] == '\0')
		return conf_error(conf, "\"%.64s\" stands before any [section]",
				  key);
	if (!section_known)
		return conf_error(conf, "unknown section [%.64s]%s%s%s",
				  section, near ? "; did you mean [" : "",
				  near ? near : "", near ? "]?" : "");
	return conf_error(conf, "unknown key \"%.64s\" in [%s]%s%s%s", key,
			  section, near ? "; did you mean \"" : "",
			  near ? near : "", near ? "\"?" : "");
}

int conf_set(struct conf *conf, const char *section, const char *key,
	     const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(conf_keys); i++) {
		const struct conf_key *row = &conf_keys[i];

		if (strcmp(row->section, section) != 0 ||
		    strcmp(row->key, key) != 0)
			continue;
		if (conf->place == PLACE_FILE && !row->repeatable &&
		    (conf->seen & UINT64_C(1) << i))
			return conf_error(conf, "%s is set twice in [%s]", key,
					  section);
		conf->seen |= UINT64_C(1) << i;
		return row->set(conf, value);
	}
	return conf_unknown(conf, section, key);
}
