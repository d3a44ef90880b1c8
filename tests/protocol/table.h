/* SPDX-License-Identifier: MIT */
/*
 * table.h - run scenarios and their broken variants, and print what came of it, a line each
 *
 * Environment: LONG=1 also runs the scenarios marked long_only, and the others a second time
 * without the partial-order reduction (memory as there is); SHORT=1
 * leaves out those marked big; TRACE=1 prints the shortest trace of
 * every variant that is caught.
 */
#ifndef BWT_TESTS_PROTOCOL_TABLE_H
#define BWT_TESTS_PROTOCOL_TABLE_H

#include "model.h"

/** The protocol holds in every state of @scenario, or the test fails and prints how it broke. */
void table_holds(const struct scenario *scenario);

/**
 * table_catches - the search breaks @scenario with each of the flaws, by the rule that it should
 * @mutants: @count of them; a variant that passes fails the test
 */
void table_catches(const struct scenario *scenario, const struct mutant *mutants, unsigned count);

#endif
