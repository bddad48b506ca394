/* SPDX-License-Identifier: MIT */
/* Header values: any bytes read, and what we write read back as it was. */
#include "tests/fuzz/fuzz.h"

#include "base/base64.h"
#include "base/bytes.h"
#include "wire/value.h"

#define VALUE_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[3 * VALUE_MAX + 4], back[3 * VALUE_MAX + 4];
    struct span value = {data, size < VALUE_MAX ? size : VALUE_MAX};
    int64_t us = 0;
    size_t len = 0;
    wire_value_is_grpc(value);
    struct span trimmed = wire_value_trim(value);
    CHECK(trimmed.len <= value.len);
    if (wire_value_timeout_parse(value, &us)) {
        char text[WIRE_TIMEOUT_MAX];
        CHECK(us >= 0);
        CHECK(wire_value_timeout_write(us, text) <= sizeof(text));
    }
    if (wire_value_base64_decode(value, out, &len)) {
        CHECK(len <= value.len / 4 * 3 + 2);
    }
    CHECK(wire_value_percent_decode(value, out) <= value.len);

    size_t n = base64_encode(value, false, out);
    CHECK(n <= base64_len(value.len, true));
    CHECK(wire_value_base64_decode((struct span){out, n}, back, &len));
    CHECK(len == value.len);
    CHECK(len == 0 || memcmp(back, value.ptr, len) == 0);

    n = wire_value_percent_encode(value, out);
    CHECK(n <= wire_value_percent_max(value.len));
    CHECK(wire_value_percent_decode((struct span){out, n}, back) == value.len);
    CHECK(value.len == 0 || memcmp(back, value.ptr, value.len) == 0);
    CHECK(wire_value_cut(value, 7).len <= 7);
    return 0;
}
