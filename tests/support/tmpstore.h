/* SPDX-License-Identifier: MIT */
/*
 * tmpstore.h - temporary folders for stores, and copies of stores as a crash left them
 *
 * Folders lie under ${TMPDIR:-/tmp}; KEEP=1 in the environment leaves them there and says where.
 * Every function ends the program with a message when the system refuses: a test cannot go on.
 */
#ifndef BWT_TESTS_TMPSTORE_H
#define BWT_TESTS_TMPSTORE_H

#include <stdint.h>

#define TMPSTORE_PATH_MAX 512

/** tmpstore_new - make an empty folder; its path goes to @path */
void tmpstore_new(char path[TMPSTORE_PATH_MAX]);

/** tmpstore_free - remove the folder and all in it (unless KEEP=1) */
void tmpstore_free(const char *path);

/** tmpstore_clear - remove all in the folder, keep the folder */
void tmpstore_clear(const char *path);

/** tmpstore_copy - make @to a copy of the folder @from, holes kept; what was in @to is gone */
void tmpstore_copy(const char *from, const char *to);

/** tmpstore_join - @path = @folder/@name */
void tmpstore_join(char path[TMPSTORE_PATH_MAX], const char *folder, const char *name);

/** tmpstore_bytes - bytes on disk of all files in the folder */
uint64_t tmpstore_bytes(const char *path);

#endif
