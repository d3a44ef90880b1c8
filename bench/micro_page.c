/* SPDX-License-Identifier: MIT */
/*
 * micro_page.c - what a page costs: find, walk, prepend, merge, rebuild, check
 *
 * Why: these steps are what a lookup and a put consist of, beside the misses of the cache. "hot" rows
 * ask one page again and again, answers chained as the levels of a descent are. "cold" rows go through
 * a tree of two levels in a region of huge pages, far larger than the caches: the inner pages are few
 * and stay in the second or third cache, each leaf comes from memory, and the value is read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench_random.h"
#include "micro.h"
#include "page/chain.h"
#include "page/page_check.h"
#include "page/search.h"
#include "page/visibility.h"

#define HOT_CALLS (1u << 20)
#define BUILD_CALLS (1u << 16)
#define COLD_CALLS (1u << 19)
#define PROBE_COUNT 4096u /* a power of two */
#define VALUE_SIZE 100u
#define CHILD_COUNT 250u
#define LEAF_COUNT (1u << 16)
#define LEAF_KEYS 32u
#define ARENA_SIZE ((size_t)512 << 20)
#define ROOM (16u << 10) /* for one page that is built again and again */
#define ENTRIES_MAX 256u

volatile uint64_t micro_sink;

static uint8_t *arena;
static arena_off arena_used = 64;
static uint8_t value[VALUE_SIZE];
static struct random randoms;

static void report(const char *function, const char *page, double each_ns)
{
	printf("function=%s page=\"%s\" ns=%.1f\n", function, page, each_ns);
}

static void *arena_take(size_t size, arena_off *off)
{
	*off = arena_used;
	arena_used += size;
	if (arena_used > ARENA_SIZE)
		abort();
	return arena + *off;
}

struct key8 { /* a number, big-endian */
	uint8_t bytes[8];
};

static struct key8 key_of(uint64_t number)
{
	struct key8 key;

	number = __builtin_bswap64(number);
	memcpy(key.bytes, &number, sizeof number);
	return key;
}

static struct bwt_slice slice_of(const struct key8 *key)
{
	return (struct bwt_slice){key->bytes, sizeof key->bytes};
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct key8));
}

static void make_keys(struct key8 *keys, unsigned count)
{
	const uint64_t first = random_next(&randoms) >> 1, range = UINT64_MAX / 10000000 * count;

	for (unsigned i = 0; i < count; i++)
		keys[i] = key_of(first + random_below(&randoms, range));
	qsort(keys, count, sizeof *keys, compare_keys);
}

static arena_off make_leaf(const struct key8 *keys, unsigned count, const struct page_bounds *bounds)
{
	struct page_entry entries[ENTRIES_MAX];
	arena_off off;
	size_t size;

	memset(entries, 0, sizeof entries);
	for (unsigned i = 0; i < count; i++) {
		entries[i].key = key_ref_of(slice_of(&keys[i]));
		entries[i].value = value;
		entries[i].value_size = VALUE_SIZE;
		entries[i].lsn = 160;
	}
	size = leaf_size(entries, count, bounds);
	leaf_build(arena_take(size, &off), size, entries, count, bounds, 1, 1, 160);
	return off;
}

static arena_off put(const struct key8 *key, arena_off below)
{
	const struct block_head *under = (const void *)(arena + below);
	struct version_spec spec = {slice_of(key), key_hash(slice_of(key)), value, VALUE_SIZE, 0};
	arena_off off;
	void *to = arena_take(leaf_delta_size(&spec, under->chain), &off);

	leaf_delta_build(to, &spec, 1, 1, under, below, word_make(WORD_COMMITTED, 320), 320);
	return off;
}

/* ---- hot ---- */

struct probe {
	struct key8 key;
	uint32_t hash;
};

static struct probe probes[PROBE_COUNT];

static void make_probes(const struct key8 *keys, unsigned count)
{
	for (unsigned i = 0; i < PROBE_COUNT; i++) {
		probes[i].key = keys[random_below(&randoms, count)];
		probes[i].hash = key_hash(slice_of(&probes[i].key));
	}
}

/* @sum never reaches its top bit, but the processor must wait for it. */
static const struct probe *probe_after(uint64_t i, uint64_t sum)
{
	return &probes[(i + (sum >> 63)) & (PROBE_COUNT - 1)];
}

/* Find the newest version and read from its value, as a get does. */
static uint64_t walk(arena_off head, const struct probe *probe)
{
	struct version_walk walk;
	struct page_entry entry;

	version_walk_init(&walk, arena, head, slice_of(&probe->key), probe->hash);
	if (!version_walk_next(&walk, &entry))
		return 0;
	return *(const uint8_t *)entry.value;
}

static uint64_t find(arena_off head, const struct probe *probe)
{
	return (uint64_t)leaf_find((const void *)(arena + head), slice_of(&probe->key), probe->hash);
}

static uint64_t lower_bound(arena_off head, const struct probe *probe)
{
	return leaf_lower_bound((const void *)(arena + head), slice_of(&probe->key));
}

static void measure_leaf(unsigned count)
{
	const struct page_bounds bounds = {.low = {"", 0}};
	struct key8 keys[ENTRIES_MAX];
	arena_off leaf, head;
	char name[64];
	double each_ns;

	make_keys(keys, count);
	head = leaf = make_leaf(keys, count, &bounds);
	make_probes(keys, count);
	snprintf(name, sizeof name, "hot, %u entries", count);
	MICRO_TIME(each_ns, i, HOT_CALLS, find(leaf, probe_after(i, micro_sum)));
	report("leaf_find", name, each_ns);
	MICRO_TIME(each_ns, i, HOT_CALLS, lower_bound(leaf, probe_after(i, micro_sum)));
	report("leaf_lower_bound", name, each_ns);
	MICRO_TIME(each_ns, i, HOT_CALLS, walk(leaf, probe_after(i, micro_sum)));
	report("version_walk", name, each_ns);
	for (unsigned i = 0; i < 8; i++)
		head = put(&keys[i], head);
	make_probes(keys + 8, count - 8);
	MICRO_TIME(each_ns, i, HOT_CALLS, walk(head, probe_after(i, micro_sum)));
	snprintf(name, sizeof name, "hot, %u entries, 8 deltas, key in the base page", count);
	report("version_walk", name, each_ns);
	make_probes(keys, 8);
	MICRO_TIME(each_ns, i, HOT_CALLS, walk(head, probe_after(i, micro_sum)));
	snprintf(name, sizeof name, "hot, %u entries, 8 deltas, key in a delta", count);
	report("version_walk", name, each_ns);
}

/* Separators of leaves of LEAF_KEYS keys; keys looked for are not among them. */
static arena_off make_inner(const struct key8 *keys, unsigned count,
                            const struct page_bounds *bounds, page_id first)
{
	static uint8_t separators[ENTRIES_MAX][8];
	struct inner_entry entries[ENTRIES_MAX];
	arena_off off;
	size_t size;

	entries[0] = (struct inner_entry){key_ref_of(bounds->low), first};
	for (unsigned i = 1; i < count; i++) {
		const struct key_ref left = key_ref_of(slice_of(&keys[i * LEAF_KEYS - 1]));
		const struct key_ref right = key_ref_of(slice_of(&keys[i * LEAF_KEYS]));
		const uint32_t separator_size = separator_between(&left, &right, separators[i]);

		entries[i] = (struct inner_entry){
			key_ref_of((struct bwt_slice){separators[i], separator_size}), first + i};
	}
	size = inner_size(entries, count, bounds);
	inner_build(arena_take(size, &off), size, entries, count, 1, bounds, 1, 1, 160);
	return off;
}

static uint64_t search(arena_off head, const struct probe *probe)
{
	return inner_search((const void *)(arena + head), slice_of(&probe->key), false);
}

static uint64_t covers(arena_off head, const struct probe *probe)
{
	return base_covers((const void *)(arena + head), slice_of(&probe->key));
}

static uint64_t descend(arena_off head, const struct probe *probe)
{
	return index_search(arena, head, slice_of(&probe->key), false, NULL);
}

static arena_off put_index(const struct key8 *low, const struct key8 *high, arena_off below)
{
	const struct block_head *under = (const void *)(arena + below);
	arena_off off;
	void *to = arena_take(index_delta_size(slice_of(low), slice_of(high)), &off);
	struct index_spec spec = {BLOCK_INDEX_INSERT, slice_of(low), slice_of(high), 9};

	index_delta_build(to, &spec, 1, 1, under, below, 320);
	return off;
}

static void measure_inner(void)
{
	const unsigned count = CHILD_COUNT * LEAF_KEYS;
	struct key8 *keys = calloc(count, sizeof *keys);
	struct page_bounds bounds;
	arena_off inner, head;
	double each_ns;

	if (keys == NULL)
		abort();
	make_keys(keys, count);
	bounds = (struct page_bounds){slice_of(&keys[0]), slice_of(&keys[count - 1]), 9};
	head = inner = make_inner(keys, CHILD_COUNT, &bounds, 1);
	make_probes(keys, count - 1);
	MICRO_TIME(each_ns, i, HOT_CALLS, search(inner, probe_after(i, micro_sum)));
	report("inner_search", "hot, 250 children", each_ns);
	MICRO_TIME(each_ns, i, HOT_CALLS, covers(inner, probe_after(i, micro_sum)));
	report("base_covers", "hot, 250 children", each_ns);
	for (unsigned i = 0; i < 4; i++)
		head = put_index(&keys[1000 * i + 40], &keys[1000 * i + 64], head);
	MICRO_TIME(each_ns, i, HOT_CALLS, descend(head, probe_after(i, micro_sum)));
	report("index_search", "hot, 250 children, 4 deltas", each_ns);
	free(keys);
}

/* ---- building ---- */

static struct page_entry merged[ENTRIES_MAX];
static uint8_t room[ROOM] __attribute__((aligned(64)));

static uint64_t merge(arena_off head)
{
	return chain_merge(arena, head, merged);
}

/* What consolidation does with a merge, all words committed: the newest version of each key stays. */
static unsigned prune(unsigned count)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < count; i++) {
		if (kept != 0 && key_ref_compare(&merged[kept - 1].key, &merged[i].key) == 0)
			continue;
		if (merged[i].word != NULL)
			merged[i].lsn =
				word_lsn(atomic_load_explicit(merged[i].word, memory_order_acquire));
		merged[kept++] = merged[i];
	}
	return kept;
}

static uint64_t build(unsigned count)
{
	const struct page_bounds bounds = {.low = {"", 0}};
	const size_t size = leaf_size(merged, count, &bounds);

	leaf_build((void *)room, size, merged, count, &bounds, 1, 1, 160);
	return size;
}

static uint64_t consolidate(arena_off head)
{
	return build(prune(chain_merge(arena, head, merged)));
}

static uint64_t prepend(const struct probe *probe, arena_off below)
{
	const struct block_head *under = (const void *)(arena + below);
	const struct version_spec spec = {slice_of(&probe->key), probe->hash, value, VALUE_SIZE, 0};

	leaf_delta_build((void *)room, &spec, 1, 1, under, below, word_make(WORD_PENDING, 0), 320);
	return ((const struct block_head *)(const void *)room)->size;
}

static void measure_building(unsigned count, unsigned deltas)
{
	const struct page_bounds bounds = {.low = {"", 0}};
	struct key8 keys[ENTRIES_MAX];
	const struct block_head *leaf;
	arena_off head;
	unsigned kept;
	double each_ns;
	char name[64];

	make_keys(keys, count);
	head = make_leaf(keys, count, &bounds);
	leaf = (const void *)(arena + head);
	make_probes(keys, count);
	snprintf(name, sizeof name, "%u bytes", leaf->size);
	MICRO_TIME(each_ns, i, BUILD_CALLS,
	           page_check_block(leaf, leaf->size + (micro_sum >> 63)) == NULL);
	report("page_check_block", name, each_ns);
	for (unsigned i = 0; i < deltas; i++)
		head = put(&keys[random_below(&randoms, count)], head);
	snprintf(name, sizeof name, "%u bytes, %u deltas", leaf->size, deltas);
	MICRO_TIME(each_ns, i, BUILD_CALLS, prepend(probe_after(i, micro_sum), head));
	report("leaf_delta_build", name, each_ns);
	MICRO_TIME(each_ns, i, BUILD_CALLS, merge(head + (micro_sum >> 63)));
	report("chain_merge", name, each_ns);
	kept = prune((unsigned)merge(head));
	MICRO_TIME(each_ns, i, BUILD_CALLS, build(kept + (unsigned)(micro_sum >> 63)));
	report("leaf_build", name, each_ns);
	MICRO_TIME(each_ns, i, BUILD_CALLS, consolidate(head + (micro_sum >> 63)));
	report("merge, prune, build", name, each_ns);
}

/* ---- cold ---- */

static arena_off *inners, *leaves;
static struct key8 *all_keys;

static void make_tree(void)
{
	const unsigned count = LEAF_COUNT * LEAF_KEYS, inner_count = LEAF_COUNT / CHILD_COUNT;

	all_keys = malloc(count * sizeof *all_keys);
	leaves = malloc(LEAF_COUNT * sizeof *leaves);
	inners = malloc(inner_count * sizeof *inners);
	if (all_keys == NULL || leaves == NULL || inners == NULL)
		abort();
	for (unsigned i = 0; i < count; i++)
		all_keys[i] = key_of(random_next(&randoms));
	qsort(all_keys, count, sizeof *all_keys, compare_keys);
	for (unsigned i = 0; i < LEAF_COUNT; i++) {
		const struct key8 *first = &all_keys[i * LEAF_KEYS];
		struct page_bounds bounds = {slice_of(first), {NULL, 0}, 0};

		if (i + 1 < LEAF_COUNT) {
			bounds.high = slice_of(first + LEAF_KEYS);
			bounds.right = 9;
		}
		leaves[i] = make_leaf(first, LEAF_KEYS, &bounds);
	}
	for (unsigned i = 0; i < inner_count; i++) {
		const unsigned first = i * CHILD_COUNT * LEAF_KEYS;
		const struct page_bounds bounds = {
			slice_of(&all_keys[first]),
			slice_of(&all_keys[first + CHILD_COUNT * LEAF_KEYS]), 9};

		inners[i] = make_inner(&all_keys[first], CHILD_COUNT, &bounds, i * CHILD_COUNT);
	}
}

/* The keys to look for, in a row: getting them costs no miss. */
struct cold_probe {
	struct probe probe;
	uint32_t inner;
};

static struct cold_probe *make_cold_probes(void)
{
	const uint64_t known = (uint64_t)(LEAF_COUNT / CHILD_COUNT) * CHILD_COUNT * LEAF_KEYS;
	struct cold_probe *cold = malloc(COLD_CALLS * sizeof *cold);

	if (cold == NULL)
		abort();
	for (unsigned i = 0; i < COLD_CALLS; i++) {
		const uint64_t index = random_below(&randoms, known);

		cold[i].probe.key = all_keys[index];
		cold[i].probe.hash = key_hash(slice_of(&all_keys[index]));
		cold[i].inner = (uint32_t)(index / LEAF_KEYS / CHILD_COUNT);
	}
	return cold;
}

static uint64_t lookup(const struct cold_probe *cold, uint64_t sum)
{
	const arena_off inner = inners[cold->inner + (sum >> 63)];
	arena_off leaf;

	if (!covers(inner, &cold->probe))
		abort();
	leaf = leaves[descend(inner, &cold->probe)];
	if (!covers(leaf, &cold->probe))
		abort();
	return walk(leaf, &cold->probe);
}

static void measure_tree(void)
{
	struct cold_probe *cold;
	double each_ns;

	make_tree();
	cold = make_cold_probes();
	for (enum search_level level = SEARCH_SCALAR; level <= SEARCH_AVX512; level++) {
		char name[64];

		if (search_select(level) != level)
			continue;
		MICRO_TIME(each_ns, i, COLD_CALLS, lookup(&cold[i], micro_sum));
		snprintf(name, sizeof name, "cold, level %d, one after the other", (int)level);
		report("lookup", name, each_ns);
		MICRO_TIME(each_ns, i, COLD_CALLS, lookup(&cold[i], 0));
		snprintf(name, sizeof name, "cold, level %d, overlapping", (int)level);
		report("lookup", name, each_ns);
	}
	free(cold);
}

int main(void)
{
	arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		return EXIT_FAILURE;
	(void)madvise(arena, ARENA_SIZE, MADV_HUGEPAGE); /* where it is refused the rows are slower */
	random_init(&randoms, 1, 1);
	measure_leaf(32);
	measure_leaf(64);
	measure_inner();
	measure_building(32, 12);
	measure_building(64, 12);
	measure_tree();
	return EXIT_SUCCESS;
}
