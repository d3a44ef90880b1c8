/* SPDX-License-Identifier: MIT */
/*
 * error.h - codes, their texts, and the words of this thread's last failure
 *
 * bwt_strerror(), bwt_detail() and bwt_version() of bwt.h live in error.c.
 */
#ifndef BWT_BASE_ERROR_H
#define BWT_BASE_ERROR_H

#include "bwt.h"

/** Bytes of a detail text, terminating zero included; longer texts are cut. */
#define ERROR_DETAIL_MAX 1024

/**
 * error_set - store the words that bwt_detail() gives this thread, and hand on the code
 * @rc:     the code to return
 * @...:    printf format of one sentence without a full stop, and its arguments: what failed,
 *          file, offset, page
 * Returns: @rc, so that "return error_set(BWT_CORRUPT, ...);" is one line. A macro, so that
 *          compilers and analysers see which code that is
 * Owner:   the text is copied; arguments may point into the current bwt_detail()
 * Threads: any; each has its own text. errno is kept
 * Blocks:  never
 */
#define error_set(rc, ...) error_pass((error_words(__VA_ARGS__), (rc)))

/** error_words - the part of error_set() that stores the words */
void error_words(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline int error_pass(int rc)
{
	return rc;
}

/**
 * error_from_errno - the code of a failed system call
 * @error:  a positive errno value
 * Returns: BWT_IO    EIO
 *          BWT_FULL  ENOSPC, EDQUOT, EFBIG
 *          -@error   anything else
 */
int error_from_errno(int error);

#endif
