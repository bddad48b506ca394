/* SPDX-License-Identifier: MIT */
/* Streams between nodes: order, a peer that comes late, one that goes and comes back, what is not
 * for us. */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "rpc/peers.h"
#include "tests/lib/tap.h"

#define WAIT_US (20 * SECOND_US)

static void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static atomic_int arrivals;

static void arrived(void *user)
{
    (void)user;
    atomic_fetch_add(&arrivals, 1);
}

static struct peers *open_node(uint64_t id, const char *url, uint8_t cluster)
{
    struct peers *p = NULL;
    struct peers_options o = {.listen_url = url, .id = id, .disk = id * 11, .arrived = arrived};
    o.cluster_id[0] = cluster;
    OK(peers_open(&o, &p) == 0);
    return p;
}

static void meet(struct peers *p, uint64_t id, const char *address)
{
    struct peers_member members[2] = {{.id = 1}, {.id = id}};
    snprintf(members[1].address, sizeof members[1].address, "%s", address);
    peers_set(p, members, 2);
}

static bool connects(struct peers *p, uint64_t id)
{
    int64_t until_us = clock_mono_us() + WAIT_US;
    while (!peers_connected(p, id) && clock_mono_us() < until_us) {
        pause_ms(2);
    }
    return peers_connected(p, id);
}

static struct peers_message *waited(struct peers *p)
{
    int64_t until_us = clock_mono_us() + WAIT_US;
    struct peers_message *m;
    while ((m = peers_take(p)) == NULL && clock_mono_us() < until_us) {
        pause_ms(1);
    }
    return m;
}

static bool send_number(struct peers *p, uint64_t to, uint64_t number)
{
    uint8_t bytes[8];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u64(&w, number);
    return peers_send(p, to, 7, (struct span){bytes, sizeof bytes});
}

/* Until it is taken: a stream whose peer never answers is opened anew every two seconds. */
static bool sends(struct peers *p, uint64_t to, uint64_t number)
{
    int64_t until_us = clock_mono_us() + WAIT_US;
    while (!send_number(p, to, number) && clock_mono_us() < until_us) {
        pause_ms(2);
    }
    return clock_mono_us() < until_us;
}

static uint64_t number_of(const struct peers_message *m)
{
    struct reader r = reader_of(m->body.ptr, m->body.len);
    return reader_u64(&r);
}

static void address_of(const struct peers *p, char address[64])
{
    snprintf(address, 64, "tcp://127.0.0.1:%d", peers_port(p));
}

static void test_in_order(void)
{
    struct peers *a = open_node(1, "tcp://127.0.0.1:0", 5);
    struct peers *b = open_node(2, "tcp://127.0.0.1:0", 5);
    char address[64];
    address_of(b, address);
    OK(!send_number(a, 2, 0)); /* nobody is known there: dropped, not kept */
    meet(a, 2, address);
    OK(connects(a, 2));
    bool ordered = true;
    uint64_t got = 0;
    for (uint64_t i = 1; i <= 3000; i++) {
        OK(send_number(a, 2, i));
    }
    for (struct peers_message *m; got < 3000 && (m = waited(b)) != NULL; peers_done(m)) {
        ordered = ordered && number_of(m) == ++got && m->from == 1 && m->disk == 11 &&
                  m->kind == 7 && m->arrival_us > 0;
    }
    OK(ordered);
    OK(got == 3000);
    OK(atomic_load(&arrivals) > 0);
    peers_close(a);
    peers_close(b);
}

static void test_large(void)
{
    static uint8_t bytes[PEERS_BODY_MAX];
    memset(bytes, 0x5a, sizeof bytes);
    struct peers *a = open_node(1, "tcp://127.0.0.1:0", 5);
    struct peers *b = open_node(2, "tcp://127.0.0.1:0", 5);
    char address[64];
    address_of(b, address);
    meet(a, 2, address);
    OK(connects(a, 2));
    OK(peers_send(a, 2, 1, (struct span){bytes, sizeof bytes}));
    struct peers_message *m = waited(b);
    OK(m != NULL && m->body.len == sizeof bytes && m->body.ptr[sizeof bytes - 1] == 0x5a);
    char said[64];
    address_of(a, said);
    OK(m != NULL && strcmp(m->address, said) == 0); /* where a newcomer may answer */
    peers_done(m);
    peers_close(a);
    peers_close(b);
}

static void test_goes_and_comes_back(void)
{
    struct peers *a = open_node(1, "tcp://127.0.0.1:0", 5);
    struct peers *b = open_node(2, "tcp://127.0.0.1:0", 5);
    char address[64];
    address_of(b, address);
    meet(a, 2, address);
    OK(connects(a, 2));
    peers_close(b);
    int64_t until_us = clock_mono_us() + WAIT_US;
    while (peers_connected(a, 2) && clock_mono_us() < until_us) {
        pause_ms(2);
    }
    OK(!send_number(a, 2, 1));
    b = open_node(2, address, 5);
    OK(connects(a, 2));
    OK(send_number(a, 2, 2));
    struct peers_message *m = waited(b);
    OK(m != NULL && number_of(m) == 2);
    peers_done(m);
    meet(a, 3, "tcp://127.0.0.1:1"); /* 2 is no member any more, 3 is not there */
    until_us = clock_mono_us() + WAIT_US;
    while (peers_connected(a, 2) && clock_mono_us() < until_us) {
        pause_ms(2);
    }
    OK(!peers_connected(a, 2) && !peers_connected(a, 3));
    peers_close(a);
    peers_close(b);
}

static void test_not_for_us(void)
{
    struct peers *a = open_node(1, "tcp://127.0.0.1:0", 5);
    struct peers *b = open_node(2, "tcp://127.0.0.1:0", 6); /* of another cluster */
    struct peers *c = open_node(3, "tcp://127.0.0.1:0", 5);
    char address[64];
    address_of(b, address);
    meet(a, 2, address);
    OK(connects(a, 2));
    OK(send_number(a, 2, 1));
    address_of(c, address);
    meet(a, 4, address); /* 3 answers where 4 should */
    OK(connects(a, 4));
    OK(send_number(a, 4, 2));
    meet(a, 3, address);
    OK(connects(a, 3));
    OK(send_number(a, 3, 3));
    struct peers_message *m = waited(c);
    OK(m != NULL && number_of(m) == 3);
    peers_done(m);
    OK(peers_take(b) == NULL);
    peers_close(a);
    peers_close(b);
    peers_close(c);
}

/* A node that starts again is another process; two at a time are a copy of its directory. */
static void test_two_processes(void)
{
    struct peers *a = open_node(1, "tcp://127.0.0.1:0", 5);
    struct peers *b[2] = {open_node(2, "tcp://127.0.0.1:0", 5), NULL};
    struct peers_member to = {.id = 1};
    snprintf(to.address, sizeof to.address, "tcp://127.0.0.1:%d", peers_port(a));
    int64_t begin_us = clock_mono_us(), twice_us = 0;
    for (int i = 0; clock_mono_us() - begin_us < WAIT_US && twice_us == 0; i ^= 1) {
        if (b[i] == NULL) {
            b[i] = open_node(2, "tcp://127.0.0.1:0", 5);
            begin_us = clock_mono_us();
        }
        peers_set(b[i], &to, 1);
        OK(sends(b[i], 1, 1));
        struct peers_message *m = waited(a);
        OK(m != NULL);
        peers_done(m);
        twice_us = peers_is_twice(a, 2) ? clock_mono_us() : 0;
        pause_ms(100);
    }
    OK(twice_us - begin_us > 2 * SECOND_US); /* not at once: what was on the way may come late */
    peers_close(a);
    peers_close(b[0]);
    peers_close(b[1]);
}

/* Who asks whether somebody has its address. */
static void test_answers(void)
{
    struct peers *a = open_node(1, "tcp://127.0.0.1:0", 5);
    char address[64];
    address_of(a, address);
    OK(peers_probe(address, 2000));
    OK(!peers_probe("inproc://somewhere", 100));
    OK(!peers_probe("tcp://nobody.invalid:5", 100));
    peers_close(a);
    OK(!peers_probe(address, 100));
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* a port that says nothing */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    OK(bind(door, (struct sockaddr *)&at, len) == 0 && listen(door, 4) == 0);
    OK(getsockname(door, (struct sockaddr *)&at, &len) == 0);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    int64_t begin_us = clock_mono_us();
    OK(!peers_probe(address, 50));
    OK(clock_mono_us() - begin_us < 10 * SECOND_US);
    close(door);
}

static void test_addresses(void)
{
    struct peers *p = NULL;
    struct peers_options o = {.listen_url = "http://127.0.0.1:1", .id = 1, .arrived = arrived};
    OK(peers_open(&o, &p) == PEERS_E_ADDRESS);
    struct peers *a = open_node(1, "tcp://127.0.0.1:0", 5);
    char address[64];
    address_of(a, address);
    o.listen_url = address;
    OK(peers_open(&o, &p) == PEERS_E_ADDRESS); /* in use */
    meet(a, 2, "nowhere");
    pause_ms(50);
    OK(!peers_connected(a, 2));
    peers_close(a);
    peers_close(NULL);
}

int main(void)
{
    TAP_RUN(test_in_order);
    TAP_RUN(test_large);
    TAP_RUN(test_goes_and_comes_back);
    TAP_RUN(test_not_for_us);
    TAP_RUN(test_two_processes);
    TAP_RUN(test_answers);
    TAP_RUN(test_addresses);
    return tap_done();
}
