/* SPDX-License-Identifier: MIT */
/* Does any sequence of bytes break a server connection?
 *
 * The first byte says how: in what pieces, with the HTTP/2 preface before it or not.  The rest are
 * the client's bytes.  Behind the server stands the scripted gateway of the unit tests: it answers,
 * streams, refuses; what it must hold is checked after every input.
 * With clang: ninja fuzz_wire_server in a build directory, then run it as any libFuzzer target.
 * Without: a bounded run over conversations that are right, damaged by a seeded generator; it takes
 * files too, to replay what libFuzzer found. */
#include "tests/unit/engine/wire/raw.h"

#include "base/check.h"

static struct pair p;

static void fuzz_take(void)
{
    static uint8_t buf[64 * 1024];
    ssize_t n = wire_server_send(p.server, buf, sizeof(buf));
    CHECK(n >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    size_t piece = data[0] & 1 ? 1 + data[0] / 4u : size;
    static const uint8_t hello[] = NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0";
    p = (struct pair){.stream_left = 3000};
    CHECK(wire_server_new(&pair_server_ops, &p, &pair_limits, &p.server) == 0);
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
    return 0;
}

#ifndef FUZZ_LIBFUZZER

#define FUZZ_ROUNDS 20000

/* A conversation that is right, with a bit of everything. */
static void fuzz_seed(struct raw *w, uint8_t how)
{
    static const char *const paths[] = {"/echo", "/stream", "/early", "/error", "/half"};
    static struct raw_block block;
    w->len = 0;
    raw_bytes(w, &how, 1);
    for (uint32_t i = 0; i < 5; i++) {
        raw_request(&block, "POST", "application/grpc");
        raw_header(&block, "grpc-timeout", "1S");
        raw_header(&block, "authorization", "Bearer abc");
        raw_header(&block, "x", paths[i]);
        /* "/echo" stands in the usual request: the others take its place. */
        uint8_t *at = memmem(block.bytes, block.len, "\5/echo", 6);
        size_t len = strlen(paths[i]);
        memmove(at + 1 + len, at + 6, block.len - (size_t)(at + 6 - block.bytes));
        at[0] = (uint8_t)len;
        memcpy(at + 1, paths[i], len);
        block.len += len - 5;
        raw_headers(w, 2 * i + 1, &block, 0);
        raw_data(w, 2 * i + 1, "\0\0\0\0\3xyz\0\0", 10, 0);
        raw_frame(w, NGHTTP2_PING, 0, 0, (struct span){(const uint8_t *)"12345678", 8});
        raw_frame(w, NGHTTP2_PRIORITY, 0, 2 * i + 1,
                  (struct span){(const uint8_t *)"\0\0\0\3\20", 5});
        raw_data(w, 2 * i + 1, "\0\0\1z", 4, NGHTTP2_FLAG_END_STREAM);
        raw_frame(w, NGHTTP2_WINDOW_UPDATE, 0, 0,
                  (struct span){(const uint8_t *)"\0\0\17\0", 4});
    }
    raw_frame(w, NGHTTP2_RST_STREAM, 0, 3, (struct span){(const uint8_t *)"\0\0\0\10", 4});
    raw_frame(w, NGHTTP2_GOAWAY, 0, 0, (struct span){(const uint8_t *)"\0\0\0\0\0\0\0\0", 8});
}

/* Bytes changed, a run removed, a run repeated, the end cut off. */
static void fuzz_damage(struct raw *w, struct prng *prng)
{
    for (uint64_t n = prng_below(prng, 6); n > 0; n--) {
        size_t at = 1 + prng_below(prng, w->len - 1);
        size_t len = 1 + prng_below(prng, 30);
        len = len < w->len - at ? len : w->len - at;
        switch (prng_below(prng, 4)) {
        case 0:
            w->bytes[at] = (uint8_t)prng_next(prng);
            break;
        case 1:
            w->bytes[at] ^= (uint8_t)(1u << prng_below(prng, 8));
            break;
        case 2:
            memmove(w->bytes + at, w->bytes + at + len, w->len - at - len);
            w->len -= len;
            break;
        default:
            memmove(w->bytes + at + len, w->bytes + at, w->len - at);
            w->len += len;
            break;
        }
    }
    if (prng_below(prng, 4) == 0) {
        w->len = 1 + prng_below(prng, w->len);
    }
}

static void test_damaged_conversations(void)
{
    static struct raw w;
    int opened = 0;
    for (uint64_t seed = 1; seed <= FUZZ_ROUNDS; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        fuzz_seed(&w, (uint8_t)(prng_next(&prng) | (seed % 16 ? 2 : 0)));
        fuzz_damage(&w, &prng);
        LLVMFuzzerTestOneInput(w.bytes, w.len);
        opened += p.opened;
    }
    OK(opened > FUZZ_ROUNDS); /* the damage leaves enough that is right */
}

static int fuzz_replay(const char *path)
{
    static struct raw w;
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return EXIT_FAILURE;
    }
    w.len = fread(w.bytes, 1, sizeof(w.bytes), file);
    fclose(file);
    LLVMFuzzerTestOneInput(w.bytes, w.len);
    printf("%s: %zu bytes, no harm\n", path, w.len);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int r = EXIT_SUCCESS;
    for (int i = 1; i < argc; i++) {
        r |= fuzz_replay(argv[i]);
    }
    if (argc > 1) {
        return r;
    }
    TAP_RUN(test_damaged_conversations);
    return tap_done();
}

#endif
