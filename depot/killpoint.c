/* SPDX-License-Identifier: Apache-2.0 */
/* killpoint: see killpoint.h.  Empty but in a build with KILLPOINTS=1. */
#include "depot/killpoint.h"

#ifdef KILLPOINTS
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "depot/base.h"
#include "depot/log.h"

enum { KILL_RULES_MAX = 16 };

static struct kill_rule {
	char name[32];
	unsigned int odds; /* one pass in so many */
	unsigned int passes;
} kill_rules[KILL_RULES_MAX];
static unsigned int kill_rule_count;
static uint64_t kill_seed = 1;
static pthread_once_t kill_once = PTHREAD_ONCE_INIT;

static void kill_load(void)
{
	const char *text = getenv("VDRIVE_KILL");
	const char *seed = getenv("VDRIVE_KILL_SEED");

	if (seed)
		kill_seed = strtoull(seed, NULL, 10);
	while (text && *text && kill_rule_count < KILL_RULES_MAX) {
		struct kill_rule *rule = &kill_rules[kill_rule_count];

		if (sscanf(text, "%31[^:,]:%u", rule->name, &rule->odds) != 2 ||
		    rule->odds == 0) {
			log_err(-EINVAL, "VDRIVE_KILL: %s", text);
			_exit(2);
		}
		kill_rule_count++;
		text += strcspn(text, ",");
		text += *text == ',';
	}
	for (unsigned int i = 0; i < kill_rule_count; i++)
		log_info("kill point %s, one pass in %u, seed %llu",
			 kill_rules[i].name, kill_rules[i].odds,
			 (unsigned long long)kill_seed);
}

static uint64_t kill_draw(const char *name, unsigned int pass)
{
	uint64_t x = kill_seed * UINT64_C(0x9e3779b97f4a7c15) + pass;

	for (; *name; name++)
		x = (x ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	x ^= x >> 31;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 29;
}

void kill_point(const char *name)
{
	pthread_once(&kill_once, kill_load);
	for (unsigned int i = 0; i < kill_rule_count; i++) {
		struct kill_rule *rule = &kill_rules[i];
		unsigned int pass;

		if (strcmp(rule->name, name) != 0 &&
		    strcmp(rule->name, "*") != 0)
			continue;
		pass = __atomic_add_fetch(&rule->passes, 1, __ATOMIC_RELAXED);
		if (kill_draw(name, pass) % rule->odds == 0) {
			dprintf(STDERR_FILENO, "killed at %s, pass %u\n", name,
				pass);
			raise(SIGKILL);
		}
		return;
	}
}
#endif
