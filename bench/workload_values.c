/* SPDX-License-Identifier: MIT */
/*
 * workload_values.c - the steady state of the value log: large values of many sizes, overwritten for long
 *
 * With --value-least=4096 and --value-size=1048576, 5,700 records are 1 GiB, and a run puts 20 GiB. The result line says
 * how large the data was at most, from when as much was put as lives, over what lives (data_over_live): libbwt
 * promises vlog_space_target percent, and two files. The same with --vlog-space-target=off is what
 * collection costs.
 */
#include "workload.h"

#define ROUNDS 20u

uint64_t workload_values_op_count(const struct run *run)
{
	return run->options->ops > 0 ? run->options->ops : run->options->records * ROUNDS;
}
