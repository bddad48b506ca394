/* SPDX-License-Identifier: MIT */
/* Tests: one connection of a client that writes every byte itself, and what it was told.  Owns the
 * connection of the running test, from hostile_start() to hostile_end(). */
#ifndef FAIRSLOT_TESTS_WIRE_HOSTILE_H
#define FAIRSLOT_TESTS_WIRE_HOSTILE_H

#include "raw.h"

static struct pair p;
static struct raw w;
static struct raw_block block;
static struct raw_answer got;
static nghttp2_hd_inflater *inflater;

static inline void hostile_start(void)
{
    p = (struct pair){0};
    got = (struct raw_answer){0};
    EQ(wire_server_new(&pair_server_ops, &p, &pair_limits, &p.server), 0);
    nghttp2_hd_inflate_new(&inflater);
    raw_hello(&w);
}

/* Takes all that the server has to say. */
static inline void hostile_read(void)
{
    static uint8_t buf[1024 * 1024];
    ssize_t n = wire_server_send(p.server, buf, sizeof(buf));
    OK(n >= 0);
    raw_read(inflater, buf, n > 0 ? (size_t)n : 0, &got);
}

/* Sends what was written, in one piece; returns the server's verdict. */
static inline int hostile_send(void)
{
    int r = wire_server_receive(p.server, w.bytes, w.len);
    w.len = 0;
    hostile_read();
    return r;
}

static inline void hostile_end(void)
{
    wire_server_free(p.server);
    nghttp2_hd_inflate_del(inflater);
    EQ(p.opened, p.closed);
}

static inline bool hostile_said(const char *header)
{
    return strstr(got.headers, header) != NULL;
}

/* A call after the abuse: the connection still serves. */
static inline void hostile_still_serves(uint32_t stream)
{
    int before = p.closed_finished;
    raw_call(&w, stream);
    raw_data(&w, stream, "\0\0\0\0\1x", 6, NGHTTP2_FLAG_END_STREAM);
    EQ(hostile_send(), 0);
    EQ(p.closed_finished, before + 1);
    OK(hostile_said("grpc-status: 0\n"));
}

#endif
