/* SPDX-License-Identifier: MIT */
/* A table on stdout: columns as wide as their widest cell. */
#ifndef FAIRSLOT_CTL_GRID_H
#define FAIRSLOT_CTL_GRID_H

#include <stddef.h>

#define GRID_COLUMNS_MAX 16

struct grid;
/* `titles` has `columns` cells; NULL: no title line.  NULL when out of memory. */
struct grid *grid_new(size_t columns, const char *const *titles);
/* Copies `columns` cells (NULL is empty); memory errors are remembered for grid_print(). */
void grid_row(struct grid *g, const char *const *cells);
/* Prints and frees.  Takes NULL.  VERB_OK, or VERB_FAILED (told). */
int grid_print(struct grid *g);
/* Frees without printing.  Takes NULL. */
void grid_free(struct grid *g);

#endif
