/* SPDX-License-Identifier: MIT */
/*
 * tool_text.h - the dump format of Berkeley DB and LMDB (VERSION=3), read and written
 *
 *   VERSION=3
 *   format=bytevalue        or print
 *   database=NAME           only for a named tree
 *   type=btree
 *   HEADER=END
 *    6b6579                 a space, then a key: hexadecimal, or text with \xx for other bytes
 *    76616c7565             a space, then its value
 *   DATA=END                and perhaps another section from the top
 *
 * The plain format (bwt-load -T) has neither header nor end: lines are keys and values in turn,
 * with \xx and \\ for bytes that are not plain.
 *
 * A backslash is written as \5c, which every reader takes; mdb_load 0.9.24 misreads a doubled one.
 * In names of trees only control characters and backslashes are written as \xx, so that UTF-8
 * names arrive in LMDB as they are.
 *
 * Source: db_dump(1) and db_load(1) of Berkeley DB 5.3, mdb_dump(1) and mdb_load(1) of LMDB 0.9.24,
 *         and what these programs do.
 */
#ifndef BWT_TOOLS_TOOL_TEXT_H
#define BWT_TOOLS_TOOL_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bwt.h"

#define TEXT_ERROR_SIZE 256

enum text_answer {
	TEXT_ERROR = -1, /* text_reader.error says what, with the line */
	TEXT_END = 0,
	TEXT_MORE = 1,
};

struct text_line {
	char *bytes; /* of getline(), decoded in place */
	size_t capacity;
	size_t size;
};

struct text_reader {
	FILE *file;                           /* the caller's */
	bool plain;                           /* -T */
	bool print;                           /* of the current section */
	bool begun;                           /* plain: the one section was given out */
	uint64_t line_no;                     /* of the line read last, from 1 */
	char database[BWT_TREE_NAME_MAX + 1]; /* of the current section; "": the main tree */
	struct text_line key, value;
	char error[TEXT_ERROR_SIZE];
};

/** text_reader_init - begin at the current position of @file, which stays the caller's */
void text_reader_init(struct text_reader *reader, FILE *file, bool plain);
void text_reader_deinit(struct text_reader *reader);

/**
 * text_section - read the header of the next section
 * Returns: TEXT_MORE, reader.database names the tree; TEXT_END at the end of the input; TEXT_ERROR
 *          when it is no header, of another version, or of data that a tree cannot hold as it is
 *          (duplicates=1, record numbers for keys)
 */
enum text_answer text_section(struct text_reader *reader);

/**
 * text_pair - read the next pair of the section
 * @key, @value: out, on TEXT_MORE; good until the next call
 * Returns: TEXT_MORE; TEXT_END behind DATA=END (plain: the end of the input); TEXT_ERROR on bad
 *          digits, a key without value, a missing DATA=END, too long a key or value
 */
enum text_answer text_pair(struct text_reader *reader, struct bwt_slice *key,
                           struct bwt_slice *value);

/**
 * text_write_head - begin a section
 * @database: name of the tree, NULL: the main tree
 * @mapsize:  bytes that mdb_load should map, 0: leave the line out, for db_load does not take it
 */
void text_write_head(FILE *file, const char *database, bool print, uint64_t mapsize);

/** text_write - one key or value, with the space before and the newline behind it */
void text_write(FILE *file, struct bwt_slice bytes, bool print);

/** text_write_end - end a section */
void text_write_end(FILE *file);

#endif
