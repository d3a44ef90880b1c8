/* SPDX-License-Identifier: MIT */
/*
 * dump_dot.h - the pages of a store as a drawing for Graphviz
 */
#ifndef BWT_TOOLS_DUMP_DOT_H
#define BWT_TOOLS_DUMP_DOT_H

/**
 * inside_show_dot - a digraph on standard output: trees, pages with their chains, what leads to what
 * @tree_name: this tree alone; NULL: all
 * Returns:    as the functions of dump_inside.h do
 */
int inside_show_dot(const char *path, const char *tree_name);

#endif
