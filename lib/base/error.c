/* SPDX-License-Identifier: MIT */
/*
 * error.c - codes to texts, and each thread's last failure in words
 *
 * Why: callers test numbers, people read words. The number travels as the return value; the words
 * wait in the thread that failed until its next failure.
 *
 *   E1  bwt_detail() belongs to the calling thread alone and is always a terminated string.
 *   E2  Texts of codes are static: valid for ever, from any thread.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char detail[ERROR_DETAIL_MAX];

void error_words(const char *format, ...)
{
	const int saved = errno;
	char text[ERROR_DETAIL_MAX]; /* an argument may be the current detail */
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof text, format, args) < 0)
		text[0] = '\0';
	va_end(args);
	memcpy(detail, text, strlen(text) + 1);
	errno = saved;
}

int error_from_errno(int error)
{
	switch (error) {
	case EIO:
		return BWT_IO;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return BWT_FULL;
	default:
		return -error;
	}
}

const char *bwt_strerror(int rc)
{
	const char *text;

	switch (rc) {
	case BWT_OK:
		return "no error";
#define ERROR_CASE(name, value, words)                                                             \
	case name:                                                                                 \
		return words;
		BWT_ERRORS(ERROR_CASE)
#undef ERROR_CASE
	default:
		/* Not strerror(): its text changes under other threads and with the locale. */
		text = rc < 0 && rc >= -4095 ? strerrordesc_np(-rc) : NULL;
		return text != NULL ? text : "unknown error code";
	}
}

const char *bwt_detail(void)
{
	return detail;
}

#define ERROR_QUOTE(number) #number
#define ERROR_DOTTED(major, minor, patch)                                                          \
	ERROR_QUOTE(major) "." ERROR_QUOTE(minor) "." ERROR_QUOTE(patch)

const char *bwt_version(void)
{
	return ERROR_DOTTED(BWT_VERSION_MAJOR, BWT_VERSION_MINOR, BWT_VERSION_PATCH);
}
