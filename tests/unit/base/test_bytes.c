/* SPDX-License-Identifier: MIT */
/* test_bytes.c - byte order at any alignment, and a reader that stops at the end of its input */
#include "base/bytes.h"

#include "tests/support/suite.h"

static const uint8_t sample[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xff};

static void loads_are_little_endian_at_any_alignment(void)
{
	uint8_t moved[sizeof sample + 8];

	for (size_t shift = 0; shift < 8; shift++) {
		memcpy(moved + shift, sample, sizeof sample);
		CU_ASSERT_EQUAL(get_u16(moved + shift), 0x2301);
		CU_ASSERT_EQUAL(get_u32(moved + shift), 0x67452301u);
		CU_ASSERT_EQUAL(get_u64(moved + shift), 0xefcdab8967452301u);
	}
}

static void stores_are_what_loads_read(void)
{
	uint8_t bytes[16] = {0};

	put_u16(bytes + 1, 0xfedc);
	CU_ASSERT_EQUAL(bytes[1], 0xdc);
	CU_ASSERT_EQUAL(bytes[2], 0xfe);
	CU_ASSERT_EQUAL(bytes[3], 0);
	put_u32(bytes + 3, 0x80000001u);
	CU_ASSERT_EQUAL(bytes[3], 0x01);
	CU_ASSERT_EQUAL(bytes[6], 0x80);
	CU_ASSERT_EQUAL(bytes[7], 0);
	put_u64(bytes + 7, UINT64_MAX - 1);
	CU_ASSERT_EQUAL(bytes[7], 0xfe);
	CU_ASSERT_EQUAL(bytes[14], 0xff);
	CU_ASSERT_EQUAL(bytes[15], 0);
	CU_ASSERT_EQUAL(get_u16(bytes + 1), 0xfedc);
	CU_ASSERT_EQUAL(get_u32(bytes + 3), 0x80000001u);
	CU_ASSERT_EQUAL(get_u64(bytes + 7), UINT64_MAX - 1);
}

static void a_reader_takes_fields_in_order(void)
{
	struct bytes_reader reader;
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	const void *rest;

	bytes_reader_init(&reader, sample, sizeof sample);
	CU_ASSERT_EQUAL(bytes_left(&reader), 9);
	CU_ASSERT_TRUE(bytes_take_u8(&reader, &u8));
	CU_ASSERT_TRUE(bytes_take_u16(&reader, &u16));
	CU_ASSERT_TRUE(bytes_take_u32(&reader, &u32));
	CU_ASSERT_EQUAL(u8, 0x01);
	CU_ASSERT_EQUAL(u16, 0x4523);
	CU_ASSERT_EQUAL(u32, 0xcdab8967u);
	CU_ASSERT_EQUAL(bytes_read(&reader), 7);
	rest = bytes_take(&reader, 2);
	CU_ASSERT_PTR_EQUAL(rest, sample + 7);
	CU_ASSERT_EQUAL(bytes_left(&reader), 0);
	CU_ASSERT_FALSE(reader.failed);
}

static void a_read_of_exactly_the_rest_fits(void)
{
	struct bytes_reader reader;
	uint64_t u64;

	bytes_reader_init(&reader, sample, 8);
	CU_ASSERT_TRUE(bytes_take_u64(&reader, &u64));
	CU_ASSERT_EQUAL(u64, 0xefcdab8967452301u);
	CU_ASSERT_PTR_NOT_NULL(bytes_take(&reader, 0));
	CU_ASSERT_FALSE(reader.failed);
}

static void a_read_past_the_end_fails_and_writes_nothing(void)
{
	struct bytes_reader reader;
	uint16_t u16 = 0xaaaa;
	uint32_t u32 = 0xaaaaaaaa;
	uint64_t u64 = 0xaaaa;

	bytes_reader_init(&reader, sample, 7);
	CU_ASSERT_FALSE(bytes_take_u64(&reader, &u64));
	CU_ASSERT_EQUAL(u64, 0xaaaa);
	bytes_reader_init(&reader, sample, 3);
	CU_ASSERT_FALSE(bytes_take_u32(&reader, &u32));
	CU_ASSERT_EQUAL(u32, 0xaaaaaaaa);
	bytes_reader_init(&reader, sample, 1);
	CU_ASSERT_FALSE(bytes_take_u16(&reader, &u16));
	CU_ASSERT_EQUAL(u16, 0xaaaa);
	bytes_reader_init(&reader, sample, sizeof sample);
	CU_ASSERT_PTR_NULL(bytes_take(&reader, SIZE_MAX));
	CU_ASSERT_PTR_NULL(bytes_take(&reader, 1));
}

static void a_failed_reader_stays_failed(void)
{
	struct bytes_reader reader;
	uint8_t u8 = 7;

	bytes_reader_init(&reader, sample, 4);
	CU_ASSERT_PTR_NULL(bytes_take(&reader, 5));
	CU_ASSERT_TRUE(reader.failed);
	CU_ASSERT_EQUAL(bytes_left(&reader), 0);
	CU_ASSERT_FALSE(bytes_take_u8(&reader, &u8));
	CU_ASSERT_EQUAL(u8, 7);
	CU_ASSERT_EQUAL(bytes_read(&reader), 0);
}

static void an_empty_input_has_nothing_to_take(void)
{
	struct bytes_reader reader;
	uint8_t u8;

	bytes_reader_init(&reader, NULL, 0);
	CU_ASSERT_EQUAL(bytes_left(&reader), 0);
	CU_ASSERT_FALSE(bytes_take_u8(&reader, &u8));
	CU_ASSERT_TRUE(reader.failed);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(loads_are_little_endian_at_any_alignment),
		TEST(stores_are_what_loads_read),
		TEST(a_reader_takes_fields_in_order),
		TEST(a_read_of_exactly_the_rest_fits),
		TEST(a_read_past_the_end_fails_and_writes_nothing),
		TEST(a_failed_reader_stays_failed),
		TEST(an_empty_input_has_nothing_to_take),
		CU_TEST_INFO_NULL,
	};

	return suite_run("bytes", NULL, NULL, tests);
}
