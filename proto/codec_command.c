/* SPDX-License-Identifier: MIT */
/* Commands as bytes: in batches, and in the log, where they stay readable for ever.
 *
 *   command -> codec_command_write() -> bytes                           (gateway, once)
 *   bytes -> codec_plain_read(), or shard.v1.Command -> codec_command_read() -> command
 *                                                                       (shard, and every replay)
 *
 * Whoever unpacks trusts nobody: a damaged log or a foreign gateway gives a verdict, and a command
 * that comes out here keeps every bound the ledger relies on, whatever way it came in.
 * Owns nothing; spans borrow from the arena.  Which fields a kind needs stands in one table. */
#include <xxhash.h>

#include "proto/codec_direct.h"

/* Enough for everything but texts, slots, a pool and words about releases. */
#define COMMAND_BYTES  (17 * CODEC_OUT_NUMBER + 7 * CODEC_OUT_FRAME + 2 * 16)
#define SLOT_KEY_BYTES (CODEC_OUT_NUMBER + 2 * CODEC_OUT_FRAME)
#define NEW_SLOT_BYTES (2 * CODEC_OUT_NUMBER + 3 * CODEC_OUT_FRAME)

enum {
    NEEDS_NOTHING = 1 << 0, /* a kind that exists */
    NEEDS_POOL = 1 << 1,
    NEEDS_REQUEST = 1 << 2, /* a client's mutation: identity and request id */
    NEEDS_SLOT = 1 << 3, /* one, or a selector */
    NEEDS_PAGE = 1 << 4,
    NEEDS_SLOTS = 1 << 5, /* in ascending order */
    NEEDS_RELEASE = 1 << 6,
    NEEDS_NODE = 1 << 7, /* a node's number */
};

static unsigned codec_command_needs(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_CREATE_POOL:
    case COMMAND_CREATE_SLOTS:
    case COMMAND_CONFIRM_HOLD:
    case COMMAND_DROP_HOLD:
    case COMMAND_CANCEL_RESERVATION:
    case COMMAND_RECONFIRM:
    case COMMAND_UPDATE_POOL:
    case COMMAND_RESTOCK:
        return NEEDS_POOL | NEEDS_REQUEST;
    case COMMAND_CREATE_HOLD:
    case COMMAND_RESCHEDULE:
        return NEEDS_POOL | NEEDS_REQUEST | NEEDS_SLOT;
    case COMMAND_BLOCK_SLOTS:
    case COMMAND_UNBLOCK_SLOTS:
        return NEEDS_POOL | NEEDS_REQUEST | NEEDS_SLOTS;
    case COMMAND_EXPIRE_HOLD:
    case COMMAND_LAPSE:
    case COMMAND_RESTOCK_STEP:
    case COMMAND_GET_POOL:
    case COMMAND_GET_HOLD:
    case COMMAND_GET_RESERVATION:
        return NEEDS_POOL;
    case COMMAND_CREATE_RELEASE:
    case COMMAND_CHANGE_RELEASE:
    case COMMAND_ADD_PART:
    case COMMAND_CREATE_TICKET:
    case COMMAND_DELETE_TICKET:
        return NEEDS_POOL | NEEDS_REQUEST | NEEDS_RELEASE;
    case COMMAND_GET_RELEASE:
    case COMMAND_GET_TICKET:
    case COMMAND_GET_PROOF:
    case COMMAND_GET_REPORT:
    case COMMAND_REVEAL_SEED: case COMMAND_EXPORT_RELEASE:
        return NEEDS_POOL | NEEDS_RELEASE;
    case COMMAND_LIST_TICKETS:
    case COMMAND_LIST_OFFERED:
    case COMMAND_GET_RESULT:
        return NEEDS_POOL | NEEDS_RELEASE | NEEDS_PAGE;
    case COMMAND_LIST_RELEASES:
    case COMMAND_LIST_EVENTS:
        return NEEDS_POOL | NEEDS_PAGE;
    case COMMAND_SWEEP:
    case COMMAND_RAISE:
    case COMMAND_STEP_RELEASE:
    case COMMAND_END_RELEASE:
    case COMMAND_COIN: case COMMAND_ERASE_STEP:
    case COMMAND_GET_CLUSTER:
        return NEEDS_NOTHING;
    case COMMAND_ADD_NODE: case COMMAND_REMOVE_NODE: case COMMAND_GET_OPERATION:
    case COMMAND_TRANSFER_LEADER: case COMMAND_DRAIN_NODE: case COMMAND_MARK_NODE:
        return NEEDS_NODE;
    case COMMAND_ERASE:
        return NEEDS_REQUEST;
    case COMMAND_LIST_POOLS:
    case COMMAND_LIST_NODES:
    case COMMAND_LIST_SHARDS:
        return NEEDS_PAGE;
    case COMMAND_LIST_SLOTS:
    case COMMAND_LIST_RESERVATIONS:
        return NEEDS_POOL | NEEDS_PAGE;
    case COMMAND_WATCH_SLOTS:
    case COMMAND_WATCH_TICKET:
    case COMMAND_WATCH_EVENTS:
        break; /* not a shard's business */
    }
    return 0;
}

/* -- out --------------------------------------------------------------------------------------- */

static bool codec_command_is_zero(const uint8_t bytes[16])
{
    static const uint8_t zero[16];
    return memcmp(bytes, zero, 16) == 0;
}

static void codec_command_put_slots(struct codec_out *o, const struct command *c)
{
    for (size_t i = c->slots_count; i-- > 0;) {
        const uint8_t *end = o->at;
        codec_out_bytes(o, 2, c->slots[i].slug);
        codec_out_fixed(o, 1, (uint64_t)c->slots[i].start_us);
        codec_out_close(o, 10, end);
    }
}

static void codec_command_put_new_slots(struct codec_out *o, const struct command *c)
{
    for (size_t i = c->new_slots_count; i-- > 0;) {
        const struct new_slot *s = &c->new_slots[i];
        const uint8_t *end = o->at;
        codec_out_bytes(o, 4, s->desk);
        codec_out_bytes(o, 3, s->slug);
        codec_out_i64(o, 2, s->duration_us);
        codec_out_fixed(o, 1, (uint64_t)s->start_us);
        codec_out_close(o, 13, end);
    }
}

/* Who asks, and under which request id; never a part of the body's hash. */
static void codec_command_put_who(struct codec_out *o, const struct command *c)
{
    codec_out_fixed(o, 6, c->body_hash);
    if (codec_command_needs(c->kind) & NEEDS_REQUEST) {
        codec_out_bytes(o, 5, (struct span){c->request_id.bytes, sizeof c->request_id.bytes});
    }
    codec_out_u64(o, 4, c->roles);
    codec_out_u64(o, 3, c->assurance);
    if (!codec_command_is_zero(c->identity.bytes)) {
        codec_out_bytes(o, 2, (struct span){c->identity.bytes, sizeof c->identity.bytes});
    }
}

static size_t codec_command_max(const struct command *c)
{
    size_t max = COMMAND_BYTES + c->pool.len + c->etag.len + c->page_token.len + c->note.len +
                 c->random.len + c->slots_count * SLOT_KEY_BYTES +
                 c->new_slots_count * NEW_SLOT_BYTES;
    for (size_t i = 0; i < c->slots_count; i++) {
        max += c->slots[i].slug.len;
    }
    for (size_t i = 0; i < c->new_slots_count; i++) {
        max += c->new_slots[i].slug.len + c->new_slots[i].desk.len;
    }
    return max;
}

/* A pool and words about releases are rare: protobuf-c's. */
static int codec_command_write(const struct command *c, bool with_who, struct arena *arena,
                               struct span *ret_bytes)
{
    struct codec_out o;
    const Fairslot__V1__Pool *pool =
        c->new_pool ? codec_pool_message(arena, c->new_pool, false) : NULL;
    const Shard__V1__ReleaseWords *words =
        c->release ? codec_release_message(arena, c->release) : NULL;
    if ((c->new_pool && pool == NULL) || (c->release && words == NULL)) {
        return err_origin(-ENOMEM);
    }
    size_t max = codec_command_max(c);
    max += pool ? CODEC_OUT_FRAME + protobuf_c_message_get_packed_size(&pool->base) : 0;
    max += words ? CODEC_OUT_FRAME + protobuf_c_message_get_packed_size(&words->base) : 0;
    int r = codec_out_init(&o, arena, max);
    if (r) {
        return err_trace(r);
    }
    if (words) {
        codec_out_message(&o, 40, &words->base);
    }
    codec_out_bytes(&o, 27, c->random);
    codec_out_u64(&o, 26, with_who && c->is_client);
    codec_out_fixed(&o, 25, with_who ? c->client : 0);
    codec_out_bytes(&o, 24, c->note);
    codec_out_u64(&o, 23, c->pool_mask);
    codec_out_u64(&o, 22, c->select_count);
    codec_out_fixed(&o, 21, (uint64_t)c->select_us);
    codec_out_u64(&o, 20, c->version);
    codec_out_bytes(&o, 19, c->page_token);
    codec_out_u64(&o, 18, c->page_size);
    codec_out_u64(&o, 17, c->free_only);
    codec_out_fixed(&o, 16, (uint64_t)c->to_us);
    codec_out_fixed(&o, 15, (uint64_t)c->from_us);
    codec_out_u64(&o, 14, c->validate_only);
    codec_command_put_new_slots(&o, c);
    if (pool) {
        codec_out_message(&o, 12, &pool->base);
    }
    codec_out_bytes(&o, 11, c->etag);
    codec_command_put_slots(&o, c);
    codec_out_u64(&o, 9, c->number);
    codec_out_fixed(&o, 8, c->owner);
    codec_out_bytes(&o, 7, c->pool);
    if (with_who) {
        codec_command_put_who(&o, c);
    }
    codec_out_u64(&o, 1, c->kind);
    *ret_bytes = codec_out_span(&o);
    return 0;
}

int codec_command_hash(const struct command *command, struct arena *arena, uint64_t *ret_hash)
{
    struct span body;
    int r = codec_command_write(command, false, arena, &body);
    if (r) {
        return err_trace(r);
    }
    *ret_hash = XXH3_64bits(body.ptr, body.len);
    return 0;
}

int codec_command_pack(const struct command *command, struct arena *arena, struct span *ret_bytes)
{
    CHECK(codec_command_needs(command->kind) != 0);
    return err_trace(codec_command_write(command, true, arena, ret_bytes));
}

/* -- in ---------------------------------------------------------------------------------------- */

/* 0, REASON_MESSAGE_MALFORMED, REASON_MESSAGE_TOO_LARGE. */
static int codec_command_get_slots(const Shard__V1__Command *m, struct arena *arena,
                                   struct command *c)
{
    if (m->n_slots > SLOTS_PER_BLOCK || m->n_new_slots > SLOTS_PER_CREATE) {
        return REASON_MESSAGE_MALFORMED;
    }
    struct slot_key *keys = arena_alloc(arena, m->n_slots * sizeof *keys);
    struct new_slot *made = arena_alloc(arena, m->n_new_slots * sizeof *made);
    if (keys == NULL || made == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    for (size_t i = 0; i < m->n_slots; i++) {
        keys[i] = (struct slot_key){m->slots[i]->start_us, span_of(m->slots[i]->desk)};
        if (!codec_slot_key_ok(&keys[i])) {
            return REASON_MESSAGE_MALFORMED;
        }
    }
    const char *field, *detail;
    for (size_t i = 0; i < m->n_new_slots; i++) {
        const Shard__V1__NewSlot *s = m->new_slots[i];
        made[i] = (struct new_slot){s->start_us, s->duration_us, span_of(s->slug),
                                    span_of(s->desk)};
        if (!codec_slot_check(&made[i], &field, &detail)) {
            return REASON_MESSAGE_MALFORMED;
        }
    }
    c->slots = keys;
    c->slots_count = m->n_slots;
    c->new_slots = made;
    c->new_slots_count = m->n_new_slots;
    return 0;
}

static int codec_command_get_pool(const Shard__V1__Command *m, struct arena *arena,
                                  struct command *c)
{
    if (m->new_pool == NULL) {
        return 0;
    }
    struct pool_view *pool = arena_alloc(arena, sizeof *pool);
    if (pool == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    const char *field, *detail;
    *pool = codec_pool_view(m->new_pool, c->pool);
    c->new_pool = pool;
    return codec_pool_check(pool, &field, &detail) ? 0 : REASON_MESSAGE_MALFORMED;
}

/* (start, slug) as the book orders them: time, then bytes, a shorter one first. */
int codec_slot_compare(const struct slot_key *a, const struct slot_key *b)
{
    size_t len = a->slug.len < b->slug.len ? a->slug.len : b->slug.len;
    int order = a->start_us != b->start_us ? (a->start_us < b->start_us ? -1 : 1)
                                           : memcmp(a->slug.ptr, b->slug.ptr, len);
    return order ? order : (a->slug.len > b->slug.len) - (a->slug.len < b->slug.len);
}

bool codec_selector_ok(int64_t start_us)
{
    return start_us >= 0 && start_us <= CODEC_SECOND_MAX * SECOND_US && start_us % SECOND_US == 0;
}

/* One slot or a selector; many slots; or none of that. */
static bool codec_command_slots_ok(const struct command *c, unsigned needs)
{
    if (needs & NEEDS_SLOTS) {
        bool is_ordered = c->slots_count > 0;
        for (size_t i = 1; i < c->slots_count; i++) {
            is_ordered = is_ordered && codec_slot_compare(&c->slots[i - 1], &c->slots[i]) < 0;
        }
        return is_ordered && c->select_count == 0 && c->select_us == 0;
    }
    bool has_selector = needs & NEEDS_SLOT && c->slots_count == 0;
    uint32_t least = c->kind == COMMAND_RESCHEDULE ? 0 : 1;
    return has_selector ? c->select_count >= least && c->select_count <= SLOTS_PER_HOLD &&
                              codec_selector_ok(c->select_us)
                        : c->slots_count == (needs & NEEDS_SLOT ? 1 : 0) &&
                              c->select_count == 0 && c->select_us == 0;
}

/* A hold may name a ticket, events a release; every other kind has its words or none. */
static bool codec_command_release_ok(const struct command *c, unsigned needs)
{
    bool may_have = needs & NEEDS_RELEASE || c->kind == COMMAND_CREATE_HOLD ||
                    c->kind == COMMAND_LIST_EVENTS;
    return c->release ? may_have && codec_release_ok(c) : !(needs & NEEDS_RELEASE);
}

/* What the kind needs is there, and within its bounds. */
static bool codec_command_ok(const struct command *c, size_t identity_len, size_t request_len)
{
    unsigned needs = codec_command_needs(c->kind);
    bool may_all = c->kind == COMMAND_LIST_RESERVATIONS || c->kind == COMMAND_LIST_EVENTS;
    bool is_all = may_all && c->pool.len == 1 && c->pool.ptr[0] == '-';
    bool has_pool = c->pool.len == 0 ? !(needs & NEEDS_POOL) : is_all || codec_pool_id_ok(c->pool);
    bool has_request = request_len == (needs & NEEDS_REQUEST ? 16 : 0);
    bool has_identity = identity_len == 16 || (identity_len == 0 && !(needs & NEEDS_REQUEST));
    bool has_slots = codec_command_slots_ok(c, needs);
    bool has_page = needs & NEEDS_PAGE ? c->page_size >= 1 && c->page_size <= PAGE_SIZE_MAX
                                       : c->page_size == 0;
    bool is_update = c->kind == COMMAND_UPDATE_POOL;
    bool has_node = !(needs & NEEDS_NODE) || (c->number >= 1 && c->number <= CLUSTER_ID_MAX);
    has_node = has_node && (c->kind != COMMAND_MARK_NODE || c->version <= NODE_MARK_CORDON);
    has_node = has_node && (c->kind != COMMAND_GET_OPERATION ||
                            (c->version >= NODE_CHANGE_ADD && c->version <= NODE_CHANGE_DRAIN));
    has_node = has_node && (c->kind != COMMAND_ADD_NODE ||
                            (c->note.len > 0 && c->note.len <= CLUSTER_ADDRESS_MAX));
    bool has_random = c->random.len == (c->kind == COMMAND_COIN ? COIN_RANDOM : 0);
    bool has_made = (c->kind == COMMAND_CREATE_POOL || is_update) == (c->new_pool != NULL) &&
                    is_update == (c->pool_mask != 0) && c->pool_mask <= POOL_FIELDS_ALL &&
                    (c->kind == COMMAND_CREATE_SLOTS) == (c->new_slots_count > 0);
    return needs != 0 && has_random && has_pool && has_request && has_identity && has_slots &&
           has_page && has_made && has_node && codec_command_release_ok(c, needs) &&
           (uint32_t)c->assurance <= ASSURANCE_HIGH && c->etag.len <= ETAG_MAX &&
           c->page_token.len <= PAGE_TOKEN_MAX && c->note.len <= NOTE_MAX &&
           codec_text_ok(c->note);
}

static int codec_command_read(const Shard__V1__Command *m, struct arena *arena,
                              struct command *c)
{
    *c = (struct command){
        .kind = (enum command_kind)m->kind,
        .assurance = (enum assurance)m->assurance,
        .roles = m->roles,
        .client = m->client,
        .is_client = m->is_client,
        .body_hash = m->body_hash,
        .pool = span_of(m->pool),
        .owner = m->owner,
        .number = m->number,
        .version = m->version,
        .etag = span_of(m->etag),
        .validate_only = m->validate_only,
        .from_us = m->from_us,
        .to_us = m->to_us,
        .free_only = m->free_only,
        .page_size = m->page_size,
        .page_token = span_of(m->page_token),
        .select_us = m->select_us,
        .select_count = m->select_count,
        .pool_mask = m->pool_mask,
        .note = span_of(m->note),
        .random = {m->random.data, m->random.len},
    };
    int r = codec_command_get_slots(m, arena, c);
    if (r == 0) {
        r = codec_command_get_pool(m, arena, c);
    }
    if (r == 0 && m->release) {
        r = codec_release_read(m->release, arena, &c->release);
    }
    if (r) {
        return r;
    }
    if (!codec_command_ok(c, m->identity.len, m->request_id.len)) {
        return REASON_MESSAGE_MALFORMED;
    }
    if (m->identity.len) {
        memcpy(c->identity.bytes, m->identity.data, sizeof c->identity.bytes);
    }
    if (m->request_id.len) {
        memcpy(c->request_id.bytes, m->request_id.data, sizeof c->request_id.bytes);
    }
    return 0;
}

int codec_command_unpack_any(struct span bytes, struct arena *arena, struct command *ret_command)
{
    Shard__V1__Command *m;
    struct command command;
    int r = codec_unpack(&shard__v1__command__descriptor, bytes, arena, &m);
    if (r == 0) {
        r = codec_command_read(m, arena, &command);
    }
    if (r == 0) {
        *ret_command = command;
    }
    return r;
}

bool codec_command_unpack_plain(struct span bytes, struct arena *arena,
                                struct command *ret_command)
{
    struct codec_plain plain = {.command = ret_command}; /* where it belongs: it is not small */
    return codec_plain_read(bytes, arena, &plain) &&
           codec_command_ok(ret_command, plain.identity_len, plain.request_len);
}

int codec_command_unpack(struct span bytes, struct arena *arena, struct command *ret_command)
{
    return codec_command_unpack_plain(bytes, arena, ret_command)
               ? 0
               : codec_command_unpack_any(bytes, arena, ret_command);
}
