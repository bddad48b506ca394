/* SPDX-License-Identifier: MIT */
/* Resources on stdout, one or a list of them, as a table or as JSON. */
#ifndef FAIRSLOT_CTL_SHOW_H
#define FAIRSLOT_CTL_SHOW_H

#include <jansson.h>

#include "ctl/grid.h"
#include "ctl/options.h"
#include "fairslot/v1/resources.pb-c.h"

/* A list under way.  Pages are added and may be freed at once. */
struct show {
    const char *name;    /* JSON member: "pools" */
    const char *zone;    /* IANA zone for times in the table; NULL: UTC */
    json_t *array;       /* JSON; NULL: table */
    struct grid *grid;   /* table; NULL: JSON */
    unsigned long count; /* resources so far */
};

void show_pools_begin(struct show *s, const struct options_call *call);
void show_pool_add(struct show *s, const Fairslot__V1__Pool *pool);
void show_slots_begin(struct show *s, const struct options_call *call, const char *zone);
void show_slot_add(struct show *s, const Fairslot__V1__Slot *slot);
void show_reservations_begin(struct show *s, const struct options_call *call);
void show_reservation_add(struct show *s, const Fairslot__V1__Reservation *reservation);
/* One slot on a line of its own, for streams. */
void show_slot_line(const Fairslot__V1__Slot *slot);
/* Prints and ends the list.  An exit code. */
int show_end(struct show *s);
/* Ends it without printing. */
void show_drop(struct show *s);

/* One resource: JSON, or a line a field. */
int show_pool(const struct options_call *call, const Fairslot__V1__Pool *pool);
int show_hold(const struct options_call *call, const Fairslot__V1__Hold *hold);
int show_reservation(const struct options_call *call, const Fairslot__V1__Reservation *reservation);

#endif
