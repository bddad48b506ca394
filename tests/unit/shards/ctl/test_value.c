/* SPDX-License-Identifier: MIT */
/* Words of the command line: good ones, and every kind of bad one. */
#include "base/guess.h"
#include "ctl/names.h"
#include "ctl/value.h"
#include "tests/lib/tap.h"

static void test_target(void)
{
    char host[VALUE_HOST_MAX + 1] = "untouched";
    int port = -1;
    static const char *const bad[] = {"", ":", "host", "host:", ":17700", "host:x", "host:65536",
                                      "host:-1", "host:1 ", "::1:17700", "[]:1", "a/b:1",
                                      "http://host:1", "host:1:2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        OK(!value_target(bad[i], host, &port));
        EQS(host, "untouched");
    }
    OK(value_target("127.0.0.1:17700", host, &port));
    EQS(host, "127.0.0.1");
    EQ(port, 17700);
    OK(value_target("[::1]:0", host, &port));
    EQS(host, "::1");
    EQ(port, 0);
    OK(value_target("gateway.example.org:65535", host, &port));
    char long_name[300];
    memset(long_name, 'a', sizeof(long_name));
    strcpy(long_name + 256, ":1");
    OK(!value_target(long_name, host, &port));
    strcpy(long_name + 255, ":1");
    OK(value_target(long_name, host, &port));
}

static void test_loopback(void)
{
    static const char *const yes[] = {"127.0.0.1", "127.255.3.4", "::1", "localhost"};
    static const char *const no[] = {"0.0.0.0", "128.0.0.1", "::", "192.168.1.1", "::ffff:8.8.8.8",
                                     "example.org", "localhost.example.org", "127.1", ""};
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
        OK(value_loopback(yes[i]));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
        OK(!value_loopback(no[i]));
    }
}

static void test_duration(void)
{
    static const struct { const char *text; int64_t s; } good[] = {
        {"90", 90}, {"90s", 90}, {"10m", 600}, {"1h", 3600}, {"30d", 2592000},
        {"3650d", 315360000}};
    static const char *const bad[] = {"", "0", "0s", "m", "10 m", "10mm", "1w", "-1h", "1.5h",
                                      "3651d", "99999999999d", "1h30m"};
    int64_t s = -7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        OK(!value_duration(bad[i], &s));
        EQ(s, -7);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        OK(value_duration(good[i].text, &s));
        EQ(s, good[i].s);
    }
}

static void test_count(void)
{
    long n = -7;
    static const char *const bad[] = {"", "0", "101", "1x", "-1", "+1", " 1", "1.0", "0x10",
                                      "99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        OK(!value_count(bad[i], 1, 100, &n));
        EQ(n, -7);
    }
    OK(value_count("100", 1, 100, &n));
    EQ(n, 100);
    OK(value_count("007", 1, 100, &n));
    EQ(n, 7);
}

static void test_clock(void)
{
    struct zone_local l = {0};
    bool has;
    long offset;
    static const char *const bad[] = {"", "9", "24:00", "09:60", "09:5", "09:00:60", "0900", "9.00",
                                      "09:00 ", "09:00+1", "09:00+16:00", "09:00+01:60", "09:00z",
                                      "09:00+01:00x", "-1:00", "009:00"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        OK(!value_clock((struct span){(const uint8_t *)bad[i], strlen(bad[i])}, &l, &has, &offset));
    }
    OK(value_clock((struct span){(const uint8_t *)"9:05", 4}, &l, &has, &offset));
    OK(!has && l.hour == 9 && l.minute == 5);
    OK(value_clock((struct span){(const uint8_t *)"09:00-03:30", 11}, &l, &has, &offset));
    OK(has);
    EQ(offset, -12600);
    OK(value_clock((struct span){(const uint8_t *)"23:59:59Z", 9}, &l, &has, &offset));
    OK(has && offset == 0 && l.second == 59);
}

static void test_time(void)
{
    int64_t us = -7;
    static const char *const bad[] = {"", "2026", "2026-13-01", "2026-02-29", "2026-1-1",
                                      "2026-12-01T09:00", "2026-12-01 09:00Z", "1.12.2026",
                                      "2026-12-01T", "2026-12-01x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        OK(!value_time(bad[i], &us));
        EQ(us, -7);
    }
    OK(value_time("2026-12-01", &us));
    EQ(us / SECOND_US, 1796083200);
    OK(value_time("2026-12-01T01:00:00+01:00", &us));
    EQ(us / SECOND_US, 1796083200);
}

static void test_rfc3339(void)
{
    char out[VALUE_TIME_MAX];
    value_rfc3339(0, 0, out);
    EQS(out, "1970-01-01T00:00:00Z");
    value_rfc3339(951782399, 0, out);
    EQS(out, "2000-02-28T23:59:59Z");
    value_rfc3339(951782400, 500000000, out);
    EQS(out, "2000-02-29T00:00:00.500Z");
    value_rfc3339(-1, 1, out);
    EQS(out, "1969-12-31T23:59:59.000000001Z");
    value_rfc3339(253402300799, 1000, out);
    EQS(out, "9999-12-31T23:59:59.000001Z");
}

static void test_uuid(void)
{
    char out[VALUE_UUID_MAX];
    uint8_t bytes[16];
    memset(bytes, 0xff, sizeof(bytes));
    value_uuid(bytes, 4, out);
    EQS(out, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    OK(value_uuid_valid(out));
    OK(!value_uuid_valid("ffffffff-ffff-4fff-bfff-fffffffffff"));
    OK(!value_uuid_valid("ffffffffxffff-4fff-bfff-ffffffffffff"));
    OK(!value_uuid_valid("gfffffff-ffff-4fff-bfff-ffffffffffff"));
    OK(!value_uuid_valid(""));
}

static void test_guess(void)
{
    struct guess g;
    EQ(guess_distance("pool", "pool"), 0);
    EQ(guess_distance("pol", "pool"), 1);
    EQ(guess_distance("opol", "pool"), 1);
    EQ(guess_distance("", "abc"), 3);
    EQ(guess_distance("import", "export"), 2);
    OK(guess_distance("a", "0123456789012345678901234567890123456789") > 30);
    guess_init(&g, "resrevation");
    guess_offer(&g, "pool");
    guess_offer(&g, "reservation");
    guess_offer(&g, "slot");
    EQS(g.best, "reservation");
    guess_init(&g, "xyzzy");
    guess_offer(&g, "pool");
    guess_offer(&g, "token");
    OK(g.best == NULL);
}

static void test_names(void)
{
    char out[NAMES_MAX];
    names_pool("p", out);
    EQS(out, "pools/p");
    names_pool("pools/p", out);
    EQS(out, "pools/p");
    OK(names_child("s1", "p", "slots", out));
    EQS(out, "pools/p/slots/s1");
    OK(names_child("pools/q/slots/s1", "p", "slots", out));
    EQS(out, "pools/q/slots/s1");
    OK(!names_child("s1", NULL, "slots", out));
    OK(names_parent("pools/q/slots/s1", out));
    EQS(out, "pools/q");
    OK(!names_parent("pools/q", out));
    OK(!names_parent("pools//slots/s", out));
    OK(!names_parent("x", out));
}

int main(void)
{
    TAP_RUN(test_target);
    TAP_RUN(test_loopback);
    TAP_RUN(test_duration);
    TAP_RUN(test_count);
    TAP_RUN(test_clock);
    TAP_RUN(test_time);
    TAP_RUN(test_rfc3339);
    TAP_RUN(test_uuid);
    TAP_RUN(test_guess);
    TAP_RUN(test_names);
    return tap_done();
}
