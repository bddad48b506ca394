/* SPDX-License-Identifier: MIT */
/* Bytes <-> words.  The only place where bytes from outside become structs; every bound is
 * checked here, once.  Pure: protobuf-c, XXH3 and libc strings only.
 * Everything returned is borrowed from `arena` (or from the input bytes, which must live as long).
 * Returns follow the error law; hostile bytes are a verdict, never an assert.
 * Arena: 64 KiB of slots need 1.2 MB at the gateway (CALL_ARENA_MAX); a command about 1 KiB, or
 * 20 times its bytes, to unpack; an answer of 1,000 slots 300 KB to pack. */
#ifndef FAIRSLOT_PROTO_CODEC_H
#define FAIRSLOT_PROTO_CODEC_H

#include "base/arena.h"
#include "proto/words.h"

/* One method that clients may call through the queue. */
struct codec_method {
    const char *path;       /* "/fairslot.v1.CatalogService/ListPools" */
    enum command_kind kind; /* 0: in the API, but not served by this version (METHOD_PLANNED) */
    bool needs_role;        /* PoolAdminService */
    bool anonymous;         /* callable without a token: the catalogue */
    int action;             /* release_action, or node_mark of COMMAND_MARK_NODE; else 0 */
};

/* NULL: no such method.  O(log n) or better; the path needs no terminator. */
const struct codec_method *codec_method_find(struct span path);

/* A public request message -> *ret_command, with kind, body_hash and the fields of words.h; the
 * caller adds identity, assurance and roles.
 * Returns 0, or REASON_MESSAGE_MALFORMED, REASON_FIELD_INVALID (then *ret_field, a static name, and
 * *ret_detail, static text saying what would be right), REASON_PAGE_TOKEN_INVALID for one that is
 * too long, REASON_MESSAGE_TOO_LARGE when the arena's cap was hit (amplification), or < 0. */
int codec_request(const struct codec_method *method, struct span message, struct arena *arena,
                  struct command *ret_command, const char **ret_field, const char **ret_detail);

/* The packed public answer of a done verdict (fairslot.v1.Hold, ListSlotsResponse, ...).
 * Returns 0, or < 0 (-ENOMEM over the arena's cap). */
int codec_answer(const struct verdict *verdict, struct arena *arena, struct span *ret_message);

/* A packed google.rpc.Status with ErrorInfo (domain "fairslot"), RetryInfo when retry_ms > 0,
 * BadRequest when field is set, QuotaFailure for IDENTITY_QUOTA, PreconditionFailure for
 * FAILED_PRECONDITION, ResourceInfo for ..._UNKNOWN and ..._EXISTS, for grpc-status-details-bin.
 * retry_ms 0 takes the reason's own. */
struct codec_refusal {
    enum reason reason;
    uint32_t retry_ms;
    const char *field;  /* NULL: none */
    const char *detail; /* NULL: the reason's text */
    const struct verdict_meta *meta;
    size_t meta_count;
};
/* What a field must be that no codec can judge, because it takes the state or the time, and the
 * ledger refuses by its name.  Static text behind "must be"; NULL: no such field. */
const char *codec_field_rule(const char *field);
int codec_status(const struct codec_refusal *refusal, struct arena *arena, struct span *ret_status);

/* -- between gateway and shard ----------------------------------------------------------------- */

struct batch_item {
    uint32_t call;
    uint32_t deadline_ms; /* left when sent */
    struct span trace;    /* base/trace.h, in the message; of another length: none */
    struct command command;
};

/* An answer as it travels; message is the packed public answer when reason is OK. */
struct answer {
    uint32_t call;
    enum reason reason;
    uint32_t retry_ms;
    struct span field;
    struct verdict_meta meta[VERDICT_META_MAX]; /* key: a terminated string in the arena */
    size_t meta_count;
    struct span message;
};

/* Incremental, so that a batch is closed at its byte limit.  One command is packed once at the
 * gateway and its bytes stay as they are through batch and log. */

/* Packed shard.v1.Command. */
int codec_command_pack(const struct command *command, struct arena *arena, struct span *ret_bytes);
/* Hostile or damaged bytes: REASON_MESSAGE_MALFORMED; over the arena's cap
 * REASON_MESSAGE_TOO_LARGE.  What comes out keeps every bound that the ledger relies on, and may
 * borrow from `bytes` and the arena; what is in *ret_command after a verdict says nothing. */
int codec_command_unpack(struct span bytes, struct arena *arena, struct command *ret_command);

struct batch_view {
    uint64_t map_epoch;
    uint64_t gateway;
    uint32_t waiting_identities;
    struct batch_item *items;
    struct span *commands; /* the packed command of each item, in the arena */
    size_t items_count;
    bool is_feed; /* a call for news: no items */
    uint64_t feed_epoch, feed_after;
    uint64_t cluster; /* whose shard is meant; 0: any */
};

struct batch_head {
    uint64_t map_epoch;
    uint64_t gateway;
    uint32_t waiting_identities;
    uint64_t cluster; /* as reply_view's; 0: not known */
};

struct batch_call {
    uint32_t call;
    uint32_t deadline_ms;
    struct span command; /* packed */
    struct span trace;   /* base/trace.h, or empty */
};

int codec_batch_pack(const struct batch_head *head, const struct batch_call *calls, size_t count,
                     struct arena *arena, struct span *ret_bytes);
/* 0, or REASON_MESSAGE_MALFORMED (also over BATCH_ITEMS_MAX or the arena's cap, and for a command
 * that only the shard itself may say). */
int codec_batch_unpack(struct span bytes, struct arena *arena, struct batch_view *ret_batch);

/* A call for news, to be parked by the shard: what came after `after` in the shard's `epoch`. */
int codec_feed_pack(uint64_t gateway, uint64_t epoch, uint64_t after, struct arena *arena,
                    struct span *ret_bytes);

/* Who should look at a ticket again. */
struct feed_news {
    uint64_t epoch, next;
    bool missed;                /* everybody should */
    struct span identities;     /* 16 bytes each */
    const uint64_t *releases;   /* codec_release_hash() */
    size_t releases_count;      /* at most FEED_NEWS_MAX */
};

struct reply_view {
    uint64_t map_epoch;
    uint32_t credit;
    struct answer *answers;
    size_t answers_count;
    uint32_t pause_us; /* for each item of the batch, before the next one leaves; 0: none */
    const struct feed_news *feed; /* NULL: this is no reply to a call for news */
    bool is_turned_away; /* does not lead: items without an answer are for the leader */
    struct span leader;  /* then: its URL for gateways; empty: not known */
    uint64_t cluster;    /* whose shard it is: the first bytes of the cluster's id; 0: not said */
};

int codec_reply_pack(const struct reply_view *reply, struct arena *arena, struct span *ret_bytes);
int codec_reply_unpack(struct span bytes, struct arena *arena, struct reply_view *ret_reply);

/* -- the log ----------------------------------------------------------------------------------- */

int codec_entry_pack(int64_t log_time_us, const struct span *commands, size_t count,
                     struct arena *arena, struct span *ret_bytes);
/* 0, or REASON_MESSAGE_MALFORMED for damage; -ENOMEM over the arena's cap. */
int codec_entry_unpack(struct span bytes, struct arena *arena, int64_t *ret_log_time_us,
                       struct command **ret_commands, size_t *ret_count);

/* -- names (public: the command line and tests use them too) ----------------------------------- */

/* 61 bits that name a release of a pool: its space in the state, and what news speak of. */
uint64_t codec_release_hash(struct span pool, struct span id);
/* "s20261201t0900-c3" for a slot key; UTC, with seconds only where they are not 0.
 * `out` takes at least 48 bytes.  Returns the length. */
size_t codec_slot_id(const struct slot_key *key, char *out);
/* Parses it; false when it is no slot id.  slug is borrowed from `id`. */
bool codec_slot_id_parse(struct span id, struct slot_key *ret_key);
/* "h" or "r", 16 hex digits of the owner, "-", hex number: self-routing, see docs/decisions/0003.
 * `out` takes at least 48 bytes. */
size_t codec_owned_id(char letter, uint64_t owner, uint64_t number, char *out);
bool codec_owned_id_parse(struct span id, char letter, uint64_t *ret_owner, uint64_t *ret_number);
/* ASCII letters and digits in lower case, a single space or '-' between them '-': "desk-1".  A desk
 * with anything else in it, or a longer one, is cut and ends in '-' and 6 hex digits of its text's
 * XXH3, so that different desks stay different; "x" for an empty one.
 * `out` takes at least SLOT_DESK_MAX + 1 bytes.  Returns the length. */
size_t codec_desk_slug(struct span desk, char *out);
/* "\"v12\"", quotes included, as RFC 9110 spells an entity tag.  `out` takes at least ETAG_MAX
 * bytes and is terminated.  Returns the length. */
size_t codec_etag(uint64_t version, char *out);
/* True for an empty etag (any version) and for the one of `version`. */
bool codec_etag_matches(struct span etag, uint64_t version);

#endif
