/* SPDX-License-Identifier: MIT */
/* Where every record lives.  The one file that knows how keys are spelled.
 *
 *   space u64 | position u64 | tag | suffix      bytes compare as (space, position, tag, suffix)
 *
 * Spaces of pools and classes are SipHash-2-4 under fixed public keys, one per domain: the hash
 * spreads, it hides nothing, and gateways compute it too.  An operator picks pool ids and classes,
 * so no stranger can aim for a collision; names are compared in full nevertheless.
 * Owns nothing, fails never. */
#include <sodium.h>

#include "ledger/ledger_parts.h"

#define SPACE_BITS ((UINT64_C(1) << 62) - 1)
#define SIGN       (UINT64_C(1) << 63)

static uint64_t ledger_key_hash(const char domain[crypto_shorthash_KEYBYTES], const void *ptr,
                                size_t len)
{
    uint8_t out[crypto_shorthash_BYTES];
    crypto_shorthash(out, ptr, len, (const uint8_t *)domain);
    struct reader r = reader_of(out, sizeof out);
    return reader_u64(&r);
}

struct routing_key ledger_pool_key(struct span pool_id)
{
    uint64_t h = ledger_key_hash("fairslot.pool.v1", pool_id.ptr, pool_id.len);
    return (struct routing_key){LEDGER_SPACE_POOLS | (h & SPACE_BITS), 0};
}

static uint64_t ledger_key_owner(struct span service_class, const struct identity *identity)
{
    uint8_t both[CLASS_MAX + sizeof identity->bytes];
    CHECK(service_class.len <= CLASS_MAX);
    memcpy(both, identity->bytes, sizeof identity->bytes);
    memcpy(both + sizeof identity->bytes, service_class.ptr, service_class.len);
    return ledger_key_hash("fairslot.owner.1", both, sizeof identity->bytes + service_class.len);
}

struct routing_key ledger_identity_key(struct span service_class, const struct identity *identity)
{
    uint64_t h = ledger_key_hash("fairslot.class.1", service_class.ptr, service_class.len);
    return (struct routing_key){LEDGER_SPACE_CLASSES | (h & SPACE_BITS),
                                ledger_key_owner(service_class, identity)};
}

struct routing_key ledger_pool_at(const struct ledger_pool *pool, const struct identity *identity)
{
    return (struct routing_key){pool->class_space,
                                ledger_key_owner(ledger_pool_class(pool), identity)};
}

struct ledger_key ledger_key_make(struct routing_key at, uint8_t tag, struct span suffix)
{
    struct ledger_key k;
    struct scribe w = scribe_of(k.bytes, sizeof k.bytes);
    scribe_u64(&w, at.space);
    scribe_u64(&w, at.position);
    scribe_u8(&w, tag);
    scribe_bytes(&w, suffix.ptr, suffix.len);
    CHECK(!w.bad);
    k.len = scribe_len(&w);
    return k;
}

struct ledger_key ledger_key_space(uint64_t space)
{
    struct ledger_key k = ledger_key_make((struct routing_key){space, 0}, 0, (struct span){0});
    k.len = 16;
    return k;
}

struct ledger_key ledger_key_slot(uint64_t pool_space, const struct slot_key *slot)
{
    uint64_t second = (uint64_t)(slot->start_us / SECOND_US);
    return ledger_key_make((struct routing_key){pool_space, second ^ SIGN}, 'S', slot->slug);
}

struct ledger_key ledger_key_account(struct routing_key at, const struct identity *identity)
{
    return ledger_key_make(at, 'I', (struct span){identity->bytes, sizeof identity->bytes});
}

struct ledger_key ledger_key_ended(const struct ledger_key *account, uint64_t number)
{
    struct ledger_key k = *account;
    CHECK(k.len == 33 && k.bytes[16] == 'I');
    k.bytes[16] = 'E';
    struct scribe w = scribe_of(k.bytes + k.len, sizeof k.bytes - k.len);
    scribe_u64(&w, number);
    k.len += scribe_len(&w);
    return k;
}

struct ledger_key ledger_key_request(struct routing_key at, const struct identity *identity,
                                     const struct request_id *request)
{
    uint8_t both[32];
    memcpy(both, identity->bytes, 16);
    memcpy(both + 16, request->bytes, 16);
    return ledger_key_make(at, 'R', (struct span){both, sizeof both});
}

/* A hash, so that the records of many operators spread: nobody reads them in order. */
static uint64_t ledger_key_person(const struct identity *identity)
{
    return ledger_key_hash("fairslot.index.1", identity->bytes, sizeof identity->bytes);
}

struct ledger_key ledger_key_admin(const struct identity *identity,
                                   const struct request_id *request)
{
    struct routing_key at = {LEDGER_SPACE_ADMIN, ledger_key_person(identity)};
    return ledger_key_request(at, identity, request);
}

struct ledger_key ledger_key_index(const struct identity *identity, struct span service_class)
{
    uint8_t both[16 + CLASS_MAX];
    CHECK(service_class.len <= CLASS_MAX);
    memcpy(both, identity->bytes, 16);
    memcpy(both + 16, service_class.ptr, service_class.len);
    struct routing_key at = {LEDGER_SPACE_INDEX, ledger_key_person(identity)};
    return ledger_key_make(at, 'C', (struct span){both, 16 + service_class.len});
}

struct ledger_key ledger_key_catalogue(struct span pool_id)
{
    uint64_t position = 0;
    for (size_t i = 0; i < 8; i++) {
        position = position << 8 | (i < pool_id.len ? pool_id.ptr[i] : 0);
    }
    return ledger_key_make((struct routing_key){0, position}, 'p', pool_id);
}

bool ledger_key_parse(struct span key, struct ledger_key_parts *ret_parts)
{
    if (key.len < 17 || key.len > BOOK_KEY_MAX) {
        return false;
    }
    struct reader r = reader_of(key.ptr, key.len);
    ret_parts->at.space = reader_u64(&r);
    ret_parts->at.position = reader_u64(&r);
    ret_parts->tag = reader_u8(&r);
    ret_parts->suffix = (struct span){r.at, reader_left(&r)};
    return true;
}

bool ledger_key_slot_of(const struct ledger_key_parts *parts, struct slot_key *ret_slot)
{
    uint64_t second = parts->at.position ^ SIGN;
    if (parts->tag != 'S' || second > LEDGER_SECOND_MAX ||
        parts->suffix.len == 0 || parts->suffix.len > SLOT_DESK_MAX) {
        return false;
    }
    *ret_slot = (struct slot_key){(int64_t)second * SECOND_US, parts->suffix};
    return true;
}

uint32_t ledger_key_check(struct span bytes)
{
    return (uint32_t)ledger_key_hash("fairslot.page.v1", bytes.ptr, bytes.len);
}
