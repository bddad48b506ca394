/* SPDX-License-Identifier: MIT */
/* TLS between socket and wire.
 *
 *   conn_read -> secure_receive: cipher_feed -> cipher_pull -> wire_server_receive
 *                                     \-> what the handshake has to say waits in the loop's desk
 *   conn_flush: wire_server_send -> secure_seal, behind what waits -> conn_put: one write for both
 *
 * Owns: the connection's cipher, and the operator behind an admin listener's certificate.
 * Happy path: two reads and two writes are a handshake; from then on a read is as many records as
 * came, and a write as many answers as there are.
 * A handshake is 0.3 ms of this loop's core, an answer 3 us: so a turn of the loop makes the keys
 * of HANDSHAKES_PER_TURN clients at most, and whoever has called already is answered in between.
 * Fails by closing, each kind counted (cipher.h).  A handshake may take handshake_ms; of those
 * under way the oldest goes when there are too many: an honest one takes a few round trips only.
 * A client that says good-bye (close_notify) and still waits for answers gets them.
 * Invariants: the desk is empty again when conn_read() ends; wire sees no byte before the handshake
 * is over. */
#include "gateway/secure.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/metrics.h"
#include "gateway/cipher.h"
#include "gateway/conn.h"
#include "gateway/inside.h"
#include "gateway/peer.h"
#include "gateway/tls.h"
#include "gateway/verify.h"
#include "wire/wire.h"

/* Index of the metric's label: "ok resumed", then cipher.h's kinds but none. */
static void secure_count(const struct conn *conn, enum cipher_failure failure)
{
    size_t index = failure == CIPHER_FAILURE_none ? cipher_is_resumed(conn->cipher)
                                                  : 1 + (size_t)failure;
    METRIC_ADD1(tls_handshakes_total, handshake, index, 1);
}

_Static_assert((int)METRICS_VALUES_handshake == 1 + (int)CIPHER_FAILURE_COUNT, "one for each");

int secure_begin(struct conn *conn)
{
    struct gateway *g = conn->gateway;
    struct tls *tls = conn->is_admin ? g->front->admin_tls : g->front->tls;
    if (tls == NULL) {
        return 0;
    }
    int r = cipher_new(tls, &g->desk, &conn->cipher);
    if (r) {
        return err_trace(r);
    }
    list_push(&g->handshakes, &conn->handshake_link);
    g->handshakes_count++;
    METRIC_ADD(tls_handshakes, 1);
    if (g->options->handshake_ms > 0) {
        deadline_arm(&g->deadlines, &conn->hello,
                     uv_now(&g->loop) + (uint64_t)g->options->handshake_ms);
    }
    return 0;
}

static void secure_leave_list(struct conn *conn)
{
    if (!list_empty(&conn->handshake_link)) {
        list_remove(&conn->handshake_link);
        conn->gateway->handshakes_count--;
        METRIC_ADD(tls_handshakes, -1);
    }
}

void secure_end(struct conn *conn)
{
    if (conn->cipher == NULL) {
        return;
    }
    if (!cipher_is_open(conn->cipher) || cipher_failure(conn->cipher)) {
        enum cipher_failure failure = cipher_failure(conn->cipher);
        if (failure == CIPHER_FAILURE_none) {
            failure = conn->end ? CIPHER_FAILURE_slow : CIPHER_FAILURE_gone;
        }
        secure_count(conn, failure);
    }
    secure_leave_list(conn);
    cipher_free(conn->cipher);
    conn->cipher = NULL;
    free(conn->peer);
    conn->peer = NULL;
}

/* The handshake is over: who is it? */
static int secure_opened(struct conn *conn)
{
    struct gateway *g = conn->gateway;
    secure_leave_list(conn);
    deadline_disarm(&g->deadlines, &conn->hello); /* the greeting's time begins */
    secure_count(conn, CIPHER_FAILURE_none);
    if (!conn->is_admin) {
        return 0;
    }
    conn->peer = calloc(1, sizeof *conn->peer);
    if (conn->peer == NULL) {
        return err_origin(-ENOMEM);
    }
    CHECK(cipher_peer(conn->cipher) != NULL);
    return err_trace(peer_judge(cipher_peer(conn->cipher), g->options, conn->peer));
}

void secure_judge_again(struct gateway *g)
{
    for (struct list *l = g->conns.next; l != &g->conns; l = l->next) {
        struct conn *conn = CONTAINER_OF(l, struct conn, link);
        if (conn->peer && peer_judge(cipher_peer(conn->cipher), g->options, conn->peer) < 0) {
            *conn->peer = (struct verified){0}; /* no memory: nobody, so no role */
        }
    }
}

/* One record, or the next step of the handshake.  0: go on; WIRE_E_CLOSE, or < 0.  *ret_more: there
 * may be more. */
static int secure_step(struct conn *conn, bool *ret_more)
{
    struct cipher *c = conn->cipher;
    struct span plain = {0};
    bool was_open = cipher_is_open(c), had_answered = cipher_has_answered(c);
    int verdict = cipher_pull(c, &plain);
    conn->gateway->handshakes_turn += !had_answered && cipher_has_answered(c);
    if (!was_open && cipher_is_open(c)) {
        int r = secure_opened(conn);
        if (r) {
            return err_trace(r);
        }
    }
    *ret_more = plain.len > 0;
    if (verdict == CIPHER_E_BROKEN) {
        return -EPROTO;
    }
    if (verdict == CIPHER_E_CLOSED) {
        conn->is_half_closed = true;
        return 0;
    }
    return plain.len ? wire_server_receive(conn->wire, plain.ptr, plain.len) : 0;
}

int secure_receive(struct conn *conn, struct span bytes)
{
    bool has_more = true;
    int r = 0;
    cipher_feed(conn->cipher, bytes);
    while (r == 0 && has_more && !conn->has_failed) {
        r = secure_step(conn, &has_more);
    }
    return r < 0 && secure_flush(conn) < 0 ? -EPIPE : r; /* an alert, perhaps */
}

int secure_flush(struct conn *conn)
{
    struct span out = {0};
    if (conn->cipher) {
        out = cipher_out(conn->cipher);
    }
    return out.len ? conn_put(conn, out) : 0;
}

int secure_seal(struct conn *conn, struct span bytes, struct span *ret_bytes)
{
    if (conn->cipher == NULL) {
        *ret_bytes = bytes;
        return 0;
    }
    int verdict = bytes.len ? cipher_push(conn->cipher, bytes.ptr, bytes.len) : 0;
    *ret_bytes = cipher_out(conn->cipher);
    return verdict ? -EPROTO : 0;
}

void secure_good_bye(struct conn *conn)
{
    if (conn->cipher == NULL) {
        return;
    }
    cipher_end(conn->cipher);
    struct span out = cipher_out(conn->cipher);
    if (out.len) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)out.ptr, (unsigned)out.len);
        uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
    }
}

bool secure_is_shaking(const struct conn *conn)
{
    return conn->cipher && !cipher_is_open(conn->cipher);
}

bool secure_owes(const struct conn *conn)
{
    return conn->cipher && cipher_owes(conn->cipher);
}

bool secure_must_wait(const struct conn *conn)
{
    return conn->cipher && !cipher_has_answered(conn->cipher) &&
           conn->gateway->handshakes_turn >= HANDSHAKES_PER_TURN;
}

void secure_make_room(struct gateway *g)
{
    int max = g->options->handshakes_max;
    if (max > 0 && g->handshakes_count > (size_t)max) {
        struct conn *oldest = CONTAINER_OF(g->handshakes.next, struct conn, handshake_link);
        conn_stalled(oldest, CONN_END_HANDSHAKES);
        secure_leave_list(oldest);
    }
}
