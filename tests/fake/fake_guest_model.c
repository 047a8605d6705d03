/* SPDX-License-Identifier: Apache-2.0 */
/* fake_guest_model: the model is a table of nodes and a table of names. */
#include "tests/fake/fake_guest_impl.h"

#include <stdio.h>

static char guest_long_name[VIEW_NAME_MAX + 1];
static char guest_too_long[VIEW_NAME_MAX + 2];
static const char *const guest_names[] = {
    "a",
    "b",
    "c",
    "d",
    "usr",
    "bin",
    "tool",
    "link",
    "etc",
    "big",
    "small",
    "empty",
    "sub",
    ".x",
    "\xff\xfe\n",
    guest_long_name,
    ".",
    "..",
    "",
    "a/b",
    guest_too_long,
};
enum { GUEST_NAMES_GOOD = 16 };

/* A listing's names are looked for by value, a model's by pointer. */
const char *guest_name(unsigned int i)
{
	if (!guest_long_name[0]) {
		memset(guest_long_name, 'n', VIEW_NAME_MAX);
		memset(guest_too_long, 't', VIEW_NAME_MAX + 1);
	}
	return guest_names[i % ARRAY_LEN(guest_names)];
}

bool guest_name_is_good(const char *name)
{
	for (unsigned int i = 0; i < GUEST_NAMES_GOOD; i++)
		if (name == guest_names[i])
			return true;
	return false;
}

_Noreturn void guest_fail(const struct guest *guest, const char *what)
{
	fprintf(stderr, "guest: %s, status %u: %s\n",
		guest->proc < NFS3_PROC_COUNT ? program_nfs3_name(guest->proc)
					      : "MOUNT",
		guest->status, what);
	abort();
}

void guest_need(const struct guest *guest, bool is_so, const char *what)
{
	if (!is_so)
		guest_fail(guest, what);
}

/* --- nodes and names ------------------------------------------------------ */

struct guest_node *guest_node_new(struct guest *guest, uint32_t type)
{
	struct guest_node *node;

	ASSERT(guest->node_count < GUEST_NODES);
	node = &guest->nodes[guest->node_count++];
	*node = (struct guest_node){.type = type};
	return node;
}

bool guest_is_live(const struct guest *guest, const struct guest_node *node)
{
	return node->names > 0 || node == guest->nodes;
}

struct guest_entry *guest_find(struct guest *guest,
			       const struct guest_node *dir, const char *name)
{
	for (unsigned int i = 0; i < guest->entry_count; i++)
		if (guest->entries[i].dir == dir &&
		    strcmp(guest->entries[i].name, name) == 0)
			return &guest->entries[i];
	return NULL;
}

unsigned int guest_count(const struct guest *guest,
			 const struct guest_node *dir, bool dirs_only)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < guest->entry_count; i++)
		count += guest->entries[i].dir == dir &&
			 (!dirs_only || guest->entries[i].node->type == NF3DIR);
	return count;
}

void guest_enter(struct guest *guest, struct guest_node *dir, const char *name,
		 struct guest_node *node)
{
	ASSERT(guest->entry_count < GUEST_NODES);
	guest->entries[guest->entry_count++] =
	    (struct guest_entry){dir, node, name};
	node->names++;
	if (node->type == NF3DIR)
		node->parent = dir;
}

void guest_leave(struct guest *guest, struct guest_entry *entry)
{
	entry->node->names--;
	*entry = guest->entries[--guest->entry_count];
}

void guest_resize(struct guest_node *node, uint64_t size)
{
	node->size = size;
	if (node->data_len > size)
		node->data_len = (size_t)size;
}

void guest_store(struct guest_node *node, uint64_t off, const uint8_t *data,
		 size_t len)
{
	size_t end;

	node->size = len > 0 ? MAX(node->size, off + len) : node->size;
	if (off >= GUEST_WINDOW || len == 0)
		return;
	end = MIN((size_t)off + len, (size_t)GUEST_WINDOW);
	if (end > node->data_len) {
		node->data = realloc(node->data, end);
		ASSERT(node->data);
		memset(node->data + node->data_len, 0, end - node->data_len);
		node->data_len = end;
	}
	memcpy(node->data + off, data, end - (size_t)off);
}

bool guest_is_below(const struct guest_node *node,
		    const struct guest_node *above)
{
	while (node && node != above)
		node = node->parent;
	return node == above;
}

void guest_has(struct guest *guest, const char *path, uint32_t mode,
	       const void *data, size_t len)
{
	struct guest_node *dir = guest->nodes, *node;
	size_t n;

	while (path[n = strcspn(path, "/")] == '/') {
		char part[VIEW_NAME_MAX + 1];

		snprintf(part, sizeof(part), "%.*s", (int)n, path);
		dir = guest_find(guest, dir, part)->node;
		path += n + 1;
	}
	node = guest_node_new(guest, S_ISDIR(mode)   ? NF3DIR
				     : S_ISLNK(mode) ? NF3LNK
						     : NF3REG);
	node->mode = mode & 07777;
	node->mode_known = node->type != NF3LNK;
	guest_store(node, 0, data, len);
	for (unsigned int i = 0; i < GUEST_NAMES_GOOD; i++)
		if (strcmp(guest_name(i), path) == 0)
			path = guest_names[i];
	guest_enter(guest, dir, path, node);
}
