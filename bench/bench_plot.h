/* SPDX-License-Identifier: MIT */
/*
 * bench_plot.h - the runs of this program over time, as text and as one picture
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "bench_run.h"

#define PLOT_LINES_MAX 32 /* runs of one picture; later ones are left out */

struct plot_point {
	double at_s; /* end of its time */
	double ops_per_s;
	double p50_us;
	double p99_us;
	double max_us;
};

struct plot_line {
	char name[64];
	struct plot_point points[SERIES_SLOTS];
	size_t point_count;
	double marks_s[SERIES_MARKS_MAX]; /* checkpoints */
	size_t mark_count;
};

struct plot {
	struct plot_line *lines[PLOT_LINES_MAX];
	size_t count;
};

/** plot_keep - remember a finished run; without memory, or room, it is left out and that is said */
void plot_keep(struct plot *plot, const struct run *run, const struct series *series,
               const struct series_marks *marks);

/**
 * plot_write - the runs as text: time, operations a second, p50, p99, maximum
 * Returns: 0 or a negative code, said on standard error
 */
int plot_write(const struct plot *plot, const char *path);

/**
 * plot_draw - the runs as an SVG picture: throughput above, p99 below, a tick for each checkpoint
 * Returns: 0 or a negative code, said on standard error; it needs gnuplot
 */
int plot_draw(const struct plot *plot, const char *path);

void plot_free(struct plot *plot);

#endif
