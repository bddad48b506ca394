/* SPDX-License-Identifier: MIT */
/* The operations listener of a process, when ops.listen names one. */
#ifndef FAIRSLOT_SERVE_OPS_H
#define FAIRSLOT_SERVE_OPS_H

#include "gateway/ops.h"
#include "serve_config.h"

struct serve_ops {
    struct ops *ops;      /* NULL: none */
    atomic_int state;     /* enum ops_state */
    char ready[96];       /* " ops=HOST:PORT" for the ready line, or "" */
};

/* VERB_OK, or told. */
int serve_ops_start(struct serve_ops *o, const struct serve_config *sc, const struct verb *verb);
void serve_ops_stop(struct serve_ops *o);

#endif
