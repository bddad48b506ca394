/* SPDX-License-Identifier: MIT */
/* Local times and UTC, above all where clocks change. */
#include "ctl/value.h"
#include "ctl/zone.h"
#include "tests/lib/tap.h"

static int utc(const char *zone, const char *date, const char *clock, int64_t *ret_s)
{
    struct zone_local l = {0};
    bool has_offset;
    long offset_s;
    OK(value_date((struct span){(const uint8_t *)date, strlen(date)}, &l));
    struct span typed = {(const uint8_t *)clock, strlen(clock)};
    OK(value_clock(typed, &l, &has_offset, &offset_s));
    return zone_to_utc(zone, &l, ret_s);
}

static const char *shown(int64_t s)
{
    static char text[VALUE_TIME_MAX];
    value_rfc3339(s, 0, text);
    return text;
}

static void test_plain(void)
{
    int64_t s;
    EQ(utc("Europe/Berlin", "2026-12-01", "09:00", &s), 0);
    EQS(shown(s), "2026-12-01T08:00:00Z");
    EQ(utc("Europe/Berlin", "2026-07-01", "09:00", &s), 0);
    EQS(shown(s), "2026-07-01T07:00:00Z");
    EQ(utc("UTC", "2026-07-01", "09:00:30", &s), 0);
    EQS(shown(s), "2026-07-01T09:00:30Z");
    EQ(utc("America/St_Johns", "2026-01-15", "09:00", &s), 0);
    EQS(shown(s), "2026-01-15T12:30:00Z");
    EQ(utc("Asia/Kathmandu", "2026-01-15", "09:00", &s), 0);
    EQS(shown(s), "2026-01-15T03:15:00Z");
    EQ(utc("Pacific/Kiritimati", "2026-01-15", "09:00", &s), 0);
    EQS(shown(s), "2026-01-14T19:00:00Z");
}

static void test_gap(void)
{
    int64_t s;
    EQ(utc("Europe/Berlin", "2027-03-28", "01:59", &s), 0);
    EQS(shown(s), "2027-03-28T00:59:00Z");
    EQ(utc("Europe/Berlin", "2027-03-28", "02:00", &s), ZONE_E_GAP);
    EQ(utc("Europe/Berlin", "2027-03-28", "02:30", &s), ZONE_E_GAP);
    EQ(utc("Europe/Berlin", "2027-03-28", "02:59:59", &s), ZONE_E_GAP);
    EQ(utc("Europe/Berlin", "2027-03-28", "03:00", &s), 0);
    EQS(shown(s), "2027-03-28T01:00:00Z");
    EQ(utc("Europe/Berlin", "2027-03-27", "02:30", &s), 0);
    EQ(utc("Australia/Lord_Howe", "2026-10-04", "02:15", &s), ZONE_E_GAP); /* half an hour */
    EQ(utc("Australia/Lord_Howe", "2026-10-04", "02:30", &s), 0);
}

static void test_ambiguous(void)
{
    int64_t s;
    EQ(utc("Europe/Berlin", "2026-10-25", "01:59", &s), 0);
    EQS(shown(s), "2026-10-24T23:59:00Z");
    EQ(utc("Europe/Berlin", "2026-10-25", "02:00", &s), ZONE_E_AMBIGUOUS);
    EQ(utc("Europe/Berlin", "2026-10-25", "02:59:59", &s), ZONE_E_AMBIGUOUS);
    EQ(utc("Europe/Berlin", "2026-10-25", "03:00", &s), 0);
    EQS(shown(s), "2026-10-25T02:00:00Z");
    EQ(utc("Europe/Berlin", "2026-10-26", "02:30", &s), 0);
    EQ(utc("America/New_York", "2026-11-01", "01:30", &s), ZONE_E_AMBIGUOUS);
}

/* Every 15 minutes of a year: what a zone shows reads back as the same instant, or comes twice. */
static void test_every_quarter(void)
{
    int twice = 0;
    for (int64_t s = 1767225600; s < 1767225600 + 366 * 86400; s += 900) {
        struct zone_local l;
        long offset_s;
        int64_t back;
        OK(zone_from_utc("Europe/Berlin", s, &l, &offset_s) == 0);
        int r = zone_to_utc("Europe/Berlin", &l, &back);
        twice += r == ZONE_E_AMBIGUOUS;
        OK(r == ZONE_E_AMBIGUOUS || (r == 0 && back == s));
    }
    EQ(twice, 8); /* 02:00 to 02:45, both times */
}

static void test_unknown(void)
{
    static const char *const bad[] = {
        "Europe/Munich", "", "Europe", "../../etc/passwd", "/etc/localtime", "Europe/Berlin\n",
        "CET-1CEST", ":Europe/Berlin", "zone.tab", "Europe/Berlin/",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    struct zone_local l = {2026, 1, 1, 9, 0, 0};
    int64_t s;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        EQ(zone_to_utc(bad[i], &l, &s), ZONE_E_UNKNOWN);
    }
    EQ(zone_to_utc("Europe/Berlin", &l, &s), 0); /* and none of them stays */
    EQ(s, 1767254400);
}

static void test_valid(void)
{
    EQ(zone_local_valid(&(struct zone_local){2028, 2, 29, 0, 0, 0}), 1);
    EQ(zone_local_valid(&(struct zone_local){2027, 2, 29, 0, 0, 0}), 0);
    EQ(zone_local_valid(&(struct zone_local){2100, 2, 29, 0, 0, 0}), 0);
    EQ(zone_local_valid(&(struct zone_local){2026, 4, 31, 0, 0, 0}), 0);
    EQ(zone_local_valid(&(struct zone_local){2026, 13, 1, 0, 0, 0}), 0);
    EQ(zone_local_valid(&(struct zone_local){2026, 1, 0, 0, 0, 0}), 0);
    EQ(zone_local_valid(&(struct zone_local){2026, 1, 1, 24, 0, 0}), 0);
    EQ(zone_local_valid(&(struct zone_local){1969, 1, 1, 0, 0, 0}), 0);
}

int main(void)
{
    TAP_RUN(test_plain);
    TAP_RUN(test_gap);
    TAP_RUN(test_ambiguous);
    TAP_RUN(test_every_quarter);
    TAP_RUN(test_unknown);
    TAP_RUN(test_valid);
    return tap_done();
}
