/* SPDX-License-Identifier: MIT */
/* A pool's policy: between the public message and the words, and the bounds of its fields.
 * The same check stands behind a client's request and behind a command out of a batch or the log.
 * Owns nothing; spans borrow from the message. */
#include "proto/codec_parts.h"

static bool codec_pool_class_ok(struct span s)
{
    if (s.len == 0 || s.len > CLASS_MAX) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alnum && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

static bool codec_pool_zone_ok(struct span s)
{
    if (s.len == 0 || s.len > POOL_TEXT_MAX) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alnum && c != '_' && c != '+' && c != '/' && c != '-') {
            return false;
        }
    }
    return true;
}

static bool codec_pool_text_ok(struct span s)
{
    return s.len <= POOL_TEXT_MAX && codec_text_ok(s);
}

static bool codec_pool_span_ok(int64_t us, int64_t days)
{
    return us >= 0 && us <= days * DAY_US && us % SECOND_US == 0;
}

bool codec_pool_check(const struct pool_view *pool, const char **ret_field,
                      const char **ret_detail)
{
    static const char text[] = "at most 200 bytes, no control characters";
    const struct {
        bool ok;
        const char *field, *detail;
    } rules[] = {
        {codec_pool_id_ok(pool->id), "pool_id",
         "1 to 63 of a-z, 0-9 and '-', first and last no '-'"},
        {codec_pool_text_ok(pool->display_name), "pool.display_name", text},
        {codec_pool_text_ok(pool->office), "pool.office", text},
        {codec_pool_text_ok(pool->service), "pool.service", text},
        {codec_pool_class_ok(pool->service_class), "pool.service_class",
         "at most 63 of A-Z, a-z, 0-9, '.', '_' and '-'"},
        {codec_pool_zone_ok(pool->time_zone), "pool.time_zone",
         "an IANA name such as Europe/Berlin"},
        {pool->min_assurance >= ASSURANCE_NONE && pool->min_assurance <= ASSURANCE_HIGH,
         "pool.min_assurance", "a value of fairslot.v1.Assurance"},
        {pool->hold_ttl_us >= SECOND_US && pool->hold_ttl_us <= DAY_US, "pool.hold_ttl",
         "1 second to 24 hours"},
        {pool->max_live >= 1 && pool->max_live <= LIVE_PER_IDENTITY_MAX,
         "pool.max_live_per_identity", "1 to 16"},
        {pool->max_slots >= 1 && pool->max_slots <= SLOTS_PER_HOLD, "pool.max_slots_per_hold",
         "1 to 8"},
        {pool->max_changes <= POOL_CHANGES_MAX, "pool.max_changes", "1 to 100, or -1 for none"},
        {codec_pool_span_ok(pool->cool_down_us, 30), "pool.cancel_cool_down",
         "whole seconds, at most 30 days"},
        {codec_pool_span_ok(pool->reconfirm_open_us, 90), "pool.reconfirm_open",
         "whole seconds, at most 90 days"},
        {codec_pool_span_ok(pool->reconfirm_by_us, 30), "pool.reconfirm_by",
         "whole seconds, at most 30 days"},
        {pool->reconfirm_open_us == 0 || pool->reconfirm_by_us < pool->reconfirm_open_us,
         "pool.reconfirm_by", "less than reconfirm_open"},
        {pool->appeal_us >= SECOND_US && codec_pool_span_ok(pool->appeal_us, 3650),
         "pool.appeal_period", "whole seconds, 1 second to 3650 days"},
        {pool->return_policy >= RETURN_NEXT && pool->return_policy <= RETURN_COIN,
         "pool.return_policy", "a value of fairslot.v1.Pool.ReturnPolicy"},
        {pool->return_wait_us >= 60 * SECOND_US && pool->return_wait_us <= 30 * DAY_US &&
             pool->return_wait_us % (60 * SECOND_US) == 0,
         "pool.return_wait", "whole minutes, 1 to 43200"},
        {pool->return_release.len == 0 || codec_pool_id_ok(pool->return_release),
         "pool.return_release", "1 to 63 of a-z, 0-9 and '-', first and last no '-'"},
        {pool->return_policy != RETURN_NAMED || pool->return_release.len > 0,
         "pool.return_release", "which release RETURN_POLICY_NAMED means"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (!rules[i].ok) {
            *ret_field = rules[i].field;
            *ret_detail = rules[i].detail;
            return false;
        }
    }
    return true;
}

/* What came after the first version.  In a command (no name) defaults stay unsaid, so that the same
 * wish has the same bytes, and the same hash, as it had before there were these fields. */
static bool codec_pool_put_limits(struct arena *arena, const struct pool_view *pool,
                                  bool with_name, Fairslot__V1__Pool *m)
{
    bool says_appeal = with_name || pool->appeal_us != POOL_APPEAL_US;
    bool says_wait = with_name ? pool->return_policy == RETURN_COIN
                               : pool->return_wait_us != POOL_RETURN_WAIT_US;
    const struct {
        int64_t us;
        Google__Protobuf__Duration **out;
    } spans[] = {{pool->cool_down_us, &m->cancel_cool_down},
                 {pool->reconfirm_open_us, &m->reconfirm_open},
                 {pool->reconfirm_by_us, &m->reconfirm_by},
                 {says_appeal ? pool->appeal_us : 0, &m->appeal_period},
                 {says_wait ? pool->return_wait_us : 0, &m->return_wait}};
    bool says_slots = with_name || pool->max_slots != POOL_MAX_SLOTS;
    bool says_changes = with_name || pool->max_changes != POOL_MAX_CHANGES;
    m->max_slots_per_hold = says_slots ? (int32_t)pool->max_slots : 0;
    m->max_changes = !says_changes            ? 0
                     : pool->max_changes == 0 ? -1
                                              : (int32_t)pool->max_changes;
    bool says_policy = with_name || pool->return_policy != RETURN_NEXT;
    m->return_policy =
        says_policy ? (Fairslot__V1__Pool__ReturnPolicy)pool->return_policy : 0;
    m->return_release = codec_text(arena, pool->return_release);
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        if (spans[i].us != 0) {
            *spans[i].out = codec_duration(arena, spans[i].us);
            if (*spans[i].out == NULL) {
                return false;
            }
        }
    }
    return m->return_release != NULL;
}

Fairslot__V1__Pool *codec_pool_message(struct arena *arena, const struct pool_view *pool,
                                       bool with_name)
{
    Fairslot__V1__Pool *m = arena_alloc(arena, sizeof *m);
    char *etag = arena_alloc(arena, ETAG_MAX);
    if (m == NULL || etag == NULL) {
        return NULL;
    }
    fairslot__v1__pool__init(m);
    if (with_name) {
        codec_etag(pool->version, etag);
        m->etag = etag;
        m->name = codec_name_make(arena, pool->id, "", (struct span){0});
    }
    m->display_name = codec_text(arena, pool->display_name);
    m->office = codec_text(arena, pool->office);
    m->service = codec_text(arena, pool->service);
    m->service_class = codec_text(arena, pool->service_class);
    m->time_zone = codec_text(arena, pool->time_zone);
    m->min_assurance = (Fairslot__V1__Assurance)pool->min_assurance;
    m->hold_ttl = codec_duration(arena, pool->hold_ttl_us);
    m->max_live_per_identity = (int32_t)pool->max_live;
    m->scarce = pool->scarce;
    if (!codec_pool_put_limits(arena, pool, with_name, m)) {
        return NULL;
    }
    bool is_whole = m->name && m->display_name && m->office && m->service && m->service_class &&
                    m->time_zone && m->hold_ttl;
    return is_whole ? m : NULL;
}

/* -1 for what no bound allows. */
static int64_t codec_pool_ttl_us(const Google__Protobuf__Duration *ttl)
{
    int64_t us;
    return codec_time_us(ttl->seconds, ttl->nanos, &us) ? us : -1;
}

/* A negative one becomes one that no bound allows. */
static uint32_t codec_pool_max_live(int32_t given)
{
    return given == 0 ? 1 : (uint32_t)given;
}

/* 0: the default; -1: none; anything else negative: what no bound allows. */
static uint32_t codec_pool_changes(int32_t given)
{
    return given == 0 ? POOL_MAX_CHANGES : given == -1 ? 0 : (uint32_t)given;
}

static int64_t codec_pool_span_us(const Google__Protobuf__Duration *span)
{
    return span ? codec_pool_ttl_us(span) : 0;
}

uint32_t codec_pool_set(const Fairslot__V1__Pool *m)
{
    return (m->display_name[0] ? POOL_FIELD_DISPLAY_NAME : 0u) |
           (m->office[0] ? POOL_FIELD_OFFICE : 0u) | (m->service[0] ? POOL_FIELD_SERVICE : 0u) |
           (m->time_zone[0] ? POOL_FIELD_TIME_ZONE : 0u) |
           (m->min_assurance ? POOL_FIELD_MIN_ASSURANCE : 0u) |
           (m->hold_ttl ? POOL_FIELD_HOLD_TTL : 0u) |
           (m->max_live_per_identity ? POOL_FIELD_MAX_LIVE : 0u) |
           (m->scarce ? POOL_FIELD_SCARCE : 0u) |
           (m->max_slots_per_hold ? POOL_FIELD_MAX_SLOTS : 0u) |
           (m->max_changes ? POOL_FIELD_MAX_CHANGES : 0u) |
           (m->cancel_cool_down ? POOL_FIELD_COOL_DOWN : 0u) |
           (m->reconfirm_open ? POOL_FIELD_RECONFIRM_OPEN : 0u) |
           (m->reconfirm_by ? POOL_FIELD_RECONFIRM_BY : 0u) |
           (m->appeal_period ? POOL_FIELD_APPEAL : 0u) |
           (m->return_policy ? POOL_FIELD_RETURN_POLICY : 0u) |
           (m->return_wait ? POOL_FIELD_RETURN_WAIT : 0u) |
           (m->return_release[0] ? POOL_FIELD_RETURN_RELEASE : 0u);
}

struct pool_view codec_pool_view(const Fairslot__V1__Pool *message, struct span id)
{
    return (struct pool_view){
        .id = id,
        .display_name = span_of(message->display_name),
        .office = span_of(message->office),
        .service = span_of(message->service),
        .service_class = message->service_class[0] ? span_of(message->service_class) : id,
        .time_zone = span_of(message->time_zone[0] ? message->time_zone : "UTC"),
        .min_assurance = (enum assurance)message->min_assurance,
        .hold_ttl_us = message->hold_ttl ? codec_pool_ttl_us(message->hold_ttl)
                                         : POOL_HOLD_TTL_US,
        .max_live = codec_pool_max_live(message->max_live_per_identity),
        .scarce = message->scarce,
        .max_slots = message->max_slots_per_hold == 0 ? POOL_MAX_SLOTS
                                                      : (uint32_t)message->max_slots_per_hold,
        .max_changes = codec_pool_changes(message->max_changes),
        .cool_down_us = codec_pool_span_us(message->cancel_cool_down),
        .reconfirm_open_us = codec_pool_span_us(message->reconfirm_open),
        .reconfirm_by_us = codec_pool_span_us(message->reconfirm_by),
        .appeal_us = message->appeal_period ? codec_pool_ttl_us(message->appeal_period)
                                            : POOL_APPEAL_US,
        .return_policy = message->return_policy ? (enum return_policy)message->return_policy
                                                : RETURN_NEXT,
        .return_wait_us = message->return_wait ? codec_pool_ttl_us(message->return_wait)
                                               : POOL_RETURN_WAIT_US,
        .return_release = span_of(message->return_release),
    };
}
