/* SPDX-License-Identifier: MIT */
/* The gateway: libuv loops that meet the internet.  Files in the order a byte meets them:
 * listen -> (tls) -> conn (wire) -> call -> auth -> queue (fair) -> hop (rpc to the shard) -> back.
 * Runs on the calling thread until SIGTERM or SIGINT. */
#ifndef FAIRSLOT_GATEWAY_GATEWAY_H
#define FAIRSLOT_GATEWAY_GATEWAY_H

#include "gateway/issuer.h"

struct gateway_options {
    const char *listen_host; /* numeric */
    int listen_port;         /* 0: any; the one it got is in the ready line */
    const char *shard_url;   /* inproc://... or tcp://... */
    const struct issuer_options *issuers; /* who vouches for people; borrowed */
    size_t issuers_count;    /* 0: the one described by the next three */
    const char *jwks_path;   /* key set of the issuer */
    const char *issuer;      /* exact `iss` */
    const char *audience;    /* must be in `aud` */
    const uint8_t *tenant_key; /* 32 bytes; identity = HMAC-SHA256(key, issuer, subject) */
    int loops;               /* threads with a loop each, at most LOOPS_MAX; 0: one */
    bool no_anonymous;       /* nothing of the API is served without a token */
    int anonymous_rate;      /* calls a second of all callers without one; 0: 1,000 */
    const char *frontends;   /* networks (cidr.h) of web frontends that speak for many people: who
                                comes from there is in no group of addresses; NULL: none */
    int drain_ms;            /* SIGTERM: how long calls in flight may take; 0: 5,000 */
    int hello_ms;            /* for a client's preface, SETTINGS or header block; 0: 10,000 */
    const char *const *cors_origins; /* whose pages may call: exact origins, or "*" alone */
    size_t cors_origins_count;       /* 0: no page of another origin */
    int unread_ms;           /* for an answer that its client does not take; 0: UNREAD_MS */
    size_t memory_bytes;     /* that connections and calls may hold; 0: MEMORY_BYTES */
    int deadline_ms;         /* of calls whose client sets none; 0: DEADLINE_MS */
    /* Called on the first loop when listening, with the port it got.  Prints the ready line. */
    void (*ready)(void *user, int port);
    void *user;
};

/* 0: stopped cleanly.  GATEWAY_E_* with `ret_text` (256 bytes) set, or < 0. */
enum { GATEWAY_E_LISTEN = 1, GATEWAY_E_KEYS = 2, GATEWAY_E_OPTIONS = 3 };
int gateway_run(const struct gateway_options *options, char *ret_text);

#endif
