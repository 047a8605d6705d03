/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rebase_model: random changes of a guest, random switches between random
 * generations of a package, under all three policies; against a plain model of
 * what each path shows and which number it has.  SEEDS=N runs N seeds, SEED=N
 * that one alone.
 *
 * The model speaks of paths alone.  What stands at one is the package's (P),
 * the package's with the guest's bytes (EDIT), something of the guest's own
 * (OWN: made there, moved there, or kept by a switch), or nothing (DEL).
 */
#include <stdio.h>

#include "depot/digest.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum {
	MODEL_SEEDS = 30,
	MODEL_ROUNDS = 14,
	MODEL_GENERATIONS = 5,
	MODEL_PATHS = 12,
	MODEL_OBJECTS = 400,
	MODEL_DIR = 99, /* in place of a content: a directory */
	MODEL_SELF = -1,
};

static const char *const model_path[MODEL_PATHS] = {
    "a",     "b",   "d/a", "d/b", "d/g", "d/s/a",
    "d/s/g", "e/a", "e/g", "t",   "t/x", "t/g"};
enum { MODEL_T = 9, MODEL_TX = 10 };

/* The outcome does not depend on syncs, the time it takes does. */
int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

enum model_state { OBJ_LIVE, OBJ_GONE, OBJ_PARKED };
struct model_object {
	enum model_state state;
	char text[24];
	uint64_t fileid; /* 0: not seen yet */
	int origin;      /* path of a package's object; -1: born here */
	int content;     /* which one there */
	bool edited;
	bool self;    /* its names come back with the package's */
	int at;       /* PARKED: the path it had; -1: none worth a word */
	int under;    /* PARKED: content that it stood in place of, or SELF */
	int back_for; /* scratch of a switch */
};

enum model_kind { KIND_P, KIND_EDIT, KIND_OWN, KIND_DEL };
struct model_name {
	enum model_kind kind;
	struct model_object *object; /* borrows; of EDIT and OWN */
};

struct model {
	struct fixture fx;
	struct view *view;
	struct package_info packages[MODEL_GENERATIONS];
	int image[MODEL_GENERATIONS][MODEL_PATHS]; /* content, 0 none */
	int now;
	struct model_name names[MODEL_PATHS];
	struct model_object objects[MODEL_OBJECTS];
	unsigned int count, serial, snapshots;
	bool kept_t; /* directory t is the delta's, whatever packages say */
	uint64_t number[MODEL_PATHS][4]; /* of untouched package objects */
	uint64_t seed;
	char why[256];
};

static bool model_trace; /* one seed: tell what is done */

#define TRACE(...)                                                             \
	do {                                                                   \
		if (model_trace)                                               \
			fprintf(stderr, __VA_ARGS__);                          \
	} while (0)

static void model_told(void *ctx, const struct site_guest_conflict *c)
{
	(void)ctx;
	TRACE("    %c %s%s%s\n", c->kind, c->path, c->gone ? " gone" : "",
	      c->refused ? " refused" : "");
}

static uint32_t model_roll(struct model *m, uint32_t below)
{
	m->seed = m->seed * UINT64_C(6364136223846793005) +
		  UINT64_C(1442695040888963407);
	return (uint32_t)(m->seed >> 33) % below;
}

static void model_wrong(struct model *m, const char *what, int path)
{
	if (!m->why[0])
		snprintf(m->why, sizeof(m->why), "%s: %s", what,
			 path < 0 ? "" : model_path[path]);
}

/* --- packages --------------------------------------------------------------
 */

static bool model_below_t(int path)
{
	return path > MODEL_T;
}

static void model_generation(struct model *m, int g)
{
	struct fixture_entry entries[MODEL_PATHS] = {{0}};
	static char texts[MODEL_PATHS][24];
	bool dir = model_roll(m, 2);
	char tag[8];
	size_t n = 0;

	for (int p = 0; p < MODEL_PATHS; p++) {
		int content = (int)model_roll(m, 5) - 1;

		/* In a directory of its own now and then nothing is left. */
		if (content <= 0 || (p == MODEL_T && dir) ||
		    (model_below_t(p) && !dir))
			continue;
		m->image[g][p] = content;
		snprintf(texts[p], sizeof(texts[p]), "content %d", content);
		entries[n++] = (struct fixture_entry){
		    model_path[p], S_IFREG | 0644, .text = texts[p]};
	}
	if (n == 0) {
		m->image[g][0] = 1;
		entries[n++] = (struct fixture_entry){"a", S_IFREG | 0644,
						      .text = "content 1"};
	}
	for (int p = MODEL_TX; p < MODEL_PATHS; p++)
		if (m->image[g][p])
			m->image[g][MODEL_T] = MODEL_DIR;
	snprintf(tag, sizeof(tag), "%d", g);
	TRACE("generation %d:", g);
	for (int p = 0; p < MODEL_PATHS; p++)
		if (m->image[g][p])
			TRACE(" %s=%d", model_path[p], m->image[g][p]);
	TRACE("\n");
	fixture_package(&m->fx, "p", tag, entries, n, &m->packages[g]);
}

/* --- objects ---------------------------------------------------------------
 */

static struct model_object *model_born(struct model *m)
{
	struct model_object *o = &m->objects[m->count++];

	ASSERT(m->count <= MODEL_OBJECTS);
	*o = (struct model_object){.origin = -1, .at = -1};
	return o;
}

/* The record of a package's object, if there is one. */
static struct model_object *model_of(struct model *m, int path, int content)
{
	for (unsigned int i = 0; i < m->count; i++)
		if (m->objects[i].origin == path &&
		    m->objects[i].content == content)
			return &m->objects[i];
	return NULL;
}

static struct model_object *model_copy_up(struct model *m, int path)
{
	int content = m->image[m->now][path];
	struct model_object *o = model_of(m, path, content);

	if (!o) {
		o = model_born(m);
		o->origin = path;
		o->content = content;
		snprintf(o->text, sizeof(o->text), "content %d", content);
	}
	if (o->fileid == 0)
		o->fileid = m->number[path][content];
	o->state = OBJ_LIVE;
	return o;
}

/* Is a path out of sight, since something else stands above it? */
static bool model_hidden(const struct model *m, int path)
{
	return model_below_t(path) && m->names[MODEL_T].kind != KIND_P;
}

/* What a path shows: NULL nothing, else the text; *object when it has a
 * record. */
static const char *model_shows(struct model *m, int path,
			       struct model_object **object)
{
	static char text[24];
	const struct model_name *n = &m->names[path];
	int content = m->image[m->now][path];

	*object = n->object;
	if (model_hidden(m, path) || n->kind == KIND_DEL)
		return NULL;
	if (n->kind != KIND_P)
		return n->object->text;
	if (content == 0 || content == MODEL_DIR)
		return NULL;
	if (path == MODEL_T && m->kept_t)
		return NULL;
	snprintf(text, sizeof(text), "content %d", content);
	return text;
}

/* --- the guest ---------------------------------------------------------------
 */

static bool model_parent(struct model *m, int path, struct view_object *dir,
			 const char **name)
{
	const char *slash = strrchr(model_path[path], '/');
	struct view_attr attr;
	char parent[32];

	*name = slash ? slash + 1 : model_path[path];
	*dir = view_root(m->view);
	if (!slash)
		return true;
	snprintf(parent, sizeof(parent), "%.*s",
		 (int)(slash - model_path[path]), model_path[path]);
	if (fixture_walk(m->view, parent, &attr) < 0 || !S_ISDIR(attr.mode))
		return false;
	*dir = fixture_object(&attr);
	return true;
}

static void model_edit(struct model *m, int path)
{
	struct model_object *o;
	struct view_attr attr;

	if (!model_shows(m, path, &o))
		return;
	if (m->names[path].kind == KIND_P) {
		o = model_copy_up(m, path);
		m->names[path] = (struct model_name){KIND_EDIT, o};
	}
	snprintf(o->text, sizeof(o->text), "edited %u", m->serial++);
	TRACE("%s: %s\n", model_path[path], o->text);
	o->edited = true;
	attr = fixture_attr(m->view, model_path[path]);
	if (fixture_resize(m->view, fixture_object(&attr), 0) < 0 ||
	    fixture_write(m->view, &fixture_root, fixture_object(&attr), 0,
			  o->text, strlen(o->text), model_roll(m, 2), NULL) < 0)
		model_wrong(m, "edit", path);
}

/* Its object has left a name; the package's shows no more. */
static void model_leave(struct model *m, int path, bool gone)
{
	struct model_object *o = m->names[path].object;
	int content = m->image[m->now][path];

	if (m->names[path].kind == KIND_P)
		o = model_copy_up(m, path);
	if (gone)
		o->state = OBJ_GONE;
	m->names[path] = (struct model_name){
	    content || (path == MODEL_T && m->kept_t) ? KIND_DEL : KIND_P,
	    NULL};
}

static void model_remove(struct model *m, int path)
{
	struct model_object *o;
	struct view_object dir;
	const char *name;

	if (!model_shows(m, path, &o) || !model_parent(m, path, &dir, &name))
		return;
	TRACE("%s: removed\n", model_path[path]);
	if (fixture_remove(m->view, &fixture_root, dir, name, NULL) < 0)
		model_wrong(m, "remove", path);
	model_leave(m, path, true);
}

static void model_create(struct model *m, int path)
{
	struct model_object *o;
	struct view_object dir, made;
	const char *name;
	struct view_attr attr;

	if (model_shows(m, path, &o) || !model_parent(m, path, &dir, &name) ||
	    fixture_walk(m->view, model_path[path], &attr) == 0)
		return;
	o = model_born(m);
	snprintf(o->text, sizeof(o->text), "own %u", m->serial++);
	TRACE("%s: %s\n", model_path[path], o->text);
	m->names[path] = (struct model_name){KIND_OWN, o};
	if (fixture_touch(m->view, &fixture_root, dir, name, 0644, &made) < 0 ||
	    fixture_write(m->view, &fixture_root, made, 0, o->text,
			  strlen(o->text), true, NULL) < 0)
		model_wrong(m, "create", path);
}

static void model_rename(struct model *m, int from, int to)
{
	struct model_object *o, *over;
	struct view_object dirs[2];
	const char *names[2];
	struct view_attr attr;

	if (from == to || !model_shows(m, from, &o) ||
	    !model_parent(m, from, &dirs[0], &names[0]) ||
	    !model_parent(m, to, &dirs[1], &names[1]))
		return;
	if (fixture_walk(m->view, model_path[to], &attr) == 0 &&
	    S_ISDIR(attr.mode))
		return;
	TRACE("%s -> %s\n", model_path[from], model_path[to]);
	if (fixture_rename(m->view, &fixture_root, dirs[0], names[0], dirs[1],
			   names[1], NULL) < 0)
		model_wrong(m, "rename", from);
	if (m->names[from].kind == KIND_P)
		o = model_copy_up(m, from);
	if (model_shows(m, to, &over))
		model_leave(m, to, true);
	model_leave(m, from, false);
	o->self = false;
	m->names[to] = (struct model_name){KIND_OWN, o};
}

static void model_act(struct model *m)
{
	int path = (int)model_roll(m, MODEL_PATHS);

	switch (model_roll(m, 6)) {
	case 0:
	case 1:
		model_edit(m, path);
		break;
	case 2:
		model_remove(m, path);
		break;
	case 3:
		model_create(m, path);
		break;
	case 4:
		model_rename(m, path, (int)model_roll(m, MODEL_PATHS));
		break;
	default:
		break;
	}
}

/* --- a switch ----------------------------------------------------------------
 */

struct model_switch {
	struct model *m;
	int from, to;
	enum site_policy policy;
	unsigned int conflicts;
};

static void model_park(struct model_object *o, int at, int under)
{
	o->state = OBJ_PARKED;
	o->at = at;
	o->under = under;
}

/* What the guest has put over a name that changes. */
static void model_switch_own(struct model_switch *s, int path)
{
	struct model *m = s->m;
	struct model_name *n = &m->names[path];
	struct model_object *o = n->object;
	int before = m->image[s->from][path], after = m->image[s->to][path];

	if (n->kind != KIND_OWN || before == after || before == 0 ||
	    (o->origin == path && o->content == after))
		return;
	if (o->origin == path && o->content == before && !o->edited) {
		*n = (struct model_name){KIND_P, NULL};
		model_park(o, -1, MODEL_SELF);
		return;
	}
	s->conflicts++;
	if (s->policy != SITE_POLICY_PACKAGE)
		return;
	*n = (struct model_name){KIND_P, NULL};
	model_park(o, path,
		   o->origin == path && o->content == before ? MODEL_SELF
							     : before);
}

static void model_switch_edit(struct model_switch *s, int path)
{
	struct model *m = s->m;
	struct model_name *n = &m->names[path];

	if (n->kind != KIND_EDIT || m->image[s->to][path] == n->object->content)
		return;
	s->conflicts++;
	if (s->policy != SITE_POLICY_PACKAGE) {
		n->kind = KIND_OWN;
		return;
	}
	model_park(n->object, path, MODEL_SELF);
	*n = (struct model_name){KIND_P, NULL};
}

/* A directory that goes stays when something of the guest's is in it. */
static void model_switch_t(struct model_switch *s)
{
	struct model *m = s->m;
	int before = m->image[s->from][MODEL_T];
	int after = m->image[s->to][MODEL_T];

	if (m->kept_t && before != after && before != 0 &&
	    before != MODEL_DIR && after != MODEL_DIR)
		s->conflicts++;
	if (before != MODEL_DIR || after == MODEL_DIR ||
	    m->names[MODEL_T].kind != KIND_P)
		return;
	for (int p = MODEL_TX; p < MODEL_PATHS; p++)
		m->kept_t |= m->names[p].kind == KIND_OWN;
}

static void model_switch_back(struct model_switch *s, struct model_object *o)
{
	struct model *m = s->m;
	int path = o->origin;

	if (path < 0 || m->image[s->to][path] != o->content ||
	    m->image[s->from][path] == o->content ||
	    m->names[path].kind != KIND_P)
		return;
	if (model_hidden(m, path) || (path == MODEL_T && m->kept_t))
		return;
	if (o->state == OBJ_GONE || o->state == OBJ_LIVE ||
	    o->under != MODEL_SELF) {
		m->names[path] = (struct model_name){KIND_DEL, NULL};
		return;
	}
	o->state = OBJ_LIVE;
	o->at = -1;
	if (o->edited)
		m->names[path] = (struct model_name){KIND_EDIT, o};
}

/* Of several that may stand again, any may: what is seen decides. */
static void model_switch_stand(struct model_switch *s, int path)
{
	struct model *m = s->m;
	int before = m->image[s->from][path], after = m->image[s->to][path];
	struct model_object *under, *found = NULL;
	struct view_attr attr;

	if (before == after || after == MODEL_DIR ||
	    m->names[path].kind != KIND_P || model_hidden(m, path) ||
	    (path == MODEL_T && m->kept_t))
		return;
	under = model_of(m, path, after);
	if (under && under->state == OBJ_LIVE && under->edited)
		return;
	for (unsigned int i = 0; i < m->count; i++) {
		struct model_object *o = &m->objects[i];

		if (o->state == OBJ_PARKED && o->at == path &&
		    o->under == after && o->under != MODEL_SELF &&
		    (!found ||
		     (fixture_walk(m->view, model_path[path], &attr) == 0 &&
		      attr.fileid == o->fileid)))
			found = o;
	}
	if (!found)
		return;
	found->state = OBJ_LIVE;
	found->at = -1;
	m->names[path] = (struct model_name){KIND_OWN, found};
}

static void model_switch_names(struct model_switch *s)
{
	struct model *m = s->m;

	for (int p = 0; p < MODEL_PATHS; p++)
		model_switch_own(s, p);
	for (int p = 0; p < MODEL_PATHS; p++)
		model_switch_edit(s, p);
	model_switch_t(s);
	if (s->policy == SITE_POLICY_FAIL && s->conflicts > 0)
		return;
	m->now = s->to;
	for (unsigned int i = 0; i < m->count; i++)
		model_switch_back(s, &m->objects[i]);
	for (int p = 0; p < MODEL_PATHS; p++)
		model_switch_stand(s, p);
}

static void model_assign(struct model *m)
{
	struct model before = *m;
	struct model_switch s = {m, m->now,
				 (int)model_roll(m, MODEL_GENERATIONS),
				 (enum site_policy)model_roll(m, 3), 0};
	struct site_switch how = {.policy = s.policy, .guest = model_told};
	uint32_t generation;
	uint64_t seed = m->seed;
	bool refused;
	int rc;

	TRACE("switch %d -> %d, %s\n", s.from, s.to,
	      s.policy == SITE_POLICY_FAIL   ? "fail"
	      : s.policy == SITE_POLICY_KEEP ? "keep"
					     : "package");
	if (!model_trace)
		check_mute();
	rc = site_tenant_switch(m->fx.site, "red", &m->packages[s.to], 1, &how,
				&generation);
	if (!model_trace)
		check_unmute();
	if (s.to != s.from)
		model_switch_names(&s);
	refused = s.policy == SITE_POLICY_FAIL && s.conflicts > 0;
	if (how.conflicts != s.conflicts) {
		fprintf(stderr, "conflicts: %u, not %u\n", how.conflicts,
			s.conflicts);
		model_wrong(m, "number of conflicts", -1);
	}
	if (rc != (refused ? -EEXIST : 0))
		model_wrong(m, "switch", -1);
	if (refused) {
		char why[sizeof(m->why)];

		memcpy(why, m->why, sizeof(why));
		*m = before;
		memcpy(m->why, why, sizeof(why));
		m->seed = seed;
	}
}

/* --- comparing
 * ----------------------------------------------------------------- */

static void model_problem(void *ctx, bool problem, const char *what)
{
	struct model *m = ctx;

	if (!problem)
		return;
	fprintf(stderr, "verify: %s\n", what);
	model_wrong(m, "verify", -1);
}

static void model_compare_path(struct model *m, int path)
{
	int content = m->image[m->now][path];
	struct view_attr attr;
	struct model_object *o;
	const char *want = model_shows(m, path, &o);
	int rc = fixture_walk(m->view, model_path[path], &attr);
	uint64_t *number;

	if (!want) {
		if (rc == 0 && !S_ISDIR(attr.mode))
			model_wrong(m, "should not be there", path);
		return;
	}
	if (rc < 0 || !S_ISREG(attr.mode)) {
		model_wrong(m, "is not there", path);
		return;
	}
	if (!fixture_content_is(m->view, fixture_object(&attr), want,
				strlen(want)))
		model_wrong(m, "content", path);
	if (attr.nlink != 1)
		model_wrong(m, "links", path);
	number = o ? &o->fileid : &m->number[path][content];
	if (*number == 0)
		*number = attr.fileid;
	if (*number != attr.fileid)
		model_wrong(m, "number", path);
	if (o && o->origin >= 0 && m->number[o->origin][o->content] == 0)
		m->number[o->origin][o->content] = attr.fileid;
}

static void model_compare(struct model *m)
{
	struct site_delta_figures figures;

	for (int p = 0; p < MODEL_PATHS; p++)
		model_compare_path(m, p);
	if (site_delta_verify(m->fx.site, "red/vm1", model_problem, m,
			      &figures) < 0)
		model_wrong(m, "verify fails", -1);
}

static void model_between(struct model *m)
{
	char name[16];

	switch (model_roll(m, 5)) {
	case 0:
		TRACE("restart\n");
		fixture_restart(&m->fx, false);
		m->view = fixture_view(&m->fx, "/red/vm1");
		break;
	case 1:
		if (m->snapshots >= 5)
			break;
		snprintf(name, sizeof(name), "s%u", m->snapshots++);
		TRACE("snapshot\n");
		if (site_delta_snapshot(m->fx.site, "red/vm1", name) < 0)
			model_wrong(m, "snapshot", -1);
		break;
	default:
		break;
	}
}

static bool model_run(uint64_t seed, bool cut)
{
	struct model *m = calloc(1, sizeof(*m));
	bool right;

	ASSERT(m);
	name_cookie_cut_for_tests(cut ? 2 : 63);
	m->seed = seed * 2654435761u + 1;
	fixture_open(&m->fx);
	for (int g = 0; g < MODEL_GENERATIONS; g++)
		model_generation(m, g);
	m->view = fixture_guest(&m->fx, &m->packages[0], 1);
	model_compare(m);
	for (int i = 0; i < MODEL_ROUNDS && !m->why[0]; i++) {
		for (uint32_t k = model_roll(m, 6); k > 0; k--)
			model_act(m);
		if (!m->why[0])
			model_compare(m);
		model_assign(m);
		if (!m->why[0])
			model_compare(m);
		model_between(m);
	}
	right = !m->why[0];
	for (int p = 0; !right && p < MODEL_PATHS; p++)
		for (int c = 1; c < 4; c++)
			if (m->number[p][c])
				TRACE("%s=%d is %llx\n", model_path[p], c,
				      (unsigned long long)m->number[p][c]);
	if (!right)
		fprintf(stderr, "seed %llu%s: %s\n", (unsigned long long)seed,
			cut ? " (cut)" : "", m->why);
	fixture_close(&m->fx);
	name_cookie_cut_for_tests(63);
	free(m);
	return right;
}

static void test_rebase_model(void)
{
	const char *one = getenv("SEED"), *many = getenv("SEEDS");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1;
	uint64_t count = many ? strtoull(many, NULL, 10) : MODEL_SEEDS;

	if (one)
		count = 1;
	model_trace = one;
	for (uint64_t seed = first; seed < first + count; seed++)
		CU_ASSERT_TRUE(model_run(seed, seed % 3 == 0));
	fprintf(stderr, "%llu seeds, %d switches each\n",
		(unsigned long long)count, MODEL_ROUNDS);
}

static const struct check_test tests[] = {
    {"random deltas over random generations", test_rebase_model},
};

int main(void)
{
	return check_main("test_rebase_model", tests, ARRAY_LEN(tests));
}
