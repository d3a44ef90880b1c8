/* SPDX-License-Identifier: MIT */
/*
 * file.c - files and directories, as far as a store needs them
 *
 * Why: every wait for a disk that is not a ring's or a mapping's is in this file, so that one
 * replacement of it gives a simulated disk.
 *
 *   F1  A call that the system interrupts (EINTR) is made again; a call that failed is not.
 *   F2  Reads and writes are whole or an error; the kernel's short counts end here.
 *   F3  A write that would pass RLIMIT_FSIZE is BWT_FULL without being tried: the system answers
 *       such a write with SIGXFSZ, which kills a process that never heard of this library.
 */
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/error.h"
#include "sys/fail.h"

#define ZERO_STEP ((size_t)1 << 20) /* bytes of one write of zeroes */
#define PATH_SIZE 4096 /* bytes of a path, its final zero included; PATH_MAX of Linux */
#define PID_TEXT_SIZE 24

/* Never written to, so it costs no memory: every page of it is the system's zero page. */
static _Alignas(4096) uint8_t zeroes[ZERO_STEP];

/* Bytes written since the start of the process. Writers: any; reader: statistics. Relaxed. */
static _Atomic(uint64_t) bytes_written;

uint64_t sys_file_bytes_written(void)
{
	return atomic_load_explicit(&bytes_written, memory_order_relaxed);
}

void sys_file_count_written(uint64_t bytes)
{
	atomic_fetch_add_explicit(&bytes_written, bytes, memory_order_relaxed);
}

/* F3. Private to the calling process, so another process may still lower it in between. */
static bool beyond_limit(uint64_t end)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	       end > limit.rlim_cur;
}

/* --- Directories --- */

static int dir_open(int at_fd, const char *path, int *out)
{
	int fd;

	do
		fd = openat(at_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return sys_fail_name(errno, "open directory", at_fd, path);
	*out = fd;
	return BWT_OK;
}

int sys_dir_open(const char *path, int *dir_fd)
{
	return dir_open(AT_FDCWD, path, dir_fd);
}

int sys_dir_open_at(int dir_fd, const char *name, int *out)
{
	return dir_open(dir_fd, name, out);
}

/* Make the name of @path durable: sync the directory that it stands in. */
static int sync_parent(const char *path)
{
	char parent[PATH_SIZE];
	size_t len = strlen(path);
	int dir_fd, rc;

	while (len > 0 && path[len - 1] == '/')
		len--;
	while (len > 0 && path[len - 1] != '/')
		len--;
	/* The slash stays: "/x" stands in "/", and "a//" is the same directory as "a". */
	if (len >= sizeof parent)
		return sys_fail_name(ENAMETOOLONG, "open directory", -1, path);
	memcpy(parent, path, len);
	parent[len] = '\0';
	rc = sys_dir_open(len > 0 ? parent : ".", &dir_fd);
	if (rc < 0)
		return rc;
	rc = sys_dir_sync(dir_fd);
	sys_file_close(dir_fd);
	return rc;
}

int sys_dir_create(const char *path)
{
	if (mkdir(path, 0777) < 0) {
		if (errno == EEXIST)
			return BWT_EXISTS;
		return sys_fail_name(errno, "create directory", -1, path);
	}
	return sync_parent(path);
}

int sys_dir_create_at(int dir_fd, const char *name)
{
	struct stat st;

	if (mkdirat(dir_fd, name, 0777) == 0)
		return BWT_OK;
	if (errno != EEXIST)
		return sys_fail_name(errno, "create directory", dir_fd, name);
	if (fstatat(dir_fd, name, &st, 0) < 0)
		return sys_fail_name(errno, "look up", dir_fd, name);
	if (!S_ISDIR(st.st_mode))
		return sys_fail_name(ENOTDIR, "create directory", dir_fd, name);
	return BWT_OK;
}

int sys_dir_sync(int dir_fd)
{
	int failed;

	do
		failed = fsync(dir_fd);
	while (failed < 0 && errno == EINTR);
	return failed < 0 ? sys_fail(errno, "sync directory", dir_fd, SYS_NO_OFF) : BWT_OK;
}

int sys_dir_same(int a, int b, bool *same)
{
	struct stat first, second;

	if (fstat(a, &first) < 0)
		return sys_fail(errno, "look up", a, SYS_NO_OFF);
	if (fstat(b, &second) < 0)
		return sys_fail(errno, "look up", b, SYS_NO_OFF);
	*same = first.st_dev == second.st_dev && first.st_ino == second.st_ino;
	return BWT_OK;
}

int sys_dir_path(int dir_fd, char *path, size_t size)
{
	sys_fd_name(dir_fd, path, size);
	if (path[0] != '/')
		return error_set(-ENOENT, "the path of a directory cannot be found out: no /proc");
	if (strlen(path) + 1 == size)
		return sys_fail(ENAMETOOLONG, "look up", dir_fd, SYS_NO_OFF);
	return BWT_OK;
}

/* --- Links --- */

int sys_link_create(int dir_fd, const char *target, const char *name)
{
	if (symlinkat(target, dir_fd, name) < 0)
		return sys_fail_name(errno, "link", dir_fd, name);
	return BWT_OK;
}

int sys_link_read(int dir_fd, const char *name, char *target, size_t size)
{
	ssize_t len = readlinkat(dir_fd, name, target, size);

	if (len < 0)
		return -errno;
	if ((size_t)len == size)
		return -ENAMETOOLONG;
	target[len] = '\0';
	return BWT_OK;
}

int sys_dir_list(int dir_fd, int (*each)(void *ctx, const char *name), void *ctx)
{
	struct dirent *entry;
	int fd = -1, rc;
	DIR *dir;

	/* A descriptor of our own: a duplicate would share its position with @dir_fd. */
	rc = sys_dir_open_at(dir_fd, ".", &fd);
	if (rc < 0)
		return rc;
	dir = fdopendir(fd);
	if (dir == NULL) {
		rc = sys_fail(errno, "list directory", fd, SYS_NO_OFF);
		sys_file_close(fd);
		return rc;
	}
	for (;;) {
		errno = 0;
		entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe): the stream is this call's own */
		if (entry == NULL) {
			if (errno != 0)
				rc = sys_fail(errno, "list directory", fd, SYS_NO_OFF);
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		rc = each(ctx, entry->d_name);
		if (rc != 0)
			break;
	}
	closedir(dir);
	return rc;
}

/* --- Opening and naming --- */

/*
 * A store's files are regular files. Anything else under such a name is damage, and dangerous: a
 * pipe would block the open, a device would take the bytes. O_NONBLOCK keeps the open itself from
 * waiting, and must not stay: io_uring would fail with EAGAIN what it cannot do at once.
 */
static int settle(int fd, int dir_fd, const char *name)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) < 0)
		return sys_fail_name(errno, "look up", dir_fd, name);
	if (!S_ISREG(st.st_mode)) {
		char dir[256];

		sys_fd_name(dir_fd, dir, sizeof dir);
		return error_set(BWT_CORRUPT, "%s/%s is not a regular file", dir, name);
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return sys_fail_name(errno, "set up", dir_fd, name);
	return BWT_OK;
}

int sys_file_open(int dir_fd, const char *name, unsigned flags, int *fd)
{
	int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int new_fd, rc;

	how |= flags & SYS_RDONLY ? O_RDONLY : O_RDWR;
	how |= flags & SYS_CREATE ? O_CREAT : 0;
	how |= flags & SYS_EXCL ? O_EXCL : 0;
	how |= flags & SYS_DIRECT ? O_DIRECT : 0;
	do
		new_fd = openat(dir_fd, name, how, 0666);
	while (new_fd < 0 && errno == EINTR);
	if (new_fd < 0) {
		if (errno == EEXIST)
			return BWT_EXISTS;
		return sys_fail_name(errno, "open", dir_fd, name);
	}
	rc = settle(new_fd, dir_fd, name);
	if (rc < 0) {
		sys_file_close(new_fd);
		return rc;
	}
	*fd = new_fd;
	return BWT_OK;
}

void sys_file_close(int fd)
{
	/* EINTR included, Linux has closed it by now: a second close could hit a stranger's. */
	if (fd >= 0)
		close(fd);
}

int sys_file_exists(int dir_fd, const char *name, bool *exists)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, 0) == 0)
		*exists = true;
	else if (errno == ENOENT)
		*exists = false;
	else
		return sys_fail_name(errno, "look up", dir_fd, name);
	return BWT_OK;
}

int sys_file_rename(int dir_fd, const char *from, const char *to)
{
	if (renameat(dir_fd, from, dir_fd, to) < 0)
		return sys_fail_name(errno, "rename", dir_fd, from);
	return BWT_OK;
}

int sys_file_unlink(int dir_fd, const char *name)
{
	if (unlinkat(dir_fd, name, 0) < 0)
		return sys_fail_name(errno, "remove", dir_fd, name);
	return BWT_OK;
}

/* --- Size and space --- */

int sys_file_size(int fd, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return sys_fail(errno, "look up", fd, SYS_NO_OFF);
	*size = (uint64_t)st.st_size;
	return BWT_OK;
}

int sys_file_disk_bytes(int fd, uint64_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return sys_fail(errno, "look up", fd, SYS_NO_OFF);
	*bytes = (uint64_t)st.st_blocks * 512; /* stat(2): the unit is 512 whatever the blocks are */
	return BWT_OK;
}

/* Where fallocate is unknown only writing takes blocks; what is in the file already stays. */
static int allocate_by_writing(int fd, uint64_t off, uint64_t end)
{
	uint64_t size = 0;
	int rc = sys_file_size(fd, &size);

	if (rc < 0)
		return rc;
	if (size > off)
		off = size;
	return off < end ? sys_file_zero_fill(fd, off, end - off) : BWT_OK;
}

int sys_file_allocate(int fd, uint64_t off, uint64_t len)
{
	int failed;

	if (len == 0)
		return BWT_OK;
	if (beyond_limit(off + len))
		return sys_fail(EFBIG, "allocate space in", fd, off);
	do
		failed = fallocate(fd, 0, (off_t)off, (off_t)len);
	while (failed < 0 && errno == EINTR);
	if (failed == 0)
		return BWT_OK;
	if (errno == EOPNOTSUPP || errno == ENOSYS)
		return allocate_by_writing(fd, off, off + len);
	return sys_fail(errno, "allocate space in", fd, off);
}

int sys_file_truncate(int fd, uint64_t size)
{
	int failed;

	if (beyond_limit(size))
		return sys_fail(EFBIG, "resize", fd, size);
	do
		failed = ftruncate(fd, (off_t)size);
	while (failed < 0 && errno == EINTR);
	return failed < 0 ? sys_fail(errno, "resize", fd, size) : BWT_OK;
}

int sys_file_punch(int fd, uint64_t off, uint64_t len)
{
	int failed;

	do
		failed = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
		                   (off_t)len);
	while (failed < 0 && errno == EINTR);
	return failed < 0 ? sys_fail(errno, "give back space of", fd, off) : BWT_OK;
}

/* Blocks that were allocated and never written to may count as a hole, too: to allocate them again is harmless. */
bool sys_file_has_hole(int fd, uint64_t off, uint64_t len)
{
	off_t hole = lseek(fd, (off_t)off, SEEK_HOLE);

	return hole >= 0 && (uint64_t)hole < off + len;
}

/* --- Bytes --- */

int sys_file_read_some(int fd, void *data, size_t size, uint64_t off, size_t *got)
{
	uint8_t *bytes = data;
	size_t done = 0;

	while (done < size) {
		ssize_t count = pread(fd, bytes + done, size - done, (off_t)(off + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return sys_fail(errno, "read", fd, off + done);
		if (count == 0)
			break;
		done += (size_t)count;
	}
	*got = done;
	return BWT_OK;
}

int sys_file_read(int fd, void *data, size_t size, uint64_t off)
{
	size_t got = 0;
	int rc = sys_file_read_some(fd, data, size, off, &got);

	if (rc == BWT_OK && got < size)
		return sys_fail_short(fd, off, size, got);
	return rc;
}

int sys_file_write(int fd, const void *data, size_t size, uint64_t off)
{
	const uint8_t *bytes = data;
	size_t done = 0;

	if (beyond_limit(off + size))
		return sys_fail(EFBIG, "write", fd, off);
	while (done < size) {
		ssize_t count = pwrite(fd, bytes + done, size - done, (off_t)(off + done));

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return sys_fail(count < 0 ? errno : EIO, "write", fd, off + done);
		sys_file_count_written((uint64_t)count);
		done += (size_t)count;
	}
	return BWT_OK;
}

int sys_file_zero_fill(int fd, uint64_t off, uint64_t len)
{
	while (len > 0) {
		size_t step = len < ZERO_STEP ? (size_t)len : ZERO_STEP;
		int rc = sys_file_write(fd, zeroes, step, off);

		if (rc < 0)
			return rc;
		off += step;
		len -= step;
	}
	return BWT_OK;
}

int sys_file_sync(int fd)
{
	int failed;

	do
		failed = fdatasync(fd);
	while (failed < 0 && errno == EINTR);
	return failed < 0 ? sys_fail(errno, "sync", fd, SYS_NO_OFF) : BWT_OK;
}

int sys_file_drop_cache(int fd)
{
	/* The system drops only what is clean, so what is dirty goes to the disk first. */
	int rc = sys_file_sync(fd);

	if (rc == BWT_OK)
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return rc;
}

/* --- The lock --- */

/*
 * Who holds a flock of the file, as the system says; 0: it does not say. A holder that only reads
 * leaves no pid in the file, and what stands there is the last writer's.
 */
static long flock_holder(int fd)
{
	FILE *locks = fopen("/proc/locks", "re");
	unsigned dev_major, dev_minor;
	unsigned long inode;
	char line[256];
	struct stat st;
	long pid = 0, found;

	if (locks == NULL)
		return 0;
	if (fstat(fd, &st) < 0)
		st.st_ino = 0;
	while (st.st_ino != 0 && pid == 0 && fgets(line, sizeof line, locks) != NULL) {
		if (sscanf(line, "%*u: FLOCK %*s %*s %ld %x:%x:%lu", &found, &dev_major, &dev_minor,
		           &inode) == 4 &&
		    inode == st.st_ino && makedev(dev_major, dev_minor) == st.st_dev && found > 0)
			pid = found;
	}
	fclose(locks);
	return pid;
}

int sys_file_lock(int fd)
{
	char name[256];
	long holder;
	int failed;

	/* By number: the header of flock() has the name of ours, sys/file.h. */
	do
		failed = (int)syscall(SYS_flock, fd, LOCK_EX | LOCK_NB);
	while (failed < 0 && errno == EINTR);
	if (failed == 0)
		return BWT_OK;
	if (errno != EWOULDBLOCK)
		return sys_fail(errno, "lock", fd, SYS_NO_OFF);
	sys_fd_name(fd, name, sizeof name);
	holder = flock_holder(fd);
	if (holder == 0)
		holder = sys_file_lock_owner(fd);
	if (holder == 0)
		return error_set(BWT_BUSY, "%s is locked by another process", name);
	return error_set(BWT_BUSY, "%s is locked by process %ld", name, holder);
}

void sys_file_unlock(int fd)
{
	if (fd >= 0)
		(void)syscall(SYS_flock, fd, LOCK_UN);
}

int sys_file_lock_note(int fd)
{
	/* As long as each before it: cutting a file to nothing first makes ext4 write it back, 3 ms of every opening. */
	char text[PID_TEXT_SIZE];
	int len = snprintf(text, sizeof text, "%10ld\n", (long)getpid());

	return sys_file_write(fd, text, (size_t)len, 0);
}

long sys_file_lock_owner(int fd)
{
	char text[PID_TEXT_SIZE] = "";
	ssize_t len;
	char *end;
	long pid;

	do
		len = pread(fd, text, sizeof text - 1, 0);
	while (len < 0 && errno == EINTR);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	pid = strtol(text, &end, 10);
	return pid > 0 && *end == '\n' ? pid : 0;
}
