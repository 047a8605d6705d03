/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsd: main of vdrived: options, configuration, privileges, start, stop.
 *
 * What root is for, and for how long: making the store's and the socket's
 * directory, nothing else.  Before a socket is opened the process is the
 * unprivileged user, can gain no privileges (PR_SET_NO_NEW_PRIVS) and leaves
 * no core dump behind, since its memory holds the exports' keys.
 */
#include <getopt.h>
#include <grp.h>
#include <malloc.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "depot/depot.h"
#include "depot/gc.h"
#include "depot/log.h"
#include "depot/prefetch.h"
#include "nfsd/conf.h"
#include "nfsd/control.h"
#include "nfsd/peer.h"
#include "nfsd/server.h"
#include "overlay/site.h"

extern char **environ;

#define NFSD_CONF_PATH    "/etc/vdrive/vdrive.conf"
#define NFSD_DEFAULT_USER "vdrive"

enum nfsd_exit {
	EXIT_CONFIGURATION = 2,
	EXIT_LOCKED = 11,
};

enum { NFSD_SET_MAX = 64 };

struct nfsd_options {
	const char *set[NFSD_SET_MAX]; /* of -o */
	unsigned int set_count;
	const char *conf_path; /* NULL: NFSD_CONF_PATH, when it is there */
	const char *user;      /* NULL: not given */
	bool check_only;
};

struct nfsd {
	struct depot *depot;     /* owns */
	struct site *site;       /* owns */
	struct server *server;   /* owns */
	struct control *control; /* owns */
	struct peer *peer;       /* owns; NULL: off */
};

static const char nfsd_usage[] =
    "usage: vdrived [-c FILE] [-o SECTION.KEY=VALUE]... [--user NAME]\n"
    "               [--check-config]\n"
    "\n"
    "Serve virtual local drives over NFSv3.\n"
    "\n"
    "  -c, --config FILE   read FILE instead of " NFSD_CONF_PATH "\n"
    "  -o SECTION.KEY=VALUE\n"
    "                      set one value, over file and environment\n"
    "      --user NAME     run as NAME when started as root\n"
    "                      (default: " NFSD_DEFAULT_USER ")\n"
    "      --check-config  read the configuration, say what is wrong, exit\n"
    "      --version       print the version\n"
    "      --help          print this\n"
    "\n"
    "Keys: nfs.listen nfs.threads nfs.poll-us nfs.trust-paths\n"
    "store.path store.memory\n"
    "store.keep upstream.plans upstream.plan-bytes upstream.fill\n"
    "delta.quota delta.snapshots admin.socket log.level\n"
    "peer.listen peer.rate\n"
    "limits.address-connections limits.guest-connections limits.guest-parked\n"
    "limits.guest-held limits.tenant-connections limits.tenant-parked\n"
    "limits.tenant-held\n";

/* --- options and configuration ------------------------------------------- */

/* -1: go on; otherwise exit with it. */
static int nfsd_parse(int argc, char **argv, struct nfsd_options *options)
{
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"user", required_argument, NULL, 'u'},
	    {"check-config", no_argument, NULL, 'k'},
	    {"version", no_argument, NULL, 'V'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "c:o:h", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			options->conf_path = optarg;
			break;
		case 'o':
			if (options->set_count == NFSD_SET_MAX) {
				fputs("vdrived: too many -o\n", stderr);
				return EXIT_CONFIGURATION;
			}
			options->set[options->set_count++] = optarg;
			break;
		case 'u':
			options->user = optarg;
			break;
		case 'k':
			options->check_only = true;
			break;
		case 'V':
			puts("vdrived " VDRIVE_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			fputs(nfsd_usage, stdout);
			return EXIT_SUCCESS;
		default:
			fputs(nfsd_usage, stderr);
			return EXIT_CONFIGURATION;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "vdrived: what is \"%s\"?\n%s", argv[optind],
		nfsd_usage);
	return EXIT_CONFIGURATION;
}

static int nfsd_load_conf(const struct nfsd_options *options, struct conf *conf)
{
	int rc = 0;

	if (options->conf_path)
		rc = conf_load_file(conf, options->conf_path);
	else if (geteuid() == 0 && access(NFSD_CONF_PATH, F_OK) == 0)
		rc = conf_load_file(conf, NFSD_CONF_PATH);
	if (rc == 0)
		rc = conf_load_env(conf, environ);
	for (unsigned int i = 0; rc == 0 && i < options->set_count; i++)
		rc = conf_set_option(conf, options->set[i]);
	if (rc == 0)
		rc = conf_finish(conf, geteuid() == 0);
	if (rc < 0)
		log_err(0, "%s", conf->error);
	return rc;
}

/* --- privileges ---------------------------------------------------------- */

/* Make a directory and what is missing above it; *made: the last did not
 * exist. */
static int nfsd_mkdirs(const char *path, mode_t mode, bool *made)
{
	CLEANUP_FREE char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return log_err(-errno, "cannot make %s", copy);
		*p = '/';
	}
	*made = mkdir(copy, mode) == 0;
	if (!*made && errno != EEXIST)
		return log_err(-errno, "cannot make %s", copy);
	return 0;
}

static int nfsd_make_dir(const char *path, mode_t mode,
			 const struct passwd *user)
{
	bool made;
	int rc;

	rc = nfsd_mkdirs(path, mode, &made);
	if (rc < 0)
		return rc;
	if (made && user && chown(path, user->pw_uid, user->pw_gid) < 0)
		return log_err(-errno, "cannot give %s to %s", path,
			       user->pw_name);
	return 0;
}

static int nfsd_make_dirs(const struct conf *conf, const struct passwd *user)
{
	CLEANUP_FREE char *dir = strdup(conf->admin_socket);
	char *slash;
	int rc;

	if (!dir)
		return -ENOMEM;
	rc = nfsd_make_dir(conf->store_path, 0700, user);
	if (rc < 0)
		return rc;
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	return nfsd_make_dir(dir, 0755, user);
}

/* NULL in *user: stay who we are. */
static int nfsd_find_user(const char *name, struct passwd **user)
{
	*user = NULL;
	if (geteuid() != 0) {
		if (!name)
			return 0;
		*user = getpwnam(name);
		if (*user && (*user)->pw_uid == geteuid()) {
			*user = NULL;
			return 0;
		}
		return log_err(-EPERM,
			       "--user %s: only root can become "
			       "somebody else",
			       name);
	}
	if (name && strcmp(name, "root") == 0) {
		log_warn("running as root: everything this process does, it "
			 "does as root");
		return 0;
	}
	*user = getpwnam(name ? name : NFSD_DEFAULT_USER);
	if (*user)
		return 0;
	if (name)
		return log_err(-ENOENT, "--user %s: no such user", name);
	log_err(0, "will not serve as root, and there is no user \"%s\"",
		NFSD_DEFAULT_USER);
	fputs("  try: useradd --system --home-dir "
	      "/var/lib/vdrive " NFSD_DEFAULT_USER "\n"
	      "  or: vdrived --user NAME, or --user root\n",
	      stderr);
	return -ENOENT;
}

static int nfsd_become(const struct passwd *user)
{
	struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};

	if (user && (setgroups(0, NULL) < 0 || setgid(user->pw_gid) < 0 ||
		     setuid(user->pw_uid) < 0))
		return log_err(-errno, "cannot become %s", user->pw_name);
	if (user && setuid(0) == 0)
		return log_err(-EPERM, "still root after becoming %s",
			       user->pw_name);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return log_err(-errno, "no new privileges");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return log_err(-errno, "no core dumps");
	return 0;
}

static int nfsd_drop_privileges(const struct nfsd_options *options,
				const struct conf *conf)
{
	struct passwd *user;
	int rc;

	rc = nfsd_find_user(options->user, &user);
	if (rc < 0)
		return rc;
	rc = nfsd_make_dirs(conf, user);
	if (rc < 0)
		return rc;
	return nfsd_become(user);
}

/*
 * As many heaps as threads can run at once, not eight times as many: of those
 * that fetch each would otherwise keep what it has freed to itself, and the
 * next one would be given fresh pages.
 */
static void nfsd_set_heaps(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	mallopt(M_ARENA_MAX, (int)MAX(cpus, 2L));
}

/* Each connection is a descriptor, and so is each file of the store. */
static void nfsd_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* --- start, serve, stop -------------------------------------------------- */

struct nfsd_root {
	int (*visit)(void *ctx, const struct digest *tree);
	void *ctx;
};

static int nfsd_root(void *ctx, const struct site_tree_user *user)
{
	struct nfsd_root *root = ctx;

	return root->visit(root->ctx, &user->tree);
}

/* What points at trees, for the collection: all that the site knows of. */
static int nfsd_roots(void *site,
		      int (*visit)(void *ctx, const struct digest *tree),
		      void *ctx)
{
	struct nfsd_root root = {visit, ctx};

	return site_tree_users(site, nfsd_root, &root);
}

/* Is every address that all guests share one of this host's loopback? */
static bool nfsd_is_local(const struct conf *conf)
{
	for (unsigned int i = 0; i < conf->listen_count; i++)
		if (strncmp(conf->listen[i], "127.", 4) != 0 &&
		    strncmp(conf->listen[i], "[::1]:", 6) != 0 &&
		    strncmp(conf->listen[i], "localhost:", 10) != 0)
			return false;
	return true;
}

static enum site_trust nfsd_trust(const struct conf *conf)
{
	if (conf->trust_paths == CONF_TRUST_YES)
		return SITE_TRUST_ALWAYS;
	return conf->trust_paths == CONF_TRUST_LOCAL && nfsd_is_local(conf)
		   ? SITE_TRUST_TENANT
		   : SITE_TRUST_NEVER;
}

/* What cannot be opened yet is tried again, and the others are served. */
static int nfsd_listen(void *ctx, const struct site_guest_info *guest)
{
	const struct site_access *access = &guest->access;

	if (access->listen.port != 0 &&
	    server_listen(ctx, &access->listen, access->export_id) < 0)
		log_warn("guest %s/%s is not served until its listening "
			 "address can be used",
			 guest->tenant, guest->guest);
	return 0;
}

static int nfsd_open(struct nfsd *nfsd, const struct conf *conf)
{
	struct depot_options depot_options = {
	    .memory_max = conf->memory,
	    .upstream = {.parallel = conf->upstream.parallel,
			 .inflight = conf->upstream.inflight,
			 .hedge_ms = conf->upstream.hedge_ms,
			 .timeout_ms = conf->upstream.timeout_ms,
			 .retry_ms = conf->upstream.retry_ms,
			 .avoid_ms = conf->upstream.avoid_ms,
			 .patience_ms = conf->upstream.patience_ms},
	    .store_max = conf->store_size,
	    .store_percent = conf->store_percent,
	    .free_min = conf->store_free,
	    .lru = conf->store_lru,
	};
	_Static_assert(CONF_FILL_AUTO == PREFETCH_FILL_AUTO, "one value");
	struct prefetch_options prefetch = {
	    .plans_off = !conf->plans,
	    .plan_bytes = conf->plan_bytes,
	    .fill_rate = conf->fill,
	};
	struct gc_options gc_options = {.keep_s = conf->keep_s};
	struct server_options options = {
	    .listen = (const char *const *)conf->listen,
	    .listen_count = conf->listen_count,
	    .threads = conf->threads,
	    .poll_us = conf->poll_us,
	    .limits = conf->limits,
	};
	int rc;

	rc = depot_open(conf->store_path, &depot_options, &nfsd->depot);
	if (rc < 0)
		return rc;
	depot_prefetch_set(nfsd->depot, &prefetch);
	rc = site_open(nfsd->depot, &nfsd->site);
	if (rc < 0)
		return rc;
	site_set_trust(nfsd->site, nfsd_trust(conf));
	rc = depot_gc_start(nfsd->depot, nfsd_roots, nfsd->site, &gc_options);
	if (rc < 0)
		return rc;
	rc = server_new(&options, nfsd->site, &nfsd->server);
	return rc < 0 ? rc
		      : site_guest_list(nfsd->site, nfsd_listen, nfsd->server);
}

static int nfsd_start(struct nfsd *nfsd, const struct conf *conf)
{
	struct control_daemon daemon = {
	    .depot = nfsd->depot,
	    .site = nfsd->site,
	    .server = nfsd->server,
	    .listen = server_listen_text(nfsd->server),
	    .start_time_sec = time(NULL),
	    .store_path = conf->store_path,
	    .quota_bytes = conf->quota,
	    .snapshots_max = conf->snapshots,
	    .gc_keep_s = conf->keep_s,
	};
	int rc;

	rc = control_start(conf->admin_socket, &daemon, &nfsd->control);
	if (rc == 0 && conf->peer_listen)
		rc = peer_start(conf->peer_listen, conf->peer_rate, nfsd->depot,
				&nfsd->peer);
	if (rc < 0)
		return rc;
	if (nfsd->peer)
		log_info("what this host has is offered to others on %s",
			 peer_listen_text(nfsd->peer));
	return server_start(nfsd->server);
}

/*
 * No operator waits for an upstream any more, nor for what goes through a whole
 * delta (control_stop); no new calls; what has been done becomes stable; the
 * answers go out; then everything is taken down from the top.
 */
static void nfsd_stop(struct nfsd *nfsd)
{
	if (nfsd->depot)
		depot_hurry(nfsd->depot);
	control_stop(STEAL(nfsd->control));
	peer_stop(STEAL(nfsd->peer));
	if (nfsd->server) {
		server_quiet(nfsd->server);
		site_quiesce(nfsd->site);
		server_stop(nfsd->server);
		server_free(STEAL(nfsd->server));
	}
	if (nfsd->depot)
		depot_gc_stop(nfsd->depot);
	site_close(STEAL(nfsd->site));
	depot_close(STEAL(nfsd->depot));
}

static int nfsd_exit_code(int rc)
{
	if (rc == 0)
		return EXIT_SUCCESS;
	return rc == -EBUSY ? EXIT_LOCKED : EXIT_FAILURE;
}

static int nfsd_run(const struct conf *conf)
{
	struct nfsd nfsd = {.depot = NULL};
	sigset_t stop;
	int rc, number;

	/* Before there are threads, so that only sigwait() sees them. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);

	rc = nfsd_open(&nfsd, conf);
	if (rc == 0) {
		rc = nfsd_start(&nfsd, conf);
		/* Only the store's lock has a code of its own. */
		if (rc == -EBUSY)
			rc = -EIO;
	}
	if (rc == 0) {
		printf("vdrived " VDRIVE_VERSION
		       " ready, serving NFSv3 on %s, control socket %s\n",
		       server_listen_text(nfsd.server), conf->admin_socket);
		fflush(stdout);
		sigwait(&stop, &number);
		log_info("stopping");
	}
	nfsd_stop(&nfsd);
	return nfsd_exit_code(rc);
}

static void nfsd_free_conf(struct conf *conf)
{
	conf_free(conf);
}

int main(int argc, char **argv)
{
	CLEANUP(nfsd_free_conf) struct conf conf;
	struct nfsd_options options = {.conf_path = NULL};
	int rc;

	nfsd_set_heaps();
	if (conf_init(&conf) < 0)
		return EXIT_FAILURE;
	log_setup("vdrived", LOG_LEVEL_INFO);
	rc = nfsd_parse(argc, argv, &options);
	if (rc >= 0)
		return rc;
	rc = nfsd_load_conf(&options, &conf);
	if (rc < 0)
		return EXIT_CONFIGURATION;
	if (options.check_only) {
		puts("configuration is right");
		return EXIT_SUCCESS;
	}
	log_setup("vdrived", conf.log_level);
	nfsd_raise_limits();
	rc = nfsd_drop_privileges(&options, &conf);
	if (rc < 0)
		return EXIT_CONFIGURATION;
	return nfsd_run(&conf);
}
