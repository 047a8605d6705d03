/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_conf: arbitrary text as a configuration file and as an option.
 * Promises: taken, with every value in its range, or refused with a text that
 * names the place.
 */
#include "nfsd/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_conf_check(const struct conf *conf)
{
	ASSERT(conf->listen_count > 0 &&
	       conf->listen_count <= SERVER_LISTEN_MAX);
	for (unsigned int i = 0; i < conf->listen_count; i++)
		ASSERT(strchr(conf->listen[i], ':'));
	ASSERT(conf->threads <= CONF_THREADS_MAX);
	ASSERT(conf->poll_us <= CONF_POLL_US_MAX);
	ASSERT(conf->memory >= CONF_MEMORY_MIN &&
	       conf->memory <= CONF_MEMORY_MAX);
	ASSERT(!conf->store_path || conf->store_path[0] == '/');
	ASSERT(!conf->admin_socket ||
	       strlen(conf->admin_socket) <= CONF_SOCKET_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct conf conf;
	char *text;

	if (len > CONF_FILE_MAX)
		return 0;
	text = malloc(len + 1);
	ASSERT(text);
	memcpy(text, data, len);
	text[len] = '\0';
	ASSERT(conf_init(&conf) == 0);
	if (conf_load_text(&conf, "fuzz", text) < 0)
		ASSERT(strncmp(conf.error, "fuzz:", 5) == 0);
	else
		fuzz_conf_check(&conf);
	conf_free(&conf);
	ASSERT(conf_init(&conf) == 0);
	if (conf_set_option(&conf, text) < 0)
		ASSERT(strncmp(conf.error, "-o ", 3) == 0);
	else
		fuzz_conf_check(&conf);
	conf_free(&conf);
	free(text);
	return 0;
}
