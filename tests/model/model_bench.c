/* SPDX-License-Identifier: MIT */
/*
 * model_bench.c - what every figure of the benchmark rests on: percentiles, distributions, keys
 *
 * A wrong histogram or a zipfian that is not one would make all rows wrong alike, and nobody would see it.
 * The sources are included: the benchmark is a program, not a library.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_histogram.c" /* NOLINT(bugprone-suspicious-include) */
#include "bench/bench_keys.c"      /* NOLINT(bugprone-suspicious-include) */
#include "bench/bench_random.c"    /* NOLINT(bugprone-suspicious-include) */
#include "bench/bench_series.c"    /* NOLINT(bugprone-suspicious-include) */
#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define SAMPLE_COUNT 20000u
#define RECORD_COUNT 1000u
#define DRAW_COUNT 400000u
#define VALUE_SIZE_MAX 5000u

static struct rng rng;
static struct histogram histogram;
static uint64_t sample[SAMPLE_COUNT];

static int compare_values(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a;
	const uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void set_up(void)
{
	memset(&histogram, 0, sizeof histogram);
}

static void a_percentile_is_that_of_the_sorted_sample_within_two_percent(void)
{
	static const double percents[] = {0, 1, 50, 90, 99, 99.9, 100};

	for (unsigned i = 0; i < SAMPLE_COUNT; i++) {
		sample[i] = rng_u64(&rng) >>
		            (24 + rng_below(&rng, 40)); /* 0 to 2^40, all sizes alike */
		histogram_add(&histogram, sample[i]);
	}
	qsort(sample, SAMPLE_COUNT, sizeof sample[0], compare_values);
	for (unsigned i = 0; i < sizeof percents / sizeof percents[0]; i++) {
		const double rank = ceil(percents[i] / 100 * SAMPLE_COUNT);
		const uint64_t exact = sample[rank < 1 ? 0 : (unsigned)rank - 1];
		const uint64_t got = histogram_percentile(&histogram, percents[i]);

		CU_ASSERT_TRUE(got >= exact);
		CU_ASSERT_TRUE((double)got <= (double)exact * 1.02);
	}
	CU_ASSERT_EQUAL(histogram.max, sample[SAMPLE_COUNT - 1]);
	CU_ASSERT_EQUAL(histogram_percentile(&histogram, 100), histogram.max);
}

static void an_empty_histogram_answers_zero_and_a_huge_value_is_kept_as_the_maximum(void)
{
	CU_ASSERT_EQUAL(histogram_percentile(&histogram, 50), 0);
	histogram_add(&histogram, UINT64_MAX);
	histogram_add(&histogram, 7);
	CU_ASSERT_EQUAL(histogram_percentile(&histogram, 50), 7);
	CU_ASSERT_EQUAL(histogram.max, UINT64_MAX);
	CU_ASSERT_EQUAL(histogram.total, 2);
}

static void merged_histograms_answer_as_one(void)
{
	static struct histogram parts[2];
	static struct histogram merged;

	memset(parts, 0, sizeof parts);
	memset(&merged, 0, sizeof merged);
	for (unsigned i = 0; i < SAMPLE_COUNT; i++) {
		const uint64_t value = rng_below(&rng, 1000000);

		histogram_add(&histogram, value);
		histogram_add(&parts[i % 2], value);
	}
	histogram_merge(&merged, &parts[0]);
	histogram_merge(&merged, &parts[1]);
	CU_ASSERT_EQUAL(memcmp(&merged, &histogram, sizeof merged), 0);
}

/* Rank r of n comes up with the probability r^-0.99 / zeta: compare the first few, and a tail. */
static void zipfian_ranks_come_as_often_as_they_should(void)
{
	static unsigned counts[RECORD_COUNT];
	struct random_zipf zipf;
	struct random random;

	memset(counts, 0, sizeof counts);
	random_init(&random, rng_u64(&rng), 0);
	random_zipf_init(&zipf, RECORD_COUNT);
	for (unsigned i = 0; i < DRAW_COUNT; i++) {
		const uint64_t rank = random_zipf_rank(&zipf, &random);

		CU_ASSERT_TRUE_FATAL(rank < RECORD_COUNT);
		counts[rank]++;
	}
	for (unsigned rank = 0; rank < 2; rank++) {
		const double expected = DRAW_COUNT / pow(rank + 1, RANDOM_ZIPF_THETA) / zipf.zeta;

		CU_ASSERT_TRUE(fabs(counts[rank] - expected) < expected * 0.03);
	}
	for (unsigned low = 100; low < RECORD_COUNT; low += 300) { /* Gray's method approximates here */
		double expected = 0;
		unsigned got = 0;

		for (unsigned rank = low; rank < low + 300; rank++) {
			expected += DRAW_COUNT / pow(rank + 1, RANDOM_ZIPF_THETA) / zipf.zeta;
			got += counts[rank];
		}
		CU_ASSERT_TRUE(fabs(got - expected) < expected * 0.1);
	}
}

static void the_scrambled_constants_are_those_that_summing_would_give(void)
{
	const double count = 1e10;
	const double exponent = 1 - RANDOM_ZIPF_THETA;
	struct random_zipf scrambled;
	double zeta = 0;

	/* The first million terms one by one, the rest by the Euler-Maclaurin formula. */
	for (unsigned i = 1; i < 1000000; i++)
		zeta += pow(i, -RANDOM_ZIPF_THETA);
	zeta += (pow(count, exponent) - pow(1e6, exponent)) / exponent +
	        (pow(count, -RANDOM_ZIPF_THETA) + pow(1e6, -RANDOM_ZIPF_THETA)) / 2;
	random_zipf_init_scrambled(&scrambled);
	CU_ASSERT_DOUBLE_EQUAL(scrambled.zeta, zeta, 1e-3);
}

static void scrambled_draws_stay_in_range_and_favour_few_records(void)
{
	static unsigned counts[RECORD_COUNT];
	struct random_zipf zipf;
	struct random random;
	unsigned most = 0;

	memset(counts, 0, sizeof counts);
	random_init(&random, rng_u64(&rng), 0);
	random_zipf_init_scrambled(&zipf);
	for (unsigned i = 0; i < DRAW_COUNT; i++) {
		const uint64_t record = random_zipf_scrambled(&zipf, &random, RECORD_COUNT);

		CU_ASSERT_TRUE_FATAL(record < RECORD_COUNT);
		counts[record]++;
	}
	for (unsigned i = 0; i < RECORD_COUNT; i++)
		most = counts[i] > most ? counts[i] : most;
	/* Rank 0 alone has 1 / 26.469 of all draws. */
	CU_ASSERT_TRUE(most > DRAW_COUNT / 28);
	CU_ASSERT_TRUE(most < DRAW_COUNT / 20);
}

static void uniform_draws_reach_every_record_about_equally(void)
{
	unsigned counts[100] = {0};
	struct random random;

	random_init(&random, rng_u64(&rng), 3);
	for (unsigned i = 0; i < DRAW_COUNT; i++)
		counts[random_below(&random, 100)]++;
	for (unsigned i = 0; i < 100; i++)
		CU_ASSERT_TRUE(abs((int)counts[i] - 4000) < 400);
}

static void check_keys(bool ordered, uint32_t key_size, uint32_t value_size)
{
	unsigned char key[KEYS_SIZE_MAX];
	unsigned char before[KEYS_SIZE_MAX];
	unsigned char value[VALUE_SIZE_MAX + 1];
	struct keys keys;

	CU_ASSERT_EQUAL_FATAL(keys_init(&keys, ordered, key_size, value_size, 1), 0);
	keys_key(&keys, 0, before);
	for (uint64_t record = 1; record < 300; record++) {
		struct bwt_slice key_slice = {key, key_size};
		struct bwt_slice value_slice = {value, value_size};
		int order;

		keys_key(&keys, record, key);
		order = memcmp(before, key, key_size);
		CU_ASSERT_TRUE(ordered ? order < 0 : order != 0);
		keys_value(&keys, key, rng_u64(&rng), value);
		CU_ASSERT_TRUE(keys_check(&keys, key_slice, value_slice));
		if (value_size > 0) {
			value[rng_below(&rng, value_size < 8 ? value_size : 8)] ^= 1;
			CU_ASSERT_FALSE(keys_check(&keys, key_slice, value_slice));
			keys_value(&keys, before, 0, value); /* another key's value */
			CU_ASSERT_TRUE(value_size < 8 || !keys_check(&keys, key_slice, value_slice));
		}
		value_slice.size++;
		CU_ASSERT_FALSE(keys_check(&keys, key_slice, value_slice));
		memcpy(before, key, key_size);
	}
	keys_deinit(&keys);
}

static void keys_differ_and_values_are_told_from_wrong_ones(void)
{
	static const uint32_t key_sizes[] = {8, 9, 23, 24, 40, KEYS_SIZE_MAX};
	static const uint32_t value_sizes[] = {0, 1, 7, 8, 15, 16, 17, 100, VALUE_SIZE_MAX};

	for (unsigned i = 0; i < sizeof key_sizes / sizeof key_sizes[0]; i++)
		for (unsigned j = 0; j < sizeof value_sizes / sizeof value_sizes[0]; j++) {
			check_keys(false, key_sizes[i], value_sizes[j]);
			check_keys(true, key_sizes[i], value_sizes[j]);
		}
}

static void keys_with_a_prefix_are_it_and_the_number_and_say_how_many_there_can_be(void)
{
	unsigned char key[13] = {0};
	struct keys keys;

	CU_ASSERT_EQUAL_FATAL(keys_init(&keys, false, 12, 100, 1), 0);
	CU_ASSERT_EQUAL(keys_use_prefix(&keys, "key_"), 100000000);
	keys_key(&keys, 1234, key);
	CU_ASSERT_STRING_EQUAL(key, "key_00001234");
	keys_deinit(&keys);
	CU_ASSERT_EQUAL_FATAL(keys_init(&keys, false, 100, 100, 1), 0);
	CU_ASSERT_TRUE(keys_use_prefix(&keys, "k") > UINT64_MAX / 100);
	keys_deinit(&keys);
}

/* Three threads of one run, whose timed operations come at random times: none is lost, and each is where it was. */
static void slots_of_time_get_longer_and_lose_nothing(void)
{
	static struct series parts[3];
	static struct series whole;
	uint64_t ops = 0, timed = 0;
	uint64_t most = 0;

	series_init(&whole);
	for (unsigned i = 0; i < 3; i++) {
		const uint64_t span_ns = SERIES_INTERVAL_NS * (uint64_t)SERIES_SLOTS * (i + 1);

		series_init(&parts[i]);
		for (unsigned j = 0; j < 5000; j++) {
			const uint64_t at_ns = span_ns * 2 / 5000 * j;
			const uint64_t latency_ns = rng_below(&rng, 1u << 20);

			series_add(&parts[i], at_ns, (uint64_t)(j + 1) * 16, latency_ns);
			most = latency_ns > most ? latency_ns : most;
		}
		CU_ASSERT_EQUAL(parts[i].interval_ns,
		                (i == 0 ? 2u : 4u << (i == 2)) * SERIES_INTERVAL_NS);
		series_merge(&whole, &parts[i]);
	}
	for (size_t i = 0; i < whole.used; i++) {
		ops += whole.slots[i].ops;
		timed += whole.slots[i].timed;
		CU_ASSERT_TRUE(whole.slots[i].max_ns <= most);
		CU_ASSERT_TRUE(series_percentile(&whole.slots[i], 100) == whole.slots[i].max_ns);
	}
	CU_ASSERT_EQUAL(ops, 3 * 5000 * 16);
	CU_ASSERT_EQUAL(timed, 3 * 5000);
	CU_ASSERT_TRUE(whole.used <= SERIES_SLOTS);
}

static void a_slots_percentile_is_within_a_fifth(void)
{
	struct series_slot *slot;
	static struct series series;

	series_init(&series);
	for (unsigned i = 1; i <= 10000; i++)
		series_add(&series, 1, i, i);
	slot = &series.slots[0];
	CU_ASSERT_TRUE(series_percentile(slot, 50) >= 5000 && series_percentile(slot, 50) < 6250);
	CU_ASSERT_TRUE(series_percentile(slot, 99) >= 9900 && series_percentile(slot, 99) <= 10000);
	CU_ASSERT_EQUAL(series_percentile(&series.slots[1], 99), 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_percentile_is_that_of_the_sorted_sample_within_two_percent),
		TEST(an_empty_histogram_answers_zero_and_a_huge_value_is_kept_as_the_maximum),
		TEST(merged_histograms_answer_as_one),
		TEST(zipfian_ranks_come_as_often_as_they_should),
		TEST(the_scrambled_constants_are_those_that_summing_would_give),
		TEST(scrambled_draws_stay_in_range_and_favour_few_records),
		TEST(uniform_draws_reach_every_record_about_equally),
		TEST(keys_differ_and_values_are_told_from_wrong_ones),
		TEST(slots_of_time_get_longer_and_lose_nothing),
		TEST(a_slots_percentile_is_within_a_fifth),
		TEST(keys_with_a_prefix_are_it_and_the_number_and_say_how_many_there_can_be),
		CU_TEST_INFO_NULL,
	};

	rng_init(&rng, rng_seed());
	return suite_run("bench", set_up, NULL, tests);
}
