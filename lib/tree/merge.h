/* SPDX-License-Identifier: MIT */
/*
 * merge.h - pages that became too small, and a root above a single page
 *
 * R is merged into X, the page to its left. P is the parent of both: R is never the first child of its parent,
 * so a parent's leftmost child never goes. R begins at R.low; all of this happens below that separator of P.
 *
 * | state                  | how it comes about       | reader that comes to R          | writer that comes to R   | helper: what makes it whole          |
 * | 0 R is a child of P    |                          | reads R                         | writes R                 |                                      |
 * | 1 announced: P has     | swap of the word of P in | reads R                         | writes R                 | freezes R; if R is an inner page     |
 * |   INDEX_MERGE on top   | which R is a child, not  |                                 |                          | with a merge below it: that first    |
 * |                        | the first one            |                                 |                          |                                      |
 * | 2 R is frozen, X links | R's word gets the mark   | looks at X: links to R, so      | helps, begins anew       | swaps X for pages with X's and R's   |
 * |   to R                 | MAPPING_FROZEN           | reads R                         |                          | content; if X is an inner page with  |
 * |                        |                          |                                 |                          | a merge below it: that first         |
 * | 3 absorbed: X has R's  | swap of X's word         | looks at X: links elsewhere,    | the same as a reader;    | swaps P for P with INDEX_DELETE: the |
 * |   keys, P names R      |                          | goes on from X (to the right,   | helps once, then writes  | keys of R are at the child that P    |
 * |                        |                          | if X was split since)           | X                        | has to the left of R.low             |
 * | 4 R is gone            | swap of P's word; in the | begins anew at the root, which  | the same                 | nothing is left to do: only one swap |
 * |                        | same gate section R's    | does not lead to R any more     |                          | of P finds R there, and its thread   |
 * |                        | word is MAPPING_REMOVED, |                                 |                          | does the rest in the same section    |
 * |                        | R's chain retired, its   |                                 |                          |                                      |
 * |                        | id in limbo              |                                 |                          |                                      |
 *
 * The root, whose id never changes, over a single page C that has no right neighbour:
 *
 * | 5 C is frozen          | C's word gets the mark,  | looks at the root: names C, so  | helps, begins anew       | swaps the root for C's content under |
 * |   (C.low is empty)     | after C and then the     | reads C; else begins anew       |                          | the root's id                        |
 * |                        | root were looked at      |                                 |                          |                                      |
 * | 6 C is gone            | swap of the root's word; | begins anew                     | the same                 | nothing; as 4                        |
 * |                        | C's word as in 4         |                                 |                          |                                      |
 *
 *   MG1  Between 1 and 4 only index deltas are prepended to P: who wants to consolidate, split, freeze or clean it
 *        ends the merge first. So P does not split at R.low while R goes, and still is R's and X's parent in 4.
 *   MG2  One merge at a time below a parent. So X, or any page left of R that X was split into, is not itself
 *        about to go; and R's range in P is what it was when announced, or less (children posted since).
 *   MG3  Once frozen, a page and its word do not change before 4 or 6. It may hold pending versions: who takes them
 *        over resolves or carries them as a consolidation does (C1, C2).
 *   MG4  "Absorbed" is seen by X's right link alone: the page that has the keys just below R.low links to R before
 *        the swap of X and never after (R's id is not reused while R is frozen; M5). X may be split at R.low itself
 *        in state 3: the new page is posted after 4 only (split.c).
 *   MG5  INDEX_DELETE names the child that P has to the left of R.low: X, or the page that X was split off from,
 *        from where right links lead on. So the merged list of children just loses an entry.
 *   MG6  Every step is one swap whose outcome says whether this thread made it, of a word that was examined before.
 *        Words do not come back (blocks and ids are not reused under a pin), so of many helpers one wins, and the
 *        others see the next state. Any thread may stop for good after any step.
 *   MG7  C is looked at before the root, and frozen by a swap of the word that was looked at: C had no right neighbour
 *        all the time since, so the root, seen over C alone, cannot have split.
 *   MG8  An image cut between any two steps holds state 0, 1, 2, 3 or 5, whose words say all (mapping.h: FROZEN is
 *        stored). Writers of the next life go on from there.
 *
 * Tests, in tests/unit/tree/test_merge.c, and scenarios of tests/sched:
 *
 * | state  | test                                                                  | scenario                          |
 * | 0 -> 1 | a_writer_elsewhere_does_not_care                                      | merge of one page by two          |
 * | 1      | readers_see_everything_in_every_state (1 to 4), every_step_may_be_    | merge/merge chains                |
 * |        | made_twice (1 to 4), a_parent_that_is_to_split_ends_the_merge_first   | parent split/child merge          |
 * | 2      | a_writer_into_the_page_ends_the_merge, an_inline_pending_version_     | writer at a removed page,         |
 * |        | does_not_keep_a_page, a_scan_stands_on_the_page_while_it_goes         | merge while pending (C1)          |
 * | 3      | the_left_neighbour_may_split_between_any_two_steps                    | split/merge of neighbours         |
 * | 4      | an_id_waits_for_the_slowest_reader, two_helpers_end_the_same_merge    | reader at a removed page (G1)     |
 * | 5, 6   | a_root_that_is_about_to_sink_is_read_written_and_stored               | root collapse, root collapse/split|
 * | each   | an_image_of_every_state_is_a_tree_that_goes_on, nobody_waits_for_a_   | merge/cut; all of them with a     |
 * |        | thread_stopped_in_a_merge, a_tree_is_dropped_in_every_state           | fiber stopped: sched_stopped.c    |
 */
#ifndef BWT_TREE_MERGE_H
#define BWT_TREE_MERGE_H

#include "tree/descend.h"

/**
 * tree_finish_merge - end the merge of @gone, in whatever state it is
 * @gone:   a page that was announced or frozen; may be gone already
 * Returns: BWT_OK: it is gone, or was never to go; BWT_BUSY: others are at it and were faster, again and again;
 *          BWT_FULL, -ENOMEM: the state stays, readers and others' writes elsewhere go on; BWT_CORRUPT
 * Threads: pinned, not in the gate
 */
int tree_finish_merge(struct tree *tree, struct epoch_slot *slot, const struct missing_child *gone,
                      enum extent_urgency urgency);
/** The same for frozen page @place. BWT_BUSY: it was done, look again. */
int tree_merge_help(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                    enum extent_urgency urgency);
/** The same for the child of @parent that index_unfinished() names. BWT_BUSY: it was done, look again. */
int tree_finish_child(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                      enum extent_urgency urgency);

/**
 * tree_shrink - the leaf @page was consolidated: if little is left of it, merge it with a neighbour under the same
 *               parent, and go on so with parents and with what has become neighbours, a bounded number of times
 *
 * A page of less than a quarter of the limit goes into its left neighbour, or takes its right one in, if both
 * together stay below three quarters. Failures do no harm.
 * Threads: pinned, not in the gate
 */
void tree_shrink(struct tree *tree, struct epoch_slot *slot, page_id page);

#endif
