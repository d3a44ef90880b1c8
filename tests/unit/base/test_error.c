/* SPDX-License-Identifier: MIT */
/* test_error.c - the table of codes, and words that stay with the thread that failed */
#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/suite.h"

static const struct {
	const char *name;
	int code;
	const char *text;
} table[] = {
#define ROW(name, value, text) {#name, value, text},
	BWT_ERRORS(ROW)
#undef ROW
};

#define TABLE_SIZE (sizeof table / sizeof table[0])

static void every_code_has_its_own_number_and_text(void)
{
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		CU_ASSERT_TRUE(table[i].code <= -30001);
		CU_ASSERT_STRING_EQUAL(bwt_strerror(table[i].code), table[i].text);
		for (size_t j = 0; j < i; j++) {
			CU_ASSERT_NOT_EQUAL(table[i].code, table[j].code);
			CU_ASSERT_STRING_NOT_EQUAL(table[i].text, table[j].text);
		}
	}
}

/* Programs compiled against an older header keep these numbers. */
static void published_numbers_stay(void)
{
	CU_ASSERT_EQUAL(BWT_OK, 0);
	CU_ASSERT_EQUAL(BWT_NOT_FOUND, -30001);
	CU_ASSERT_EQUAL(BWT_EXISTS, -30002);
	CU_ASSERT_EQUAL(BWT_MISMATCH, -30003);
	CU_ASSERT_EQUAL(BWT_CONFLICT, -30004);
	CU_ASSERT_EQUAL(BWT_BUSY, -30005);
	CU_ASSERT_EQUAL(BWT_FULL, -30006);
	CU_ASSERT_EQUAL(BWT_INVALID, -30007);
	CU_ASSERT_EQUAL(BWT_TOO_BIG, -30008);
	CU_ASSERT_EQUAL(BWT_CORRUPT, -30009);
	CU_ASSERT_EQUAL(BWT_IO, -30010);
	CU_ASSERT_EQUAL(BWT_VERSION, -30011);
	CU_ASSERT_EQUAL(BWT_READ_ONLY, -30012);
	CU_ASSERT_EQUAL(BWT_TRIMMED, -30013);
}

static void system_errors_have_the_text_of_the_system(void)
{
	CU_ASSERT_STRING_EQUAL(bwt_strerror(-ENOENT), "No such file or directory");
	CU_ASSERT_STRING_EQUAL(bwt_strerror(-ENOMEM), strerrordesc_np(ENOMEM));
	CU_ASSERT_STRING_EQUAL(bwt_strerror(BWT_OK), "no error");
}

static void numbers_that_are_no_code_say_so(void)
{
	CU_ASSERT_STRING_EQUAL(bwt_strerror(1), "unknown error code");
	CU_ASSERT_STRING_EQUAL(bwt_strerror(-4095), "unknown error code");
	CU_ASSERT_STRING_EQUAL(bwt_strerror(-30000), "unknown error code");
	CU_ASSERT_STRING_EQUAL(bwt_strerror(-31000), "unknown error code");
	CU_ASSERT_STRING_EQUAL(bwt_strerror(-2147483647 - 1), "unknown error code");
}

static void errno_values_become_codes(void)
{
	CU_ASSERT_EQUAL(error_from_errno(EIO), BWT_IO);
	CU_ASSERT_EQUAL(error_from_errno(ENOSPC), BWT_FULL);
	CU_ASSERT_EQUAL(error_from_errno(EDQUOT), BWT_FULL);
	CU_ASSERT_EQUAL(error_from_errno(EFBIG), BWT_FULL);
	CU_ASSERT_EQUAL(error_from_errno(EACCES), -EACCES);
	CU_ASSERT_EQUAL(error_from_errno(ENOENT), -ENOENT);
}

static void the_words_are_those_of_the_last_failure(void)
{
	errno = EBADF;
	CU_ASSERT_EQUAL(error_set(BWT_CORRUPT, "%s: byte %d", "arena", 4096), BWT_CORRUPT);
	CU_ASSERT_EQUAL(errno, EBADF);
	CU_ASSERT_STRING_EQUAL(bwt_detail(), "arena: byte 4096");
	CU_ASSERT_EQUAL(error_set(BWT_IO, "short"), BWT_IO);
	CU_ASSERT_STRING_EQUAL(bwt_detail(), "short");
}

static void words_can_be_added_to(void)
{
	(void)error_set(BWT_IO, "inner");
	(void)error_set(BWT_IO, "outer: %s", bwt_detail());
	CU_ASSERT_STRING_EQUAL(bwt_detail(), "outer: inner");
}

static void long_words_are_cut(void)
{
	char text[3 * ERROR_DETAIL_MAX];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	(void)error_set(BWT_IO, "%s", text);
	CU_ASSERT_EQUAL(strlen(bwt_detail()), ERROR_DETAIL_MAX - 1);
}

static void *other_thread(void *arg)
{
	bool *empty_at_first = arg;

	*empty_at_first = bwt_detail()[0] == '\0';
	(void)error_set(BWT_IO, "theirs");
	return NULL;
}

static void each_thread_has_its_own_words(void)
{
	bool empty_at_first = false;
	pthread_t thread;

	(void)error_set(BWT_IO, "mine");
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, other_thread, &empty_at_first), 0);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(empty_at_first);
	CU_ASSERT_STRING_EQUAL(bwt_detail(), "mine");
}

static void the_version_is_that_of_the_header(void)
{
	char text[32];

	snprintf(text, sizeof text, "%d.%d.%d", BWT_VERSION_MAJOR, BWT_VERSION_MINOR,
	         BWT_VERSION_PATCH);
	CU_ASSERT_STRING_EQUAL(bwt_version(), text);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(every_code_has_its_own_number_and_text),
		TEST(published_numbers_stay),
		TEST(system_errors_have_the_text_of_the_system),
		TEST(numbers_that_are_no_code_say_so),
		TEST(errno_values_become_codes),
		TEST(the_words_are_those_of_the_last_failure),
		TEST(words_can_be_added_to),
		TEST(long_words_are_cut),
		TEST(each_thread_has_its_own_words),
		TEST(the_version_is_that_of_the_header),
		CU_TEST_INFO_NULL,
	};

	return suite_run("error", NULL, NULL, tests);
}
