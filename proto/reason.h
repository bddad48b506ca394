/* SPDX-License-Identifier: MIT */
/* Why a call was refused: the one table of reasons.  X(NAME, gRPC status, RetryInfo ms, text).
 * The name goes out as google.rpc.ErrorInfo.reason with domain "fairslot"; the numbers stand in
 * logs and between processes, so new reasons go to the end and none is renumbered.
 * A retry of 0 means that waiting does not help; a verdict may carry its own retry time. */
#ifndef FAIRSLOT_PROTO_REASON_H
#define FAIRSLOT_PROTO_REASON_H

#define REASONS(X)                                                                                \
    X(OK, 0, 0, "done")                                                                           \
    X(TOKEN_MISSING, 16, 0, "no bearer token: send 'authorization: Bearer TOKEN'")                \
    X(TOKEN_EXPIRED, 16, 0, "the token has expired: get a new one from your issuer")              \
    X(TOKEN_INVALID, 16, 0, "the token is not valid for this service")                            \
    X(ISSUER_UNKNOWN, 16, 0, "the token's issuer is not configured here")                         \
    X(ASSURANCE_TOO_LOW, 7, 0, "this pool needs a stronger proof of identity")                    \
    X(NOT_YOUR_RESERVATION, 7, 0, "it belongs to another identity")                               \
    X(ROLE_MISSING, 7, 0, "this method needs the operator role")                                  \
    X(IDENTITY_QUOTA, 8, 0, "this identity already has as many holds and reservations as allowed") \
    X(RATE_LIMITED, 8, 1000, "too many requests by this identity: slow down")                     \
    X(QUEUE_FULL, 8, 500, "this identity already has as many calls waiting as allowed")           \
    X(MESSAGE_TOO_LARGE, 8, 0, "the message is larger than 64 KiB, or unpacks to too much")       \
    X(STORAGE_FULL, 8, 5000, "the shard is nearly out of storage: nothing was changed")           \
    X(HOLD_EXPIRED, 9, 0, "the hold has expired")                                                 \
    X(HOLD_ENDED, 9, 0, "the hold was dropped or confirmed before")                               \
    X(RESERVATION_ENDED, 9, 0, "the reservation was cancelled before")                            \
    X(NOT_YOUR_TURN, 9, 0, "slots of this pool need a ticket of a release whose turn has come")   \
    X(SLOT_PAST, 9, 0, "the slot has already started")                                            \
    X(SLOT_TAKEN, 10, 0, "the slot is not free")                                                  \
    X(ETAG_MISMATCH, 10, 0, "it has changed: read it again")                                      \
    X(REQUEST_ID_REUSED, 6, 0, "this request_id was used before with another body")               \
    X(POOL_EXISTS, 6, 0, "a pool of this id exists")                                              \
    X(SLOT_EXISTS, 6, 0, "a slot at this time and desk exists: nothing was created")              \
    X(POOL_UNKNOWN, 5, 0, "no such pool")                                                         \
    X(SLOT_UNKNOWN, 5, 0, "no such slot")                                                         \
    X(HOLD_UNKNOWN, 5, 0, "no such hold")                                                         \
    X(RESERVATION_UNKNOWN, 5, 0, "no such reservation")                                           \
    X(PAGE_TOKEN_INVALID, 11, 0, "the page_token does not belong to this list")                   \
    X(FIELD_INVALID, 3, 0, "a field is not valid")                                                \
    X(MESSAGE_MALFORMED, 3, 0, "the message cannot be decoded")                                   \
    X(METHOD_UNKNOWN, 12, 0, "no such method")                                                    \
    X(METHOD_PLANNED, 12, 0, "this version does not serve the method yet")                        \
    X(DEADLINE_EXCEEDED, 4, 0, "the deadline passed before there was an answer")                  \
    X(CANCELLED, 1, 0, "the caller gave up")                                                      \
    X(STILL_QUEUED, 14, 500, "still waiting in the queue: send the same request_id again")        \
    X(NO_LEADER, 14, 500, "the shard cannot be reached: send the same request_id again")          \
    X(SHUTTING_DOWN, 14, 1000, "this process is stopping: connect again")                         \
    X(INTERNAL, 13, 0, "an error of ours: it was logged")                                         \
    X(SERVICE_UNKNOWN, 5, 0, "no such service")                                                   \
    X(HEADERS_TOO_LARGE, 8, 0, "the headers are larger than allowed")                             \
    X(COMPRESSION_UNSUPPORTED, 12, 0, "compressed messages are not supported: send identity")      \
    X(HTTP_MALFORMED, 3, 0, "the request is not HTTP as it is spoken here")                        \
    X(HTTP_METHOD_WRONG, 12, 0, "this HTTP method is not allowed here")                            \
    X(CONTENT_TYPE_UNSUPPORTED, 12, 0, "this content-type is not spoken here")                     \
    X(ORIGIN_NOT_ALLOWED, 7, 0, "pages of this origin may not call this service")                  \
    X(KEYS_UNAVAILABLE, 14, 1000, "the keys of the token's issuer cannot be read at present")      \
    X(TOO_MANY_SLOTS, 9, 0, "a hold of this pool may not have that many slots")                    \
    X(COOL_DOWN, 8, 0, "this identity gave something back in this pool and has to wait")           \
    X(CHANGES_USED_UP, 9, 0, "the reservation was rescheduled as often as its pool allows")        \
    X(RECONFIRM_EARLY, 9, 0, "the time to reconfirm has not begun yet")                            \
    X(RESTOCK_RUNNING, 14, 500, "a restock of this pool is under way: send the request_id again")  \
    X(RESTOCKS_FULL, 8, 1000, "as many pools as allowed are being restocked")                      \
    X(WATCH_TOO_LARGE, 8, 0, "the pool has too many coming slots to be watched: use ListSlots")    \
    X(READER_TOO_SLOW, 14, 1000, "nothing was read for too long: connect again")                   \
    X(GATEWAY_FULL, 14, 1000, "this gateway has no room for more just now: come back")            \
    X(LISTENER_WRONG, 12, 0, "this method is served by another listener of this gateway")         \
    X(RELEASE_UNKNOWN, 5, 0, "no such release")                                                   \
    X(RELEASE_EXISTS, 6, 0, "a release of this id exists")                                        \
    X(RELEASE_OVERLAPS, 9, 0, "another release that has not ended offers slots of that time")     \
    X(RELEASE_NOT_OPEN, 9, 1000, "the release takes no tickets yet")                              \
    X(RELEASE_SEALED, 9, 0, "the set of tickets is sealed: nothing about them changes any more")  \
    X(RELEASE_ENDED, 9, 0, "the release has ended")                                               \
    X(RELEASE_STATE, 9, 0, "the release is not in a state that allows it")                        \
    X(RELEASE_EMPTY, 9, 0, "there is no free or returned slot in that time")                      \
    X(RELEASES_FULL, 8, 60000, "as many releases have not ended as this shard allows")            \
    X(NOT_SCARCE, 9, 0, "releases by turn and by preference need a scarce pool")                  \
    X(TICKET_UNKNOWN, 5, 0, "no such ticket")                                                     \
    X(TICKET_ENDED, 9, 0, "the ticket has had its chance in this release")                        \
    X(PART_INVALID, 3, 0, "the part is not the signature of this trustee for this release")       \
    X(PART_TOO_LATE, 9, 0, "the parts of this seed are settled")                                  \
    X(SLOT_OFFERED, 9, 0, "an open release offers the slot: close or cancel the release first")   \
    X(READ_BUDGET, 8, 1000, "looked at scarce slots too often: once a second tells as much")      \
    X(EVENTS_GONE, 11, 0, "events after that page_token are kept no longer: begin without one")   \
    X(ERASE_RUNNING, 14, 500, "the erasure is under way: send the request_id again")              \
    X(CLUSTER_UNKNOWN, 5, 0, "this is another cluster")                                           \
    X(SHARD_UNKNOWN, 5, 0, "no such shard")                                                       \
    X(NODE_UNKNOWN, 5, 0, "no such node in this shard")                                           \
    X(NODE_EXISTS, 6, 0, "the node is a member already, or another one has its address")          \
    X(NODE_LEADS, 9, 0, "the node leads the shard: hand over first")                              \
    X(NODE_NOT_READY, 9, 0, "the node has no vote, is not heard, lags, or leads already")         \
    X(VOTER_NEEDED, 9, 0, "too few voters would be left: add another node first")                 \
    X(CHANGE_RUNNING, 14, 500, "another change of members or leader is under way: try again")     \
    X(CHANGE_REFUSED, 9, 0, "a shard that is alone has no peers: start it with --id and --peer")  \
    X(ERASURES_FULL, 8, 1000, "as many identities as allowed are being erased")                    \
    X(NODE_REMOVED, 9, 0, "a node of this number was removed: a number is never used again")       \
    X(RULES_UNSETTLED, 14, 1000, "not every node has told yet which version it runs: ask again")

enum reason {
#define REASON_ENUM(name, status, retry_ms, text) REASON_##name,
    REASONS(REASON_ENUM)
#undef REASON_ENUM
    REASON_COUNT
};

/* Static text; an unknown number is answered as INTERNAL. */
const char *reason_name(enum reason reason);
const char *reason_text(enum reason reason);
/* gRPC status code, 0 to 16. */
int reason_status(enum reason reason);
/* Milliseconds for RetryInfo; 0: none. */
unsigned reason_retry_ms(enum reason reason);

#endif
