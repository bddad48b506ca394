/* SPDX-License-Identifier: MIT */
/* base64 (RFC 4648 4 and 5).  One place for the letters; how strict a text is read is a matter of
 * the standard that carries it, and stays with who reads it.  Pure; any thread. */
#ifndef FAIRSLOT_BASE_BASE64_H
#define FAIRSLOT_BASE_BASE64_H

#include "base/types.h"

enum base64_alphabet {
    BASE64_STANDARD, /* + and / */
    BASE64_URL,      /* - and _ */
    BASE64_EITHER,
};

/* Bytes that base64 of n bytes takes. */
static inline size_t base64_len(size_t n, bool is_padded)
{
    return is_padded ? (n + 2) / 3 * 4 : (n * 4 + 2) / 3;
}

/* Standard alphabet; `out` takes base64_len().  Returns the length. */
size_t base64_encode(struct span bytes, bool is_padded, uint8_t *out);

/* 0 to 63, or -1: no letter of the alphabet. */
int base64_value(uint8_t c, enum base64_alphabet alphabet);

/* Letters only: padding is the caller's.  `out` takes three bytes for each four begun, and may be
 * the text itself.  false: another letter, or a length that no bytes have.  *ret_is_exact: the bits
 * that are left over are zero, as RFC 4648 3.5 wants them. */
bool base64_decode(struct span letters, enum base64_alphabet alphabet, uint8_t *out,
                   size_t *ret_len, bool *ret_is_exact);

/* As JOSE writes it, so that one token has one spelling: URL alphabet, no padding, exact. */
bool base64_decode_jose(struct span text, uint8_t *out, size_t *ret_len);

#endif
