/* SPDX-License-Identifier: MIT */
/* base64url without padding, one spelling only (RFC 4648 5 and 3.5). */
#ifndef FAIRSLOT_GATEWAY_BASE64URL_H
#define FAIRSLOT_GATEWAY_BASE64URL_H

#include "base/types.h"

/* 0 to 63, or -1: no letter of the alphabet. */
int base64url_value(uint8_t c);
/* Decodes into `out` (at least 3/4 of the input); false for anything but the canonical form. */
bool base64url_decode(struct span in, uint8_t *out, size_t *ret_len);

#endif
