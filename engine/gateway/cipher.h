/* SPDX-License-Identifier: MIT */
/* One TLS connection without its socket: sealed bytes go in, plain bytes come out, and the other
 * way round.  Loop thread.
 *
 *   cipher_feed(c, read)                         what the socket gave, borrowed until it is eaten
 *   while (cipher_pull(c, &plain) == 0 && plain.len) ... plain, valid until the next call
 *   cipher_push(c, bytes, n)                     seals an answer
 *   cipher_out(c)                                what they have to say, in this order; before the
 *                                                desk is another connection's
 *
 * All of a loop's connections share one desk of buffers, so an idle connection costs OpenSSL's
 * state and nothing more. */
#ifndef FAIRSLOT_GATEWAY_CIPHER_H
#define FAIRSLOT_GATEWAY_CIPHER_H

#include "base/types.h"

struct cipher;
struct tls;

#define CIPHER_PLAIN_BYTES (16 * 1024)         /* one record's content */
#define CIPHER_PUSH_MAX    (128 * 1024)        /* of one cipher_push() */
#define CIPHER_OUT_BYTES   (CIPHER_PUSH_MAX + 32 * 1024) /* the same sealed, and a handshake */

/* Buffers of one loop. */
struct cipher_desk {
    uint8_t *plain; /* CIPHER_PLAIN_BYTES */
    uint8_t *out;   /* CIPHER_OUT_BYTES */
    size_t out_len;
    bool is_over;   /* more was to leave than there is room for: that connection fails */
};

/* Why a connection ended, for the operator's counters: X(name, what it is). */
#define CIPHER_FAILURES(X)                                                     \
    X(none, "still open, or ended well")                                       \
    X(not_tls, "plain text, or garbage")                                       \
    X(version, "no version of TLS in common")                                  \
    X(cipher, "no cipher or group in common")                                  \
    X(alpn, "neither h2 nor http/1.1 was offered")                             \
    X(certificate, "the client's certificate is missing, or not good")         \
    X(alert, "the client refused, as one does that does not trust ours")       \
    X(gone, "the client left in the middle of it")                             \
    X(slow, "the handshake did not end in time")                               \
    X(flood, "too many key updates")                                           \
    X(protocol, "anything else that TLS does not allow")

enum cipher_failure {
#define CIPHER_FAILURE_ENUM(name, text) CIPHER_FAILURE_##name,
    CIPHER_FAILURES(CIPHER_FAILURE_ENUM)
#undef CIPHER_FAILURE_ENUM
    CIPHER_FAILURE_COUNT
};

/* "not_tls" and so on. */
const char *cipher_failure_name(enum cipher_failure failure);

enum {
    CIPHER_E_CLOSED = 1, /* the peer said good-bye; what it asked for may still be answered */
    CIPHER_E_BROKEN = 2, /* write what cipher_out() has (an alert), then close */
};

/* 0 or -ENOMEM. */
int cipher_desk_init(struct cipher_desk *desk);
void cipher_desk_fini(struct cipher_desk *desk);

/* 0 or -ENOMEM.  `desk` outlives it. */
int cipher_new(struct tls *tls, struct cipher_desk *desk, struct cipher **ret_cipher);
/* Takes NULL. */
void cipher_free(struct cipher *c);

void cipher_feed(struct cipher *c, struct span bytes);
/* 0 with plain bytes, or with none: everything was eaten.  CIPHER_E_CLOSED, CIPHER_E_BROKEN. */
int cipher_pull(struct cipher *c, struct span *ret_plain);
/* 0, or CIPHER_E_BROKEN.  Only once it is open; n <= CIPHER_PUSH_MAX. */
int cipher_push(struct cipher *c, const uint8_t *bytes, size_t n);
/* Good-bye (close_notify), once. */
void cipher_end(struct cipher *c);
/* Takes what is to be written; empty: nothing.  Valid until the next call with this desk. */
struct span cipher_out(struct cipher *c);

/* The handshake is over. */
bool cipher_is_open(const struct cipher *c);
/* It owes the rest of a handshake or of a record. */
bool cipher_owes(const struct cipher *c);
/* The client came back with a ticket. */
bool cipher_is_resumed(const struct cipher *c);
/* Something was sealed for it already: it has had our certificate, and our work. */
bool cipher_has_answered(const struct cipher *c);
enum cipher_failure cipher_failure(const struct cipher *c);
/* The client's certificate, borrowed; NULL: it showed none. */
struct x509_st *cipher_peer(const struct cipher *c);

#endif
