/* SPDX-License-Identifier: MIT */
/*
 * vlog_packed.c - values that are stored compressed: making them, and the values out of them
 *
 * A record of a packed value has VLOG_MAGIC_PACKED, and the reference says how many bytes are stored. Checksums are
 * of the stored bytes, so whoever only moves or checks values needs no codec.
 *
 *   VP1  A value is stored packed only if that saves an eighth of it. What does not become smaller stays as it is.
 *   VP2  Stored bytes are unpacked before their checksum is known, never beyond the memory that is for the value,
 *        and the checksum has the last word: only what has it may be of a codec that is not there.
 *
 * Up to WHOLE_MAX bytes a value is packed in memory. A larger one is packed twice: to know how much room it takes, and
 * to write it; memory is that of a block.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "log/vlog_private.h"
#include "sys/file.h"

#define WHOLE_MAX ((size_t)1 << 20)
#define GAIN_SHARE 8u /* VP1 */

/* --- Packers --- */

struct packer *vlog_packer_take(struct vlog *vlog)
{
	for (unsigned i = 0; i < VLOG_PACKERS_MAX; i++) {
		/* ACQUIRE: what the last user left in it; pairs with vlog_packer_give(). */
		struct packer *packer =
			atomic_exchange_explicit(&vlog->packers[i], NULL, memory_order_acquire);

		if (packer != NULL)
			return packer;
	}
	return packer_new();
}

void vlog_packer_give(struct vlog *vlog, struct packer *packer)
{
	for (unsigned i = 0; i < VLOG_PACKERS_MAX; i++) {
		struct packer *none = NULL;

		if (atomic_compare_exchange_strong_explicit(&vlog->packers[i], &none, packer,
		                                            memory_order_release,
		                                            memory_order_relaxed))
			return;
	}
	packer_free(packer);
}

void vlog_packers_free(struct vlog *vlog)
{
	for (unsigned i = 0; i < VLOG_PACKERS_MAX; i++)
		packer_free(atomic_load_explicit(&vlog->packers[i], memory_order_relaxed));
}

/* --- Packing --- */

/* Block after block of @value, each at @to or behind the one before (@all), to nothing but its size or to a file. */
struct packing {
	struct packer *packer;
	enum pack_codec codec;
	struct bwt_slice value;
	uint8_t *to;
	bool all;
	int fd; /* -1: none */
	uint64_t off;
	size_t limit; /* bytes that are too many */
	size_t size;  /* so far, the head included */
	uint32_t crc;
};

/* BWT_TOO_BIG: nothing is written beyond the limit, where other values lie. */
static int packed_bytes(struct packing *packing, const uint8_t *bytes, size_t size)
{
	if (size > packing->limit - packing->size)
		return BWT_TOO_BIG;
	packing->crc = crc32c(packing->crc, bytes, size);
	packing->size += size;
	if (packing->fd < 0)
		return BWT_OK;
	packing->off += size;
	return sys_file_write(packing->fd, bytes, size, packing->off - size);
}

/* BWT_TOO_BIG: it is not worth it. */
static int pack(struct packing *packing)
{
	struct pack_head head = {.size = (uint32_t)packing->value.size,
	                         .codec = (uint8_t)packing->codec};
	const uint8_t *from = packing->value.data;
	uint8_t *to = packing->to;
	int rc;

	memcpy(to, &head, sizeof head);
	rc = packed_bytes(packing, to, sizeof head);
	for (size_t left = packing->value.size, step, got; left > 0 && rc == BWT_OK; left -= step) {
		step = left < PACK_BLOCK ? left : PACK_BLOCK;
		to = packing->all ? packing->to + packing->size : packing->to;
		got = pack_block(packing->packer, packing->codec, from, step, to);
		rc = packed_bytes(packing, to, got);
		from += step;
	}
	return rc;
}

static size_t worst(size_t size)
{
	return sizeof(struct pack_head) + size +
	       (size + PACK_BLOCK - 1) / PACK_BLOCK * PACK_WORD_SIZE;
}

static size_t limit_of(size_t size)
{
	return size - size / GAIN_SHARE;
}

int vlog_pack(struct vlog *vlog, enum pack_codec codec, struct bwt_slice value,
              struct vlog_packed *packed)
{
	bool whole = value.size <= WHOLE_MAX;
	struct packing packing = {
		.codec = codec, .value = value, .all = whole, .fd = -1, .limit = limit_of(value.size)};
	int rc = BWT_TOO_BIG;

	*packed = (struct vlog_packed){.packer = vlog_packer_take(vlog), .codec = codec};
	packing.packer = packed->packer;
	if (packing.packer != NULL) {
		packed->bytes = whole && worst(value.size) > 2 * PACK_BLOCK
		                        ? malloc(worst(value.size))
		                        : NULL;
		packing.to = packed->bytes != NULL ? packed->bytes : packer_buffer(packing.packer);
		if (packed->bytes != NULL || !whole || worst(value.size) <= 2 * PACK_BLOCK)
			rc = pack(&packing);
	}
	packed->value = value;
	packed->size = (uint32_t)packing.size;
	packed->crc = packing.crc;
	packed->stored = whole ? packing.to : NULL;
	if (rc < 0)
		vlog_packed_free(vlog, packed);
	return rc;
}

int vlog_packed_write(const struct vlog_packed *packed, int fd, uint64_t off)
{
	struct packing packing = {.packer = packed->packer,
	                          .codec = packed->codec,
	                          .value = packed->value,
	                          .to = packer_buffer(packed->packer),
	                          .fd = fd,
	                          .off = off,
	                          .limit = packed->size};
	int rc = pack(&packing);

	/* Whose bytes changed under us, that one broke its own value; the file goes on. */
	if (rc == BWT_TOO_BIG || (rc == BWT_OK && packing.crc != packed->crc))
		return error_set(BWT_INVALID, "the value was changed while it was put");
	return rc;
}

void vlog_packed_free(struct vlog *vlog, struct vlog_packed *packed)
{
	free(packed->bytes);
	if (packed->packer != NULL)
		vlog_packer_give(vlog, packed->packer);
	packed->bytes = NULL;
	packed->packer = NULL;
}

/* --- Unpacking --- */

struct unpacking { /* stored bytes, as far as they were read: a stretch of a buffer, or all of them in memory */
	const struct value_ref *ref;
	struct packer *packer;
	const struct vlog_sink *sink;
	int fd; /* -1: all is there */
	uint64_t off;
	const uint8_t *at;
	size_t have; /* bytes at `at` */
	size_t unread;
	uint32_t crc;
};

/* At least @need bytes at unpacking->at, if so many are stored. */
static int fetch(struct unpacking *unpacking, size_t need)
{
	uint8_t *buffer = packer_buffer(unpacking->packer);
	size_t step = 2 * PACK_BLOCK - unpacking->have;
	int rc;

	if (unpacking->have >= need)
		return BWT_OK;
	if (unpacking->unread == 0 || need > 2 * PACK_BLOCK)
		return vlog_bad_value(unpacking->ref);
	memmove(buffer, unpacking->at, unpacking->have);
	if (step > unpacking->unread)
		step = unpacking->unread;
	rc = sys_file_read(unpacking->fd, buffer + unpacking->have, step, unpacking->off);
	if (rc < 0)
		return rc;
	unpacking->crc = crc32c(unpacking->crc, buffer + unpacking->have, step);
	unpacking->at = buffer;
	unpacking->have += step;
	unpacking->unread -= step;
	unpacking->off += step;
	return unpacking->have >= need ? BWT_OK : vlog_bad_value(unpacking->ref);
}

static void skip(struct unpacking *unpacking, size_t size)
{
	unpacking->at += size;
	unpacking->have -= size;
}

/* Whether all that is stored has its checksum, when none of it can be unpacked. */
static int check_rest(struct unpacking *unpacking)
{
	int rc = BWT_OK;

	while (unpacking->unread > 0 && rc == BWT_OK) {
		unpacking->have = 0;
		rc = fetch(unpacking, 1);
	}
	return rc == BWT_OK && unpacking->crc != unpacking->ref->crc ? vlog_bad_value(unpacking->ref)
	                                                             : rc;
}

static int take_head(struct unpacking *unpacking, struct pack_head *head)
{
	const struct value_ref *ref = unpacking->ref;
	int rc = fetch(unpacking, sizeof *head);

	if (rc < 0)
		return rc;
	memcpy(head, unpacking->at, sizeof *head);
	skip(unpacking, sizeof *head);
	if (head->size != ref->size)
		return vlog_bad_value(ref);
	if (head->codec != PACK_NONE && pack_has((enum pack_codec)head->codec))
		return BWT_OK;
	rc = check_rest(unpacking); /* a codec that nobody knows may be a damaged byte */
	return rc < 0 ? rc
	              : error_set(BWT_VERSION,
	                          "%016" PRIx32 ".vlog at offset %" PRIu64
	                          ": a value is compressed by %s, which this build lacks",
	                          ref->segment, ref->offset, pack_name(head->codec));
}

/* The block of the value at @done, which has @size bytes. */
static int take_block(struct unpacking *unpacking, unsigned codec, size_t done, size_t size)
{
	const struct vlog_sink *sink = unpacking->sink;
	uint8_t *to = sink->to != NULL ? (uint8_t *)sink->to + done : sink->scratch;
	uint32_t word;
	int rc = fetch(unpacking, PACK_WORD_SIZE);

	BWT_ASSERT(to != NULL);
	if (rc < 0)
		return rc;
	word = get_u32(unpacking->at);
	skip(unpacking, PACK_WORD_SIZE);
	if (pack_word_size(word) > size)
		return vlog_bad_value(unpacking->ref);
	rc = fetch(unpacking, pack_word_size(word));
	if (rc < 0)
		return rc;
	if (!unpack_block(unpacking->packer, (enum pack_codec)codec, word, unpacking->at, to, size))
		return vlog_bad_value(unpacking->ref);
	skip(unpacking, pack_word_size(word));
	if (sink->same != NULL && memcmp(to, (const uint8_t *)sink->same + done, size) != 0)
		*sink->equal = false;
	return BWT_OK;
}

static int unpack(struct unpacking *unpacking)
{
	struct pack_head head;
	int rc = take_head(unpacking, &head);

	for (size_t done = 0, step; rc == BWT_OK && done < head.size; done += step) {
		step = head.size - done < PACK_BLOCK ? head.size - done : PACK_BLOCK;
		rc = take_block(unpacking, head.codec, done, step);
	}
	if (rc == BWT_OK &&
	    (unpacking->have + unpacking->unread != 0 || unpacking->crc != unpacking->ref->crc))
		rc = vlog_bad_value(unpacking->ref);
	return rc;
}

int vlog_unpack_file(struct vlog *vlog, const struct value_ref *ref, int fd,
                     const struct vlog_sink *sink)
{
	struct unpacking unpacking = {.ref = ref,
	                              .packer = vlog_packer_take(vlog),
	                              .sink = sink,
	                              .fd = fd,
	                              .off = ref->offset + sizeof(struct vlog_record),
	                              .unread = ref->packed};
	int rc;

	if (unpacking.packer == NULL)
		return error_set(-ENOMEM, "no memory to unpack a value");
	unpacking.at = packer_buffer(unpacking.packer);
	rc = unpack(&unpacking);
	vlog_packer_give(vlog, unpacking.packer);
	return rc;
}

int vlog_unpack_bytes(struct vlog *vlog, const struct value_ref *ref, const void *stored, void *to)
{
	struct vlog_sink sink = {.to = to};
	struct unpacking unpacking = {.ref = ref,
	                              .packer = vlog_packer_take(vlog),
	                              .sink = &sink,
	                              .fd = -1,
	                              .at = stored,
	                              .have = ref->packed,
	                              .crc = crc32c(0, stored, ref->packed)};
	int rc;

	if (unpacking.packer == NULL)
		return error_set(-ENOMEM, "no memory to unpack a value");
	rc = unpack(&unpacking);
	vlog_packer_give(vlog, unpacking.packer);
	return rc;
}
