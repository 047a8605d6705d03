/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filler: cycles of a full disk under a journal of what was acknowledged
 * (reliability P-20).
 *
 *   filler PORT EXPORT STORE CYCLES COMMAND
 *
 * COMMAND (a shell line that execs vdrived on PORT, its store STORE on a small
 * file system of its own) is started.  A cycle is one of
 *   0 guest     the guest writes until it is refused, and goes on trying
 *   1 foreign   a file beside the store takes all room, while the guest writes
 *   2 hostile   the same, and it goes on taking what is freed: the reserve, too
 *   3 killed    as 1, then kill -9 and a start on the full disk
 * and ends with files removed through NFS, the foreign file too, and writes
 * that succeed again.  Checked: an answer is OK or NFS3ERR_NOSPC; 0 to 1:
 * within a second; package file, names and data acknowledged are read at every
 * turn; removing goes on while it is full; room is used within 10 s of its
 * return, by the server that was there.  Ends with "filler: P passed, F
 * failed".
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/check.h"
#include "tests/lib/rawnfs.h"

enum {
	FILES_MAX = 4096,
	BLOCKS_MAX = 16,
	BLOCK = 64 << 10,
	SMALL = 16000, /* lies in the database */
	NFS_OK = 0,
	NFS_NOSPC = 28,
	NFS_JUKEBOX = 10008,
	START_MS = 20000,
	BACK_MS = 10000,
	SLOW_MS = 2000, /* "within a second", on a busy machine */
	KINDS = 4,
};

struct file {
	bool there;
	char name[24];
	struct raw_fh fh;
	uint32_t len;    /* of a block */
	uint32_t blocks; /* acknowledged */
	uint64_t seed;
};

struct filler {
	int port;
	const char *export, *store, *command;
	char foreign[4096];
	pid_t server;
	struct raw raw;
	struct raw_fh root, package;
	struct file files[FILES_MAX];
	unsigned int count; /* of files, also of those removed */
	uint64_t seed;
	uint8_t *first_read; /* owns: the package file */
	uint32_t package_len;
	uint32_t calls; /* before this connection */
	/* figures */
	int kind;
	uint64_t slowest_ms[KINDS], pause_ms[KINDS], refused[KINDS],
	    back_ms[KINDS];
	uint64_t acknowledged, lost, wrong, start_ms;
	char trouble[256];
};

static void filler_trouble(struct filler *f, const char *what, long value)
{
	f->wrong++;
	if (!f->trouble[0])
		snprintf(f->trouble, sizeof(f->trouble), "%s: %ld", what,
			 value);
}

static uint64_t now_ms(void)
{
	return check_now_ns() / 1000000;
}

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* --- the server ---------------------------------------------------------- */

/* A number is used once: the server knows its calls after a kill, too. */
static bool filler_connect(struct filler *f)
{
	if (!raw_open(&f->raw, NULL, f->port))
		return false;
	f->raw.xid += f->calls;
	return raw_mount(&f->raw, f->export, &f->root) == NFS_OK &&
	       raw_walk(&f->raw, &f->root, "file", &f->package, NULL) == NFS_OK;
}

static bool filler_start(struct filler *f)
{
	uint64_t begin = now_ms();

	f->server = fork();
	if (f->server == 0) {
		execl("/bin/sh", "sh", "-c", f->command, (char *)NULL);
		_exit(127);
	}
	for (;;) {
		if (filler_connect(f)) {
			f->start_ms = MAX(f->start_ms, now_ms() - begin);
			return true;
		}
		if (now_ms() - begin > START_MS ||
		    waitpid(f->server, NULL, WNOHANG) == f->server) {
			f->server = 0;
			return false;
		}
		sleep_ms(10);
	}
}

static bool filler_restart(struct filler *f)
{
	kill(f->server, SIGKILL);
	waitpid(f->server, NULL, 0);
	f->calls = f->raw.xid - ((uint32_t)getpid() << 16) + 1;
	raw_close(&f->raw);
	return filler_start(f);
}

/* Count a reply; true: it is OK. */
static bool filler_answer(struct filler *f, const char *what, int status,
			  uint64_t begin)
{
	uint64_t ms = now_ms() - begin;

	/* RFC 1813 has no NOSPC for these. */
	if (status == NFS_JUKEBOX &&
	    (strcmp(what, "REMOVE") == 0 || strcmp(what, "COMMIT") == 0))
		status = NFS_NOSPC;
	if (status == NFS_NOSPC) {
		f->refused[f->kind]++;
		f->slowest_ms[f->kind] = MAX(f->slowest_ms[f->kind], ms);
		if (ms > SLOW_MS && f->kind != 2)
			filler_trouble(f, "a slow refusal, ms", (long)ms);
	}
	f->pause_ms[f->kind] = MAX(f->pause_ms[f->kind], ms);
	if (ms > BACK_MS && f->kind != 2)
		filler_trouble(f, "a long pause, ms", (long)ms);
	if (status != NFS_OK && status != NFS_NOSPC)
		filler_trouble(f, what, status);
	return status == NFS_OK;
}

/* --- what the guest does ------------------------------------------------- */

static void file_content(const struct file *file, uint32_t block, uint8_t *buf)
{
	check_fill(buf, file->len, file->seed + block);
}

static bool filler_write(struct filler *f, struct file *file, uint32_t stable)
{
	static uint8_t buf[BLOCK];
	uint64_t verifier, begin = now_ms();
	uint32_t committed;

	file_content(file, file->blocks, buf);
	return filler_answer(
	    f, "WRITE",
	    raw_write(&f->raw, &file->fh, (uint64_t)file->blocks * file->len,
		      buf, file->len, stable, &committed, &verifier),
	    begin);
}

/* Blocks written UNSTABLE count when one COMMIT has covered them. */
static void filler_write_unstable(struct filler *f, struct file *file,
				  uint32_t blocks)
{
	static uint8_t buf[BLOCK];
	uint64_t first = 0, verifier, begin;
	uint32_t committed, done = 0;
	bool same = true;

	for (; done < blocks; done++) {
		file_content(file, done, buf);
		begin = now_ms();
		if (!filler_answer(f, "WRITE",
				   raw_write(&f->raw, &file->fh,
					     (uint64_t)done * file->len, buf,
					     file->len, 0, &committed,
					     &verifier),
				   begin))
			break;
		if (done == 0)
			first = verifier;
		same &= verifier == first;
	}
	begin = now_ms();
	if (filler_answer(f, "COMMIT",
			  raw_commit(&f->raw, &file->fh, &verifier), begin) &&
	    same && verifier == first)
		file->blocks = done;
	f->acknowledged += file->blocks;
}

/* A new file with some data; false: something was refused. */
static bool filler_new(struct filler *f)
{
	struct file *file = &f->files[f->count];
	uint64_t refused = f->refused[f->kind], begin = now_ms();
	uint32_t blocks;

	if (f->count == FILES_MAX)
		return false;
	f->seed = f->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	*file = (struct file){.seed = f->seed >> 8};
	snprintf(file->name, sizeof(file->name), "f%u", f->count);
	if (!filler_answer(f, "CREATE",
			   raw_create(&f->raw, &f->root, file->name, 0, 0644,
				      &file->fh, NULL),
			   begin))
		return false;
	file->there = true;
	f->count++;
	f->acknowledged++;
	file->len = f->count % 3 == 0 ? SMALL : BLOCK;
	blocks = file->len == SMALL ? 1 : 1 + f->count % BLOCKS_MAX;
	if (f->count % 3 == 1) {
		filler_write_unstable(f, file, blocks);
	} else {
		while (file->blocks < blocks && filler_write(f, file, 2)) {
			file->blocks++;
			f->acknowledged++;
		}
	}
	return f->refused[f->kind] == refused;
}

/* Records and replies for the log: it grows without any new file. */
static void filler_chmod(struct filler *f, unsigned int times)
{
	for (unsigned int i = 0; i < times && f->count > 0; i++) {
		struct file *file = &f->files[(i * 7919) % f->count];
		uint64_t begin = now_ms();

		if (file->there)
			filler_answer(f, "SETATTR",
				      raw_set_mode(&f->raw, &file->fh,
						   i & 1 ? 0600 : 0644),
				      begin);
	}
}

/* The same for its data: bytes for the log, that the guard lets through.  One
 * that is refused has left the old ones. */
static void filler_overwrite(struct filler *f, unsigned int times)
{
	for (unsigned int i = 0; i < times && f->count > 0; i++) {
		struct file *file = &f->files[i % f->count];
		struct file next = *file;

		if (!file->there || file->blocks != 1 || file->len != SMALL)
			continue;
		next.seed++;
		next.blocks = 0;
		if (filler_write(f, &next, 2)) {
			f->acknowledged++;
			file->seed++;
		}
	}
}

static bool filler_remove(struct filler *f, struct file *file)
{
	uint64_t begin = now_ms();
	bool ok;

	do {
		uint64_t call = now_ms();

		ok = filler_answer(
		    f, "REMOVE",
		    raw_remove(&f->raw, &f->root, file->name, false), call);
		if (!ok)
			sleep_ms(20);
	} while (!ok && !f->wrong && now_ms() - begin < BACK_MS);
	if (ok)
		file->there = false;
	else
		filler_trouble(f, "removing was refused, ms", BACK_MS);
	return ok;
}

/* Every n-th file. */
static void filler_remove_some(struct filler *f, unsigned int n)
{
	for (unsigned int i = 0; i < f->count; i++)
		if (f->files[i].there && i % n == 0 &&
		    !filler_remove(f, &f->files[i]))
			return;
}

/* --- what must be there -------------------------------------------------- */

static void filler_lost(struct filler *f, const struct file *file,
			const char *what, long value)
{
	f->lost++;
	if (!f->trouble[0])
		snprintf(f->trouble, sizeof(f->trouble), "%s: %s: %ld",
			 file->name, what, value);
}

static void filler_verify_file(struct filler *f, const struct file *file)
{
	static uint8_t want[BLOCK], got[BLOCK];
	struct raw_fh fh;
	uint32_t len;
	bool eof;
	int rc = raw_lookup(&f->raw, &f->root, file->name, &fh, NULL);

	if (!file->there) {
		if (rc != 2)
			filler_lost(f, file, "LOOKUP of a removed name", rc);
		return;
	}
	if (rc != NFS_OK || memcmp(&fh, &file->fh, sizeof(fh)) != 0) {
		filler_lost(f, file, "LOOKUP", rc);
		return;
	}
	for (uint32_t i = 0; i < file->blocks; i++) {
		file_content(file, i, want);
		rc = raw_read(&f->raw, &fh, (uint64_t)i * file->len, file->len,
			      got, &len, &eof);
		if (rc != NFS_OK || len != file->len ||
		    memcmp(want, got, len) != 0)
			filler_lost(f, file, "READ of a block",
				    rc ? rc : (int)i);
	}
}

static void filler_read_package(struct filler *f)
{
	static uint8_t got[BLOCK];
	struct raw_attr attr;
	uint64_t begin = now_ms();

	if (raw_getattr(&f->raw, &f->package, &attr) != NFS_OK)
		filler_trouble(f, "GETATTR of the package", 0);
	for (uint32_t off = 0; off < attr.size; off += BLOCK) {
		uint32_t len;
		bool eof;
		int rc =
		    raw_read(&f->raw, &f->package, off, BLOCK, got, &len, &eof);

		if (rc != NFS_OK || len == 0)
			filler_trouble(f, "READ of the package", rc);
		else if (f->package_len < attr.size)
			memcpy(f->first_read + off, got, len);
		else if (memcmp(f->first_read + off, got, len) != 0)
			filler_trouble(f, "other bytes in the package", off);
	}
	f->package_len = (uint32_t)attr.size;
	if (now_ms() - begin > 2000)
		filler_trouble(f, "slow reads of the package, ms",
			       (long)(now_ms() - begin));
}

static void filler_verify(struct filler *f)
{
	for (unsigned int i = 0; i < f->count; i++)
		filler_verify_file(f, &f->files[i]);
	filler_read_package(f);
}

/* --- the other one on the disk ------------------------------------------- */

static atomic_bool foreign_stop;

/* Take all there is, to the last block. */
static void foreign_take(int fd, uint8_t *buf)
{
	for (size_t len = 1 << 20; len >= 512; len /= 2)
		while (!atomic_load(&foreign_stop) && write(fd, buf, len) > 0)
			;
	fdatasync(fd);
}

static void *foreign_main(void *arg)
{
	struct filler *f = arg;
	uint8_t *buf = calloc(1, 1 << 20);
	int fd =
	    open(f->foreign, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	while (fd >= 0 && buf && !atomic_load(&foreign_stop)) {
		foreign_take(fd, buf);
		sleep_ms(f->kind == 2 ? 5 : 30);
		if (f->kind != 2)
			break;
	}
	if (fd >= 0)
		close(fd);
	free(buf);
	return NULL;
}

/* --- cycles -------------------------------------------------------------- */

static void filler_guest_fills(struct filler *f)
{
	unsigned int refused = 0;

	while (refused < 60 && f->count < FILES_MAX && !f->wrong)
		refused += !filler_new(f);
	if (refused == 0)
		filler_trouble(f, "the disk did not fill", f->count);
	filler_chmod(f, 300);
	filler_overwrite(f, f->count);
	filler_verify(f);
}

static void filler_foreign_fills(struct filler *f)
{
	uint64_t begin = now_ms();
	pthread_t thread;

	atomic_store(&foreign_stop, false);
	if (pthread_create(&thread, NULL, foreign_main, f) != 0)
		abort();
	while (now_ms() - begin < 2500 && !f->wrong) {
		filler_new(f);
		filler_chmod(f, 5);
		filler_overwrite(f, 60);
		if (f->kind == 2 && now_ms() - begin > 1500)
			break;
	}
	if (f->kind == 2) {
		/* Calls that wait for room would wait for us. */
		sleep_ms(1000);
		atomic_store(&foreign_stop, true);
	}
	pthread_join(thread, NULL);
	if (f->kind == 3 && !filler_restart(f)) {
		filler_trouble(f, "no start on a full disk", 0);
		return;
	}
	for (int i = 0; i < 5; i++)
		filler_new(f);
	filler_verify(f);
}

/* With the foreign file still there, but for kind 0; not when it has eaten the
 * reserve, too: then there is no room to write down that a name is gone. */
static void filler_back(struct filler *f)
{
	uint64_t begin;

	if (f->kind != 2)
		filler_remove_some(f, 5);
	unlink(f->foreign);
	begin = now_ms();
	filler_remove_some(f, 2);
	while (!f->wrong && !filler_new(f)) {
		if (now_ms() - begin > BACK_MS) {
			filler_trouble(f, "still refused, ms", BACK_MS);
			break;
		}
		sleep_ms(20);
	}
	f->back_ms[f->kind] = MAX(f->back_ms[f->kind], now_ms() - begin);
	filler_verify(f);
	/* The next cycle begins with room. */
	filler_remove_some(f, 1);
	f->count = 0;
}

static bool filler_cycle(struct filler *f, int kind)
{
	uint64_t wrong = f->wrong + f->lost;
	pid_t server = f->server;

	f->kind = kind;
	f->trouble[0] = '\0';
	if (kind == 0)
		filler_guest_fills(f);
	else
		filler_foreign_fills(f);
	if (f->server > 0 && !f->wrong)
		filler_back(f);
	if (kind != 3 && waitpid(server, NULL, WNOHANG) == server) {
		filler_trouble(f, "the server has ended", 0);
		f->server = 0;
	}
	if (f->wrong + f->lost > wrong)
		printf("kind %d: %s\n", kind, f->trouble);
	return f->wrong + f->lost == wrong;
}

static void filler_report(const struct filler *f, int cycles, int bad)
{
	static const char *const names[KINDS] = {"guest", "foreign", "hostile",
						 "killed"};

	for (int i = 0; i < KINDS; i++)
		printf("# %s: %llu refused, slowest refusal %llu ms, longest "
		       "pause %llu ms, writes again after at most %llu ms\n",
		       names[i], (unsigned long long)f->refused[i],
		       (unsigned long long)f->slowest_ms[i],
		       (unsigned long long)f->pause_ms[i],
		       (unsigned long long)f->back_ms[i]);
	printf("promise P-20 n=%d violations=%d bound=%.4f  %llu acknowledged, "
	       "%llu lost, slowest start %llu ms\n",
	       cycles, bad, cycles ? 3.0 / cycles : 1.0,
	       (unsigned long long)f->acknowledged, (unsigned long long)f->lost,
	       (unsigned long long)f->start_ms);
	printf("filler: %d passed, %d failed\n", cycles - bad, bad);
}

int main(int argc, char **argv)
{
	static struct filler f;
	int cycles, bad = 0, done = 0;

	if (argc != 6) {
		fprintf(stderr,
			"usage: filler PORT EXPORT STORE CYCLES COMMAND\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	f.port = atoi(argv[1]);
	f.export = argv[2];
	f.store = argv[3];
	cycles = atoi(argv[4]);
	f.command = argv[5];
	snprintf(f.foreign, sizeof(f.foreign), "%s/foreign", f.store);
	f.first_read = malloc(64 << 20);
	if (!f.first_read || !filler_start(&f)) {
		puts("filler: 0 passed, 1 failed");
		return 1;
	}
	filler_read_package(&f);
	while (done < cycles && bad == 0 && f.server > 0)
		bad += !filler_cycle(&f, done++ % KINDS);
	if (f.server > 0) {
		kill(f.server, SIGKILL);
		waitpid(f.server, NULL, 0);
	}
	unlink(f.foreign);
	filler_report(&f, done, bad);
	return bad ? 1 : 0;
}
