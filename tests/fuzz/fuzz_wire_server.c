/* SPDX-License-Identifier: MIT */
/* Does any sequence of bytes break a server connection?
 *
 * The first byte says how: in what pieces, with the HTTP/2 preface before it or not.  The rest are
 * the client's bytes.  Behind the server stands the scripted gateway of the unit tests: it answers,
 * streams, refuses; what it must hold is checked after every input, to the last byte of memory. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/engine/wire/raw.h"

static struct pair p;

static void fuzz_take(void)
{
    static uint8_t buf[64 * 1024];
    ssize_t n = wire_server_send(p.server, buf, sizeof(buf));
    CHECK(n >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    size_t piece = data[0] & 1 ? 1 + data[0] / 4u : size;
    static const uint8_t hello[] = NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0";
    struct memcap cap = {.max = 64 * 1024 * 1024};
    struct wire_limits limits = pair_limits;
    limits.memory = &cap;
    p = (struct pair){.stream_left = 3000};
    CHECK(wire_server_new(&pair_server_ops, &p, &limits, &p.server) == 0);
    int r = 0;
    if (data[0] & 2) {
        r = wire_server_receive(p.server, hello, sizeof(hello) - 1);
        CHECK(r == 0);
    }
    for (size_t at = 1; at < size && r == 0; at += piece) {
        r = wire_server_receive(p.server, data + at, size - at < piece ? size - at : piece);
        fuzz_take();
    }
    CHECK(r == 0 || r == WIRE_E_CLOSE);
    wire_server_drain(p.server);
    fuzz_take();
    wire_server_drain(p.server);
    fuzz_take();
    wire_server_free(p.server);
    CHECK(p.opened == p.closed);
    CHECK(p.closed_finished <= p.opened);
    CHECK(cap.used == 0);
    return 0;
}
