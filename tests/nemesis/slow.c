/* SPDX-License-Identifier: MIT */
/* A network that is slow and loses packets, where the kernel has no netem: takes packets from an
 * NFQUEUE, holds each for a random time, drops some.
 * usage: slow QUEUE DELAY_US JITTER_US LOSS_PERMILLE SEED     until SIGTERM; says "ready" first
 * Owns: the queue, and the packets it holds (SLOW_MAX; when it is full, packets pass at once).
 * Each packet's time is its own, so packets overtake each other.  Duplicates cannot be made this
 * way.  The rule that sends packets here should say --queue-bypass: then all pass again when this
 * process ends, however it ends.  Fails: exit 1 with the reason when the queue cannot be had. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <arpa/inet.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>

#include "base/clock.h"
#include "base/prng.h"

#define SLOW_MAX 8192

static struct {
    struct nfq_q_handle *queue;
    struct prng prng;
    int64_t delay_us;
    uint64_t jitter_us, loss_permille, seen, lost;
    size_t held_count;
    struct {
        int64_t due_us;
        uint32_t id;
    } held[SLOW_MAX]; /* a heap: the earliest first */
} slow;

static volatile sig_atomic_t slow_is_over;

static void slow_signal(int number)
{
    (void)number;
    slow_is_over = 1;
}

static void slow_swap(size_t a, size_t b)
{
    int64_t due_us = slow.held[a].due_us;
    uint32_t id = slow.held[a].id;
    slow.held[a] = slow.held[b];
    slow.held[b].due_us = due_us;
    slow.held[b].id = id;
}

static void slow_push(uint32_t id, int64_t due_us)
{
    size_t at = slow.held_count++;
    slow.held[at].due_us = due_us;
    slow.held[at].id = id;
    for (; at > 0 && slow.held[at].due_us < slow.held[(at - 1) / 2].due_us; at = (at - 1) / 2) {
        slow_swap(at, (at - 1) / 2);
    }
}

static uint32_t slow_pop(void)
{
    uint32_t id = slow.held[0].id;
    slow.held[0] = slow.held[--slow.held_count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < slow.held_count; child++) {
            least = slow.held[child].due_us < slow.held[least].due_us ? child : least;
        }
        if (least == at) {
            return id;
        }
        slow_swap(at, least);
        at = least;
    }
}

static void slow_pass(uint32_t id, uint32_t verdict)
{
    nfq_set_verdict(slow.queue, id, verdict, 0, NULL);
}

static int slow_packet(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *data,
                       void *user)
{
    (void)queue;
    (void)message;
    (void)user;
    struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(data);
    uint32_t id = header ? ntohl(header->packet_id) : 0;
    slow.seen++;
    if (prng_below(&slow.prng, 1000) < slow.loss_permille) {
        slow.lost++;
        slow_pass(id, NF_DROP);
    } else if (slow.held_count == SLOW_MAX) {
        slow_pass(id, NF_ACCEPT);
    } else {
        uint64_t jitter = slow.jitter_us ? prng_below(&slow.prng, slow.jitter_us) : 0;
        slow_push(id, clock_mono_us() + slow.delay_us + (int64_t)jitter);
    }
    return 0;
}

static void slow_serve(struct nfq_handle *h)
{
    static char buffer[64 * 1024] __attribute__((aligned(8)));
    struct pollfd in = {.fd = nfq_fd(h), .events = POLLIN};
    while (!slow_is_over) {
        int64_t now = clock_mono_us();
        while (slow.held_count > 0 && slow.held[0].due_us <= now) {
            slow_pass(slow_pop(), NF_ACCEPT);
        }
        int64_t wait = slow.held_count > 0 ? slow.held[0].due_us - now : 100000;
        struct timespec t = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        if (ppoll(&in, 1, &t, NULL) > 0) {
            ssize_t n = recv(in.fd, buffer, sizeof buffer, 0);
            if (n > 0) {
                nfq_handle_packet(h, buffer, (int)n);
            } /* ENOBUFS: the kernel dropped some, which is what we are for */
        }
    }
    while (slow.held_count > 0) {
        slow_pass(slow_pop(), NF_ACCEPT);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: slow QUEUE DELAY_US JITTER_US LOSS_PERMILLE SEED\n");
        return 2;
    }
    slow.delay_us = atol(argv[2]);
    slow.jitter_us = strtoull(argv[3], NULL, 10);
    slow.loss_permille = strtoull(argv[4], NULL, 10);
    prng_init(&slow.prng, strtoull(argv[5], NULL, 10));
    signal(SIGTERM, slow_signal);
    signal(SIGINT, slow_signal);
    struct nfq_handle *h = nfq_open();
    slow.queue = h ? nfq_create_queue(h, (uint16_t)atoi(argv[1]), slow_packet, NULL) : NULL;
    if (slow.queue == NULL || nfq_set_mode(slow.queue, NFQNL_COPY_META, 0) < 0) {
        fprintf(stderr, "slow: queue %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    nfq_set_queue_maxlen(slow.queue, SLOW_MAX);
    printf("ready\n");
    fflush(stdout);
    slow_serve(h);
    printf("seen %" PRIu64 " lost %" PRIu64 "\n", slow.seen, slow.lost);
    nfq_destroy_queue(slow.queue);
    nfq_close(h);
    return 0;
}
