/* SPDX-License-Identifier: MIT */
/* Polling of tickets: for each ticket that somebody asks for, how much was asked and what was told.
 *   a fresh answer costs TICKET_POLL_US; with `burst` of them owed the last answer is told again
 * For: a page may poll instead of holding a stream, and whoever polls a thousand times a second
 * must learn nothing earlier for it, and cost no reading of the state.  An answer, not a refusal,
 * because a page that is reloaded has done nothing wrong.
 * Owns: a table of POLL_SETS x POLL_WAYS questions, and a ring of bytes with their answers, both
 * made once.  An identity is a keyed hash, so its first bytes choose the set; a full set forgets
 * whoever owes least, and the ring its oldest bytes: then the answer is fresh, so it errs towards
 * telling.  Not in the ledger: a read leaves no trace in the log.
 * What an identity does itself is never hidden from it: a mutation forgets its answers, and so does
 * the question of its WatchTicket stream, which has just told it more.
 * Operators have no limit.  Fails never. */
#include "node/poll.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "proto/codec.h"

#define POLL_SETS  4096 /* a power of two */
#define POLL_WAYS  4
#define POLL_RING  (16 << 20) /* bytes of answers */
#define POLL_BYTES 8192       /* a longer answer is not remembered */

struct poll_place {
    uint64_t tag;      /* of the identity; 0: nobody */
    uint64_t question; /* which ticket */
    int64_t whole_us;  /* monotonic: when nothing is owed any more */
    uint64_t at;       /* of its answer in all bytes that the ring ever had */
    size_t len;        /* 0: nothing is remembered */
};

struct poll {
    int64_t debt_us; /* that is allowed; 0: there is no limit */
    uint64_t end;    /* bytes that the ring ever had */
    uint8_t *ring;
    struct poll_place places[POLL_SETS][POLL_WAYS];
};

int poll_new(int64_t burst, struct poll **ret_poll)
{
    struct poll *p = calloc(1, sizeof *p);
    if (p == NULL || (p->ring = malloc(POLL_RING)) == NULL) {
        free(p);
        return err_origin(-ENOMEM);
    }
    p->debt_us = burst * TICKET_POLL_US;
    *ret_poll = p;
    return 0;
}

void poll_free(struct poll *p)
{
    if (p) {
        free(p->ring);
        free(p);
    }
}

static struct poll_place *poll_set(struct poll *p, const struct identity *identity,
                                   uint64_t *ret_tag)
{
    uint64_t set, tag;
    memcpy(&set, identity->bytes, sizeof set);
    memcpy(&tag, identity->bytes + sizeof set, sizeof tag);
    *ret_tag = tag ? tag : 1;
    return p->places[set & (POLL_SETS - 1)];
}

static uint64_t poll_question(const struct command *command)
{
    uint64_t named = 0;
    size_t n = command->release->ticket.len;
    if (n > 0) {
        memcpy(&named, command->release->ticket.ptr, n < sizeof named ? n : sizeof named);
    }
    return codec_release_hash(command->pool, command->release->id) ^ named;
}

static struct poll_place *poll_find(struct poll *p, const struct command *command)
{
    uint64_t tag, question = poll_question(command);
    struct poll_place *ways = poll_set(p, &command->identity, &tag), *least = ways;
    for (size_t i = 0; i < POLL_WAYS; i++) {
        if (ways[i].tag == tag && ways[i].question == question) {
            return &ways[i];
        }
        least = ways[i].whole_us < least->whole_us ? &ways[i] : least;
    }
    *least = (struct poll_place){.tag = tag, .question = question};
    return least;
}

static void poll_forget(struct poll *p, const struct identity *identity)
{
    uint64_t tag;
    if (p->end == 0) {
        return; /* nobody was ever told anything: most shards, and the table costs a cache miss */
    }
    struct poll_place *ways = poll_set(p, identity, &tag);
    for (size_t i = 0; i < POLL_WAYS; i++) {
        ways[i].len = ways[i].tag == tag ? 0 : ways[i].len;
    }
}

static bool poll_is_limited(const struct poll *p, const struct command *command)
{
    return p->debt_us > 0 && command->kind == COMMAND_GET_TICKET &&
           !(command->roles & ROLE_OPERATOR) &&
           command->release->part != TICKET_FOR_STREAM;
}

bool poll_again(struct poll *p, const struct command *command, int64_t now_us,
                struct span *ret_message)
{
    if (!poll_is_limited(p, command)) {
        if (!command_is_read(command->kind) || command->kind == COMMAND_GET_TICKET) {
            poll_forget(p, &command->identity);
        }
        return false;
    }
    const struct poll_place *place = poll_find(p, command);
    bool is_fresh = place->whole_us - now_us + TICKET_POLL_US <= p->debt_us;
    if (is_fresh || place->len == 0 || p->end - place->at > POLL_RING) {
        return false;
    }
    METRIC_ADD(ticket_polls_repeated_total, 1);
    *ret_message = (struct span){p->ring + place->at % POLL_RING, place->len};
    return true;
}

void poll_keep(struct poll *p, const struct command *command, int64_t now_us, struct span message)
{
    if (!poll_is_limited(p, command)) {
        return;
    }
    struct poll_place *place = poll_find(p, command);
    int64_t owed_us = place->whole_us > now_us ? place->whole_us : now_us;
    owed_us += TICKET_POLL_US;
    place->whole_us = owed_us - now_us < p->debt_us ? owed_us : now_us + p->debt_us;
    place->len = 0;
    if (message.len == 0 || message.len > POLL_BYTES) {
        return;
    }
    uint64_t room = POLL_RING - p->end % POLL_RING;
    p->end += room < message.len ? room : 0; /* an answer stands in one piece */
    memcpy(p->ring + p->end % POLL_RING, message.ptr, message.len);
    place->at = p->end;
    place->len = message.len;
    p->end += message.len;
}
