/* SPDX-License-Identifier: MIT */
/* A stream to a peer, and the keeper that opens and closes streams.
 * Owns: a PUSH socket with one dialer and a queue for each peer; the keeper is a thread.
 * happy path: the keeper opens a stream for each member, its dialer connects, messages leave one
 * after another; a member that is none any more, or has another address, loses its stream.
 * Fails: a peer that is gone without a word (its network swallows packets) keeps a TCP connection
 * that looks alive, and redialling has a backoff of TCP's own.  So the keeper ends a stream whose
 * peer has said nothing for SILENT_US, or that does not connect, and opens another.
 * Invariants: peers.lock is held around every operation on a stream's aio and its queue; callbacks
 * of nng never come inside these calls.  A stream is freed when nng has let go of its socket. */
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/push.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "rpc/peers_inside.h"

#define SEND_MS          1000               /* for one message to be taken by the connection */
#define KEEPER_US        INT64_C(250000)
#define SILENT_US        (2 * SECOND_US)    /* a peer speaks many times a second */
#define REDIAL_US        (2 * SECOND_US)    /* without a connection, twice as long each time */
#define REDIAL_US_MAX    (8 * SECOND_US)
#define RECONNECT_MS_MIN 10
#define RECONNECT_MS_MAX 250
#define CLOSE_MS         50

/* -- a stream ---------------------------------------------------------------------------------- */

static void stream_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct stream *s = arg;
    (void)pipe;
    atomic_fetch_add(&s->pipes, event == NNG_PIPE_EV_ADD_POST ? 1 : -1);
}

static nng_msg *stream_pull(struct stream *s)
{
    if (s->count == 0) {
        return NULL;
    }
    nng_msg *message = s->queue[s->first];
    s->first = (s->first + 1) % STREAM_QUEUE_MAX;
    s->count--;
    s->bytes -= nng_msg_len(message);
    return message;
}

static void stream_empty(struct stream *s)
{
    nng_msg *message;
    while ((message = stream_pull(s)) != NULL) {
        nng_msg_free(message);
    }
}

static void stream_next(struct stream *s)
{
    nng_msg *message = stream_pull(s);
    s->is_sending = message != NULL;
    if (message) {
        nng_aio_set_msg(s->aio, message);
        nng_aio_set_timeout(s->aio, SEND_MS);
        nng_send_aio(s->socket, s->aio);
    }
}

static void stream_sent(void *arg)
{
    struct stream *s = arg;
    struct peers *p = s->peers;
    int result = nng_aio_result(s->aio);
    pthread_mutex_lock(&p->lock);
    if (result != 0) {
        rpc_aio_drop(s->aio);
        stream_empty(s); /* what waited is old by now */
    }
    if (result == NNG_ECANCELED || result == NNG_ECLOSED || p->is_ending) {
        s->is_sending = false;
    } else {
        stream_next(s);
    }
    pthread_mutex_unlock(&p->lock);
}

static int stream_dial(struct stream *s)
{
    nng_dialer dialer;
    int r = rpc_socket_prepare(s->socket);
    r = r ? r : rpc_error(nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_POST, stream_pipe, s));
    r = r ? r : rpc_error(nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, stream_pipe, s));
    r = r ? r : rpc_dialer_make(s->socket, s->member.address, &dialer);
    r = r ? r : rpc_error(nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, RECONNECT_MS_MIN));
    r = r ? r : rpc_error(nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, RECONNECT_MS_MAX));
    r = r ? r : rpc_error(nng_dialer_start(dialer, NNG_FLAG_NONBLOCK));
    return err_trace(r);
}

bool stream_put(struct stream *s, nng_msg *message)
{
    if (s->count == STREAM_QUEUE_MAX || s->bytes + nng_msg_len(message) > STREAM_QUEUE_BYTES) {
        return false;
    }
    s->queue[(s->first + s->count++) % STREAM_QUEUE_MAX] = message;
    s->bytes += nng_msg_len(message);
    if (!s->is_sending) {
        stream_next(s);
    }
    return true;
}

/* Not on the list any more, and the lock not held. */
static void stream_close(struct stream *s)
{
    if (s->aio) {
        nng_aio_stop(s->aio);
    }
    stream_empty(s);
    if (s->aio) {
        rpc_aio_drop(s->aio);
        nng_aio_free(s->aio);
    }
    rpc_socket_close(s->socket, CLOSE_MS, free, s); /* until then nng counts pipes in it */
}

/* NULL: out of memory or descriptors, or no address of ours; tried again. */
static struct stream *stream_open(struct peers *p, const struct peers_member *member,
                                  int64_t redial_us)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL || rpc_transport_of(member->address) == RPC_TRANSPORT_NONE ||
        nng_push0_open(&s->socket) != 0) {
        free(s);
        return NULL;
    }
    s->peers = p;
    s->member = *member;
    s->redial_us = redial_us;
    s->opened_us = clock_mono_us();
    if (nng_aio_alloc(&s->aio, stream_sent, s) != 0 || stream_dial(s) != 0) {
        stream_close(s);
        return NULL;
    }
    return s;
}

/* -- the keeper -------------------------------------------------------------------------------- */

static const struct peers_member *wanted_of(const struct peers *p, uint64_t id)
{
    for (size_t i = 0; i < p->wanted_count; i++) {
        if (p->wanted[i].id == id) {
            return &p->wanted[i];
        }
    }
    return NULL;
}

struct stream *stream_of(struct peers *p, uint64_t id)
{
    struct stream *s = p->streams;
    while (s && s->member.id != id) {
        s = s->next;
    }
    return s;
}

static bool stream_is_bad(struct peers *p, const struct stream *s, int64_t now_us)
{
    const struct peers_member *member = wanted_of(p, s->member.id);
    if (member == NULL || strcmp(member->address, s->member.address) != 0) {
        return true;
    }
    if (atomic_load(&s->pipes) <= 0) {
        return now_us - s->opened_us > s->redial_us;
    }
    int64_t heard_us = peers_heard_of(p, s->member.id)->at_us;
    heard_us = heard_us > s->opened_us ? heard_us : s->opened_us;
    /* Only who is spoken to can be silent. */
    return now_us - heard_us > SILENT_US && now_us - s->sent_us < SECOND_US;
}

/* One stream that must go, off the list; NULL: none. */
static struct stream *keeper_bad(struct peers *p, int64_t now_us)
{
    for (struct stream **at = &p->streams; *at; at = &(*at)->next) {
        if (p->is_ending || stream_is_bad(p, *at, now_us)) {
            struct stream *s = *at;
            *at = s->next;
            return s;
        }
    }
    return NULL;
}

static bool keeper_missing(struct peers *p, struct peers_member *ret_member)
{
    for (size_t i = 0; i < p->wanted_count && !p->is_ending; i++) {
        if (stream_of(p, p->wanted[i].id) == NULL) {
            *ret_member = p->wanted[i];
            return true;
        }
    }
    return false;
}

/* How long the next stream to it may take to stand. */
static int64_t keeper_patience(const struct stream *s)
{
    if (atomic_load(&s->pipes) > 0) {
        return REDIAL_US;
    }
    return s->redial_us * 2 < REDIAL_US_MAX ? s->redial_us * 2 : REDIAL_US_MAX;
}

/* One look, with the lock held; it is let go where nng is called for long. */
static void keeper_look(struct peers *p)
{
    struct stream *s;
    struct peers_member member;
    uint64_t again = 0;
    int64_t redial_us = REDIAL_US;
    while ((s = keeper_bad(p, clock_mono_us())) != NULL) {
        again = s->member.id;
        redial_us = keeper_patience(s);
        pthread_mutex_unlock(&p->lock);
        stream_close(s);
        pthread_mutex_lock(&p->lock);
        if (wanted_of(p, again)) {
            break; /* reopened at once, with its patience */
        }
    }
    while (keeper_missing(p, &member)) {
        pthread_mutex_unlock(&p->lock);
        s = stream_open(p, &member, member.id == again ? redial_us : REDIAL_US);
        pthread_mutex_lock(&p->lock);
        if (s == NULL) {
            return;
        }
        s->next = p->streams;
        p->streams = s;
    }
}

void *stream_keep(void *arg)
{
    struct peers *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->is_ending) {
        keeper_look(p);
        int64_t until_us = clock_mono_us() + KEEPER_US;
        struct timespec until = {until_us / SECOND_US, until_us % SECOND_US * 1000};
        if (!p->is_ending) {
            pthread_cond_timedwait(&p->wake, &p->lock, &until);
        }
    }
    keeper_look(p);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}
