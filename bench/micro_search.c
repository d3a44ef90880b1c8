/* SPDX-License-Identifier: MIT */
/*
 * micro_search.c - search in a page, by page size, key shape and instruction set
 *
 * Why: whether SIMD pays is a question of page size and of where the page is. "hot" asks one page
 * again and again, which then lies in the nearest cache; "cold" goes through so many pages that each
 * comes from memory, where a search costs its cache misses and little else. Each search waits for the
 * one before it, as the levels of a descent do: otherwise the processor would overlap their misses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MICRO_ROUNDS 64 /* each shorter than a time slice, so that one of them is left in peace */

#include "bench_random.h"
#include "micro.h"
#include "page/base_page.h"
#include "page/search.h"

#define COLD_BYTES (256u << 20)
#define PROBE_COUNT 4096u /* a power of two */
#define HOT_CALLS (1u << 14)
#define COLD_CALLS (1u << 11)
#define COLD_PROBES (MICRO_ROUNDS * COLD_CALLS) /* no round asks again what one before has asked */
#define KEY_SIZE_MAX 24
#define ENTRIES_MAX 512
#define VALUE_SIZE 100

volatile uint64_t micro_sink;

enum key_shape {
	KEYS_BINARY = 0,
	KEYS_TEXT = 1
};

static const char *const shape_names[] = {"8-byte binary", "24-byte text"};
static const char *const level_names[] = {"scalar", "avx2", "avx512"};

struct page_set {
	struct base_page **pages;
	size_t page_count;
	uint8_t (*keys)[KEY_SIZE_MAX]; /* entry_count of each page, in page order */
	unsigned entry_count;
	uint32_t key_size;
};

struct probe {
	const struct base_page *page;
	struct bwt_slice key;
	uint32_t hash;
	void *copies; /* the keys of all probes, one piece of memory */
};

static void make_key(uint8_t *key, enum key_shape shape, uint64_t number)
{
	char text[32];

	if (shape == KEYS_BINARY) {
		for (unsigned i = 0; i < 8; i++)
			key[i] = (uint8_t)(number >> (56 - 8 * i));
		return;
	}
	snprintf(text, sizeof text, "user%020ju", (uintmax_t)number);
	memcpy(key, text, KEY_SIZE_MAX);
}

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a;
	const uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Random keys of a narrow range, as the neighbours in one page of a large store are. */
static void make_page_keys(struct page_set *set, size_t page, enum key_shape shape,
                           struct random *random)
{
	const uint64_t base = random_next(random) >> 1;
	const uint64_t range = UINT64_MAX / 10000000 * set->entry_count;
	uint64_t numbers[ENTRIES_MAX];

	for (unsigned i = 0; i < set->entry_count; i++)
		numbers[i] = base + random_below(random, range);
	qsort(numbers, set->entry_count, sizeof numbers[0], compare_numbers);
	for (unsigned i = 0; i < set->entry_count; i++)
		make_key(set->keys[page * set->entry_count + i], shape, numbers[i]);
}

static struct bwt_slice key_at(const struct page_set *set, size_t page, unsigned i)
{
	return (struct bwt_slice){set->keys[page * set->entry_count + i], set->key_size};
}

static struct base_page *build_leaf(const struct page_set *set, size_t page)
{
	static const uint8_t value[VALUE_SIZE];
	static struct page_entry entries[ENTRIES_MAX];
	const struct page_bounds bounds = {.low = {"", 0}};
	struct base_page *built;
	size_t size;

	memset(entries, 0, sizeof entries);
	for (unsigned i = 0; i < set->entry_count; i++) {
		entries[i].key = key_ref_of(key_at(set, page, i));
		entries[i].value = value;
		entries[i].value_size = VALUE_SIZE;
	}
	size = leaf_size(entries, set->entry_count, &bounds);
	built = aligned_alloc(64, (size + 63) / 64 * 64);
	if (built != NULL)
		leaf_build(built, size, entries, set->entry_count, &bounds, 1, 1, 1);
	return built;
}

static struct base_page *build_inner(const struct page_set *set, size_t page)
{
	static struct inner_entry entries[ENTRIES_MAX];
	const struct page_bounds bounds = {.low = key_at(set, page, 0)};
	struct base_page *built;
	size_t size;

	for (unsigned i = 0; i < set->entry_count; i++)
		entries[i] = (struct inner_entry){key_ref_of(key_at(set, page, i)), i + 1};
	size = inner_size(entries, set->entry_count, &bounds);
	built = aligned_alloc(64, (size + 63) / 64 * 64);
	if (built != NULL)
		inner_build(built, size, entries, set->entry_count, 1, &bounds, 1, 1, 1);
	return built;
}

static void make_set(struct page_set *set, bool leaf, enum key_shape shape, unsigned entry_count)
{
	const size_t guess = entry_count * (leaf ? VALUE_SIZE + 40u : 32u);
	struct random random;

	random_init(&random, 1, entry_count);
	set->entry_count = entry_count;
	set->key_size = shape == KEYS_BINARY ? 8 : KEY_SIZE_MAX;
	set->page_count = COLD_BYTES / guess;
	set->pages = calloc(set->page_count, sizeof *set->pages);
	set->keys = calloc(set->page_count * entry_count, sizeof *set->keys);
	if (set->pages == NULL || set->keys == NULL)
		abort();
	for (size_t page = 0; page < set->page_count; page++) {
		make_page_keys(set, page, shape, &random);
		set->pages[page] = leaf ? build_leaf(set, page) : build_inner(set, page);
		if (set->pages[page] == NULL)
			abort();
	}
}

static void free_set(struct page_set *set)
{
	for (size_t page = 0; page < set->page_count; page++)
		free(set->pages[page]);
	free(set->pages);
	free(set->keys);
}

/* Keys to look for, known beforehand: only the search is timed. */
static struct probe *make_probes(const struct page_set *set, bool hot, size_t count)
{
	struct probe *probes = calloc(count, sizeof *probes);
	uint8_t(*copies)[KEY_SIZE_MAX] = calloc(count, sizeof *copies);
	struct random random;

	if (probes == NULL || copies == NULL)
		abort();
	random_init(&random, 2, count);
	for (size_t i = 0; i < count; i++) {
		const size_t page = hot ? 0 : random_below(&random, set->page_count);
		const unsigned entry = (unsigned)random_below(&random, set->entry_count);

		memcpy(copies[i], key_at(set, page, entry).data, set->key_size);
		probes[i].page = set->pages[page];
		probes[i].key = (struct bwt_slice){copies[i], set->key_size};
		probes[i].copies = copies;
		probes[i].hash = key_hash(probes[i].key);
	}
	return probes;
}

static void free_probes(struct probe *probes)
{
	free(probes[0].copies);
	free(probes);
}

/* The next probe. @sum of all results never reaches its top bit, but the processor must wait for it. */
static const struct probe *after(const struct probe *probes, size_t mask, uint64_t i, uint64_t sum)
{
	return &probes[(i + (sum >> 63)) & mask];
}

static uint64_t find(const struct probe *probe)
{
	return (uint64_t)leaf_find(probe->page, probe->key, probe->hash);
}

static uint64_t search(const struct probe *probe)
{
	return inner_search(probe->page, probe->key, false);
}

static double time_search(const struct page_set *set, bool leaf, bool hot)
{
	const size_t count = hot ? PROBE_COUNT : COLD_PROBES;
	const uint64_t calls = hot ? HOT_CALLS : COLD_CALLS;
	struct probe *probes = make_probes(set, hot, count);
	double each_ns;

	if (leaf)
		MICRO_TIME(each_ns, i, calls,
		           find(after(probes, count - 1, micro_round * calls + i, micro_sum)));
	else
		MICRO_TIME(each_ns, i, calls,
		           search(after(probes, count - 1, micro_round * calls + i, micro_sum)));
	free_probes(probes);
	return each_ns;
}

static void measure_pages(bool leaf, enum key_shape shape, unsigned entry_count)
{
	struct page_set set;

	make_set(&set, leaf, shape, entry_count);
	for (unsigned hot = 0; hot < 2; hot++) {
		double scalar_ns = 0;

		for (enum search_level level = SEARCH_SCALAR; level <= SEARCH_AVX512; level++) {
			double each_ns;

			if (search_select(level) != level)
				continue;
			each_ns = time_search(&set, leaf, hot);
			if (level == SEARCH_SCALAR)
				scalar_ns = each_ns;
			printf("function=%s entries=%u bytes=%u keys=\"%s\" page=%s level=%s "
			       "ns=%.1f "
			       "ratio=%.2f\n",
			       leaf ? "leaf_find" : "inner_search", entry_count,
			       set.pages[0]->head.size, shape_names[shape], hot ? "hot" : "cold",
			       level_names[level], each_ns, scalar_ns / each_ns);
		}
	}
	free_set(&set);
}

/* The bare array search, random heads. */
static void measure_heads(unsigned count)
{
	static uint32_t heads[ENTRIES_MAX];
	uint64_t numbers[ENTRIES_MAX];
	uint32_t wanted[PROBE_COUNT];
	struct random random;
	double scalar_ns = 0;

	random_init(&random, 3, count);
	for (unsigned i = 0; i < count; i++)
		numbers[i] = random_next(&random) >> 32;
	qsort(numbers, count, sizeof numbers[0], compare_numbers);
	for (unsigned i = 0; i < count; i++)
		heads[i] = (uint32_t)numbers[i];
	for (unsigned i = 0; i < PROBE_COUNT; i++)
		wanted[i] = (uint32_t)random_next(&random);
	for (enum search_level level = SEARCH_SCALAR; level <= SEARCH_AVX512; level++) {
		double each_ns;

		if (search_select(level) != level)
			continue;
		MICRO_TIME(each_ns, i, HOT_CALLS,
		           search_ops()->lower_bound(heads, count,
		                                     wanted[(i + (micro_sum >> 63)) % PROBE_COUNT]));
		if (level == SEARCH_SCALAR)
			scalar_ns = each_ns;
		printf("function=lower_bound entries=%u keys=\"random heads\" page=hot level=%s "
		       "ns=%.1f "
		       "ratio=%.2f\n",
		       count, level_names[level], each_ns, scalar_ns / each_ns);
	}
}

int main(void)
{
	static const unsigned counts[] = {16, 32, 64, 128, 256, 512};

	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		measure_heads(counts[i]);
	for (enum key_shape shape = KEYS_BINARY; shape <= KEYS_TEXT; shape++) {
		for (size_t i = 0; i < 4; i++) /* leaves of 2 to 16 KiB */
			measure_pages(true, shape, counts[i]);
		for (size_t i = 1; i < sizeof counts / sizeof counts[0]; i++)
			measure_pages(false, shape, counts[i]);
	}
	return EXIT_SUCCESS;
}
