/* SPDX-License-Identifier: MIT */
/* stats.c - names of the counters; counting itself is inline in stats.h */
#include "base/stats.h"

const char *stats_name(enum stat_counter counter)
{
	switch (counter) {
#define STATS_NAME(suffix, name)                                                                   \
	case STAT_##suffix:                                                                        \
		return #name;
		STATS_COUNTERS(STATS_NAME)
#undef STATS_NAME
	case STAT_COUNT:
		break;
	}
	return "?";
}
