/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_depot_place: where a push goes, and how.
 */
#include <stdio.h>
#include <time.h>

#include "admin/cmd_depot.h"
#include "depot/log.h"

enum { CMD_DAY_SEC = 86400, CMD_EXPIRES_DAYS_MAX = 36500 };

static int cmd_place_url(struct cli *cli, const char *url,
			 struct cmd_place *place)
{
	bool relative = strncmp(url, "dir:", 4) == 0 && url[4] && url[4] != '/';
	char cwd[2048] = "";
	int len;

	if (relative && !getcwd(cwd, sizeof(cwd)))
		return failure_errno(&cli->failure, -errno, "%s", url);
	len = snprintf(place->url, sizeof(place->url), "%s%s%s",
		       relative ? "dir:" : "", relative ? cwd : "",
		       relative ? "/" : "");
	if (strlen(url) + (size_t)len >= sizeof(place->url))
		return failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
				   "%.60s...: too long", url);
	snprintf(place->url + len, sizeof(place->url) - (size_t)len, "%s",
		 relative ? url + 4 : url);
	return 0;
}

int cmd_place_open(struct cli *cli, const char *url, struct cmd_place *place)
{
	const struct args *args = &cli->args;
	struct source_options options = {
	    .credentials = args->value[ARGS_CREDENTIALS],
	    .endpoint = args->value[ARGS_ENDPOINT],
	    .region = args->value[ARGS_REGION],
	    .ca_file = args->value[ARGS_CA],
	    .proxy = args->value[ARGS_PROXY],
	};
	const char *key = args->value[ARGS_KEY];
	int rc;

	rc = cmd_place_url(cli, url, place);
	if (rc < 0)
		return rc;
	log_clear_last_error();
	rc = source_new(place->url, &options, &place->source);
	if (rc < 0) {
		place->source = NULL;
		failure_set(&cli->failure, rc, CONTROL_EXIT_USAGE,
			    "\"%s\" is no place to push to%s%s", url,
			    *log_last_error() ? ": " : "", log_last_error());
		failure_hint(&cli->failure,
			     "try: dir:PATH, s3://BUCKET/PREFIX --endpoint URL "
			     "--credentials FILE, or nfs://HOST/EXPORT/PATH");
		return rc;
	}
	if (!key)
		return 0;
	place->is_signed = true;
	return cmd_key_load(cli, key, &place->secret);
}

void cmd_place_clear(struct cmd_place *place)
{
	source_free(place->source);
	explicit_bzero(&place->secret, sizeof(place->secret));
}

int cmd_place_expiry(struct cli *cli, int64_t *expires_sec)
{
	const char *text = cli->args.value[ARGS_EXPIRES];
	unsigned long days;

	*expires_sec = 0;
	if (!text)
		return 0;
	if (args_number(text, CMD_EXPIRES_DAYS_MAX, &days) < 0 || days == 0) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "--expires: \"%s\" is no number of days", text);
		failure_hint(&cli->failure, "try: --expires 30");
		return -EINVAL;
	}
	*expires_sec = time(NULL) + (int64_t)days * CMD_DAY_SEC;
	return 0;
}

static const char *cmd_place_hint(int rc)
{
	switch (rc) {
	case -EPERM:
		return "try: --key FILE with that key; or look at what is "
		       "there, and then --adopt";
	case -EBADMSG:
	case -EPROTONOSUPPORT:
		return "try: a new directory; --verify for packs";
	case -EOPNOTSUPP:
		return "try: dir:PATH, s3://BUCKET or nfs://HOST/EXPORT";
	case -EEXIST:
		return "try: another name";
	case -EHOSTUNREACH:
		return "try: the same again: what has been sent will not be "
		       "sent again";
	case -EACCES:
		return "try: a place that you may write to";
	default:
		return "try: a directory that you may write to";
	}
}

int cmd_place_fail(struct cli *cli, int rc, const char *word, const char *url)
{
	struct failure *failure = &cli->failure;
	const char *cause = log_last_error();

	/* A shard that the daemon did not give has been told. */
	if (failure->code)
		return cmd_fail(cli);
	if (*cause)
		failure_set(failure, rc, failure_code(rc), "cannot %s %s: %s",
			    word, url, cause);
	else
		failure_errno(failure, rc, "cannot %s %s", word, url);
	/* Code 4 would say that a package is missing. */
	if (rc == -ENOENT)
		failure->code = CONTROL_EXIT_FAILED;
	if (rc != -EINTR)
		failure_hint(failure, "%s", cmd_place_hint(rc));
	return cmd_fail(cli);
}
