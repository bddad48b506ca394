/* SPDX-License-Identifier: MIT */
/* What releases say, as messages: the policy of one in requests, commands and answers, and the
 * words of a command as they stand in batches and in the log.
 * Every bound of a policy is checked in codec_policy_read(), from whatever side it comes; its
 * defaults are put in there, so that a command says all of it.
 * Owns nothing; what is read borrows from the message. */
#include <errno.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/codec_parts.h"

#define GRACE_US   (10 * SECOND_US)
#define TURN_US    (90 * SECOND_US)
#define LENGTH_MAX (30 * DAY_US)

/* -- reading a policy -------------------------------------------------------------------------- */

struct policy_reader {
    const char *field;
    const char *detail;
};

static bool policy_fault(struct policy_reader *r, const char *field, const char *detail)
{
    if (r->field == NULL) {
        r->field = field;
        r->detail = detail;
    }
    return false;
}

/* A time in whole microseconds; required. */
static int64_t policy_time(struct policy_reader *r, const char *field,
                           const Google__Protobuf__Timestamp *t)
{
    int64_t us = 0;
    if (t == NULL || !codec_time_us(t->seconds, t->nanos, &us)) {
        policy_fault(r, field, "a time, 1970-01-01 to 9999-12-31");
    }
    return us;
}

/* A length of time; unset: `otherwise`. */
static int64_t policy_length(struct policy_reader *r, const char *field,
                             const Google__Protobuf__Duration *d, int64_t otherwise)
{
    if (d == NULL) {
        return otherwise;
    }
    bool is_length = d->seconds >= 0 && d->seconds <= LENGTH_MAX / SECOND_US && d->nanos >= 0 &&
                     d->nanos < 1000000000 && d->nanos % 1000 == 0;
    if (!is_length) {
        policy_fault(r, field, "0 to 30 days, in whole microseconds");
        return otherwise;
    }
    return d->seconds * SECOND_US + d->nanos / 1000;
}

struct policy_range {
    int64_t min_us;
    int64_t max_us;
    const char *detail;
};

static const struct policy_range policy_hour = {0, HOUR_US, "0 to 1 hour"};
static const struct policy_range policy_second = {SECOND_US, HOUR_US, "1 s to 1 hour"};
static const struct policy_range policy_month = {SECOND_US, LENGTH_MAX, "1 s to 30 days"};

static void policy_bound(struct policy_reader *r, const char *field, int64_t us,
                         const struct policy_range *range)
{
    if (us < range->min_us || us > range->max_us) {
        policy_fault(r, field, range->detail);
    }
}

static bool policy_beacon_ok(struct span beacon)
{
    for (size_t i = 0; i < beacon.len; i++) {
        if (beacon.ptr[i] < 0x20 || beacon.ptr[i] > 0x7e) {
            return false;
        }
    }
    return beacon.len <= RELEASE_BEACON_MAX && !span_equal(beacon, span_of("-"));
}

static void policy_keys(struct policy_reader *r, const Fairslot__V1__Release *m,
                        struct release_policy *p)
{
    if (m->n_trustee_keys > RELEASE_TRUSTEES_MAX) {
        policy_fault(r, "release.trustee_keys", "at most 5");
        return;
    }
    p->trustees_count = (uint32_t)m->n_trustee_keys;
    for (uint32_t i = 0; i < p->trustees_count; i++) {
        p->trustee_keys[i] = (struct span){m->trustee_keys[i].data, m->trustee_keys[i].len};
        if (p->trustee_keys[i].len == 0 || p->trustee_keys[i].len > RELEASE_KEY_MAX) {
            policy_fault(r, "release.trustee_keys", "DER SubjectPublicKeyInfo, at most 560 bytes");
        }
    }
}

static void policy_order(struct policy_reader *r, const struct release_policy *p)
{
    int64_t sealed_us = p->entry_close_us + p->entry_grace_us;
    if (p->entry_open_us >= p->entry_close_us) {
        policy_fault(r, "release.entry_close_time", "behind entry_open_time");
    }
    if (p->slots_from_us >= p->slots_to_us) {
        policy_fault(r, "release.slots_end_time", "behind slots_start_time");
    }
    if (p->slots_from_us < sealed_us) {
        policy_fault(r, "release.slots_start_time", "behind entry_close_time and entry_grace");
    }
    if (p->close_us != 0 && p->close_us < sealed_us) {
        policy_fault(r, "release.close_time", "behind entry_close_time and entry_grace");
    }
}

bool codec_policy_read(const Fairslot__V1__Release *m, struct release_policy *ret_policy,
                       const char **ret_field, const char **ret_detail)
{
    struct policy_reader r = {NULL, NULL};
    struct release_policy p = {.display_name = span_of(m->display_name),
                               .serving = (enum release_serving)m->serving,
                               .beacon = span_of(m->beacon)};
    if (m->serving < FAIRSLOT__V1__RELEASE__SERVING__SERVING_BY_PREFERENCE ||
        m->serving > FAIRSLOT__V1__RELEASE__SERVING__SERVING_FIRST_COME) {
        policy_fault(&r, "release.serving", "by preference, by turn or first come");
    }
    if (p.display_name.len > POOL_TEXT_MAX || !codec_text_ok(p.display_name)) {
        policy_fault(&r, "release.display_name", "at most 200 bytes without control characters");
    }
    p.entry_open_us = policy_time(&r, "release.entry_open_time", m->entry_open_time);
    p.entry_close_us = policy_time(&r, "release.entry_close_time", m->entry_close_time);
    p.entry_grace_us = policy_length(&r, "release.entry_grace", m->entry_grace, GRACE_US);
    p.close_us = m->close_time ? policy_time(&r, "release.close_time", m->close_time) : 0;
    p.cohort_us = policy_length(&r, "release.cohort_length", m->cohort_length, 0);
    p.turn_us = policy_length(&r, "release.turn_length", m->turn_length, TURN_US);
    p.accept_us = policy_length(&r, "release.accept_length", m->accept_length, 0);
    p.parts_wait_us = policy_length(&r, "release.parts_wait", m->parts_wait, 0);
    p.slots_from_us = policy_time(&r, "release.slots_start_time", m->slots_start_time);
    p.slots_to_us = policy_time(&r, "release.slots_end_time", m->slots_end_time);
    policy_bound(&r, "release.entry_grace", p.entry_grace_us, &policy_hour);
    policy_bound(&r, "release.turn_length", p.turn_us, &policy_second);
    if (p.cohort_us) {
        policy_bound(&r, "release.cohort_length", p.cohort_us, &policy_second);
    }
    if (p.accept_us) {
        policy_bound(&r, "release.accept_length", p.accept_us, &policy_month);
    }
    if (!policy_beacon_ok(p.beacon)) {
        policy_fault(&r, "release.beacon", "printable ASCII, at most 128 bytes, not \"-\"");
    }
    policy_keys(&r, m, &p);
    policy_order(&r, &p);
    *ret_policy = p;
    *ret_field = r.field;
    *ret_detail = r.detail;
    return r.field == NULL;
}

/* -- writing it -------------------------------------------------------------------------------- */

static bool policy_put_keys(struct arena *arena, const struct release_policy *p,
                            Fairslot__V1__Release *m)
{
    m->trustee_keys = arena_alloc(arena, (p->trustees_count + 1) * sizeof *m->trustee_keys);
    for (uint32_t i = 0; i < p->trustees_count && m->trustee_keys; i++) {
        m->trustee_keys[i] =
            (ProtobufCBinaryData){p->trustee_keys[i].len, (uint8_t *)p->trustee_keys[i].ptr};
    }
    m->n_trustee_keys = m->trustee_keys ? p->trustees_count : 0;
    return m->trustee_keys != NULL;
}

Fairslot__V1__Release *codec_policy_message(struct arena *arena, const struct release_policy *p)
{
    Fairslot__V1__Release *m = arena_alloc(arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    fairslot__v1__release__init(m);
    m->display_name = codec_text(arena, p->display_name);
    m->beacon = codec_text(arena, p->beacon);
    m->serving = (Fairslot__V1__Release__Serving)p->serving;
    m->entry_open_time = codec_timestamp(arena, p->entry_open_us);
    m->entry_close_time = codec_timestamp(arena, p->entry_close_us);
    m->entry_grace = codec_duration(arena, p->entry_grace_us);
    m->turn_length = codec_duration(arena, p->turn_us);
    m->parts_wait = codec_duration(arena, p->parts_wait_us);
    m->slots_start_time = codec_timestamp(arena, p->slots_from_us);
    m->slots_end_time = codec_timestamp(arena, p->slots_to_us);
    bool is_whole = m->display_name && m->beacon && m->entry_open_time && m->entry_close_time &&
                    m->entry_grace && m->turn_length && m->parts_wait && m->slots_start_time &&
                    m->slots_end_time && policy_put_keys(arena, p, m);
    if (p->close_us) {
        m->close_time = codec_timestamp(arena, p->close_us);
        is_whole = is_whole && m->close_time;
    }
    if (p->cohort_us) {
        m->cohort_length = codec_duration(arena, p->cohort_us);
        is_whole = is_whole && m->cohort_length;
    }
    if (p->accept_us) {
        m->accept_length = codec_duration(arena, p->accept_us);
        is_whole = is_whole && m->accept_length;
    }
    return is_whole ? m : NULL;
}

/* -- the words of a command -------------------------------------------------------------------- */

static ProtobufCBinaryData policy_bytes(struct span bytes)
{
    return (ProtobufCBinaryData){bytes.len, (uint8_t *)bytes.ptr};
}

static bool policy_put_wishes(struct arena *arena, const struct release_words *words,
                              Shard__V1__ReleaseWords *m)
{
    size_t n = words->wishes_count;
    Shard__V1__Wish *made = arena_alloc(arena, (n + 1) * sizeof *made);
    Shard__V1__SlotKey *keys = arena_alloc(arena, (n + 1) * sizeof *keys);
    m->wishes = arena_alloc(arena, (n + 1) * sizeof *m->wishes);
    if (made == NULL || keys == NULL || m->wishes == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const struct ticket_wish *w = &words->wishes[i];
        shard__v1__wish__init(&made[i]);
        made[i].kind = w->kind;
        made[i].from_us = w->from_us;
        made[i].to_us = w->to_us;
        if (w->kind == WISH_SLOT) {
            shard__v1__slot_key__init(&keys[i]);
            keys[i].start_us = w->slot.start_us;
            keys[i].desk = codec_text(arena, w->slot.slug);
            made[i].slot = &keys[i];
            if (keys[i].desk == NULL) {
                return false;
            }
        }
        m->wishes[i] = &made[i];
    }
    m->n_wishes = n;
    return true;
}

Shard__V1__ReleaseWords *codec_release_message(struct arena *arena,
                                               const struct release_words *words)
{
    Shard__V1__ReleaseWords *m = arena_alloc(arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    shard__v1__release_words__init(m);
    m->id = codec_text(arena, words->id);
    m->ticket = policy_bytes(words->ticket);
    m->slot_count = words->slot_count;
    m->action = words->action;
    m->part = words->part;
    m->bytes = policy_bytes(words->bytes);
    m->secret = policy_bytes(words->secret);
    if (words->policy) {
        m->policy = codec_policy_message(arena, words->policy);
    }
    bool is_whole = m->id && (m->policy || words->policy == NULL) &&
                    policy_put_wishes(arena, words, m);
    return is_whole ? m : NULL;
}

/* False for a wish that no codec_request_create_ticket() makes. */
static bool policy_get_wish(const Shard__V1__Wish *m, struct ticket_wish *out)
{
    *out = (struct ticket_wish){.kind = WISH_ANY, .from_us = m->from_us, .to_us = m->to_us};
    if (m->kind == WISH_SLOT && m->slot) {
        out->kind = WISH_SLOT;
        out->slot = (struct slot_key){m->slot->start_us, span_of(m->slot->desk)};
        return codec_slot_key_ok(&out->slot);
    }
    if (m->kind == WISH_CLASS) {
        out->kind = WISH_CLASS;
        return m->from_us >= 0 && m->from_us < m->to_us &&
               m->to_us <= CODEC_SECOND_MAX * SECOND_US + SECOND_US;
    }
    return m->kind == WISH_ANY && m->slot == NULL;
}

static int policy_get_wishes(const Shard__V1__ReleaseWords *m, struct arena *arena,
                             struct release_words *out)
{
    struct ticket_wish *wishes = arena_alloc(arena, (TICKET_WISHES_MAX + 1) * sizeof *wishes);
    if (wishes == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    if (m->n_wishes > TICKET_WISHES_MAX) {
        return REASON_MESSAGE_MALFORMED;
    }
    for (size_t i = 0; i < m->n_wishes; i++) {
        if (!policy_get_wish(m->wishes[i], &wishes[i])) {
            return REASON_MESSAGE_MALFORMED;
        }
    }
    out->wishes = wishes;
    out->wishes_count = m->n_wishes;
    return 0;
}

int codec_release_read(const Shard__V1__ReleaseWords *m, struct arena *arena,
                       const struct release_words **ret_words)
{
    struct release_words *out = arena_alloc(arena, sizeof *out);
    const char *field, *detail;
    if (out == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    *out = (struct release_words){.id = span_of(m->id),
                                  .ticket = {m->ticket.data, m->ticket.len},
                                  .slot_count = m->slot_count,
                                  .action = (enum release_action)m->action,
                                  .part = m->part,
                                  .bytes = {m->bytes.data, m->bytes.len},
                                  .secret = {m->secret.data, m->secret.len}};
    if (m->policy) {
        struct release_policy *policy = arena_alloc(arena, sizeof *policy);
        if (policy == NULL) {
            return REASON_MESSAGE_TOO_LARGE;
        }
        if (!codec_policy_read(m->policy, policy, &field, &detail)) {
            return REASON_MESSAGE_MALFORMED;
        }
        out->policy = policy;
    }
    *ret_words = out;
    return policy_get_wishes(m, arena, out);
}

bool codec_release_ok(const struct command *c)
{
    const struct release_words *w = c->release;
    bool is_create = c->kind == COMMAND_CREATE_RELEASE, is_part = c->kind == COMMAND_ADD_PART;
    bool is_ticket = c->kind == COMMAND_CREATE_TICKET;
    bool is_change = c->kind == COMMAND_CHANGE_RELEASE;
    bool has_part = w->bytes.len >= 1 && w->bytes.len <= RELEASE_PART_MAX &&
                    (w->part < RELEASE_TRUSTEES_MAX || w->part == RELEASE_PART_BEACON);
    bool is_export = c->kind == COMMAND_EXPORT_RELEASE;
    bool is_seed = ((c->kind == COMMAND_REVEAL_SEED || is_export) && w->bytes.len == 32) ||
                   (is_export && w->bytes.len == 64);
    bool has_count = w->slot_count >= 1 && w->slot_count <= SLOTS_PER_HOLD;
    return codec_pool_id_ok(w->id) && (w->ticket.len == 0 || w->ticket.len == 16) &&
           is_create == (w->policy != NULL) &&
           w->secret.len == (is_create ? RELEASE_SECRET : 0) &&
           (is_part ? has_part : w->bytes.len == 0 || is_seed) &&
           (is_ticket ? has_count : !w->slot_count) &&
           (is_ticket || w->wishes_count == 0) &&
           (is_change ? w->action >= RELEASE_ACTION_OPEN && w->action <= RELEASE_ACTION_DRAIN
                      : w->action <= is_export);
}
