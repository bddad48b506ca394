/* SPDX-License-Identifier: MIT */
/* traceparent: the specification's examples, and everything near them that is none. */
#include "base/trace.h"

#include <stdio.h>

#include "base/prng.h"
#include "tests/lib/tap.h"

static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

static bool parse(const char *text, struct trace *t)
{
    /* A copy of its very size, so that a read beyond it is found. */
    size_t len = strlen(text);
    uint8_t *copy = malloc(len + !len);
    memcpy(copy, text, len);
    bool ok = trace_parse((struct span){copy, len}, t);
    free(copy);
    return ok;
}

static void test_good(void)
{
    struct trace t;
    char hex[TRACE_ID_HEX];
    OK(parse(good, &t));
    EQS(trace_id_hex(t.bytes, hex), "4bf92f3577b34da6a3ce929d0e0e4736");
    EQ(t.bytes[16], 0);
    EQ(t.bytes[23], 0xb7);
    EQ(t.bytes[24], 1);
    OK(parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", &t));
    OK(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &t)); /* a later version */
    OK(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes", &t));
}

static void test_bad(void)
{
    static const char *const bad[] = {
        "", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct trace t = {{7}};
        OK(!parse(bad[i], &t));
        EQ(t.bytes[0], 7);
    }
}

/* One byte changed: either it is the same with other digits, or it is none. */
static void test_changed(void)
{
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (int c = 1; c < 256; c++) {
            char text[sizeof(good)];
            struct trace t;
            memcpy(text, good, sizeof(good));
            text[at] = (char)c;
            bool digit = trace_nibble((uint8_t)c) >= 0 && good[at] != '-';
            bool later = at < 2; /* of another version, at this length, all is the same */
            OK(parse(text, &t) == (digit || c == good[at]) || later);
        }
    }
}

/* Never more than what is there is read, and what is taken is what stands there. */
static void test_noise(void)
{
    struct prng r;
    size_t taken = 0, wrong = 0;
    prng_init(&r, 1);
    for (int run = 0; run < 200000; run++) {
        char text[80], hex[TRACE_ID_HEX];
        struct trace t = {{7}};
        size_t len = prng_below(&r, sizeof(text));
        for (size_t i = 0; i < len; i++) {
            text[i] = "0123456789abcdef-----AZ\x80\xff"[prng_below(&r, 25)];
        }
        text[len] = '\0';
        if (run % 2) {
            size_t keep = prng_below(&r, sizeof(good));
            memcpy(text, good, keep < len ? keep : len);
        }
        if (parse(text, &t)) {
            taken++;
            wrong += memcmp(trace_id_hex(t.bytes, hex), text + 3, 32) != 0;
        } else {
            wrong += t.bytes[0] != 7;
        }
    }
    OK(taken > 0);
    EQ(wrong, 0);
}

int main(void)
{
    TAP_RUN(test_good);
    TAP_RUN(test_bad);
    TAP_RUN(test_changed);
    TAP_RUN(test_noise);
    return tap_done();
}
