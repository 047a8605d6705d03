/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply_file: line by line, by one table of keys.
 */
#include "admin/apply_file.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "admin/args.h"

struct apply_parse {
	struct apply_file *file;
	const char *name; /* of the file */
	unsigned int line;
	unsigned int room;           /* objects that fit in file->object */
	struct apply_object *object; /* the section we are in, or NULL */
};

static const char *const apply_kinds[APPLY_KINDS] = {"tenant", "guest",
						     "upstream", "package"};

const char *apply_kind_name(enum apply_kind kind)
{
	return apply_kinds[kind];
}

static int apply_error(struct apply_parse *p, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
static int apply_error(struct apply_parse *p, const char *fmt, ...)
{
	char what[APPLY_ERROR_MAX - 100];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	snprintf(p->file->error, sizeof(p->file->error), "%.80s:%u: %s",
		 p->name, p->line, what);
	return -EINVAL;
}

/* --- values: each gives what is kept, malloc'ed, or NULL: out of form ----- */

static char *apply_text(const char *value)
{
	return strdup(value);
}

static char *apply_yes(const char *value)
{
	static const char *const yes[] = {"yes", "on", "true", "1"};
	static const char *const no[] = {"no", "off", "false", "0"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(value, yes[i]) == 0)
			return strdup("1");
		if (strcmp(value, no[i]) == 0)
			return strdup("0");
	}
	return NULL;
}

static char *apply_size(const char *value)
{
	char digits[32] = "0";
	uint64_t size;

	if (strcmp(value, "none") != 0) {
		if (args_size(value, &size) < 0 || size == 0 ||
		    size > INT64_MAX)
			return NULL;
		snprintf(digits, sizeof(digits), "%ju", (uintmax_t)size);
	}
	return strdup(digits);
}

static char *apply_addr(const char *value)
{
	char text[INET6_ADDRSTRLEN] = "";
	uint8_t addr[16];

	if (strcmp(value, "any") == 0)
		return strdup("");
	if (inet_pton(AF_INET, value, addr) == 1)
		inet_ntop(AF_INET, addr, text, sizeof(text));
	else if (inet_pton(AF_INET6, value, addr) == 1)
		inet_ntop(AF_INET6, addr, text, sizeof(text));
	else
		return NULL;
	return strdup(text);
}

/* ADDRESS:PORT or [V6]:PORT, of a port that stays. */
static char *apply_listen(const char *value)
{
	const char *colon = strrchr(value, ':');
	size_t len = colon ? (size_t)(colon - value) : 0;
	char host[INET6_ADDRSTRLEN + 2];
	unsigned long port;
	uint8_t addr[16];
	bool ok;

	if (strcmp(value, "none") == 0)
		return strdup("");
	if (len < 2 || len >= sizeof(host) ||
	    args_number(colon + 1, UINT16_MAX, &port) < 0 || port == 0)
		return NULL;
	memcpy(host, value, len);
	host[len] = '\0';
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		ok = inet_pton(AF_INET6, host + 1, addr) == 1;
	} else {
		ok = inet_pton(AF_INET, host, addr) == 1;
	}
	return ok ? strdup(value) : NULL;
}

/* Words between commas, each allowed by ok(), joined by `by`. */
static char *apply_words(const char *value, char by, unsigned int max,
			 bool (*ok)(const char *word))
{
	CLEANUP_FREE char *copy = strdup(value);
	char *out = calloc(1, strlen(value) + 2), *save = NULL, *word;
	unsigned int count = 0;
	size_t len = 0;

	for (word = copy ? strtok_r(copy, ", \t", &save) : NULL; out && word;
	     word = strtok_r(NULL, ", \t", &save)) {
		if (++count > max || !ok(word)) {
			free(out);
			return NULL;
		}
		if (len > 0)
			out[len++] = by;
		strcpy(out + len, word);
		len += strlen(word);
	}
	if (count == 0) {
		free(out);
		return NULL;
	}
	return out;
}

static bool apply_ref_ok(const char *word)
{
	struct package_ref ref;

	return package_ref_parse(word, &ref) == 0;
}

static char *apply_packages(const char *value)
{
	return apply_words(value, '\n', APPLY_PACKAGES_MAX, apply_ref_ok);
}

static bool apply_name_ok(const char *word)
{
	return depot_name_ok(word);
}

static char *apply_entitled(const char *value)
{
	return apply_words(value, ',', UINT32_MAX, apply_name_ok);
}

static char *apply_priority(const char *value)
{
	unsigned long n;

	return args_number(value, 100, &n) < 0 ? NULL : strdup(value);
}

static char *apply_public_key(const char *value)
{
	struct sign_key key;

	return sign_key_from_hex(value, strlen(value), &key) < 0
		   ? NULL
		   : strdup(value);
}

static const struct apply_row {
	const char *name;
	unsigned int kinds; /* that have it, as bits */
	char *(*read)(const char *value);
	const char *form; /* of the value, for the error */
} apply_rows[APPLY_KEYS] = {
#define T (1u << APPLY_TENANT)
#define G (1u << APPLY_GUEST)
#define U (1u << APPLY_UPSTREAM)
#define P (1u << APPLY_PACKAGE)
    [APPLY_QUOTA] = {"quota", T | G, apply_size, "a size such as 2G, or none"},
    [APPLY_QUOTA_FILES] = {"quota-files", T | G, apply_size,
			   "a number, or none"},
    [APPLY_PACKAGES] = {"packages", T, apply_packages,
			"a list such as python3:3.11.2, postgresql:stable"},
    [APPLY_ORDER] = {"order", T, apply_yes, "yes or no"},
    [APPLY_ADDR] = {"addr", G, apply_addr, "an IP address, or any"},
    [APPLY_LISTEN] = {"listen", G, apply_listen,
		      "an IP address and port such as 10.20.0.1:2051, or none"},
    [APPLY_SECRET_PATH] = {"secret-path", G, apply_yes, "yes or no"},
    [APPLY_DEVICES] = {"devices", G, apply_yes, "yes or no"},
    [APPLY_ROOT_SQUASH] = {"root-squash", G, apply_yes, "yes or no"},
    [APPLY_WHITEOUTS] = {"whiteouts", G, apply_yes, "yes or no"},
    [APPLY_URL] = {"url", U, apply_text, "a URL"},
    [APPLY_UNSIGNED] = {"unsigned", U, apply_yes, "yes or no"},
    [APPLY_KEY] = {"key", U, apply_public_key, "a public key of 64 digits"},
    [APPLY_CREDENTIALS] = {"credentials", U, apply_text, "a file"},
    [APPLY_ENDPOINT] = {"endpoint", U, apply_text, "a URL"},
    [APPLY_REGION] = {"region", U, apply_text, "a region"},
    [APPLY_CA] = {"ca", U, apply_text, "a file"},
    [APPLY_PROXY] = {"proxy", U, apply_text, "a URL"},
    [APPLY_PRIORITY] = {"priority", U, apply_priority,
			"a number from 0 to 100"},
    [APPLY_ENTITLED] = {"entitled", P, apply_entitled,
			"all, none, or tenants such as red, blue"},
#undef T
#undef G
#undef U
#undef P
};

const char *apply_key_name(enum apply_key key)
{
	return apply_rows[key].name;
}

bool apply_key_is_yes(enum apply_key key)
{
	return apply_rows[key].read == apply_yes;
}

/* --- sections ------------------------------------------------------------- */

const struct apply_object *apply_file_find(const struct apply_file *file,
					   enum apply_kind kind,
					   const char *name)
{
	for (unsigned int i = 0; i < file->count; i++)
		if (file->object[i].kind == kind &&
		    strcmp(file->object[i].name, name) == 0)
			return &file->object[i];
	return NULL;
}

static bool apply_object_name_ok(enum apply_kind kind, const char *name)
{
	char tenant[PACKAGE_NAME_MAX + 1];
	const char *slash = strchr(name, '/');

	if (kind != APPLY_GUEST)
		return depot_name_ok(name);
	if (!slash || (size_t)(slash - name) >= sizeof(tenant))
		return false;
	memcpy(tenant, name, (size_t)(slash - name));
	tenant[slash - name] = '\0';
	return depot_name_ok(tenant) && depot_name_ok(slash + 1);
}

static int apply_kind_of(struct apply_parse *p, const char *word,
			 enum apply_kind *kind)
{
	const char *near;

	for (unsigned int i = 0; i < APPLY_KINDS; i++) {
		if (strcmp(word, apply_kinds[i]) != 0)
			continue;
		*kind = (enum apply_kind)i;
		return 0;
	}
	near = args_closest(word, apply_kinds, APPLY_KINDS);
	return apply_error(p, "unknown section [%.64s]%s%s%s", word,
			   near ? "; did you mean [" : "", near ? near : "",
			   near ? "]?" : "");
}

static struct apply_object *apply_object_new(struct apply_parse *p)
{
	struct apply_file *file = p->file;
	struct apply_object *bigger;

	if (file->count == p->room) {
		p->room = MAX(16u, 2 * p->room);
		bigger = realloc(file->object, p->room * sizeof(*bigger));
		if (!bigger)
			return NULL;
		file->object = bigger;
	}
	file->object[file->count] = (struct apply_object){.line = p->line};
	return &file->object[file->count++];
}

/* "[tenant red]"; line ends with the bracket. */
static int apply_section(struct apply_parse *p, char *line)
{
	char *word = line + 1, *end = line + strlen(line) - 1, *name;
	const struct apply_object *before;
	enum apply_kind kind = APPLY_TENANT;
	int rc;

	if (*end != ']')
		return apply_error(p, "a section ends with ]");
	*end = '\0';
	name = word + strcspn(word, " \t");
	if (*name)
		*name++ = '\0';
	name += strspn(name, " \t");
	rc = apply_kind_of(p, word, &kind);
	if (rc < 0)
		return rc;
	if (!apply_object_name_ok(kind, name))
		return apply_error(p, "[%s %.80s]: \"%.80s\" is no name of %s",
				   word, name, name,
				   kind == APPLY_GUEST ? "a guest: TENANT/GUEST"
						       : apply_kinds[kind]);
	before = apply_file_find(p->file, kind, name);
	if (before)
		return apply_error(p, "%s %s is in line %u already", word, name,
				   before->line);
	p->object = apply_object_new(p);
	if (!p->object)
		return -ENOMEM;
	p->object->kind = kind;
	snprintf(p->object->name, sizeof(p->object->name), "%s", name);
	return 0;
}

/* --- keys ----------------------------------------------------------------- */

static int apply_unknown(struct apply_parse *p, const char *key)
{
	const char *names[APPLY_KEYS] = {NULL}, *near;
	const char *section = apply_kinds[p->object->kind];

	for (unsigned int i = 0; i < APPLY_KEYS; i++)
		if (apply_rows[i].kinds & 1u << p->object->kind)
			names[i] = apply_rows[i].name;
	near = args_closest(key, names, APPLY_KEYS);
	return apply_error(p, "unknown key \"%.64s\" in [%s %.80s]%s%s%s", key,
			   section, p->object->name,
			   near ? "; did you mean \"" : "", near ? near : "",
			   near ? "\"?" : "");
}

/* A list goes on in another line; takes `more`. */
static int apply_set_more(struct apply_parse *p, char **to, char *more)
{
	unsigned int count = 1;
	char *both;

	if (asprintf(&both, "%s\n%s", *to, more) < 0)
		both = NULL;
	free(more);
	if (!both)
		return -ENOMEM;
	free(*to);
	*to = both;
	while ((both = strchr(both, '\n'))) {
		both++;
		count++;
	}
	if (count > APPLY_PACKAGES_MAX)
		return apply_error(p, "[%s %.80s] has more than %d packages",
				   apply_kinds[p->object->kind],
				   p->object->name, APPLY_PACKAGES_MAX);
	return 0;
}

static int apply_set(struct apply_parse *p, enum apply_key key,
		     const char *value)
{
	const struct apply_row *row = &apply_rows[key];
	char **to = &p->object->value[key];
	char *read;

	/* A long list may have several lines. */
	if (*to && key != APPLY_PACKAGES)
		return apply_error(p, "%s is set twice in [%s %.80s]",
				   row->name, apply_kinds[p->object->kind],
				   p->object->name);
	read = row->read(value);
	if (!read)
		return apply_error(p, "%s: \"%.80s\" is not %s", row->name,
				   value, row->form);
	if (!*to) {
		*to = read;
		return 0;
	}
	return apply_set_more(p, to, read);
}

static int apply_key_line(struct apply_parse *p, char *line)
{
	char *equals = strchr(line, '='), *end;

	if (!equals)
		return apply_error(p, "neither [section] nor key = value");
	for (end = equals; end > line && isspace((unsigned char)end[-1]);)
		end--;
	*end = '\0';
	equals++;
	equals += strspn(equals, " \t");
	if (!p->object)
		return apply_error(p, "\"%.64s\" stands before any [section]",
				   line);
	if (!*equals)
		return apply_error(p, "%.64s has no value", line);
	for (unsigned int i = 0; i < APPLY_KEYS; i++)
		if ((apply_rows[i].kinds & 1u << p->object->kind) &&
		    strcmp(apply_rows[i].name, line) == 0)
			return apply_set(p, (enum apply_key)i, equals);
	return apply_unknown(p, line);
}

/* Without comment and blanks at both ends. */
static char *apply_trim(char *line)
{
	char *end, *comment;

	line += strspn(line, " \t\r");
	if (*line == '#')
		*line = '\0';
	for (comment = line; (comment = strchr(comment, ';')); comment++) {
		if (comment == line || isspace((unsigned char)comment[-1])) {
			*comment = '\0';
			break;
		}
	}
	end = line + strlen(line);
	while (end > line && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return line;
}

/* What an object must have of its own. */
static int apply_complete(struct apply_parse *p)
{
	for (unsigned int i = 0; i < p->file->count; i++) {
		const struct apply_object *o = &p->file->object[i];

		p->line = o->line;
		if (o->kind == APPLY_UPSTREAM && !o->value[APPLY_URL])
			return apply_error(p, "[upstream %s] has no url",
					   o->name);
		if (o->kind == APPLY_PACKAGE && !o->value[APPLY_ENTITLED])
			return apply_error(p, "[package %s] has no entitled",
					   o->name);
		if (o->value[APPLY_UNSIGNED] && o->value[APPLY_KEY] &&
		    o->value[APPLY_UNSIGNED][0] == '1')
			return apply_error(p,
					   "[upstream %s] has a key and is "
					   "unsigned: one of them",
					   o->name);
	}
	return 0;
}

int apply_file_parse(struct apply_file *file, const char *name,
		     const char *text)
{
	struct apply_parse p = {.file = file, .name = name};
	CLEANUP_FREE char *copy = strdup(text);
	char *line, *next;
	int rc = 0;

	*file = (struct apply_file){.count = 0};
	if (!copy)
		return -ENOMEM;
	for (line = copy; rc == 0 && line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		p.line++;
		line = apply_trim(line);
		if (*line == '[')
			rc = apply_section(&p, line);
		else if (*line)
			rc = apply_key_line(&p, line);
	}
	return rc < 0 ? rc : apply_complete(&p);
}

void apply_file_clear(struct apply_file *file)
{
	for (unsigned int i = 0; i < file->count; i++)
		for (unsigned int k = 0; k < APPLY_KEYS; k++)
			free(file->object[i].value[k]);
	free(STEAL(file->object));
	file->count = 0;
}
