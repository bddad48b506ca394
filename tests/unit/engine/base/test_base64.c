/* SPDX-License-Identifier: MIT */
/* Goal: the vectors of RFC 4648 both ways, each alphabet only its own letters, and JOSE one
 * spelling for one text. */
#include "base/base64.h"

#include <string.h>

#include "base/bytes.h"
#include "tests/lib/tap.h"

static const char *const vectors[][3] = {
    {"", "", ""},
    {"f", "Zg", "Zg=="},
    {"fo", "Zm8", "Zm8="},
    {"foo", "Zm9v", "Zm9v"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xff", "+/8", "+/8="},
};

static void test_vectors(void)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t text[16], back[16];
        size_t len;
        bool is_exact;
        for (int pad = 0; pad < 2; pad++) {
            const char *want = vectors[i][1 + pad];
            EQ(base64_len(strlen(vectors[i][0]), pad), strlen(want));
            EQ(base64_encode(span_of(vectors[i][0]), pad, text), strlen(want));
            OK(memcmp(text, want, strlen(want)) == 0);
        }
        OK(base64_decode(span_of(vectors[i][1]), BASE64_STANDARD, back, &len, &is_exact));
        OK(is_exact && span_equal((struct span){back, len}, span_of(vectors[i][0])));
    }
}

static void test_each_alphabet_its_letters(void)
{
    static const char *const letters[] = {"+/8", "-_8"};
    for (int i = 0; i < 2; i++) {
        uint8_t out[8];
        size_t len;
        bool is_exact;
        struct span text = span_of(letters[i]);
        EQ(base64_decode(text, BASE64_STANDARD, out, &len, &is_exact), i == 0);
        EQ(base64_decode(text, BASE64_URL, out, &len, &is_exact), i == 1);
        OK(base64_decode(text, BASE64_EITHER, out, &len, &is_exact));
        OK(len == 2 && out[0] == 0xfb && out[1] == 0xff);
    }
}

static void test_jose_has_one_spelling(void)
{
    static const char *const bad[] = {"Zg==", "Zm8=", "Zh", "Zm9", "Z", "Zm9vY", "Zm 9", "Zm9v\n",
                                      "+/8",  "Zm\x80v"};
    uint8_t out[8];
    size_t len;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        OK(!base64_decode_jose(span_of(bad[i]), out, &len));
    }
    OK(base64_decode_jose(span_of("-_8"), out, &len) && len == 2);
    bool is_exact;
    OK(base64_decode(span_of("Zh"), BASE64_URL, out, &len, &is_exact) && !is_exact);
}

int main(void)
{
    TAP_RUN(test_vectors);
    TAP_RUN(test_each_alphabet_its_letters);
    TAP_RUN(test_jose_has_one_spelling);
    return tap_done();
}
