/* SPDX-License-Identifier: MIT */
/* Lists of networks, as "127.0.0.0/8, ::1, 10.1.0.0/16".  PURE. */
#ifndef FAIRSLOT_GATEWAY_CIDR_H
#define FAIRSLOT_GATEWAY_CIDR_H

#include "base/types.h"

#define CIDR_LIST_MAX 32

struct cidr_list {
    struct {
        uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
        uint8_t bits;        /* of 128 */
    } at[CIDR_LIST_MAX];
    size_t count;
};

/* Parts are separated by blanks or commas; an address without a length is itself alone.  NULL or ""
 * is the empty list.  false: `ret_bad` (64 bytes) is the part that cannot be read, or that is one
 * too many. */
bool cidr_parse(const char *text, struct cidr_list *ret_list, char *ret_bad);
/* `address`: 4 or 16 bytes, as in sin_addr and sin6_addr. */
bool cidr_holds(const struct cidr_list *list, const uint8_t *address, size_t len);

#endif
