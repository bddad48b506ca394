/* SPDX-License-Identifier: MIT */
/* base64url as JOSE writes it.  Strict, so that one token has one spelling: padding, blanks, line
 * ends, the other alphabet and unused bits that are not zero are all refused. */
#include "gateway/base64url.h"

int base64url_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(struct span in, uint8_t *out, size_t *ret_len)
{
    uint32_t bits = 0;
    unsigned held = 0; /* bits not yet written */
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        int value = base64url_value(in.ptr[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (uint8_t)(bits >> held);
        }
    }
    if (in.len % 4 == 1 || (bits & ((1u << held) - 1)) != 0) {
        return false;
    }
    *ret_len = n;
    return true;
}
