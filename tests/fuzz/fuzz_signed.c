/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_signed: arbitrary text as a signed tag or root document, where one key
 * is trusted that has signed one payload of each kind.  Promise: whatever
 * stands around it, nothing but these payloads is ever taken.
 *
 * The seeds hold the two signed documents, so what is mutated is a good one.
 */
#include "depot/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct sign_keys fuzz_trusted;
static struct digest fuzz_tag, fuzz_root;

static void fuzz_signed_setup(void)
{
	struct root_package package = {"p", 3};
	struct root_doc root = {
	    .generation = 1, .packages = &package, .count = 1};
	struct tag_row row = {.tag = "1",
			      .revision = digest_of("r", 1),
			      .tree = digest_of("t", 1),
			      .index = 1};
	struct tag_doc tag = {
	    .name = "p", .sequence = 3, .rows = &row, .count = 1};
	struct sign_key secret;
	char *text;

	memset(&secret, 1, sizeof(secret));
	fuzz_trusted.key[0] = sign_public(&secret);
	fuzz_trusted.count = 1;
	ASSERT(tag_doc_sign(&tag, &secret, &text) == 0);
	tag = (struct tag_doc){.count = 0};
	ASSERT(tag_doc_prove(text, strlen(text), &fuzz_trusted, &tag) == 0);
	fuzz_tag = tag.payload;
	tag_doc_clear(&tag);
	free(text);
	ASSERT(root_doc_sign(&root, &secret, &text) == 0);
	root = (struct root_doc){.count = 0};
	ASSERT(root_doc_prove(text, strlen(text), &fuzz_trusted, &root) == 0);
	fuzz_root = root.payload;
	root_doc_clear(&root);
	free(text);
}

static void fuzz_signed_rc(int rc)
{
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT ||
	       rc == -EKEYREJECTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	struct root_doc root = {0};
	struct tag_doc tag = {0};
	struct sign_keys signers;
	int rc;

	if (fuzz_trusted.count == 0)
		fuzz_signed_setup();
	rc = document_signers(text, len, &signers);
	fuzz_signed_rc(rc);
	ASSERT(signers.count <= SIGN_KEYS_MAX);
	rc = tag_doc_prove(text, len, &fuzz_trusted, &tag);
	fuzz_signed_rc(rc);
	ASSERT(rc < 0 || digest_equal(&tag.payload, &fuzz_tag));
	tag_doc_clear(&tag);
	rc = root_doc_prove(text, len, &fuzz_trusted, &root);
	fuzz_signed_rc(rc);
	ASSERT(rc < 0 || digest_equal(&root.payload, &fuzz_root));
	root_doc_clear(&root);
	return 0;
}
