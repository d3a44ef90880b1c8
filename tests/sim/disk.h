/* SPDX-License-Identifier: MIT */
/*
 * disk.h - a disk in memory that knows what was synced, and what a power cut may leave of it
 *
 * A file is an array of pages. What programs see is `now`; what is certain is `durable`; in between
 * each page keeps the states that it went through since the last sync. A cut chooses, for each page or
 * each 512-byte sector, one of them or the durable one: writes vanish, survive, tear and reorder. Names
 * are as a directory's last sync left them, with any of the changes since.
 *
 *   D1  A page never changes once it is in an array: writing makes a new one. So copies of a disk
 *       share what they have in common.
 *   D3  A file in persistent memory becomes durable by lines of 64 bytes: what a line was when it was flushed,
 *       once a fence of the same fiber has passed (disk_fence()), or any of its later states, for the processor
 *       may write a line back whenever it likes; torn at 8 bytes. Its size is durable when its pages were touched
 *       (MAP_SYNC), and a sync makes all of it durable, as ever.
 *   D2  After a sync that failed the pages count as clean, whatever reached the disk (facts.md): the
 *       next sync writes nothing of them.
 *   D4  Each open file is told once of what failed since it was opened, by its own next sync, whoever synced then.
 */
#ifndef BWT_TESTS_SIM_DISK_H
#define BWT_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/rng.h"

#define DISK_PAGE 4096u
#define DISK_SECTOR 512u
#define DISK_LINE 64u /* bytes that memory hands to a device at once */
#define DISK_LINES (DISK_PAGE / DISK_LINE)
#define DISK_STATES 6u /* of a page between two syncs; of more, some are forgotten */
#define DISK_NAME 48u  /* bytes of a name, final zero included */

struct page {
	unsigned refs;
	uint8_t bytes[DISK_PAGE];
};

struct states { /* newest last */
	unsigned count;
	uint64_t since; /* the page was clean before */
	uint64_t time[DISK_STATES];
	struct page *page[DISK_STATES]; /* NULL: zeroes */
	uint64_t *settled; /* per line, D3: states up to this time cannot be what is found; NULL: none */
};

struct flushed { /* a line, as it was */
	const void *fiber;
	struct inode *inode;
	uint32_t page;
	uint32_t line;
	uint64_t time;
	uint8_t bytes[DISK_LINE];
};

enum disk_dax { /* what of a store is in persistent memory */
	DISK_DAX_NONE,
	DISK_DAX_LOG,
	DISK_DAX_ALL
};

struct dir_entry {
	char name[DISK_NAME];
	struct inode *inode;
};

struct dir_change {
	uint64_t time;
	char from[DISK_NAME]; /* "": a name appears */
	char to[DISK_NAME];   /* "": a name goes */
	struct inode *inode;
};

struct inode {
	struct inode *next; /* of the disk's list */
	struct inode *copy; /* while the disk is copied */
	struct disk *disk;
	bool is_dir;
	bool locked;
	bool dax;               /* D3: from its first mapping on */
	uint32_t sync_failures; /* D4 */
	/* a file */
	uint64_t size, durable_size;
	uint64_t sizes[DISK_STATES]; /* since the last sync */
	uint64_t size_times[DISK_STATES];
	unsigned size_count;
	uint64_t room;     /* pages that the arrays hold */
	struct page **now; /* NULL: zeroes */
	struct page **durable;
	struct states **states; /* NULL: clean */
	uint32_t *dirty;        /* pages with states */
	uint32_t dirty_count, dirty_room;
	uint8_t *memory; /* the mapping, where there is one: `now` is what it was when last looked at */
	/* a directory */
	struct dir_entry *entries, *durable_entries;
	unsigned entry_count, entry_room, durable_count;
	struct dir_change *changes;
	unsigned change_count, change_room;
};

struct disk {
	struct inode *inodes;
	struct inode *root;
	uint64_t clock; /* counts changes */
	uint64_t limit; /* bytes of all files; 0: none */
	bool dying;     /* nobody looks at it again: skip work */
	enum disk_dax dax;
	struct flushed *flushed; /* and not fenced yet, by anybody */
	unsigned flushed_count, flushed_room;
};

enum cut_mode {
	CUT_NOTHING, /* of what was not synced reached the disk */
	CUT_ALL,     /* of it did */
	CUT_TIME,    /* all up to an instant, the write at that instant torn */
	CUT_PAGES,   /* each page in some state */
	CUT_SECTORS, /* each sector in some state */
	CUT_FILES,   /* each file its own mode of the above */
	CUT_MODES
};

struct cut {
	enum cut_mode mode;
	unsigned percent; /* CUT_PAGES, CUT_SECTORS: chance to have left the durable state */
	uint64_t time;    /* CUT_TIME */
	struct rng *rng;
};

/** disk_new - empty: a root directory */
struct disk *disk_new(void);
void disk_free(struct disk *disk);

/** disk_cut_choose - a random way to cut */
void disk_cut_choose(const struct disk *disk, struct rng *rng, struct cut *cut);
/** disk_cut - what may be on @disk after a power cut now: everything in it is durable */
struct disk *disk_cut(struct disk *disk, struct cut *cut);
/** disk_kill - the process ends, the system goes on: what was not synced is still to be */
struct disk *disk_kill(struct disk *disk);

/** inode_find - the entry @name of a directory, or NULL */
struct inode *inode_find(const struct inode *dir, const char *name);
struct inode *inode_new(struct disk *disk, bool is_dir);
void dir_link(struct inode *dir, const char *name, struct inode *inode);
void dir_rename(struct inode *dir, const char *from, const char *to);
void dir_unlink(struct inode *dir, const char *name);
void dir_sync(struct inode *dir);

void inode_read(const struct inode *inode, void *to, size_t size, uint64_t off);
/** inode_read_direct - past the page cache: what a failed sync lost is not there */
void inode_read_direct(const struct inode *inode, void *to, size_t size, uint64_t off);
/**
 * inode_written_again - what a failed sync lost counts as written again, but for the first @from bytes
 *
 * A mapping is compared, and storing what is there already is not seen: a store that does so to a lost
 * page makes it dirty, here it would not.
 */
void inode_written_again(struct inode *inode, uint64_t from);
/** inode_write - the file grows if need be */
void inode_write(struct inode *inode, const void *from, size_t size, uint64_t off);
void inode_resize(struct inode *inode, uint64_t size);
void inode_sync(struct inode *inode);
/** inode_sync_range - [off, off+len) and the size are durable */
void inode_sync_range(struct inode *inode, uint64_t off, uint64_t len);
/** inode_sync_fail - D2 */
void inode_sync_fail(struct inode *inode, struct rng *rng);
/** inode_drop - forget what is clean in the page cache: what a failed sync lost is not there any more */
void inode_drop(struct inode *inode);
/** inode_look - note what changed in the mapping since the last look */
void inode_look(struct inode *inode);
/** inode_look_range - the same for [off, off+len) */
void inode_look_range(struct inode *inode, uint64_t off, uint64_t len);
/** disk_flush - @fiber flushes the lines of [off, off+len) of a file in persistent memory */
void disk_flush(struct inode *inode, const void *fiber, uint64_t off, uint64_t len);
/** disk_fence - what @fiber flushed is durable (D3) */
void disk_fence(struct disk *disk, const void *fiber);
/** inode_touch - pages were touched through a mapping with MAP_SYNC: the size is durable */
void inode_touch(struct inode *inode);
/** disk_look - inode_look() for every mapped file */
void disk_look(struct disk *disk);
/** disk_bytes - sizes of all files */
uint64_t disk_bytes(const struct disk *disk);

/** Memory of the simulator itself, out of reach of injected failures. Never NULL. */
void *sim_alloc(size_t size); /* zeroed */
void *sim_resize(void *memory, size_t size);
void sim_free(void *memory);

#endif
