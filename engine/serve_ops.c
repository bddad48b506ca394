/* SPDX-License-Identifier: MIT */
/* The operations listener of serve, gateway and shard.
 *   ops.listen -> ops_start(), before anything is replayed, so that probes see "starting"
 * Owns: the listener and what it says of the process.
 * Fails with a sentence: an address that is in use. */
#include "serve_ops.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/metrics.h"
#include "ctl/talk.h"
#include "ctl/value.h"

int serve_ops_start(struct serve_ops *o, const struct serve_config *sc, const struct verb *verb)
{
    char text[256] = "", host[VALUE_HOST_MAX + 1];
    int port;
    const char *address = sc->now->ops_listen;
    metrics_build(FAIRSLOT_VERSION);
    if (address[0] == '\0') {
        return VERB_OK;
    }
    if (!value_target(address, host, &port)) {
        return serve_config_wrong(sc, verb, "ops.listen", address, "write IP:PORT");
    }
    if (strcmp(host, "localhost") == 0) {
        strcpy(host, "127.0.0.1");
    }
    const struct ops_options options = {.host = host, .port = port, .state = &o->state};
    int r = ops_start(&options, &o->ops, text);
    if (r != 0) {
        talk_error("%s", text[0] ? text : "the operations listener cannot start");
        talk_next("choose another address: fairslot config explain ops.listen");
        if (r < 0) {
            err_print(stderr);
        }
        return VERB_FAILED;
    }
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(o->ready, sizeof(o->ready), " ops=%s%.60s%s:%d", is_v6 ? "[" : "", host,
             is_v6 ? "]" : "", ops_port(o->ops));
    return VERB_OK;
}

void serve_ops_stop(struct serve_ops *o)
{
    ops_stop(o->ops);
    o->ops = NULL;
}
