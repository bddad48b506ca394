/* SPDX-License-Identifier: MIT */
/* Names and ids: one spelling each, both ways, and nothing else is taken. */
#include "base/prng.h"
#include "tests/unit/proto/codec_kit.h"

static const char *slot_id(int64_t second, const char *slug)
{
    static char out[64];
    struct slot_key key = {second * SECOND_US, span_of(slug)};
    out[codec_slot_id(&key, out)] = 0;
    return out;
}

static bool slot_parses(const char *text)
{
    struct slot_key key;
    return codec_slot_id_parse(span_of(text), &key);
}

static void test_slot_id_known(void)
{
    EQS(slot_id(0, "1"), "s19700101t0000-1");
    EQS(slot_id(1796115600, "c3"), "s20261201t0900-c3");
    EQS(slot_id(1796115601, "c3"), "s20261201t090001-c3");
    EQS(slot_id(951782400, "a"), "s20000229t0000-a");
    EQS(slot_id(253402300799, "z-9"), "s99991231t235959-z-9");
}

static void test_slot_id_round_trip(void)
{
    struct prng p;
    prng_init(&p, 1);
    for (int i = 0; i < 20000; i++) {
        int64_t second = (int64_t)prng_below(&p, 253402300800u);
        second -= i % 2 ? second % 60 : 0;
        struct slot_key key;
        OK(codec_slot_id_parse(span_of(slot_id(second, "desk-7")), &key));
        EQ(key.start_us, second * SECOND_US);
        OK(span_equal(key.slug, span_of("desk-7")));
    }
}

static void test_slot_id_sorts_by_time(void)
{
    char before[64];
    strcpy(before, slot_id(0, "9"));
    for (int64_t second = 1; second < 400000; second += 59) {
        const char *now = slot_id(second, "9");
        OK(strcmp(before, now) < 0);
        strcpy(before, now);
    }
}

static void test_slot_id_refused(void)
{
    static const char *bad[] = {
        "", "s", "s20261201t0900", "s20261201t0900-", "s20261301t0900-1", "s20261232t0900-1",
        "s20260229t0900-1", "s20261201t2400-1", "s20261201t0960-1", "s20261201t090060-1",
        "s20261201t090000-1", "s20261201t0900-A", "s20261201t0900--a", "s20261201t0900-a-",
        "S20261201t0900-1", "s20261201T0900-1", "s19691231t2359-1", "s2026120-t0900-1",
        "s20261201t0900-1234567890123456789012345", "s20261201t09001-1", "s20261201t0900_1",
        "s 0261201t0900-1", "s20261201t0900-a b",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (slot_parses(bad[i])) {
            printf("# taken: %s\n", bad[i]);
        }
        OK(!slot_parses(bad[i]));
    }
    OK(slot_parses("s20280229t0900-1"));
    OK(slot_parses("s20261201t0900-123456789012345678901234"));
}

static void test_owned_id(void)
{
    char out[64];
    uint64_t owner, number;
    out[codec_owned_id('h', 0xdeadbeefULL, 0, out)] = 0;
    EQS(out, "h00000000deadbeef-0");
    out[codec_owned_id('r', UINT64_MAX, UINT64_MAX, out)] = 0;
    EQS(out, "rffffffffffffffff-ffffffffffffffff");
    OK(codec_owned_id_parse(span_of(out), 'r', &owner, &number));
    OK(owner == UINT64_MAX && number == UINT64_MAX);
    static const char *bad[] = {"", "h", "h00000000deadbeef", "h00000000deadbeef-",
        "h00000000deadbeef-01", "h00000000DEADBEEF-1", "h00000000deadbeef-G", "r00000000deadbeef-1",
        "h00000000deadbee-f1", "h00000000deadbeef-11111111111111111", "h00000000deadbeef_1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        OK(!codec_owned_id_parse(span_of(bad[i]), 'h', &owner, &number));
    }
    struct prng p;
    prng_init(&p, 2);
    for (int i = 0; i < 10000; i++) {
        uint64_t a = prng_next(&p), b = prng_next(&p) >> (i % 64);
        size_t n = codec_owned_id('h', a, b, out);
        OK(codec_owned_id_parse((struct span){(uint8_t *)out, n}, 'h', &owner, &number));
        OK(owner == a && number == b);
    }
}

static const char *slug(const char *desk)
{
    static char out[SLOT_DESK_MAX + 1];
    size_t n = codec_desk_slug(span_of(desk), out);
    EQ(strlen(out), n);
    return out;
}

static void test_desk_slug(void)
{
    EQS(slug(""), "x");
    EQS(slug("C3"), "c3");
    EQS(slug("Desk 1"), "desk-1");
    EQS(slug("Desk-1"), "desk-1");
    EQS(slug("abcdefghijklmnopqrstuvwx"), "abcdefghijklmnopqrstuvwx");
    EQS(slug("abcdefghijklmnopqrstuv x"), "abcdefghijklmnopqrstuv-x");
}

/* What a slug cannot say stands in its digits: two desks are never one by accident. */
static void test_desk_slug_tells_apart(void)
{
    static const char *const desks[] = {
        "Schalter \xc3\x84", "Schalter \xc3\x96", "Schalter", "Raum 1.1", "Raum 1/1", "Raum 1-1",
        "\xe7\xaa\x93\xe5\x8f\xa3\xe4\xb8\x80", "\xe7\xaa\x93\xe5\x8f\xa3\xe4\xba\x8c", "", "1",
        "+1", "-1", "1-", " 1", "---", "- -", "Desk  7", "Desk 7", "Desk - 7", "Desk 7 ",
        "A very long desk name that differs at 1", "A very long desk name that differs at 2",
        "abcdefghijklmnopqrstuvwxy", "abcdefghijklmnopqrstuvwxz", "abcdefghijklmnopqrstuvwx",
        "abcdefghijklmnop  1", "abcdefghijklmnopq  1"};
    enum { COUNT = sizeof desks / sizeof desks[0] };
    char slugs[COUNT][SLOT_DESK_MAX + 1];
    for (size_t i = 0; i < COUNT; i++) {
        size_t n = codec_desk_slug(span_of(desks[i]), slugs[i]);
        struct slot_key key = {1796115600 * SECOND_US, {(uint8_t *)slugs[i], n}}, parsed;
        char id[48];
        OK(n > 0 && n <= SLOT_DESK_MAX && strlen(slugs[i]) == n);
        n = codec_slot_id(&key, id);
        OK(codec_slot_id_parse((struct span){(uint8_t *)id, n}, &parsed));
        OK(span_equal(parsed.slug, key.slug));
        for (size_t j = 0; j < i; j++) {
            OK(strcmp(slugs[i], slugs[j]) != 0);
        }
    }
    EQS(slug("Raum 1.1"), "raum-1-1-219f22");
}

static void test_etag(void)
{
    char out[ETAG_MAX];
    EQ(codec_etag(12, out), 5);
    EQS(out, "\"v12\"");
    EQ(codec_etag(UINT64_MAX, out), 23);
    OK(codec_etag_matches(span_of(""), 5));
    OK(codec_etag_matches(span_of("\"v5\""), 5));
    OK(!codec_etag_matches(span_of("\"v5\""), 50));
    OK(!codec_etag_matches(span_of("v5"), 5));
}

int main(void)
{
    TAP_RUN(test_slot_id_known);
    TAP_RUN(test_slot_id_round_trip);
    TAP_RUN(test_slot_id_sorts_by_time);
    TAP_RUN(test_slot_id_refused);
    TAP_RUN(test_owned_id);
    TAP_RUN(test_desk_slug);
    TAP_RUN(test_desk_slug_tells_apart);
    TAP_RUN(test_etag);
    return kit_done();
}
