/* SPDX-License-Identifier: MIT */
/* Events, for the ledger's own files; ledger_event.c says what they are. */
#ifndef FAIRSLOT_LEDGER_EVENT_H
#define FAIRSLOT_LEDGER_EVENT_H

#include "ledger/ledger_release.h"

#define LEDGER_SPACE_EVENTS (UINT64_C(1) << 60) /* before the releases, behind the state's own */
#define LEDGER_SPACE_ORIGINS (LEDGER_SPACE_EVENTS + 1)

struct ledger_event {
    enum event_kind kind;
    int64_t time_us;
    uint64_t release;     /* its space */
    struct ticket_id ticket; /* from EVENT_OF_TICKET on */
    int64_t act_by_us;    /* the same; 0: nothing to do */
    uint64_t owner;       /* from EVENT_OF_HOLD on */
    uint64_t number;      /* of the hold */
};

struct ledger_key ledger_event_key(uint64_t client, uint64_t number, uint16_t nth);
int ledger_event_read(struct span value, struct ledger_event *ret_event);
/* After everything of the step that they tell is put, since what the book lent is gone then. */

/* The release is in a phase that it was not in. */
int ledger_event_release(struct ledger_step *s, const struct ledger_release *r);
/* Of a ticket: kind, act_by_us and number are set. */
int ledger_event_ticket(struct ledger_step *s, const struct ledger_release *r,
                        const struct ledger_ticket *t, struct ledger_event e);
/* Of a hold or reservation: with its owner besides.  Nothing happens when no ticket led to it. */
int ledger_event_item(struct ledger_step *s, struct ledger_event e);
/* A record of where a hold came from is needed no more. */
int ledger_event_origin_is_over(struct ledger_step *s, struct span value, bool *ret_is_over);

int ledger_event_list(struct ledger_step *s);

#endif
