/* SPDX-License-Identifier: MIT */
/* The inside of a connection that speaks HTTP/1.1: what h1.c (requests) and h1_answer.c (answers)
 * share.  One request at a time; what is pipelined behind it waits as bytes. */
#ifndef FAIRSLOT_WIRE_H1_H
#define FAIRSLOT_WIRE_H1_H

#include <llhttp.h>

#include "wire/server.h"

enum h1_state {
    H1_HEAD, /* a request line and headers are awaited */
    H1_BODY, /* the body is */
    H1_READ, /* the request is whole; its answer is awaited */
    H1_OVER, /* nothing more is read */
};

struct wire_h1 {
    struct wire_server *server;
    llhttp_t parser;         /* of one request */
    struct wire_call *call;  /* being read or answered; NULL: between two, or its answer has left
                              * and the rest of its body is passed over */
    uint8_t *head;           /* request line and headers; the call's values stand here */
    uint32_t head_len;
    uint32_t head_cap;
    uint32_t line_len;       /* of the line that is coming in */
    uint32_t lines_count;    /* that have ended */
    struct span name;        /* of the header whose value follows */
    uint8_t *kept;           /* pipelined bytes */
    size_t kept_len;
    size_t rest_bytes;       /* of bodies passed over, of trailers and chunk extensions */
    uint8_t *out;            /* head of the answer, until it has left */
    size_t out_len;
    size_t out_at;
    size_t chunk_left;       /* of the chunk that is leaving */
    char small[28];          /* what stands around chunks; 100 Continue */
    uint8_t small_len;
    uint8_t small_at;
    uint8_t state;           /* enum h1_state */
    uint8_t hosts_count;     /* Host headers, counted to 2 */
    uint8_t codings_count;   /* Transfer-Encoding headers, counted to 2 */
    char last;               /* byte before, in the head */
    int refusal;             /* enum wire_refusal of what a header says; -1: none */
    int failure;             /* < 0: out of memory in a callback */
    bool is_parsed : 1;      /* the headers are complete */
    bool is_whole : 1;       /* so is the body */
    bool is_keeping : 1;     /* the client wants the connection to go on */
    bool is_closing : 1;     /* it ends with this answer */
    bool is_waited_for : 1;  /* Expect: 100-continue */
    bool is_pipe_over : 1;   /* more came than is kept */
    bool is_head_out : 1;    /* the head of the answer is written */
    bool is_chunked : 1;     /* its body is */
    bool is_end_out : 1;     /* all of it is written */
};

/* 0 or -ENOMEM. */
int wire_h1_new(struct wire_server *s, struct wire_h1 **ret_h1);
/* Its call is gone by then.  Takes NULL. */
void wire_h1_free(struct wire_h1 *h);
/* As wire_server_receive(). */
int wire_h1_receive(struct wire_h1 *h, const uint8_t *bytes, size_t n);
/* As wire_server_send(), but the bytes are counted in *ret_len. */
int wire_h1_send(struct wire_h1 *h, uint8_t *buf, size_t cap, size_t *ret_len);
bool wire_h1_wants_send(const struct wire_h1 *h);
bool wire_h1_owed(const struct wire_h1 *h);
bool wire_h1_may_half_close(const struct wire_h1 *h);
bool wire_h1_done(const struct wire_h1 *h);

/* -- between the two files --------------------------------------------------------------------- */

/* The answer has left: the next request, out of what is kept.  0, WIRE_E_CLOSE or < 0. */
int wire_h1_next(struct wire_h1 *h);

#endif
