/* SPDX-License-Identifier: MIT */
/* Done verdicts about what came of a release -> ReleaseReport and ReleaseResult.
 * As codec_answer.c: pure, the same verdict gives the same bytes.  Millionths become the message's
 * fractions here and nowhere else.  Owns nothing; -ENOMEM over the arena's cap. */
#include <errno.h>

#include "base/check.h"
#include "base/err.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec_parts.h"

#define REPORT_ONE 1000000

/* Into a field of the message: one division, rounded as IEEE 754 says, so the same everywhere. */
#define REPORT_RATIO(field, millionths) ((field) = (millionths), (field) /= REPORT_ONE)

static bool report_population(const struct report_population *p, struct arena *arena,
                              Fairslot__V1__ReleaseReport__Population *m)
{
    fairslot__v1__release_report__population__init(m);
    m->label = codec_text(arena, span_of(p->label));
    m->identities = p->identities;
    m->requests = p->requests;
    m->slots = p->slots;
    REPORT_RATIO(m->advantage, p->advantage);
    REPORT_RATIO(m->advantage_low, p->low);
    REPORT_RATIO(m->advantage_high, p->high);
    return m->label != NULL;
}

static bool report_populations(const struct report_view *v, struct arena *arena,
                               Fairslot__V1__ReleaseReport *m)
{
    Fairslot__V1__ReleaseReport__Population *made =
        arena_alloc(arena, REPORT_POPULATIONS * sizeof *made);
    m->populations = arena_alloc(arena, REPORT_POPULATIONS * sizeof *m->populations);
    if (made == NULL || m->populations == NULL) {
        return false;
    }
    for (size_t i = 0; i < REPORT_POPULATIONS; i++) {
        const struct report_population *p = &v->populations[i];
        if (p->is_known && !report_population(p, arena, &made[i])) {
            return false;
        }
        if (p->is_known) {
            m->populations[m->n_populations++] = &made[i];
        }
    }
    return true;
}

int codec_answer_report(const struct verdict *verdict, struct arena *arena,
                        struct span *ret_message)
{
    const struct report_view *v = verdict->report;
    const struct report_population *suspected = &v->populations[REPORT_POPULATIONS - 1];
    Fairslot__V1__ReleaseReport m = FAIRSLOT__V1__RELEASE_REPORT__INIT;
    char *name = codec_name_make(arena, v->pool, "/releases/", v->release);
    size_t n = name ? strlen(name) : 0;
    m.name = arena_alloc(arena, n + sizeof "/report");
    m.as_of_time = codec_timestamp(arena, v->as_of_us);
    m.wait_p50 = codec_duration(arena, (int64_t)v->wait_p50_us);
    m.wait_p95 = codec_duration(arena, (int64_t)v->wait_p95_us);
    m.suspected_rule = codec_text(arena, span_of(suspected->label));
    if (name == NULL || m.name == NULL || m.as_of_time == NULL || m.wait_p50 == NULL ||
        m.wait_p95 == NULL || m.suspected_rule == NULL || !report_populations(v, arena, &m)) {
        return err_origin(-ENOMEM);
    }
    memcpy(m.name, name, n);
    memcpy(m.name + n, "/report", sizeof "/report");
    m.slots_offered = (int64_t)v->slots_offered;
    m.slots_given = v->slots_given;
    m.slots_taken = v->slots_taken;
    m.identities = v->identities;
    m.wins_by_arrival_decile = (int64_t *)v->wins;
    m.n_wins_by_arrival_decile = REPORT_DECILES;
    m.entries_by_arrival_decile = (int64_t *)v->entered;
    m.n_entries_by_arrival_decile = REPORT_DECILES;
    REPORT_RATIO(m.jain_index, v->jain);
    REPORT_RATIO(m.hold_waste, v->hold_waste);
    REPORT_RATIO(m.bot_advantage, suspected->advantage);
    REPORT_RATIO(m.bot_advantage_low, suspected->low);
    REPORT_RATIO(m.bot_advantage_high, suspected->high);
    m.alarm = v->is_alarm;
    return err_trace(codec_pack(&m.base, arena, ret_message));
}

static bool outcome_slots(const struct outcome_view *o, struct arena *arena,
                          Fairslot__V1__ReleaseResult *m)
{
    m->first_slots = arena_alloc(arena, (o->count + 1) * sizeof *m->first_slots);
    for (size_t i = 0; m->first_slots && i < o->count; i++) {
        char id[CODEC_ID_BYTES];
        if (o->outcomes[i] <= OUTCOME_WON) {
            continue;
        }
        size_t n = codec_slot_id(&o->slots[i], id);
        char *text = codec_text(arena, (struct span){(uint8_t *)id, n});
        if (text == NULL) {
            return false;
        }
        m->first_slots[m->n_first_slots++] = text;
    }
    return m->first_slots != NULL;
}

int codec_answer_outcome(const struct verdict *verdict, struct arena *arena,
                         struct span *ret_message)
{
    const struct release_view *r = verdict->releases;
    const struct outcome_view *o = verdict->outcomes;
    Fairslot__V1__ReleaseResult m = FAIRSLOT__V1__RELEASE_RESULT__INIT;
    m.name = codec_name_make(arena, r->pool, "/releases/", r->id);
    m.next_page_token = codec_text(arena, verdict->next_page_token);
    if (m.name == NULL || m.next_page_token == NULL) {
        return err_origin(-ENOMEM);
    }
    m.serving = (Fairslot__V1__Release__Serving)r->policy.serving;
    m.manifest_sha256 = (ProtobufCBinaryData){32, (uint8_t *)r->manifest_hash};
    m.ticket_root = (ProtobufCBinaryData){32, (uint8_t *)r->ticket_root};
    m.seed = (ProtobufCBinaryData){32, (uint8_t *)r->seed};
    m.ticket_count = (int64_t)r->tickets_count;
    m.cut_off = r->cut_off;
    m.ticket_ids = (ProtobufCBinaryData){o->count * sizeof *o->ids, (uint8_t *)o->ids};
    m.outcomes = (ProtobufCBinaryData){o->count, o->outcomes};
    if (!outcome_slots(o, arena, &m)) {
        return err_origin(-ENOMEM);
    }
    return err_trace(codec_pack(&m.base, arena, ret_message));
}
