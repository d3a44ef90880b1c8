/* SPDX-License-Identifier: MIT */
/*
 * delta.c - lay out deltas and read their parts
 */
#include "page/delta.h"

#include "base/assert.h"
#include "page/page_bytes.h"

static_assert(offsetof(struct leaf_delta, lsn_word) == LEAF_DELTA_WORD_OFF,
              "block.c skips this word");
static_assert(offsetof(struct leaf_delta, older) == 0x40, "arena layout");
static_assert(offsetof(struct index_delta, bytes) == 0x40, "arena layout");

/* Bytes of the chain index of a delta that is the newest of @chain. */
static size_t chain_index_size(unsigned chain)
{
	return (chain - 1) * sizeof(arena_off) + chain;
}

size_t leaf_delta_size(const struct version_spec *spec, unsigned chain_below)
{
	return round_up(sizeof(struct leaf_delta) + chain_index_size(chain_below + 1) +
	                        spec->key.size + spec->value_size,
	                BLOCK_ALIGN);
}

/* Write the index of the whole chain (D3); returns its end. */
static uint8_t *index_fill(struct leaf_delta *to, const struct block_head *below,
                           arena_off below_off, unsigned chain, uint32_t hash)
{
	uint8_t *fingerprints = (uint8_t *)(to->older + chain - 1);

	fingerprints[0] = (uint8_t)hash;
	if (chain > 1) {
		const struct leaf_delta *next = (const struct leaf_delta *)(const void *)below;

		BWT_ASSERT(below->tag == BLOCK_PUT || below->tag == BLOCK_DELETE);
		to->older[0] = below_off;
		memcpy(to->older + 1, next->older, (chain - 2) * sizeof(arena_off));
		memcpy(fingerprints + 1, leaf_delta_fingerprints(next), chain - 1);
		to->base = next->base;
	} else {
		BWT_ASSERT(below->tag == BLOCK_LEAF);
		to->base = below_off;
	}
	return fingerprints + chain;
}

void leaf_delta_build(struct leaf_delta *to, const struct version_spec *spec, page_id page,
                      uint32_t tree, const struct block_head *below, arena_off below_off,
                      uint64_t word, uint64_t clock)
{
	unsigned chain = below->chain + 1u;
	size_t size = leaf_delta_size(spec, below->chain);
	uint8_t *at;

	BWT_ASSERT(chain <= DELTA_CHAIN_MAX);
	BWT_ASSERT(spec->key.size <= BWT_KEY_MAX && size <= BLOCK_SIZE_MAX);
	to->head = (struct block_head){
		.size = (uint32_t)size,
		.tag = (spec->flags & VERSION_TOMBSTONE) != 0 ? BLOCK_DELETE : BLOCK_PUT,
		.flags = spec->flags,
		.chain = (uint16_t)chain,
		.tree = tree,
		.page = page,
		.lsn = clock,
	};
	/* Nobody else sees the block yet: the swap that installs it is what orders this store. */
	atomic_store_explicit(&to->lsn_word, word, memory_order_relaxed);
	to->hash = spec->hash;
	to->value_size = spec->value_size;
	to->key_size = (uint16_t)spec->key.size;
	memset(to->reserved, 0, sizeof to->reserved);
	at = index_fill(to, below, below_off, chain, spec->hash);
	if (spec->key.size != 0)
		memcpy(at, spec->key.data, spec->key.size);
	at += spec->key.size;
	if (spec->value_size != 0)
		memcpy(at, spec->value, spec->value_size);
	at += spec->value_size;
	memset(at, 0, (size_t)((uint8_t *)to + size - at));
	block_seal(&to->head, LEAF_DELTA_WORD_OFF);
}

const uint8_t *leaf_delta_fingerprints(const struct leaf_delta *delta)
{
	return (const uint8_t *)(delta->older + delta->head.chain - 1);
}

struct bwt_slice leaf_delta_key(const struct leaf_delta *delta)
{
	return (struct bwt_slice){leaf_delta_fingerprints(delta) + delta->head.chain,
	                          delta->key_size};
}

const void *leaf_delta_value(const struct leaf_delta *delta)
{
	return leaf_delta_fingerprints(delta) + delta->head.chain + delta->key_size;
}

size_t index_delta_size(struct bwt_slice low, struct bwt_slice high)
{
	return round_up(sizeof(struct index_delta) + low.size + high.size, BLOCK_ALIGN);
}

arena_off delta_below(const struct block_head *delta)
{
	const void *bytes = delta;

	if (tag_is_index(delta->tag))
		return ((const struct index_delta *)bytes)->older;
	return delta->chain > 1 ? ((const struct leaf_delta *)bytes)->older[0]
	                        : ((const struct leaf_delta *)bytes)->base;
}

void index_delta_build(struct index_delta *to, const struct index_spec *spec, page_id page,
                       uint32_t tree, const struct block_head *below, arena_off below_off,
                       uint64_t clock)
{
	struct bwt_slice low = spec->low, high = spec->high;
	size_t size = index_delta_size(low, high);
	uint8_t *at = to->bytes;

	BWT_ASSERT(below->chain < DELTA_CHAIN_MAX);
	BWT_ASSERT(low.size != 0 && low.size <= BWT_KEY_MAX && high.size <= BWT_KEY_MAX);
	BWT_ASSERT(high.data != NULL || high.size == 0);
	BWT_ASSERT(high.data == NULL || key_compare(low, high) < 0);
	BWT_ASSERT(tag_is_index((uint8_t)spec->tag) && spec->child != 0 && spec->child <= UINT32_MAX);
	to->head = (struct block_head){
		.size = (uint32_t)size,
		.tag = (uint8_t)spec->tag,
		.chain = (uint16_t)(below->chain + 1u),
		.tree = tree,
		.page = page,
		.lsn = clock,
	};
	to->older = below_off;
	to->base = below->chain == 0 ? below_off
	                             : ((const struct index_delta *)(const void *)below)->base;
	to->child = spec->child;
	to->low_size = (uint16_t)low.size;
	to->high_size = (uint16_t)high.size;
	to->high_infinite = high.data == NULL;
	memset(to->reserved, 0, sizeof to->reserved);
	memcpy(at, low.data, low.size);
	at += low.size;
	if (high.size != 0)
		memcpy(at, high.data, high.size);
	at += high.size;
	memset(at, 0, (size_t)((uint8_t *)to + size - at));
	block_seal(&to->head, 0);
}

struct bwt_slice index_delta_low(const struct index_delta *delta)
{
	return (struct bwt_slice){delta->bytes, delta->low_size};
}

struct bwt_slice index_delta_high(const struct index_delta *delta)
{
	if (delta->high_infinite)
		return (struct bwt_slice){NULL, 0};
	return (struct bwt_slice){delta->bytes + delta->low_size, delta->high_size};
}
