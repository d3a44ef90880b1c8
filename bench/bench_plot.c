/* SPDX-License-Identifier: MIT */
/*
 * bench_plot.c - curves over time, drawn by gnuplot, which reads everything from a pipe
 */
#include "bench_plot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

void plot_keep(struct plot *plot, const struct run *run, const struct series *series,
               const struct series_marks *marks)
{
	const double interval_s = (double)series->interval_ns / 1e9;
	struct plot_line *line = plot->count < PLOT_LINES_MAX ? calloc(1, sizeof *line) : NULL;

	if (line == NULL) {
		fprintf(stderr, "bwt-bench: no room for one more run in the picture\n");
		return;
	}
	snprintf(line->name, sizeof line->name, "%s %s:%u", run->options->backend->name,
	         run->workload->name, run->thread_count);
	/* The last slot is not a whole one. */
	line->point_count = series->used > 1 ? series->used - 1 : series->used;
	for (size_t i = 0; i < line->point_count; i++) {
		const struct series_slot *slot = &series->slots[i];

		line->points[i] = (struct plot_point){
			.at_s = (double)(i + 1) * interval_s,
			.ops_per_s = (double)slot->ops / interval_s,
			.p50_us = (double)series_percentile(slot, 50) / 1e3,
			.p99_us = (double)series_percentile(slot, 99) / 1e3,
			.max_us = (double)slot->max_ns / 1e3,
		};
	}
	line->mark_count = marks->count;
	for (size_t i = 0; i < marks->count; i++)
		line->marks_s[i] = (double)marks->at_ns[i] / 1e9;
	plot->lines[plot->count++] = line;
}

void plot_free(struct plot *plot)
{
	for (size_t i = 0; i < plot->count; i++)
		free(plot->lines[i]);
	plot->count = 0;
}

static int refuse(const char *path, int error)
{
	fprintf(stderr, "bwt-bench: %s: %s\n", path, strerror(error));
	return -error;
}

int plot_write(const struct plot *plot, const char *path)
{
	FILE *file = fopen(path, "we");

	if (file == NULL)
		return refuse(path, errno);
	for (size_t i = 0; i < plot->count; i++) {
		const struct plot_line *line = plot->lines[i];

		fprintf(file, "# %s: seconds ops_per_s p50_us p99_us max_us\n", line->name);
		for (size_t j = 0; j < line->point_count; j++)
			fprintf(file, "%.3f %.0f %.2f %.2f %.2f\n", line->points[j].at_s,
			        line->points[j].ops_per_s, line->points[j].p50_us,
			        line->points[j].p99_us, line->points[j].max_us);
		for (size_t j = 0; j < line->mark_count; j++)
			fprintf(file, "# checkpoint %.3f\n", line->marks_s[j]);
		fputs("\n\n", file);
	}
	return fclose(file) == 0 ? 0 : refuse(path, errno);
}

/* Each line as two inline data blocks: its points, its checkpoints. */
static void send_data(FILE *gnuplot, const struct plot *plot)
{
	for (size_t i = 0; i < plot->count; i++) {
		const struct plot_line *line = plot->lines[i];

		fprintf(gnuplot, "$points%zu << EOD\n", i);
		for (size_t j = 0; j < line->point_count; j++)
			if (line->points[j].ops_per_s > 0)
				fprintf(gnuplot, "%.3f %.0f %.2f\n", line->points[j].at_s,
				        line->points[j].ops_per_s, line->points[j].p99_us);
		fprintf(gnuplot, "EOD\n$marks%zu << EOD\n", i);
		for (size_t j = 0; j < line->mark_count; j++)
			fprintf(gnuplot, "%.3f\n", line->marks_s[j]);
		fputs("EOD\n", gnuplot);
	}
}

static void send_curves(FILE *gnuplot, const struct plot *plot, unsigned column, bool with_marks)
{
	fputs("plot ", gnuplot);
	for (size_t i = 0; i < plot->count; i++) {
		const struct plot_line *line = plot->lines[i];

		fprintf(gnuplot,
		        "%s$points%zu using 1:%u with lines linewidth 1.5 linecolor %zu title '%s'",
		        i > 0 ? ", " : "", i, column, i + 1, line->name);
		if (with_marks && line->mark_count > 0)
			fprintf(gnuplot,
			        ", $marks%zu using 1:(0) with points pointtype 2 linecolor %zu "
			        "title 'checkpoint'",
			        i, i + 1);
	}
	putc('\n', gnuplot);
}

static void send_script(FILE *gnuplot, const struct plot *plot, const char *path)
{
	fputs("set terminal svg size 900,640 font 'sans-serif,13' background '#ffffff'\nset output "
	      "'",
	      gnuplot);
	for (const char *c = path; *c != '\0'; c++)
		fputs(*c == '\'' ? "''" : (const char[]){*c, '\0'}, gnuplot);
	fputs("'\nset key outside right top\nset grid linecolor '#cccccc'\nunset mytics\nset "
	      "multiplot layout 2,1\n"
	      "set lmargin 10\nset rmargin 26\nset ylabel 'operations/s'\nset format y '%.1s%c'\n"
	      "set yrange [0:*]\n",
	      gnuplot);
	send_data(gnuplot, plot);
	send_curves(gnuplot, plot, 2, true);
	fputs("set ylabel 'p99, microseconds'\nset xlabel 'seconds'\nset yrange [*:*]\nset "
	      "logscale y\n"
	      "set format y '%g'\n",
	      gnuplot);
	send_curves(gnuplot, plot, 3, false);
	fputs("unset multiplot\n", gnuplot);
}

int plot_draw(const struct plot *plot, const char *path)
{
	FILE *gnuplot;

	if (plot->count == 0)
		return 0;
	(void)signal(SIGPIPE, SIG_IGN); /* a gnuplot that is not there is told by its exit status */
	gnuplot = popen("gnuplot", "we");
	if (gnuplot == NULL)
		return refuse("gnuplot", errno);
	send_script(gnuplot, plot, path);
	if (pclose(gnuplot) != 0) {
		fprintf(stderr, "bwt-bench: --plot: gnuplot is missing, or cannot write %s\n", path);
		return -EIO;
	}
	return 0;
}
