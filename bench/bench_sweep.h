/* SPDX-License-Identifier: MIT */
/*
 * bench_sweep.h - one setting of libbwt after the other, each value of it beside the others
 *
 * Each value is a run of this program of its own. Options of bwt_open() are set on its command line; constants of the
 * library through the environment, which only the program that "make bench-sweep" builds looks at (base/sweep.h).
 */
#ifndef BENCH_SWEEP_H
#define BENCH_SWEEP_H

#include "bench_options.h"

/**
 * sweep_run - measure and print one table for each setting that options->sweep names, all where it is empty
 * Returns: 0, -EINVAL when there is no such setting, or the code of a run that failed, said on standard error
 */
int sweep_run(const struct bench_options *options);

#endif
