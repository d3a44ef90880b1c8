/* SPDX-License-Identifier: MIT */
/* demo_records.c - cutting, writing and reading the records of "make demo" */
#include "tools/demo_records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_SIZE_MAX 511u /* of LMDB, with which the result is compared */

void demo_die(const char *what, const char *name)
{
	fprintf(stderr, "bwt-demo: cannot %s %s: %s\n", what, name, strerror(errno));
	exit(EXIT_FAILURE);
}

static void *grow(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (memory == NULL)
		demo_die("get", "memory");
	return memory;
}

/* The whole file in memory; a missing one is empty when @may_miss. */
static struct bwt_slice read_file(const char *path, bool may_miss)
{
	struct bwt_slice bytes = {"", 0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && may_miss && errno == ENOENT)
		return bytes;
	if (fd < 0 || fstat(fd, &st) != 0)
		demo_die("read", path);
	if (st.st_size > 0) {
		bytes.data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes.data == MAP_FAILED)
			demo_die("map", path);
		bytes.size = (size_t)st.st_size;
	}
	close(fd);
	return bytes;
}

int demo_compare(struct bwt_slice a, struct bwt_slice b)
{
	size_t common = a.size < b.size ? a.size : b.size;
	int order = memcmp(a.data, b.data, common);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_records(const void *a, const void *b)
{
	const struct record *left = a, *right = b;
	int order = demo_compare(left->key, right->key);

	return order != 0 ? order : (left->number > right->number) - (left->number < right->number);
}

static void append_record(struct record **list, uint32_t *count, const char *key, size_t key_size,
                          const char *value, size_t value_size)
{
	if ((*count & (*count + 1)) == 0)
		*list = grow(*list, 2 * ((size_t)*count + 1) * sizeof **list);
	(*list)[*count] = (struct record){{key, key_size}, {value, value_size}, *count};
	++*count;
}

static const char *field(const char *text, const char *end, const char *name, size_t *size)
{
	size_t name_size = strlen(name);

	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		eol = eol == NULL ? end : eol;
		if ((size_t)(eol - text) > name_size && memcmp(text, name, name_size) == 0) {
			*size = (size_t)(eol - text) - name_size;
			return text + name_size;
		}
		text = eol + 1;
	}
	*size = 0;
	return "";
}

/* Paragraphs of a Debian package index; key: name, version, architecture. */
static void cut_packages(struct bwt_slice input, struct record **list, uint32_t *count)
{
	const char *pos = input.data, *end = pos + input.size;

	while (pos < end) {
		const char *stop = memmem(pos, (size_t)(end - pos), "\n\n", 2);
		const char *next = stop == NULL ? end : stop + 2;
		size_t name_size, version_size, arch_size;
		const char *name, *version, *arch;
		char *key = NULL;
		int key_size;

		stop = stop == NULL ? end : stop + 1;
		name = field(pos, stop, "Package: ", &name_size);
		version = field(pos, stop, "Version: ", &version_size);
		arch = field(pos, stop, "Architecture: ", &arch_size);
		key_size = asprintf(&key, "%.*s %.*s %.*s", (int)name_size, name, (int)version_size,
		                    version, (int)arch_size, arch);
		if (key_size < 0)
			demo_die("get", "memory");
		if (name_size > 0)
			append_record(list, count, key, (size_t)key_size, pos, (size_t)(stop - pos));
		pos = next;
	}
}

/* Pairs of strings, a zero byte after each: path and stat line. */
static void cut_paths(struct bwt_slice input, struct record **list, uint32_t *count)
{
	const char *pos = input.data, *end = pos + input.size;

	while (pos < end) {
		const char *key_end = memchr(pos, '\0', (size_t)(end - pos));
		const char *value_end;

		if (key_end == NULL)
			break;
		value_end = memchr(key_end + 1, '\0', (size_t)(end - key_end - 1));
		if (value_end == NULL)
			break;
		append_record(list, count, pos, (size_t)(key_end - pos), key_end + 1,
		              (size_t)(value_end - key_end - 1));
		pos = value_end + 1;
	}
}

/* Write the records sorted by key, each key once (the first wins), none longer than LMDB takes. */
int demo_prepare(const char *kind, const char *input, const char *output)
{
	struct record *list = NULL;
	uint32_t count = 0, kept = 0, too_long = 0;
	size_t bytes = 0, largest = 0;
	FILE *file = fopen(output, "we");

	if (file == NULL)
		demo_die("write", output);
	if (strcmp(kind, "packages") == 0)
		cut_packages(read_file(input, false), &list, &count);
	else
		cut_paths(read_file(input, false), &list, &count);
	if (count == 0) {
		fprintf(stderr, "bwt-demo: %s has no records\n", input);
		return EXIT_FAILURE;
	}
	qsort(list, count, sizeof *list, compare_records);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t sizes[2] = {(uint32_t)list[i].key.size, (uint32_t)list[i].value.size};

		if (list[i].key.size > KEY_SIZE_MAX) {
			too_long++;
			continue;
		}
		if (i > 0 && demo_compare(list[i - 1].key, list[i].key) == 0)
			continue;
		fwrite(sizes, sizeof sizes, 1, file);
		fwrite(list[i].key.data, 1, list[i].key.size, file);
		fwrite(list[i].value.data, 1, list[i].value.size, file);
		kept++;
		bytes += list[i].key.size + list[i].value.size;
		largest = list[i].value.size > largest ? list[i].value.size : largest;
	}
	if (fclose(file) != 0)
		demo_die("write", output);
	printf("%s: %u records, %.1f MiB, largest value %zu bytes", kind, kept,
	       (double)bytes / 1048576, largest);
	if (too_long > 0)
		printf(" (%u keys above %u bytes left out: LMDB refuses them)", too_long,
		       KEY_SIZE_MAX);
	printf("\n");
	return EXIT_SUCCESS;
}

void demo_read_records(struct records *records, const char *packages, const char *paths)
{
	const char *names[2] = {packages, paths};
	uint32_t count = 0;

	records->all = NULL;
	for (int tree = 0; tree < 2; tree++) {
		struct bwt_slice bytes = read_file(names[tree], false);
		const char *pos = bytes.data, *end = pos + bytes.size;
		uint32_t sizes[2];

		records->first[tree] = count;
		while ((size_t)(end - pos) >= sizeof sizes) {
			memcpy(sizes, pos, sizeof sizes);
			pos += sizeof sizes;
			append_record(&records->all, &count, pos, sizes[0], pos + sizes[0], sizes[1]);
			pos += sizes[0] + sizes[1];
		}
	}
	records->first[2] = count;
}

/* One flag per record, set when ACKS names it; *@count says how many are set. */
bool *demo_read_acks(const char *path, uint32_t total, uint32_t *count)
{
	struct bwt_slice bytes = read_file(path, true);
	bool *acked = grow(NULL, total);
	uint32_t number;

	memset(acked, 0, total);
	*count = 0;
	for (size_t off = 0; off + sizeof number <= bytes.size; off += sizeof number) {
		memcpy(&number, (const char *)bytes.data + off, sizeof number);
		if (number >= total) {
			fprintf(stderr, "bwt-demo: %s does not belong to these records\n", path);
			exit(EXIT_FAILURE);
		}
		*count += !acked[number];
		acked[number] = true;
	}
	return acked;
}
