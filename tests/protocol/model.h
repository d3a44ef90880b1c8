/* SPDX-License-Identifier: MIT */
/*
 * model.h - the single-key commit protocol (lib/DESIGN.md section 1, rules C1 to C8) as a model
 *
 * One leaf: a mapping word, a chain of deltas over a base page, the log, its durable position, the
 * snapshot slots. A record of the log is one LSN long; a record at l is durable when durable > l, and
 * a snapshot S sees the versions with lsn < S. LSN 0 is the version that every key begins with.
 *
 * Threads run programs: short lists of the operations below. Each step is one atomic access to shared
 * memory, in sequentially consistent order; immutable bytes (a delta's key, value and link, a base
 * page) and words that are final already are read for free along with it. The file of each operation says where its steps are.
 *
 * What is checked, under the names that tests/protocol/README.md lists:
 *   state   model_check(): in every state
 *   step    RULE(...) in the operations: at the step that breaks the rule
 *   search  progress and waiting: search.h
 *
 * Transactions of several keys have a model of their own: txn.h.
 */
#ifndef BWT_TESTS_PROTOCOL_MODEL_H
#define BWT_TESTS_PROTOCOL_MODEL_H

#include "search.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	MODEL_LSN_MAX = 14,  /* records of the log, LSN 0 included */
	MODEL_NODE_MAX = 12, /* deltas and base pages that somebody can still reach */
	MODEL_THREAD_MAX = 6,
	MODEL_PROGRAM_MAX = 4, /* operations of a thread */
	MODEL_KEY_MAX = 2,
	MODEL_SLOT_MAX = 2, /* snapshot slots */
};

/* ------------------------------------------------------------------ shared memory ---------- */

enum word_state {
	WORD_PENDING,
	WORD_COMMITTED,
	WORD_ABORTED
};

/* The LSN word of a delta: state and floor or LSN. */
static inline uint8_t word_make(enum word_state state, unsigned lsn)
{
	return (uint8_t)((unsigned)state << 4 | lsn);
}

static inline enum word_state word_state(uint8_t word)
{
	return (enum word_state)(word >> 4);
}

static inline unsigned word_lsn(uint8_t word)
{
	return word & 15U;
}

/* A snapshot slot: free, being acquired, or the snapshot's LSN. */
#define SLOT_FREE 0xff
#define SLOT_ACQUIRING 0xfe

/* What a record of the log holds, and what the value of a version is: 1, 2, ... name the puts. */
#define RECORD_EMPTY 0
#define RECORD_PAD 15

#define NODE_BASE 0x0f /* the link of a base page */

struct node {
	uint8_t link;  /* delta: the next older node; NODE_BASE */
	uint8_t value; /* delta: the put; base: LSNs 0 to 7 that it holds, a bit each */
	uint8_t word;  /* delta: LSN word; base: LSNs 8 to 15 that it holds */
};

struct thread {
	uint8_t op;       /* index into the program */
	uint8_t pc;       /* 0: begin the operation */
	uint8_t head;     /* the mapping word that was examined */
	uint8_t at;       /* where the walk is, or the delta of the word in hand */
	uint8_t own;      /* put: the delta that is installed */
	uint8_t word;     /* the word last seen there */
	uint8_t lsn;      /* put: reserved; snapshot: S; consolidation: horizon */
	uint8_t mask_low; /* consolidation: LSNs found so far; snapshot: result of the first read */
	uint8_t mask_high;            /* snapshot: result of the second read */
	uint8_t budget;               /* aborts left << 4 | pushes met by this put */
	uint8_t live[MODEL_SLOT_MAX]; /* consolidation: snapshots found in the slots, 0: none */
	uint8_t seen[MODEL_KEY_MAX]; /* newest LSN that this thread has read or committed, by key; or
	                              * SEEN_PENDING | put: it was shown a version that was pending */
};

#define SEEN_PENDING 0x80

struct cut {         /* a checkpoint: the page as of lsn, of use to recovery once it is published */
	uint8_t lsn; /* L; 0: no cut yet */
	uint8_t mask_low; /* committed versions of the page then */
	uint8_t mask_high;
	uint8_t published; /* 1: the superblock names it */
};

struct state {
	uint8_t mapping; /* node */
	uint8_t tail;    /* log_tail: the next LSN to reserve */
	uint8_t durable; /* durable_lsn */
	uint8_t slot[MODEL_SLOT_MAX];
	uint8_t closed; /* the gate: 1 while a checkpointer keeps it closed */
	uint8_t inside; /* and a bit for each thread inside it */
	struct cut cut;
	uint8_t record[MODEL_LSN_MAX]; /* low half: what is filled in; high half: the put whose word
	                                    * became COMMITTED(lsn), for the rules only */
	struct node node[MODEL_NODE_MAX]; /* node n is node[n - 1] */
	struct thread thread[MODEL_THREAD_MAX];
};

/* --------------------------------------------------------------------- scenarios ---------- */

enum op_kind {
	OP_END,
	OP_PUT,         /* put.c; key; sync, conditional */
	OP_GET,         /* read.c; key; plain */
	OP_SNAPSHOT,    /* read.c; key, then key2, in one snapshot; sync: S is durable_lsn */
	OP_CONSOLIDATE, /* consolidate.c; prune */
	OP_CHECKPOINT,  /* checkpoint.c */
	OP_FLUSH,       /* flush.c; for ever */
};

struct op {
	uint8_t kind; /* enum op_kind */
	uint8_t key;
	uint8_t key2;     /* OP_SNAPSHOT */
	uint8_t slot;     /* OP_SNAPSHOT */
	bool sync;        /* OP_PUT: wait for durability; OP_SNAPSHOT: stand at durable_lsn */
	bool conditional; /* OP_PUT: based on the version that it found (insert, update, cas) */
	bool prune;       /* OP_CONSOLIDATE: drop what nobody can see; else keep every version */
	bool between;     /* OP_CONSOLIDATE: drop what lies between two snapshots, too */
	uint8_t rounds;   /* OP_CONSOLIDATE: pages to install */
};

/* One mistake each. The test fails unless the search finds it. */
enum flaw {
	FLAW_NONE,
	FLAW_SKIP_PENDING,         /* snapshot: a PENDING version is passed over, not pushed */
	FLAW_PUSH_GIVES_UP,        /* snapshot: a push that fails means "not visible" */
	FLAW_PUSH_NO_FLOOR,        /* snapshot: a push leaves no floor behind */
	FLAW_PUSH_LOW_FLOOR,       /* snapshot: the floor is one too low */
	FLAW_FLOOR_IGNORED,        /* put: a publish that fails for a floor is tried again anyway */
	FLAW_PUBLISH_STORE,        /* put: publishes by a store */
	FLAW_ABORT_STORE,          /* put: aborts the other's version by a store */
	FLAW_PREPEND_OVER_PENDING, /* put: does not mind another's pending version */
	FLAW_REUSE_DELTA,        /* put: after an abort the installed delta is made PENDING again */
	FLAW_RESERVE_FIRST,      /* put: reserves before it prepends */
	FLAW_PUBLISH_FIRST,      /* put: reserves and prepends a delta that is already committed */
	FLAW_FILL_FIRST,         /* put: fills the log before it publishes */
	FLAW_NO_PAD_ON_ABORT,    /* put: an aborted put leaves its reserved space as it is */
	FLAW_NO_PAD_ON_PUSH,     /* put: a pushed put leaves its reserved space as it is */
	FLAW_ACK_EARLY,          /* put: returns when filled, durable or not */
	FLAW_STALE_PREPEND,      /* put: the CAS expects a newer head than the one it examined */
	FLAW_GET_SEES_PENDING,   /* get: takes a PENDING version */
	FLAW_GET_WAITS,          /* get: waits for a PENDING version */
	FLAW_SNAPSHOT_NO_MARKER, /* snapshot: loads S, then stores it, without ACQUIRING */
	FLAW_SNAPSHOT_NO_FENCE,  /* snapshot: the load of S overtakes the store of ACQUIRING */
	FLAW_SNAPSHOT_NO_WAIT, /* snapshot: stands at durable_lsn before what its thread has seen */
	FLAW_PRUNE_SLOTS_FIRST,    /* prune: loads the slots, then the clock */
	FLAW_PRUNE_NEWEST,         /* prune: the clock is log_tail, not durable_lsn */
	FLAW_PRUNE_PAST_ACQUIRING, /* prune: a slot that is being acquired does not count */
	FLAW_PRUNE_OFF_BY_ONE,     /* prune: keeps the newest version with lsn <= horizon */
	FLAW_PRUNE_KEEPS_NEWER,    /* prune: keeps only versions at or above the horizon */
	FLAW_PRUNE_BETWEEN_ANY,    /* prune: forgets the second of two snapshots */
	FLAW_COPY_PENDING, /* consolidate: a PENDING word is copied into the new page's chain */
	FLAW_DROP_PENDING, /* consolidate: a PENDING version is taken for aborted */
	FLAW_INSTALL_NEWER_HEAD, /* consolidate: the CAS expects a newer head than the one examined */
	FLAW_GATE_FLAG_LATE, /* put: looks whether the gate is closed, then says that it is inside */
	FLAW_GATE_LEFT_EARLY,   /* put: leaves the gate before it publishes */
	FLAW_GATE_NOT_DRAINED,  /* checkpoint: cuts without waiting for those inside */
	FLAW_CUT_LSN_LATE,      /* checkpoint: loads L after it has opened the gate */
	FLAW_SUPERBLOCK_EARLY,  /* checkpoint: publishes before durable_lsn has reached L */
	FLAW_DURABLE_OVER_HOLE, /* flush: durable_lsn passes records that are not filled yet */
};

struct scenario {
	const char *name;
	struct op program[MODEL_THREAD_MAX][MODEL_PROGRAM_MAX + 1]; /* each ends with OP_END */
	uint8_t thread_count;
	uint8_t abort_max[MODEL_THREAD_MAX]; /* times that a thread may abort others' versions, up to 15;
	                                      * after that it only backs off */
	uint8_t push_max;                    /* pushes after which a put aborts itself (C4) */
	uint8_t chain_max; /* deltas at which nobody prepends before consolidating (C1); 0: no limit */
	bool long_only;    /* too large for make check: LONG=1 runs it */
	bool big;          /* half a million states or more: SHORT=1 leaves it out */
	uint8_t slot_count; /* snapshot slots that the programs use */
	bool clock_is_tail; /* a store without sync durability: nobody stands at durable_lsn, and pruning
	                     * loads log_tail as its clock */
	bool gate;          /* puts and consolidation go through the writer gate */
	bool unreduced; /* take every load of a word as a step of its own: see word_is_settled() */
	bool outside_only; /* judge only by what callers and recovery see, not by what the page holds */
	enum flaw flaw;
};

/* A broken variant of a scenario, and the rules that must catch it: how their texts begin. */
struct mutant {
	enum flaw flaw;
	const char *name;
	const char *caught_by; /* with all rules */
	const char *seen_by;   /* with outside_only; NULL: this scenario's callers cannot tell */
};

/* --------------------------------------------------------------------- operations --------- */

/* One step of one thread, while it is being taken. */
struct context {
	const struct scenario *scenario;
	struct state *state;
	struct thread *thread;
	const struct op *op;
	unsigned index; /* of the thread */
	unsigned choice;
	struct search_step *step;
};

/* Each runs one step of its operation; false when there is no such choice. */
bool put_step(struct context *context);
bool get_step(struct context *context);
bool snapshot_step(struct context *context);
bool consolidate_step(struct context *context);
bool flush_step(struct context *context);
bool checkpoint_step(struct context *context);

/* Consolidation inline, in the middle of a put: from pc CONSOLIDATE_FIRST up it is at work. */
enum {
	CONSOLIDATE_FIRST = 32,
};

/* Break @rule (static text) when @good is false. */
void rule(struct context *context, bool good, const char *text);
/* Write what the step does, for a trace. */
void say(struct context *context, const char *format, ...) __attribute__((format(printf, 2, 3)));
/*
 * True when the load of the word of @node may be taken together with the step before it: the word is final, so
 * the load gives the same whenever it is done, and nobody can tell (a partial-order reduction).
 */
bool word_is_settled(const struct context *context, unsigned node);
/* The operation is over: forget its locals and go on to the next one. */
void op_end(struct context *context);
/* Begin the operation again; @pc is where. */
void op_restart(struct context *context, uint8_t pc);

static inline bool has_flaw(const struct context *context, enum flaw flaw)
{
	return context->scenario->flaw == flaw;
}

static inline bool is_inside(const struct context *context)
{
	return (context->state->inside >> context->index & 1) != 0;
}

static inline void leave_gate(struct context *context)
{
	context->state->inside &= (uint8_t) ~(1U << context->index);
}

static inline unsigned budget_aborts(const struct thread *thread)
{
	return thread->budget >> 4;
}

static inline unsigned budget_pushes(const struct thread *thread)
{
	return thread->budget & 15U;
}

/* --------------------------------------------------------------------- shared memory ------ */

static inline struct node *node_at(struct state *state, unsigned node)
{
	return &state->node[node - 1];
}

static inline const struct node *node_get(const struct state *state, unsigned node)
{
	return &state->node[node - 1];
}

static inline bool node_is_base(const struct state *state, unsigned node)
{
	return node_get(state, node)->link == NODE_BASE;
}

/* A new node in the first place that is not in use, or 0 with out_of_bounds set. */
uint8_t node_new(struct context *context, struct node node);
/* CAS of an LSN word. */
bool word_swap(struct context *context, unsigned node, uint8_t seen, uint8_t next);
/* fetch_add(&log_tail, one record). */
uint8_t log_reserve(struct context *context);
void log_fill(struct context *context, unsigned lsn, unsigned content);
/* The LSN behind an entry of thread.seen, or LSN_NONE: not committed. */
unsigned seen_lsn(const struct state *state, unsigned seen);
/* The rules' own note that the version of @value is committed at @lsn. */
void note_committed(struct context *context, unsigned lsn, unsigned value);

/* The put that thread @thread makes as operation @op, and the key that a put is of. */
unsigned value_of(unsigned thread, unsigned op);
unsigned value_key(const struct scenario *scenario, unsigned value);
/* The first delta of @key at or below @node, or the base page. */
unsigned chain_find(const struct scenario *scenario, const struct state *state, unsigned node,
                    unsigned key);
unsigned chain_length(const struct state *state, unsigned node);
/* The committed versions of all keys in the chain from @node down. */
unsigned chain_mask(const struct state *state, unsigned node);
/* The LSNs that a base page holds; those of them that are of @key. */
unsigned base_mask(const struct state *state, unsigned node);
unsigned key_mask(const struct scenario *scenario, const struct state *state, unsigned key);
/* The LSN of the newest version of @key with lsn < @snapshot (MODEL_LSN_MAX: of all). */
unsigned newest_below(const struct scenario *scenario, const struct state *state, unsigned key,
                      unsigned snapshot);
/* The highest bit, or LSN_NONE. */
unsigned mask_top(unsigned mask);
#define LSN_NONE 0xffU

/* --------------------------------------------------------------------- the whole ---------- */

void model_init(const void *opaque, void *memory);
bool model_step(const void *opaque, void *memory, unsigned index, unsigned choice,
                struct search_step *step);
const char *model_check(const void *opaque, const void *memory);
bool model_finished(const void *opaque, const void *memory);
bool model_wait_free(const void *opaque, const void *memory, unsigned index);
void model_print(const void *opaque, const void *memory, FILE *out);

/* Everything of @scenario as search_run() wants it. */
struct search_model model_of(const struct scenario *scenario);

#endif
