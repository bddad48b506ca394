/* SPDX-License-Identifier: MIT */
/* Node to node over nng's PUSH and PULL: the door and the inbox.
 * Owns: the door (a PULL socket), the inbox, the list of streams (stream.c).
 *
 *   head: magic u32, version u8, kind u8, cluster 16, from u64, to u64, disk u64, process u64,
 *         number u64, wall clock u64, address (u8 and bytes); then the body
 *
 * Why PUSH and PULL: a socket to each peer keeps the order that Raft wants; they have no requests
 * that could be sent twice; and a pipe here either sends or receives, so nng 1.5.2's hanging reaper
 * (rpc.c) cannot be met: it takes a pipe that is closed by a failed send while it receives.
 * Order over a reconnect: a message has a number, and an older one of the same process is dropped.
 *
 * Fails: a slow peer fills its queue: then messages to it are dropped.  A full inbox stops reading,
 * and TCP slows the senders.
 * Invariants: `lock` is held around everything that nng's threads, the keeper and the writer share;
 * callbacks of nng never come inside these calls. */
#include "rpc/peers.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"
#include "rpc/peers_inside.h"

#define PEERS_MAGIC     UINT32_C(0x46535052) /* FSPR */
#define PEERS_VERSION   1
#define PEERS_HEAD      (4 + 1 + 1 + 16 + 8 * 6 + 1)
#define LEFT_OVER_US    (3 * SECOND_US) /* of a process that ended */
#define TWICE_US        (5 * SECOND_US) /* both speak at least once a second */
#define INBOX_BYTES_MAX (64 * 1024 * 1024)

struct heard *peers_heard_of(struct peers *p, uint64_t id)
{
    for (size_t i = 0; i < p->heard_count; i++) {
        if (p->heard[i].id == id) {
            return &p->heard[i];
        }
    }
    if (p->heard_count == PEERS_MAX) { /* members came and went: the one heard longest ago goes */
        size_t oldest = 0;
        for (size_t i = 1; i < p->heard_count; i++) {
            oldest = p->heard[i].at_us < p->heard[oldest].at_us ? i : oldest;
        }
        p->heard[oldest] = p->heard[--p->heard_count];
    }
    p->heard[p->heard_count] = (struct heard){.id = id};
    return &p->heard[p->heard_count++];
}

/* -- the door ---------------------------------------------------------------------------------- */

static void door_receive(struct peers *p)
{
    nng_recv_aio(p->door, p->door_aio);
}

/* Which of a node's processes speaks.  A node that starts again is another process, and what the
 * old one left on its connection comes in soon; later it is a second one that lives. */
static void heard_process(struct heard *h, uint64_t process, int64_t now_us)
{
    if (h->process == process) {
        return;
    }
    uint64_t number = 0;
    if (h->other_process == process) {
        number = h->other_number;
        h->twice_us = now_us - h->since_us > LEFT_OVER_US ? now_us : h->twice_us;
    } else {
        h->since_us = now_us;
    }
    h->other_process = h->process;
    h->other_number = h->number;
    h->process = process;
    h->number = number;
}

/* NULL: not for us, or no message of ours; it is the caller's to free then. */
static struct peers_message *door_read(struct peers *p, nng_msg *message)
{
    struct reader in = reader_of(nng_msg_body(message), nng_msg_len(message));
    uint8_t cluster[16];
    uint32_t magic = reader_u32(&in);
    uint8_t version = reader_u8(&in), kind = reader_u8(&in);
    reader_bytes(&in, cluster, sizeof cluster);
    uint64_t from = reader_u64(&in), to = reader_u64(&in), disk = reader_u64(&in);
    uint64_t process = reader_u64(&in), number = reader_u64(&in);
    int64_t wall_us = (int64_t)reader_u64(&in);
    uint8_t address_len = reader_u8(&in);
    const uint8_t *address = NULL;
    if (!reader_take(&in, address_len, &address) || magic != PEERS_MAGIC ||
        version != PEERS_VERSION || to != p->options.id || from == 0 || from == to ||
        address_len >= PEERS_ADDRESS_MAX ||
        memcmp(cluster, p->options.cluster_id, sizeof cluster) != 0) {
        return NULL;
    }
    struct heard *heard = peers_heard_of(p, from);
    heard_process(heard, process, clock_mono_us());
    if (number <= heard->number) {
        return NULL; /* an older connection's */
    }
    heard->number = number;
    heard->at_us = clock_mono_us();
    struct peers_message *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return NULL; /* as lost on the way */
    }
    *m = (struct peers_message){.from = from, .disk = disk, .kind = kind, .wall_us = wall_us,
                                .arrival_us = heard->at_us, .message = message,
                                .body = {in.at, reader_left(&in)}};
    memcpy(m->address, address, address_len);
    list_init(&m->node);
    return m;
}

static void door_received(void *arg)
{
    struct peers *p = arg;
    if (nng_aio_result(p->door_aio) != 0) {
        return; /* only closing ends a receive */
    }
    nng_msg *message = nng_aio_get_msg(p->door_aio);
    nng_aio_set_msg(p->door_aio, NULL);
    pthread_mutex_lock(&p->lock);
    struct peers_message *m = door_read(p, message);
    bool has_come = m != NULL;
    if (has_come) {
        list_push(&p->inbox, &m->node);
        p->inbox_bytes += m->body.len;
    } else {
        METRIC_ADD(shard_peer_strays_total, 1);
        nng_msg_free(message);
    }
    p->is_paused = p->inbox_bytes > INBOX_BYTES_MAX;
    if (!p->is_paused && !p->is_ending) {
        door_receive(p);
    }
    pthread_mutex_unlock(&p->lock);
    if (has_come) {
        p->options.arrived(p->options.user);
    }
}

static int door_open(struct peers *p)
{
    const char *url = p->options.listen_url;
    int r = rpc_transport_of(url) == RPC_TRANSPORT_NONE ? RPC_E_ADDRESS
                                                        : rpc_error(nng_pull0_open(&p->door));
    if (r) {
        return err_trace(r);
    }
    p->has_door = true;
    r = rpc_socket_prepare(p->door);
    r = r ? r : rpc_error(nng_socket_set_size(p->door, NNG_OPT_RECVMAXSZ,
                                              PEERS_BODY_MAX + PEERS_HEAD + PEERS_ADDRESS_MAX));
    r = r ? r : rpc_error(nng_aio_alloc(&p->door_aio, door_received, p));
    r = r ? r : rpc_listener_start(p->door, url, &p->port);
    if (r == 0) {
        nng_aio_set_timeout(p->door_aio, NNG_DURATION_INFINITE);
        door_receive(p);
    }
    return err_trace(r);
}

/* -- for the writer ---------------------------------------------------------------------------- */

static void peers_say_address(struct peers *p)
{
    const char *given = p->options.address;
    if (given) {
        snprintf(p->address, sizeof p->address, "%s", given);
        return;
    }
    const char *url = p->options.listen_url;
    size_t len = strlen(url);
    bool is_any = p->port && len > 2 && strcmp(url + len - 2, ":0") == 0;
    if (is_any) {
        snprintf(p->address, sizeof p->address, "%.*s:%d", (int)len - 2, url, p->port);
    } else {
        snprintf(p->address, sizeof p->address, "%s", url);
    }
}

int peers_open(const struct peers_options *options, struct peers **ret_peers)
{
    CHECK(options->id > 0);
    CHECK(options->arrived != NULL);
    struct peers *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return err_origin(-ENOMEM);
    }
    p->options = *options;
    list_init(&p->inbox);
    clock_random(&p->process, sizeof p->process);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&p->lock, NULL);
    int r = door_open(p);
    r = r == RPC_E_ADDRESS ? PEERS_E_ADDRESS : err_trace(r);
    if (r == 0) {
        peers_say_address(p);
        r = -pthread_create(&p->keeper, NULL, stream_keep, p);
        p->has_keeper = r == 0;
        r = err_trace(r);
    }
    if (r) {
        peers_close(p);
        return r;
    }
    p->options.listen_url = p->options.address = NULL; /* borrowed until here */
    *ret_peers = p;
    return 0;
}

void peers_close(struct peers *p)
{
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->is_ending = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    if (p->has_keeper) {
        pthread_join(p->keeper, NULL); /* it closes the streams */
    }
    if (p->door_aio) {
        nng_aio_stop(p->door_aio);
    }
    if (p->has_door) {
        rpc_socket_close(p->door, RPC_CLOSE_MS, NULL, NULL);
    }
    if (p->door_aio) {
        rpc_aio_drop(p->door_aio);
        nng_aio_free(p->door_aio);
    }
    struct list *node;
    while ((node = list_pull(&p->inbox)) != NULL) {
        peers_done(CONTAINER_OF(node, struct peers_message, node));
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free(p);
}

int peers_port(const struct peers *p)
{
    return p->port;
}

void peers_set(struct peers *p, const struct peers_member *members, size_t count)
{
    pthread_mutex_lock(&p->lock);
    p->wanted_count = 0;
    for (size_t i = 0; i < count && p->wanted_count < PEERS_MAX; i++) {
        if (members[i].id != p->options.id) {
            p->wanted[p->wanted_count++] = members[i];
        }
    }
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static nng_msg *peers_pack(struct peers *p, uint64_t to, uint8_t kind, struct span body)
{
    nng_msg *message;
    size_t address_len = strlen(p->address);
    size_t len = PEERS_HEAD + address_len + body.len;
    if (nng_msg_alloc(&message, len) != 0) {
        return NULL;
    }
    struct scribe w = scribe_of(nng_msg_body(message), len);
    scribe_u32(&w, PEERS_MAGIC);
    scribe_u8(&w, PEERS_VERSION);
    scribe_u8(&w, kind);
    scribe_bytes(&w, p->options.cluster_id, sizeof p->options.cluster_id);
    scribe_u64(&w, p->options.id);
    scribe_u64(&w, to);
    scribe_u64(&w, p->options.disk);
    scribe_u64(&w, p->process);
    scribe_u64(&w, ++p->number);
    scribe_u64(&w, (uint64_t)clock_wall_us());
    scribe_u8(&w, (uint8_t)address_len);
    scribe_bytes(&w, p->address, address_len);
    scribe_bytes(&w, body.ptr, body.len);
    CHECK(!w.bad && scribe_len(&w) == len);
    return message;
}

bool peers_send(struct peers *p, uint64_t to, uint8_t kind, struct span body)
{
    CHECK(body.len <= PEERS_BODY_MAX);
    bool taken = false;
    pthread_mutex_lock(&p->lock);
    struct stream *s = stream_of(p, to);
    if (s) {
        s->sent_us = clock_mono_us();
    }
    if (s && atomic_load(&s->pipes) > 0) {
        nng_msg *message = peers_pack(p, to, kind, body);
        taken = message && stream_put(s, message);
        if (!taken) {
            nng_msg_free(message);
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (!taken) {
        METRIC_ADD(shard_peer_dropped_total, 1);
    }
    return taken;
}

struct peers_message *peers_take(struct peers *p)
{
    pthread_mutex_lock(&p->lock);
    struct list *node = list_pull(&p->inbox);
    struct peers_message *m = node ? CONTAINER_OF(node, struct peers_message, node) : NULL;
    if (m) {
        p->inbox_bytes -= m->body.len;
        if (p->is_paused && p->inbox_bytes <= INBOX_BYTES_MAX / 2 && !p->is_ending) {
            p->is_paused = false;
            door_receive(p);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return m;
}

void peers_done(struct peers_message *m)
{
    if (m) {
        nng_msg_free(m->message);
        free(m);
    }
}

bool peers_connected(struct peers *p, uint64_t id)
{
    pthread_mutex_lock(&p->lock);
    struct stream *s = stream_of(p, id);
    bool is_connected = s && atomic_load(&s->pipes) > 0;
    pthread_mutex_unlock(&p->lock);
    return is_connected;
}

bool peers_is_twice(struct peers *p, uint64_t id)
{
    pthread_mutex_lock(&p->lock);
    int64_t twice_us = peers_heard_of(p, id)->twice_us;
    pthread_mutex_unlock(&p->lock);
    return twice_us > 0 && clock_mono_us() - twice_us < TWICE_US;
}
