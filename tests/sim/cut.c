/* SPDX-License-Identifier: MIT */
/*
 * cut.c - copies of a disk: after a power cut, and after the end of a process
 */
#include <string.h>

#include "tests/sim/disk_page.h"

/* ---- which state ---- */

static struct page *newest_before(const struct inode *inode, uint32_t index, uint64_t time,
                                  struct page **torn)
{
	const struct states *states = inode->states[index];
	struct page *page = inode->durable[index];

	*torn = page;
	for (unsigned i = 0; i < states->count; i++) {
		*torn = states->page[i];
		if (states->time[i] > time)
			return page;
		page = states->page[i];
	}
	*torn = page;
	return page;
}

static struct page *any_state(const struct inode *inode, uint32_t index, const struct cut *cut)
{
	const struct states *states = inode->states[index];

	if (!rng_chance(cut->rng, cut->percent))
		return inode->durable[index];
	return states->page[rng_below(cut->rng, states->count)];
}

/* A page of pieces, each from @one or @other. */
static struct page *mix(const struct page *one, const struct page *other, size_t piece,
                        struct rng *rng)
{
	struct page *page = page_new(page_bytes(one));
	uint64_t bits = rng_u64(rng);

	for (size_t at = 0; at < DISK_PAGE; at += piece, bits = bits >> 1 | bits << 63) {
		if ((bits & 1) != 0)
			memcpy(page->bytes + at, page_bytes(other) + at, piece);
	}
	return page;
}

static struct page *sectors(const struct inode *inode, uint32_t index, const struct cut *cut)
{
	struct page *page = page_new(page_bytes(inode->durable[index]));

	for (size_t at = 0; at < DISK_PAGE; at += DISK_SECTOR)
		memcpy(page->bytes + at, page_bytes(any_state(inode, index, cut)) + at, DISK_SECTOR);
	return page;
}

/* D3: the states that line @l may be found in besides the durable one; returns how many. */
static unsigned line_states(const struct states *states, unsigned l, const struct cut *cut,
                            const struct page *list[DISK_STATES])
{
	uint64_t settled = states->settled == NULL ? 0 : states->settled[l];
	unsigned count = 0;

	for (unsigned s = 0; s < states->count; s++) {
		if (states->time[s] > settled &&
		    (cut->mode != CUT_TIME || states->time[s] <= cut->time))
			list[count++] = states->page[s];
	}
	return count;
}

/* Some of the words of a line, for a line is not written at once either. */
static void tear_line(uint8_t *to, const uint8_t *from, struct rng *rng)
{
	uint64_t bits = rng_u64(rng);

	for (unsigned at = 0; at < DISK_LINE; at += 8, bits >>= 1) {
		if ((bits & 1) != 0)
			memcpy(to + at, from + at, 8);
	}
}

static struct page *lines(const struct inode *inode, uint32_t index, const struct cut *cut)
{
	const struct states *states = inode->states[index];
	struct page *page = page_new(page_bytes(inode->durable[index]));
	const struct page *list[DISK_STATES];

	for (unsigned l = 0; l < DISK_LINES; l++) {
		unsigned count = line_states(states, l, cut, list);
		uint8_t *to = page->bytes + (size_t)l * DISK_LINE;
		const uint8_t *from;

		if (count == 0 || (cut->mode != CUT_TIME && !rng_chance(cut->rng, cut->percent)))
			continue;
		from = page_bytes(
			       list[cut->mode == CUT_TIME ? count - 1 : rng_below(cut->rng, count)]) +
		       (size_t)l * DISK_LINE;
		if (rng_chance(cut->rng, 10))
			tear_line(to, from, cut->rng);
		else
			memcpy(to, from, DISK_LINE);
	}
	return page;
}

/* What is on the disk of a page that was not synced; a reference of its own. */
static struct page *page_after(const struct inode *inode, uint32_t index, const struct cut *cut)
{
	struct page *torn, *page;

	if (inode->dax && cut->mode != CUT_ALL && cut->mode != CUT_NOTHING)
		return lines(inode, index, cut);
	switch (cut->mode) {
	case CUT_ALL:
		return page_hold(inode->now[index]);
	case CUT_TIME:
		page = newest_before(inode, index, cut->time, &torn);
		if (torn == page || !rng_chance(cut->rng, 20))
			return page_hold(page);
		return mix(page, torn, DISK_SECTOR, cut->rng);
	case CUT_PAGES:
		page = any_state(inode, index, cut);
		/* A page that is stored to while the device reads it. */
		if (inode->memory != NULL && rng_chance(cut->rng, 10))
			return mix(page, any_state(inode, index, cut), DISK_LINE, cut->rng);
		return page_hold(page);
	case CUT_SECTORS:
		return sectors(inode, index, cut);
	default:
		return page_hold(inode->durable[index]);
	}
}

static uint64_t size_after(const struct inode *inode, const struct cut *cut)
{
	uint64_t size = inode->durable_size;

	if (cut->mode == CUT_ALL)
		return inode->size;
	if (cut->mode == CUT_NOTHING || inode->size_count == 0)
		return size;
	if (cut->mode != CUT_TIME)
		return rng_chance(cut->rng, cut->percent)
		               ? inode->sizes[rng_below(cut->rng, inode->size_count)]
		               : size;
	for (unsigned i = 0; i < inode->size_count && inode->size_times[i] <= cut->time; i++)
		size = inode->sizes[i];
	return size;
}

static bool change_survives(const struct dir_change *change, const struct cut *cut)
{
	switch (cut->mode) {
	case CUT_NOTHING:
		return false;
	case CUT_ALL:
		return true;
	case CUT_TIME:
		return change->time <= cut->time;
	default:
		return rng_chance(cut->rng, cut->percent);
	}
}

/* ---- copies ---- */

static struct inode *copy_of(struct disk *copy, struct inode *inode, const struct cut *cut);

static void copy_dir(struct disk *copy, struct inode *to, struct inode *dir, const struct cut *cut)
{
	struct dir_change name = {0};

	for (unsigned i = 0; i < dir->durable_count; i++) {
		memcpy(name.to, dir->durable_entries[i].name, DISK_NAME);
		dir_apply(to, &name, dir->durable_entries[i].inode);
	}
	for (unsigned i = 0; i < dir->change_count; i++) {
		if (change_survives(&dir->changes[i], cut))
			dir_apply(to, &dir->changes[i], dir->changes[i].inode);
	}
	for (unsigned i = 0; i < to->entry_count; i++)
		to->entries[i].inode = copy_of(copy, to->entries[i].inode, cut);
	dir_sync(to);
}

static void copy_file(struct inode *to, struct inode *inode, const struct cut *cut)
{
	uint64_t pages;
	struct cut own = *cut;

	if (cut->mode == CUT_FILES) {
		own.mode = (enum cut_mode)rng_below(cut->rng, CUT_FILES);
		own.percent = (unsigned)rng_range(cut->rng, 1, 99);
	}
	to->size = to->durable_size = size_after(inode, &own);
	inode_make_room(to, to->size);
	pages = (to->size + DISK_PAGE - 1) / DISK_PAGE;
	for (uint64_t i = 0; i < pages && i < inode->room; i++) {
		struct page *page = inode->states[i] == NULL ? page_hold(inode->durable[i])
		                                             : page_after(inode, (uint32_t)i, &own);

		to->durable[i] = page;
		to->now[i] = page_hold(page);
	}
}

static struct inode *copy_of(struct disk *copy, struct inode *inode, const struct cut *cut)
{
	if (inode->copy != NULL)
		return inode->copy;
	inode->copy = inode_new(copy, inode->is_dir);
	if (inode->is_dir)
		copy_dir(copy, inode->copy, inode, cut);
	else
		copy_file(inode->copy, inode, cut);
	return inode->copy;
}

static void forget_copies(struct disk *disk)
{
	for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
		inode->copy = NULL;
}

/* The earliest change that is not synced. */
static uint64_t oldest_change(const struct disk *disk)
{
	uint64_t oldest = disk->clock;

	for (const struct inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
		for (uint32_t i = 0; i < inode->dirty_count; i++) {
			uint64_t time = inode->states[inode->dirty[i]]->time[0];

			oldest = time < oldest ? time : oldest;
		}
		if (inode->change_count > 0 && inode->changes[0].time < oldest)
			oldest = inode->changes[0].time;
	}
	return oldest;
}

void disk_cut_choose(const struct disk *disk, struct rng *rng, struct cut *cut)
{
	static const unsigned percents[] = {3, 20, 50, 80, 97};
	uint64_t oldest = oldest_change(disk);

	cut->rng = rng;
	cut->mode = (enum cut_mode)rng_below(rng, CUT_MODES);
	cut->percent = percents[rng_below(rng, sizeof percents / sizeof percents[0])];
	cut->time = rng_range(rng, oldest > 0 ? oldest - 1 : 0, disk->clock);
}

struct disk *disk_cut(struct disk *disk, struct cut *cut)
{
	struct disk *copy = disk_new();

	disk_look(disk);
	copy->limit = disk->limit;
	copy->dax = disk->dax;
	disk->root->copy = copy->root;
	copy_dir(copy, copy->root, disk->root, cut);
	forget_copies(disk);
	return copy;
}

/* ---- the end of a process ---- */

static void keep_states(struct inode *to, const struct inode *inode)
{
	to->dirty_room = to->dirty_count = inode->dirty_count;
	to->dirty = sim_alloc(inode->dirty_count * sizeof *to->dirty);
	for (uint32_t i = 0; i < inode->dirty_count; i++) {
		uint32_t index = to->dirty[i] = inode->dirty[i];
		struct states *states = sim_alloc(sizeof *states);

		*states = *inode->states[index];
		for (unsigned s = 0; s < states->count; s++)
			page_hold(states->page[s]);
		if (states->settled != NULL) {
			states->settled = sim_alloc(DISK_LINES * sizeof *states->settled);
			memcpy(states->settled, inode->states[index]->settled,
			       DISK_LINES * sizeof *states->settled);
		}
		to->states[index] = states;
	}
}

static void kill_file(struct inode *to, const struct inode *inode)
{
	inode_make_room(to, inode->room * DISK_PAGE);
	to->dax = inode->dax;
	to->size = inode->size;
	to->durable_size = inode->durable_size;
	memcpy(to->sizes, inode->sizes, sizeof to->sizes);
	memcpy(to->size_times, inode->size_times, sizeof to->size_times);
	to->size_count = inode->size_count;
	for (uint64_t i = 0; i < inode->room; i++) {
		to->now[i] = page_hold(inode->now[i]);
		to->durable[i] = page_hold(inode->durable[i]);
	}
	keep_states(to, inode);
}

static void kill_dir(struct inode *to, const struct inode *dir)
{
	to->entry_count = to->entry_room = dir->entry_count;
	to->entries = sim_alloc(dir->entry_count * sizeof *to->entries);
	to->durable_count = dir->durable_count;
	to->durable_entries = sim_alloc(dir->durable_count * sizeof *to->entries);
	to->change_count = to->change_room = dir->change_count;
	to->changes = sim_alloc(dir->change_count * sizeof *to->changes);
	for (unsigned i = 0; i < dir->entry_count; i++) {
		to->entries[i] = dir->entries[i];
		to->entries[i].inode = dir->entries[i].inode->copy;
	}
	for (unsigned i = 0; i < dir->durable_count; i++) {
		to->durable_entries[i] = dir->durable_entries[i];
		to->durable_entries[i].inode = dir->durable_entries[i].inode->copy;
	}
	for (unsigned i = 0; i < dir->change_count; i++) {
		to->changes[i] = dir->changes[i];
		to->changes[i].inode = dir->changes[i].inode->copy;
	}
}

struct disk *disk_kill(struct disk *disk)
{
	struct disk *copy = disk_new();

	disk_look(disk);
	copy->limit = disk->limit;
	copy->dax = disk->dax;
	copy->clock = disk->clock;
	disk->root->copy = copy->root;
	for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
		if (inode != disk->root)
			inode->copy = inode_new(copy, inode->is_dir);
	}
	for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
		if (inode->is_dir)
			kill_dir(inode->copy, inode);
		else
			kill_file(inode->copy, inode);
	}
	forget_copies(disk);
	return copy;
}
