/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_build: collects names and objects in memory.  What is in the objects is
 * tree_content.c's, writing the tree from them tree_write.c's.
 */
#include "depot/tree_build.h"

#include "depot/tree_image.h"
#include "depot/tree_nodes.h"

enum { TREE_BUILD_BUCKETS_MIN = 1 << 8 };

/* A path without what may stand before and behind it. */
struct tree_build_path {
	const char *at;
	size_t len;
};

static void tree_build_object_put(struct tree_build *build,
				  struct tree_object *object)
{
	struct tree_attrib *attrib;

	if (!object || --object->refs > 0)
		return;
	while ((attrib = object->attribs)) {
		object->attribs = attrib->next;
		free(attrib);
	}
	if (build->file == object)
		build->file = NULL;
	build->piece_count -= object->piece_count;
	if (tree_object_is(object, S_IFREG))
		free(object->pieces);
	else if (tree_object_is(object, S_IFLNK))
		free(object->target);
	free(object);
}

static struct tree_object *
tree_build_object_new(const struct tree_build_attr *a)
{
	struct tree_object *object = calloc(1, sizeof(*object));
	bool device = S_ISCHR(a->mode) || S_ISBLK(a->mode);

	if (!object)
		return NULL;
	object->refs = 1;
	object->attr = *a;
	/* Importers hand on st_rdev, which means nothing elsewhere. */
	if (!device)
		object->attr.rdev_major = object->attr.rdev_minor = 0;
	return object;
}

static struct tree_object *tree_build_implied(void)
{
	static const struct tree_build_attr attr = {.mode = S_IFDIR | 0755};

	return tree_build_object_new(&attr);
}

struct tree_build *tree_build_new(void)
{
	struct tree_build *build = calloc(1, sizeof(*build));

	if (!build)
		return NULL;
	build->root = calloc(1, sizeof(*build->root));
	if (build->root)
		build->root->object = tree_build_implied();
	build->bucket_count = TREE_BUILD_BUCKETS_MIN;
	build->buckets = calloc(build->bucket_count, sizeof(*build->buckets));
	if (!build->root || !build->root->object || !build->buckets) {
		tree_build_free(build);
		return NULL;
	}
	/* Names are a stranger's: the table must not be foreseeable. */
	random_bytes(build->hash_key, sizeof(build->hash_key));
	return build;
}

void tree_build_free(struct tree_build *build)
{
	if (!build)
		return;
	for (size_t i = 0; build->buckets && i < build->bucket_count; i++) {
		struct tree_node *node;

		while ((node = build->buckets[i])) {
			build->buckets[i] = node->chain;
			tree_build_object_put(build, node->object);
			free(node);
		}
	}
	if (build->root)
		tree_build_object_put(build, build->root->object);
	free(build->root);
	free(build->buckets);
	free(build->shards);
	free(build->slots);
	free(build);
}

void tree_build_private(struct tree_build *build, const uint8_t *salt)
{
	build->private = true;
	memcpy(build->salt, salt, sizeof(build->salt));
}

static uint64_t tree_build_hash(const struct tree_build *build,
				const struct tree_node *parent,
				const char *name, size_t name_len)
{
	uint8_t key[SIPHASH_KEY_LEN];

	memcpy(key, build->hash_key, sizeof(key));
	le64_put(key, le64_get(key) ^ (uintptr_t)parent);
	return siphash64(key, name, name_len);
}

static struct tree_node *tree_build_child(const struct tree_build *build,
					  const struct tree_node *parent,
					  const char *name, size_t name_len)
{
	uint64_t hash = tree_build_hash(build, parent, name, name_len);
	struct tree_node *node =
	    build->buckets[hash & (build->bucket_count - 1)];

	for (; node; node = node->chain)
		if (node->parent == parent && node->name_len == name_len &&
		    memcmp(node->name, name, name_len) == 0)
			return node;
	return NULL;
}

static void tree_build_hang(struct tree_build *build, struct tree_node *node)
{
	uint64_t hash =
	    tree_build_hash(build, node->parent, node->name, node->name_len);
	struct tree_node **bucket =
	    &build->buckets[hash & (build->bucket_count - 1)];

	node->chain = *bucket;
	*bucket = node;
}

static int tree_build_grow(struct tree_build *build)
{
	struct tree_node **old = build->buckets;
	size_t old_count = build->bucket_count;

	if (build->node_count < old_count)
		return 0;
	build->buckets = calloc(2 * old_count, sizeof(*old));
	if (!build->buckets) {
		build->buckets = old;
		return -ENOMEM;
	}
	build->bucket_count = 2 * old_count;
	for (size_t i = 0; i < old_count; i++) {
		struct tree_node *node, *next;

		for (node = old[i]; node; node = next) {
			next = node->chain;
			tree_build_hang(build, node);
		}
	}
	free(old);
	return 0;
}

static int tree_build_node_new(struct tree_build *build,
			       struct tree_node *parent, const char *name,
			       size_t name_len, struct tree_node **out)
{
	struct tree_node *node;
	int rc;

	rc = tree_build_grow(build);
	if (rc < 0)
		return rc;
	node = malloc(sizeof(*node) + name_len);
	if (!node)
		return -ENOMEM;
	node->parent = parent;
	node->object = NULL;
	node->name_len = (uint8_t)name_len;
	memcpy(node->name, name, name_len);
	node->sibling = parent->object->children;
	parent->object->children = node;
	parent->object->child_count++;
	tree_build_hang(build, node);
	build->node_count++;
	*out = node;
	return 0;
}

/* Length of the component at the head of a path. */
static size_t tree_build_component(const struct tree_build_path *path)
{
	const char *slash = memchr(path->at, '/', path->len);

	return slash ? (size_t)(slash - path->at) : path->len;
}

/* Go behind a component; false at the end. */
static bool tree_build_descend(struct tree_build_path *path, size_t name_len)
{
	if (name_len == path->len)
		return false;
	path->at += name_len + 1;
	path->len -= name_len + 1;
	return true;
}

static int tree_build_path_set(const char *text, struct tree_build_path *path)
{
	struct tree_build_path rest;
	unsigned int depth = 1;
	size_t name_len;

	if (text[0] == '/')
		text++;
	else if (text[0] == '.' && (text[1] == '/' || text[1] == '\0'))
		text += text[1] == '/' ? 2 : 1;
	path->at = text;
	path->len = strlen(text);
	if (path->len == 0)
		return 0;
	if (path->len > 1 && text[path->len - 1] == '/')
		path->len--;
	rest = *path;
	do {
		name_len = tree_build_component(&rest);
		if (!tree_name_ok(rest.at, name_len) ||
		    depth++ > TREE_DEPTH_MAX)
			return -EINVAL;
	} while (tree_build_descend(&rest, name_len));
	return 0;
}

int tree_build_find(const struct tree_build *build, const char *text,
		    struct tree_node **out)
{
	struct tree_node *node = build->root;
	struct tree_build_path path;
	size_t name_len;
	int rc;

	rc = tree_build_path_set(text, &path);
	if (rc < 0)
		return rc;
	*out = node;
	if (path.len == 0)
		return 0;
	do {
		name_len = tree_build_component(&path);
		node = tree_build_child(build, node, path.at, name_len);
		if (!node)
			return -ENOENT;
	} while (tree_build_descend(&path, name_len));
	*out = node;
	return 0;
}

/*
 * The directory that holds the last component, which is left in *path; makes
 * implied ones.  What is in the way is met before anything is made.
 */
static int tree_build_parent(struct tree_build *build,
			     struct tree_build_path *path,
			     struct tree_node **out)
{
	struct tree_node *dir = build->root, *node;
	size_t name_len;

	while ((name_len = tree_build_component(path)) < path->len) {
		node = tree_build_child(build, dir, path->at, name_len);
		if (!node) {
			struct tree_object *object = tree_build_implied();

			if (!object)
				return -ENOMEM;
			if (tree_build_node_new(build, dir, path->at, name_len,
						&node) < 0) {
				tree_build_object_put(build, object);
				return -ENOMEM;
			}
			node->object = object;
		}
		if (!tree_object_is(node->object, S_IFDIR))
			return -EEXIST;
		tree_build_descend(path, name_len);
		dir = node;
	}
	*out = dir;
	return 0;
}

/* Put an object (NULL: a whiteout) at a node that has one. */
static int tree_build_replace(struct tree_build *build, struct tree_node *node,
			      struct tree_object *object)
{
	if (tree_object_is(node->object, S_IFDIR) !=
	    tree_object_is(object, S_IFDIR))
		return -EEXIST;
	if (tree_object_is(object, S_IFDIR)) {
		node->object->attr = object->attr;
		tree_build_object_put(build, object);
		return 0;
	}
	tree_build_object_put(build, node->object);
	node->object = object;
	return 0;
}

/* takes a reference of object (NULL: a whiteout), unless it fails */
static int tree_build_place(struct tree_build *build, const char *text,
			    struct tree_object *object)
{
	struct tree_build_path path;
	struct tree_node *dir, *node;
	int rc;

	rc = tree_build_path_set(text, &path);
	if (rc < 0)
		return rc;
	if (path.len == 0)
		return tree_build_replace(build, build->root, object);
	rc = tree_build_parent(build, &path, &dir);
	if (rc < 0)
		return rc;
	node = tree_build_child(build, dir, path.at, path.len);
	if (node)
		return tree_build_replace(build, node, object);
	rc = tree_build_node_new(build, dir, path.at, path.len, &node);
	if (rc == 0)
		node->object = object;
	return rc;
}

/* takes object, also on failure; NULL: it could not be allocated */
static int tree_build_take(struct tree_build *build, const char *path,
			   struct tree_object *object)
{
	int rc;

	if (!object)
		return -ENOMEM;
	rc = tree_build_place(build, path, object);
	if (rc < 0)
		tree_build_object_put(build, object);
	return rc;
}

static bool tree_build_attr_ok(const struct tree_build_attr *attr)
{
	return !(attr->mode & ~(uint32_t)(S_IFMT | 07777)) &&
	       attr->mtime.tv_nsec >= 0 && attr->mtime.tv_nsec <= TREE_NSEC_MAX;
}

int tree_build_add(struct tree_build *build, const char *path,
		   const struct tree_build_attr *attr)
{
	ASSERT(build && path && attr);
	build->file = NULL;
	switch (attr->mode & S_IFMT) {
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		break;
	default:
		return -EINVAL;
	}
	if (!tree_build_attr_ok(attr))
		return -EINVAL;
	return tree_build_take(build, path, tree_build_object_new(attr));
}

int tree_build_symlink(struct tree_build *build, const char *path,
		       const struct tree_build_attr *attr, const char *target)
{
	struct tree_object *object;
	size_t len;

	ASSERT(build && path && attr && target);
	build->file = NULL;
	len = strlen(target);
	if (!S_ISLNK(attr->mode) || !tree_build_attr_ok(attr) || len == 0 ||
	    len > TREE_SYMLINK_MAX)
		return -EINVAL;
	object = tree_build_object_new(attr);
	if (!object)
		return -ENOMEM;
	object->target_len = (uint16_t)len;
	object->target = malloc(len);
	if (!object->target) {
		tree_build_object_put(build, object);
		return -ENOMEM;
	}
	memcpy(object->target, target, len);
	return tree_build_take(build, path, object);
}

int tree_build_file(struct tree_build *build, const char *path,
		    const struct tree_build_attr *attr)
{
	struct tree_object *object;
	int rc;

	ASSERT(build && path && attr);
	build->file = NULL;
	if (!S_ISREG(attr->mode) || !tree_build_attr_ok(attr))
		return -EINVAL;
	object = tree_build_object_new(attr);
	rc = tree_build_take(build, path, object);
	if (rc == 0)
		build->file = object;
	return rc;
}

int tree_build_link(struct tree_build *build, const char *path,
		    const char *existing)
{
	struct tree_node *node;
	int rc;

	ASSERT(build && path && existing);
	build->file = NULL;
	rc = tree_build_find(build, existing, &node);
	if (rc < 0)
		return rc;
	if (!node->object)
		return -ENOENT;
	if (tree_object_is(node->object, S_IFDIR))
		return -EPERM;
	node->object->refs++;
	return tree_build_take(build, path, node->object);
}

int tree_build_whiteout(struct tree_build *build, const char *path)
{
	ASSERT(build && path);
	build->file = NULL;
	return tree_build_place(build, path, NULL);
}

int tree_build_opaque(struct tree_build *build, const char *path)
{
	struct tree_node *node;
	int rc;

	ASSERT(build && path);
	build->file = NULL;
	rc = tree_build_find(build, path, &node);
	if (rc == -ENOENT) {
		rc = tree_build_take(build, path, tree_build_implied());
		if (rc == 0)
			rc = tree_build_find(build, path, &node);
	}
	if (rc < 0)
		return rc;
	if (!tree_object_is(node->object, S_IFDIR))
		return -EEXIST;
	node->object->opaque = true;
	return 0;
}
