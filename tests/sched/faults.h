/* SPDX-License-Identifier: MIT */
/*
 * faults.h - planted faults: a test point of the library, the scenarios that must find it, what it does
 */
#ifndef BWT_SCHED_FAULTS_H
#define BWT_SCHED_FAULTS_H

#define FAULT_SCENARIOS_MAX 3u

struct fault {
	const char *name;                          /* of the TEST_FAULT point */
	const char *scenario[FAULT_SCENARIOS_MAX]; /* each of them alone must find it */
	const char *what;
	unsigned budget; /* schedules; 0: FAULT_BUDGET */
};

#define FAULT_BUDGET 20000u

extern const struct fault faults[];
extern const unsigned fault_count;

#endif
