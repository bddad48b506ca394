/* SPDX-License-Identifier: MIT */
/* How long one command keeps the writer: the ledger over the real store, its flusher at work.
 *   bench_commands DIR [SLOTS TICKETS RULES]   default 200000 20000, the newest rules; DIR is left
 * A release's day and what mass work there is beside it: one JSON line, for each kind of command
 * (a release's step by its phase) how many, each one's time in their order, the median and the
 * longest, in microseconds of the writer's own processor time.
 * A command that others wait for must do no more than 256 items or 2 ms; tests/figures rounds
 * prints it.  Not a test: nothing here can fail but the machine. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/prng.h"
#include "ledger/ledger_release.h"
#include "store/store.h"

#define BATCH     2300 /* slots: about what a message of 64 KiB holds */
#define NOW       (INT64_C(1796115600) * SECOND_US)
#define FIRST     (NOW + 30 * DAY_US)
#define DESKS     40
#define ERASED    7  /* whose requests fill more than one command */
#define WARM      400000 /* records of an overlay */
#define ROWS_MAX  64
#define TIMES_MAX 65536

struct row {
    char name[24];
    size_t count;
    int64_t *times_us;
};

struct bench {
    struct store *store;
    struct ledger *l;
    struct arena arena, due_arena;
    uint64_t index, requests;
    int64_t now_us;
    struct verdict v;
    struct row rows[ROWS_MAX];
    size_t rows_count;
};

static uint32_t slots_count = 200000, tickets_count = 20000, rules = LEDGER_VERSION;

/* -- one command ------------------------------------------------------------------------------- */

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * SECOND_US + t.tv_nsec / 1000;
}

static struct row *row_of(struct bench *b, const char *name)
{
    for (size_t i = 0; i < b->rows_count; i++) {
        if (strcmp(b->rows[i].name, name) == 0) {
            return &b->rows[i];
        }
    }
    CHECK(b->rows_count < ROWS_MAX);
    struct row *row = &b->rows[b->rows_count++];
    snprintf(row->name, sizeof row->name, "%s", name);
    row->times_us = calloc(TIMES_MAX, sizeof *row->times_us);
    CHECK(row->times_us != NULL);
    return row;
}

/* What is applied has to stand in the log: entries ahead, whatever is in them. */
static void log_ahead(struct bench *b)
{
    for (int i = 0; i < 1024; i++) {
        CHECK(store_log_append(b->store, 1, span_of("x")) == 0);
    }
    CHECK(store_log_commit(b->store) == 0);
}

/* Its reason; as an entry of its own. */
static enum reason apply(struct bench *b, const struct command *c, const char *name)
{
    struct row *row = row_of(b, name);
    bool is_read = command_is_read(c->kind);
    if (b->index == store_log_last(b->store)) {
        log_ahead(b);
    }
    arena_reset(&b->arena);
    int64_t began_us = cpu_us();
    int r = ledger_apply(b->l, c, b->index + !is_read, 0, b->now_us, &b->arena, &b->v);
    int64_t took_us = cpu_us() - began_us;
    CHECK(r == 0);
    row->times_us[row->count % TIMES_MAX] = took_us;
    row->count++;
    if (!is_read) {
        store_applied(b->store, ++b->index, 1, b->now_us);
    }
    CHECK(store_turn(b->store) == 0);
    if (store_overlay_full(b->store)) {
        CHECK(store_flush(b->store) == 0);
    }
    return b->v.reason;
}

static struct command command_of(struct bench *b, enum command_kind kind, uint32_t person)
{
    struct command c = {.kind = kind, .pool = span_of("city"), .assurance = ASSURANCE_HIGH};
    b->requests++;
    memcpy(c.identity.bytes, &person, sizeof person);
    c.identity.bytes[15] = 1;
    memcpy(c.request_id.bytes, &b->requests, sizeof b->requests);
    c.body_hash = b->requests * 7919;
    c.roles = person == UINT32_MAX ? ROLE_OPERATOR : 0;
    return c;
}

static const char *step_name(const struct bench *b, uint64_t space)
{
    static const char *const names[] = {
        [PHASE_LISTING] = "step listing", [PHASE_ANNOUNCED] = "step announced",
        [PHASE_ENTRY] = "step entry", [PHASE_SEALING] = "step sealing",
        [PHASE_SEALED] = "step sealed", [PHASE_RANKING] = "step ranking",
        [PHASE_SERVING] = "step serving", [PHASE_STANDBY] = "step standby",
        [PHASE_CLOSING] = "step closing"};
    const struct ledger_open *o = ledger_open_find(b->l, space);
    return o ? names[o->phase] : "step of none";
}

static const char *due_name(const struct bench *b, const struct command *c)
{
    switch (c->kind) {
    case COMMAND_STEP_RELEASE:
        return step_name(b, c->owner);
    case COMMAND_RESTOCK_STEP:
        return "step of a restock";
    case COMMAND_ERASE_STEP:
        return "step of an erasure";
    case COMMAND_END_RELEASE:
        return "step of an end";
    default:
        return "expire, lapse, raise";
    }
}

/* Whatever is due. */
static void settle(struct bench *b)
{
    struct command due[64];
    size_t n;
    do {
        arena_reset(&b->due_arena);
        n = ledger_due(b->l, b->now_us, &b->due_arena, due, 64);
        for (size_t i = 0; i < n; i++) {
            apply(b, &due[i], due_name(b, &due[i]));
        }
    } while (n > 0);
}

/* The overlays get as large as they will be: their first growth costs tens of milliseconds once,
 * whatever the command. */
static void warm(struct bench *b)
{
    const struct book *book = store_book(b->store);
    uint8_t bytes[160] = {0};
    for (int pass = 0; pass < 4; pass++) {
        for (uint64_t i = 0; i < WARM; i++) {
            uint64_t seed = i;
            struct scribe w = scribe_of(bytes, 24);
            scribe_u64(&w, UINT64_MAX);
            scribe_u64(&w, prng_splitmix(&seed));
            scribe_u64(&w, i);
            struct span key = {bytes, scribe_len(&w)};
            CHECK((pass % 2 ? book->del(book->self, key)
                            : book->put(book->self, key, (struct span){bytes, 100})) == 0);
        }
        log_ahead(b);
        b->index = store_log_last(b->store);
        store_applied(b->store, b->index, 1, b->now_us);
        CHECK(store_flush(b->store) == 0);
    }
}

/* -- a day ------------------------------------------------------------------------------------- */

static void make_slots(struct bench *b)
{
    static struct new_slot made[BATCH];
    static char slugs[BATCH][8];
    struct pool_view p = {.id = span_of("city"), .service_class = span_of("city"),
                          .time_zone = span_of("UTC"), .hold_ttl_us = 600 * SECOND_US,
                          .max_live = 2, .max_slots = POOL_MAX_SLOTS, .scarce = true,
                          .max_changes = POOL_MAX_CHANGES, .appeal_us = DAY_US,
                          .return_policy = RETURN_NEXT, .return_wait_us = POOL_RETURN_WAIT_US};
    struct command c = command_of(b, COMMAND_CREATE_POOL, UINT32_MAX);
    c.new_pool = &p;
    CHECK(apply(b, &c, "create pool") == REASON_OK);
    for (uint32_t i = 0; i < slots_count;) {
        size_t n = 0;
        for (; n < BATCH && i < slots_count; n++, i++) {
            snprintf(slugs[n], sizeof slugs[n], "d%02u", i % DESKS);
            made[n] = (struct new_slot){FIRST + i / DESKS * 600 * SECOND_US, 600 * SECOND_US,
                                        span_of(slugs[n]), span_of("Desk")};
        }
        c = command_of(b, COMMAND_CREATE_SLOTS, UINT32_MAX);
        c.new_slots = made;
        c.new_slots_count = n;
        enum reason reason = apply(b, &c, "create slots");
        CHECK(reason == REASON_OK);
    }
}

static enum reason ask(struct bench *b, enum command_kind kind, uint32_t person,
                       struct release_words words, const char *name)
{
    struct command c = command_of(b, kind, person);
    words.id = span_of("r");
    c.release = &words;
    c.page_size = kind == COMMAND_GET_RESULT ? PAGE_SIZE_MAX : 0;
    return apply(b, &c, name);
}

static void open_release(struct bench *b)
{
    static const uint8_t secret[RELEASE_SECRET] = {1, 2, 3};
    struct release_policy policy = {.serving = RELEASE_BY_PREFERENCE,
                                    .entry_open_us = b->now_us,
                                    .entry_close_us = b->now_us + 3600 * SECOND_US,
                                    .accept_us = 7 * DAY_US,
                                    .slots_from_us = FIRST,
                                    .slots_to_us = FIRST + 3650 * DAY_US};
    CHECK(ask(b, COMMAND_CREATE_RELEASE, UINT32_MAX,
              (struct release_words){.policy = &policy, .secret = {secret, sizeof secret}},
              "create release") == REASON_OK);
    settle(b);
}

/* Tickets; sealed, ranked, served; every other winner confirms. */
static void serve(struct bench *b)
{
    for (uint32_t i = 0; i < tickets_count; i++) {
        CHECK(ask(b, COMMAND_CREATE_TICKET, i, (struct release_words){.slot_count = 1 + i % 3},
                  "create ticket") == REASON_OK);
    }
    b->now_us += 3601 * SECOND_US;
    settle(b);
    for (uint32_t i = 0; i < tickets_count; i += 2) {
        CHECK(ask(b, COMMAND_GET_TICKET, i, (struct release_words){.slot_count = 0},
                  "read: ticket") == REASON_OK);
        if (b->v.ticket->state == TICKET_OFFERED) {
            struct command c = command_of(b, COMMAND_CONFIRM_HOLD, i);
            c.owner = b->v.ticket->hold_owner;
            c.number = b->v.ticket->hold_number;
            CHECK(apply(b, &c, "confirm") == REASON_OK);
        }
    }
}

static void erase(struct bench *b)
{
    char hex[33];
    for (uint64_t i = 0; i < 10000; i++) {
        struct command c = command_of(b, COMMAND_DROP_HOLD, ERASED);
        c.owner = 1;
        c.number = i;
        apply(b, &c, "drop, refused");
    }
    struct command c = command_of(b, COMMAND_ERASE, UINT32_MAX), who = command_of(b, 0, ERASED);
    for (int i = 0; i < 16; i++) {
        snprintf(hex + 2 * i, 3, "%02x", who.identity.bytes[i]);
    }
    c.note = span_of(hex);
    while (apply(b, &c, "erase") != REASON_OK) {
        settle(b);
    }
}

/* The release closes; what came back is free again; its key is burned. */
static void close_and_after(struct bench *b)
{
    CHECK(ask(b, COMMAND_CHANGE_RELEASE, UINT32_MAX,
              (struct release_words){.action = RELEASE_ACTION_CLOSE}, "close") == REASON_OK);
    settle(b);
    CHECK(ask(b, COMMAND_GET_REPORT, UINT32_MAX, (struct release_words){.slot_count = 0},
              "read: report") == REASON_OK);
    CHECK(ask(b, COMMAND_GET_RESULT, 1, (struct release_words){.slot_count = 0},
              "read: result") == REASON_OK);
    struct command c = command_of(b, COMMAND_RESTOCK, UINT32_MAX);
    while (apply(b, &c, "restock") != REASON_OK) {
        settle(b);
    }
    for (int i = 0; i < 1000; i++) {
        struct command sweep = {.kind = COMMAND_SWEEP};
        apply(b, &sweep, "sweep");
    }
    c = command_of(b, COMMAND_LIST_SLOTS, 1);
    c.to_us = INT64_MAX;
    c.page_size = PAGE_SIZE_MAX;
    CHECK(apply(b, &c, "read: slots") == REASON_OK);
    b->now_us += 2 * DAY_US;
    settle(b);
}

/* -- out --------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print(struct bench *b)
{
    printf("{\"rules\": %u, \"slots\": %u, \"tickets\": %u, \"commands\": {", rules, slots_count,
           tickets_count);
    for (size_t i = 0; i < b->rows_count; i++) {
        struct row *row = &b->rows[i];
        size_t n = row->count < TIMES_MAX ? row->count : TIMES_MAX;
        printf("%s\"%s\": {\"count\": %zu, \"times_us\": [", i ? ", " : "", row->name, row->count);
        for (size_t k = 0; k < n; k++) {
            printf("%s%lld", k ? "," : "", (long long)row->times_us[k]);
        }
        qsort(row->times_us, n, sizeof *row->times_us, by_time);
        printf("], \"p50_us\": %lld, \"max_us\": %lld}", (long long)row->times_us[n / 2],
               (long long)row->times_us[n - 1]);
        free(row->times_us);
    }
    printf("}}\n");
}

int main(int argc, char **argv)
{
    static struct bench b;
    char text[200];
    CHECK(argc > 1);
    slots_count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : slots_count;
    tickets_count = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : tickets_count;
    rules = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : rules;
    struct store_options options = {.dir = argv[1], .flush_interval_us = SECOND_US / 4};
    CHECK(store_open(&options, &b.store, text) == 0);
    b.now_us = NOW;
    warm(&b);
    CHECK(ledger_new(store_book(b.store), &b.l) == 0);
    arena_init(&b.arena, 64 << 20);
    arena_init(&b.due_arena, 1 << 20);
    struct command raise = {.kind = COMMAND_RAISE, .version = rules};
    apply(&b, &raise, "expire, lapse, raise");
    make_slots(&b);
    settle(&b);
    open_release(&b);
    serve(&b);
    erase(&b);
    close_and_after(&b);
    print(&b);
    ledger_free(b.l);
    store_close(b.store);
    arena_fini(&b.arena);
    arena_fini(&b.due_arena);
    return 0;
}
