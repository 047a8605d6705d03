/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sourcekit: one operation on a source (depot/source.h), for tests.
 *
 *   sourcekit [OPTION...] URL get PATH            bytes to stdout
 *                             range PATH OFF LEN  the same
 *                             put PATH FILE       by put_file
 *                             write PATH TEXT     by put
 *                             create PATH TEXT
 *                             remove PATH
 *                             list DIR            lines "LEN NAME"
 *                             race PATH N         N threads create it: who won
 *                             load PATH LEN N     N ranges of LEN on 4 threads
 *   options: -c CREDENTIALS -e ENDPOINT -r REGION -a CA -x PROXY
 *
 * A failure is told as "ERRNONAME: text" on stderr, status 1.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"
#include "depot/source.h"

enum { KIT_GET_MAX = 64 << 20, KIT_THREADS = 4, KIT_RACE_MAX = 16 };

static int kit_fail(int rc, const struct source_fault *fault)
{
	fprintf(stderr, "%s: %s\n", strerrorname_np(-rc), fault->text);
	return 1;
}

static int kit_get(struct source *source, char **arg,
		   struct source_fault *fault)
{
	void *buf;
	size_t len;
	int rc;

	rc = source->ops->get(source, arg[0], KIT_GET_MAX, &buf, &len, fault);
	if (rc < 0)
		return rc;
	fwrite(buf, 1, len, stdout);
	free(buf);
	return 0;
}

static int kit_range(struct source *source, char **arg,
		     struct source_fault *fault)
{
	size_t len = strtoul(arg[2], NULL, 10);
	CLEANUP_FREE void *buf = malloc(len);
	int rc;

	rc = source->ops->range(source, arg[0], strtoull(arg[1], NULL, 10), len,
				buf, fault);
	if (rc == 0)
		fwrite(buf, 1, len, stdout);
	return rc;
}

static int kit_put(struct source *source, char **arg,
		   struct source_fault *fault)
{
	CLEANUP_CLOSE int fd = open(arg[1], O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(arg[1]);
		exit(2);
	}
	return source->ops->put_file(source, arg[0], fd, (uint64_t)st.st_size,
				     fault);
}

static int kit_write(struct source *source, char **arg,
		     struct source_fault *fault)
{
	return source->ops->put(source, arg[0], arg[1], strlen(arg[1]), fault);
}

static int kit_create(struct source *source, char **arg,
		      struct source_fault *fault)
{
	return source->ops->create(source, arg[0], arg[1], strlen(arg[1]),
				   fault);
}

static int kit_remove(struct source *source, char **arg,
		      struct source_fault *fault)
{
	return source->ops->remove(source, arg[0], fault);
}

static int kit_list_visit(void *ctx UNUSED, const char *name, uint64_t len)
{
	printf("%ju %s\n", (uintmax_t)len, name);
	return 0;
}

static int kit_list(struct source *source, char **arg,
		    struct source_fault *fault)
{
	return source->ops->list(source, arg[0], kit_list_visit, NULL, fault);
}

/* --- many at once -------------------------------------------------------- */

struct kit_racer {
	struct source *source;
	const char *path;
	unsigned int number;
	int rc;
};

static void *kit_racer_main(void *ctx)
{
	struct kit_racer *racer = ctx;
	struct source_fault fault;
	char text[32];

	snprintf(text, sizeof(text), "racer %u", racer->number);
	racer->rc = racer->source->ops->create(racer->source, racer->path, text,
					       strlen(text), &fault);
	if (racer->rc < 0 && racer->rc != -EEXIST)
		fprintf(stderr, "%s\n", fault.text);
	return NULL;
}

static int kit_race(struct source *source, char **arg,
		    struct source_fault *fault UNUSED)
{
	unsigned int count = MIN(strtoul(arg[1], NULL, 10), KIT_RACE_MAX);
	struct kit_racer racers[KIT_RACE_MAX];
	pthread_t threads[KIT_RACE_MAX];

	for (unsigned int i = 0; i < count; i++) {
		racers[i] = (struct kit_racer){source, arg[0], i, 0};
		ASSERT(pthread_create(&threads[i], NULL, kit_racer_main,
				      &racers[i]) == 0);
	}
	for (unsigned int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		if (racers[i].rc == 0)
			printf("racer %u\n", i);
	}
	return 0;
}

struct kit_load {
	struct source *source;
	const char *path;
	size_t len;
	unsigned int count;
	int rc;
	struct source_fault fault;
};

static void *kit_load_main(void *ctx)
{
	struct kit_load *load = ctx;
	CLEANUP_FREE void *buf = malloc(load->len);

	for (unsigned int i = 0; load->rc == 0 && i < load->count; i++)
		load->rc =
		    load->source->ops->range(load->source, load->path, i % 1000,
					     load->len, buf, &load->fault);
	return NULL;
}

static int kit_load(struct source *source, char **arg,
		    struct source_fault *fault)
{
	struct kit_load loads[KIT_THREADS];
	pthread_t threads[KIT_THREADS];
	int rc = 0;

	for (unsigned int i = 0; i < KIT_THREADS; i++) {
		loads[i] = (struct kit_load){
		    .source = source,
		    .path = arg[0],
		    .len = strtoul(arg[1], NULL, 10),
		    .count =
			(unsigned int)strtoul(arg[2], NULL, 10) / KIT_THREADS};
		ASSERT(pthread_create(&threads[i], NULL, kit_load_main,
				      &loads[i]) == 0);
	}
	for (unsigned int i = 0; i < KIT_THREADS; i++) {
		pthread_join(threads[i], NULL);
		if (loads[i].rc < 0) {
			rc = loads[i].rc;
			*fault = loads[i].fault;
		}
	}
	return rc;
}

/* --- main ---------------------------------------------------------------- */

static const struct {
	const char *name;
	int args;
	bool writes;
	int (*run)(struct source *source, char **arg,
		   struct source_fault *fault);
} kit_ops[] = {
    {"get", 1, false, kit_get},      {"range", 3, false, kit_range},
    {"put", 2, true, kit_put},       {"write", 2, true, kit_write},
    {"create", 2, true, kit_create}, {"remove", 1, true, kit_remove},
    {"list", 1, true, kit_list},     {"race", 2, true, kit_race},
    {"load", 3, false, kit_load},
};

static int kit_run(struct source *source, int argc, char **argv)
{
	struct source_fault fault = {.text = ""};
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(kit_ops); i++) {
		if (strcmp(argv[0], kit_ops[i].name) != 0 ||
		    argc - 1 != kit_ops[i].args)
			continue;
		if (kit_ops[i].writes && !source->ops->put) {
			fprintf(stderr, "cannot be written\n");
			return 1;
		}
		rc = kit_ops[i].run(source, argv + 1, &fault);
		return rc < 0 ? kit_fail(rc, &fault) : 0;
	}
	fprintf(stderr, "sourcekit: usage\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct source_options options = {0};
	struct source *source;
	int opt, rc;

	while ((opt = getopt(argc, argv, "c:e:r:a:x:")) >= 0) {
		switch (opt) {
		case 'c':
			options.credentials = optarg;
			break;
		case 'e':
			options.endpoint = optarg;
			break;
		case 'r':
			options.region = optarg;
			break;
		case 'a':
			options.ca_file = optarg;
			break;
		case 'x':
			options.proxy = optarg;
			break;
		default:
			return 2;
		}
	}
	if (argc - optind < 2)
		return 2;
	rc = source_new(argv[optind], &options, &source);
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", strerrorname_np(-rc), argv[optind]);
		return 2;
	}
	rc = kit_run(source, argc - optind - 1, argv + optind + 1);
	source_free(source);
	return fflush(stdout) == 0 ? rc : 2;
}
