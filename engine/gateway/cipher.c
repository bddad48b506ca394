/* SPDX-License-Identifier: MIT */
/* TLS on bytes.
 *
 *   socket's bytes (borrowed) -> BIO read -> SSL_read -> desk->plain -> wire
 *   wire -> SSL_write -> BIO write -> desk->out -> the loop writes it
 *
 * Owns: the SSL and its BIO.  Borrows: the bytes of one read, the loop's desk.
 * Happy path: a client's flight is fed, SSL_read() runs the handshake by itself, our flight lies in
 * the desk; from then on records become bytes and bytes records.
 * Fails by CIPHER_E_BROKEN with an alert in the desk; the first word of OpenSSL's error queue says
 * which counter it is.  Who speaks HTTP to this port is answered in HTTP (see cipher_plain_http).
 * Limits: key updates are paid from an allowance that data earns (RFC 8446 lets a peer ask for any
 * number, each costs key derivation and an answer); renegotiation does not exist in 1.3 and is off
 * in 1.2; empty records are limited by OpenSSL (32 in a row).
 * Invariants: the input span is empty when control goes back to the loop, or the connection is
 * broken; the desk is empty when a connection is given control.
 * Not memory BIOs: each keeps buffers of its own that grow and stay.  Not SSL_set_fd(): the loop
 * reads once into one buffer for all, and writes once what many answers have become. */
#include "gateway/cipher.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "gateway/tls.h"

#define CIPHER_UPDATES_MAX   8           /* key updates ahead of the data that pays for them */
#define CIPHER_UPDATES_BYTES (64 * 1024) /* of data that pay for one */

struct cipher {
    SSL *ssl;                 /* owned; owns the BIO */
    struct cipher_desk *desk; /* the loop's */
    struct span in;           /* fed and not eaten */
    int32_t updates_left;     /* key updates it may still send */
    uint32_t updates_bytes;   /* of data towards the next one */
    uint8_t failure;          /* enum cipher_failure */
    bool is_open;             /* the handshake was finished, whatever came since */
    bool has_answered;        /* something was written */
    bool is_ended;            /* our close_notify is out */
};

const char *cipher_failure_name(enum cipher_failure failure)
{
    static const char *const names[CIPHER_FAILURE_COUNT] = {
#define CIPHER_FAILURE_NAME(name, text) #name,
        CIPHER_FAILURES(CIPHER_FAILURE_NAME)
#undef CIPHER_FAILURE_NAME
    };
    CHECK(failure < CIPHER_FAILURE_COUNT);
    return names[failure];
}

int cipher_desk_init(struct cipher_desk *desk)
{
    *desk = (struct cipher_desk){.plain = malloc(CIPHER_PLAIN_BYTES),
                                 .out = malloc(CIPHER_OUT_BYTES)};
    return desk->plain && desk->out ? 0 : err_origin(-ENOMEM);
}

void cipher_desk_fini(struct cipher_desk *desk)
{
    free(desk->plain);
    free(desk->out);
    *desk = (struct cipher_desk){0};
}

/* -- the BIO between OpenSSL and the loop's buffers -------------------------------------------- */

static int cipher_bio_read(BIO *bio, char *out, int cap)
{
    struct cipher *c = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (c->in.len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = c->in.len < (size_t)cap ? c->in.len : (size_t)cap;
    memcpy(out, c->in.ptr, n);
    c->in = (struct span){c->in.ptr + n, c->in.len - n};
    return (int)n;
}

static int cipher_bio_write(BIO *bio, const char *bytes, int n)
{
    struct cipher *c = BIO_get_data(bio);
    struct cipher_desk *desk = c->desk;
    BIO_clear_retry_flags(bio);
    if (desk->out_len + (size_t)n > CIPHER_OUT_BYTES) {
        desk->is_over = true;
        return -1;
    }
    memcpy(desk->out + desk->out_len, bytes, (size_t)n);
    desk->out_len += (size_t)n;
    c->has_answered = true;
    return n;
}

static long cipher_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *cipher_bio; /* one a process, never freed: it is a table of functions */

static void cipher_bio_make(void)
{
    cipher_bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop");
    if (cipher_bio) {
        BIO_meth_set_read(cipher_bio, cipher_bio_read);
        BIO_meth_set_write(cipher_bio, cipher_bio_write);
        BIO_meth_set_ctrl(cipher_bio, cipher_bio_ctrl);
    }
}

/* -- life -------------------------------------------------------------------------------------- */

/* Every handshake message passes here; only key updates of the peer are of interest. */
static void cipher_message(int is_written, int version, int type, const void *bytes, size_t n,
                           SSL *ssl, void *user)
{
    struct cipher *c = user;
    const uint8_t *head = bytes;
    if (!is_written && type == SSL3_RT_HANDSHAKE && n > 0 && head[0] == SSL3_MT_KEY_UPDATE) {
        c->updates_left--;
    }
}

int cipher_new(struct tls *tls, struct cipher_desk *desk, struct cipher **ret_cipher)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHECK(desk->out_len == 0);
    pthread_once(&once, cipher_bio_make);
    struct cipher *c = calloc(1, sizeof *c);
    BIO *bio = c && cipher_bio ? BIO_new(cipher_bio) : NULL;
    if (bio == NULL) {
        free(c);
        ERR_clear_error();
        return err_origin(-ENOMEM);
    }
    c->ssl = tls_connection(tls);
    if (c->ssl == NULL) {
        BIO_free(bio);
        free(c);
        return err_origin(-ENOMEM);
    }
    c->desk = desk;
    c->updates_left = CIPHER_UPDATES_MAX;
    BIO_set_data(bio, c);
    BIO_set_init(bio, 1);
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_accept_state(c->ssl);
    SSL_set_msg_callback(c->ssl, cipher_message);
    SSL_set_msg_callback_arg(c->ssl, c);
    *ret_cipher = c;
    return 0;
}

void cipher_free(struct cipher *c)
{
    if (c == NULL) {
        return;
    }
    SSL_free(c->ssl);
    free(c);
}

/* -- bytes ------------------------------------------------------------------------------------- */

void cipher_feed(struct cipher *c, struct span bytes)
{
    CHECK(c->in.len == 0);
    CHECK(c->desk->out_len == 0);
    c->in = bytes;
}

/* Which counter an error belongs to. */
static enum cipher_failure cipher_judge(unsigned long code)
{
    switch (ERR_GET_REASON(code)) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
        return CIPHER_FAILURE_not_tls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
        return CIPHER_FAILURE_version;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        return CIPHER_FAILURE_cipher;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return CIPHER_FAILURE_alpn;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return CIPHER_FAILURE_certificate;
    default:
        break;
    }
    /* OpenSSL counts the alerts of the peer from here on. */
    return ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET ? CIPHER_FAILURE_alert
                                                       : CIPHER_FAILURE_protocol;
}

/* A record must begin with one of TLS's content types; in an open connection the same error means
 * a broken record. */
static void cipher_fail(struct cipher *c, enum cipher_failure failure)
{
    if (failure == CIPHER_FAILURE_not_tls && cipher_is_open(c)) {
        failure = CIPHER_FAILURE_protocol;
    }
    if (c->failure == CIPHER_FAILURE_none) {
        c->failure = (uint8_t)failure;
    }
    c->in.len = 0;
}

/* What a person with a browser or curl sees who wrote http:// for https://, and a gRPC client
 * without TLS: an alert would be garbage to both. */
static void cipher_plain_http(struct cipher *c, unsigned long code)
{
    static const char page[] =
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        "content-length: 51\r\n\r\nthis port speaks TLS: write https:// for your http\n";
    if (ERR_GET_REASON(code) != SSL_R_HTTP_REQUEST || c->has_answered) {
        return;
    }
    memcpy(c->desk->out, page, sizeof page - 1);
    c->desk->out_len = sizeof page - 1;
}

static int cipher_broken(struct cipher *c)
{
    unsigned long code = ERR_peek_error();
    cipher_plain_http(c, code);
    cipher_fail(c, cipher_judge(code));
    ERR_clear_error();
    return CIPHER_E_BROKEN;
}

static void cipher_earn(struct cipher *c, size_t n)
{
    c->updates_bytes += (uint32_t)n;
    if (c->updates_bytes >= CIPHER_UPDATES_BYTES) {
        c->updates_bytes = 0;
        c->updates_left += c->updates_left < CIPHER_UPDATES_MAX;
    }
}

int cipher_pull(struct cipher *c, struct span *ret_plain)
{
    size_t n = 0;
    if (c->failure != CIPHER_FAILURE_none) {
        return CIPHER_E_BROKEN;
    }
    ERR_clear_error();
    int r = SSL_read_ex(c->ssl, c->desk->plain, CIPHER_PLAIN_BYTES, &n);
    c->is_open |= SSL_is_init_finished(c->ssl) == 1;
    if (c->updates_left < 0) {
        cipher_fail(c, CIPHER_FAILURE_flood);
        return CIPHER_E_BROKEN;
    }
    if (r == 1) {
        cipher_earn(c, n);
        *ret_plain = (struct span){c->desk->plain, n};
        return 0;
    }
    switch (SSL_get_error(c->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        *ret_plain = (struct span){0};
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        c->in.len = 0; /* nothing counts behind a good-bye */
        return CIPHER_E_CLOSED;
    default:
        return cipher_broken(c);
    }
}

int cipher_push(struct cipher *c, const uint8_t *bytes, size_t n)
{
    size_t sealed = 0;
    CHECK(cipher_is_open(c));
    CHECK(n > 0 && n <= CIPHER_PUSH_MAX);
    ERR_clear_error();
    /* Whole or not at all: the BIO takes everything. */
    if (SSL_write_ex(c->ssl, bytes, n, &sealed) == 1 && sealed == n) {
        return 0;
    }
    return cipher_broken(c);
}

void cipher_end(struct cipher *c)
{
    if (c->is_ended || c->failure != CIPHER_FAILURE_none || !cipher_is_open(c)) {
        return;
    }
    c->is_ended = true;
    ERR_clear_error();
    SSL_shutdown(c->ssl);
    ERR_clear_error();
}

struct span cipher_out(struct cipher *c)
{
    struct span out = {c->desk->out, c->desk->out_len};
    c->desk->out_len = 0;
    if (c->desk->is_over) {
        c->desk->is_over = false;
        cipher_fail(c, CIPHER_FAILURE_protocol);
    }
    return out;
}

/* -- what is known of it ----------------------------------------------------------------------- */

bool cipher_is_open(const struct cipher *c)
{
    return c->is_open;
}

bool cipher_owes(const struct cipher *c)
{
    return !c->is_open || SSL_has_pending(c->ssl);
}

bool cipher_is_resumed(const struct cipher *c)
{
    return SSL_session_reused(c->ssl);
}

bool cipher_has_answered(const struct cipher *c)
{
    return c->has_answered;
}

enum cipher_failure cipher_failure(const struct cipher *c)
{
    return (enum cipher_failure)c->failure;
}

struct x509_st *cipher_peer(const struct cipher *c)
{
    return SSL_get0_peer_certificate(c->ssl);
}
