/* SPDX-License-Identifier: MIT */
/* Commands as bytes: in batches, and in the log, where they stay readable for ever.
 *
 *   command -> codec_command_build() -> shard.v1.Command -> bytes     (gateway, once)
 *   bytes -> shard.v1.Command -> codec_command_read() -> command      (shard, and every replay)
 *
 * Whoever unpacks trusts nobody: a damaged log or a foreign gateway gives a verdict, and a command
 * that comes out here keeps every bound the ledger relies on, whatever way it came in.
 * Owns nothing; spans borrow from the arena.  Which fields a kind needs stands in one table. */
#include <errno.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/codec_parts.h"

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

static int codec_command_put_slots(const struct command *c, struct arena *arena,
                                   Shard__V1__Command *m)
{
    if (c->slots_count == 0) {
        return 0;
    }
    m->slots = arena_alloc(arena, c->slots_count * sizeof *m->slots);
    Shard__V1__SlotKey *keys = arena_alloc(arena, c->slots_count * sizeof *keys);
    if (m->slots == NULL || keys == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < c->slots_count; i++) {
        shard__v1__slot_key__init(&keys[i]);
        keys[i].start_us = c->slots[i].start_us;
        keys[i].desk = codec_text(arena, c->slots[i].slug);
        m->slots[i] = &keys[i];
        if (keys[i].desk == NULL) {
            return err_origin(-ENOMEM);
        }
    }
    m->n_slots = c->slots_count;
    return 0;
}

static int codec_command_put_new_slots(const struct command *c, struct arena *arena,
                                       Shard__V1__Command *m)
{
    if (c->new_slots_count == 0) {
        return 0;
    }
    m->new_slots = arena_alloc(arena, c->new_slots_count * sizeof *m->new_slots);
    Shard__V1__NewSlot *made = arena_alloc(arena, c->new_slots_count * sizeof *made);
    if (m->new_slots == NULL || made == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < c->new_slots_count; i++) {
        shard__v1__new_slot__init(&made[i]);
        made[i].start_us = c->new_slots[i].start_us;
        made[i].duration_us = c->new_slots[i].duration_us;
        made[i].slug = codec_text(arena, c->new_slots[i].slug);
        made[i].desk = codec_text(arena, c->new_slots[i].desk);
        m->new_slots[i] = &made[i];
        if (made[i].slug == NULL || made[i].desk == NULL) {
            return err_origin(-ENOMEM);
        }
    }
    m->n_new_slots = c->new_slots_count;
    return 0;
}

/* Everything but who asks and under which request id. */
static int codec_command_build(const struct command *c, struct arena *arena,
                               Shard__V1__Command *m)
{
    shard__v1__command__init(m);
    m->kind = c->kind;
    m->pool = codec_text(arena, c->pool);
    m->owner = c->owner;
    m->number = c->number;
    m->version = c->version;
    m->etag = codec_text(arena, c->etag);
    m->validate_only = c->validate_only;
    m->from_us = c->from_us;
    m->to_us = c->to_us;
    m->free_only = c->free_only;
    m->page_size = c->page_size;
    m->page_token = codec_text(arena, c->page_token);
    m->select_us = c->select_us;
    m->select_count = c->select_count;
    m->pool_mask = c->pool_mask;
    m->note = codec_text(arena, c->note);
    m->random = (ProtobufCBinaryData){c->random.len, (uint8_t *)c->random.ptr};
    if (m->pool == NULL || m->etag == NULL || m->page_token == NULL || m->note == NULL) {
        return err_origin(-ENOMEM);
    }
    if (c->new_pool) {
        m->new_pool = codec_pool_message(arena, c->new_pool, false);
        if (m->new_pool == NULL) {
            return err_origin(-ENOMEM);
        }
    }
    if (c->release) {
        m->release = codec_release_message(arena, c->release);
        if (m->release == NULL) {
            return err_origin(-ENOMEM);
        }
    }
    int r = codec_command_put_slots(c, arena, m);
    return r ? err_trace(r) : err_trace(codec_command_put_new_slots(c, arena, m));
}

int codec_command_hash(const struct command *command, struct arena *arena, uint64_t *ret_hash)
{
    Shard__V1__Command m;
    int r = codec_command_build(command, arena, &m);
    if (r) {
        return err_trace(r);
    }
    *ret_hash = codec_hash(&m.base);
    return 0;
}

static bool codec_command_is_zero(const uint8_t bytes[16])
{
    static const uint8_t zero[16];
    return memcmp(bytes, zero, 16) == 0;
}

int codec_command_pack(const struct command *command, struct arena *arena, struct span *ret_bytes)
{
    CHECK(codec_command_needs(command->kind) != 0);
    Shard__V1__Command m;
    int r = codec_command_build(command, arena, &m);
    if (r) {
        return err_trace(r);
    }
    struct command who = *command; /* protobuf-c wants pointers to mutable bytes */
    if (!codec_command_is_zero(who.identity.bytes)) {
        m.identity = (ProtobufCBinaryData){sizeof who.identity.bytes, who.identity.bytes};
    }
    if (codec_command_needs(command->kind) & NEEDS_REQUEST) {
        m.request_id = (ProtobufCBinaryData){sizeof who.request_id.bytes, who.request_id.bytes};
    }
    m.assurance = command->assurance;
    m.roles = command->roles;
    m.body_hash = command->body_hash;
    m.client = command->client;
    m.is_client = command->is_client;
    return err_trace(codec_pack(&m.base, arena, ret_bytes));
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
