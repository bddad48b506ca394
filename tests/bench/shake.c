/* SPDX-License-Identifier: MIT */
/* Newcomers over TLS, and the control that they are measured against.
 *
 *   shake accept CERTIFICATE KEY
 *       OpenSSL alone: accept, handshake, wait for the client's good-bye, close; one thread, epoll,
 *       and certificate, group, cipher and one ticket as the gateway has them.  Prints
 *       "ready control=127.0.0.1:PORT" and runs until SIGTERM.
 *   shake call HOST:PORT COUNT [tls] [resume] [rpc] [threads=N] [hold=SECONDS]
 *       COUNT newcomers, each: connect, (handshake,) (one health RPC,) close.  resume: each but a
 *       thread's first has the ticket of the one before.  hold: none closes until all have come and
 *       SECONDS are over; "held" is printed when they have.  Prints one line of JSON.
 *
 * Owns its threads, and what each newcomer needs while it lives.
 * Fails by counting: a newcomer that gets no answer is "failed", never retried. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/wire.h"

#define CIPHERS  "TLS_AES_128_GCM_SHA256"
#define BACKLOG  4096
#define THREADS  64

static struct sockaddr_in address = {.sin_family = AF_INET};
static SSL_CTX *context;
static bool with_tls, with_resume, with_rpc;
static long count, hold_s, threads_count = 8;
static atomic_long started, done, failed, resumed, held;

/* -- the control ------------------------------------------------------------------------------- */

/* One step of a client's connection: handshake, wait for its good-bye, close. */
static void control_step(SSL *ssl)
{
    char byte[256];
    int r = SSL_is_init_finished(ssl) ? 1 : SSL_accept(ssl);
    while (r == 1 && (r = SSL_read(ssl, byte, sizeof byte)) > 0) {
        r = 1;
    }
    if (SSL_get_error(ssl, r) == SSL_ERROR_WANT_READ) {
        return;
    }
    if (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) {
        SSL_shutdown(ssl);
    }
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
    ERR_clear_error();
}

static void control_accept(int epoll, int listener)
{
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        SSL *ssl = SSL_new(context);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = ssl};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        SSL_set_fd(ssl, fd);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

_Noreturn static void control_loop(int listener)
{
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.ptr = NULL};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                control_accept(epoll, listener);
            } else {
                control_step(events[i].data.ptr);
            }
        }
    }
}

static int control(const char *certificate, const char *key)
{
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, CIPHERS);
    SSL_CTX_set1_groups_list(context, "X25519");
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, BACKLOG) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) < 0) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    printf("ready control=127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    control_loop(listener);
}

/* -- newcomers --------------------------------------------------------------------------------- */

struct newcomer {
    int fd;
    SSL *ssl; /* NULL: plain */
    struct wire_client *wire;
    bool is_answered;
};

static _Thread_local SSL_SESSION *ticket;

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

static void on_message(void *user, struct wire_request *request, struct span message)
{
}

static void on_finish(void *user, struct wire_request *request, int status, struct span text,
                      struct span details)
{
    ((struct newcomer *)user)->is_answered = status == 0;
}

static const struct wire_client_ops ops = {.on_message = on_message, .on_finish = on_finish};

static ssize_t newcomer_read(struct newcomer *n, void *buf, size_t cap)
{
    return n->ssl ? SSL_read(n->ssl, buf, (int)cap) : recv(n->fd, buf, cap, 0);
}

static ssize_t newcomer_write(struct newcomer *n, const void *buf, size_t len)
{
    return n->ssl ? SSL_write(n->ssl, buf, (int)len) : send(n->fd, buf, len, MSG_NOSIGNAL);
}

static bool newcomer_calls(struct newcomer *n)
{
    static const char path[] = "/grpc.health.v1.Health/Check";
    struct wire_request *request;
    uint8_t buf[4096];
    ssize_t got;
    if (wire_client_new(&ops, n, &n->wire) ||
        wire_client_call(n->wire, path, (struct span){0}, -1, (struct span){0}, n, &request)) {
        return false;
    }
    do {
        ssize_t len = wire_client_send(n->wire, buf, sizeof buf);
        if (len > 0 && newcomer_write(n, buf, (size_t)len) != len) {
            return false;
        }
        got = newcomer_read(n, buf, sizeof buf);
    } while (got > 0 && wire_client_receive(n->wire, buf, (size_t)got) == 0 && !n->is_answered);
    return n->is_answered; /* and goes, without an acknowledgement of SETTINGS first */
}

static bool newcomer_comes(struct newcomer *n)
{
    int one = 1;
    n->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (n->fd < 0 || connect(n->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        return false;
    }
    setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (with_tls) {
        n->ssl = SSL_new(context);
        SSL_set_fd(n->ssl, n->fd);
        if (with_resume && ticket) {
            SSL_set_session(n->ssl, ticket);
        }
        if (SSL_connect(n->ssl) != 1) {
            return false;
        }
        resumed += SSL_session_reused(n->ssl);
    }
    return !with_rpc || newcomer_calls(n);
}

/* A ticket comes behind the handshake: with an RPC it was read on the way. */
static void newcomer_takes_ticket(struct newcomer *n)
{
    char buf[256];
    if (with_resume && n->ssl && !with_rpc) {
        SSL_read(n->ssl, buf, sizeof buf);
    }
}

static void newcomer_goes(struct newcomer *n)
{
    wire_client_free(n->wire);
    if (n->ssl) {
        SSL_shutdown(n->ssl);
        newcomer_takes_ticket(n);
        SSL_free(n->ssl);
        ERR_clear_error();
    }
    if (n->fd >= 0) {
        close(n->fd);
    }
}

static void hold(struct newcomer *all, long own)
{
    held += own;
    while (held + failed < count) {
        usleep(10000);
    }
    sleep((unsigned)hold_s);
    for (long i = 0; i < own; i++) {
        newcomer_goes(&all[i]);
    }
}

static void *crowd(void *unused)
{
    struct newcomer *all = hold_s ? calloc((size_t)count, sizeof *all) : NULL;
    long own = 0;
    while (started++ < count) {
        struct newcomer n = {.fd = -1};
        bool is_well = newcomer_comes(&n);
        done += is_well;
        failed += !is_well;
        if (hold_s && is_well) {
            all[own++] = n;
        } else {
            newcomer_goes(&n);
        }
    }
    if (hold_s) {
        hold(all, own);
        free(all);
    }
    SSL_SESSION_free(ticket);
    return NULL;
}

static int call(int argc, char **argv)
{
    char host[64] = "";
    int port = 0;
    if (sscanf(argv[0], "%63[0-9.]:%d", host, &port) != 2) {
        return 2;
    }
    count = atol(argv[1]);
    for (int i = 2; i < argc; i++) {
        with_tls |= strcmp(argv[i], "tls") == 0;
        with_resume |= strcmp(argv[i], "resume") == 0;
        with_rpc |= strcmp(argv[i], "rpc") == 0;
        sscanf(argv[i], "threads=%ld", &threads_count);
        sscanf(argv[i], "hold=%ld", &hold_s);
    }
    threads_count = threads_count < THREADS ? threads_count : THREADS;
    address.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, host, &address.sin_addr);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_ticket);
    SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x02h2", 3);
    SSL_CTX_set1_groups_list(context, "X25519");
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    pthread_t threads[THREADS];
    int64_t start_us = clock_mono_us();
    for (long i = 0; i < threads_count; i++) {
        pthread_create(&threads[i], NULL, crowd, NULL);
    }
    while (hold_s && held + failed < count) {
        usleep(10000);
    }
    if (hold_s) {
        printf("{\"held\":%ld}\n", (long)held);
        fflush(stdout);
    }
    for (long i = 0; i < threads_count; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("{\"done\":%ld,\"failed\":%ld,\"resumed\":%ld,\"seconds\":%.3f}\n", (long)done,
           (long)failed, (long)resumed, (double)(clock_mono_us() - start_us) / 1e6);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 4 && strcmp(argv[1], "accept") == 0) {
        return control(argv[2], argv[3]);
    }
    if (argc >= 4 && strcmp(argv[1], "call") == 0) {
        return call(argc - 2, argv + 2);
    }
    fprintf(stderr, "usage: shake accept CERTIFICATE KEY | shake call HOST:PORT COUNT [tls] "
                    "[resume] [rpc] [threads=N] [hold=SECONDS]\n");
    return 2;
}
