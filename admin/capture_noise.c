/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_noise: files that tell of one machine or one moment, by path.  An
 * operator's own patterns go first: --keep, then --leave, then these.
 */
#include "admin/capture.h"

static const char *const capture_rules[] = {
    "tmp/**",
    "var/tmp/**",
    "run/**",
    "var/log/**",
    "var/cache/apt/**",
    "var/cache/man/**",
    "var/cache/ldconfig/**",
    "var/cache/fontconfig/**",
    "var/cache/dnf/**",
    "var/cache/yum/**",
    "var/lib/apt/lists/**",
    "var/lib/apt/extended_states",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/apt/lists/lock",
    "var/backups/**",
    "var/lib/systemd/random-seed",
    "etc/machine-id",
    "var/lib/dbus/machine-id",
    "etc/.pwd.lock",
    "etc/*-",
    "etc/mtab",
    "root/.bash_history",
    "root/.viminfo",
    "root/.cache/**",
    "home/*/.cache/**",
    "**/.nfs*",
};

/* Patterns are short, and paths too: no need to be clever. */
bool capture_match(const char *pattern, const char *path)
{
	for (; *pattern; pattern++, path++) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			pattern += 2 + (pattern[2] == '/');
			if (!*pattern)
				return true;
			for (; *path; path++)
				if (capture_match(pattern, path))
					return true;
			return false;
		}
		if (*pattern == '*') {
			pattern++;
			for (;; path++) {
				if (capture_match(pattern, path))
					return true;
				if (!*path || *path == '/')
					return false;
			}
		}
		if (!*path ||
		    (*pattern == '?' ? *path == '/' : *pattern != *path))
			return false;
	}
	return !*path;
}

const char *capture_noise(const struct capture_options *options,
			  const char *path)
{
	for (const char *const *p = options->keep; p && *p; p++)
		if (capture_match(*p, path))
			return NULL;
	for (const char *const *p = options->leave; p && *p; p++)
		if (capture_match(*p, path))
			return *p;
	for (size_t i = 0; i < ARRAY_LEN(capture_rules); i++)
		if (capture_match(capture_rules[i], path))
			return capture_rules[i];
	return NULL;
}
