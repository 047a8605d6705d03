/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_calls: sequences of NFS calls through the whole dispatcher over a tree
 * in memory.  Input and promises: tests/fake/fake_guest.h.  Beyond them: all
 * pins and waits are gone at the end, and what was answered stays answered when
 * the cache of replies is read back.
 */
#include "tests/fake/fake_guest.h"
#include "tests/fake/fake_site.h"
#include "tests/fake/fake_view.h"

#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	return guest_mutate(data, size, max_size, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t big[70000];
	struct view *view = fake_view_new(7, "/red/vm1", "127.0.0.1");
	struct guest *guest;
	struct site *site;
	uint64_t usr;

	ASSERT(site_open(NULL, &site) == 0);
	fake_site_add(site, view);
	usr = fake_view_add_dir(view, 1, "usr");
	fake_view_add_file(view, usr, "tool", "a tool", 6);
	fake_view_add_file(view, usr, "big", big, sizeof(big));
	guest = guest_new(site, view);
	guest_has(guest, "usr", S_IFDIR | 0755, NULL, 0);
	guest_has(guest, "usr/tool", S_IFREG | 0644, "a tool", 6);
	guest_has(guest, "usr/big", S_IFREG | 0644, big, sizeof(big));
	guest_run(guest, data, len);
	guest_restart(guest, site, view);
	guest_free(guest);
	ASSERT(fake_view_pins(view) == 0 && fake_view_waits(view) == 0);
	site_close(site);
	fake_view_free(view);
	return 0;
}
