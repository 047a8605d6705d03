/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsmove: a client whose guest moves from one server to another while it
 * works.
 *
 *   nfsmove PORT_HERE PORT_THERE EXPORT PAUSE MOVE
 *
 * PAUSE and MOVE are shell commands that pause the guest and move it.  Prints
 * "ok TEXT" or "not ok TEXT" for each promise; exit 1 when one was broken.
 */
#include <stdio.h>

#include "tests/lib/rawnfs.h"

enum {
	SILENCE_MS = 700,
	CLOSED_MS = 5000,
	STALE = 70,
	BAD_HANDLE = 10001,
};

static int broken;

static void promise(bool kept, const char *text)
{
	printf("%s %s\n", kept ? "ok" : "not ok", text);
	broken += !kept;
}

struct client {
	struct raw here, there;
	struct raw_fh root, file;
	uint8_t call[512], reply[512]; /* of the MKDIR that is repeated */
	size_t call_len, reply_len;
};

static bool work_here(struct client *c, const char *export)
{
	uint32_t committed;
	uint64_t verifier;

	if (raw_mount(&c->here, export, &c->root) != 0 ||
	    raw_create(&c->here, &c->root, "moving", 1, 0640, &c->file, NULL) ||
	    raw_write(&c->here, &c->file, 0, "stable", 6, 2, &committed,
		      &verifier) ||
	    raw_write(&c->here, &c->file, 6, "unstable", 8, 0, &committed,
		      &verifier))
		return false;
	raw_begin_any(&c->here, P_MKDIR, &c->root, &c->root, "once");
	if (c->here.out_len > sizeof(c->call) || raw_status(&c->here) != 0)
		return false;
	memcpy(c->call, c->here.out, c->here.out_len);
	c->call_len = c->here.out_len;
	if (c->here.in_len > sizeof(c->reply))
		return false;
	memcpy(c->reply, c->here.in, c->here.in_len);
	c->reply_len = c->here.in_len;
	return true;
}

/* Calls of a paused guest: not answered, and the connection stays. */
static void work_paused(struct client *c)
{
	raw_begin_fh(&c->here, P_GETATTR, &c->file);
	promise(raw_send(&c->here) && !raw_readable(&c->here, SILENCE_MS),
		"a paused guest's GETATTR is not answered");
	raw_begin_any(&c->here, P_MKDIR, &c->root, &c->root, "lost");
	promise(raw_send(&c->here) && !raw_readable(&c->here, SILENCE_MS),
		"nor is its MKDIR, and the connection stays");
}

static void look_here(struct client *c, int port)
{
	struct raw_attr attr;
	struct raw again;
	int rc;

	promise(raw_readable(&c->here, CLOSED_MS) &&
		    raw_reply(&c->here) == RAW_CLOSED,
		"when it has moved its connections are closed");
	if (!raw_open(&again, NULL, port)) {
		promise(false, "the first server still serves");
		return;
	}
	rc = raw_getattr(&again, &c->file, &attr);
	promise(rc == STALE || rc == BAD_HANDLE,
		"its handles are refused where it was");
	raw_close(&again);
}

static void look_there(struct client *c, int port)
{
	struct raw_attr attr;
	struct raw_fh fh;
	char data[64] = "";
	uint32_t got = 0;
	bool eof = false;

	if (!raw_open(&c->there, NULL, port)) {
		promise(false, "the second server serves");
		return;
	}
	promise(raw_read(&c->there, &c->file, 0, sizeof(data) - 1, data, &got,
			 &eof) == 0 &&
		    got == 14 && strcmp(data, "stableunstable") == 0,
		"the handle is good there, with all that was written");
	promise(raw_send_bytes(&c->there, c->call, c->call_len) &&
		    raw_reply(&c->there) == 0 &&
		    c->there.in_len == c->reply_len &&
		    memcmp(c->there.in, c->reply, c->reply_len) == 0,
		"a MKDIR sent again there gets its first reply");
	promise(raw_lookup(&c->there, &c->root, "once", &fh, &attr) == 0,
		"what it made is there");
	promise(raw_lookup(&c->there, &c->root, "lost", &fh, &attr) == 2,
		"what was sent during the pause was not carried out");
	promise(raw_mkdir(&c->there, &c->root, "after", 0755, &fh) == 0,
		"it works on there");
	raw_close(&c->there);
}

int main(int argc, char **argv)
{
	struct client c = {.call_len = 0};

	if (argc != 6 || !raw_open(&c.here, NULL, atoi(argv[1]))) {
		fprintf(stderr, "usage: nfsmove PORT_HERE PORT_THERE EXPORT "
				"PAUSE MOVE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	promise(work_here(&c, argv[3]), "a client works where the guest is");
	promise(system(argv[4]) == 0, "the guest is paused");
	work_paused(&c);
	promise(system(argv[5]) == 0, "the guest is moved");
	look_here(&c, atoi(argv[1]));
	look_there(&c, atoi(argv[2]));
	raw_close(&c.here);
	return broken ? 1 : 0;
}
