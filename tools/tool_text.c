/* SPDX-License-Identifier: MIT */
/* tool_text.c - the text of dumps, both directions */
#include "tools/tool_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN_MAX 64 /* bytes of the input that an error message repeats */

static enum text_answer refuse(struct text_reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static enum text_answer refuse(struct text_reader *reader, const char *format, ...)
{
	va_list args;
	int used =
		snprintf(reader->error, sizeof reader->error, "line %" PRIu64 ": ", reader->line_no);

	va_start(args, format);
	vsnprintf(reader->error + used, sizeof reader->error - (size_t)used, format, args);
	va_end(args);
	return TEXT_ERROR;
}

void text_reader_init(struct text_reader *reader, FILE *file, bool plain)
{
	*reader = (struct text_reader){.file = file, .plain = plain, .print = plain};
}

void text_reader_deinit(struct text_reader *reader)
{
	free(reader->key.bytes);
	free(reader->value.bytes);
}

/* One line without its newline, zero-terminated. TEXT_END: there is none. */
static enum text_answer read_line(struct text_reader *reader, struct text_line *line)
{
	ssize_t size;

	errno = 0;
	size = getline(&line->bytes, &line->capacity, reader->file);
	if (size < 0) {
		if (ferror(reader->file) || !feof(reader->file))
			return refuse(reader, "cannot read on: %s", strerror(errno));
		return TEXT_END;
	}
	reader->line_no++;
	if (size > 0 && line->bytes[size - 1] == '\n')
		line->bytes[--size] = '\0';
	line->size = (size_t)size;
	return TEXT_MORE;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

/* Two digits at @at as a byte; -1: they are none. */
static int hex_byte(const char *at)
{
	int high = hex_digit(at[0]);
	int low = high < 0 ? -1 : hex_digit(at[1]);

	return low < 0 ? -1 : high << 4 | low;
}

/* Hexadecimal to bytes, in place, from @from on. */
static enum text_answer decode_hex(struct text_reader *reader, struct text_line *line, size_t from)
{
	size_t to = 0;

	if ((line->size - from) % 2 != 0)
		return refuse(reader, "an odd number of hexadecimal digits");
	for (size_t i = from; i < line->size; i += 2) {
		int byte = hex_byte(line->bytes + i);

		if (byte < 0)
			return refuse(reader, "bad hexadecimal digits at column %zu", i + 1);
		line->bytes[to++] = (char)byte;
	}
	line->size = to;
	return TEXT_MORE;
}

/* \xx and \\ to bytes, in place, from @from on. */
static enum text_answer decode_print(struct text_reader *reader, struct text_line *line, size_t from)
{
	size_t to = 0;

	for (size_t i = from; i < line->size; i++) {
		int byte = (unsigned char)line->bytes[i];

		if (byte == '\\') {
			if (line->size - i >= 2 && line->bytes[i + 1] == '\\') {
				i += 1;
			} else {
				byte = line->size - i >= 3 ? hex_byte(line->bytes + i + 1) : -1;
				i += 2;
			}
			if (byte < 0)
				return refuse(reader,
				              "a backslash without two hexadecimal digits at "
				              "column %zu (mdb_dump -p writes such text: use it "
				              "without -p)",
				              i - 1);
		}
		line->bytes[to++] = (char)byte;
	}
	line->size = to;
	return TEXT_MORE;
}

static enum text_answer decode(struct text_reader *reader, struct text_line *line, size_t from)
{
	return reader->print ? decode_print(reader, line, from) : decode_hex(reader, line, from);
}

/* The part behind "name=" when the line has that name; else NULL. */
static const char *header_value(const struct text_line *line, const char *name)
{
	size_t size = strlen(name);

	if (line->size <= size || memcmp(line->bytes, name, size) != 0 || line->bytes[size] != '=')
		return NULL;
	return line->bytes + size + 1;
}

static enum text_answer header_database(struct text_reader *reader)
{
	struct text_line *line = &reader->key;

	if (decode_print(reader, line, strlen("database=")) < 0)
		return TEXT_ERROR;
	if (line->size == 0 || line->size > BWT_TREE_NAME_MAX ||
	    memchr(line->bytes, '\0', line->size) != NULL)
		return refuse(reader, "a name of a tree has 1 to %u bytes, none of them zero",
		              BWT_TREE_NAME_MAX);
	memcpy(reader->database, line->bytes, line->size);
	reader->database[line->size] = '\0';
	return TEXT_MORE;
}

/* A line between VERSION=3 and HEADER=END. Settings of the program that wrote it mean nothing here. */
static enum text_answer header_line(struct text_reader *reader)
{
	const struct text_line *line = &reader->key;
	const char *value;

	if ((value = header_value(line, "format")) != NULL) {
		reader->print = strcmp(value, "print") == 0;
		if (!reader->print && strcmp(value, "bytevalue") != 0)
			return refuse(reader, "format is bytevalue or print, not \"%.*s\"",
			              NAME_SHOWN_MAX, value);
	} else if ((value = header_value(line, "type")) != NULL) {
		if (strcmp(value, "btree") != 0 && strcmp(value, "hash") != 0)
			return refuse(reader, "type is btree or hash, not \"%.*s\"", NAME_SHOWN_MAX,
			              value);
	} else if (header_value(line, "database") != NULL) {
		return header_database(reader);
	} else if ((value = header_value(line, "duplicates")) != NULL ||
	           (value = header_value(line, "dupsort")) != NULL) {
		if (strcmp(value, "0") != 0)
			return refuse(reader, "a key with several values cannot be stored");
	} else if ((value = header_value(line, "keys")) != NULL) {
		if (strcmp(value, "1") != 0)
			return refuse(reader, "the dump has no keys");
	} else if (memchr(line->bytes, '=', line->size) == NULL) {
		return refuse(reader, "not a line of a header: \"%.*s\"", NAME_SHOWN_MAX,
		              line->bytes);
	}
	return TEXT_MORE;
}

enum text_answer text_section(struct text_reader *reader)
{
	struct text_line *line = &reader->key;
	const char *value;
	enum text_answer answer;

	reader->database[0] = '\0';
	if (reader->plain) {
		answer = reader->begun ? TEXT_END : TEXT_MORE;
		reader->begun = true;
		return answer;
	}
	answer = read_line(reader, line);
	if (answer != TEXT_MORE)
		return answer;
	value = header_value(line, "VERSION");
	if (value == NULL)
		return refuse(reader, "a dump begins with VERSION=3, this with \"%.*s\"",
		              NAME_SHOWN_MAX, line->bytes);
	if (strcmp(value, "3") != 0)
		return refuse(reader, "a dump of version \"%.*s\", only 3 can be read",
		              NAME_SHOWN_MAX, value);
	reader->print = false;
	for (;;) {
		answer = read_line(reader, line);
		if (answer == TEXT_END)
			return refuse(reader, "the input ends before HEADER=END");
		if (answer == TEXT_MORE && strcmp(line->bytes, "HEADER=END") == 0)
			return TEXT_MORE;
		if (answer == TEXT_MORE)
			answer = header_line(reader);
		if (answer == TEXT_ERROR)
			return TEXT_ERROR;
	}
}

/* A key or value of a section with a header. TEXT_END: DATA=END. */
static enum text_answer read_data(struct text_reader *reader, struct text_line *line)
{
	enum text_answer answer = read_line(reader, line);

	if (answer == TEXT_END)
		return refuse(reader, "the input ends before DATA=END");
	if (answer == TEXT_ERROR)
		return TEXT_ERROR;
	if (strcmp(line->bytes, "DATA=END") == 0)
		return TEXT_END;
	if (line->size == 0 || line->bytes[0] != ' ')
		return refuse(reader, "a line of data begins with a space");
	return decode(reader, line, 1);
}

static enum text_answer read_plain(struct text_reader *reader, struct text_line *line)
{
	enum text_answer answer = read_line(reader, line);

	return answer == TEXT_MORE ? decode(reader, line, 0) : answer;
}

enum text_answer text_pair(struct text_reader *reader, struct bwt_slice *key, struct bwt_slice *value)
{
	enum text_answer (*read)(struct text_reader *, struct text_line *) =
		reader->plain ? read_plain : read_data;
	enum text_answer answer = read(reader, &reader->key);

	if (answer != TEXT_MORE)
		return answer;
	if (reader->key.size > BWT_KEY_MAX)
		return refuse(reader, "a key of %zu bytes, %u at most can be stored",
		              reader->key.size, BWT_KEY_MAX);
	answer = read(reader, &reader->value);
	if (answer == TEXT_END)
		return refuse(reader, "the last key has no value");
	if (answer == TEXT_ERROR)
		return TEXT_ERROR;
	if (reader->value.size > BWT_VALUE_MAX)
		return refuse(reader, "a value of %zu bytes, %u at most can be stored",
		              reader->value.size, BWT_VALUE_MAX);
	*key = (struct bwt_slice){reader->key.bytes, reader->key.size};
	*value = (struct bwt_slice){reader->value.bytes, reader->value.size};
	return TEXT_MORE;
}

static const char digits[] = "0123456789abcdef";

void text_write_head(FILE *file, const char *database, bool print, uint64_t mapsize)
{
	fprintf(file, "VERSION=3\nformat=%s\n", print ? "print" : "bytevalue");
	if (database != NULL) {
		fputs("database=", file);
		for (const unsigned char *at = (const unsigned char *)database; *at != '\0'; at++) {
			if (*at < 0x20 || *at == 0x7f || *at == '\\')
				fprintf(file, "\\%02x", *at);
			else
				fputc(*at, file);
		}
		fputc('\n', file);
	}
	fputs("type=btree\n", file);
	if (mapsize != 0)
		fprintf(file, "mapsize=%" PRIu64 "\n", mapsize);
	fputs("HEADER=END\n", file);
}

void text_write(FILE *file, struct bwt_slice bytes, bool print)
{
	const unsigned char *at = bytes.data;

	flockfile(file);
	putc_unlocked(' ', file);
	for (size_t i = 0; i < bytes.size; i++) {
		if (print && at[i] >= 0x20 && at[i] < 0x7f && at[i] != '\\') {
			putc_unlocked(at[i], file);
			continue;
		}
		if (print)
			putc_unlocked('\\', file);
		putc_unlocked(digits[at[i] >> 4], file);
		putc_unlocked(digits[at[i] & 15], file);
	}
	putc_unlocked('\n', file);
	funlockfile(file);
}

void text_write_end(FILE *file)
{
	fputs("DATA=END\n", file);
}
