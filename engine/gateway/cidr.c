/* SPDX-License-Identifier: MIT */
/* Networks in one family: IPv4 stands inside IPv6 as ::ffff:0:0/96, so that one comparison does and
 * an IPv4 peer of a dual-stack socket is found too.  Owns nothing.  Fails by naming the bad part.
 * Not taken: bits that stand behind the prefix are not refused (10.1.2.3/8 means 10.0.0.0/8), as
 * everybody's routers read it. */
#include "gateway/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define CIDR_BLANKS   " \t,"
#define CIDR_PART_MAX 64

static void cidr_widen(uint8_t *wide, const uint8_t *address, size_t len)
{
    memset(wide, 0, 16);
    if (len == 4) {
        wide[10] = wide[11] = 0xff;
    }
    memcpy(wide + 16 - len, address, len);
}

/* The number behind the slash, or all of the address; -1: not a number up to `max`. */
static int cidr_bits(const char *text, int max)
{
    char *end;
    if (text == NULL) {
        return max;
    }
    if (*text < '0' || *text > '9') {
        return -1;
    }
    long bits = strtol(text, &end, 10);
    return *end == '\0' && bits >= 0 && bits <= max ? (int)bits : -1;
}

static bool cidr_one(char *part, struct cidr_list *list)
{
    uint8_t raw[16];
    char *slash = strchr(part, '/');
    if (slash) {
        *slash++ = '\0';
    }
    size_t len = inet_pton(AF_INET, part, raw) == 1 ? 4 : inet_pton(AF_INET6, part, raw) == 1 ? 16
                                                                                              : 0;
    int bits = len ? cidr_bits(slash, (int)len * 8) : -1;
    if (bits < 0 || list->count == CIDR_LIST_MAX) {
        return false;
    }
    cidr_widen(list->at[list->count].address, raw, len);
    list->at[list->count].bits = (uint8_t)(bits + (len == 4 ? 96 : 0));
    list->count++;
    return true;
}

bool cidr_parse(const char *text, struct cidr_list *ret_list, char *ret_bad)
{
    struct cidr_list list = {.count = 0};
    const char *at = text ? text : "";
    for (at += strspn(at, CIDR_BLANKS); *at; at += strspn(at, CIDR_BLANKS)) {
        size_t len = strcspn(at, CIDR_BLANKS);
        char part[CIDR_PART_MAX];
        snprintf(part, sizeof part, "%.*s", (int)len, at);
        if (len >= sizeof part || !cidr_one(part, &list)) {
            snprintf(ret_bad, CIDR_PART_MAX, "%.*s", (int)len, at);
            return false;
        }
        at += len;
    }
    *ret_list = list;
    return true;
}

bool cidr_holds(const struct cidr_list *list, const uint8_t *address, size_t len)
{
    uint8_t wide[16];
    CHECK(len == 4 || len == 16);
    cidr_widen(wide, address, len);
    for (size_t i = 0; i < list->count; i++) {
        size_t bytes = list->at[i].bits / 8, rest = list->at[i].bits % 8;
        uint8_t mask = (uint8_t)(0xff00 >> rest);
        if (memcmp(wide, list->at[i].address, bytes) == 0 &&
            (rest == 0 || ((wide[bytes] ^ list->at[i].address[bytes]) & mask) == 0)) {
            return true;
        }
    }
    return false;
}
