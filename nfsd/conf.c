/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf: the places that values come from.
 *
 * Debian's libinih tells a handler no line numbers, but ini_parse() returns
 * the line of the first error: so the handler keeps the text of the first
 * error and the line is put before it afterwards.
 */
#include <ctype.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>

#include "nfsd/conf_impl.h"

enum {
	CONF_LINE_MAX = INI_MAX_LINE - 2, /* longer ones libinih would cut */
	CONF_MEMORY_DEFAULT_MB = 512,
	CONF_POLL_US_DEFAULT = 50,
	CONF_QUOTA_DEFAULT_GB = 2,
	CONF_PLAN_BYTES_DEFAULT = 1 << 30,
	CONF_SNAPSHOTS_DEFAULT = 5,
	CONF_KEEP_DEFAULT_S = 24 * 3600,
};

/* Put a place before the error that is set. */
static int conf_error_at(struct conf *conf, const char *place)
{
	char what[CONF_ERROR_MAX];

	memcpy(what, conf->error, sizeof(what));
	return conf_error(conf, "%.256s: %s", place, what);
}

int conf_init(struct conf *conf)
{
	*conf = (struct conf){
	    .poll_us = CONF_POLL_US_DEFAULT,
	    .limits = share_defaults(),
	    .memory = (uint64_t)CONF_MEMORY_DEFAULT_MB << 20,
	    .store_size = CONF_STORE,
	    .store_free = UINT64_MAX, /* DEPOT_FREE_DEFAULT */
	    .quota = (uint64_t)CONF_QUOTA_DEFAULT_GB << 30,
	    .snapshots = CONF_SNAPSHOTS_DEFAULT,
	    .plans = true,
	    .plan_bytes = CONF_PLAN_BYTES_DEFAULT,
	    .fill = CONF_FILL_AUTO,
	    .keep_s = CONF_KEEP_DEFAULT_S,
	    .log_level = LOG_LEVEL_INFO,
	};
	conf->place = PLACE_DEFAULT;
	conf->listen[0] = strdup("127.0.0.1:2049");
	if (!conf->listen[0])
		return -ENOMEM;
	conf->listen_count = 1;
	return 0;
}

void conf_free(struct conf *conf)
{
	while (conf->listen_count > 0) {
		conf->listen_count--;
		free(STEAL(conf->listen[conf->listen_count]));
	}
	free(STEAL(conf->store_path));
	free(STEAL(conf->admin_socket));
	free(STEAL(conf->peer_listen));
}

/* --- places -------------------------------------------------------------- */

static int conf_ini(void *user, const char *section, const char *key,
		    const char *value)
{
	struct conf *conf = user;

	/* Only the first error's line is known. */
	if (conf->error[0] != '\0')
		return 0;
	return conf_set(conf, section, key, value) == 0;
}

/* Line of the first error that libinih cannot report; 0: none. */
static int conf_check_lines(struct conf *conf, const char *text)
{
	int line = 1;

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len > CONF_LINE_MAX) {
			conf_error(conf, "longer than %d bytes", CONF_LINE_MAX);
			return line;
		}
		text += len + (text[len] == '\n');
		line++;
	}
	return 0;
}

int conf_load_text(struct conf *conf, const char *name, const char *text)
{
	char place[320];
	int line;

	conf->place = PLACE_FILE;
	conf->seen = 0;
	conf->error[0] = '\0';
	line = conf_check_lines(conf, text);
	if (line == 0)
		line = ini_parse_string(text, conf_ini, conf);
	if (line == 0)
		return 0;
	if (line < 0)
		return conf_error(conf, "%.256s: out of memory", name);
	if (conf->error[0] == '\0')
		conf_error(conf, "neither [section] nor key = value");
	snprintf(place, sizeof(place), "%.240s:%d", name, line);
	return conf_error_at(conf, place);
}

int conf_load_file(struct conf *conf, const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE char *text = malloc(CONF_FILE_MAX + 1);
	size_t len = 0;
	ssize_t n;

	if (!text)
		return conf_error(conf, "%.256s: out of memory", path);
	if (fd < 0)
		return conf_error(conf, "%.256s: %s", path,
				  strerrordesc_np(errno));
	while ((n = read(fd, text + len, CONF_FILE_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return conf_error(conf, "%.256s: %s", path,
				  strerrordesc_np(errno));
	if (len > CONF_FILE_MAX)
		return conf_error(conf, "%.256s: larger than %d bytes", path,
				  CONF_FILE_MAX);
	text[len] = '\0';
	if (strlen(text) != len)
		return conf_error(conf, "%.256s: this is no text", path);
	return conf_load_text(conf, path, text);
}

/* "VDRIVE_NFS_POLL_US=..." into its words; false: not of one of our sections,
 * so somebody else's. */
static bool conf_env_words(const char *entry, char *section, char *key,
			   size_t cap, const char **value)
{
	static const char prefix[] = "VDRIVE_";
	const char *p = entry + sizeof(prefix) - 1, *equals, *name;
	size_t len;

	if (strncmp(entry, prefix, sizeof(prefix) - 1) != 0)
		return false;
	equals = strchr(p, '=');
	if (!equals || (size_t)(equals - p) >= cap)
		return false;
	for (size_t i = 0; (name = conf_section(i)); i++) {
		len = strlen(name);
		if (strncasecmp(p, name, len) != 0 || p[len] != '_')
			continue;
		strcpy(section, name);
		p += len + 1;
		len = (size_t)(equals - p);
		for (size_t j = 0; j < len; j++)
			key[j] = p[j] == '_'
				     ? '-'
				     : (char)tolower((unsigned char)p[j]);
		key[len] = '\0';
		*value = equals + 1;
		return true;
	}
	return false;
}

int conf_load_env(struct conf *conf, char *const *env)
{
	char section[64], key[64], place[96];
	const char *value;

	conf->place = PLACE_ENV;
	for (; *env; env++) {
		if (!conf_env_words(*env, section, key, sizeof(key), &value) ||
		    conf_set(conf, section, key, value) == 0)
			continue;
		snprintf(place, sizeof(place), "environment: %.*s",
			 (int)strcspn(*env, "="), *env);
		return conf_error_at(conf, place);
	}
	return 0;
}

int conf_set_option(struct conf *conf, const char *option)
{
	const char *dot = strchr(option, '.'), *equals = strchr(option, '=');
	char section[64], key[64], place[96];

	conf->place = PLACE_OPTION;
	if (!dot || !equals || dot > equals ||
	    (size_t)(dot - option) >= sizeof(section) ||
	    (size_t)(equals - dot) > sizeof(key))
		return conf_error(conf, "-o %.128s: not section.key=value",
				  option);
	memcpy(section, option, (size_t)(dot - option));
	section[dot - option] = '\0';
	memcpy(key, dot + 1, (size_t)(equals - dot - 1));
	key[equals - dot - 1] = '\0';
	if (conf_set(conf, section, key, equals + 1) == 0)
		return 0;
	snprintf(place, sizeof(place), "-o %.80s", option);
	return conf_error_at(conf, place);
}

/* --- defaults that depend on who we are ---------------------------------- */

static int conf_join(struct conf *conf, char **to, const char *dir,
		     const char *name)
{
	char *path;

	if (asprintf(&path, "%s%s", dir, name) < 0)
		return conf_error(conf, "out of memory");
	free(*to);
	*to = path;
	return 0;
}

static int conf_default_store(struct conf *conf, bool is_root)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (is_root)
		return conf_join(conf, &conf->store_path, "/var/lib",
				 "/vdrive");
	if (state && state[0] == '/')
		return conf_join(conf, &conf->store_path, state, "/vdrive");
	if (home && home[0] == '/')
		return conf_join(conf, &conf->store_path, home,
				 "/.local/state/vdrive");
	return conf_error(conf, "no place for the store: neither "
				"XDG_STATE_HOME nor HOME is set; give -o "
				"store.path=DIR");
}

static int conf_default_socket(struct conf *conf, bool is_root)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (is_root)
		return conf_join(conf, &conf->admin_socket, "/run/vdrive",
				 "/vdrive.sock");
	if (runtime && runtime[0] == '/')
		return conf_join(conf, &conf->admin_socket, runtime,
				 "/vdrive.sock");
	return conf_join(conf, &conf->admin_socket, conf->store_path,
			 "/vdrive.sock");
}

int conf_finish(struct conf *conf, bool is_root)
{
	int rc = 0;

	if (!conf->store_path)
		rc = conf_default_store(conf, is_root);
	if (rc == 0 && !conf->admin_socket)
		rc = conf_default_socket(conf, is_root);
	if (rc == 0 && strlen(conf->admin_socket) > CONF_SOCKET_MAX)
		rc = conf_error(conf,
				"socket: %.200s is longer than %d bytes; give "
				"-o admin.socket=PATH",
				conf->admin_socket, CONF_SOCKET_MAX);
	return rc;
}
