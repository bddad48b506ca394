/* SPDX-License-Identifier: MIT */
/* Lines and fields of a bundle's files.  Pure.
 * Strict, because two spellings of one thing would be two bundles of one release.
 * Owns nothing; fails by turning bad. */
#include "draw/lines.h"

#include <string.h>

#include "base/bytes.h"

bool lines_next(struct lines *l)
{
    if (l->bad || l->rest.len == 0) {
        return false;
    }
    const uint8_t *end = memchr(l->rest.ptr, '\n', l->rest.len);
    l->number++;
    if (end == NULL) {
        l->bad = true;
        return false;
    }
    l->line = (struct span){l->rest.ptr, (size_t)(end - l->rest.ptr)};
    l->rest.len -= l->line.len + 1;
    l->rest.ptr = end + 1;
    return true;
}

bool lines_is_over(const struct lines *l)
{
    return !l->bad && l->line.len == 0;
}

struct span lines_field(struct lines *l)
{
    if (l->bad || l->line.len == 0) {
        l->bad = true;
        return (struct span){0};
    }
    const uint8_t *space = memchr(l->line.ptr, ' ', l->line.len);
    size_t n = space ? (size_t)(space - l->line.ptr) : l->line.len;
    struct span field = {l->line.ptr, n};
    l->line.ptr += space ? n + 1 : n;
    l->line.len -= space ? n + 1 : n;
    l->bad = n == 0 || (space && l->line.len == 0);
    return field;
}

struct span lines_value(struct lines *l, const char *key)
{
    size_t n = strlen(key);
    if (l->bad || l->line.len <= n + 2 || memcmp(l->line.ptr, key, n) != 0 ||
        memcmp(l->line.ptr + n, ": ", 2) != 0) {
        l->bad = true;
        return (struct span){0};
    }
    struct span value = {l->line.ptr + n + 2, l->line.len - n - 2};
    l->line.len = 0;
    return value;
}

uint64_t lines_number_of(struct span text, uint64_t max, bool *ret_bad)
{
    uint64_t n = 0;
    bool bad = text.len == 0 || text.len > 19 || (text.len > 1 && text.ptr[0] == '0');
    for (size_t i = 0; i < text.len && !bad; i++) {
        bad = text.ptr[i] < '0' || text.ptr[i] > '9';
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret_bad = *ret_bad || bad || n > max;
    return n;
}

uint64_t lines_number(struct lines *l, uint64_t max)
{
    struct span field = lines_field(l);
    return lines_number_of(field, max, &l->bad);
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool lines_hex_of(struct span text, uint8_t *out, size_t max, size_t *ret_len)
{
    if (text.len % 2 != 0 || text.len / 2 > max) {
        return false;
    }
    for (size_t i = 0; i < text.len / 2; i++) {
        int high = hex_digit(text.ptr[2 * i]), low = hex_digit(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    *ret_len = text.len / 2;
    return true;
}

void lines_hex(struct lines *l, void *out, size_t n)
{
    struct span field = lines_field(l);
    size_t len = 0;
    l->bad = l->bad || !lines_hex_of(field, out, n, &len) || len != n;
}
