/* SPDX-License-Identifier: MIT */
/* Lines and fields of a bundle's files.  PURE.  Strict: one space between fields, a newline behind
 * every line, nothing else.  A reader that met something wrong turns bad and stays bad. */
#ifndef FAIRSLOT_DRAW_LINES_H
#define FAIRSLOT_DRAW_LINES_H

#include "draw/draw.h"

struct lines {
    struct span rest;   /* behind the line that was read last */
    struct span line;   /* what is left of that line */
    unsigned long number; /* of it, from 1 */
    bool bad;
};

static inline struct lines lines_of(struct span file)
{
    return (struct lines){.rest = file};
}

/* The next line; false at the end of the file, or bad: it has no newline. */
bool lines_next(struct lines *l);
/* The line has been read to its end? */
bool lines_is_over(const struct lines *l);
/* The next field, up to a space or the line's end; bad when there is none or it is empty. */
struct span lines_field(struct lines *l);
/* "key: value" with exactly this key: the value, up to the line's end. */
struct span lines_value(struct lines *l, const char *key);
/* Decimal without leading zeros, at most `max`. */
uint64_t lines_number(struct lines *l, uint64_t max);
/* `n` bytes in lower-case hex. */
void lines_hex(struct lines *l, void *out, size_t n);

/* A text in lower-case hex; *ret_len at most `max`.  False: it is none. */
bool lines_hex_of(struct span text, uint8_t *out, size_t max, size_t *ret_len);
uint64_t lines_number_of(struct span text, uint64_t max, bool *ret_bad);

#endif
