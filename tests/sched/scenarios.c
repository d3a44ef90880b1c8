/* SPDX-License-Identifier: MIT */
/*
 * scenarios.c - the table
 *
 * A leaf holds about three keys and is consolidated at three deltas (world.c), so "put" of four keys that
 * lie beside each other splits. Names say what meets; README.md says what each is for.
 */
#include "tests/sched/scenario.h"

#define FILL_6 "put 10; put 20; put 30; put 40; put 50; put 60; "
#define FILL_12 FILL_6 "put 12; put 22; put 32; put 42; put 52; put 62; "

/* clang-format off */
const struct scenario scenarios[] = {
	{ .name = "insert/insert", .before = "put 10", .bound = 2,
	  .fiber = { "ins 20; get 20", "ins 20; get 10" } },
	{ .name = "insert/delete", .before = "put 10; put 20", .bound = 2,
	  .fiber = { "del 20; ins 20", "del 20; ins 20; get 20" } },
	{ .name = "put/put/put one key", .before = "put 10", .bound = 1,
	  .fiber = { "put 10; get 10", "put 10; get 10", "put 10; get 10" } },
	{ .name = "cas/cas", .before = "put 10", .bound = 2,
	  .fiber = { "get 10; cas 10; get 10", "get 10; cas 10", "cas 20; get 20; cas 20" } },
	{ .name = "get/consolidate", .before = "put 10; put 20", .bound = 2,
	  .fiber = { "put 10; fix 10", "get 10; get 20; get 10" } },
	{ .name = "consolidate/consolidate", .before = "put 10; put 20; put 20", .bound = 2,
	  .fiber = { "fix 10", "fix 10; get 20", "put 20" } },
	{ .name = "split/split", .before = FILL_6,
	  .fiber = { "put 11; put 12; put 13; put 14", "put 15; put 16; put 17; put 11" } },
	{ .name = "split/get", .before = "put 10; put 20; put 30", .bound = 1,
	  .fiber = { "put 12; put 14; put 16", "get 10; get 14; get 30; get 16" } },
	{ .name = "parent split", .before = FILL_12,
	  .fiber = { "put 13; put 14; put 15; put 16", "put 53; put 54; put 55; put 56",
	             "get 13; get 54; get 32" } },
	{ .name = "root split", .before = "put 10; put 20", .bound = 1,
	  .fiber = { "put 30; put 40", "put 15; get 30; get 10" } },
	{ .name = "scan/split", .before = FILL_6,
	  .fiber = { "put 11; put 12; put 13; del 40", "scan", "put 41; put 42; put 43; put 44" } },
	{ .name = "scan/consolidate", .before = FILL_6,
	  .fiber = { "del 10; fix 10; ins 10", "scan; scan" } },
	{ .name = "snapshot scan/split", .before = FILL_6,
	  .fiber = { "put 11; put 12; put 13; put 14", "snap; look; look; drop", "del 20; put 20; del 30" } },
	{ .name = "push/commit", .before = "put 10; put 20", .bound = 2,
	  .fiber = { "put 10", "snap; read 10; read 20; read 10" } },
	{ .name = "push/commit, two snapshots", .before = "put 10; put 20",
	  .fiber = { "put 10; put 20", "snap; read 20; read 10; look", "snap; read 10; read 20; look" } },
	{ .name = "wound/commit", .before = "put 10", .bound = 1,
	  .fiber = { "put 10; get 10", "put 10; get 10; del 10", "ins 10; get 10" } },
	{ .name = "consolidate while pending (C1)", .before = "put 10; put 20; put 20", .bound = 2,
	  .fiber = { "put 10", "force 10; get 10", "put 20; get 20" } },
	{ .name = "split while pending (C1)", .before = "put 10; put 20; put 30; put 30",
	  .fiber = { "put 15; put 25", "force 10; force 30", "snap; look; get 15" } },
	{ .name = "snapshot/pruning (C8)", .before = "put 10; put 10", .bound = 2,
	  .fiber = { "put 10; fix 10", "snap; read 10; read 10; drop" } },
	{ .name = "snapshots/pruning", .before = "put 10; put 20",
	  .fiber = { "put 10; del 20; fix 10; put 10; fix 10", "snap; read 10; look; drop; snap; look",
	             "snap; look; drop; fix 20" } },
	{ .name = "gate/cut/commit", .before = FILL_6, .bound = 1,
	  .fiber = { "put 10; del 20", "cut", "put 30; ins 35" } },
	{ .name = "cut/split", .before = FILL_6,
	  .fiber = { "put 11; put 12; put 13; put 14", "cut; yield; cut", "del 50; put 51; fix 50" } },
	{ .name = "cut/chunks", .before = FILL_6,
	  .fiber = { "chunk 0; put 11; chunk 1; fix 11", "cut; cut", "chunk 0; put 31; chunk 2" } },
	{ .name = "epoch advance/reclaim", .before = FILL_6 "put 10; put 20; put 10; put 20; put 10",
	  .fiber = { "chunk 0; put 10; put 10; put 10; chunk 0; advance", "get 10; get 20; scan",
	             "reclaim; chunk 0; reclaim; reclaim" } },
	{ .name = "extent hand-over", .before = FILL_6
	  "chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0",
	  .fiber = { "chunk 0; put 10; put 20; chunk 0; fix 10; fix 20", "chunk 0; put 30; chunk 0; reclaim",
	             "chunk 0; chunk 0; get 10; get 30" } },
	{ .name = "extent death", .before = FILL_6
	  "chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0; chunk 0",
	  .fiber = { "chunk 0; chunk 0; chunk 0; chunk 0; reclaim", "chunk 0; fix 10; fix 20; reclaim; reclaim",
	             "get 10; get 20; scan" } },
	{ .name = "id recycling", .before = FILL_6,
	  .fiber = { "tree 8; reclaim", "tree 5; reclaim; put 11; put 12; put 13", "put 51; put 52; put 53; reclaim" } },
	{ .name = "sync commits", .before = "put 10", .sync = true,
	  .fiber = { "sync 10; sync 20", "sync 10; get 10", "sync 30; put 20" } },
	{ .name = "many fibers", .before = FILL_6,
	  .fiber = { "put 11; del 10", "put 12; get 11", "ins 13; scan", "del 20; ins 20", "snap; look; drop",
	             "fix 10; fix 20", "get 12; put 13", "put 14; cut" } },
};
/* clang-format on */

const unsigned scenario_count = sizeof scenarios / sizeof scenarios[0];
