/* SPDX-License-Identifier: MIT */
/* A table on stdout.  Owns its cells between grid_new() and grid_print().
 * Everything is kept until the end, because a column is as wide as its widest cell.
 * Fails once, at the end: rows after a failed allocation are dropped and nothing is printed. */
#include "ctl/grid.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "ctl/render.h"
#include "ctl/talk.h"
#include "verb.h"

struct grid {
    size_t columns;                  /* cells in a row */
    size_t count;                    /* cells in all */
    size_t size;                     /* cells there is room for */
    char **cells;                    /* the titles first; malloc'ed each */
    size_t widths[GRID_COLUMNS_MAX]; /* of the widest cell, in characters */
    bool broken;                     /* out of memory on the way */
};

struct grid *grid_new(size_t columns, const char *const *titles)
{
    CHECK(columns > 0);
    CHECK(columns <= GRID_COLUMNS_MAX);
    struct grid *g = calloc(1, sizeof(*g));
    if (g) {
        g->columns = columns;
    }
    if (g && titles) {
        grid_row(g, titles);
    }
    return g;
}

/* Characters as people count them: a UTF-8 sequence is one. */
static size_t grid_width(const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

void grid_row(struct grid *g, const char *const *cells)
{
    if (!g || g->broken) {
        return;
    }
    if (g->count + g->columns > g->size) {
        size_t size = g->size ? g->size * 2 : 64 * g->columns;
        char **larger = realloc(g->cells, size * sizeof(*larger));
        if (!larger) {
            g->broken = true;
            return;
        }
        g->cells = larger;
        g->size = size;
    }
    for (size_t i = 0; i < g->columns && !g->broken; i++) {
        const char *cell = cells[i] ? cells[i] : "";
        size_t width = grid_width(cell);
        g->widths[i] = width > g->widths[i] ? width : g->widths[i];
        g->cells[g->count] = strdup(cell);
        g->broken = !g->cells[g->count];
        g->count += g->broken ? 0 : 1;
    }
}

void grid_free(struct grid *g)
{
    if (!g) {
        return;
    }
    for (size_t i = 0; i < g->count; i++) {
        free(g->cells[i]);
    }
    free(g->cells);
    free(g);
}

int grid_print(struct grid *g)
{
    bool broken = !g || g->broken;
    for (size_t i = 0; !broken && i < g->count; i++) {
        size_t column = i % g->columns;
        if (column + 1 == g->columns) {
            puts(g->cells[i]);
            continue;
        }
        int pad = (int)(g->widths[column] - grid_width(g->cells[i])) + 2;
        printf("%s%*s", g->cells[i], pad, "");
    }
    grid_free(g);
    if (broken) {
        talk_error("out of memory");
        return VERB_FAILED;
    }
    return render_flush();
}
