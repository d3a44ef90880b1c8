/* SPDX-License-Identifier: MIT */
/*
 * files.c - sys/file.h on the simulated disk: stands in for lib/sys/file.c
 */
#include "sys/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sys/fail.h"
#include "tests/sim/sim.h"

#define FDS_MAX 1024u

struct open_file {
	struct inode *inode; /* NULL: free */
	bool readonly;
	bool direct;
	bool holds_lock;
	uint32_t told; /* sync_failures of the inode that it knows of (D4) */
};

static struct open_file files[FDS_MAX];
static uint64_t written;

uint64_t sys_file_bytes_written(void)
{
	return written;
}

void sys_file_count_written(uint64_t bytes)
{
	written += bytes;
}

static struct open_file *file_of(int fd)
{
	if (fd < SIM_FD_BASE || fd >= SIM_FD_BASE + (int)FDS_MAX ||
	    files[fd - SIM_FD_BASE].inode == NULL) {
		fprintf(stderr, "sim: descriptor %d is not open\n", fd);
		abort();
	}
	return &files[fd - SIM_FD_BASE];
}

struct inode *sim_inode(int fd)
{
	return file_of(fd)->inode;
}

unsigned sim_open_files(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FDS_MAX; i++)
		count += files[i].inode != NULL;
	return count;
}

static int fd_new(struct inode *inode, bool readonly)
{
	for (unsigned i = 0; i < FDS_MAX; i++) {
		if (files[i].inode != NULL)
			continue;
		files[i] = (struct open_file){
			.inode = inode, .readonly = readonly, .told = inode->sync_failures};
		return SIM_FD_BASE + (int)i;
	}
	fprintf(stderr, "sim: descriptors are lost somewhere\n");
	abort();
}

static int no_space(uint64_t more)
{
	return sim->disk->limit != 0 && disk_bytes(sim->disk) + more > sim->disk->limit;
}

/* ---- directories ---- */

int sys_dir_open(const char *path, int *dir_fd)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, EMFILE);
	struct inode *inode =
		strcmp(path, SIM_PATH) == 0 ? inode_find(sim->disk->root, path) : sim->disk->root;

	if (error == 0 && inode == NULL)
		error = ENOENT;
	if (error != 0)
		return sys_fail_name(error, "open directory", -1, path);
	*dir_fd = fd_new(inode, true);
	return BWT_OK;
}

int sys_dir_open_at(int dir_fd, const char *name, int *out)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, EMFILE);
	struct inode *inode = inode_find(sim_inode(dir_fd), name);

	if (error == 0 && inode == NULL)
		error = ENOENT;
	if (error == 0 && !inode->is_dir)
		error = ENOTDIR;
	if (error != 0)
		return sys_fail_name(error, "open directory", dir_fd, name);
	*out = fd_new(inode, true);
	return BWT_OK;
}

int sys_dir_create(const char *path)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, ENOSPC);

	if (error != 0)
		return sys_fail_name(error, "create directory", -1, path);
	if (inode_find(sim->disk->root, path) != NULL)
		return BWT_EXISTS;
	dir_link(sim->disk->root, path, inode_new(sim->disk, true));
	sim_after(site);
	dir_sync(sim->disk->root);
	return BWT_OK;
}

int sys_dir_create_at(int dir_fd, const char *name)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, ENOSPC);

	if (error != 0)
		return sys_fail_name(error, "create directory", dir_fd, name);
	if (inode_find(sim_inode(dir_fd), name) == NULL)
		dir_link(sim_inode(dir_fd), name, inode_new(sim->disk, true));
	sim_after(site);
	return BWT_OK;
}

int sys_dir_sync(int dir_fd)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, EIO);

	if (error != 0)
		return sys_fail(error, "sync directory", dir_fd, SYS_NO_OFF);
	dir_sync(sim_inode(dir_fd));
	sim_after(site);
	return BWT_OK;
}

int sys_dir_same(int a, int b, bool *same)
{
	*same = sim_inode(a) == sim_inode(b);
	return BWT_OK;
}

/* No links on a simulated disk. */
int sys_dir_path(int dir_fd, char *path, size_t size)
{
	(void)dir_fd, (void)path, (void)size;
	return -ENOENT;
}

int sys_link_create(int dir_fd, const char *target, const char *name)
{
	(void)dir_fd, (void)target, (void)name;
	return -ENOTSUP;
}

int sys_link_read(int dir_fd, const char *name, char *target, size_t size)
{
	(void)target, (void)size;
	return inode_find(sim_inode(dir_fd), name) == NULL ? -ENOENT : -EINVAL;
}

int sys_dir_list(int dir_fd, int (*each)(void *ctx, const char *name), void *ctx)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, EIO);
	struct inode *dir = sim_inode(dir_fd);
	unsigned count = dir->entry_count;
	char(*names)[DISK_NAME];
	int rc = BWT_OK;

	if (error != 0)
		return sys_fail(error, "list directory", dir_fd, SYS_NO_OFF);
	names = sim_alloc(count * sizeof *names);
	for (unsigned i = 0; i < count; i++)
		memcpy(names[i], dir->entries[i].name, DISK_NAME);
	for (unsigned i = count; i > 1; i--) { /* in no order */
		unsigned other = (unsigned)rng_below(&sim->rng, i);
		char name[DISK_NAME];

		memcpy(name, names[other], DISK_NAME);
		memcpy(names[other], names[i - 1], DISK_NAME);
		memcpy(names[i - 1], name, DISK_NAME);
	}
	for (unsigned i = 0; i < count && rc == BWT_OK; i++)
		rc = each(ctx, names[i]);
	sim_free(names);
	return rc;
}

/* ---- names ---- */

int sys_file_open(int dir_fd, const char *name, unsigned flags, int *fd)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, flags & SYS_CREATE ? ENOSPC : EMFILE);
	struct inode *dir = sim_inode(dir_fd);
	struct inode *inode = inode_find(dir, name);

	if (error == 0 && inode == NULL && (flags & SYS_CREATE) == 0)
		error = ENOENT;
	if (error != 0)
		return sys_fail_name(error, "open", dir_fd, name);
	if (inode != NULL && (flags & SYS_EXCL) != 0)
		return BWT_EXISTS;
	if (inode == NULL) {
		inode = inode_new(sim->disk, false);
		dir_link(dir, name, inode);
		sim_after(site);
	}
	*fd = fd_new(inode, (flags & SYS_RDONLY) != 0);
	file_of(*fd)->direct = (flags & SYS_DIRECT) != 0;
	return BWT_OK;
}

void sys_file_close(int fd)
{
	if (fd < 0)
		return;
	sys_file_unlock(fd);
	file_of(fd)->inode = NULL;
}

int sys_file_exists(int dir_fd, const char *name, bool *exists)
{
	int error = sim_before(SIM_SITE, EIO);

	if (error != 0)
		return sys_fail_name(error, "look up", dir_fd, name);
	*exists = inode_find(sim_inode(dir_fd), name) != NULL;
	return BWT_OK;
}

int sys_file_rename(int dir_fd, const char *from, const char *to)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, EIO);

	if (error == 0 && inode_find(sim_inode(dir_fd), from) == NULL)
		error = ENOENT;
	if (error != 0)
		return sys_fail_name(error, "rename", dir_fd, from);
	dir_rename(sim_inode(dir_fd), from, to);
	sim_after(site);
	return BWT_OK;
}

int sys_file_unlink(int dir_fd, const char *name)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, EIO);

	if (error == 0 && inode_find(sim_inode(dir_fd), name) == NULL)
		error = ENOENT;
	if (error != 0)
		return sys_fail_name(error, "remove", dir_fd, name);
	dir_unlink(sim_inode(dir_fd), name);
	sim_after(site);
	return BWT_OK;
}

/* ---- size and space ---- */

int sys_file_size(int fd, uint64_t *size)
{
	int error = sim_before(SIM_SITE, EIO);

	if (error != 0)
		return sys_fail(error, "look up", fd, SYS_NO_OFF);
	*size = sim_inode(fd)->size;
	return BWT_OK;
}

int sys_file_disk_bytes(int fd, uint64_t *bytes)
{
	return sys_file_size(fd, bytes);
}

int sys_file_allocate(int fd, uint64_t off, uint64_t len)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, ENOSPC);
	struct inode *inode = sim_inode(fd);

	if (error == 0 && off + len > inode->size && no_space(off + len - inode->size))
		error = ENOSPC;
	if (error != 0)
		return sys_fail(error, "allocate space in", fd, off);
	if (off + len > inode->size)
		inode_resize(inode, off + len);
	sim_after(site);
	return BWT_OK;
}

int sys_file_truncate(int fd, uint64_t size)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, EIO);
	struct inode *inode;

	if (error != 0)
		return sys_fail(error, "resize", fd, size);
	inode = sim_inode(fd);
	if (inode->memory != NULL && size < inode->size)
		memset(inode->memory + size, 0, inode->size - size);
	inode_resize(inode, size);
	sim_after(site);
	return BWT_OK;
}

/* As if zeroes were written: what a cut leaves of a hole is one of its states. */
int sys_file_punch(int fd, uint64_t off, uint64_t len)
{
	const void *site = SIM_SITE;
	int error = sim_before(site, EIO);
	struct inode *inode = sim_inode(fd);

	if (error != 0)
		return sys_fail(error, "give back space of", fd, off);
	if (inode->memory != NULL) {
		memset(inode->memory + off, 0, len);
		inode_look_range(inode, off, len);
	}
	sim_after(site);
	return BWT_OK;
}

bool sys_file_has_hole(int fd, uint64_t off, uint64_t len)
{
	(void)fd, (void)off, (void)len;
	return false;
}

/* ---- bytes ---- */

static int read_some(int fd, void *data, size_t size, uint64_t off, size_t *got, int error)
{
	struct inode *inode = sim_inode(fd);

	if (error != 0)
		return sys_fail(error, "read", fd, off);
	*got = off >= inode->size         ? 0
	       : inode->size - off < size ? (size_t)(inode->size - off)
	                                  : size;
	if (file_of(fd)->direct)
		inode_read_direct(inode, data, *got, off);
	else
		inode_read(inode, data, *got, off);
	return BWT_OK;
}

int sys_file_read_some(int fd, void *data, size_t size, uint64_t off, size_t *got)
{
	return read_some(fd, data, size, off, got, sim_before(SIM_SITE, EIO));
}

int sys_file_read(int fd, void *data, size_t size, uint64_t off)
{
	size_t got = 0;
	int rc = read_some(fd, data, size, off, &got, sim_before(SIM_SITE, EIO));

	if (rc == BWT_OK && got < size)
		return sys_fail_short(fd, off, size, got);
	return rc;
}

/* Whole, or a part and an error. */
static int write_at(int fd, const void *data, size_t size, uint64_t off, int error)
{
	struct inode *inode = sim_inode(fd);

	if (file_of(fd)->readonly)
		abort();
	if (error == 0 && off + size > inode->size && no_space(off + size - inode->size))
		error = ENOSPC;
	if (error != 0) {
		size_t part = (size_t)rng_below(&sim->rng, size + 1);

		if (part > 0 && off + part <= inode->size)
			inode_write(inode, data, part, off);
		return sys_fail(error, "write", fd, off);
	}
	inode_write(inode, data, size, off);
	written += size;
	return BWT_OK;
}

int sys_file_write(int fd, const void *data, size_t size, uint64_t off)
{
	const void *site = SIM_SITE;
	int rc = write_at(fd, data, size, off, sim_before(site, EIO));

	sim_after(site);
	return rc;
}

int sys_file_zero_fill(int fd, uint64_t off, uint64_t len)
{
	static const uint8_t zeroes[DISK_PAGE];
	const void *site = SIM_SITE;
	int error = sim_before(site, EIO);

	while (len > 0) {
		size_t step = len < sizeof zeroes ? (size_t)len : sizeof zeroes;
		int rc = write_at(fd, zeroes, step, off, error);

		if (rc < 0)
			return rc;
		off += step;
		len -= step;
	}
	sim_after(site);
	return BWT_OK;
}

int sim_sync(int fd, int error)
{
	struct open_file *file = file_of(fd);
	struct inode *inode = file->inode;

	if (error != 0) {
		inode_sync_fail(inode, &sim->rng);
		inode->sync_failures++;
	} else {
		inode_sync(inode);
	}
	if (file->told == inode->sync_failures)
		return 0;
	file->told = inode->sync_failures;
	return error != 0 ? error : EIO;
}

static int sync_file(int fd, int error)
{
	int told = sim_sync(fd, error);

	return told != 0 ? sys_fail(told, "sync", fd, SYS_NO_OFF) : BWT_OK;
}

int sys_file_sync(int fd)
{
	const void *site = SIM_SITE;
	int rc = sync_file(fd, sim_before(site, EIO));

	sim_after(site);
	return rc;
}

int sys_file_drop_cache(int fd)
{
	const void *site = SIM_SITE;
	int rc = sync_file(fd, sim_before(site, EIO));

	if (rc == BWT_OK)
		inode_drop(sim_inode(fd));
	sim_after(site);
	return rc;
}

/* ---- the lock ---- */

int sys_file_lock(int fd)
{
	int error = sim_before(SIM_SITE, ENOLCK);

	if (error != 0)
		return sys_fail(error, "lock", fd, SYS_NO_OFF);
	if (sim_inode(fd)->locked)
		return error_set(BWT_BUSY, "the store is locked");
	sim_inode(fd)->locked = true;
	file_of(fd)->holds_lock = true;
	return BWT_OK;
}

void sys_file_unlock(int fd)
{
	if (fd < 0 || !file_of(fd)->holds_lock)
		return;
	file_of(fd)->holds_lock = false;
	sim_inode(fd)->locked = false;
}

int sys_file_lock_note(int fd)
{
	const void *site = SIM_SITE;

	return write_at(fd, "1\n", 2, 0, sim_before(site, EIO));
}

long sys_file_lock_owner(int fd)
{
	(void)fd;
	return 1;
}
