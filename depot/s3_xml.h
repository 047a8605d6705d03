/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_xml: the two kinds of XML that an S3 server answers with and we read: an
 * error, and a listing (ListObjectsV2).  Not an XML parser: elements, texts and
 * the entities that such servers write; attributes, comments and CDATA are
 * passed over, a DTD is refused.  Reads nothing but what it is given.
 */
#ifndef DEPOT_S3_XML_H
#define DEPOT_S3_XML_H

#include "depot/base.h"

enum {
	S3_CODE_MAX = 64,
	S3_MESSAGE_MAX = 160,
	S3_KEY_MAX = 1024,
	S3_TOKEN_MAX = 1024,
};

struct s3_error {
	char code[S3_CODE_MAX + 1];       /* "NoSuchBucket"; "" when not told */
	char message[S3_MESSAGE_MAX + 1]; /* cut; printable */
};
/* What is no such document has no code. */
void s3_error_read(const char *text, size_t len, struct s3_error *error);

struct s3_list_end {
	bool more;                    /* there is another page */
	char token[S3_TOKEN_MAX + 1]; /* that begins with it */
};
/*
 * One page: visit for each object with its whole key and its length, and for
 * each common prefix (ends in '/', len 0); non-zero stops and is returned.
 * Keys that are longer than S3_KEY_MAX or have control characters are passed
 * over.  -EBADMSG: no such document, or one that is cut short.
 */
MUST_CHECK int s3_list_read(const char *text, size_t len,
			    int (*visit)(void *ctx, const char *key,
					 uint64_t len),
			    void *ctx, struct s3_list_end *end);

#endif
