/* SPDX-License-Identifier: MIT */
/* SIGHUP: what a running gateway takes on.  First loop's thread; one function of reload.c runs on a
 * worker. */
#ifndef FAIRSLOT_GATEWAY_RELOAD_H
#define FAIRSLOT_GATEWAY_RELOAD_H

#include <uv.h>

#include "base/types.h"

#define RELOAD_TEXT 256

struct auth;
struct front;
struct gateway;

struct reload {
    uv_work_t work;
    unsigned edition;       /* of the issuers that are believed */
    unsigned edition_fresh; /* of those that a worker is reading */
    bool is_busy;           /* a worker is reading */
    bool again;             /* another SIGHUP came meanwhile */
    int verdict;            /* the worker's, until it is done */
    struct auth *fresh;     /* the same */
    char text[RELOAD_TEXT]; /* the same */
};

/* The issuers that the start believes.  0, > 0 with `ret_text` (256 bytes), or < 0. */
int reload_start(struct front *front, char *ret_text);
/* Configuration, issuers and their keys, roles, exempt networks, certificates, ticket keys. */
void reload_begin(struct gateway *g);

#endif
