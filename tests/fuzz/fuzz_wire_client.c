/* SPDX-License-Identifier: MIT */
/* Does any server break our client?  The first byte says how many calls wait and in what pieces the
 * rest, the server's bytes, comes.  Every call must end exactly once. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/engine/wire/raw.h"

static struct pair p;

static void fuzz_take(void)
{
    static uint8_t buf[64 * 1024];
    CHECK(wire_client_send(p.client, buf, sizeof(buf)) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    int calls = 1 + (data[0] & 3);
    size_t piece = data[0] & 4 ? 1 + data[0] / 8u : size;
    struct wire_request *request = NULL;
    p = (struct pair){0};
    CHECK(wire_client_new(&pair_client_ops, &p, &p.client) == 0);
    for (int i = 0; i < calls; i++) {
        CHECK(wire_client_call(p.client, "/echo", span_of("Bearer abc"), 1000, span_of("x"), &p,
                               &request) == 0);
    }
    fuzz_take();
    int r = 0;
    for (size_t at = 1; at < size && r == 0; at += piece) {
        r = wire_client_receive(p.client, data + at, size - at < piece ? size - at : piece);
        fuzz_take();
    }
    CHECK(r == 0 || r == WIRE_E_CLOSE);
    wire_client_free(p.client);
    CHECK(p.finished == calls);
    return 0;
}
