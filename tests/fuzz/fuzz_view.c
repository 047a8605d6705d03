/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_view: sequences of NFS calls through the whole dispatcher over a real
 * view: a package under a delta of its own for each input, in a store below
 * $TMPDIR (the fastest is a tmpfs).  Input and promises: fake_guest.h, behind
 * one byte that says how to end (a start costs as much as a hundred inputs):
 *	15 and its like	all is committed, the site is closed and opened, and
 *			all must be as it was
 *	255		the same with the databases below it
 */
#include "tests/fake/fake_guest.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"
#include "tests/lib/tmpdir.h"

#include <stdio.h>

enum { FUZZ_VIEW_GUESTS_MAX = 50, FUZZ_VIEW_BIG = 100000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);

static const struct fixture_entry fuzz_view_package[] = {
    {.path = "usr", .mode = S_IFDIR | 0755},
    {.path = "usr/bin", .mode = S_IFDIR | 0755},
    {.path = "usr/bin/tool", .mode = S_IFREG | 0755, .text = "#!tool\n"},
    {.path = "usr/bin/link", .mode = S_IFLNK | 0777, .text = "tool"},
    {.path = "etc", .mode = S_IFDIR | 0755},
    {.path = "etc/small", .mode = S_IFREG | 0640, .len = 5000, .seed = 1},
    {.path = "etc/empty", .mode = S_IFREG | 0644, .text = ""},
    {.path = "usr/big",
     .mode = S_IFREG | 0644,
     .len = FUZZ_VIEW_BIG,
     .seed = 2},
    {.path = "usr/sub", .mode = S_IFDIR | 0755},
};

static struct fixture fuzz_view_fx;
static unsigned int fuzz_view_guests;

/* The databases are left as they are: RocksDB's own statics are gone by now. */
static void fuzz_view_end(void)
{
	tmpdir_remove(fuzz_view_fx.dir);
}

/* A store with the package and a tenant, anew after so many guests. */
static void fuzz_view_store(void)
{
	static bool is_open;
	struct package_info info;
	uint32_t generation;

	if (fuzz_view_guests++ % FUZZ_VIEW_GUESTS_MAX > 0)
		return;
	if (is_open)
		fixture_close(&fuzz_view_fx);
	else
		atexit(fuzz_view_end);
	is_open = true;
	fixture_open(&fuzz_view_fx);
	fixture_package(&fuzz_view_fx, "p", "1", fuzz_view_package,
			ARRAY_LEN(fuzz_view_package), &info);
	ASSERT(site_tenant_create(fuzz_view_fx.site, "red") == 0);
	ASSERT(site_tenant_assign(fuzz_view_fx.site, "red", &info, 1, false,
				  NULL, NULL, &generation) == 0);
}

static void fuzz_view_model(struct guest *guest)
{
	static uint8_t bytes[FUZZ_VIEW_BIG];

	for (size_t i = 0; i < ARRAY_LEN(fuzz_view_package); i++) {
		const struct fixture_entry *e = &fuzz_view_package[i];

		if (e->len > 0)
			check_fill(bytes, e->len, e->seed);
		guest_has(guest, e->path, e->mode,
			  e->text ? e->text : (char *)bytes,
			  e->text ? strlen(e->text) : e->len);
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	if (size < 1 || max_size < 1)
		return guest_mutate(data, size, max_size, 0);
	if (seed % 64 == 1)
		data[0] = (uint8_t)(seed >> 8);
	return 1 + guest_mutate(data + 1, size - 1, max_size - 1, seed >> 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct site_guest_options options = {.addr = "127.0.0.1"};
	struct guest *guest;
	char name[32], path[40];

	if (len < 1)
		return 0;
	fuzz_view_store();
	snprintf(name, sizeof(name), "red/g%u", fuzz_view_guests);
	snprintf(path, sizeof(path), "/%s", name);
	ASSERT(site_guest_add(fuzz_view_fx.site, name, &options) == 0);
	guest = guest_new(fuzz_view_fx.site, fixture_view(&fuzz_view_fx, path));
	fuzz_view_model(guest);
	guest_run(guest, data + 1, len - 1);
	guest_check(guest);
	if (data[0] % 16 == 15) {
		guest_sync(guest);
		fixture_restart(&fuzz_view_fx, data[0] == 255);
		guest_restart(guest, fuzz_view_fx.site,
			      fixture_view(&fuzz_view_fx, path));
	}
	guest_free(guest);
	return 0;
}
