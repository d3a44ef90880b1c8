/* SPDX-License-Identifier: MIT */
/*
 * extent_return.c - free extents that are given back to the file system, and come again when the file is to grow
 *
 *   free --extents_give_back(): a hole in the file--> gone --extents_bring_back(): allocated, populated--> free
 *                                                      |
 *                                                      +--extents_cut_tail(): behind the end--> not there
 *
 *   RE1  Only free extents go: nobody pinned reaches into them, and neither of the two checkpoints on disk (I8). To lose
 *        their bytes is as good as to overwrite them, at any instant of a crash.
 *   RE2  Whoever popped an extent owns it: no other thread uses it while its blocks go, or come.
 *   RE3  The file behind arena_size() is cut when both superblocks were written after the size went down, because what
 *        they name must be there (recovery/image_read.c). Until then the extents behind it are just not used.
 *   RE4  What is gone is no part of the file for anybody who asks how large it is: extents_bytes().
 *   RE5  What has a hole anywhere is gone, not free: on a full disk a store to it would be SIGBUS. What is gone may have
 *        blocks; to bring it back gives it those that it lacks.
 *
 * While the file is being emptied from its end (extents_set_ceiling()), what becomes free behind the ceiling is not
 * handed out again: it is gone at once, though still on the disk. Whoever finds no other way to grow takes it
 * nevertheless, and the ceiling goes up: nobody is refused space that is there.
 */
#include "mem/extent_private.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/testpoint.h"

struct id_list {
	extent_id *ids;
	uint64_t count;
	uint64_t room;
};

static int list_init(const struct extents *extents, struct id_list *list)
{
	*list = (struct id_list){.room = extents_count(extents)};
	list->ids = malloc((list->room + 1) * sizeof *list->ids);
	return list->ids == NULL ? -ENOMEM : BWT_OK;
}

static int highest_first(const void *a, const void *b)
{
	extent_id left = *(const extent_id *)a, right = *(const extent_id *)b;

	return (left < right) - (left > right);
}

static void list_sort(struct id_list *list)
{
	qsort(list->ids, list->count, sizeof *list->ids, highest_first);
}

/* All of @stack, which is empty for the others meanwhile. What came since list_init() may not fit: it goes back. */
static void list_take(struct extents *extents, _Atomic(uint64_t) *stack, struct id_list *list)
{
	uint32_t popped;

	while (list->count < list->room && (popped = extents_stack_pop(extents, stack)) != 0)
		list->ids[list->count++] = popped - 1;
}

/* The last of the list, the lowest of a sorted one, will be popped first. */
static void list_push_gone(struct extents *extents, const struct id_list *list, uint64_t from)
{
	for (uint64_t i = from; i < list->count; i++)
		extents_stack_push(extents, &extents->gone, list->ids[i]);
}

void extents_push_gone(struct extents *extents, extent_id id)
{
	extents_stack_push(extents, &extents->gone, id);
	atomic_fetch_add_explicit(&extents->gone_bytes, extent_size(id), memory_order_relaxed);
}

int extents_bring_back(struct extents *extents)
{
	uint32_t popped = extents_stack_pop(extents, &extents->gone);
	extent_id id = popped - 1;
	int rc;

	if (popped == 0)
		return BWT_NOT_FOUND;
	rc = arena_provide(extents->arena, extent_start(id), extent_size(id));
	if (rc < 0) {
		extents_stack_push(extents, &extents->gone, id);
		return rc;
	}
	if (extent_start(id) >= atomic_load_explicit(&extents->ceiling, memory_order_relaxed))
		atomic_store_explicit(&extents->ceiling, UINT64_MAX, memory_order_relaxed);
	atomic_fetch_sub_explicit(&extents->gone_bytes, extent_size(id), memory_order_relaxed);
	extents_free_push(extents, id);
	return BWT_OK;
}

/* Planted: what only the older checkpoint reaches goes, too. */
static void punch_early(struct extents *extents, struct id_list *list)
{
	uint64_t interval = atomic_load_explicit(extents->table.interval, memory_order_relaxed);

	list->count = 0;
	list_take(extents, &extents->dead, list);
	for (uint64_t i = 0; i < list->count; i++) {
		extent_id id = list->ids[i];

		if (id >= EXTENT_SMALL_COUNT && extents->side[id].died < interval &&
		    extents->side[id].epoch < epoch_oldest(extents->epoch))
			(void)arena_return(extents->arena, extent_start(id), extent_size(id));
		extents_stack_push(extents, &extents->dead, id);
	}
}

static bool without_holes(int rc)
{
	return rc == -EOPNOTSUPP || rc == -ENOSYS;
}

/*
 * The first @count of the list go. RE5: of one that failed a part may have gone. Without holes those that end the file,
 * which lies behind no other, go with their blocks. *given is added to. Returns how many are gone in *gone.
 */
static int give_back_first(struct extents *extents, const struct id_list *list, uint64_t count,
                           uint64_t *gone, uint64_t *given)
{
	uint64_t end = arena_size(extents->arena);
	int rc = BWT_OK;

	for (*gone = 0; *gone < count && rc == BWT_OK; ++*gone) {
		arena_off start = extent_start(list->ids[*gone]);

		rc = arena_return(extents->arena, start, EXTENT_SIZE);
		if (without_holes(rc)) {
			if (start + EXTENT_SIZE != end)
				return rc;
			rc = BWT_OK;
		}
		end -= EXTENT_SIZE;
		extents_push_gone(extents, list->ids[*gone]);
		*given += rc == BWT_OK ? EXTENT_SIZE : 0;
	}
	return rc;
}

int extents_give_back(struct extents *extents, uint64_t keep, uint64_t most, uint64_t *given)
{
	struct id_list list;
	int rc = list_init(extents, &list);
	uint64_t count, gone;
	uint32_t popped;

	*given = 0;
	if (rc < 0)
		return rc;
	while (list.count < list.room && (popped = extents_pop_large(extents, keep)) != 0)
		list.ids[list.count++] = popped - 1;
	list_sort(&list);
	count = most / EXTENT_SIZE < list.count ? most / EXTENT_SIZE : list.count;
	/* Nobody is to miss them meanwhile; in this order the file fills from its beginning. */
	for (uint64_t i = count; i < list.count; i++)
		extents_free_push(extents, list.ids[i]);
	rc = give_back_first(extents, &list, count, &gone, given);
	for (uint64_t i = gone; i < count; i++)
		extents_free_push(extents, list.ids[i]);
	if (TEST_FAULT("extent_punch_early"))
		punch_early(extents, &list);
	free(list.ids);
	return rc;
}

int extents_set_ceiling(struct extents *extents, uint64_t ceiling)
{
	struct id_list list;
	int rc = list_init(extents, &list);
	uint32_t popped;

	if (rc < 0)
		return rc;
	atomic_store_explicit(&extents->ceiling, ceiling, memory_order_relaxed);
	while (list.count < list.room && (popped = extents_pop_large(extents, 0)) != 0)
		list.ids[list.count++] = popped - 1;
	list_sort(&list);
	for (uint64_t i = 0; i < list.count; i++)
		extents_free_push(extents, list.ids[i]);
	free(list.ids);
	return BWT_OK;
}

int extents_lift_ceiling(struct extents *extents)
{
	struct id_list list;
	int rc = list_init(extents, &list);
	uint64_t i = 0;

	atomic_store_explicit(&extents->ceiling, UINT64_MAX, memory_order_relaxed);
	if (rc < 0)
		return rc;
	list_take(extents, &extents->gone, &list);
	list_sort(&list);
	while (i < list.count && rc == BWT_OK) {
		rc = arena_return(extents->arena, extent_start(list.ids[i]), EXTENT_SIZE);
		i += rc == BWT_OK;
	}
	/* What failed may be a hole in part, and those behind it were holes before, perhaps (RE5). */
	if (!without_holes(rc))
		i = list.count;
	for (uint64_t rest = i; rest < list.count; rest++) {
		atomic_fetch_sub_explicit(&extents->gone_bytes, EXTENT_SIZE, memory_order_relaxed);
		extents_free_push(extents, list.ids[rest]);
	}
	list.count = i;
	list_push_gone(extents, &list, 0);
	free(list.ids);
	return rc;
}

/*
 * The file ends at @end: no image has words of what lies behind. false: no memory, or the file has grown meanwhile, so
 * that this was not its end.
 */
static bool leave_tail(struct extents *extents, struct epoch_slot *slot, uint64_t size, uint64_t end)
{
	extent_id first = extent_of(end), last = extent_of(size - 1);
	bool done = true;

	gate_enter(slot);
	for (extent_id id = first; id <= last && done; id++)
		done = cow_touch(&extents->table, id);
	for (extent_id id = first; id <= last && done; id++)
		atomic_store_explicit(&extents->table.words[id], 0, memory_order_relaxed);
	done = done && arena_shrink(extents->arena, size, end);
	gate_leave(slot);
	epoch_unpin(slot);
	return done;
}

uint64_t extents_cut_tail(struct extents *extents, struct epoch_slot *slot)
{
	uint64_t size = arena_size(extents->arena), end = size, tail = 0;
	struct id_list list;

	if (list_init(extents, &list) < 0)
		return 0;
	list_take(extents, &extents->gone, &list);
	list_sort(&list);
	while (tail < list.count && end > EXTENT_SIZE &&
	       extent_start(list.ids[tail]) + EXTENT_SIZE == end) {
		end -= EXTENT_SIZE;
		tail++;
	}
	if (tail > 0 && !leave_tail(extents, slot, size, end))
		tail = 0;
	atomic_fetch_sub_explicit(&extents->gone_bytes, tail * EXTENT_SIZE, memory_order_relaxed);
	list_push_gone(extents, &list, tail);
	free(list.ids);
	return tail * EXTENT_SIZE;
}
