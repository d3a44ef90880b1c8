/* SPDX-License-Identifier: MIT */
/*
 * bench_memory.h - a memory control group for this process: data larger than memory, on any machine
 *
 * Why: what the page cache holds for a store counts against the group that read it in. So the store is loaded
 * first, dropped from the cache, and only then is the process bounded:
 *
 *   NONE --memory_open()--> READY --memory_enter()--> BOUNDED --memory_close()--> NONE
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stdint.h>

#define MEMORY_PATH_MAX 4096

struct memory_group {
	char path[MEMORY_PATH_MAX];   /* of the group's directory; "": there is none */
	char parent[MEMORY_PATH_MAX]; /* where this process came from */
	uint64_t bytes;
};

/**
 * memory_open - make the group
 * @bytes:  limit of all its memory, page cache included
 * Returns: 0 or a negative code, said on standard error: no controller, or no right to make groups
 * Source:  Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst
 */
int memory_open(struct memory_group *group, uint64_t bytes);

/**
 * memory_enter - drop the files below @dir from the page cache and move this process into the group
 * @dir: of a store that is closed
 */
int memory_enter(struct memory_group *group, const char *dir);

/** memory_close - move back and remove the group; does nothing where there is none */
void memory_close(struct memory_group *group);

#endif
