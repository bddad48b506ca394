/* SPDX-License-Identifier: MIT */
/* Every maximum of the engine stands here, with its unit and why.  A full thing is a verdict with
 * a reason that the client sees, never a crash and never silence. */
#ifndef FAIRSLOT_BASE_LIMITS_H
#define FAIRSLOT_BASE_LIMITS_H

/* -- names ------------------------------------------------------------------------------------ */
#define POOL_ID_MAX      63 /* bytes of [a-z0-9-]: a DNS label, so it fits everywhere */
#define SLOT_DESK_MAX    24 /* bytes of a desk's slug inside a slot id */
#define POOL_TEXT_MAX    200 /* bytes of display_name, office, service, time_zone, each */
#define CLASS_MAX        63 /* bytes of a service class */
#define PAGE_TOKEN_MAX   128 /* bytes of an opaque page token */
#define ETAG_MAX         32 /* bytes of an etag */

/* -- one call ---------------------------------------------------------------------------------- */
#define MESSAGE_MAX      (64 * 1024)   /* bytes of one request; more is RESOURCE_EXHAUSTED */
#define ANSWER_MAX       (512 * 1024)  /* bytes of one answer: 1,000 slots need about 120 KiB */
#define CALL_ARENA_MAX   (2 * 1024 * 1024) /* bytes a call may take: 64 KiB of slots need 1.4 MB,
                                              of empty items 5.5 MB */
#define TOKEN_MAX        (8 * 1024)    /* bytes of a bearer token */
#define DEADLINE_MS      10000         /* when the client sends none */
#define DEADLINE_MS_MAX  60000         /* longer ones are cut to this */

/* -- one page, one command --------------------------------------------------------------------- */
#define PAGE_SIZE        50
#define PAGE_SIZE_MAX    1000
#define EVENTS_PAGE_MAX  250  /* of ListEvents */
#define EVENTS_KEPT_US   (7 * DAY_US) /* of log time: then EventService forgets */
#define TICKET_POLL_US INT64_C(1000000) /* between two fresh answers to GetTicket, over time */
#define SLOTS_PER_CREATE 10000 /* of BatchCreateSlots; the 64 KiB message comes first in practice */
#define SLOTS_PER_HOLD   8     /* neighbours in one hold */
#define SLOTS_PER_BLOCK  256   /* of BlockSlots and UnblockSlots: what one command may touch */
#define NOTE_MAX         200   /* bytes of an operator's reason */
#define WATCHERS_MAX     4096  /* WatchSlots streams of a gateway: they hold calls for hours */
#define WATCHERS_PER_IDENTITY 8
#define WATCH_POOLS_MAX  32    /* pools watched at a gateway; each is up to 11 reads a second */
#define WATCH_SLOTS_MAX  10000 /* coming slots of a watched pool: 1 MB an edition */
#define FEED_NEWS_MAX    2048  /* identities, and releases, in one answer to a call for news */
#define FEED_KEPT        65536 /* news that a shard remembers; a power of two */
#define FEED_PARKED_MAX  16    /* calls for news that wait at a shard: one a gateway */
#define FOLLOWERS_MAX    16384 /* WatchTicket streams of a loop */
#define FOLLOWS_PER_IDENTITY 8 /* of them on one loop */
#define EVENT_STREAMS_MAX 1024   /* WatchEvents streams of a loop */
#define EVENT_STREAMS_PER_IDENTITY 8 /* of them on one loop */
#define EXPORTS_MAX      16    /* ExportRelease streams of a loop */
#define EXPORTS_PER_IDENTITY 2 /* of them on one loop */
#define COINS_MAX        64    /* pools of a shard whose slots return by the coin */
#define COIN_RANDOM      32    /* bytes of one throw */
#define RESTOCKS_MAX     16    /* pools of a shard being restocked at once, one step a round each */
#define ERASURES_MAX     16    /* identities of a shard being erased at once */

/* -- one release ------------------------------------------------------------------------------- */
#define RELEASE_ID_MAX       63      /* bytes, as a pool's */
#define RELEASE_TRUSTEES_MAX 5
#define RELEASE_KEY_MAX      560     /* bytes of a trustee's public key: RSA of 4,096 bits */
#define RELEASE_PART_MAX     512     /* bytes of a part: a signature of 4,096 bits */
#define RELEASE_BEACON_MAX   128     /* bytes of the words that name the beacon */
#define RELEASE_SLOTS_MAX    1048576 /* slots of one release */
#define RELEASES_OPEN_MAX    256     /* releases of a shard that have not ended */
#define TICKET_WISHES_MAX    8
#define TICKETS_PER_IDENTITY 8       /* live tickets in one service class */

/* -- one identity in one service class --------------------------------------------------------- */
#define LIVE_PER_IDENTITY_MAX     16     /* highest max_live_per_identity a pool may set */
#define ENDED_PER_IDENTITY        4      /* ended items in the account; older ones lie beside it */
#define REQUESTS_PER_IDENTITY_DAY 100000 /* remembered request ids in 24 h of log time */

/* -- batches between gateway and shard --------------------------------------------------------- */
#define BATCH_ITEMS_MAX  256
#define BATCH_BYTES      (64 * 1024)   /* a batch is closed when it passes this */
#define BATCH_BYTES_MAX  (1024 * 1024) /* hard limit of an nng message, both ways */
#define RPC_CONTEXTS     128           /* REP contexts of a node: batches in the house at once */
#define RPC_CLIENT_CONTEXTS 8          /* REQ contexts of a gateway to one shard replica */
#define ROUND_ITEMS_MAX  4096          /* commands in one log entry */
#define MAP_RANGES_MAX   256           /* ranges of routing keys that gateways route by */

/* -- the wire: one HTTP/2 connection ----------------------------------------------------------- */
#define WIRE_TEXT_MAX         1024 /* bytes of a grpc-message before percent-encoding */
#define WIRE_DETAILS_MAX      4096 /* bytes of a packed google.rpc.Status: clients take 8 KiB */
#define WIRE_ASSEMBLY_MAX     (4 * 1024 * 1024) /* bytes of messages come in part, all calls */
#define WIRE_QUEUED_BYTES_MAX (8 * 1024 * 1024) /* bytes of answers not read yet, all calls */
/* A frame costs one, more by its KiB, DATA of some size nothing.  Work pays for them, so a real
 * client earns more than it spends and a flood ends after the burst; time pays a little. */
#define WIRE_FRAMES_BURST       10000
#define WIRE_FRAMES_PER_S       10   /* for keepalive on a connection that is idle for days */
#define WIRE_FRAMES_PER_CALL    16   /* earned by opening a call */
#define WIRE_FRAMES_PER_MESSAGE 2    /* earned by a whole message */
#define WIRE_FRAMES_PER_DATA    4    /* earned by DATA of ours: WINDOW_UPDATE and PING follow; not
                                      * by a little that only a tiny window parted from the rest */
#define WIRE_FRAME_SMALL        1024 /* bytes of DATA payload that come free */
#define WIRE_HEADERS_FRAMES     100  /* what a too large header list costs */
#define WIRE_PING_STRIKES     2   /* pings of a peer that may come too early */
#define WIRE_RESETS_BURST     200 /* streams that we had to reset; a finished call earns one */
#define WIRE_RESETS_PER_S     1   /* ... and so does a second */
#define WIRE_SPARE_CALLS      32  /* call objects kept for reuse while calls are live */
#define WIRE_SPARE_CALLS_IDLE 1 /* ... and while none is */

/* -- the wire: one HTTP/1.1 connection --------------------------------------------------------- */
#define WIRE_H1_LINE_MAX  (16 * 1024)  /* bytes of a request line: GET carries a message there */
#define WIRE_H1_LINES_MAX 101          /* request line and headers */
#define WIRE_H1_PIPE_MAX  (64 * 1024)  /* bytes of pipelined requests kept */
#define WIRE_H1_REST_MAX  (1024 * 1024) /* bytes of a body passed over, so that the refusal of it
                                           can be read; also of chunk extensions and trailers */

/* -- the gateway ------------------------------------------------------------------------------- */
#define LOOPS_MAX             64    /* threads of a gateway that meet clients */
#define CONNECTIONS_MAX       16000 /* descriptors are the scarce thing: 20,000 minus a reserve */
#define ADMIN_CONNECTIONS_MAX 256     /* by the operators' listener, besides */
#define STREAMS_PER_CONNECTION 1024 /* HTTP/2 MAX_CONCURRENT_STREAMS */
#define CALLS_MAX             65536 /* live calls over all connections of a gateway */
#define MEMORY_BYTES          ((size_t)1 << 30) /* that connections and calls may hold, all loops:
                                      16,000 idle ones need 470 MB; gateway.memory */
#define MUTES_MAX             (CALLS_MAX / 4) /* calls of a loop whose message has not come */
#define MUTES_PER_CONNECTION  64    /* ... of one connection, once there are so many */
#define UNREAD_MS             10000 /* for an answer that its client leaves unread */
#define UNREAD_PROGRESS       16384 /* bytes of it that give the same time again */
#define WAITING_PER_IDENTITY  256   /* calls of one identity in the fair queue: a page that asks for
                                       everything at once is no flood; 1 in 256 of CALLS_MAX */
#define BRAKE_SLOTS           4096  /* identities remembered that sent more than fits */
#define TOKEN_CACHE_MAX       200000 /* verified tokens remembered; the oldest goes first */
#define TOKEN_CACHE_S         300   /* seconds a verified token is believed, exp permitting */
#define VERIFY_PENDING_MAX    8192  /* signatures waiting to be checked: about half a second of
                                       one core */
#define VERIFY_RUNNING_MAX    4     /* of them with a worker at a time, for each loop */
#define VERIFY_PARKED_MAX     256   /* tokens that wait for their issuer's keys */
#define ISSUERS_MAX           16    /* configured issuers; each token's is found by a walk */
#define ISSUER_WORDS_MAX      32    /* audiences, claim values and the like of one issuer, each */
#define ISSUER_KEYS_MAX       32    /* keys of an issuer's JWKS; a rotation has two or three */
#define FETCH_TIME_MS         10000 /* for an issuer's answer, from connecting to its last byte */
#define REFRESH_MIN_S         30    /* no issuer is asked oftener on a schedule */
#define REFRESH_START_MS      3000  /* the start waits that long for issuers to answer */
#define JWKS_BYTES_MAX        (256 * 1024) /* bytes of a JWKS, file or answer */

/* -- operations -------------------------------------------------------------------------------- */
#define OPS_CONNS_MAX  16   /* connections of the operations listener: scrapers and probes */
#define PAGE_BYTES_MAX 8192 /* of one request for one of its pages */

/* -- configuration ----------------------------------------------------------------------------- */
#define CONFIG_FILE_BYTES_MAX (4 * 1024 * 1024) /* bytes of one file */
#define CONFIG_LINE_MAX       4096   /* bytes of one line */
#define CONFIG_DROP_INS_MAX   256    /* files in FILE.d */
#define CONFIG_MISTAKES_MAX   100    /* told one by one; then reading stops */
#define CONFIG_LIST_MAX       256    /* words in one list */
#define CONFIG_ARENA_MAX      (8 * 1024 * 1024) /* bytes of all values */

#endif
