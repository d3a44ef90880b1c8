/* SPDX-License-Identifier: MIT */
/*
 * fault.h - the part of fault.c that only map.c needs; the rest is in map.h
 */
#ifndef BWT_SYS_FAULT_H
#define BWT_SYS_FAULT_H

#include "sys/map.h"

#define SYS_FAULT_MAPS_MAX 1024u  /* mappings of one process whose faults are caught */
#define SYS_FAULT_PAGES_MAX 1024u /* pages of one replaced singly; then all from the fault on */

/**
 * sys_fault_forget - undo sys_map_catch_faults(); nothing for a mapping that it does not know
 * Threads: no other thread may touch the mapping any more
 */
void sys_fault_forget(const struct sys_map *map);

#endif
