/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output_progress: how far a long command is, on stderr.
 */
#include <stdio.h>

#include "admin/output.h"
#include "depot/clock.h"

enum {
	PROGRESS_BAR_MS = 100,
	PROGRESS_PLAIN_MS = 30 * 1000,
	PROGRESS_JSON_MS = 1000,
	PROGRESS_BAR_WIDTH = 22,
	/* No estimate before these: it would be a wild number. */
	PROGRESS_ETA_AFTER_MS = 3000,
	PROGRESS_ETA_PERCENT = 2,
	PROGRESS_ETA_SEC_MAX = 99 * 3600,
};

/* At most two figures: seconds below a minute, then minutes, then hours. */
static void progress_eta(char text[OUTPUT_NUMBER_MAX], uint64_t ms,
			 const struct output_progress_state *state)
{
	uint64_t sec;

	text[0] = '\0';
	if (ms < PROGRESS_ETA_AFTER_MS || state->bytes_done == 0 ||
	    state->bytes_done * 100 < state->bytes_total * PROGRESS_ETA_PERCENT)
		return;
	sec = (uint64_t)((double)ms / 1000 *
			 (double)(state->bytes_total - state->bytes_done) /
			 (double)state->bytes_done);
	if (sec > PROGRESS_ETA_SEC_MAX)
		snprintf(text, OUTPUT_NUMBER_MAX, "  unknown time left");
	else if (sec >= 100 * 60)
		snprintf(text, OUTPUT_NUMBER_MAX, "  %ju h left",
			 (uintmax_t)(sec + 1800) / 3600);
	else if (sec >= 100)
		snprintf(text, OUTPUT_NUMBER_MAX, "  %ju min left",
			 (uintmax_t)(sec + 30) / 60);
	else
		snprintf(text, OUTPUT_NUMBER_MAX, "  %ju s left",
			 (uintmax_t)sec);
}

static void progress_json(const struct output_progress_state *state)
{
	fprintf(stderr,
		"{\"type\":\"progress\",\"phase\":\"%s\",\"bytes_done\":%ju,"
		"\"bytes_total\":%ju,\"files_done\":%ju,\"files_total\":%ju}\n",
		state->phase, (uintmax_t)state->bytes_done,
		(uintmax_t)state->bytes_total, (uintmax_t)state->files_done,
		(uintmax_t)state->files_total);
}

static void progress_plain(const struct output_progress_state *state)
{
	char done[OUTPUT_NUMBER_MAX], total[OUTPUT_NUMBER_MAX];

	output_size(done, state->bytes_done, false);
	output_size(total, state->bytes_total, false);
	if (state->bytes_total)
		fprintf(stderr, "%s %s / %s\n", state->phase, done, total);
	else
		fprintf(stderr, "%s %s\n", state->phase, done);
}

static void progress_bar(struct output *out, uint64_t ms,
			 const struct output_progress_state *state)
{
	char done[OUTPUT_NUMBER_MAX], total[OUTPUT_NUMBER_MAX];
	char eta[OUTPUT_NUMBER_MAX], bar[PROGRESS_BAR_WIDTH + 1];
	uint64_t whole = MAX(state->bytes_total, 1);
	unsigned int full;

	output_size(done, state->bytes_done, false);
	output_size(total, state->bytes_total, false);
	if (!state->bytes_total) {
		fprintf(stderr, "\r\033[K%-10s %s", state->phase, done);
	} else {
		full = (unsigned int)(PROGRESS_BAR_WIDTH *
				      MIN(state->bytes_done, whole) / whole);
		memset(bar, ' ', PROGRESS_BAR_WIDTH);
		memset(bar, '=', full);
		bar[PROGRESS_BAR_WIDTH] = '\0';
		if (full < PROGRESS_BAR_WIDTH)
			bar[full] = '>';
		progress_eta(eta, ms, state);
		fprintf(
		    stderr, "\r\033[K%-10s [%s] %3u %%  %s / %s%s",
		    state->phase, bar,
		    (unsigned int)(100 * MIN(state->bytes_done, whole) / whole),
		    done, total, eta);
	}
	fflush(stderr);
	out->progress_drawn = true;
}

static bool progress_due(struct output *out, uint64_t now)
{
	unsigned int step_ms = PROGRESS_BAR_MS;

	if (out->progress == OUTPUT_PROGRESS_PLAIN)
		step_ms = PROGRESS_PLAIN_MS;
	else if (out->progress == OUTPUT_PROGRESS_JSON)
		step_ms = PROGRESS_JSON_MS;
	return now - out->progress_last_ms >= step_ms;
}

void output_progress(struct output *out,
		     const struct output_progress_state *state)
{
	uint64_t now = clock_ms();

	if (out->progress == OUTPUT_PROGRESS_NONE ||
	    out->progress == OUTPUT_PROGRESS_AUTO)
		return;
	if (strcmp(out->progress_phase, state->phase) != 0) {
		snprintf(out->progress_phase, sizeof(out->progress_phase), "%s",
			 state->phase);
		out->progress_start_ms = now;
		out->progress_last_ms = now;
	}
	if (!progress_due(out, now))
		return;
	out->progress_last_ms = now;
	if (out->progress == OUTPUT_PROGRESS_BAR)
		progress_bar(out, now - out->progress_start_ms, state);
	else if (out->progress == OUTPUT_PROGRESS_PLAIN)
		progress_plain(state);
	else
		progress_json(state);
}

void output_progress_end(struct output *out)
{
	if (!out->progress_drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	out->progress_drawn = false;
}
