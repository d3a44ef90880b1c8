/* SPDX-License-Identifier: MIT */
/*
 * bench_system.h - what the machine did meanwhile: bytes written, memory, disk space, and its names
 */
#ifndef BENCH_SYSTEM_H
#define BENCH_SYSTEM_H

#include <stdint.h>

#define SYSTEM_TEXT_MAX 128

/** Bytes written since some point in the past; only differences mean something. */
struct system_written {
	uint64_t process; /* by this process: dirtied pages and direct writes, less what was discarded */
	uint64_t device; /* by the whole machine to the device below the store; 0 when it has none */
};

struct system_names {
	char cpu[SYSTEM_TEXT_MAX]; /* model and number online */
	char kernel[SYSTEM_TEXT_MAX];
	char file_system[SYSTEM_TEXT_MAX]; /* type and device of the store's directory */
};

/** system_now_ns - monotonic clock, nanoseconds */
uint64_t system_now_ns(void);

/**
 * system_written_read - both counters of struct system_written
 * @dir:    any path on the store's file system
 * Source:  Documentation/filesystems/proc.rst (/proc/PID/io), Documentation/block/stat.rst
 */
void system_written_read(const char *dir, struct system_written *written);

/** system_anon_bytes - resident memory of this process that no file backs; 0 when unknown */
uint64_t system_anon_bytes(void);

/** system_cpu_ns - processor time that this process has used, all threads, nanoseconds */
uint64_t system_cpu_ns(void);

/** system_disk_bytes - bytes allocated on disk to everything below @dir */
uint64_t system_disk_bytes(const char *dir);

/** system_remove - delete @dir and everything below it, on one file system */
int system_remove(const char *dir);

/** system_flush - write back everything that is dirty on the file system of @dir */
void system_flush(const char *dir);

/** system_names_read - see struct system_names; what is unknown is "?" */
void system_names_read(const char *dir, struct system_names *names);

#endif
