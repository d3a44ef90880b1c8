/* SPDX-License-Identifier: MIT */
/*
 * disk.c - pages, files and names of a simulated disk, and syncing them (rules in the header)
 */
#include "tests/sim/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/disk_page.h"

static const uint8_t zeroes[DISK_PAGE];
static struct page *spare_pages; /* linked through their bytes */

/* ---- memory ---- */

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);

void *sim_alloc(size_t size)
{
	void *memory = __real_calloc(1, size + 1);

	if (memory == NULL)
		abort();
	return memory;
}

void *sim_resize(void *memory, size_t size)
{
	memory = __real_realloc(memory, size + 1);
	if (memory == NULL)
		abort();
	return memory;
}

void sim_free(void *memory)
{
	free(memory);
}

/* ---- pages ---- */

struct page *page_new(const uint8_t *bytes)
{
	struct page *page = spare_pages;

	if (page != NULL)
		memcpy(&spare_pages, page->bytes, sizeof spare_pages);
	else
		page = sim_alloc(sizeof *page);
	page->refs = 1;
	memcpy(page->bytes, bytes, DISK_PAGE);
	return page;
}

void page_drop(struct page *page)
{
	if (page == NULL || --page->refs > 0)
		return;
	memcpy(page->bytes, &spare_pages, sizeof spare_pages);
	spare_pages = page;
}

void disk_pages_free(void)
{
	while (spare_pages != NULL) {
		struct page *page = spare_pages;

		memcpy(&spare_pages, page->bytes, sizeof spare_pages);
		sim_free(page);
	}
}

const uint8_t *page_bytes(const struct page *page)
{
	return page == NULL ? zeroes : page->bytes;
}

/* ---- disks and files ---- */

struct inode *inode_new(struct disk *disk, bool is_dir)
{
	struct inode *inode = sim_alloc(sizeof *inode);

	inode->disk = disk;
	inode->is_dir = is_dir;
	inode->next = disk->inodes;
	disk->inodes = inode;
	return inode;
}

struct disk *disk_new(void)
{
	struct disk *disk = sim_alloc(sizeof *disk);

	disk->root = inode_new(disk, true);
	return disk;
}

static void states_free(struct inode *inode, uint64_t page)
{
	struct states *states = inode->states[page];

	for (unsigned i = 0; i < states->count; i++)
		page_drop(states->page[i]);
	sim_free(states->settled);
	sim_free(states);
	inode->states[page] = NULL;
}

void disk_free(struct disk *disk)
{
	struct inode *inode, *next;

	if (disk == NULL)
		return;
	sim_free(disk->flushed);
	for (inode = disk->inodes; inode != NULL; inode = next) {
		next = inode->next;
		for (uint32_t i = 0; i < inode->dirty_count; i++)
			states_free(inode, inode->dirty[i]);
		for (uint64_t i = 0; i < inode->room; i++) {
			page_drop(inode->now[i]);
			page_drop(inode->durable[i]);
		}
		sim_free(inode->now);
		sim_free(inode->durable);
		sim_free(inode->states);
		sim_free(inode->dirty);
		sim_free(inode->entries);
		sim_free(inode->durable_entries);
		sim_free(inode->changes);
		sim_free(inode);
	}
	sim_free(disk);
}

uint64_t disk_bytes(const struct disk *disk)
{
	uint64_t bytes = 0;

	for (const struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
		bytes += inode->size;
	return bytes;
}

static void *more(void *array, uint64_t old_count, uint64_t count, size_t size)
{
	uint8_t *fresh = sim_resize(array, (size_t)count * size);

	memset(fresh + old_count * size, 0, (size_t)(count - old_count) * size);
	return fresh;
}

void inode_make_room(struct inode *inode, uint64_t size)
{
	uint64_t pages = (size + DISK_PAGE - 1) / DISK_PAGE;

	if (pages <= inode->room)
		return;
	if (pages < inode->room * 2)
		pages = inode->room * 2;
	inode->now = more(inode->now, inode->room, pages, sizeof *inode->now);
	inode->durable = more(inode->durable, inode->room, pages, sizeof *inode->durable);
	inode->states = more(inode->states, inode->room, pages, sizeof *inode->states);
	inode->room = pages;
}

/* Page @index is @page from now on, which is given to the file. */
static void push_state(struct inode *inode, uint64_t index, struct page *page)
{
	struct states *states = inode->states[index];

	if (states == NULL) {
		if (inode->dirty_count == inode->dirty_room) {
			inode->dirty_room = inode->dirty_room * 2 + 16;
			inode->dirty =
				sim_resize(inode->dirty, inode->dirty_room * sizeof *inode->dirty);
		}
		inode->dirty[inode->dirty_count++] = (uint32_t)index;
		states = inode->states[index] = sim_alloc(sizeof *states);
		states->since = inode->disk->clock;
	}
	if (states->count == DISK_STATES) { /* every second one stays */
		states->count = 0;
		for (unsigned i = 0; i < DISK_STATES; i++) {
			if (i % 2 == 0) {
				page_drop(states->page[i]);
				continue;
			}
			states->page[states->count] = states->page[i];
			states->time[states->count++] = states->time[i];
		}
	}
	states->page[states->count] = page_hold(page);
	states->time[states->count++] = ++inode->disk->clock;
	page_drop(inode->now[index]);
	inode->now[index] = page;
}

static void set_size(struct inode *inode, uint64_t size)
{
	if (size == inode->size)
		return;
	if (inode->size_count == DISK_STATES) {
		memmove(inode->sizes, inode->sizes + 1, sizeof inode->sizes - sizeof *inode->sizes);
		memmove(inode->size_times, inode->size_times + 1,
		        sizeof inode->size_times - sizeof *inode->size_times);
		inode->size_count--;
	}
	inode->sizes[inode->size_count] = size;
	inode->size_times[inode->size_count++] = ++inode->disk->clock;
	inode->size = size;
}

void inode_read(const struct inode *inode, void *to, size_t size, uint64_t off)
{
	uint8_t *bytes = to;

	if (inode->memory != NULL) {
		memcpy(to, inode->memory + off, size);
		return;
	}
	while (size > 0) {
		size_t at = off % DISK_PAGE;
		size_t step = DISK_PAGE - at < size ? DISK_PAGE - at : size;

		memcpy(bytes, page_bytes(inode->now[off / DISK_PAGE]) + at, step);
		bytes += step;
		off += step;
		size -= step;
	}
}

void inode_read_direct(const struct inode *inode, void *to, size_t size, uint64_t off)
{
	uint8_t *bytes = to;

	while (size > 0) {
		uint64_t index = off / DISK_PAGE;
		size_t at = off % DISK_PAGE;
		size_t step = DISK_PAGE - at < size ? DISK_PAGE - at : size;

		if (inode->states[index] != NULL)
			inode_read(inode, bytes, step, off); /* written out first */
		else
			memcpy(bytes, page_bytes(inode->durable[index]) + at, step);
		bytes += step;
		off += step;
		size -= step;
	}
}

void inode_write(struct inode *inode, const void *from, size_t size, uint64_t off)
{
	const uint8_t *bytes = from;

	inode_make_room(inode, off + size);
	if (inode->memory != NULL) {
		memcpy(inode->memory + off, from, size);
		inode_look(inode);
	}
	while (inode->memory == NULL && size > 0) {
		size_t at = off % DISK_PAGE;
		size_t step = DISK_PAGE - at < size ? DISK_PAGE - at : size;
		struct page *page;

		if (step == DISK_PAGE && memcmp(bytes, zeroes, DISK_PAGE) == 0) {
			page = NULL;
		} else {
			page = page_new(page_bytes(inode->now[off / DISK_PAGE]));
			memcpy(page->bytes + at, bytes, step);
		}
		push_state(inode, off / DISK_PAGE, page);
		bytes += step;
		off += step;
		size -= step;
	}
	if (off + size > inode->size)
		set_size(inode, off + size);
}

void inode_resize(struct inode *inode, uint64_t size)
{
	inode_make_room(inode, size);
	for (uint64_t i = (size + DISK_PAGE - 1) / DISK_PAGE; i < inode->room; i++) {
		if (inode->now[i] != NULL)
			push_state(inode, i, NULL);
	}
	if (size % DISK_PAGE != 0 && size < inode->size && inode->now[size / DISK_PAGE] != NULL) {
		struct page *page = page_new(page_bytes(inode->now[size / DISK_PAGE]));

		memset(page->bytes + size % DISK_PAGE, 0, DISK_PAGE - size % DISK_PAGE);
		push_state(inode, size / DISK_PAGE, page);
	}
	set_size(inode, size);
}

void inode_written_again(struct inode *inode, uint64_t from)
{
	for (uint64_t i = from / DISK_PAGE; i < inode->room; i++) {
		if (inode->states[i] == NULL && inode->now[i] != inode->durable[i])
			push_state(inode, i, page_hold(inode->now[i]));
	}
}

static void look_at_page(struct inode *inode, uint64_t index)
{
	const uint8_t *bytes = inode->memory + index * DISK_PAGE;

	if (memcmp(bytes, page_bytes(inode->now[index]), DISK_PAGE) != 0)
		push_state(inode, index, page_new(bytes));
}

void inode_look(struct inode *inode)
{
	inode_look_range(inode, 0, inode->size);
}

void inode_look_range(struct inode *inode, uint64_t off, uint64_t len)
{
	if (inode->memory == NULL || len == 0)
		return;
	inode_make_room(inode, inode->size);
	for (uint64_t i = off / DISK_PAGE; i <= (off + len - 1) / DISK_PAGE; i++)
		look_at_page(inode, i);
}

void disk_look(struct disk *disk)
{
	for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
		inode_look(inode);
}

/* ---- syncing ---- */

static void size_settle(struct inode *inode)
{
	inode->durable_size = inode->size;
	inode->size_count = 0;
}

static void page_settle(struct inode *inode, uint32_t index, struct page *page)
{
	page_hold(page);
	page_drop(inode->durable[index]);
	inode->durable[index] = page;
	states_free(inode, index);
}

void inode_sync(struct inode *inode)
{
	inode_look(inode);
	for (uint32_t i = 0; i < inode->dirty_count; i++)
		page_settle(inode, inode->dirty[i], inode->now[inode->dirty[i]]);
	inode->dirty_count = 0;
	size_settle(inode);
}

void inode_sync_range(struct inode *inode, uint64_t off, uint64_t len)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < inode->dirty_count; i++) {
		uint32_t index = inode->dirty[i];

		if (index >= off / DISK_PAGE && index < (off + len + DISK_PAGE - 1) / DISK_PAGE)
			page_settle(inode, index, inode->now[index]);
		else
			inode->dirty[kept++] = index;
	}
	inode->dirty_count = kept;
	size_settle(inode);
}

void inode_sync_fail(struct inode *inode, struct rng *rng)
{
	inode_look(inode);
	for (uint32_t i = 0; i < inode->dirty_count; i++) {
		uint32_t index = inode->dirty[i];
		struct states *states = inode->states[index];
		uint64_t which = rng_below(rng, states->count + 1u);

		page_settle(inode, index,
		            which == states->count ? inode->durable[index] : states->page[which]);
	}
	inode->dirty_count = 0;
	size_settle(inode); /* the size is metadata, written by another way */
}

void inode_touch(struct inode *inode)
{
	size_settle(inode);
}

/* ---- persistent memory (D3) ---- */

static void flush_line(struct inode *inode, const void *fiber, uint32_t page, uint32_t line)
{
	struct disk *disk = inode->disk;
	struct flushed *flushed;

	if (disk->flushed_count == disk->flushed_room) {
		disk->flushed_room = disk->flushed_room * 2 + 64;
		disk->flushed = sim_resize(disk->flushed, disk->flushed_room * sizeof *disk->flushed);
	}
	flushed = &disk->flushed[disk->flushed_count++];
	*flushed = (struct flushed){fiber, inode, page, line, disk->clock, {0}};
	memcpy(flushed->bytes, page_bytes(inode->now[page]) + (size_t)line * DISK_LINE, DISK_LINE);
}

void disk_flush(struct inode *inode, const void *fiber, uint64_t off, uint64_t len)
{
	if (len == 0)
		return;
	inode_look_range(inode, off, len);
	for (uint64_t at = off / DISK_LINE; at <= (off + len - 1) / DISK_LINE; at++) {
		uint32_t page = (uint32_t)(at / DISK_LINES);

		if (inode->states[page] != NULL)
			flush_line(inode, fiber, page, (uint32_t)(at % DISK_LINES));
	}
}

/* Is nothing left of @page that a cut could change? */
static bool all_settled(const struct inode *inode, uint32_t page)
{
	const struct states *states = inode->states[page];
	const uint8_t *durable = page_bytes(inode->durable[page]);

	for (unsigned s = 0; s < states->count; s++) {
		const uint8_t *bytes = page_bytes(states->page[s]);

		for (unsigned l = 0; l < DISK_LINES; l++) {
			if (states->time[s] > states->settled[l] &&
			    memcmp(bytes + (size_t)l * DISK_LINE, durable + (size_t)l * DISK_LINE,
			           DISK_LINE) != 0)
				return false;
		}
	}
	return true;
}

static void forget_dirty(struct inode *inode, uint32_t page)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < inode->dirty_count; i++) {
		if (inode->dirty[i] != page)
			inode->dirty[kept++] = inode->dirty[i];
	}
	inode->dirty_count = kept;
	states_free(inode, page);
}

static void settle_line(const struct flushed *flushed)
{
	struct inode *inode = flushed->inode;
	struct states *states = inode->states[flushed->page];
	struct page *page = inode->durable[flushed->page];

	/* Synced since, and perhaps stored to again. */
	if (states == NULL || states->since >= flushed->time)
		return;
	if (states->settled == NULL)
		states->settled = sim_alloc(DISK_LINES * sizeof *states->settled);
	if (states->settled[flushed->line] >= flushed->time)
		return;
	states->settled[flushed->line] = flushed->time;
	if (page == NULL || page->refs > 1) { /* D1 */
		inode->durable[flushed->page] = page_new(page_bytes(page));
		page_drop(page);
		page = inode->durable[flushed->page];
	}
	memcpy(page->bytes + (size_t)flushed->line * DISK_LINE, flushed->bytes, DISK_LINE);
}

void disk_fence(struct disk *disk, const void *fiber)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < disk->flushed_count; i++) {
		if (disk->flushed[i].fiber == fiber)
			settle_line(&disk->flushed[i]);
	}
	for (unsigned i = 0; i < disk->flushed_count; i++) {
		const struct flushed *flushed = &disk->flushed[i];
		struct states *states = flushed->inode->states[flushed->page];

		if (flushed->fiber != fiber)
			disk->flushed[kept++] = *flushed;
		else if (states != NULL && states->settled != NULL &&
		         all_settled(flushed->inode, flushed->page))
			forget_dirty(flushed->inode, flushed->page);
	}
	disk->flushed_count = kept;
}

void inode_drop(struct inode *inode)
{
	for (uint64_t i = 0; i < inode->room && inode->memory == NULL; i++) {
		if (inode->states[i] != NULL || inode->now[i] == inode->durable[i])
			continue;
		page_drop(inode->now[i]);
		inode->now[i] = page_hold(inode->durable[i]);
	}
}

/* ---- names ---- */

struct inode *inode_find(const struct inode *dir, const char *name)
{
	for (unsigned i = 0; i < dir->entry_count; i++) {
		if (strcmp(dir->entries[i].name, name) == 0)
			return dir->entries[i].inode;
	}
	return NULL;
}

void dir_apply(struct inode *dir, const struct dir_change *change, struct inode *inode)
{
	const char *gone[2] = {change->from, change->to};

	for (unsigned g = 0; g < 2; g++) {
		for (unsigned i = 0; gone[g][0] != '\0' && i < dir->entry_count; i++) {
			if (strcmp(dir->entries[i].name, gone[g]) == 0)
				dir->entries[i--] = dir->entries[--dir->entry_count];
		}
	}
	if (change->to[0] == '\0')
		return;
	if (dir->entry_count == dir->entry_room) {
		dir->entry_room = dir->entry_room * 2 + 8;
		dir->entries = sim_resize(dir->entries, dir->entry_room * sizeof *dir->entries);
	}
	memcpy(dir->entries[dir->entry_count].name, change->to, DISK_NAME);
	dir->entries[dir->entry_count++].inode = inode;
}

static void dir_change(struct inode *dir, const char *from, const char *to, struct inode *inode)
{
	struct dir_change *change;

	if (dir->change_count == dir->change_room) {
		dir->change_room = dir->change_room * 2 + 8;
		dir->changes = sim_resize(dir->changes, dir->change_room * sizeof *dir->changes);
	}
	change = &dir->changes[dir->change_count++];
	memset(change, 0, sizeof *change);
	snprintf(change->from, DISK_NAME, "%s", from);
	snprintf(change->to, DISK_NAME, "%s", to);
	change->inode = inode;
	change->time = ++dir->disk->clock;
	dir_apply(dir, change, inode);
}

void dir_link(struct inode *dir, const char *name, struct inode *inode)
{
	dir_change(dir, "", name, inode);
}

void dir_rename(struct inode *dir, const char *from, const char *to)
{
	dir_change(dir, from, to, inode_find(dir, from));
}

void dir_unlink(struct inode *dir, const char *name)
{
	dir_change(dir, name, "", inode_find(dir, name));
}

void dir_sync(struct inode *dir)
{
	dir->durable_entries =
		sim_resize(dir->durable_entries, dir->entry_count * sizeof *dir->entries);
	if (dir->entry_count > 0)
		memcpy(dir->durable_entries, dir->entries, dir->entry_count * sizeof *dir->entries);
	dir->durable_count = dir->entry_count;
	dir->change_count = 0;
}
