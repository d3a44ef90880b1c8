/* SPDX-License-Identifier: MIT */
/* test_visibility.c - LSN words keep state and LSN, and notice damage */
#include "page/visibility.h"

#include "tests/support/suite.h"

static const uint64_t lsns[] = {0, LSN_ALIGN, 4096, (uint64_t)1 << 40, LSN_MAX - LSN_ALIGN};

static void words_give_back_state_and_lsn(void)
{
	for (int state = WORD_PENDING; state <= WORD_DESCRIPTOR; state++)
		for (unsigned i = 0; i < sizeof lsns / sizeof *lsns; i++) {
			uint64_t word = word_make((enum word_state)state, lsns[i]);

			CU_ASSERT_EQUAL(word_state(word), (enum word_state)state);
			CU_ASSERT_EQUAL(word_lsn(word), lsns[i]);
			CU_ASSERT_TRUE(word_valid(word));
		}
}

static void every_changed_byte_of_a_word_is_noticed(void)
{
	unsigned unnoticed = 0;

	for (int state = WORD_PENDING; state <= WORD_DESCRIPTOR; state++)
		for (unsigned i = 0; i < sizeof lsns / sizeof *lsns; i++)
			for (uint64_t change = 1; change < 256; change++)
				for (unsigned byte = 0; byte < 8; byte++)
					unnoticed += word_valid(
						word_make((enum word_state)state, lsns[i]) ^
						change << 8 * byte);
	CU_ASSERT_EQUAL(unnoticed, 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(words_give_back_state_and_lsn),
		TEST(every_changed_byte_of_a_word_is_noticed),
		CU_TEST_INFO_NULL,
	};
	return suite_run("visibility", NULL, NULL, tests);
}
