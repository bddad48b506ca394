/* SPDX-License-Identifier: MIT */
/* What the gateway's listeners are told: TLS, the operators' listener, what a network may do, how
 * long a connection lives.  From the configuration into the gateway's options. */
#ifndef FAIRSLOT_SERVE_FRONT_H
#define FAIRSLOT_SERVE_FRONT_H

#include "ctl/value.h"
#include "gateway/gateway.h"
#include "serve_config.h"

#define SERVE_FRONT_ROLES  256  /* names of certificates, in all roles */
#define SERVE_FRONT_EXEMPT 2048 /* bytes of the list of exempt networks */

/* Behind the options for as long as they are used. */
struct serve_front {
    char admin_host[VALUE_HOST_MAX + 1];
    struct gateway_role roles[SERVE_FRONT_ROLES];
    char exempt[SERVE_FRONT_EXEMPT];
};

/* With TLS, tokens do not travel in the clear: any address may be listened on. */
bool serve_front_has_tls(const struct config *c);
/* Fills what is ours in `ret_options`.  VERB_OK, or VERB_USAGE (told). */
int serve_front_fill(struct serve_front *front, const struct serve_config *sc,
                     const struct verb *verb, struct gateway_options *ret_options);
/* What a reload may change of it. */
void serve_front_limits(const struct config *c, struct gateway_options *options);
/* The same of lists: roles, exempt networks; the configuration was found right. */
void serve_front_again(struct serve_front *front, const struct serve_config *sc,
                       const struct verb *verb, struct gateway_options *options);
/* What to do about an error of gateway_run(). */
void serve_front_next(int verdict);

#endif
