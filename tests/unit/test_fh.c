/* SPDX-License-Identifier: Apache-2.0 */
#include "nfsd/fh.h"
#include "nfsd/export.h"
#include "tests/fake/fake_site.h"
#include "tests/fake/fake_view.h"
#include "tests/lib/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct view *red, *blue;
static struct site *site;
static struct export_client at_red, at_blue;

static void client_init(struct export_client *client, const char *addr)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	ASSERT(inet_pton(AF_INET, addr, &in.sin_addr) == 1);
	export_client_init(client, (struct sockaddr *)&in);
}

static void set_up(void)
{
	red = fake_view_new(0x01020304, "/red/vm1", "10.0.0.1");
	blue = fake_view_new(9, "/blue/vm1", "10.0.0.2");
	ASSERT(site_open(NULL, &site) == 0);
	fake_site_add(site, red);
	fake_site_add(site, blue);
	client_init(&at_red, "10.0.0.1");
	client_init(&at_blue, "10.0.0.2");
}

static void tear_down(void)
{
	site_close(site);
	fake_view_free(red);
	fake_view_free(blue);
}

static const struct view_object some = {.fileid = 0x1122334455667788,
					.generation = 0x99aabbcc};

static int resolve(struct export_client *client, const uint8_t *fh, size_t len)
{
	struct view_object obj;
	struct export_view export;

	return export_of_handle(client, site, fh, len, &export, &obj);
}

static void test_form(void)
{
	static const uint8_t want[20] = {
	    1,    0,    0,    0,    4,    3,    2,    1,    0x88, 0x77,
	    0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xcc, 0xbb, 0xaa, 0x99};
	uint8_t fh[FH_LEN];
	struct fh parsed;

	set_up();
	fh_make(view_get_info(red), some, fh);
	CU_ASSERT_EQUAL(memcmp(fh, want, sizeof(want)), 0);
	CU_ASSERT_EQUAL(fh_parse(fh, sizeof(fh), &parsed), 0);
	CU_ASSERT_EQUAL(parsed.export_id, 0x01020304);
	CU_ASSERT_EQUAL(parsed.obj.fileid, some.fileid);
	CU_ASSERT_EQUAL(parsed.obj.generation, some.generation);
	CU_ASSERT_TRUE(fh_proved(fh, view_get_info(red)->key));
	CU_ASSERT_FALSE(fh_proved(fh, view_get_info(blue)->key));
	tear_down();
}

static void test_lengths(void)
{
	uint8_t fh[64];

	set_up();
	memset(fh, 0, sizeof(fh));
	fh_make(view_get_info(red), some, fh);
	for (size_t len = 0; len <= sizeof(fh); len++)
		CU_ASSERT_EQUAL(resolve(&at_red, fh, len),
				len == FH_LEN ? 0 : -EBADF);
	tear_down();
}

static void test_bits(void)
{
	uint8_t fh[FH_LEN];

	set_up();
	fh_make(view_get_info(red), some, fh);
	for (size_t bit = 0; bit < 8 * sizeof(fh); bit++) {
		fh[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CU_ASSERT_EQUAL(resolve(&at_red, fh, sizeof(fh)), -EBADF);
		fh[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CU_ASSERT_EQUAL(resolve(&at_red, fh, sizeof(fh)), 0);
	tear_down();
}

static void test_rights(void)
{
	uint8_t fh[FH_LEN];

	set_up();
	fh_make(view_get_info(red), some, fh);
	CU_ASSERT_EQUAL(resolve(&at_blue, fh, sizeof(fh)), -EBADF);
	CU_ASSERT_EQUAL(resolve(&at_red, fh, sizeof(fh)), 0);
	fh_make(view_get_info(blue), some, fh);
	CU_ASSERT_EQUAL(resolve(&at_blue, fh, sizeof(fh)), 0);
	CU_ASSERT_EQUAL(resolve(&at_red, fh, sizeof(fh)), -EBADF);
	/* Decided once: what is remembered says the same. */
	CU_ASSERT_EQUAL(resolve(&at_red, fh, sizeof(fh)), -EBADF);
	/* A foreign key under a known export. */
	le32_put(fh + 4, view_get_info(red)->export_id);
	CU_ASSERT_EQUAL(resolve(&at_red, fh, sizeof(fh)), -EBADF);
	tear_down();
}

static void test_more_exports_than_remembered(void)
{
	struct view *views[2 * EXPORT_CLIENT_MAX];
	uint8_t fh[FH_LEN];

	set_up();
	for (unsigned int i = 0; i < ARRAY_LEN(views); i++) {
		views[i] = fake_view_new(100 + i, "/x/y", "");
		fake_site_add(site, views[i]);
	}
	for (unsigned int i = 0; i < 64; i++) {
		struct view_object obj;
		struct export_view export;
		unsigned int n = i * 7 % ARRAY_LEN(views);

		fh_make(view_get_info(views[n]), some, fh);
		CU_ASSERT_EQUAL(export_of_handle(&at_red, site, fh, sizeof(fh),
						 &export, &obj),
				0);
		CU_ASSERT_PTR_EQUAL(export.view, views[n]);
	}
	for (unsigned int i = 0; i < ARRAY_LEN(views); i++)
		fake_view_free(views[i]);
	tear_down();
}

static void test_addresses(void)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct export_client client;

	client_init(&client, "192.168.1.9");
	CU_ASSERT_TRUE(export_addr_matches(&client, ""));
	CU_ASSERT_TRUE(export_addr_matches(&client, "192.168.1.9"));
	CU_ASSERT_FALSE(export_addr_matches(&client, "192.168.1.90"));
	CU_ASSERT_TRUE(export_addr_matches(&client, "::ffff:192.168.1.9"));
	CU_ASSERT_FALSE(export_addr_matches(&client, "nonsense"));
	inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr);
	export_client_init(&client, (struct sockaddr *)&in6);
	CU_ASSERT_TRUE(export_addr_matches(&client, "fe80:0::0001"));
	CU_ASSERT_FALSE(export_addr_matches(&client, "192.168.1.9"));
}

/* Who comes in by a guest's own listening address is that guest, and nobody
 * else is. */
static void test_listener(void)
{
	uint8_t of_red[FH_LEN], of_blue[FH_LEN];
	struct export_client client;

	set_up();
	fake_view_access(red)->addr[0] = '\0';
	fake_view_access(blue)->addr[0] = '\0';
	fake_view_access(blue)->listen.port = 2051;
	fh_make(view_get_info(red), some, of_red);
	fh_make(view_get_info(blue), some, of_blue);
	client_init(&client, "10.0.0.1");
	CU_ASSERT_EQUAL(resolve(&client, of_red, FH_LEN), 0);
	CU_ASSERT_EQUAL(resolve(&client, of_blue, FH_LEN), -EBADF);
	client_init(&client, "10.0.0.1");
	client.listener = view_get_info(blue)->export_id;
	CU_ASSERT_EQUAL(resolve(&client, of_red, FH_LEN), -EBADF);
	CU_ASSERT_EQUAL(resolve(&client, of_blue, FH_LEN), 0);
	client_init(&client, "10.0.0.1");
	client.listener = 12345; /* of a guest that is gone */
	CU_ASSERT_EQUAL(resolve(&client, of_red, FH_LEN), -EBADF);
	CU_ASSERT_EQUAL(resolve(&client, of_blue, FH_LEN), -EBADF);
	tear_down();
}

static void test_secret(void)
{
	char path[EXPORT_SECRET_PATH_LEN + 2];
	struct export_client client;
	struct site_secret secret;
	struct export_view export;
	uint8_t fh[FH_LEN];

	set_up();
	fake_view_access(red)->has_secret = true;
	memset(&secret, FAKE_SECRET, sizeof(secret));
	client_init(&client, "10.0.0.1");
	CU_ASSERT_EQUAL(export_of_path(&client, site, "/red/vm1", &export),
			-EACCES);
	CU_ASSERT_EQUAL(export_of_secret(&client, site, &secret, &export), 0);
	CU_ASSERT_PTR_EQUAL(export.view, red);
	/* The handle is enough then, for the connection that calls go by. */
	fh_make(view_get_info(red), some, fh);
	client_init(&client, "10.0.0.1");
	CU_ASSERT_EQUAL(resolve(&client, fh, FH_LEN), 0);
	/* From another address the secret does not help. */
	client_init(&client, "10.0.0.9");
	CU_ASSERT_EQUAL(export_of_secret(&client, site, &secret, &export),
			-EACCES);
	client_init(&client, "10.0.0.1");
	secret.bytes[3] ^= 1;
	CU_ASSERT_EQUAL(export_of_secret(&client, site, &secret, &export),
			-EACCES);

	export_secret_path(&secret, path);
	CU_ASSERT_STRING_EQUAL(path, "/s/5e5e5e5f5e5e5e5e5e5e5e5e5e5e5e5e");
	memset(&secret, 0, sizeof(secret));
	CU_ASSERT_TRUE(export_secret_parse(path, &secret));
	CU_ASSERT_EQUAL(secret.bytes[3], 0x5f);
	CU_ASSERT_FALSE(export_secret_parse(path + 1, &secret));
	CU_ASSERT_FALSE(export_secret_parse("/s/", &secret));
	strcat(path, "0");
	CU_ASSERT_FALSE(export_secret_parse(path, &secret));
	path[5] = 'E'; /* one spelling only */
	path[EXPORT_SECRET_PATH_LEN] = '\0';
	CU_ASSERT_FALSE(export_secret_parse(path, &secret));
	tear_down();
}

static const struct check_test tests[] = {
    {"form", test_form},
    {"every length from 0 to 64", test_lengths},
    {"every bit flipped", test_bits},
    {"rights of a connection", test_rights},
    {"more exports than remembered", test_more_exports_than_remembered},
    {"addresses", test_addresses},
    {"listening addresses", test_listener},
    {"secret paths", test_secret},
};

int main(void)
{
	return check_main("test_fh", tests, ARRAY_LEN(tests));
}
