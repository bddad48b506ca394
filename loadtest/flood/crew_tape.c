/* SPDX-License-Identifier: MIT */
/* Replays: what a client had carried out is sent again, byte for byte, and must be answered by the
 * very bytes of the first answer.
 *   sent -> its bytes on the shot -> carried out: they are the client's tape -> sent again, heard
 * Owns: the tapes, one a client, of the clients of a crew that has somebody who replays.
 * Fails when memory ends, which ends the process.
 * A refusal that may pass (a full queue, a time limit) says nothing about the first answer; one
 * that will not pass is another answer. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "flood/crew_inside.h"

static struct tape *tape_of(struct crew *c, const struct shot *s)
{
    return &c->tapes[s->event.client / c->plan->processes];
}

static bool tape_is_wanted(const struct crew *c, const struct crowd_event *e)
{
    bool is_change = e->act == CROWD_ACT_TICKET || e->act >= CROWD_ACT_HOLD;
    return c->tapes && is_change && plan_who(c->plan, e->population)->replay_permille > 0;
}

static uint64_t tape_hash(struct span bytes)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < bytes.len; i++) {
        hash = (hash ^ bytes.ptr[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

void crew_tapes_open(struct crew *c)
{
    uint64_t replays = 0;
    for (uint32_t i = 0; i < plan_whos(c->plan); i++) {
        replays += plan_who(c->plan, i)->replay_permille;
    }
    if (replays) {
        c->tapes = calloc((size_t)c->plan->scenario.clients_count / c->plan->processes + 1,
                          sizeof *c->tapes);
        CHECK(c->tapes != NULL);
    }
}

void crew_tapes_close(struct crew *c)
{
    size_t count = c->plan->scenario.clients_count / c->plan->processes + 1;
    for (size_t i = 0; c->tapes && i < count; i++) {
        free(c->tapes[i].bytes);
    }
    free(c->tapes);
    c->tapes = NULL;
}

void crew_tape_record(struct crew *c, struct shot *s, const char *path, struct span packed)
{
    if (s->event.is_replay || !tape_is_wanted(c, &s->event)) {
        return;
    }
    s->tape = (struct tape){.path = path, .bytes = malloc(packed.len + 1),
                            .len = (uint16_t)packed.len, .act = s->event.act};
    CHECK(s->tape.bytes != NULL);
    memcpy(s->tape.bytes, packed.ptr, packed.len);
}

void crew_tape_keep(struct crew *c, struct shot *s)
{
    if (s->tape.bytes == NULL) {
        return;
    }
    if (s->is_carried_out) {
        struct tape *tape = tape_of(c, s);
        free(tape->bytes);
        *tape = s->tape;
    } else {
        free(s->tape.bytes);
    }
    s->tape.bytes = NULL;
}

const char *crew_tape_play(struct crew *c, struct shot *s, uint8_t *out, size_t *ret_len)
{
    const struct tape *tape = tape_of(c, s);
    if (tape->bytes == NULL) {
        return NULL;
    }
    CHECK(tape->len <= CREW_PACKED_MAX);
    memcpy(out, tape->bytes, tape->len);
    *ret_len = tape->len;
    s->event.act = tape->act;
    s->tape.answer = tape->answer; /* of the request that is sent, whatever is recorded meanwhile */
    return tape->path;
}

void crew_tape_heard(struct crew *c, struct shot *s, struct span message)
{
    uint64_t hash = tape_hash(message);
    if (s->event.is_replay) {
        c->result->replays_differ += hash != s->tape.answer;
        s->say.answer = CROWD_DONE;
    } else {
        s->tape.answer = hash;
    }
}

void crew_tape_refused(struct crew *c, const struct shot *s)
{
    c->result->replays_differ += s->event.is_replay && (s->say.answer == CROWD_OVER ||
                                                        s->say.answer == CROWD_TAKEN ||
                                                        s->say.answer == CROWD_FORBIDDEN);
}
