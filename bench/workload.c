/* SPDX-License-Identifier: MIT */
/*
 * workload.c - the table of workloads
 *
 * YCSB A to F have the shares and distributions of the core workloads (Cooper et al., "Benchmarking
 * cloud serving systems with YCSB", SoCC 2010); updates replace the whole value.
 */
#include "workload.h"

#include <string.h>

static const struct workload workloads[] = {
	{.name = "load",
         .about = "put all records into an empty store, in random key order",
         .flags = WORKLOAD_FRESH | WORKLOAD_WRITES,
         .step = workload_load_step,
         .op_count = workload_load_op_count},
	{.name = "load-seq",
         .about = "put all records into an empty store, in key order",
         .flags = WORKLOAD_FRESH | WORKLOAD_ORDERED | WORKLOAD_WRITES,
         .step = workload_load_step,
         .op_count = workload_load_op_count},
	{.name = "read",
         .about = "get existing records",
         .flags = WORKLOAD_READS,
         .shape = RANDOM_UNIFORM,
         .mix = {.read = 100},
         .step = workload_mix_step},
	{.name = "read-many",
         .about = "get --read-batch existing records a call, one by one where a store has no such "
                  "call",
         .flags = WORKLOAD_READS,
         .shape = RANDOM_UNIFORM,
         .step = workload_many_step},
	{.name = "put",
         .about = "overwrite existing records",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_UNIFORM,
         .mix = {.update = 100},
         .step = workload_mix_step},
	{.name = "txn",
         .about = "get and put --batch records in one transaction, again when it is refused; "
                  "zipfian 0.99",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_ZIPFIAN,
         .step = workload_txn_step},
	{.name = "steady",
         .about = "overwrite existing records, ten times as often as there are records",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_UNIFORM,
         .mix = {.update = 100},
         .step = workload_mix_step,
         .op_count = workload_steady_op_count},
	{.name = "churn",
         .about = "delete an existing record, put it back",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_UNIFORM,
         .step = workload_churn_step},
	{.name = "scan",
         .about = "read --scan-length entries in order from a random record on",
         .flags = WORKLOAD_READS,
         .shape = RANDOM_UNIFORM,
         .mix = {.scan = 100, .fixed_scan = true},
         .step = workload_mix_step},
	{.name = "scan-full",
         .about = "read every entry in order, once per thread",
         .flags = WORKLOAD_READS,
         .step = workload_scan_full_step,
         .op_count = workload_scan_full_op_count},
	{.name = "commit",
         .about = "overwrite existing records, each put on stable storage when it returns",
         .flags = WORKLOAD_WRITES | WORKLOAD_DURABLE,
         .shape = RANDOM_UNIFORM,
         .mix = {.update = 100},
         .step = workload_mix_step},
	{.name = "ycsb-a",
         .about = "50% read, 50% update, zipfian",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_ZIPFIAN,
         .mix = {.read = 50, .update = 50},
         .step = workload_mix_step},
	{.name = "ycsb-b",
         .about = "95% read, 5% update, zipfian",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_ZIPFIAN,
         .mix = {.read = 95, .update = 5},
         .step = workload_mix_step},
	{.name = "ycsb-c",
         .about = "100% read, zipfian",
         .flags = WORKLOAD_READS,
         .shape = RANDOM_ZIPFIAN,
         .mix = {.read = 100},
         .step = workload_mix_step},
	{.name = "ycsb-d",
         .about = "95% read, 5% insert, latest",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_LATEST,
         .mix = {.read = 95, .insert = 5},
         .step = workload_mix_step},
	{.name = "ycsb-e",
         .about = "95% scan of 1 to 100 entries, 5% insert, zipfian",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_ZIPFIAN,
         .mix = {.scan = 95, .insert = 5},
         .step = workload_mix_step},
	{.name = "ycsb-f",
         .about = "50% read, 50% read-modify-write, zipfian",
         .flags = WORKLOAD_READS | WORKLOAD_WRITES,
         .shape = RANDOM_ZIPFIAN,
         .mix = {.read = 50, .modify = 50},
         .step = workload_mix_step},
};

const struct workload *workload_at(size_t index)
{
	return index < sizeof workloads / sizeof workloads[0] ? &workloads[index] : NULL;
}

const struct workload *workload_find(const char *name, size_t size)
{
	const struct workload *workload;

	for (size_t i = 0; (workload = workload_at(i)) != NULL; i++)
		if (strlen(workload->name) == size && memcmp(workload->name, name, size) == 0)
			return workload;
	return NULL;
}
