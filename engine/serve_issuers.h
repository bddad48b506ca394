/* SPDX-License-Identifier: MIT */
/* The configured issuers as the gateway wants them: the sections of config, joined and counted. */
#ifndef FAIRSLOT_SERVE_ISSUERS_H
#define FAIRSLOT_SERVE_ISSUERS_H

#include "config/config.h"
#include "gateway/gateway.h"
#include "gateway/issuer.h"
#include "serve_config.h"

struct serve_issuers {
    struct issuer_options at[ISSUERS_MAX];
    size_t count;
    char *lists; /* owned: the lists of all issuers, each as "A, B" with its end */
};

/* 0 or -ENOMEM.  `config` is borrowed until serve_issuers_fini(). */
int serve_issuers_init(struct serve_issuers *issuers, const struct config *config);
/* SIGHUP: the configuration's issuers into the options, whether or not they changed: their texts
 * are the configuration's, and the old one's will go. */
void serve_issuers_again(struct serve_issuers *issuers, const struct serve_config *sc,
                         struct gateway_options *options);
void serve_issuers_fini(struct serve_issuers *issuers);

#endif
