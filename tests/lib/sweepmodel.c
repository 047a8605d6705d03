/* SPDX-License-Identifier: Apache-2.0 */
/* sweepmodel: the stories, and what they leave; see sweepload.h. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"
#include "tests/lib/check.h"
#include "tests/lib/sweepload.h"

static const struct {
	int story;
	const char *path;
	uint32_t len, seed; /* len 0: a directory */
} sweep_packed[] = {
    {3, "big", 100000, 901}, {4, "two", 300000, 902}, {6, "small", 5000, 903},
    {6, "note", 100, 904},   {6, "gone", 2000, 905},  {6, "link", 70000, 906},
    {7, "dir", 0, 0},        {7, "dir/a", 3000, 907}, {7, "dir/b", 20000, 908},
};

/* Told in turns: the order between stories is that of this table. */
const struct sweep_op sweep_ops[] = {
    /* 0: lies in the database */
    {0, SWEEP_CREATE, "a", NULL, 0644, 0},
    {0, SWEEP_FILE_SYNC, "a", NULL, 0, 3000},
    {0, SWEEP_DATA_SYNC, "a", NULL, 2000, 3000},
    /* 1: moves to a host file, is cut, grows */
    {1, SWEEP_GUARDED, "b", NULL, 0640, 0},
    {1, SWEEP_FILE_SYNC, "b", NULL, 0, 10000},
    {1, SWEEP_FILE_SYNC, "b", NULL, 10000, 10000},
    {1, SWEEP_READ, "b", NULL, 0, 0},
    /* 2: EXCLUSIVE */
    {2, SWEEP_EXCLUSIVE, "c", NULL, 0, 0},
    {2, SWEEP_MODE, "c", NULL, 0600, 0},
    {2, SWEEP_UNSTABLE, "c", NULL, 0, 100000},
    {0, SWEEP_UNSTABLE, "a", NULL, 5000, 3000},
    {1, SWEEP_UNSTABLE, "b", NULL, 20000, 30000},
    {2, SWEEP_COMMIT, "c", NULL, 0, 0},
    {1, SWEEP_COMMIT, "b", NULL, 0, 0},
    {0, SWEEP_COMMIT, "a", NULL, 0, 0},
    {0, SWEEP_READ, "a", NULL, 0, 0},
    /* 3: copy-up by pages */
    {3, SWEEP_UNSTABLE, "big", NULL, 50000, 10},
    {3, SWEEP_COMMIT, "big", NULL, 0, 0},
    {3, SWEEP_FILE_SYNC, "big", NULL, 98001, 6000},
    {3, SWEEP_READ, "big", NULL, 0, 0},
    {3, SWEEP_FILE_SYNC, "big", NULL, 50005, 10},
    {1, SWEEP_UNSTABLE, "b", NULL, 4096, 8192},
    {1, SWEEP_COMMIT, "b", NULL, 0, 0},
    {1, SWEEP_SIZE, "b", NULL, 12345, 0},
    {1, SWEEP_SIZE, "b", NULL, 40000, 0},
    {1, SWEEP_UNSTABLE, "b", NULL, 39000, 5000},
    {1, SWEEP_COMMIT, "b", NULL, 0, 0},
    /* 4: a file of the package is cut */
    {4, SWEEP_SIZE, "two", NULL, 70001, 0},
    {4, SWEEP_SIZE, "two", NULL, 200000, 0},
    {4, SWEEP_FILE_SYNC, "two", NULL, 150000, 100},
    {4, SWEEP_SIZE, "two", NULL, 0, 0},
    {4, SWEEP_DATA_SYNC, "two", NULL, 0, 20000},
    {4, SWEEP_READ, "two", NULL, 0, 0},
    /* 5: names of the delta */
    {5, SWEEP_MKDIR, "m", NULL, 0755, 0},
    {5, SWEEP_CREATE, "m/x", NULL, 0644, 0},
    {5, SWEEP_MKDIR, "m/s", NULL, 0700, 0},
    {5, SWEEP_SYMLINK, "m/l", NULL, 0, 0},
    {5, SWEEP_MKNOD, "m/p", NULL, 0600, 0},
    {5, SWEEP_LINK, "m/x", "m/y", 0, 0},
    {5, SWEEP_RENAME, "m/x", "m/p", 0, 0},
    {5, SWEEP_REMOVE, "m/l", NULL, 0, 0},
    {5, SWEEP_RMDIR, "m/s", NULL, 0, 0},
    /* 6: names of the package */
    {6, SWEEP_REMOVE, "gone", NULL, 0, 0},
    {6, SWEEP_RENAME, "note", "note2", 0, 0},
    {6, SWEEP_RENAME, "note2", "small", 0, 0},
    {6, SWEEP_LINK, "link", "link2", 0, 0},
    {6, SWEEP_REMOVE, "link", NULL, 0, 0},
    {6, SWEEP_MODE, "link2", NULL, 0751, 0},
    /* 7: a directory of the package */
    {7, SWEEP_RENAME, "dir", "dir2", 0, 0},
    {7, SWEEP_CREATE, "dir2/n", NULL, 0644, 0},
    {7, SWEEP_REMOVE, "dir2/a", NULL, 0, 0},
    {7, SWEEP_FILE_SYNC, "dir2/b", NULL, 100, 100},
    /* 8: a host file goes, stable or not */
    {8, SWEEP_CREATE, "h1", NULL, 0644, 0},
    {8, SWEEP_FILE_SYNC, "h1", NULL, 0, 20000},
    {8, SWEEP_CREATE, "h2", NULL, 0644, 0},
    {8, SWEEP_UNSTABLE, "h2", NULL, 0, 30000},
    {8, SWEEP_COMMIT, "h2", NULL, 0, 0},
    {8, SWEEP_RENAME, "h2", "h1", 0, 0},
    {8, SWEEP_CREATE, "h3", NULL, 0644, 0},
    {8, SWEEP_UNSTABLE, "h3", NULL, 0, 50000},
    {8, SWEEP_REMOVE, "h3", NULL, 0, 0},
    {2, SWEEP_RENAME, "c", "c2", 0, 0},
};
const size_t sweep_op_count = ARRAY_LEN(sweep_ops);

void sweep_bytes(uint32_t seed, uint8_t *buf, size_t len)
{
	check_fill(buf, len, seed);
}

bool sweep_package(const char *dir)
{
	CLEANUP_FREE uint8_t *buf = malloc(SWEEP_FILE_MAX);
	char path[512];
	bool ok = buf && io_mkdirs(dir) == 0 && chmod(dir, 0755) == 0;

	for (size_t i = 0; ok && i < ARRAY_LEN(sweep_packed); i++) {
		uint32_t len = sweep_packed[i].len;
		CLEANUP_CLOSE int fd = -1;

		snprintf(path, sizeof(path), "%s/%s", dir,
			 sweep_packed[i].path);
		if (len == 0) {
			ok = io_mkdirs(path) == 0 && chmod(path, 0755) == 0;
			continue;
		}
		sweep_bytes(sweep_packed[i].seed, buf, len);
		ok = io_open(path, true, &fd) == 0 &&
		     io_pwrite_all(fd, buf, len, 0) == 0 &&
		     fchmod(fd, 0644) == 0;
	}
	return ok;
}

/* --- states -------------------------------------------------------------- */

static int sweep_name_add(struct sweep_state *state, const char *path, int file)
{
	int i = 0;

	while (state->names[i].file >= 0)
		ASSERT(++i < SWEEP_NAMES);
	state->names[i].file = file;
	snprintf(state->names[i].path, sizeof(state->names[i].path), "%s",
		 path);
	return i;
}

static struct sweep_file *sweep_file_add(struct sweep_state *state,
					 const char *path, uint32_t type,
					 uint32_t mode)
{
	struct sweep_file *file = &state->files[state->file_count];

	ASSERT(state->file_count < SWEEP_FILES);
	*file = (struct sweep_file){.type = type, .mode = mode, .links = 1};
	sweep_name_add(state, path, state->file_count++);
	return file;
}

void sweep_state_init(struct sweep_state *state, int story)
{
	memset(state, 0, sizeof(*state));
	for (int i = 0; i < SWEEP_NAMES; i++)
		state->names[i].file = -1;
	for (size_t i = 0; i < ARRAY_LEN(sweep_packed); i++) {
		uint32_t len = sweep_packed[i].len;
		struct sweep_file *file;

		if (sweep_packed[i].story != story)
			continue;
		file = sweep_file_add(state, sweep_packed[i].path,
				      len > 0 ? SWEEP_REG : SWEEP_DIR,
				      len > 0 ? 0644 : 0755);
		if (len == 0)
			continue;
		file->pieces[0] = (struct sweep_piece){
		    .len = len, .seed = sweep_packed[i].seed};
		file->piece_count = 1;
	}
}

int sweep_find(const struct sweep_state *state, const char *path)
{
	for (int i = 0; i < SWEEP_NAMES; i++)
		if (state->names[i].file >= 0 &&
		    strcmp(state->names[i].path, path) == 0)
			return i;
	return -1;
}

struct sweep_file *sweep_file(struct sweep_state *state, const char *path)
{
	int i = sweep_find(state, path);

	return i < 0 ? NULL : &state->files[state->names[i].file];
}

static void sweep_unname(struct sweep_state *state, const char *path)
{
	int i = sweep_find(state, path);

	if (i < 0)
		return;
	state->files[state->names[i].file].links--;
	state->names[i].file = -1;
}

/* With all that is below it. */
static void sweep_move(struct sweep_state *state, const char *from,
		       const char *to)
{
	size_t len = strlen(from);

	sweep_unname(state, to);
	for (int i = 0; i < SWEEP_NAMES; i++) {
		struct sweep_name *name = &state->names[i];
		char rest[sizeof(name->path)];

		if (name->file < 0 || strncmp(name->path, from, len) != 0 ||
		    (name->path[len] != '\0' && name->path[len] != '/'))
			continue;
		memcpy(rest, name->path + len, sizeof(rest) - len);
		ASSERT(snprintf(name->path, sizeof(name->path), "%s%s", to,
				rest) < (int)sizeof(name->path));
	}
}

void sweep_apply(struct sweep_state *state, const struct sweep_op *op)
{
	struct sweep_file *file = sweep_file(state, op->a);
	uint32_t mode = (uint32_t)op->off;

	switch (op->type) {
	case SWEEP_CREATE:
	case SWEEP_GUARDED:
	case SWEEP_EXCLUSIVE:
		sweep_file_add(state, op->a, SWEEP_REG, mode);
		break;
	case SWEEP_MKDIR:
		sweep_file_add(state, op->a, SWEEP_DIR, mode);
		break;
	case SWEEP_SYMLINK:
		sweep_file_add(state, op->a, SWEEP_LNK, 0777);
		break;
	case SWEEP_MKNOD:
		sweep_file_add(state, op->a, SWEEP_FIFO, mode);
		break;
	case SWEEP_LINK:
		file->links++;
		sweep_name_add(state, op->b, (int)(file - state->files));
		break;
	case SWEEP_REMOVE:
	case SWEEP_RMDIR:
		sweep_unname(state, op->a);
		break;
	case SWEEP_RENAME:
		sweep_move(state, op->a, op->b);
		break;
	case SWEEP_MODE:
		file->mode = mode;
		break;
	case SWEEP_SIZE:
		ASSERT(file->piece_count < SWEEP_PIECES);
		file->pieces[file->piece_count++] =
		    (struct sweep_piece){.size = true, .off = op->off};
		break;
	default:
		break;
	}
}

static void sweep_render_size(struct sweep_content *c, uint64_t size)
{
	memset(c->bytes + size, 0, SWEEP_FILE_MAX - size);
	memset(c->doubt + size, 0, (SWEEP_FILE_MAX - size) * sizeof(bool));
	c->size = c->size_max = size;
}

void sweep_render(const struct sweep_file *file, struct sweep_content *c)
{
	sweep_render_size(c, 0);
	for (unsigned int i = 0; i < file->piece_count; i++) {
		const struct sweep_piece *piece = &file->pieces[i];
		uint64_t end = piece->off + piece->len;

		if (piece->size) {
			sweep_render_size(c, piece->off);
			continue;
		}
		sweep_bytes(piece->seed,
			    (piece->doubt ? c->other : c->bytes) + piece->off,
			    piece->len);
		memset(c->doubt + piece->off, piece->doubt, piece->len);
		c->size_max = MAX(c->size_max, end);
		if (!piece->doubt)
			c->size = MAX(c->size, end);
	}
}
