/* SPDX-License-Identifier: MIT */
/* Comma-separated values after RFC 4180, read in place.  Pure: no allocation, no I/O.
 * Accepts LF and CRLF and a UTF-8 byte order mark; skips empty lines.  A bad record is a verdict,
 * and reading goes on at the next line, so that all errors of a file can be told at once. */
#ifndef FAIRSLOT_CTL_CSV_H
#define FAIRSLOT_CTL_CSV_H

#include "base/types.h"

#define CSV_FIELDS_MAX 64

struct csv {
    uint8_t *at;   /* next byte to read; the caller's buffer, quoted fields are unescaped in it */
    uint8_t *end;  /* behind the last byte */
    unsigned line; /* of `at`, from 1 */
};

struct csv_record {
    unsigned line;                      /* where it begins, from 1 */
    struct span fields[CSV_FIELDS_MAX]; /* borrowed from the buffer */
    size_t count;                       /* at least 1 */
};

enum {
    CSV_E_END = 1,    /* no more records */
    CSV_E_QUOTE = 2,  /* a quote inside an unquoted field, or text behind a closing quote */
    CSV_E_OPEN = 3,   /* a quoted field that never ends */
    CSV_E_FIELDS = 4, /* more than CSV_FIELDS_MAX fields */
    CSV_E_BYTE = 5,   /* a NUL, a lone carriage return, or not UTF-8 */
};

/* The bytes stay the caller's and are changed. */
void csv_init(struct csv *c, uint8_t *bytes, size_t len);
/* 0, or CSV_E_*; the record's line is always set but for CSV_E_END. */
int csv_next(struct csv *c, struct csv_record *ret_record);
/* What a CSV_E_* means, for people. */
const char *csv_text(int verdict);
/* Well-formed UTF-8 without NUL (RFC 3629: no surrogates, no overlong forms). */
bool csv_utf8(struct span text);

#endif
