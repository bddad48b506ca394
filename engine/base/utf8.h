/* SPDX-License-Identifier: MIT */
/* Is it text?  One character at a time, as strict as RFC 3629: no overlong form, no surrogate. */
#ifndef FAIRSLOT_BASE_UTF8_H
#define FAIRSLOT_BASE_UTF8_H

#include "base/types.h"

/* Bytes (1 to 4) of the character at `at`, which has `len` > 0 bytes behind it; 0: it is none. */
static inline size_t utf8_char(const uint8_t *at, size_t len)
{
    uint8_t a = at[0];
    size_t n = a < 0x80 ? 1 : a < 0xc2 ? 0 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : a < 0xf5 ? 4 : 0;
    if (n == 0 || n > len) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool wrong = (a == 0xe0 && at[1] < 0xa0) || (a == 0xed && at[1] > 0x9f) ||
                 (a == 0xf0 && at[1] < 0x90) || (a == 0xf4 && at[1] > 0x8f);
    return wrong ? 0 : n;
}

#endif
