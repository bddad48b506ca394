/* SPDX-License-Identifier: MIT */
/* One connection between our TLS and OpenSSL's own client, without a socket.  Tests only. */
#ifndef FAIRSLOT_TESTS_SIDE_H
#define FAIRSLOT_TESTS_SIDE_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/check.h"
#include "base/log.h"
#include "gateway/cipher.h"
#include "gateway/tls.h"
#include "tests/lib/tap.h"
#include "tests/unit/engine/gateway/papers.h"

static struct paper ca, server, other_ca, ada;
static struct cipher_desk desk;

struct side {
    struct cipher *cipher; /* ours */
    SSL *ssl;              /* the client's */
    char got[4096];        /* what came out on our side, its beginning */
    size_t got_len;        /* all of it */
    int ended;             /* cipher_pull()'s last word; 0: goes on */
    size_t piece;          /* bytes of one feed; 0: all at once */
};

static struct tls *tls_of(struct tls_options options)
{
    struct tls *t = NULL;
    char text[TLS_TEXT] = "";
    options.certificate = options.certificate ? options.certificate : server.certificate_path;
    options.key = options.key ? options.key : server.key_path;
    EQ(tls_new(&options, &t, text), 0);
    EQS(text, "");
    return t;
}

static SSL_CTX *client_context(void)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_file(c, ca.certificate_path);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_alpn_protos(c, (const unsigned char *)"\x02h2", 3);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return c;
}

static void side_open(struct side *s, struct tls *t, SSL_CTX *context)
{
    *s = (struct side){.ssl = SSL_new(context)};
    SSL_set_connect_state(s->ssl);
    SSL_set_bio(s->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    EQ(cipher_new(t, &desk, &s->cipher), 0);
}

static void side_close(struct side *s)
{
    cipher_free(s->cipher);
    SSL_free(s->ssl);
    ERR_clear_error();
}

static void side_out(struct side *s)
{
    struct span out = cipher_out(s->cipher);
    if (out.len) {
        BIO_write(SSL_get_rbio(s->ssl), out.ptr, (int)out.len);
    }
}

static void side_feed(struct side *s, const void *bytes, size_t n)
{
    cipher_feed(s->cipher, (struct span){bytes, n});
    for (;;) {
        struct span plain = {0};
        s->ended = cipher_pull(s->cipher, &plain);
        side_out(s);
        if (s->ended || plain.len == 0) {
            return;
        }
        for (size_t i = 0; i < plain.len && s->got_len + i < sizeof s->got; i++) {
            s->got[s->got_len + i] = (char)plain.ptr[i];
        }
        s->got_len += plain.len;
    }
}

/* What the client has written goes to us, in pieces; what we answer goes to it. */
static void side_pump(struct side *s)
{
    char bytes[65536];
    int n;
    while (!s->ended && (n = BIO_read(SSL_get_wbio(s->ssl), bytes, sizeof bytes)) > 0) {
        size_t piece = s->piece ? s->piece : (size_t)n;
        for (size_t at = 0; at < (size_t)n && !s->ended; at += piece) {
            side_feed(s, bytes + at, (size_t)n - at < piece ? (size_t)n - at : piece);
        }
    }
}

/* 1: the client is content too. */
static int side_shake(struct side *s)
{
    int r = 0;
    for (int i = 0; i < 8 && !s->ended; i++) {
        r = SSL_do_handshake(s->ssl);
        side_pump(s);
    }
    return r;
}

/* What the client can read. */
static inline size_t side_client_reads(struct side *s, char *out, size_t cap)
{
    size_t n = 0, len = 0;
    while (len < cap && SSL_read_ex(s->ssl, out + len, cap - len, &n) == 1) {
        len += n;
    }
    return len;
}

static enum cipher_failure refused_with(struct tls *t, SSL_CTX *context)
{
    struct side s;
    side_open(&s, t, context);
    side_shake(&s);
    enum cipher_failure failure = cipher_failure(s.cipher);
    IMPLY(failure != CIPHER_FAILURE_none, s.ended == CIPHER_E_BROKEN);
    side_close(&s);
    return failure;
}

/* Papers, folder and desk; the log keeps warnings to itself. */
static void sides_open(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    papers_open();
    paper_make(&(struct paper_plan){.name = "authority", .is_ca = true}, &ca);
    paper_make(&(struct paper_plan){.name = "another", .is_ca = true}, &other_ca);
    paper_make(&(struct paper_plan){.name = "server", .by = &ca, .alt = "DNS:localhost"}, &server);
    paper_make(&(struct paper_plan){.name = "ada", .by = &ca}, &ada);
    EQ(cipher_desk_init(&desk), 0);
}

static void sides_close(void)
{
    cipher_desk_fini(&desk);
    paper_drop(&ca);
    paper_drop(&other_ca);
    paper_drop(&server);
    paper_drop(&ada);
    papers_close();
}

#endif
