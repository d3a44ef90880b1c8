/* SPDX-License-Identifier: MIT */
/*
 * amend.h - the usual consolidation of a leaf, made short
 *
 * Usually nobody has a use for more than the newest version of each key, and a few entries change. Then the new leaf is
 * the old one with changes (page/splice.h), and if it is too large it becomes two, cut where it is best for what is to come:
 *
 *   | keys came in             | cut                                              | so that             |
 *   | ascending order, one gap | behind the newest, or where the left page is full | the left page is full |
 *   | descending order         | before the newest, or where the right one is      | the right page is     |
 *   | no order                 | in the middle                                    |                     |
 *
 *   AM1  What is planned is what the general way would find: each delta is committed, below every snapshot there is or
 *        may come, or aborted, and the base page holds live entries without an LSN alone.
 */
#ifndef BWT_TREE_AMEND_H
#define BWT_TREE_AMEND_H

#include "tree/rebuild.h"

/**
 * amend_plan - plan one or two pieces for the leaf @rebuild->place: pieces, bounds, dropped
 * @fence:  out: memory of a fence, for the caller to free; NULL: there is none
 * Returns: BWT_OK; BWT_NOT_FOUND: this is none of the usual consolidations (nothing is planned); -ENOMEM
 * Threads: pinned. The plan lies in the slot's scratch memory.
 */
int amend_plan(struct rebuild *rebuild, struct epoch_slot *slot, uint8_t **fence);

#endif
