/* SPDX-License-Identifier: MIT */
/*
 * hold.c - have a store open while a tool looks at it, or leave it as a crash does
 *
 * hold STORE COUNT: put COUNT pairs (0: open read-only what is there), print "ready", stay until killed. hold STORE COUNT
 * crash: put them durably and end at once without closing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bwt.h"

static void need(int rc)
{
	if (rc == BWT_OK)
		return;
	fprintf(stderr, "hold: %s: %s\n", bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	struct bwt_options options = {.flags = BWT_CREATE};
	struct bwt_tree *tree;
	struct bwt_db *db;

	if (argc < 3)
		return 2;
	if (strcmp(argv[2], "0") == 0)
		options.flags = BWT_RDONLY;
	need(bwt_open(argv[1], &options, &db));
	need(bwt_tree_open(db, NULL, 0, &tree));
	for (int i = 0; i < atoi(argv[2]); i++) {
		char key[32], value[32];
		int key_size = snprintf(key, sizeof key, "held %06d", i);
		int value_size = snprintf(value, sizeof value, "value %d", i);

		need(bwt_put(tree, NULL, (struct bwt_slice){key, (size_t)key_size},
		             (struct bwt_slice){value, (size_t)value_size}, 0));
	}
	if (argc > 3 && strcmp(argv[3], "crash") == 0)
		_exit(0);
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
