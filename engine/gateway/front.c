/* SPDX-License-Identifier: MIT */
/* The front: memory that the loops of one process share.
 * Owns: the table of errands, the words of the API, the keys; queue and hop are opened and closed
 * by the first loop (gateway.c).
 * Fails: out of memory, at the start.
 * Invariant: what another thread than its owner may touch is atomic, locked by itself, or never
 * changes after the start. */
#include "gateway/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/auth.h"
#include "gateway/board.h"
#include "gateway/gate.h"
#include "gateway/leads.h"
#include "gateway/news.h"
#include "gateway/route.h"
#include "gateway/tls.h"

#define FRONT_TEXT           256
#define FRONT_ANONYMOUS_RATE 1000 /* a second, unless configured */

_Static_assert((CALLS_MAX & (CALLS_MAX - 1)) == 0, "a call's slot is cut out of its number");

extern const unsigned char api_descriptor_set[];
extern const unsigned long api_descriptor_set_len;

int front_new(const struct gateway_options *options, struct front **ret_front, char *ret_text)
{
    char bad[64];
    struct front *front = calloc(1, sizeof *front);
    if (front == NULL) {
        return err_origin(-ENOMEM);
    }
    front->options = options;
    pthread_mutex_init(&front->auth_lock, NULL);
    front->loops_count = options->loops > 0 ? (unsigned)options->loops : 1;
    CHECK(front->loops_count <= LOOPS_MAX);
    if (!cidr_parse(options->frontends, &front->frontends, bad)) {
        snprintf(ret_text, FRONT_TEXT, "%s is no network, as 10.1.0.0/16", bad);
        front_free(front);
        return FRONT_E_OPTIONS;
    }
    int r = symbols_init(&front->symbols, (struct span){api_descriptor_set,
                                                        api_descriptor_set_len});
    r = r ? r : leads_new(options->shard_url, &front->leads);
    r = r ? r : board_new(front->leads, &front->board);
    r = r ? r : news_new(front->leads, &front->news);
    for (unsigned i = 0; i < front->loops_count && r == 0; i++) {
        front->errands[i] = calloc(CALLS_MAX, sizeof *front->errands[i]);
        r = front->errands[i] ? 0 : err_origin(-ENOMEM);
    }
    if (r) {
        front_free(front);
        return err_fold(r);
    }
    symbols_keep_served(&front->symbols, route_is_served);
    *ret_front = front;
    return 0;
}

/* GCRA (ITU-T I.371): one number is the whole budget, a second's worth of it may come at once. */
unsigned front_anonymous_wait_ms(struct front *front, uint64_t now_ms)
{
    int rate = front->options->anonymous_rate > 0 ? front->options->anonymous_rate
                                                  : FRONT_ANONYMOUS_RATE;
    uint64_t now = now_ms * 1000, cost = 1000000 / (uint64_t)rate;
    uint64_t whole = atomic_load_explicit(&front->anonymous_us, memory_order_relaxed), next;
    do {
        next = (whole > now ? whole : now) + cost;
        if (next - now > 1000000) {
            return (unsigned)((next - now - 1000000) / 1000 + 1);
        }
    } while (!atomic_compare_exchange_weak_explicit(&front->anonymous_us, &whole, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}

static int front_open_tls(struct front *front, char *ret_text)
{
    const struct gateway_options *o = front->options;
    const struct tls_options clients = {
        .certificate = o->tls_certificate, .key = o->tls_key, .ticket_keys = o->tls_ticket_keys,
        .allows_tls12 = o->tls_allows_12, .has_tickets = true};
    /* No tickets for operators: a certificate that was taken back must not live on in one. */
    const struct tls_options operators = {
        .certificate = o->admin_certificate, .key = o->admin_key, .client_ca = o->admin_client_ca};
    int r = o->tls_certificate ? tls_new(&clients, &front->tls, ret_text) : 0;
    if (front->tls) {
        METRIC_SET(tls_certificate_expires_seconds, tls_expires_s(front->tls));
    }
    if (r == 0 && o->admin_host) {
        CHECK(o->admin_client_ca != NULL);
        r = tls_new(&operators, &front->admin_tls, ret_text);
    }
    return r > 0 ? FRONT_E_TLS : err_trace(r);
}

int front_open(struct front *front, char *ret_text)
{
    int r = gate_new(front->options, &front->gate, ret_text);
    if (r) {
        return r > 0 ? FRONT_E_GATE : err_trace(r);
    }
    return front_open_tls(front, ret_text);
}

static void front_reload_one(struct tls *tls, const char *whose)
{
    char text[TLS_TEXT] = "";
    if (tls == NULL) {
        return;
    }
    int r = tls_reload(tls, text);
    if (r == 0) {
        log_event(LOG_CERTIFICATE_READ, NULL, "gateway: %s the certificate was read again", whose);
    } else {
        log_event(LOG_CERTIFICATE_WRONG, NULL, "gateway: %s the certificate stays as it was: %s",
                  whose, text[0] ? text : "out of memory");
    }
}

void front_reload(struct front *front)
{
    gate_set(front->gate, front->options);
    front_reload_one(front->tls, "the clients' listener:");
    front_reload_one(front->admin_tls, "the operators' listener:");
    if (front->tls) {
        METRIC_SET(tls_certificate_expires_seconds, tls_expires_s(front->tls));
    }
}

void front_free(struct front *front)
{
    if (front == NULL) {
        return;
    }
    for (unsigned i = 0; i < front->loops_count; i++) {
        free(front->errands[i]);
    }
    tls_free(front->tls);
    tls_free(front->admin_tls);
    gate_free(front->gate);
    auth_drop(front->auth);
    pthread_mutex_destroy(&front->auth_lock);
    board_free(front->board);
    news_free(front->news);
    leads_free(front->leads);
    symbols_fini(&front->symbols);
    free(front);
}
