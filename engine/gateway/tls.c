/* SPDX-License-Identifier: MIT */
/* TLS contexts: from files to what a handshake needs.
 *
 *   files -> a new context -> key fits certificate? -> it takes the old one's place
 *                                                      (connections hold the context they began in)
 *
 * Owns: the context in use, by reference; the ticket keys, which outlive contexts, so that a new
 * certificate costs no client its ticket.
 * Happy path: tls_new() at the start, tls_connection() for each client, tls_reload() on SIGHUP.
 * Fails: with a sentence that names the file and the next step; after a reload that failed the old
 * context serves on.
 * Policy: TLS 1.3, or 1.2 with forward-secret AEAD ciphers where a key allows it; X25519 before
 * P-256; no renegotiation, no compression, no early data; ALPN h2 and http/1.1, and a client that
 * offers neither is told so.  A client that offers no ALPN at all is judged by its first bytes.
 * Not a store of sessions: tickets need no memory of ours. */
#include "gateway/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "gateway/ticket.h"

#define TLS_CIPHERS_12  "ECDHE+AESGCM:ECDHE+CHACHA20"
#define TLS_CIPHERS                                                          \
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define TLS_GROUPS      "X25519:P-256:P-384"
#define TLS_SOON_S      (14 * 24 * 3600) /* a certificate that ends within this is warned of */
#define TLS_DEPTH       4                /* of a client's chain */
#define TLS_SESSION_ID  "fairslot"

struct tls {
    pthread_mutex_t lock;       /* of `context` and `expires_s` */
    SSL_CTX *context;           /* one reference is ours */
    int64_t expires_s;          /* of its certificate */
    struct ticket_keys *tickets; /* NULL: nobody resumes */
    char *certificate;          /* paths; NULL: none */
    char *key;
    char *client_ca;
    bool allows_tls12;
};

/* OpenSSL's first word about what went wrong. */
static const char *tls_why(void)
{
    unsigned long code = ERR_peek_error();
    const char *why = ERR_SYSTEM_ERROR(code) ? strerror((int)ERR_GET_REASON(code))
                                             : ERR_reason_error_string(code);
    return why ? why : "unknown error";
}

static int tls_wrong(char *ret_text, const char *what, const char *path, const char *next)
{
    snprintf(ret_text, TLS_TEXT, "%s %.160s: %.100s: %s", what, path, tls_why(), next);
    ERR_clear_error();
    return TLS_E_FILES;
}

/* A file that cannot be opened has its own words: OpenSSL's are "system lib". */
static bool tls_can_read(char *ret_text, const char *what, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(ret_text, TLS_TEXT, "cannot read %s %.160s: %s: correct the path, or its owner "
                 "and mode", what, path, strerror(errno));
        return false;
    }
    fclose(file);
    return true;
}

/* Nobody is asked for a passphrase: a service has no terminal. */
static int tls_no_passphrase(char *buf, int size, int is_writing, void *user)
{
    *(bool *)user = true;
    return -1;
}

static int tls_load_key(SSL_CTX *context, const char *path, char *ret_text)
{
    struct stat st;
    bool is_locked = false;
    if (!tls_can_read(ret_text, "the private key", path)) {
        return TLS_E_FILES;
    }
    SSL_CTX_set_default_passwd_cb(context, tls_no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(context, &is_locked);
    int is_loaded = SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb(context, NULL);
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    if (is_locked) {
        ERR_clear_error();
        snprintf(ret_text, TLS_TEXT, "the private key %.160s has a passphrase: take it off with "
                 "openssl pkey -in OLD -out NEW, and chmod 600 NEW", path);
        return TLS_E_FILES;
    }
    if (is_loaded != 1 && ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH) {
        ERR_clear_error();
        snprintf(ret_text, TLS_TEXT, "the private key %.160s does not belong to the certificate: "
                 "openssl x509 -pubkey -noout -in CERTIFICATE and openssl pkey -pubout -in KEY "
                 "must print the same", path);
        return TLS_E_FILES;
    }
    if (is_loaded != 1) {
        return tls_wrong(ret_text, "the private key", path, "it must be a PEM private key");
    }
    if (stat(path, &st) == 0 && (st.st_mode & 077)) {
        log_event(LOG_FILE_OPEN_TO_OTHERS, NULL, "%s can be read by others: chmod 600", path);
    }
    return 0;
}

static int64_t tls_seconds(const ASN1_TIME *time)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* An expired certificate is no reason not to start: clients that pin it may still come, and the
 * operator sees why others do not. */
static void tls_warn_dates(SSL_CTX *context, const char *path, int64_t *ret_expires_s)
{
    const X509 *certificate = SSL_CTX_get0_certificate(context);
    int64_t now = time(NULL), from = tls_seconds(X509_get0_notBefore(certificate));
    int64_t until = tls_seconds(X509_get0_notAfter(certificate));
    if (until < now) {
        log_event(LOG_CERTIFICATE, NULL,
                  "the certificate %s expired %lld days ago: clients will refuse it; renew it, "
                  "then send SIGHUP", path, (long long)((now - until) / 86400));
    } else if (until < now + TLS_SOON_S) {
        log_event(LOG_CERTIFICATE, NULL,
                  "the certificate %s expires in %lld days: renew it, then send SIGHUP", path,
                  (long long)((until - now) / 86400));
    }
    if (from > now) {
        log_event(LOG_CERTIFICATE, NULL,
                  "the certificate %s is not valid yet: clients will refuse it", path);
    }
    *ret_expires_s = until;
}

static int tls_load_files(struct tls *t, SSL_CTX *context, int64_t *ret_expires_s, char *ret_text)
{
    if (!tls_can_read(ret_text, "the certificate", t->certificate)) {
        return TLS_E_FILES;
    }
    if (SSL_CTX_use_certificate_chain_file(context, t->certificate) != 1) {
        return tls_wrong(ret_text, "the certificate", t->certificate,
                         "it must be PEM, the server's own first, of RSA 2048 or EC P-256 and up");
    }
    int r = tls_load_key(context, t->key, ret_text);
    if (r) {
        return r;
    }
    tls_warn_dates(context, t->certificate, ret_expires_s);
    if (t->client_ca == NULL) {
        return 0;
    }
    if (!tls_can_read(ret_text, "the client CA", t->client_ca)) {
        return TLS_E_FILES;
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(t->client_ca);
    if (names == NULL || SSL_CTX_load_verify_file(context, t->client_ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tls_wrong(ret_text, "the client CA", t->client_ca, "it must be PEM certificates");
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify_depth(context, TLS_DEPTH);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

static int tls_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                    const unsigned char *offered, unsigned len, void *user)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *name;
    if (SSL_select_next_proto(&name, ret_len, ours, sizeof ours - 1, offered, len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

static bool tls_set_policy(struct tls *t, SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* An idle connection gives its record buffers back: 16 KiB each. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, tls_alpn, NULL);
    int oldest = t->allows_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    return SSL_CTX_set_min_proto_version(context, oldest) == 1 &&
           SSL_CTX_set_cipher_list(context, TLS_CIPHERS_12) == 1 &&
           SSL_CTX_set_ciphersuites(context, TLS_CIPHERS) == 1 &&
           SSL_CTX_set1_groups_list(context, TLS_GROUPS) == 1 &&
           SSL_CTX_set_session_id_context(context, (const unsigned char *)TLS_SESSION_ID,
                                          sizeof TLS_SESSION_ID - 1) == 1;
}

static int tls_build(struct tls *t, SSL_CTX **ret_context, int64_t *ret_expires_s, char *ret_text)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || !tls_set_policy(t, context)) {
        SSL_CTX_free(context);
        ERR_clear_error();
        return err_origin(-ENOMEM);
    }
    int r = 0;
    if (t->tickets) {
        r = ticket_keys_use(t->tickets, context);
    } else {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
    }
    r = r ? r : tls_load_files(t, context, ret_expires_s, ret_text);
    if (r) {
        SSL_CTX_free(context);
        return r > 0 ? r : err_trace(r);
    }
    *ret_context = context;
    return 0;
}

int tls_reload(struct tls *t, char *ret_text)
{
    SSL_CTX *context;
    int64_t expires_s = 0;
    int r = tls_build(t, &context, &expires_s, ret_text);
    if (r) {
        return r > 0 ? r : err_trace(r);
    }
    pthread_mutex_lock(&t->lock);
    SSL_CTX *old = t->context;
    t->context = context;
    t->expires_s = expires_s;
    pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(old);
    return t->tickets && ticket_keys_reload(t->tickets, ret_text) ? TLS_E_FILES : 0;
}

static bool tls_copy(const char *text, char **ret_copy)
{
    *ret_copy = text && *text ? strdup(text) : NULL;
    return *ret_copy || text == NULL || *text == '\0';
}

int tls_new(const struct tls_options *options, struct tls **ret_tls, char *ret_text)
{
    struct tls *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return err_origin(-ENOMEM);
    }
    pthread_mutex_init(&t->lock, NULL);
    t->allows_tls12 = options->allows_tls12;
    int r = 0;
    if (!tls_copy(options->certificate, &t->certificate) || !tls_copy(options->key, &t->key) ||
        !tls_copy(options->client_ca, &t->client_ca)) {
        r = err_origin(-ENOMEM);
    }
    CHECK(r || (t->certificate && t->key));
    if (r == 0 && options->has_tickets) {
        uint32_t period_s = options->ticket_period_s ? options->ticket_period_s : TICKET_PERIOD_S;
        r = ticket_keys_new(options->ticket_keys, period_s, &t->tickets, ret_text);
        r = r > 0 ? TLS_E_FILES : r;
    }
    r = r ? r : tls_build(t, &t->context, &t->expires_s, ret_text);
    if (r) {
        tls_free(t);
        return r > 0 ? r : err_trace(r);
    }
    *ret_tls = t;
    return 0;
}

void tls_free(struct tls *t)
{
    if (t == NULL) {
        return;
    }
    SSL_CTX_free(t->context);
    ticket_keys_free(t->tickets);
    pthread_mutex_destroy(&t->lock);
    free(t->certificate);
    free(t->key);
    free(t->client_ca);
    free(t);
}

SSL *tls_connection(struct tls *t)
{
    pthread_mutex_lock(&t->lock);
    SSL *ssl = SSL_new(t->context);
    pthread_mutex_unlock(&t->lock);
    if (ssl == NULL) {
        ERR_clear_error();
    }
    return ssl;
}

int64_t tls_expires_s(struct tls *t)
{
    pthread_mutex_lock(&t->lock);
    int64_t expires_s = t->expires_s;
    pthread_mutex_unlock(&t->lock);
    return expires_s;
}
