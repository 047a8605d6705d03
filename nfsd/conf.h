/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf: the daemon's configuration; nfsd's only includer of libinih.
 *
 *	[nfs]
 *	listen	= 127.0.0.1:2049	repeatable; port 0: pick one
 *	threads	= auto			one per CPU, at most 16; or 1..16
 *	poll-us	= 50			poll this long before sleeping; 0..1000
 *	trust-paths = local		may guests be told apart by the names of
 *					their exports alone?  local: those of
 *					one tenant, when every listen is a
 *					loopback address; yes; no
 *	[limits]			what one may hold of the server; beyond:
 *	address-connections = 1024	refused; at most half of all there are
 *	guest-connections = 256		refused
 *	guest-parked = 1024		calls that wait; JUKEBOX
 *	guest-held = 16M		replies not taken, arguments that wait:
 *					read no further, then closed
 *	tenant-connections = 2048	likewise, of all its guests together
 *	tenant-parked = 2048
 *	tenant-held = 32M
 *	[store]
 *	path	=			default: the state directory
 *	memory	= 512M			databases and opened chunks
 *	keep	= 24h			a tree after its last pointer went: s,
 *					m, h, d
 *	size	= 20G			of shards on disk; or 30%, none
 *	free	= 1G			of the file system, left free; the
 *					default is at most a 20th of it; or none
 *	evict	= frequency		what goes first: read least; or lru
 *	[upstream]
 *	plans	= on			replay plans when guests start: on, off
 *	plan-bytes = 1G			of one plan, or one fill by itself, at most
 *	fill	= auto			fetch what was started in the background:
 *					auto (behind everything else), off, or
 *					at so many bytes a second, such as 10M
 *	parallel = 16			requests at once, to all together
 *	inflight = 64M			bytes asked for and not here yet
 *	hedge	= 2s			of silence till another is asked, too
 *	timeout	= 15s			of silence till it is no answer
 *	retry	= 10s			the longest pause between two tries
 *	avoid	= 60s			an upstream, for what it had wrong
 *	patience = 5m			till a read is an I/O error; times of
 *					[upstream] may also be in ms
 *	[delta]
 *	quota	= 2G			of new guests; or none
 *	snapshots = 5			a guest may have at one time; 0..7
 *	[admin]
 *	socket	=			default: in the runtime directory
 *	[peer]
 *	listen	=			ADDR:PORT: what this host has, for other
 *					hosts to read (peer.h); default: off
 *	rate	= none			bytes a second they may have of it
 *	[log]
 *	level	= info			error, warn, info, debug
 *
 * Later ones win: defaults, file, environment (VDRIVE_NFS_POLL_US), -o.  The
 * first `listen` of a place replaces the list of the place before.  Unknown
 * sections and keys, values that make no sense and a scalar given twice in a
 * file are errors: the daemon does not start on a guess.
 */
#ifndef NFSD_CONF_H
#define NFSD_CONF_H

#include "depot/base.h"
#include "depot/log.h"
#include "nfsd/server.h"
#include "nfsd/share.h"

enum {
	CONF_FILE_MAX = 64 << 10,
	CONF_ERROR_MAX = 512,
	CONF_PATH_MAX = 4095,
	CONF_THREADS_MAX = SERVER_THREADS_MAX,
	CONF_POLL_US_MAX = 1000,
	CONF_SOCKET_MAX = 107,  /* sun_path */
	CONF_SNAPSHOTS_MAX = 7, /* a delta's layers but one */
	CONF_KEEP_MAX_S = 3650 * 86400,
	CONF_PARALLEL_MAX = 64,
	CONF_PATIENCE_MAX_S = 86400,
};
#define CONF_COUNT_MAX  1000000 /* of connections, of calls */
#define CONF_HELD_MIN   ((uint64_t)1 << 20)
#define CONF_MEMORY_MIN ((uint64_t)64 << 20)
#define CONF_MEMORY_MAX ((uint64_t)1 << 40)
#define CONF_STORE_MIN  ((uint64_t)32 << 20)
#define CONF_STORE      ((uint64_t)20 << 30) /* by default */
#define CONF_QUOTA_MIN  ((uint64_t)1 << 20)
#define CONF_FILL_MIN   ((uint64_t)64 << 10)
#define CONF_FILL_MAX   ((uint64_t)100 << 30)
#define CONF_FILL_AUTO  UINT64_MAX
#define CONF_QUOTA_MAX  ((uint64_t)1 << 50)

/* 0: the depot's default. */
struct conf_upstream {
	unsigned int parallel;
	size_t inflight;
	uint64_t hedge_ms, timeout_ms, retry_ms, avoid_ms, patience_ms;
};

enum conf_trust { CONF_TRUST_LOCAL, CONF_TRUST_YES, CONF_TRUST_NO };

struct conf {
	char *listen[SERVER_LISTEN_MAX]; /* owns */
	unsigned int listen_count;
	unsigned int threads; /* 0: auto */
	unsigned int poll_us;
	enum conf_trust trust_paths;
	struct share_limits limits;
	char *store_path;           /* owns; NULL until conf_finish() */
	uint64_t memory;            /* bytes */
	uint64_t store_size;        /* bytes; 0: none, or by percent */
	unsigned int store_percent; /* 0: by bytes */
	uint64_t store_free;        /* bytes; DEPOT_FREE_DEFAULT's value */
	bool store_lru;
	unsigned int keep_s;
	struct conf_upstream upstream;
	uint64_t quota; /* bytes; 0: none */
	unsigned int snapshots;
	bool plans;          /* replay them */
	uint64_t plan_bytes; /* of one */
	uint64_t fill;       /* bytes a second; 0: off; CONF_FILL_AUTO */
	char *admin_socket;  /* owns; NULL until conf_finish() */
	char *peer_listen;   /* owns; NULL: off */
	uint64_t peer_rate;  /* bytes a second; 0: no limit */
	enum log_level log_level;
	char error[CONF_ERROR_MAX]; /* of the last call that failed */
	/* conf.c's own */
	unsigned int place; /* where values come from now */
	unsigned int listen_place;
	uint64_t seen; /* keys of this file, as bits */
};

/* Defaults; -ENOMEM. */
MUST_CHECK int conf_init(struct conf *conf);
void conf_free(struct conf *conf); /* what it owns */

/* All of these: -EINVAL with conf->error set ("FILE:LINE: ..."). */
MUST_CHECK int conf_load_file(struct conf *conf, const char *path);
MUST_CHECK int conf_load_text(struct conf *conf, const char *name,
			      const char *text);
/* environ-like array, NULL at its end. */
MUST_CHECK int conf_load_env(struct conf *conf, char *const *env);
/* "section.key=value"; `listen` given again adds to the list. */
MUST_CHECK int conf_set_option(struct conf *conf, const char *option);

/*
 * Fill in the paths that nobody set.  As root: /var/lib/vdrive and
 * /run/vdrive/vdrive.sock; else XDG_STATE_HOME or ~/.local/state, and
 * XDG_RUNTIME_DIR or the store.  -EINVAL: no home.
 */
MUST_CHECK int conf_finish(struct conf *conf, bool is_root);

#endif
