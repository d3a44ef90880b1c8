/* SPDX-License-Identifier: MIT */
/*
 * bench_keys.c - record number to key and value, and back to "is this value right?"
 */
#include "bench_keys.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench_random.h"

#define VERSIONED_SIZE 16  /* values from here on carry their version */
#define FILLER_SLACK 4096u /* versions start their filler at different places of the pool */

static const unsigned char text_prefix[4] = {'u', 's', 'e', 'r'};

int keys_init(struct keys *keys, bool ordered, uint32_t key_size, uint32_t value_size, uint64_t seed)
{
	const size_t size = (size_t)value_size + FILLER_SLACK;
	struct random random;

	keys->ordered = ordered;
	keys->key_size = key_size;
	keys->value_size = value_size;
	keys->value_least = 0;
	keys->prefix = NULL;
	keys->prefix_size = 0;
	keys->filler = malloc(size);
	if (keys->filler == NULL)
		return -ENOMEM;
	random_init(&random, seed, 0);
	for (size_t i = 0; i < size; i++)
		keys->filler[i] = (unsigned char)random_next(&random);
	return 0;
}

void keys_deinit(struct keys *keys)
{
	free(keys->filler);
	keys->filler = NULL;
}

uint64_t keys_use_prefix(struct keys *keys, const char *prefix)
{
	uint64_t limit = 1;

	keys->prefix = prefix;
	keys->prefix_size = (uint32_t)strlen(prefix);
	for (uint32_t i = keys->prefix_size; i < keys->key_size && limit <= UINT64_MAX / 10; i++)
		limit *= 10;
	return limit;
}

/* Decimal, with leading zeros, behind the first @from bytes. */
static void put_digits(const struct keys *keys, uint32_t from, uint64_t number, unsigned char *key)
{
	for (uint32_t i = keys->key_size; i > from; i--) {
		key[i - 1] = (unsigned char)('0' + number % 10);
		number /= 10;
	}
}

void keys_key(const struct keys *keys, uint64_t record, unsigned char *key)
{
	uint64_t number = keys->ordered ? record : random_mix(record);
	uint64_t big_endian;

	if (keys->prefix != NULL) {
		memcpy(key, keys->prefix, keys->prefix_size);
		put_digits(keys, keys->prefix_size, record, key);
		return;
	}
	if (keys->key_size < KEYS_TEXT_SIZE) {
		big_endian = htobe64(number);
		memset(key, 'k', keys->key_size - sizeof big_endian);
		memcpy(key + keys->key_size - sizeof big_endian, &big_endian, sizeof big_endian);
		return;
	}
	memcpy(key, text_prefix, sizeof text_prefix);
	put_digits(keys, sizeof text_prefix, number, key);
}

uint32_t keys_value_size(const struct keys *keys, const unsigned char *key)
{
	uint32_t doublings = 0, low;
	uint64_t lot;

	while (keys->value_least > 0 && keys->value_least <= keys->value_size >> (doublings + 1))
		doublings++;
	if (doublings == 0)
		return keys->value_size;
	memcpy(&lot, key + keys->key_size - sizeof lot, sizeof lot);
	lot = random_mix(~lot);
	low = keys->value_least << lot % doublings;
	return low + (uint32_t)((lot >> 16) % low);
}

uint64_t keys_total(const struct keys *keys, uint64_t count)
{
	unsigned char key[KEYS_SIZE_MAX];
	uint64_t total = count * keys->key_size;

	if (keys->value_least == 0)
		return total + count * keys->value_size;
	for (uint64_t i = 0; i < count; i++) {
		keys_key(keys, i, key);
		total += keys_value_size(keys, key);
	}
	return total;
}

static uint64_t check_word(const unsigned char *key, uint32_t key_size, uint64_t version)
{
	uint64_t tail;

	memcpy(&tail, key + key_size - sizeof tail, sizeof tail);
	return random_mix(tail ^ (version << 1));
}

void keys_value(const struct keys *keys, const unsigned char *key, uint64_t version,
                unsigned char *value)
{
	const uint32_t size = keys_value_size(keys, key);
	uint64_t check;

	if (size < VERSIONED_SIZE) {
		check = check_word(key, keys->key_size, 0);
		memset(value, 0, size);
		memcpy(value, &check, size < sizeof check ? size : sizeof check);
		return;
	}
	check = check_word(key, keys->key_size, version);
	memcpy(value, &check, sizeof check);
	memcpy(value + sizeof check, &version, sizeof version);
	memcpy(value + VERSIONED_SIZE, keys->filler + version % FILLER_SLACK, size - VERSIONED_SIZE);
}

bool keys_check(const struct keys *keys, struct bwt_slice key, struct bwt_slice value)
{
	uint64_t version = 0;
	uint64_t check;

	if (key.size != keys->key_size || value.size != keys_value_size(keys, key.data))
		return false;
	if (value.size >= VERSIONED_SIZE)
		memcpy(&version, (const unsigned char *)value.data + sizeof check, sizeof version);
	check = check_word(key.data, keys->key_size, version);
	/* An empty value has no bytes to point to. */
	return value.size == 0 || memcmp(value.data, &check,
	                                 value.size < sizeof check ? value.size : sizeof check) == 0;
}
