/* SPDX-License-Identifier: MIT */
/* The gate: the toll of address groups under one lock, and who pays none.
 * Owns: the toll, the list of exempt networks.
 * Happy path: a peer's address -> its group -> 0.1 us under a lock that is taken as often as
 * connections begin and end.
 * Fails by refusing; the caller resets the connection, because whatever we would say costs more
 * than the peer's SYN did.
 * Exempt: proxies that carry many people, by configuration; loopback unless told otherwise, because
 * a proxy on this machine is one of them.
 * Not a gate for each loop: the kernel deals connections out by their ports, so a group's budget
 * would be split by chance. */
#include "gateway/gate.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "gateway/cidr.h"
#include "gateway/gateway.h"

#define GATE_TEXT 256

struct gate {
    pthread_mutex_t lock;
    struct toll *toll;       /* owned */
    struct cidr_list exempt;
    uint8_t secret[16];      /* of the toll's table: it stays when its numbers change */
};

static struct toll_options gate_tolls(const struct gateway_options *options)
{
    struct toll_options toll = {.rate_per_s = (uint32_t)options->group_rate,
                                .burst = (uint32_t)options->group_burst,
                                .connections_max = (uint32_t)options->group_connections};
    if (toll.rate_per_s > 0 && toll.burst == 0) {
        toll.burst = toll.rate_per_s;
    }
    return toll;
}

int gate_new(const struct gateway_options *options, struct gate **ret_gate, char *ret_text)
{
    struct toll_options toll = gate_tolls(options);
    const char *exempt = options->group_exempt ? options->group_exempt : GATE_LOOPBACK;
    char bad[64];
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL) {
        return err_origin(-ENOMEM);
    }
    if (!cidr_parse(exempt, &gate->exempt, bad)) {
        snprintf(ret_text, GATE_TEXT, "'%s' is no network: write 10.1.0.0/16 or 2001:db8::/32, at "
                 "most %d of them", bad, CIDR_LIST_MAX);
        free(gate);
        return GATE_E_EXEMPT;
    }
    clock_random(gate->secret, sizeof gate->secret);
    memcpy(toll.secret, gate->secret, sizeof toll.secret);
    int r = toll_new(&toll, &gate->toll);
    if (r) {
        free(gate);
        return err_trace(r);
    }
    pthread_mutex_init(&gate->lock, NULL);
    *ret_gate = gate;
    return 0;
}

void gate_set(struct gate *gate, const struct gateway_options *options)
{
    pthread_mutex_lock(&gate->lock);
    struct toll_options toll = gate_tolls(options);
    memcpy(toll.secret, gate->secret, sizeof toll.secret);
    toll_set(gate->toll, &toll);
    struct cidr_list exempt;
    char bad[64];
    if (options->group_exempt && cidr_parse(options->group_exempt, &exempt, bad)) {
        gate->exempt = exempt;
    }
    pthread_mutex_unlock(&gate->lock);
}

void gate_free(struct gate *gate)
{
    if (gate) {
        toll_free(gate->toll);
        pthread_mutex_destroy(&gate->lock);
        free(gate);
    }
}

/* Where the address stands, and how long it is; NULL: of no family that we listen on. */
static const uint8_t *gate_address(const struct sockaddr *peer, size_t *ret_len)
{
    if (peer->sa_family == AF_INET) {
        *ret_len = 4;
        return (const uint8_t *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    }
    *ret_len = 16;
    return peer->sa_family == AF_INET6
               ? ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr.s6_addr
               : NULL;
}

int gate_enter(struct gate *gate, const struct sockaddr *peer, struct toll_group *ret_group)
{
    size_t len;
    const uint8_t *address = gate_address(peer, &len);
    *ret_group = (struct toll_group){0};
    if (address == NULL) {
        return 0;
    }
    struct toll_group group = toll_group_of(address, len);
    pthread_mutex_lock(&gate->lock);
    bool is_exempt = cidr_holds(&gate->exempt, address, len);
    int verdict = is_exempt ? 0 : toll_enter(gate->toll, group, (uint64_t)clock_mono_us());
    pthread_mutex_unlock(&gate->lock);
    if (verdict == 0 && !is_exempt) {
        *ret_group = group;
    }
    return verdict;
}

void gate_leave(struct gate *gate, struct toll_group group)
{
    if (group.value) {
        pthread_mutex_lock(&gate->lock);
        toll_leave(gate->toll, group);
        pthread_mutex_unlock(&gate->lock);
    }
}
