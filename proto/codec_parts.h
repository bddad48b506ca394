/* SPDX-License-Identifier: MIT */
/* What the codec's own files share; nobody else includes it.
 * Pure.  Everything lives in the arena that is passed along. */
#ifndef FAIRSLOT_PROTO_CODEC_PARTS_H
#define FAIRSLOT_PROTO_CODEC_PARTS_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "proto/codec.h"

#include "fairslot/v1/resources.pb-c.h"
#include "shard/v1/shard.pb-c.h"

#define CODEC_ID_BYTES   48             /* a slot, hold or reservation id */
#define CODEC_SECOND_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* -- codec_wire.c: protobuf-c in an arena --------------------------------------------------- */

/* 0; REASON_MESSAGE_MALFORMED; REASON_MESSAGE_TOO_LARGE when the arena's cap was hit.  The message
 * is the arena's: never freed by itself.  Every string in it is valid UTF-8 without NUL. */
int codec_unpack(const ProtobufCMessageDescriptor *descriptor, struct span bytes,
                 struct arena *arena, void *ret_message);
/* 0, or -ENOMEM over the arena's cap. */
int codec_pack(const ProtobufCMessage *message, struct arena *arena, struct span *ret_bytes);
/* A terminated copy; the shared empty text for an empty span; NULL over the cap. */
char *codec_text(struct arena *arena, struct span text);

/* -- codec_utf8.c -------------------------------------------------------------------------- */

/* Well-formed UTF-8 (no overlong forms, no surrogates), and no NUL, which C strings cannot hold. */
bool codec_utf8_ok(struct span text);
/* No control characters (below 0x20, 0x7f): texts are shown in terminals and tables. */
bool codec_text_ok(struct span text);
/* Every string field of the packed message is; its structure can be walked. */
bool codec_utf8_scan(const ProtobufCMessageDescriptor *descriptor, struct span bytes);

/* -- codec_plain.c, codec_command.c: two ways into a command --------------------------------- */

/* What codec_plain_read() found. */
struct codec_plain {
    struct command *command; /* the caller's */
    size_t identity_len, request_len; /* 16; 0: not said */
};
/* False for whatever is not as codec_command_pack() writes it, or rare; not judged any further. */
bool codec_plain_read(struct span bytes, struct arena *arena, struct codec_plain *plain);
/* The short way alone, judged: false says nothing about the bytes. */
bool codec_command_unpack_plain(struct span bytes, struct arena *arena,
                                struct command *ret_command);
/* The general way alone; as codec_command_unpack(). */
int codec_command_unpack_any(struct span bytes, struct arena *arena, struct command *ret_command);

/* -- codec_plain_batch.c, codec_batch.c: two ways into what commands travel in ----------------- */

struct codec_entry {
    int64_t log_time_us;
    const struct span *commands; /* packed */
    size_t count;
};
/* The short way: false for whatever is not as we pack it, or news; not judged any further.
 * Commands are still packed. */
bool codec_batch_read_plain(struct span bytes, struct arena *arena, struct batch_view *ret_batch);
bool codec_reply_read_plain(struct span bytes, struct arena *arena, struct reply_view *ret_reply);
bool codec_entry_read_plain(struct span bytes, struct arena *arena, struct codec_entry *ret_entry);
/* The general way: 0, or REASON_MESSAGE_MALFORMED; -ENOMEM for an entry over the cap. */
int codec_batch_read_any(struct span bytes, struct arena *arena, struct batch_view *ret_batch);
int codec_reply_read_any(struct span bytes, struct arena *arena, struct reply_view *ret_reply);
int codec_entry_read_any(struct span bytes, struct arena *arena, struct codec_entry *ret_entry);

/* -- codec_names.c ------------------------------------------------------------------------- */

bool codec_pool_id_ok(struct span id);
bool codec_slug_ok(struct span slug);
/* "pools/{pool}" */
bool codec_name_pool(struct span name, struct span *ret_pool);
/* "pools/{pool}{part}{id}", part as "/slots/"; id is not empty and not checked further. */
bool codec_name_child(struct span name, const char *part, struct span *ret_pool,
                      struct span *ret_id);
/* The other way round, terminated; part and id may be "".  NULL over the cap. */
char *codec_name_make(struct arena *arena, struct span pool, const char *part, struct span id);
/* Terminated; NULL over the cap. */
char *codec_name_slot(struct arena *arena, struct span pool, const struct slot_key *key);
char *codec_name_owned(struct arena *arena, struct span pool, char letter, uint64_t owner,
                       uint64_t number);

/* -- codec_time.c -------------------------------------------------------------------------- */

struct codec_date {
    int64_t year;  /* 1 to 9999 */
    int month;     /* 1 to 12 */
    int day;       /* 1 to 31 */
};

struct codec_date codec_date_of(int64_t days);
/* Days since 1970-01-01, for years from 1 on; false when there is no such day. */
bool codec_date_count(struct codec_date date, int64_t *ret_days);
/* As codec_date_count(), for years from 1970 on. */
bool codec_date_days(struct codec_date date, int64_t *ret_days);
/* seconds and nanos as protobuf has them -> microseconds; false when out of range. */
bool codec_time_us(int64_t seconds, int32_t nanos, int64_t *ret_us);
Google__Protobuf__Timestamp *codec_timestamp(struct arena *arena, int64_t us);
Google__Protobuf__Duration *codec_duration(struct arena *arena, int64_t us);

/* -- codec_pool.c: a pool's policy, in requests, commands and answers ------------------------- */

/* NULL over the cap.  The name is empty when `with_name` is false. */
Fairslot__V1__Pool *codec_pool_message(struct arena *arena, const struct pool_view *pool,
                                       bool with_name);
/* With the defaults of what was left out, unchecked; spans borrow from `message` and `id`. */
struct pool_view codec_pool_view(const Fairslot__V1__Pool *message, struct span id);
/* Which fields of the message are set: enum pool_field. */
uint32_t codec_pool_set(const Fairslot__V1__Pool *message);
/* Every bound of a pool; else false, with static texts naming the field and what would be right. */
bool codec_pool_check(const struct pool_view *pool, const char **ret_field,
                      const char **ret_detail);

#define POOL_HOLD_TTL_US (10 * MINUTE_US) /* when the pool says nothing */

/* -- codec_request_admin.c: slots to be made --------------------------------------------------- */

/* Every bound of one new slot, as codec_pool_check(). */
bool codec_slot_check(const struct new_slot *slot, const char **ret_field,
                      const char **ret_detail);
bool codec_slot_key_ok(const struct slot_key *key);
/* A selector's start. */
bool codec_selector_ok(int64_t start_us);
/* As memcmp(); by start, then by slug, as the book orders slots. */
int codec_slot_compare(const struct slot_key *a, const struct slot_key *b);

/* -- codec_request*.c ------------------------------------------------------------------------ */

/* One request being read. */
struct codec_ask {
    struct arena *arena;
    struct command *command;
    const struct codec_method *method;
    const char *field;  /* static: what was wrong */
    const char *detail; /* static: what would be right */
};

/* Notes field and detail; returns REASON_FIELD_INVALID. */
int codec_fault(struct codec_ask *ask, const char *field, const char *detail);
/* A UUID in text -> command->request_id. */
int codec_ask_request_id(struct codec_ask *ask, const char *text);
/* "pools/{pool}" in `field`. */
int codec_ask_pool(struct codec_ask *ask, const char *field, const char *text);
int codec_request_create_pool(struct codec_ask *ask, struct span message);
int codec_request_create_slots(struct codec_ask *ask, struct span message);
int codec_request_update_pool(struct codec_ask *ask, struct span message);
int codec_request_block_slots(struct codec_ask *ask, struct span message);
int codec_request_restock(struct codec_ask *ask, struct span message);
int codec_request_erase(struct codec_ask *ask, struct span message);
/* "pools/P/slots/S" of the command's pool -> key; the field is "slot" or "slots". */
int codec_ask_slot(struct codec_ask *ask, const char *field, const char *text,
                   struct slot_key *ret_key);
/* An etag in field "etag". */
int codec_ask_etag(struct codec_ask *ask, const char *text);

/* -- codec_release.c, codec_policy.c, codec_release_answer.c ----------------------------------- */

/* "pools/P/releases/R/tickets/T", T an id or "me", in `field`: pool, release id and ticket. */
int codec_ask_ticket(struct codec_ask *ask, const char *field, const char *text);
int codec_request_create_ticket(struct codec_ask *ask, struct span message);
int codec_request_delete_ticket(struct codec_ask *ask, struct span message);
int codec_request_get_ticket(struct codec_ask *ask, struct span message);
int codec_request_get_release(struct codec_ask *ask, struct span message);
int codec_request_list_releases(struct codec_ask *ask, struct span message);
int codec_request_reveal_seed(struct codec_ask *ask, struct span message);
int codec_request_get_report(struct codec_ask *ask, struct span message);
int codec_request_get_result(struct codec_ask *ask, struct span message);
int codec_request_export(struct codec_ask *ask, struct span message);
int codec_request_list_release(struct codec_ask *ask, struct span message);
int codec_request_create_release(struct codec_ask *ask, struct span message);
int codec_request_change_release(struct codec_ask *ask, enum release_action action,
                                 struct span message);
int codec_request_add_part(struct codec_ask *ask, struct span message);
int codec_request_list_events(struct codec_ask *ask, struct span message);
int codec_answer_events(const struct verdict *v, struct arena *arena, struct span *ret_message);
/* Page size and token. */
int codec_ask_page(struct codec_ask *ask, int32_t size, const char *token);
/* Every bound, defaults put in; else false, with static texts. */
bool codec_policy_read(const Fairslot__V1__Release *message, struct release_policy *ret_policy,
                       const char **ret_field, const char **ret_detail);
/* NULL over the cap. */
Fairslot__V1__Release *codec_policy_message(struct arena *arena, const struct release_policy *p);
Shard__V1__ReleaseWords *codec_release_message(struct arena *arena,
                                               const struct release_words *words);
/* 0, REASON_MESSAGE_MALFORMED, REASON_MESSAGE_TOO_LARGE. */
int codec_release_read(const Shard__V1__ReleaseWords *m, struct arena *arena,
                       const struct release_words **ret_words);
/* The words fit the command's kind; it has some. */
bool codec_release_ok(const struct command *c);
int codec_answer_release(const struct verdict *v, struct arena *arena, struct span *ret_message);
int codec_answer_releases(const struct verdict *v, struct arena *arena, struct span *ret_message);
int codec_answer_ticket(const struct verdict *v, struct arena *arena, struct span *ret_message);
int codec_answer_proof(const struct verdict *v, struct arena *arena, struct span *ret_message);
int codec_answer_report(const struct verdict *v, struct arena *arena, struct span *ret_message);
int codec_answer_outcome(const struct verdict *v, struct arena *arena, struct span *ret_message);
int codec_answer_piece(const struct verdict *v, struct arena *arena, struct span *ret_message);
int codec_answer_rows(const struct verdict *v, struct arena *arena, struct span *ret_message);

/* -- codec_cluster.c, codec_cluster_answer.c -------------------------------------------------- */

/* Of a command that command_is_cluster(). */
int codec_request_cluster(struct codec_ask *ask, struct span message);
/* Of the results about the cluster. */
/* What it is called in the name of its operation. */
const char *codec_cluster_change(enum node_change change);
int codec_answer_cluster(const struct verdict *v, struct arena *arena, struct span *ret_message);

/* -- codec_command.c ------------------------------------------------------------------------- */

/* Of everything but identity, assurance, roles and request id; -ENOMEM over the cap. */
int codec_command_hash(const struct command *command, struct arena *arena, uint64_t *ret_hash);

#endif
