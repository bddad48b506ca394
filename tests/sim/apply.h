/* SPDX-License-Identifier: MIT */
/* What a node of sim.c and directed.c does with what is committed: a hash of it is its state. */
#ifndef FAIRSLOT_TESTS_SIM_APPLY_H
#define FAIRSLOT_TESTS_SIM_APPLY_H

#include "tests/sim/nodes.h"

static void node_apply(struct node *n)
{
    see_committed(n);
    while (n->applied < n->seen && !w.violation) {
        uint64_t index = n->applied + 1, term;
        struct span entry;
        if (replica_read(n->replica, index, &term, &entry)) {
            violate("a committed entry is not there");
            return;
        }
        see_applied(n, index, term);
    }
    if (chance(20)) { /* the flusher */
        node_flush(n);
    }
}

static void node_install(struct node *n)
{
    struct replica_want want;
    if (!replica_wants(n->replica, &want) || !(w.is_healed || chance(100))) {
        return;
    }
    const struct node *from = node_source(want.from, want.index);
    if (from == NULL) {
        n->want_ms = n->want_ms ? n->want_ms : w.now_ms;
        if (w.now_ms - n->want_ms > 3000) { /* nobody has it: give up, as replica.h says */
            replica_free(n->replica);
            log_copy(&n->live, &n->disk, 0);
            n->clean = log_last(n);
            node_begin(n);
        }
        return;
    }
    if (n->applied < from->applied) {
        node_copy(n, from);
    }
    node_rebase(n, &want);
    if (replica_installed(n->replica)) {
        violate("a snapshot was not taken");
    }
}

#endif
