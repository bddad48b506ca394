/* SPDX-License-Identifier: MIT */
/* Tickets and files of TLS: who comes back with which key, what a reload changes, and what is said
 * of a file that is no good. */
#include <time.h>
#include <unistd.h>

#include "tests/unit/engine/gateway/side.h"

/* -- tickets ----------------------------------------------------------------------------------- */

static SSL_SESSION *kept;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

/* A client with the ticket of the last one; was it resumed? */
static bool comes_back(struct tls *t)
{
    SSL_CTX *context = client_context();
    struct side s;
    char byte[8];
    SSL_CTX_sess_set_new_cb(context, keep_session);
    side_open(&s, t, context);
    if (kept) {
        SSL_set_session(s.ssl, kept);
    }
    EQ(side_shake(&s), 1);
    SSL_read(s.ssl, byte, sizeof byte); /* takes the new ticket */
    bool is_resumed = cipher_is_resumed(s.cipher);
    EQ(is_resumed, SSL_session_reused(s.ssl));
    SSL_shutdown(s.ssl);
    side_close(&s);
    SSL_CTX_free(context);
    return is_resumed;
}

static void forget(void)
{
    SSL_SESSION_free(kept);
    kept = NULL;
}

static void test_tickets(void)
{
    char text[TLS_TEXT] = "";
    struct tls *t = tls_of((struct tls_options){.has_tickets = true});
    OK(!comes_back(t));
    OK(comes_back(t));
    OK(comes_back(t));
    EQ(tls_reload(t, text), 0);
    OK(comes_back(t)); /* a new certificate does not cost the ticket */
    struct tls *stranger = tls_of((struct tls_options){.has_tickets = true});
    OK(!comes_back(stranger)); /* keys of another process */
    tls_free(stranger);
    tls_free(t);
    forget();
    t = tls_of((struct tls_options){.has_tickets = false});
    OK(!comes_back(t));
    OK(!comes_back(t));
    tls_free(t);
    forget();
}

static void test_ticket_rotation(void)
{
    struct tls *t = tls_of((struct tls_options){.has_tickets = true, .ticket_period_s = 1});
    OK(!comes_back(t));
    SSL_SESSION *first = kept;
    SSL_SESSION_up_ref(first);
    usleep(1100 * 1000);
    OK(comes_back(t)); /* opened by the older key; a fresh ticket came */
    usleep(1100 * 1000);
    OK(comes_back(t));
    usleep(1100 * 1000);
    OK(comes_back(t));
    forget();
    kept = first;
    OK(!comes_back(t)); /* three keys ago */
    forget();
    tls_free(t);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "w");
    fwrite(bytes, 1, n, file);
    fchmod(fileno(file), 0600);
    fclose(file);
}

static void test_ticket_file(void)
{
    char path[128], text[TLS_TEXT] = "";
    uint8_t keys[160];
    for (size_t i = 0; i < sizeof keys; i++) {
        keys[i] = (uint8_t)(i * 7);
    }
    paper_path(path, "tickets", "keys");
    write_file(path, keys, 80);
    struct tls_options options = {.has_tickets = true, .ticket_keys = path};
    struct tls *one = tls_of(options), *two = tls_of(options);
    OK(!comes_back(one));
    OK(comes_back(two)); /* another gateway with the same file */
    write_file(path, keys + 80, 80);
    EQ(tls_reload(two, text), 0);
    OK(!comes_back(two));
    write_file(path, keys, 160); /* the old one seals, the new one opens */
    EQ(tls_reload(one, text), 0);
    OK(comes_back(one));
    write_file(path, keys, 81);
    EQ(tls_reload(one, text), TLS_E_FILES);
    OK(strstr(text, "80, 160 or 240 bytes") != NULL);
    OK(comes_back(one)); /* what stood stays */
    tls_free(one);
    tls_free(two);
    forget();
}

/* -- files ------------------------------------------------------------------------------------- */

static const char *wrong_with(struct tls_options options)
{
    static char text[TLS_TEXT];
    struct tls *t = NULL;
    text[0] = '\0';
    EQ(tls_new(&options, &t, text), TLS_E_FILES);
    OK(t == NULL);
    return text;
}

static void test_files(void)
{
    char empty[128], locked[128];
    paper_path(empty, "empty", "pem");
    write_file(empty, "", 0);
    paper_path(locked, "locked", "key");
    FILE *file = fopen(locked, "w");
    PEM_write_PrivateKey(file, server.key, EVP_aes_128_cbc(), (unsigned char *)"pass", 4, NULL,
                         NULL);
    fclose(file);
    const char *certificate = server.certificate_path, *key = server.key_path;
    OK(strstr(wrong_with((struct tls_options){.certificate = "/no/such", .key = key}),
              "cannot read the certificate /no/such: No such file"));
    OK(strstr(wrong_with((struct tls_options){.certificate = certificate, .key = "/no/such"}),
              "cannot read the private key /no/such"));
    OK(strstr(wrong_with((struct tls_options){.certificate = empty, .key = key}), "must be PEM"));
    OK(strstr(wrong_with((struct tls_options){.certificate = certificate, .key = certificate}),
              "PEM private key"));
    OK(strstr(wrong_with((struct tls_options){.certificate = certificate, .key = ca.key_path}),
              "does not belong to the certificate"));
    OK(strstr(wrong_with((struct tls_options){.certificate = certificate, .key = locked}),
              "passphrase"));
    OK(strstr(wrong_with((struct tls_options){.certificate = certificate, .key = key,
                                              .client_ca = empty}),
              "the client CA"));
}

static void test_expired_loads(void)
{
    struct paper old;
    struct tls *t = NULL;
    char text[TLS_TEXT] = "";
    paper_make(&(struct paper_plan){.name = "old", .by = &ca, .days = -3}, &old);
    struct tls_options options = {.certificate = old.certificate_path, .key = old.key_path};
    EQ(tls_new(&options, &t, text), 0);
    OK(tls_expires_s(t) < time(NULL) - 2 * 86400);
    tls_free(t);
    paper_drop(&old);
}

static void test_reload(void)
{
    struct paper next;
    char text[TLS_TEXT] = "", certificate[128], key[128];
    paper_make(&(struct paper_plan){.name = "next", .by = &ca, .alt = "DNS:next"}, &next);
    paper_path(certificate, "live", "pem");
    paper_path(key, "live", "key");
    rename(server.certificate_path, certificate);
    rename(server.key_path, key);
    struct tls *t = tls_of((struct tls_options){.certificate = certificate, .key = key});
    SSL_CTX *context = client_context();
    struct side before, after;
    side_open(&before, t, context);
    EQ(side_shake(&before), 1);
    rename(next.certificate_path, certificate); /* half of it */
    EQ(tls_reload(t, text), TLS_E_FILES);
    OK(strstr(text, "does not belong") != NULL);
    EQ(refused_with(t, context), CIPHER_FAILURE_none); /* the old one serves on */
    rename(next.key_path, key);
    EQ(tls_reload(t, text), 0);
    side_open(&after, t, context);
    EQ(side_shake(&after), 1);
    EQ(X509_cmp(SSL_get0_peer_certificate(after.ssl), next.certificate), 0);
    SSL_write(before.ssl, "still here", 10);
    side_pump(&before);
    EQ(before.got_len, 10);
    side_close(&before);
    side_close(&after);
    SSL_CTX_free(context);
    tls_free(t);
    paper_drop(&next);
}

int main(void)
{
    sides_open();
    TAP_RUN(test_tickets);
    TAP_RUN(test_ticket_rotation);
    TAP_RUN(test_ticket_file);
    TAP_RUN(test_files);
    TAP_RUN(test_expired_loads);
    TAP_RUN(test_reload);
    sides_close();
    return tap_done();
}
