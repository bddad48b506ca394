/* SPDX-License-Identifier: MIT */
/* base64 both ways, for header values, web text, JSON and tokens.
 * Owns nothing and keeps nothing: bytes in, bytes out.
 * Decoding fails with false, encoding never.  What is left over at the end is reported, not judged:
 * JOSE and JSON refuse it, gRPC's headers let it pass. */
#include "base/base64.h"

size_t base64_encode(struct span bytes, bool is_padded, uint8_t *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = 0;
    uint32_t word = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        word = word << 8 | bytes.ptr[i];
        for (bits += 8; bits >= 6; bits -= 6) {
            out[len++] = (uint8_t)letters[word >> (bits - 6) & 63];
        }
    }
    if (bits > 0) {
        out[len++] = (uint8_t)letters[word << (6 - bits) & 63];
    }
    while (is_padded && len % 4) {
        out[len++] = '=';
    }
    return len;
}

int base64_value(uint8_t c, enum base64_alphabet alphabet)
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
    bool is_standard = c == '+' || c == '/', is_url = c == '-' || c == '_';
    if ((is_standard && alphabet != BASE64_URL) || (is_url && alphabet != BASE64_STANDARD)) {
        return c == '+' || c == '-' ? 62 : 63;
    }
    return -1;
}

bool base64_decode(struct span letters, enum base64_alphabet alphabet, uint8_t *out,
                   size_t *ret_len, bool *ret_is_exact)
{
    uint32_t word = 0;
    unsigned bits = 0; /* not yet written */
    size_t len = 0;
    for (size_t i = 0; i < letters.len; i++) {
        int value = base64_value(letters.ptr[i], alphabet);
        if (value < 0) {
            return false;
        }
        word = word << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[len++] = (uint8_t)(word >> bits);
        }
    }
    *ret_len = len;
    *ret_is_exact = (word & ((1u << bits) - 1)) == 0;
    return letters.len % 4 != 1;
}

bool base64_decode_jose(struct span text, uint8_t *out, size_t *ret_len)
{
    bool is_exact;
    return base64_decode(text, BASE64_URL, out, ret_len, &is_exact) && is_exact;
}
