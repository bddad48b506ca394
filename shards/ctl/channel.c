/* SPDX-License-Identifier: MIT */
/* The command line's end of a connection.
 *   channel_open: find -> dial each address -> (TLS: handshake, whose certificate is it?) -> bytes
 * Owns the socket and its SSL; the keys are shared by all channels of a client.
 * Fails with a sentence that a person can act on: no server, a certificate that is not trusted, one
 * of another name, a server that does not speak gRPC or wants to know who we are.
 * A server that refuses our certificate says so after the handshake (TLS 1.3 has it that way), so
 * channel_trouble() has its word when the first answer does not come.
 * Invariant: the socket does not block; every wait ends at its time.
 * Never an option to trust anybody: a token on the wire is a person's. */
#include "ctl/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

#define CHANNEL_CONNECT_US (5 * SECOND_US)

struct channel_keys {
    SSL_CTX *context;
};

struct channel {
    int fd;
    SSL *ssl;                   /* NULL: plain */
    char trouble[CHANNEL_TEXT]; /* see channel_trouble() */
};

/* -- keys -------------------------------------------------------------------------------------- */

static const char *channel_why(void)
{
    unsigned long code = ERR_peek_error();
    const char *why = ERR_SYSTEM_ERROR(code) ? strerror((int)ERR_GET_REASON(code))
                                             : ERR_reason_error_string(code);
    return why ? why : "unknown error";
}

static int channel_wrong(char *ret_text, const char *what, const char *path)
{
    snprintf(ret_text, CHANNEL_TEXT, "%s %.120s: %.80s", what, path, channel_why());
    ERR_clear_error();
    return CHANNEL_E_FILES;
}

static int channel_load(SSL_CTX *context, const struct channel_files *files, char *ret_text)
{
    if (files->ca ? SSL_CTX_load_verify_file(context, files->ca) != 1
                  : SSL_CTX_set_default_verify_paths(context) != 1) {
        return channel_wrong(ret_text, "cannot read the CA", files->ca ? files->ca : "store");
    }
    if (files->certificate == NULL) {
        return 0;
    }
    if (SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1) {
        return channel_wrong(ret_text, "cannot read the certificate", files->certificate);
    }
    if (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1) {
        return channel_wrong(ret_text, "cannot use the private key", files->key);
    }
    return 0;
}

/* OpenSSL writes without MSG_NOSIGNAL: a server that has left is an error of one write. */
static void channel_ignore_sigpipe(void)
{
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
        sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    }
}

int channel_keys_new(const struct channel_files *files, struct channel_keys **ret_keys,
                     char *ret_text)
{
    CHECK(!files->certificate == !files->key);
    struct channel_keys *keys = calloc(1, sizeof(*keys));
    if (!keys) {
        return err_origin(-ENOMEM);
    }
    channel_ignore_sigpipe();
    ERR_clear_error();
    keys->context = SSL_CTX_new(TLS_client_method());
    if (!keys->context ||
        SSL_CTX_set_min_proto_version(keys->context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(keys->context, (const unsigned char *)"\x02h2", 3) != 0) {
        channel_keys_free(keys);
        return err_origin(-ENOMEM);
    }
    SSL_CTX_set_verify(keys->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(keys->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int r = channel_load(keys->context, files, ret_text);
    if (r) {
        channel_keys_free(keys);
        return r;
    }
    *ret_keys = keys;
    return 0;
}

void channel_keys_free(struct channel_keys *keys)
{
    if (keys) {
        SSL_CTX_free(keys->context);
        free(keys);
    }
}

/* -- waiting and dialling ---------------------------------------------------------------------- */

/* Waits until `events`, at most until `until_us`; false when the time is over. */
static bool channel_wait(int fd, short events, int64_t until_us)
{
    for (;;) {
        int64_t left_ms = (until_us - clock_mono_us() + 999) / 1000;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

/* After an SSL call that was not done: waits for what it wants.  False: it failed. */
static bool channel_tls_wait(struct channel *c, int r, int64_t until_us)
{
    int want = SSL_get_error(c->ssl, r);
    return (want == SSL_ERROR_WANT_READ && channel_wait(c->fd, POLLIN, until_us)) ||
           (want == SSL_ERROR_WANT_WRITE && channel_wait(c->fd, POLLOUT, until_us));
}

int channel_bind(int fd, uint32_t source)
{
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(source)}};
    int one = 1; /* the port is chosen by connect(), so that one address has 60,000 a target */
    if (source == 0) {
        return 0;
    }
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/* A connected, non-blocking socket, or -errno. */
static int channel_dial(const struct addrinfo *address, uint32_t source, int64_t until_us)
{
    int one = 1;
    socklen_t len = sizeof(int);
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int error = -channel_bind(fd, source);
    if (error == 0 && connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
        error = errno;
        if (error == EINPROGRESS) {
            error = channel_wait(fd, POLLOUT, until_us) ? 0 : ETIMEDOUT;
            if (error == 0) {
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
            }
        }
    }
    if (error) {
        close(fd);
        return -error;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* -- TLS --------------------------------------------------------------------------------------- */

/* Why the handshake did not come to an end, in words that say what to do. */
static void channel_explain(const struct channel *c, const char *host, int port, char *ret_text)
{
    long verdict = SSL_get_verify_result(c->ssl);
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        snprintf(ret_text, CHANNEL_TEXT, "the certificate of %.60s:%d is another's: call it by a "
                 "name that its certificate has", host, port);
    } else if (verdict != X509_V_OK) {
        snprintf(ret_text, CHANNEL_TEXT, "the certificate of %.60s:%d is not trusted (%.60s): name "
                 "its authority with --ca FILE", host, port,
                 X509_verify_cert_error_string(verdict));
    } else if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_WRONG_VERSION_NUMBER) {
        snprintf(ret_text, CHANNEL_TEXT, "%.60s:%d does not speak TLS: leave https:// away", host,
                 port);
    } else {
        snprintf(ret_text, CHANNEL_TEXT, "no TLS with %.60s:%d: %.80s", host, port,
                 ERR_peek_error() ? channel_why() : "it closed the connection");
    }
    ERR_clear_error();
}

/* Whom the certificate must be of. */
static bool channel_expect(struct channel *c, const char *host)
{
    unsigned char unused[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, unused) == 1 || inet_pton(AF_INET6, host, unused) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), host) == 1;
    }
    return SSL_set1_host(c->ssl, host) == 1 && SSL_set_tlsext_host_name(c->ssl, host) == 1;
}

static int channel_shake(struct channel *c, struct channel_keys *keys, const char *host, int port,
                         char *ret_text)
{
    int64_t until_us = clock_mono_us() + CHANNEL_CONNECT_US;
    int r;
    ERR_clear_error();
    c->ssl = SSL_new(keys->context);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || !channel_expect(c, host)) {
        return err_origin(-ENOMEM);
    }
    while ((r = SSL_connect(c->ssl)) != 1) {
        if (!channel_tls_wait(c, r, until_us)) {
            channel_explain(c, host, port, ret_text);
            return CHANNEL_E_REFUSED;
        }
    }
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(c->ssl, &name, &len);
    if (len != 2 || memcmp(name, "h2", 2) != 0) {
        snprintf(ret_text, CHANNEL_TEXT, "%.60s:%d does not speak HTTP/2", host, port);
        return CHANNEL_E_REFUSED;
    }
    return 0;
}

/* -- life -------------------------------------------------------------------------------------- */

static int channel_connect(const struct channel_ends *ends, int *ret_fd, char *ret_text)
{
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int64_t until_us = clock_mono_us() + CHANNEL_CONNECT_US;
    int fd = -1;
    snprintf(service, sizeof(service), "%d", ends->port);
    int r = getaddrinfo(ends->host, service, &hints, &found);
    if (r != 0) {
        snprintf(ret_text, CHANNEL_TEXT, "cannot find %.80s: %s", ends->host,
                 gai_strerror(r));
        return CHANNEL_E_REFUSED;
    }
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = channel_dial(a, ends->source, until_us);
    }
    freeaddrinfo(found);
    if (fd < 0) {
        snprintf(ret_text, CHANNEL_TEXT, "cannot connect to %.80s:%d: %s", ends->host,
                 ends->port, strerror(-fd));
        return CHANNEL_E_REFUSED;
    }
    *ret_fd = fd;
    return 0;
}

int channel_open(const char *host, int port, struct channel_keys *keys,
                 struct channel **ret_channel, char *ret_text)
{
    const struct channel_ends ends = {.host = host, .port = port};
    return channel_open_from(&ends, keys, ret_channel, ret_text);
}

int channel_open_from(const struct channel_ends *ends, struct channel_keys *keys,
                      struct channel **ret_channel, char *ret_text)
{
    struct channel *c = calloc(1, sizeof(*c));
    if (!c) {
        return err_origin(-ENOMEM);
    }
    c->fd = -1;
    int r = channel_connect(ends, &c->fd, ret_text);
    if (r == 0 && keys) {
        r = channel_shake(c, keys, ends->host, ends->port, ret_text);
    }
    if (r) {
        channel_close(c);
        return r;
    }
    *ret_channel = c;
    return 0;
}

void channel_close(struct channel *c)
{
    if (!c) {
        return;
    }
    if (c->ssl) {
        ERR_clear_error();
        if (SSL_is_init_finished(c->ssl)) {
            SSL_shutdown(c->ssl);
        }
        SSL_free(c->ssl);
        ERR_clear_error();
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    free(c);
}

const char *channel_trouble(const struct channel *c)
{
    return c->trouble;
}

/* -- bytes ------------------------------------------------------------------------------------- */

static bool channel_send_plain(struct channel *c, const uint8_t *bytes, size_t n, int64_t until_us)
{
    while (n > 0) {
        ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            n -= (size_t)sent;
        } else if (errno == EAGAIN && !channel_wait(c->fd, POLLOUT, until_us)) {
            return false;
        } else if (errno != EAGAIN && errno != EINTR) {
            return false;
        }
    }
    return true;
}

bool channel_send(struct channel *c, const void *bytes, size_t n, int64_t until_us)
{
    const uint8_t *at = bytes;
    if (!c->ssl) {
        return channel_send_plain(c, at, n, until_us);
    }
    while (n > 0) {
        size_t sent = 0;
        ERR_clear_error();
        int r = SSL_write_ex(c->ssl, at, n, &sent);
        if (r == 1) {
            at += sent;
            n -= sent;
        } else if (!channel_tls_wait(c, r, until_us)) {
            return false;
        }
    }
    return true;
}

static ssize_t channel_receive_plain(struct channel *c, void *buf, size_t cap, int64_t until_us)
{
    for (;;) {
        if (!channel_wait(c->fd, POLLIN, until_us)) {
            return -ETIMEDOUT;
        }
        ssize_t n = recv(c->fd, buf, cap, 0);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
            return n > 0 ? n : 0;
        }
    }
}

ssize_t channel_receive(struct channel *c, void *buf, size_t cap, int64_t until_us)
{
    size_t n = 0;
    if (!c->ssl) {
        return channel_receive_plain(c, buf, cap, until_us);
    }
    for (;;) {
        ERR_clear_error();
        int r = SSL_read_ex(c->ssl, buf, cap, &n);
        if (r == 1) {
            return (ssize_t)n;
        }
        int want = SSL_get_error(c->ssl, r);
        if (want == SSL_ERROR_SSL) {
            snprintf(c->trouble, sizeof(c->trouble), "the server ended the connection: %.100s",
                     channel_why());
        }
        if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE) {
            ERR_clear_error();
            return 0;
        }
        if (!channel_tls_wait(c, r, until_us)) {
            return -ETIMEDOUT;
        }
    }
}

/* -- at once ----------------------------------------------------------------------------------- */

int channel_socket(const struct channel *c)
{
    return c->fd;
}

/* After an SSL call that was not done: 0 when it waits for something, else the end. */
static ssize_t channel_later(struct channel *c, int r)
{
    int want = SSL_get_error(c->ssl, r);
    ERR_clear_error();
    return want == SSL_ERROR_WANT_READ || want == SSL_ERROR_WANT_WRITE ? 0 : -ECONNRESET;
}

ssize_t channel_send_some(struct channel *c, const void *bytes, size_t n)
{
    size_t sent = 0;
    if (!c->ssl) {
        ssize_t done = send(c->fd, bytes, n, MSG_NOSIGNAL);
        return done >= 0 ? done : errno == EAGAIN ? 0 : -errno;
    }
    ERR_clear_error();
    int r = SSL_write_ex(c->ssl, bytes, n, &sent);
    return r == 1 ? (ssize_t)sent : channel_later(c, r);
}

ssize_t channel_receive_some(struct channel *c, void *buf, size_t cap)
{
    size_t got = 0;
    if (!c->ssl) {
        ssize_t n = recv(c->fd, buf, cap, 0);
        return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -ECONNRESET;
    }
    ERR_clear_error();
    int r = SSL_read_ex(c->ssl, buf, cap, &got);
    return r == 1 ? (ssize_t)got : channel_later(c, r);
}
