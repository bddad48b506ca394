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
    };
}
