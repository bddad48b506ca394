/* SPDX-License-Identifier: MIT */
/* The flood itself: its processes, the live view while they run, their results as one. */
#ifndef FAIRSLOT_FLOOD_RUN_H
#define FAIRSLOT_FLOOD_RUN_H

#include <stdio.h>

#include "flood/plan.h"

/* The plan's memory of clients and identities that the processes share; false: there is none. */
bool run_clients(struct plan *plan);
void run_clients_free(struct plan *plan);

/* Starts the plan's processes and waits for them.  SIGINT and SIGTERM stop them cleanly; what they
 * have counts.  0, or an exit code (told): then ret_result has what there is. */
int run_flood(const struct plan *plan, struct result *ret_result);

/* One picture of a run under way: a line a population. */
struct live {
    FILE *out;
    bool is_terminal;   /* redraws in place, 4 a second; else a plain line every 2 s */
    int lines;          /* drawn before */
    int64_t last_us;    /* of the last plain line */
};
void live_init(struct live *l, FILE *out);
void live_show(struct live *l, const struct plan *p, const struct result *all, int64_t now_us,
               bool is_done);

#endif
