/* SPDX-License-Identifier: MIT */
/* One record at a time out of a buffer that the caller owns.
 *   record = field *("," field) (LF | CRLF | end);  field = bare | '"' ... '""' ... '"'
 * Quoted fields shrink in place ("" becomes "), so nothing is allocated and spans stay valid.
 * Fails with a verdict and skips to the next line feed: the next call reads the next line.
 * Invariant: `line` counts line feeds consumed, also those inside quoted fields.
 * Not taken: guessing the separator (';' of spreadsheets): a file that reads as one column is told
 * so by its header, a guess would be wrong silently. */
#include "ctl/csv.h"

#include <string.h>

#include "base/check.h"

void csv_init(struct csv *c, uint8_t *bytes, size_t len)
{
    CHECK(bytes || len == 0);
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    size_t skip = len >= sizeof(mark) && memcmp(bytes, mark, sizeof(mark)) == 0 ? sizeof(mark) : 0;
    c->at = bytes + skip;
    c->end = bytes + len;
    c->line = 1;
}

const char *csv_text(int verdict)
{
    static const char *const texts[] = {
        [CSV_E_QUOTE] = "a quote where none may stand: quote the whole field and double the quotes "
                        "inside it",
        [CSV_E_OPEN] = "a quoted field that never ends",
        [CSV_E_FIELDS] = "too many fields",
        [CSV_E_BYTE] = "a byte that is not UTF-8 text (save the file as UTF-8)",
    };
    CHECK(verdict >= CSV_E_QUOTE);
    CHECK(verdict <= CSV_E_BYTE);
    return texts[verdict];
}

/* Length of the well-formed sequence at `p`; 0: none. */
static size_t csv_utf8_step(const uint8_t *p, size_t left)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0x80) {
        return p[0] ? 1 : 0;
    }
    size_t n = p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (n == 0 || n > left) {
        return 0;
    }
    uint32_t code = p[0] & (0x7f >> n);
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2) {
            return 0;
        }
        code = code << 6 | (p[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code >= smallest[n] && code <= 0x10ffff && !surrogate ? n : 0;
}

bool csv_utf8(struct span text)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = csv_utf8_step(text.ptr + i, text.len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

static void csv_skip_line(struct csv *c)
{
    uint8_t *feed = c->at < c->end ? memchr(c->at, '\n', (size_t)(c->end - c->at)) : NULL;
    c->at = feed ? feed + 1 : c->end;
    c->line += feed ? 1 : 0;
}

/* Consumes a line's end at `at`; false when there is none. */
static bool csv_line_end(struct csv *c)
{
    if (c->at == c->end) {
        return true;
    }
    size_t n = c->at[0] == '\n' ? 1 : 0;
    if (c->at[0] == '\r' && c->end - c->at > 1 && c->at[1] == '\n') {
        n = 2;
    }
    c->at += n;
    c->line += n ? 1 : 0;
    return n > 0;
}

static int csv_bare(struct csv *c, struct span *ret_field)
{
    uint8_t *begin = c->at;
    while (c->at < c->end && !strchr(",\n\r\"", *c->at)) {
        c->at++; /* strchr also finds the terminator: a NUL stops here, too */
    }
    *ret_field = (struct span){begin, (size_t)(c->at - begin)};
    if (c->at < c->end && *c->at == '"') {
        return CSV_E_QUOTE;
    }
    return csv_utf8(*ret_field) ? 0 : CSV_E_BYTE;
}

static int csv_quoted(struct csv *c, struct span *ret_field)
{
    uint8_t *begin = ++c->at;
    uint8_t *out = begin;
    for (;; c->at++) {
        if (c->at == c->end) {
            return CSV_E_OPEN;
        }
        if (*c->at == '"') {
            c->at++;
            if (c->at == c->end || *c->at != '"') {
                break;
            }
        }
        c->line += *c->at == '\n' ? 1 : 0;
        *out++ = *c->at;
    }
    *ret_field = (struct span){begin, (size_t)(out - begin)};
    if (c->at < c->end && !strchr(",\n\r", *c->at)) {
        return CSV_E_QUOTE;
    }
    return csv_utf8(*ret_field) ? 0 : CSV_E_BYTE;
}

int csv_next(struct csv *c, struct csv_record *ret_record)
{
    while (c->at < c->end && csv_line_end(c)) {
    }
    if (c->at == c->end) {
        return CSV_E_END;
    }
    ret_record->line = c->line;
    ret_record->count = 0;
    for (;;) {
        struct span field = {c->at, 0};
        int r = ret_record->count == CSV_FIELDS_MAX ? CSV_E_FIELDS : 0;
        if (r == 0) {
            bool quoted = c->at < c->end && *c->at == '"';
            r = quoted ? csv_quoted(c, &field) : csv_bare(c, &field);
        }
        if (r == 0) {
            ret_record->fields[ret_record->count++] = field;
            if (csv_line_end(c)) {
                return 0;
            }
            r = *c->at == ',' ? 0 : CSV_E_BYTE; /* NUL or a lone carriage return */
        }
        if (r != 0) {
            csv_skip_line(c);
            return r;
        }
        c->at++;
    }
}
