/* SPDX-License-Identifier: MIT */
/*
 * file.h - files and directories, as far as a store needs them
 *
 * Every function returns BWT_OK or a code of ours or -errno (api.md "Errors": EIO is BWT_IO, a full
 * disk is BWT_FULL) and leaves the words, file name included, in bwt_detail(). EINTR never escapes.
 * No function here prints or retries a failed sync: a failed sync is final for its file.
 * A simulator replaces this file whole, so nothing above it may call the system itself.
 */
#ifndef BWT_SYS_FILE_H
#define BWT_SYS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYS_NAME_SIZE 256 /* bytes of a file name, its final zero included */

enum sys_open_flags {
	SYS_RDONLY = 1, /* else read and write */
	SYS_CREATE = 2, /* create if absent, mode 0666 less umask */
	SYS_EXCL = 4,   /* with SYS_CREATE: BWT_EXISTS if there */
	SYS_DIRECT = 8, /* O_DIRECT; -EINVAL where the file system refuses it */
};

/** -ENOENT, -ENOTDIR, ... */
int sys_dir_open(const char *path, int *dir_fd);
int sys_dir_open_at(int dir_fd, const char *name, int *out);
/** BWT_EXISTS if anything is there; the parent is synced. */
int sys_dir_create(const char *path);
/** BWT_OK if a directory is there already; not synced: sys_dir_sync(). */
int sys_dir_create_at(int dir_fd, const char *name);
/** Names in it are durable afterwards. */
int sys_dir_sync(int dir_fd);
/** Are both descriptors of the same directory? */
int sys_dir_same(int a, int b, bool *same);
/** Its path from the root, as it is now; -ENAMETOOLONG, or -ENOENT when the system does not tell. */
int sys_dir_path(int dir_fd, char *path, size_t size);

/** A symbolic link @name to @target; not synced. */
int sys_link_create(int dir_fd, const char *target, const char *name);
/** -EINVAL: it is no link; -ENOENT: there is nothing; -ENAMETOOLONG. Leaves bwt_detail() alone. */
int sys_link_read(int dir_fd, const char *name, char *target, size_t size);

/** Calls @each for every entry but . and ..; a non-zero return stops and is returned. */
int sys_dir_list(int dir_fd, int (*each)(void *ctx, const char *name), void *ctx);

/** Close-on-exec. What is not a regular file is BWT_CORRUPT, and opening it never waits. */
int sys_file_open(int dir_fd, const char *name, unsigned flags, int *fd);
/** -1 is ignored. */
void sys_file_close(int fd);
int sys_file_exists(int dir_fd, const char *name, bool *exists);
int sys_file_size(int fd, uint64_t *size);
/** Whole or nothing: a read beyond the end is BWT_CORRUPT and says so ("is shorter than"). */
int sys_file_read(int fd, void *data, size_t size, uint64_t off);
/** Reads what is there, at most @size bytes; *got may be less only at the end of the file. */
int sys_file_read_some(int fd, void *data, size_t size, uint64_t off, size_t *got);
/** All of it, short writes continued; not synced. */
int sys_file_write(int fd, const void *data, size_t size, uint64_t off);
/** fdatasync */
int sys_file_sync(int fd);
/** Reserves blocks and grows the size if need be; what is in the file stays. BWT_FULL. */
int sys_file_allocate(int fd, uint64_t off, uint64_t len);
int sys_file_truncate(int fd, uint64_t size);
/** Gives the blocks of [off, off+len) back; they read as zeroes and the size stays. -EOPNOTSUPP: not on this file system. */
int sys_file_punch(int fd, uint64_t off, uint64_t len);
/** Was any of [off, off+len), inside the file, given back and not allocated since? Where nobody can tell: false. */
bool sys_file_has_hole(int fd, uint64_t off, uint64_t len);
/** Writes zeroes in large steps; not synced. */
int sys_file_zero_fill(int fd, uint64_t off, uint64_t len);
/** Syncs, then drops: later reads come from the disk (W5), as far as the system obliges. */
int sys_file_drop_cache(int fd);
/** Neither is synced: sys_dir_sync(). */
int sys_file_rename(int dir_fd, const char *from, const char *to);
int sys_file_unlink(int dir_fd, const char *name);
/** Bytes on disk (st_blocks) of a file, for statistics. */
int sys_file_disk_bytes(int fd, uint64_t *bytes);

/** Exclusive flock; BWT_BUSY when held, with the holder's pid in bwt_detail() if it is known. */
int sys_file_lock(int fd);
/** Gives the lock up now, also where a child forked a moment ago has not closed its copy yet; -1 is ignored. */
void sys_file_unlock(int fd);
/** Writes our pid as text into the lock file, which we hold. */
int sys_file_lock_note(int fd);
/** The pid in the lock file; 0 if there is none to read. */
long sys_file_lock_owner(int fd);

/** Bytes that this process wrote through sys/file.c and sys/ring*.c. */
uint64_t sys_file_bytes_written(void);
/** For the other files of this layer. */
void sys_file_count_written(uint64_t bytes);

#endif
