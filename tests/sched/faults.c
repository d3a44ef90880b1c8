/* SPDX-License-Identifier: MIT */
/* faults.c - the table */
#include "tests/sched/faults.h"

/* clang-format off */
const struct fault faults[] = {
	{ "horizon_ignores_acquiring", { "snapshot/pruning (C8)" }, "a snapshot being acquired does not stop pruning", 0 },
	{ "prune_visible", { "snapshots/pruning", "snapshot/pruning (C8)" }, "consolidation keeps the newest version only", 0 },
	{ "read_no_push", { "push/commit" }, "a snapshot passes a pending version without pushing it", 0 },
	{ "split_not_posted", { "split/split" }, "the parent is not told of a split", 0 },
	{ "extent_lost_retire", { "get/consolidate" }, "the old chain is not retired", 0 },
	{ "extent_reuse_early", { "epoch advance/reclaim" }, "a dead extent is reused at once", 0 },
	{ "epoch_pins_unseen", { "epoch advance/reclaim" }, "the reclaimer does not see pins", 0 },
	{ "gate_no_drain", { "gate/cut/commit" }, "the gate closes with somebody inside", 0 },
	{ "cow_no_copy", { "gate/cut/commit" }, "a segment is changed without a copy of it", 0 },
	{ "gate_unlooked", { "gate/cut/commit" }, "a writer enters a closed gate", 0 },
	{ "gate_no_wake", { "gate/cut/commit" }, "the gate opens and wakes nobody", 0 },
	{ "gate_opened_unseen", { "gate/cut/commit" }, "a cut counts although others opened the gate", 0 },
	{ "pin_no_fence", { "epoch advance/reclaim" }, "the pin is a plain store: store buffers show it", 0 },
	{ "ids_no_tag", { "ids handed back" }, "ABA on the stack of free page ids", 150000 },
	{ "snapshot_clock_early", { "snapshot/pruning (C8)" }, "S is loaded before the slot says so", 0 },
	{ "horizon_clock_late", { "stable snapshot/pruning" }, "the clock is loaded after the slots", 600000 },
	{ "read_lost_push_unseen", { "push/publish" }, "a push that fails is taken for 'not visible' (C3)", 0 },
	{ "consolidate_drops_pending", { "consolidate while pending (C1)" }, "a pending version is taken for aborted", 0 },
	{ "rebuild_retires_first", { "consolidate/consolidate" }, "retired before it is unlinked", 0 },
	{ "rebuild_over_newer", { "consolidate/consolidate" }, "the swap expects what is there now", 0 },
	{ "rebuild_ids_lost", { "split/split" }, "a lost swap does not give its page ids back", 0 },
	{ "prepend_bytes_lost", { "insert/insert" }, "a lost swap does not give its bytes back", 0 },
	{ "post_twice", { "split/split" }, "a helper posts what is posted", 0 },
	{ "commit_looks_once", { "insert/insert", "insert/delete" }, "after a lost swap nobody looks again", 0 },
	{ "publish_below_floor", { "push/commit" }, "a pushed writer commits below its floor", 0 },
	{ "publish_no_pad", { "push/commit" }, "the space of a pushed record stays empty", 0 },
	{ "publish_counts_aborted", { "wound/commit" }, "a wounded insert is counted", 0 },
	{ "descriptor_reuse_early", { "descriptors again (C3)" }, "a descriptor is used again at once", 400000 },
	{ "txn_no_conflict", { "commit/commit, same keys", "large/puts" }, "first committer wins is not checked", 0 },
	{ "txn_no_stamp", { "consolidate a reference (C2)" }, "the owner does not stamp its versions", 0 },
	{ "carry_no_second_look", { "consolidate a reference (C2)" }, "a copied reference is not looked at again", 0 },
	{ "txn_no_second_look", { "commit/commit, serializable" }, "a read is not validated after the reservation", 0 },
	{ "checkpoint_no_txns", { "large/gate" }, "a cut does not say what half-way transactions mean", 0 },
	{ "merge_no_absorb", { "merge/merge chains" }, "a page goes and nobody took its keys over", 0 },
	{ "merge_two_at_once", { "merge/merge chains" }, "two merges below one parent", 0 },
	{ "mapping_id_at_once", { "merge/merge chains" }, "the id of a page that went is given out at once", 0 },
};
/* clang-format on */

const unsigned fault_count = sizeof faults / sizeof faults[0];
