/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_trust: which documents of an upstream are taken, by what has been seen
 * of it; over a restart, and against clocks that go back.
 */
#include <stdio.h>
#include <time.h>

#include "depot/log.h"
#include "depot/registry.h"
#include "depot/store.h"
#include "depot/trust.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

/* SHOW() states what is usual, then what is not. */
#pragma GCC diagnostic ignored "-Woverride-init"

enum { DAY = 86400 };

struct fixture {
	char *dir;           /* owns */
	struct kv *state;    /* owns */
	struct trust *trust; /* owns */
	struct sign_key secret, other;
};

static struct sign_key test_public(const struct sign_key *secret)
{
	return sign_public(secret);
}

static void fixture_start(struct fixture *f)
{
	char *path = tmpdir_path(f->dir, "state");

	ASSERT(kv_open(path, KV_STATE, 8 << 20, &f->state) == 0);
	ASSERT(trust_new(f->state, &f->trust) == 0);
	free(path);
}

static void fixture_stop(struct fixture *f)
{
	trust_free(f->trust);
	kv_close(f->state);
}

static void fixture_open(struct fixture *f)
{
	struct sign_key key;

	f->dir = tmpdir_new();
	memset(&f->secret, 1, sizeof(f->secret));
	memset(&f->other, 2, sizeof(f->other));
	fixture_start(f);
	key = test_public(&f->secret);
	ASSERT(trust_add(f->trust, "lab", &key) == 0);
	check_mute();
}

static void fixture_close(struct fixture *f)
{
	check_unmute();
	fixture_stop(f);
	tmpdir_remove(f->dir);
}

/* What an upstream shows: one package, "p". */
struct shown {
	uint64_t generation, sequence, listed;
	uint8_t depot; /* first byte of its id */
	uint32_t index;
	int64_t root_expires, tags_expires;
	const struct sign_key *secret; /* NULL: the right one */
	const char *name;              /* NULL: "p" */
};

static void test_documents(const struct fixture *f, const struct shown *shown,
			   char **root_text, char **tags_text)
{
	const struct sign_key *secret =
	    shown->secret ? shown->secret : &f->secret;
	struct root_package package = {"p", shown->listed};
	struct root_doc root = {.depot.bytes[0] = shown->depot,
				.generation = shown->generation,
				.expires_sec = shown->root_expires,
				.packages = &package,
				.count = 1};
	struct tag_row row = {.tag = "1", .index = shown->index};
	struct tag_doc tags = {.depot.bytes[0] = shown->depot,
			       .sequence = shown->sequence,
			       .expires_sec = shown->tags_expires,
			       .rows = &row,
			       .count = 1};

	snprintf(tags.name, sizeof(tags.name), "%s",
		 shown->name ? shown->name : "p");
	ASSERT(root_doc_sign(&root, secret, root_text) == 0);
	ASSERT(tag_doc_sign(&tags, secret, tags_text) == 0);
}

static void test_accept(struct fixture *f, const struct root_doc *root,
			const struct tag_doc *tags)
{
	struct kv_batch *batch = kv_batch_new();

	ASSERT(batch);
	trust_accept(f->trust, batch, "lab", root, tags);
	ASSERT(registry_commit(f->state, batch) == 0);
	kv_batch_free(batch);
}

/* As take does: root, tags, and both are accepted together. */
static int test_show(struct fixture *f, struct shown shown)
{
	CLEANUP(root_doc_clear) struct root_doc root = {0};
	CLEANUP(tag_doc_clear) struct tag_doc tags = {0};
	CLEANUP_FREE char *root_text = NULL;
	CLEANUP_FREE char *tags_text = NULL;
	struct sign_keys keys;
	int rc;

	test_documents(f, &shown, &root_text, &tags_text);
	ASSERT(trust_keys(f->state, "lab", &keys) == 0);
	rc = trust_root(f->trust, "lab", &keys, false, root_text,
			strlen(root_text), &root);
	if (rc == 0)
		rc = trust_tags(f->trust, "lab", "tags/p.json", "p", &root,
				tags_text, strlen(tags_text), &tags);
	if (rc == 0)
		test_accept(f, &root, &tags);
	return rc;
}

#define SHOW(f, ...)                                                           \
	test_show(f, (struct shown){.generation = 5,                           \
				    .sequence = 3,                             \
				    .listed = 3,                               \
				    .depot = 1,                                \
				    .index = 1,                                \
				    __VA_ARGS__})

/* T-25's table, twice: also after a restart. */
static void test_table(void)
{
	CLEANUP(fixture_close) struct fixture f;

	fixture_open(&f);
	CU_ASSERT_EQUAL_FATAL(SHOW(&f, .index = 1), 0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(SHOW(&f, .index = 1), 0);
		/* older */
		CU_ASSERT_EQUAL(SHOW(&f, .generation = 4), -EBADMSG);
		CU_ASSERT_EQUAL(
		    SHOW(&f, .generation = 6, .sequence = 2, .listed = 2),
		    -EBADMSG);
		/* older than the root says, first seen or not */
		CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .listed = 4),
				-EBADMSG);
		/* the same number, other content */
		CU_ASSERT_EQUAL(SHOW(&f, .listed = 2), -EBADMSG);
		CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .index = 2),
				-EBADMSG);
		/* another depot, another package, another key */
		CU_ASSERT_EQUAL(
		    SHOW(&f, .generation = 6, .sequence = 4, .depot = 2),
		    -EBADMSG);
		CU_ASSERT_EQUAL(
		    SHOW(&f, .generation = 6, .sequence = 4, .depot = 0),
		    -EBADMSG);
		CU_ASSERT_EQUAL(
		    SHOW(&f, .generation = 6, .sequence = 4, .name = "q"),
		    -EBADMSG);
		CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .sequence = 4,
				     .secret = &f.other),
				-EBADMSG);
		/* expired */
		CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .sequence = 4,
				     .root_expires = time(NULL) - 1),
				-EBADMSG);
		CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .sequence = 4,
				     .tags_expires = time(NULL) - 1),
				-EBADMSG);
		fixture_stop(&f);
		fixture_start(&f);
	}
	CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .sequence = 4,
			     .root_expires = time(NULL) + DAY,
			     .tags_expires = time(NULL) + DAY),
			0);
	CU_ASSERT_EQUAL(SHOW(&f, .index = 1), -EBADMSG);
}

/* The highest time ever seen is noted on disk: a clock behind it does not
 * count, till the operator says that it is right. */
static void test_clock(void)
{
	CLEANUP(fixture_close) struct fixture f;
	const uint8_t key = STATE_KEY_SEEN;
	struct sign_key public;
	struct store_clock row;
	struct kv_value value;

	fixture_open(&f);
	public = test_public(&f.secret);
	CU_ASSERT_EQUAL(SHOW(&f, .tags_expires = time(NULL) + 30 * DAY), 0);
	fixture_stop(&f);
	fixture_start(&f);
	/* As if this host had run for a year, and its clock then was set back:
	 */
	le64_put(&row.sec_le, (uint64_t)time(NULL) + 365 * DAY);
	trust_free(f.trust);
	ASSERT(kv_put(f.state, &key, 1, &row, sizeof(row)) == 0);
	ASSERT(trust_new(f.state, &f.trust) == 0);
	CU_ASSERT(trust_now(f.trust) >= time(NULL) + 364 * DAY);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .sequence = 4,
				     .tags_expires = time(NULL) + 30 * DAY),
				-EBADMSG);
		CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "set back"));
		fixture_stop(&f);
		fixture_start(&f);
	}
	CU_ASSERT_EQUAL(trust_add(f.trust, "lab", &public), 0);
	CU_ASSERT(trust_now(f.trust) < time(NULL) + DAY);
	CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .sequence = 4,
			     .tags_expires = time(NULL) + 30 * DAY),
			0);
	CU_ASSERT_EQUAL(kv_get(f.state, &key, 1, &value), 0);
	CU_ASSERT((int64_t)le64_get(value.data) < time(NULL) + DAY);
	kv_value_release(&value);
}

static int test_count(void *ctx, const struct trust_key *row)
{
	CU_ASSERT_STRING_EQUAL(row->upstream, "lab");
	++*(int *)ctx;
	return 0;
}

static void test_keys(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct sign_key first, second;
	struct sign_keys keys;
	int count = 0;

	fixture_open(&f);
	first = test_public(&f.secret);
	second = test_public(&f.other);
	CU_ASSERT_EQUAL(trust_remove(f.trust, "lab", &first), -EBUSY);
	CU_ASSERT_EQUAL(trust_remove(f.trust, "lab", &second), -ENOENT);
	CU_ASSERT_EQUAL(trust_add(f.trust, "lab", &second), 0);
	CU_ASSERT_EQUAL(trust_add(f.trust, "lab", &second), 0);
	/* A name that only begins so is another upstream's. */
	CU_ASSERT_EQUAL(trust_keys(f.state, "la", &keys), 0);
	CU_ASSERT_EQUAL(keys.count, 0);
	CU_ASSERT_EQUAL(trust_keys(f.state, "lab", &keys), 0);
	CU_ASSERT_EQUAL(keys.count, 2);
	CU_ASSERT_EQUAL(SHOW(&f, .secret = &f.other), 0);
	CU_ASSERT_EQUAL(trust_remove(f.trust, "lab", &second), 0);
	CU_ASSERT_EQUAL(SHOW(&f, .generation = 6, .secret = &f.other),
			-EBADMSG);
	CU_ASSERT_EQUAL(trust_list(f.trust, test_count, &count), 0);
	CU_ASSERT_EQUAL(count, 1);
}

/* Added again, of another depot: nothing seen of the old one counts. */
static void test_anew(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP(root_doc_clear) struct root_doc root = {0};
	struct root_package package = {"p", 1};
	struct kv_batch *batch;

	fixture_open(&f);
	CU_ASSERT_EQUAL_FATAL(SHOW(&f, .index = 1), 0);
	CU_ASSERT_EQUAL(
	    SHOW(&f, .generation = 1, .sequence = 1, .listed = 1, .depot = 2),
	    -EBADMSG);
	root.depot.bytes[0] = 2;
	root.generation = 1;
	root.packages = &package;
	root.count = 1;
	batch = kv_batch_new();
	ASSERT(batch);
	/* The payload's digest is not looked at of an older generation. */
	CU_ASSERT_EQUAL(trust_anew(f.trust, batch, "lab", &root), 0);
	ASSERT(registry_commit(f.state, batch) == 0);
	kv_batch_free(batch);
	root.packages = NULL;
	CU_ASSERT_EQUAL(
	    SHOW(&f, .generation = 2, .sequence = 1, .listed = 1, .depot = 2),
	    0);
	CU_ASSERT_EQUAL(SHOW(&f, .generation = 9, .sequence = 9), -EBADMSG);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"T-25: the table, and after a restart", test_table},
	    {"the highest time ever seen", test_clock},
	    {"keys", test_keys},
	    {"another depot under the same name", test_anew},
	};

	return check_main("test_trust", tests, ARRAY_LEN(tests));
}
