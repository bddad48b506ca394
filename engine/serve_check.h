/* SPDX-License-Identifier: MIT */
/* What of a configuration must be right beyond its own grammar: asked by a server when it starts,
 * and by `fairslot config check` before that. */
#ifndef FAIRSLOT_SERVE_CHECK_H
#define FAIRSLOT_SERVE_CHECK_H

#include "ctl/value.h"
#include "serve_config.h"

struct serve_address {
    const char *name;  /* "gateway.listen" */
    const char *text;  /* HOST:PORT, or tcp://HOST:PORT */
    bool insecure;     /* beyond loopback is allowed */
    char host[VALUE_HOST_MAX + 1]; /* numeric; filled */
    int port;                      /* filled */
};

/* VERB_OK, or VERB_USAGE (told). */
int serve_check_address(const struct serve_config *sc, const struct verb *verb,
                        struct serve_address *address);

/* The replicas that a gateway asks, as one text with blanks; "" for none.  VERB_OK, or VERB_USAGE
 * (told). */
int serve_check_shards(const struct serve_config *sc, const struct verb *verb,
                       char ret_text[SERVE_CONFIG_LIST]);

/* Everything of sc->now that a start would refuse, told to sc->tell; 0: nothing. */
size_t serve_check_all(const struct serve_config *sc, const struct verb *verb);

/* The verb `fairslot config check`. */
extern const char serve_check_help[];
int serve_check(const struct verb *verb, int argc, char **argv);

#endif
