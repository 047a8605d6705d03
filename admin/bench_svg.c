/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_svg: rows of a benchmark as an SVG: bars of phases, one a row, grouped
 * by program over one axis of seconds; colours follow the reader's light or
 * dark.  No script, nothing from elsewhere.
 */
#include <math.h>
#include <stdio.h>

#include "admin/bench_rows.h"

enum {
	SVG_WIDTH = 920,
	SVG_LEFT = 150,  /* where bars begin */
	SVG_RIGHT = 840, /* where the axis ends; figures go behind the bars */
	SVG_TOP = 78,    /* below title and legend */
	SVG_ROW = 24,
	SVG_BAR = 16,
	SVG_GROUP = 34, /* of a program's name */
	SVG_TICKS = 8,  /* at most */
	SVG_COLOURS = 8,
};

/* Told apart also by those who see no red or green; the same order as phases.
 */
static const char *const svg_light[SVG_COLOURS] = {
    "#b54708", "#64748b", "#0e7490", "#7c3aed",
    "#15803d", "#a16207", "#be185d", "#334155"};
static const char *const svg_dark[SVG_COLOURS] = {
    "#fb923c", "#94a3b8", "#22d3ee", "#a78bfa",
    "#4ade80", "#facc15", "#f472b6", "#cbd5e1"};

struct svg {
	FILE *file;
	const struct bench_rows *rows;
	double max;  /* seconds at SVG_RIGHT */
	double step; /* between ticks */
	int bottom;  /* of the last bar */
};

static void svg_text(struct svg *svg, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", svg->file);
			break;
		case '>':
			fputs("&gt;", svg->file);
			break;
		case '&':
			fputs("&amp;", svg->file);
			break;
		case '"':
			fputs("&quot;", svg->file);
			break;
		default:
			fputc(*text, svg->file);
		}
	}
}

static double svg_x(const struct svg *svg, double seconds)
{
	return SVG_LEFT + seconds / svg->max * (SVG_RIGHT - SVG_LEFT);
}

/* What the bar of a row is long: its phases' medians, or its time alone. */
static double svg_length(const struct bench_rows *rows,
			 const struct bench_row *row)
{
	double sum = 0;

	for (size_t i = 0; i < rows->phase_count; i++)
		sum += row->phase[i];
	return sum > 0 ? sum : row->median;
}

/* Ticks at 1, 2 or 5 of a power of ten, and an axis that ends at one. */
static void svg_scale(struct svg *svg)
{
	static const double steps[] = {1, 2, 5, 10};
	double longest = 0, power;

	for (size_t i = 0; i < svg->rows->count; i++)
		longest =
		    MAX(longest, svg_length(svg->rows, &svg->rows->rows[i]));
	if (longest <= 0)
		longest = 1;
	power = pow(10, floor(log10(longest / SVG_TICKS)));
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		svg->step = steps[i] * power;
		if (longest / svg->step <= SVG_TICKS)
			break;
	}
	svg->max = ceil(longest / svg->step) * svg->step;
}

static void svg_style(struct svg *svg)
{
	FILE *f = svg->file;

	fputs("<style>\n"
	      "text{font:13px system-ui,sans-serif;fill:#1e293b}\n"
	      ".title{font-size:16px;font-weight:600}\n"
	      ".app{font-weight:600}\n"
	      ".tick,.total{fill:#475569;font-variant-numeric:tabular-nums}\n"
	      ".label{text-anchor:end}.tick{text-anchor:middle}\n"
	      ".total{paint-order:stroke;stroke:#fff;stroke-width:5px}\n"
	      ".grid{stroke:#cbd5e1}.back{fill:#fff}\n",
	      f);
	for (int i = 0; i < SVG_COLOURS; i++)
		fprintf(f, ".p%d{fill:%s}", i, svg_light[i]);
	fputs("\n@media (prefers-color-scheme:dark){\n"
	      "text{fill:#e2e8f0}.tick,.total{fill:#94a3b8}\n"
	      ".total{stroke:#0f172a}.grid{stroke:#334155}"
	      ".back{fill:#0f172a}\n",
	      f);
	for (int i = 0; i < SVG_COLOURS; i++)
		fprintf(f, ".p%d{fill:%s}", i, svg_dark[i]);
	fputs("}\n</style>\n", f);
}

/* Room for a word of the legend, by its letters. */
static void svg_legend(struct svg *svg)
{
	int x = SVG_LEFT;

	for (size_t i = 0; i < svg->rows->phase_count; i++) {
		fprintf(svg->file,
			"<rect class=\"key p%zu\" x=\"%d\" y=\"46\" "
			"width=\"12\" height=\"12\"/><text x=\"%d\" "
			"y=\"57\">",
			i % SVG_COLOURS, x, x + 18);
		svg_text(svg, svg->rows->phase[i]);
		fputs("</text>\n", svg->file);
		x += 18 + 24 + 8 * (int)strlen(svg->rows->phase[i]);
	}
}

static void svg_axis(struct svg *svg)
{
	int ticks = (int)lround(svg->max / svg->step);

	for (int i = 0; i <= ticks; i++) {
		double seconds = i * svg->step, x = svg_x(svg, seconds);

		fprintf(svg->file,
			"<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" "
			"x2=\"%.1f\" y2=\"%d\"/><text class=\"tick\" "
			"x=\"%.1f\" y=\"%d\">%g%s</text>\n",
			x, SVG_TOP - 4, x, svg->bottom, x, svg->bottom + 18,
			seconds, i == ticks ? " s" : "");
	}
}

static void svg_part(struct svg *svg, const struct bench_row *row, size_t class,
		     const char *name, double from, double seconds, int y)
{
	fprintf(svg->file,
		"<rect class=\"phase p%zu\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" "
		"height=\"%d\"><title>",
		class % SVG_COLOURS, svg_x(svg, from), y,
		svg_x(svg, from + seconds) - svg_x(svg, from), SVG_BAR);
	svg_text(svg, row->command);
	fputs(": ", svg->file);
	svg_text(svg, name);
	fprintf(svg->file, " %.2f s</title></rect>\n", seconds);
}

static void svg_row(struct svg *svg, const struct bench_row *row, int y)
{
	const struct bench_rows *rows = svg->rows;
	double at = 0;

	fprintf(svg->file, "<text class=\"label\" x=\"%d\" y=\"%d\">",
		SVG_LEFT - 8, y + 13);
	svg_text(svg, *row->variant ? row->variant : row->app);
	fputs("</text>\n", svg->file);
	for (size_t i = 0; i < rows->phase_count; i++) {
		if (row->phase[i] <= 0)
			continue;
		svg_part(svg, row, i, rows->phase[i], at, row->phase[i], y);
		at += row->phase[i];
	}
	if (at <= 0) {
		svg_part(svg, row, 0, "time", 0, row->median, y);
		at = row->median;
	}
	fprintf(svg->file, "<text class=\"total\" x=\"%.1f\" y=\"%d\">%.2f s",
		svg_x(svg, at) + 6, y + 13, row->median);
	fputs("</text>\n", svg->file);
}

/* All bars, or (draw false) only how far down they go. */
static void svg_rows(struct svg *svg, bool draw)
{
	const char *app = NULL;
	int y = SVG_TOP;

	for (size_t i = 0; i < svg->rows->count; i++) {
		const struct bench_row *row = &svg->rows->rows[i];

		if (*row->variant && (!app || strcmp(app, row->app) != 0)) {
			app = row->app;
			if (draw) {
				fprintf(svg->file,
					"<text class=\"app\" x=\"16\" "
					"y=\"%d\">",
					y + 22);
				svg_text(svg, app);
				fputs("</text>\n", svg->file);
			}
			y += SVG_GROUP;
		}
		if (draw)
			svg_row(svg, row, y);
		y += SVG_ROW;
	}
	svg->bottom = y + 4;
}

int bench_svg(const struct bench_rows *rows, const char *title, char **out,
	      size_t *len)
{
	struct svg svg = {.rows = rows};

	*out = NULL;
	svg.file = open_memstream(out, len);
	if (!svg.file)
		return -ENOMEM;
	svg_scale(&svg);
	svg_rows(&svg, false);
	fprintf(svg.file,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d "
		"%d\" width=\"%d\" height=\"%d\" role=\"img\">\n<title>",
		SVG_WIDTH, svg.bottom + 30, SVG_WIDTH, svg.bottom + 30);
	svg_text(&svg, title);
	fputs("</title>\n", svg.file);
	svg_style(&svg);
	fputs("<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n"
	      "<text class=\"title\" x=\"16\" y=\"28\">",
	      svg.file);
	svg_text(&svg, title);
	fputs("</text>\n", svg.file);
	svg_legend(&svg);
	svg_axis(&svg);
	svg_rows(&svg, true);
	fputs("</svg>\n", svg.file);
	return fclose(svg.file) == 0 ? 0 : -ENOMEM;
}
