/* SPDX-License-Identifier: MIT */
/* The gateway: libuv loops that meet the internet.  Files in the order a byte meets them:
 * listen -> (tls) -> conn (wire) -> call -> auth -> queue (fair) -> hop (rpc to the shard) -> back.
 * Runs on the calling thread until SIGTERM or SIGINT. */
#ifndef FAIRSLOT_GATEWAY_GATEWAY_H
#define FAIRSLOT_GATEWAY_GATEWAY_H

#include <stdatomic.h>

#include "gateway/issuer.h"

/* Who pays no toll unless told otherwise: a proxy on this machine carries many. */
#define GATE_LOOPBACK "127.0.0.0/8, ::1"

/* A name in a client certificate, see peer.h, and what it may do. */
struct gateway_role {
    const char *name;
    uint32_t roles; /* enum role */
};

/* Exact origins, or "*" alone. */
struct gateway_origins {
    const char *const *at;
    size_t count;
};

/* What is atomic may be changed while it runs; whoever changes it does so in `hangup`. */
struct gateway_options {
    const char *listen_host; /* numeric */
    int listen_port;         /* 0: any; the one it got is in the ready line */
    const char *shard_url;   /* inproc://... or tcp://...; replicas of it with blanks between */
    const struct issuer_options *issuers; /* who vouches for people; borrowed */
    size_t issuers_count;    /* 0: the one described by the next three */
    unsigned issuers_edition; /* another number after `hangup`: the issuers are read anew */
    const char *jwks_path;   /* key set of the issuer */
    const char *issuer;      /* exact `iss` */
    const char *audience;    /* must be in `aud` */
    const uint8_t *tenant_key; /* 32 bytes; identity = HMAC-SHA256(key, issuer, subject) */
    int loops;               /* threads with a loop each, at most LOOPS_MAX; 0: one */
    atomic_bool no_anonymous; /* nothing of the API is served without a token */
    _Atomic int anonymous_rate; /* calls a second of all callers without one; 0: 1,000 */
    const char *frontends;   /* networks (cidr.h) of web frontends that speak for many people: who
                                comes from there is in no group of addresses; NULL: none */
    _Atomic int unread_ms;   /* for an answer that its client does not take; 0: UNREAD_MS */
    size_t connections_max;  /* open at once; 0: CONNECTIONS_MAX, which is the most */
    size_t memory_bytes;     /* that connections and calls may hold; 0: MEMORY_BYTES */
    /* TLS for clients. */
    const char *tls_certificate; /* PEM; NULL: none, bytes come in the clear */
    const char *tls_key;         /* PEM */
    const char *tls_ticket_keys; /* file shared by gateways of one name; NULL: made here */
    bool tls_allows_12;          /* TLS 1.2, too */
    _Atomic int handshake_ms;    /* for a TLS handshake; 0: any time */
    _Atomic int handshakes_max;  /* under way in one loop; 0: any number */
    /* Operators' own listener, always with TLS and client certificates. */
    const char *admin_host;      /* numeric; NULL: none, and the token's role decides */
    int admin_port;              /* 0: any */
    const char *admin_certificate, *admin_key; /* PEM */
    const char *admin_client_ca; /* PEM: whose certificates operators show */
    const struct gateway_role *admin_roles; /* these two may change in `hangup`, too */
    size_t admin_roles_count;
    /* What one network (IPv4 /24, IPv6 /48) may do before anybody has said who he is. */
    _Atomic int group_rate;      /* connections a second; 0: any number */
    _Atomic int group_burst;     /* ... at once; 0: as many as in a second */
    _Atomic int group_connections; /* open at once; 0: any number */
    const char *group_exempt;    /* networks that may do more; NULL: GATE_LOOPBACK.
                                    Its text may change in `hangup` */
    /* How long a connection lives. */
    _Atomic int keepalive_ms;    /* of silence, then a ping; 0: never */
    _Atomic int keepalive_timeout_ms; /* for its echo */
    int ping_ms;                 /* a client that pings more often is sent away; 0: it may */
    _Atomic int age_ms;          /* then it is told to connect again; 0: never */
    _Atomic int age_grace_ms;    /* for what is under way then */
    _Atomic int drain_ms;    /* SIGTERM: how long calls in flight may take; 0: 5,000 */
    _Atomic int hello_ms;    /* for a client's preface, SETTINGS or header block; 0: 10,000 */
    _Atomic int deadline_ms; /* of calls whose client sets none; 0: DEADLINE_MS */
    /* Whose pages may call.  NULL: no page of another origin. */
    const struct gateway_origins *_Atomic origins;
    atomic_bool access_log;  /* a line a call */
    atomic_int *state;       /* told enum ops_state by the first loop; NULL: nobody asks */
    /* SIGHUP, on the first loop; NULL: nothing but the issuers' keys is read again. */
    void (*hangup)(void *user);
    /* Called on the first loop when listening, with the ports it got (admin 0: no listener for
     * operators).  Prints the ready line. */
    void (*ready)(void *user, int port, int admin_port);
    void *user;
};

/* 0: stopped cleanly.  GATEWAY_E_* with `ret_text` (512 bytes) set, or < 0. */
enum {
    GATEWAY_E_LISTEN = 1,
    GATEWAY_E_KEYS = 2,
    GATEWAY_E_OPTIONS = 3,
    GATEWAY_E_TLS = 4,
    GATEWAY_E_GATE = 5,
};
int gateway_run(const struct gateway_options *options, char *ret_text);

#endif
