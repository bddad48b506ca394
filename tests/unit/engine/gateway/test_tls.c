/* SPDX-License-Identifier: MIT */
/* TLS without sockets: are bytes the same on both sides, however records are cut, and is everybody
 * refused who should be, as what he is? */
#include "tests/unit/engine/gateway/side.h"

static void test_bytes_both_ways(void)
{
    struct tls *t = tls_of((struct tls_options){.has_tickets = true});
    SSL_CTX *context = client_context();
    static const size_t pieces[] = {0, 1, 7, 4096};
    for (size_t i = 0; i < ARRAY_COUNT(pieces); i++) {
        struct side s;
        char got[64] = "";
        const unsigned char *name;
        unsigned len;
        side_open(&s, t, context);
        s.piece = pieces[i];
        OK(!cipher_is_open(s.cipher) && cipher_owes(s.cipher));
        EQ(side_shake(&s), 1);
        OK(cipher_is_open(s.cipher) && !cipher_owes(s.cipher) && !cipher_is_resumed(s.cipher));
        EQ(SSL_version(s.ssl), TLS1_3_VERSION);
        SSL_get0_alpn_selected(s.ssl, &name, &len);
        OK(len == 2 && memcmp(name, "h2", 2) == 0);
        EQ(SSL_write(s.ssl, "hello", 5), 5);
        side_pump(&s);
        EQ(s.got_len, 5);
        OK(memcmp(s.got, "hello", 5) == 0);
        EQ(cipher_push(s.cipher, (const uint8_t *)"good day", 8), 0);
        side_out(&s);
        EQ(side_client_reads(&s, got, sizeof got), 8);
        EQS(got, "good day");
        side_close(&s);
    }
    SSL_CTX_free(context);
    tls_free(t);
}

static void test_half_a_record(void)
{
    struct tls *t = tls_of((struct tls_options){0});
    SSL_CTX *context = client_context();
    struct side s;
    char bytes[256];
    side_open(&s, t, context);
    EQ(side_shake(&s), 1);
    SSL_write(s.ssl, "hello", 5);
    int n = BIO_read(SSL_get_wbio(s.ssl), bytes, sizeof bytes);
    side_feed(&s, bytes, (size_t)n - 1);
    OK(cipher_owes(s.cipher)); /* the loop's clock runs */
    EQ(s.got_len, 0);
    side_feed(&s, bytes + n - 1, 1);
    OK(!cipher_owes(s.cipher));
    EQ(s.got_len, 5);
    side_close(&s);
    SSL_CTX_free(context);
    tls_free(t);
}

static void test_large(void)
{
    struct tls *t = tls_of((struct tls_options){0});
    SSL_CTX *context = client_context();
    struct side s;
    static uint8_t block[CIPHER_PUSH_MAX];
    static char got[CIPHER_PUSH_MAX];
    side_open(&s, t, context);
    EQ(side_shake(&s), 1);
    for (int i = 0; i < 8; i++) {
        memset(block, i, sizeof block);
        EQ(cipher_push(s.cipher, block, sizeof block), 0);
        side_out(&s);
        EQ(side_client_reads(&s, got, sizeof got), sizeof got);
        OK(got[0] == i && got[sizeof got - 1] == i);
        EQ(SSL_write(s.ssl, block, sizeof block), sizeof block);
        side_pump(&s);
        EQ(s.got_len, sizeof block * (size_t)(i + 1));
    }
    side_close(&s);
    SSL_CTX_free(context);
    tls_free(t);
}

static void test_good_bye(void)
{
    struct tls *t = tls_of((struct tls_options){0});
    SSL_CTX *context = client_context();
    struct side s;
    char got[16] = "";
    side_open(&s, t, context);
    EQ(side_shake(&s), 1);
    SSL_shutdown(s.ssl); /* the client has nothing more to say, and still listens */
    side_pump(&s);
    EQ(s.ended, CIPHER_E_CLOSED);
    EQ(cipher_failure(s.cipher), CIPHER_FAILURE_none);
    EQ(cipher_push(s.cipher, (const uint8_t *)"answer", 6), 0);
    side_out(&s);
    cipher_end(s.cipher);
    cipher_end(s.cipher);
    side_out(&s);
    EQ(side_client_reads(&s, got, sizeof got), 6);
    EQ(SSL_get_error(s.ssl, 0), SSL_ERROR_ZERO_RETURN);
    side_close(&s);
    SSL_CTX_free(context);
    tls_free(t);
}

/* -- refusals ---------------------------------------------------------------------------------- */

static void test_clients_refused(void)
{
    struct tls *t = tls_of((struct tls_options){0});
    SSL_CTX *context = client_context();
    EQ(refused_with(t, context), CIPHER_FAILURE_none);
    SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x04spdy", 5);
    EQ(refused_with(t, context), CIPHER_FAILURE_alpn);
    SSL_CTX_set_alpn_protos(context, NULL, 0);
    EQ(refused_with(t, context), CIPHER_FAILURE_none); /* an old client that offers nothing */
    SSL_CTX_set1_groups_list(context, "P-521");
    EQ(refused_with(t, context), CIPHER_FAILURE_cipher);
    SSL_CTX_set1_groups_list(context, "P-256");
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    EQ(refused_with(t, context), CIPHER_FAILURE_version);
    struct tls *old = tls_of((struct tls_options){.allows_tls12 = true});
    EQ(refused_with(old, context), CIPHER_FAILURE_none);
    SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-SHA256");
    EQ(refused_with(old, context), CIPHER_FAILURE_cipher);
    SSL_CTX_free(context);
    context = client_context();
    SSL_CTX_set_cert_store(context, X509_STORE_new()); /* trusts nobody */
    struct side s;
    side_open(&s, t, context);
    EQ(side_shake(&s), -1);
    EQ(cipher_failure(s.cipher), CIPHER_FAILURE_alert);
    side_close(&s);
    SSL_CTX_free(context);
    tls_free(old);
    tls_free(t);
}

static void test_not_tls(void)
{
    struct tls *t = tls_of((struct tls_options){0});
    static const struct {
        const char *bytes;
        enum cipher_failure failure;
    } rows[] = {{"GET / HTTP/1.1\r\nhost: x\r\n\r\n", CIPHER_FAILURE_not_tls},
                {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", CIPHER_FAILURE_not_tls},
                {"SSH-2.0-OpenSSH_9.2\r\n", CIPHER_FAILURE_not_tls},
                {"\x17\x03\x03\x00\x05hello", CIPHER_FAILURE_protocol},
                {"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff", CIPHER_FAILURE_protocol}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct side s;
        SSL_CTX *context = client_context();
        size_t n = i < 3 ? strlen(rows[i].bytes) : 10;
        side_open(&s, t, context);
        side_feed(&s, rows[i].bytes, n);
        EQ(s.ended, CIPHER_E_BROKEN);
        EQ(cipher_failure(s.cipher), rows[i].failure);
        char answer[256] = "";
        BIO_read(SSL_get_rbio(s.ssl), answer, sizeof answer - 1);
        OK(i != 0 || strstr(answer, "HTTP/1.1 400 ") == answer);
        OK(i != 0 || strlen(strstr(answer, "\r\n\r\n") + 4) == 51);
        side_feed(&s, "more", 4); /* broken stays broken */
        EQ(s.ended, CIPHER_E_BROKEN);
        side_close(&s);
        SSL_CTX_free(context);
    }
    tls_free(t);
}

static void test_key_updates(void)
{
    struct tls *t = tls_of((struct tls_options){0});
    SSL_CTX *context = client_context();
    struct side s;
    side_open(&s, t, context);
    EQ(side_shake(&s), 1);
    static uint8_t block[80 * 1024];
    for (int i = 0; i < 20; i++) { /* one for each 80 KiB is what a careful client does */
        SSL_key_update(s.ssl, SSL_KEY_UPDATE_REQUESTED);
        SSL_write(s.ssl, block, sizeof block);
        side_pump(&s);
        char drain[256];
        side_client_reads(&s, drain, sizeof drain);
    }
    EQ(s.ended, 0);
    int sent = 0;
    while (!s.ended && sent < 100) {
        SSL_key_update(s.ssl, SSL_KEY_UPDATE_REQUESTED);
        SSL_write(s.ssl, "x", 1);
        side_pump(&s);
        sent++;
    }
    OK(sent >= 5 && sent < 20);
    EQ(s.ended, CIPHER_E_BROKEN);
    EQ(cipher_failure(s.cipher), CIPHER_FAILURE_flood);
    side_close(&s);
    SSL_CTX_free(context);
    tls_free(t);
}

static void test_no_renegotiation(void)
{
    struct tls *t = tls_of((struct tls_options){.allows_tls12 = true});
    SSL_CTX *context = client_context();
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    struct side s;
    side_open(&s, t, context);
    EQ(side_shake(&s), 1);
    int r = SSL_renegotiate(s.ssl);
    for (int i = 0; i < 4 && r == 1; i++) {
        SSL_do_handshake(s.ssl);
        side_pump(&s);
    }
    OK(SSL_renegotiate_pending(s.ssl) || r != 1);
    OK(SSL_do_handshake(s.ssl) != 1);
    side_close(&s);
    SSL_CTX_free(context);
    tls_free(t);
}

/* -- client certificates ----------------------------------------------------------------------- */

static enum cipher_failure shown(struct tls *t, const struct paper *p)
{
    SSL_CTX *context = client_context();
    if (p) {
        EQ(SSL_CTX_use_certificate(context, p->certificate), 1);
        EQ(SSL_CTX_use_PrivateKey(context, p->key), 1);
    }
    enum cipher_failure failure = refused_with(t, context);
    SSL_CTX_free(context);
    return failure;
}

static void test_client_certificates(void)
{
    struct tls *t = tls_of((struct tls_options){.client_ca = ca.certificate_path});
    struct paper stranger, expired, alone;
    paper_make(&(struct paper_plan){.name = "stranger", .by = &other_ca}, &stranger);
    paper_make(&(struct paper_plan){.name = "expired", .by = &ca, .days = -1}, &expired);
    paper_make(&(struct paper_plan){.name = "alone"}, &alone);
    EQ(shown(t, &ada), CIPHER_FAILURE_none);
    EQ(shown(t, NULL), CIPHER_FAILURE_certificate);
    EQ(shown(t, &stranger), CIPHER_FAILURE_certificate);
    EQ(shown(t, &expired), CIPHER_FAILURE_certificate);
    EQ(shown(t, &alone), CIPHER_FAILURE_certificate);
    paper_drop(&stranger);
    paper_drop(&expired);
    paper_drop(&alone);
    tls_free(t);
}

int main(void)
{
    sides_open();
    TAP_RUN(test_bytes_both_ways);
    TAP_RUN(test_half_a_record);
    TAP_RUN(test_large);
    TAP_RUN(test_good_bye);
    TAP_RUN(test_clients_refused);
    TAP_RUN(test_not_tls);
    TAP_RUN(test_key_updates);
    TAP_RUN(test_no_renegotiation);
    TAP_RUN(test_client_certificates);
    sides_close();
    return tap_done();
}
