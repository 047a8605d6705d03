/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: which kind a URL means.
 */
#include "depot/source.h"

enum {
	SOURCE_CREDENTIALS = 1,
	SOURCE_ENDPOINT = 2,
	SOURCE_REGION = 4,
	SOURCE_CA = 8,
	SOURCE_PROXY = 16,
};

struct source_row {
	const char *scheme, *kind;
	unsigned int options; /* SOURCE_*, that it has a use for */
};

static const struct source_row source_rows[] = {
    {"dir:", "directory", 0},
    {"http://", "http", SOURCE_CREDENTIALS | SOURCE_PROXY},
    {"nfs://", "nfs", 0},
    {"vdrive://", "peer", SOURCE_PROXY},
    {"s3://", "s3",
     SOURCE_CREDENTIALS | SOURCE_ENDPOINT | SOURCE_REGION | SOURCE_CA |
	 SOURCE_PROXY},
    {"https://", "https", SOURCE_CREDENTIALS | SOURCE_CA | SOURCE_PROXY},
};

static const struct source_row *source_row_find(const char *url)
{
	for (size_t i = 0; i < ARRAY_LEN(source_rows); i++)
		if (strncmp(url, source_rows[i].scheme,
			    strlen(source_rows[i].scheme)) == 0)
			return &source_rows[i];
	return NULL;
}

const char *source_kind(const char *url)
{
	const struct source_row *row = source_row_find(url);

	return row ? row->kind : "";
}

const char *source_option_unfit(const char *url,
				const struct source_options *options)
{
	const struct source_row *row = source_row_find(url);
	const struct {
		const char *value, *name;
		unsigned int bit;
	} given[] = {
	    {options->credentials, "credentials", SOURCE_CREDENTIALS},
	    {options->endpoint, "endpoint", SOURCE_ENDPOINT},
	    {options->region, "region", SOURCE_REGION},
	    {options->ca_file, "ca", SOURCE_CA},
	    {options->proxy, "proxy", SOURCE_PROXY},
	};

	for (size_t i = 0; row && i < ARRAY_LEN(given); i++)
		if (given[i].value && !(row->options & given[i].bit))
			return given[i].name;
	return NULL;
}

int source_new(const char *url, const struct source_options *options,
	       struct source **source)
{
	static const struct source_options none;
	const struct source_row *row = source_row_find(url);

	if (!options)
		options = &none;
	if (!row || source_option_unfit(url, options))
		return -EINVAL;
	if (strcmp(row->kind, "directory") == 0)
		return source_dir_new(url + strlen(row->scheme), source);
	if (strcmp(row->kind, "peer") == 0)
		return source_peer_new(url + strlen(row->scheme), options,
				       source);
	if (strcmp(row->kind, "nfs") == 0)
		return source_nfs_new(url + strlen(row->scheme), source);
	if (strcmp(row->kind, "s3") == 0)
		return source_s3_new(url + strlen(row->scheme), options,
				     source);
	return source_http_new(url, options, source);
}
