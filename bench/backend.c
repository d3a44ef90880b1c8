/* SPDX-License-Identifier: MIT */
/*
 * backend.c - the stores that this build of the benchmark can drive
 *
 * Why: a peer is built in only where its header and library were found (Makefile.inc), so the list
 * is the one place that knows which.
 */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct backend *const backends[] = {
	&backend_bwt,        &backend_bwt_txn,
#ifdef BENCH_HAVE_LMDB
	&backend_lmdb,
#endif
#ifdef BENCH_HAVE_ROCKSDB
	&backend_rocksdb,    &backend_rocksdb_txn,
#endif
#ifdef BENCH_HAVE_WIREDTIGER
	&backend_wiredtiger,
#endif
#ifdef BENCH_HAVE_LEVELDB
	&backend_leveldb,
#endif
#ifdef BENCH_HAVE_BDB
	&backend_bdb,
#endif
#ifdef BENCH_HAVE_TKRZW
	&backend_tkrzw,
#endif
	&backend_raw,        &backend_null,
};

const struct backend *backend_at(size_t index)
{
	return index < sizeof backends / sizeof backends[0] ? backends[index] : NULL;
}

const struct backend *backend_find(const char *name)
{
	const struct backend *backend;

	for (size_t i = 0; (backend = backend_at(i)) != NULL; i++)
		if (strcmp(backend->name, name) == 0)
			return backend;
	return NULL;
}

int backend_fail(const char *name, const char *call, const char *text)
{
	fprintf(stderr, "bwt-bench: %s: %s: %s\n", name, call, text);
	return -EIO;
}
