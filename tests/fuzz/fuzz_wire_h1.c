/* SPDX-License-Identifier: MIT */
/* Does any sequence of bytes break a connection that speaks HTTP/1.1, or mean two things?
 *
 * The first byte says in what pieces the rest comes.  Every face's paths stand behind it (talk.h).
 * Held: whole and in pieces the same calls open and get the same messages, which is what a smuggled
 * request would need to differ in; every call closes; no byte of memory stays.  A text is also read
 * as each of Connect's own words: query, timeout, details of an error. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/engine/wire/talk.h"

#include "wire/connect.h"
#include "wire/value.h"

#define SAME_MAX 4096 /* longer ones may meet limits that count pieces */

static struct pair p;

static void h1_listen(void)
{
    static uint8_t buf[64 * 1024];
    ssize_t n = 1;
    while (n > 0) {
        n = wire_server_send(p.server, buf, sizeof(buf));
        CHECK(n >= 0);
    }
}

/* True: it spoke HTTP/1.1 to its end. */
static bool h1_converse(const uint8_t *data, size_t size, size_t piece, uint32_t stream)
{
    struct memcap cap = {.max = 64 * 1024 * 1024};
    struct wire_limits limits = pair_limits;
    limits.memory = &cap;
    p = (struct pair){.stream_left = stream};
    CHECK(wire_server_new(&talk_ops, &p, &limits, &p.server) == 0);
    int r = 0;
    for (size_t at = 0; at < size && r == 0; at += piece) {
        r = wire_server_receive(p.server, data + at, size - at < piece ? size - at : piece);
        h1_listen();
        CHECK(!wire_server_wants_send(p.server));
    }
    CHECK(r == 0 || r == WIRE_E_CLOSE);
    CHECK(r == 0 || p.server->session || wire_server_done(p.server));
    bool is_h1 = p.server->session == NULL;
    for (int i = 0; i < 2; i++) {
        wire_server_drain(p.server);
        h1_listen();
    }
    wire_server_free(p.server);
    CHECK(p.opened == p.closed);
    CHECK(p.closed_finished <= p.opened);
    CHECK(cap.used == 0);
    return is_h1;
}

static void h1_words(struct span text)
{
    static uint8_t out[WIRE_CONNECT_ERROR_MAX], message[SAME_MAX];
    struct wire_query query;
    int64_t us = 0;
    size_t len = 0;
    text.len = text.len < SAME_MAX ? text.len : SAME_MAX;
    wire_connect_query(text, &query);
    CHECK(!wire_connect_message(&query, message, &len) || len <= query.message.len);
    CHECK(!wire_connect_timeout(text, &us) || us >= 0);
    len = wire_connect_error(5, text, text, out);
    CHECK(len >= 20);
    CHECK(len <= sizeof(out));
    CHECK(out[0] == '{');
    CHECK(out[len - 1] == '}');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    h1_words((struct span){data + 1, size - 1});
    /* A long stream is still being written when what follows comes: then pieces may matter. */
    uint32_t stream = data[0] & 64 ? 3000 : 30;
    bool is_h1 = h1_converse(data + 1, size - 1, size, stream);
    struct pair whole = p;
    is_h1 &= h1_converse(data + 1, size - 1, 1u + data[0] % 64, stream);
    if (is_h1 && size < SAME_MAX && stream == 30) {
        CHECK(p.opened == whole.opened);
        CHECK(p.messages == whole.messages);
        CHECK(p.message_bytes == whole.message_bytes);
        CHECK(p.half_closed == whole.half_closed);
        CHECK(p.refused == whole.refused);
    }
    return 0;
}
