/* SPDX-License-Identifier: MIT */
/* Are lists of networks read as people write them, and wrong ones named? */
#include "gateway/cidr.h"

#include <arpa/inet.h>

#include "tests/lib/tap.h"

static bool holds(const char *text, const char *address)
{
    struct cidr_list list;
    uint8_t raw[16];
    char bad[64] = "";
    OK(cidr_parse(text, &list, bad));
    size_t len = inet_pton(AF_INET, address, raw) == 1 ? 4 : 16;
    OK(len == 4 || inet_pton(AF_INET6, address, raw) == 1);
    return cidr_holds(&list, raw, len);
}

static void test_holds(void)
{
    OK(holds("127.0.0.0/8", "127.9.9.9"));
    OK(!holds("127.0.0.0/8", "128.0.0.1"));
    OK(holds("10.1.2.0/23, ::1", "10.1.3.255"));
    OK(!holds("10.1.2.0/23, ::1", "10.1.4.0"));
    OK(holds("10.1.2.0/23, ::1", "::1"));
    OK(!holds("10.1.2.0/23, ::1", "::2"));
    OK(holds("192.0.2.7", "192.0.2.7"));
    OK(!holds("192.0.2.7", "192.0.2.6"));
    OK(holds("2001:db8::/33", "2001:db8:7fff::1"));
    OK(!holds("2001:db8::/33", "2001:db8:8000::1"));
    OK(holds("0.0.0.0/0", "203.0.113.9"));
    OK(!holds("0.0.0.0/0", "2001:db8::1"));
    OK(holds("::/0", "203.0.113.9"));
    OK(holds("127.0.0.0/8", "::ffff:127.0.0.1"));
    OK(!holds("", "127.0.0.1"));
    OK(!holds(" , ", "127.0.0.1"));
}

static void test_wrong(void)
{
    static const char *const wrong[] = {"10.0.0.0/33", "10.0.0/8", "::1/129", "here", "10.0.0.0/",
                                        "10.0.0.0/-1", "10.0.0.0/8x", "1.2.3.4/ 8"};
    struct cidr_list list = {.count = 7};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char bad[64] = "";
        OK(!cidr_parse(wrong[i], &list, bad));
        OK(bad[0] != '\0');
        EQ(list.count, 7); /* untouched */
    }
    char bad[64], many[CIDR_LIST_MAX * 8 + 16] = "";
    for (int i = 0; i <= CIDR_LIST_MAX; i++) {
        strcat(many, "1.2.3.4 ");
    }
    OK(!cidr_parse(many, &list, bad));
}

int main(void)
{
    TAP_RUN(test_holds);
    TAP_RUN(test_wrong);
    return tap_done();
}
