/* SPDX-License-Identifier: MIT */
/*
 * cutlog.c - the disk as a power cut may leave it, out of a record of all that was written to it
 *
 * The record is that of QEMU's driver blklogwrites (and of Linux's dm-log-writes): one superblock, then for
 * each write one sector that describes it, and its data. A flush promises that all writes completed before it are
 * on the disk; those since the last one may be there or not, each by itself, torn at 512 bytes.
 *
 *   cutlog stamp LOG                 copies lines from standard input to standard output, each behind the size that LOG
 *                                    has now: a cut at or behind it comes after the line
 *   cutlog points LOG                one line for each flush: its number and where in LOG it ends
 *   cutlog advance LOG IMAGE FROM TO brings IMAGE, the disk after flush FROM (0: nothing was written), to flush TO
 *   cutlog tear LOG IMAGE POINT SEED adds to IMAGE, the disk after flush POINT, a random part of what was written
 *                                    up to the next flush
 *
 * Data written with FUA counts as on the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x6a736677736872)
#define FLUSH 1u
#define FUA 2u
#define DISCARD 4u
#define TORN 512u

struct super {
	uint64_t magic, version, entries;
	uint32_t sector_size;
} __attribute__((packed));

struct entry {
	uint64_t sector, sectors, flags, length;
};

struct log {
	int fd;
	uint64_t size; /* of the file, as it was when it was opened */
	uint64_t at;   /* of the next entry */
	uint32_t sector_size;
};

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "cutlog: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct log open_log(const char *path)
{
	struct log log = {.fd = open(path, O_RDONLY)};
	struct super super;
	struct stat st;

	need(log.fd >= 0, path);
	need(fstat(log.fd, &st) == 0, path);
	need(pread(log.fd, &super, sizeof super, 0) == (ssize_t)sizeof super && super.magic == MAGIC,
	     "not a log of writes");
	log.size = (uint64_t)st.st_size;
	log.sector_size = super.sector_size;
	log.at = super.sector_size;
	return log;
}

/* The entry at log->at, and where its data is; false at the end. */
static bool next_entry(struct log *log, struct entry *entry, uint64_t *data_at)
{
	if (log->at + log->sector_size > log->size ||
	    pread(log->fd, entry, sizeof *entry, (off_t)log->at) != (ssize_t)sizeof *entry)
		return false;
	*data_at = log->at + log->sector_size;
	log->at = *data_at;
	if ((entry->flags & DISCARD) == 0)
		log->at += entry->sectors * log->sector_size;
	return log->at <= log->size;
}

static void stamp(const char *path)
{
	char line[4096];
	struct stat st;

	while (fgets(line, sizeof line, stdin) != NULL) {
		need(stat(path, &st) == 0, path);
		printf("%lld %s", (long long)st.st_size, line);
		fflush(stdout);
	}
}

static void points(const char *path)
{
	struct log log = open_log(path);
	uint64_t data_at, number = 0;
	struct entry entry;

	while (next_entry(&log, &entry, &data_at))
		if ((entry.flags & FLUSH) != 0)
			printf("%" PRIu64 " %" PRIu64 "\n", ++number, log.at);
}

static uint64_t random_word(uint64_t *state)
{
	uint64_t word = *state += 0x9e3779b97f4a7c15u;

	word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
	word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
	return word ^ (word >> 31);
}

/* All of the write, or (@seed) all, nothing, or each 512 bytes of it by chance. */
static void apply(const struct log *log, int image, const struct entry *entry, uint64_t data_at,
                  uint64_t *seed)
{
	uint64_t size = entry->sectors * log->sector_size, to = entry->sector * log->sector_size;
	uint64_t how = seed == NULL ? 0 : random_word(seed) % 8;
	uint8_t *bytes;

	if ((entry->flags & DISCARD) != 0 || size == 0 || (how >= 1 && how <= 3))
		return;
	bytes = malloc(size);
	need(bytes != NULL && pread(log->fd, bytes, size, (off_t)data_at) == (ssize_t)size,
	     "cannot read the log");
	for (uint64_t off = 0; off < size; off += how == 7 ? TORN : size) {
		uint64_t part = how == 7 ? TORN : size;

		if (how != 7 || random_word(seed) % 2 == 0)
			need(pwrite(image, bytes + off, part, (off_t)(to + off)) == (ssize_t)part,
			     "cannot write the image");
	}
	free(bytes);
}

static int open_image(const char *path)
{
	int image = open(path, O_RDWR);

	need(image >= 0, path);
	return image;
}

static void advance(const char *path, const char *image_path, uint64_t from, uint64_t to)
{
	struct log log = open_log(path);
	int image = open_image(image_path);
	uint64_t data_at, flushes = 0;
	struct entry entry;

	while (flushes < to && next_entry(&log, &entry, &data_at)) {
		if (flushes >= from)
			apply(&log, image, &entry, data_at, NULL);
		flushes += (entry.flags & FLUSH) != 0;
	}
	close(image);
}

static void tear(const char *path, const char *image_path, uint64_t point, uint64_t seed)
{
	struct log log = open_log(path);
	int image = open_image(image_path);
	uint64_t data_at, flushes = 0;
	struct entry entry;

	while (flushes <= point && next_entry(&log, &entry, &data_at)) {
		if (flushes == point && (entry.flags & FLUSH) == 0)
			apply(&log, image, &entry, data_at, (entry.flags & FUA) != 0 ? NULL : &seed);
		flushes += (entry.flags & FLUSH) != 0;
	}
	close(image);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "stamp") == 0)
		stamp(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "points") == 0)
		points(argv[2]);
	else if (argc == 6 && strcmp(argv[1], "advance") == 0)
		advance(argv[2], argv[3], strtoull(argv[4], NULL, 0), strtoull(argv[5], NULL, 0));
	else if (argc == 6 && strcmp(argv[1], "tear") == 0)
		tear(argv[2], argv[3], strtoull(argv[4], NULL, 0), strtoull(argv[5], NULL, 0));
	else
		return 2;
	return 0;
}
