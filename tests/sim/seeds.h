/* SPDX-License-Identifier: MIT */
/*
 * seeds.h - runs of the simulator that may fail, each in a process of its own
 */
#ifndef BWT_TESTS_SIM_SEEDS_H
#define BWT_TESTS_SIM_SEEDS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * seed_fails - does @run(@ctx) end other than well, be it by a signal, or not at all?
 * @how:    out: the first line that it said
 */
bool seed_fails(void (*run)(void *ctx), void *ctx, char *how, size_t size);
/** seed_words - what is wrong, behind seed, image and operation */
const char *seed_words(const char *how);

#endif
