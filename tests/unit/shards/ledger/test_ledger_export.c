/* SPDX-License-Identifier: MIT */
/* Goal: the bundle that comes piece by piece is as of one instant, and holds: what the ledger gave
 * is what the verifier makes of it, late cohorts and standby included.
 *   every state of a release: refused before it is served, a bundle from then on until it is swept
 *   random crowds, exported while they go on and at the end: verified, and the same bytes whether
 *   or not something happens between two pieces
 *   releases of older rules: no journal, and nothing before their end */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "draw/bundle.h"
#include "ledger/ledger_release.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define POOL   "city"
#define PEOPLE 400
#define SLOTS  60

static const uint8_t secret[RELEASE_SECRET] = {4, 5, 6};
static struct release_policy policy;
static struct release_words words;
static struct ticket_wish wishes[TICKET_WISHES_MAX];

static void raise_to(struct kit *k, uint32_t version)
{
    struct command c = {.kind = COMMAND_RAISE, .version = version};
    EQ(kit_apply(k, &c), REASON_OK);
}

static void open_pool(struct kit *k, uint32_t version)
{
    struct pool_view p = kit_policy(POOL, POOL);
    kit_init(k);
    raise_to(k, version);
    p.scarce = true;
    p.max_live = 1;
    EQ(kit_pool_of(k, &p), REASON_OK);
    EQ(kit_slots(k, POOL, 0, SLOTS), REASON_OK);
}

static void settle(struct kit *k)
{
    for (int i = 0; i < 2000 && kit_expire(k) > 0; i++) {
    }
}

static int ask(struct kit *k, enum command_kind kind, unsigned person, struct release_words w)
{
    struct command c = kit_command(k, kind, POOL, person);
    words = w;
    words.id = span_of("r");
    c.release = &words;
    c.roles = person == 9999 ? ROLE_OPERATOR : 0;
    return kit_apply(k, &c);
}

static int change(struct kit *k, enum release_action action)
{
    return ask(k, COMMAND_CHANGE_RELEASE, 9999, (struct release_words){.action = action});
}

static void announce(struct kit *k, enum release_serving serving)
{
    policy = (struct release_policy){.serving = serving,
                                     .entry_open_us = k->now_us,
                                     .entry_close_us = k->now_us + 60 * SECOND_US,
                                     .turn_us = 90 * SECOND_US,
                                     .cohort_us = 5 * SECOND_US,
                                     .slots_from_us = KIT_START,
                                     .slots_to_us = KIT_START + 30 * DAY_US};
    EQ(ask(k, COMMAND_CREATE_RELEASE, 9999,
           (struct release_words){.policy = &policy, .secret = {secret, sizeof secret}}),
       REASON_OK);
}

static int ticket(struct kit *k, enum command_kind kind, unsigned person, struct prng *p)
{
    size_t count = kind == COMMAND_CREATE_TICKET ? 2 : 0;
    bool is_by_turn = policy.serving == RELEASE_BY_TURN;
    for (size_t i = 0; i < count; i++) {
        wishes[i] = (struct ticket_wish){.kind = prng_below(p, 4) ? WISH_SLOT : WISH_ANY};
        wishes[i].slot = kit_slot((unsigned)prng_below(p, SLOTS));
    }
    struct release_words w = {.wishes = wishes, .wishes_count = count};
    w.slot_count = count == 0 ? 0 : !is_by_turn && prng_below(p, 5) == 0 ? 2 : 1;
    return ask(k, kind, person, w);
}

/* -- the bundle -------------------------------------------------------------------------------- */

static const char *const names[] = {"manifest", "slots", "signatures", "tickets",
                                    "late", "returns", "parts", "outcome"};
enum { LATE = 4, RETURNS = 5, FILES = 8 };

struct files {
    uint8_t *at[FILES];
    size_t len[FILES];
    struct draw_hash manifest, root;
    uint64_t count;
};

static void files_fini(struct files *f)
{
    for (int i = 0; i < FILES; i++) {
        free(f->at[i]);
    }
}

static void files_add(struct files *f, int i, struct span bytes)
{
    f->at[i] = realloc(f->at[i], f->len[i] + bytes.len + 1);
    if (bytes.len) {
        memcpy(f->at[i] + f->len[i], bytes.ptr, bytes.len);
    }
    f->len[i] += bytes.len;
}

static struct span files_span(const struct files *f, int i)
{
    return (struct span){f->at[i], f->len[i]};
}

/* One piece behind `token`; *ret_file is its file.  A reason. */
static int piece(struct kit *k, struct files *f, char token[PAGE_TOKEN_MAX + 1], int *ret_file)
{
    struct command c = kit_command(k, COMMAND_EXPORT_RELEASE, POOL, 9999);
    struct draw_hash hashes[2];
    draw_hash_bytes(files_span(f, LATE), &hashes[0]);
    draw_hash_bytes(files_span(f, RETURNS), &hashes[1]);
    words = (struct release_words){.id = span_of("r"),
                                   .bytes = {hashes[0].bytes, f->at[RETURNS] ? 64 : 32}};
    c.roles = ROLE_OPERATOR;
    c.release = &words;
    c.page_token = span_of(token);
    int r = kit_apply(k, &c);
    if (r != REASON_OK) {
        return r;
    }
    *ret_file = 0;
    while (strcmp(names[*ret_file], k->v.piece->file) != 0) {
        ++*ret_file;
    }
    files_add(f, *ret_file, k->v.piece->bytes);
    if (k->v.releases_count > 0) {
        memcpy(f->manifest.bytes, k->v.releases->manifest_hash, 32);
        memcpy(f->root.bytes, k->v.releases->ticket_root, 32);
        f->count = k->v.releases->tickets_count;
    }
    snprintf(token, PAGE_TOKEN_MAX + 1, "%.*s", (int)k->v.next_page_token.len,
             (const char *)k->v.next_page_token.ptr);
    return REASON_OK;
}

static void hex(struct files *f, const char *key, const uint8_t *bytes, size_t n)
{
    char text[160];
    int len = snprintf(text, sizeof text, "%s: ", key);
    for (size_t i = 0; i < n; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, "%02x", bytes[i]);
    }
    text[len++] = '\n';
    files_add(f, 2, (struct span){(uint8_t *)text, (size_t)len});
}

/* What the node makes of what the ledger hands it. */
static void sign(struct files *f)
{
    static const uint8_t seed[32] = {9};
    uint8_t key[32], private[64], message[DRAW_SIGNED_MAX], signature[64];
    crypto_sign_seed_keypair(key, private, seed);
    hex(f, "operator-key", key, sizeof key);
    size_t n = draw_signed_manifest(&f->manifest, message);
    crypto_sign_detached(signature, NULL, message, n, private);
    hex(f, "manifest", signature, sizeof signature);
    n = draw_signed_root(&f->manifest, &f->root, f->count, message);
    crypto_sign_detached(signature, NULL, message, n, private);
    hex(f, "root", signature, sizeof signature);
}

static struct draw_summary verify(const struct files *f)
{
    struct draw_bundle b = {.manifest = files_span(f, 0), .slots = files_span(f, 1),
                            .signatures = files_span(f, 2), .tickets = files_span(f, 3),
                            .late = files_span(f, LATE), .returns = files_span(f, RETURNS),
                            .parts = files_span(f, 6), .outcome = files_span(f, 7),
                            .has_returns = true};
    struct draw_summary summary;
    struct draw_finding finding = {.file = "memory"};
    if (draw_bundle_verify(&b, &summary, &finding) != 0) {
        printf("# %s:%lu: %s\n", finding.file, finding.line, finding.what);
        printf("# returns:\n%.*s", (int)(f->len[RETURNS] % 4000), (char *)f->at[RETURNS]);
        OK(false);
    }
    return summary;
}

/* -- crowds ------------------------------------------------------------------------------------ */

/* The person does something with what the ticket came to. */
static void act(struct kit *k, struct prng *p, unsigned person)
{
    if (ask(k, COMMAND_GET_TICKET, person, (struct release_words){0}) != REASON_OK) {
        return;
    }
    const struct ticket_view *t = k->v.ticket;
    bool is_reservation = t->reservation != 0;
    uint64_t id[2] = {t->hold_owner, t->hold_number}, what = prng_below(p, 10);
    if (t->state == TICKET_TURN) {
        struct slot_key slot = kit_slot((unsigned)prng_below(p, SLOTS));
        struct command c = kit_command(k, COMMAND_CREATE_HOLD, POOL, person);
        words = (struct release_words){.id = span_of("r")};
        c.release = &words;
        c.slots = &slot;
        c.slots_count = 1;
        OK(kit_apply(k, &c) >= 0);
    } else if (id[1] != 0) {
        OK(kit_change(k, is_reservation ? COMMAND_CANCEL_RESERVATION
                         : what < 4     ? COMMAND_CONFIRM_HOLD
                                        : COMMAND_DROP_HOLD,
                      POOL, person, id) >= 0);
    }
}

static void disturb(struct kit *k, struct prng *p)
{
    unsigned person = (unsigned)prng_below(p, PEOPLE);
    uint64_t what = prng_below(p, 100);
    if (what < 40) {
        act(k, p, person);
    } else if (what < 60) {
        OK(ticket(k, COMMAND_CREATE_TICKET, person, p) >= 0);
    } else if (what < 66) {
        OK(ticket(k, COMMAND_DELETE_TICKET, person, p) >= 0);
    } else if (what < 70) {
        OK(change(k, what < 68 ? RELEASE_ACTION_PAUSE : RELEASE_ACTION_RESUME) >= 0);
    } else if (what < 75) {
        k->now_us += (int64_t)prng_below(p, 20) * SECOND_US;
    } else if (what == 75) {
        char hex[33];
        struct command c = kit_erasure(k, person, hex);
        OK(kit_apply(k, &c) >= 0);
    } else if (what < 99) {
        kit_expire(k); /* one only: people come between the steps of a pass */
    } else {
        EQ(kit_reopen(k), 0);
    }
}

/* Whole, with `between` things that happen between two pieces. */
static void export_all(struct kit *k, struct files *f, struct prng *p, int between)
{
    char token[PAGE_TOKEN_MAX + 1] = "";
    int file = 0;
    memset(f, 0, sizeof *f);
    do {
        int r = piece(k, f, token, &file);
        EQ(r, REASON_OK);
        if (r != REASON_OK) {
            return;
        }
        for (int i = 0; i < between; i++) {
            disturb(k, p);
        }
    } while (token[0]);
    EQ(file, FILES - 1);
    sign(f);
}

static void same(const struct files *a, const struct files *b)
{
    for (int i = 0; i < FILES; i++) {
        EQ(a->len[i], b->len[i]);
        OK(a->len[i] == b->len[i] && memcmp(a->at[i], b->at[i], a->len[i]) == 0);
    }
}

/* Two exports that begin at one instant, one with a busy city between its pieces. */
static void export_amid(struct kit *k, struct prng *p, struct draw_summary *ret_summary)
{
    struct files quiet, busy;
    export_all(k, &quiet, p, 0);
    *ret_summary = verify(&quiet);
    EQ(ret_summary->is_open, policy.serving == RELEASE_BY_PREFERENCE);
    export_all(k, &busy, p, 25);
    same(&quiet, &busy);
    files_fini(&quiet);
    files_fini(&busy);
}

static void crowd(enum release_serving serving, uint64_t seed, struct draw_summary *ret_summary)
{
    struct kit k;
    struct prng p;
    struct files f;
    prng_init(&p, seed);
    open_pool(&k, LEDGER_VERSION);
    announce(&k, serving);
    settle(&k);
    for (int i = 0; i < 300; i++) {
        OK(ticket(&k, prng_below(&p, 8) ? COMMAND_CREATE_TICKET : COMMAND_DELETE_TICKET,
                  (unsigned)prng_below(&p, PEOPLE), &p) >= 0);
    }
    k.now_us += 61 * SECOND_US;
    for (int i = 0; i < 20; i++) {
        kit_expire(&k); /* served in part at least */
    }
    for (int i = 0; i < 2000; i++) {
        disturb(&k, &p);
        if (i % 331 == 330) {
            struct draw_summary amid;
            export_amid(&k, &p, &amid);
        }
    }
    if (prng_below(&p, 2)) {
        OK(change(&k, RELEASE_ACTION_RESUME) >= 0);
        settle(&k);
    }
    EQ(change(&k, RELEASE_ACTION_CLOSE), REASON_OK);
    export_all(&k, &f, &p, 0);
    verify(&f);
    files_fini(&f);
    settle(&k);
    export_all(&k, &f, &p, 5);
    *ret_summary = verify(&f);
    OK(!ret_summary->is_open);
    files_fini(&f);
    kit_fini(&k);
}

static void test_crowds_by_preference(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct draw_summary s = {.returned = 0};
        crowd(RELEASE_BY_PREFERENCE, seed, &s);
        printf("# seed %d: %u late, %u came back, %u out of standby\n", (int)seed, s.late,
               s.returned, s.standby);
        OK(s.is_journaled && s.late > 20 && s.returned > 20 && s.standby > 5);
    }
}

static void test_crowds_by_turn(void)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct draw_summary s = {.returned = 0};
        crowd(RELEASE_BY_TURN, 100 + seed, &s);
        OK(!s.is_journaled && s.late > 20 && s.winners > 20);
    }
}

/* -- states ------------------------------------------------------------------------------------ */

static enum ledger_phase phase(struct kit *k)
{
    struct ledger_release r;
    uint64_t space = ledger_release_space(span_of(POOL), span_of("r"));
    return ledger_release_load(k->l, space, &r) == 0 ? r.phase : 0;
}

/* What an export says in the state that the release is in. */
static void look(struct kit *k, unsigned *seen)
{
    struct files f = {.count = 0};
    char token[PAGE_TOKEN_MAX + 1] = "";
    int file;
    bool is_served = phase(k) >= PHASE_SERVING && phase(k) <= PHASE_CLOSED;
    *seen |= 1u << phase(k);
    if (is_served) {
        export_all(k, &f, NULL, 0);
        verify(&f);
    } else {
        EQ(piece(k, &f, token, &file), REASON_RELEASE_STATE);
        EQ(k->v.retry_ms > 0, phase(k) < PHASE_SERVING);
    }
    files_fini(&f);
}

static void test_every_state(void)
{
    struct kit k;
    struct prng p;
    struct files first, f;
    unsigned seen = 0;
    char token[PAGE_TOKEN_MAX + 1] = "";
    int file;
    prng_init(&p, 3);
    open_pool(&k, LEDGER_VERSION);
    memset(&f, 0, sizeof f);
    EQ(piece(&k, &f, token, &file), REASON_RELEASE_UNKNOWN);
    announce(&k, RELEASE_BY_PREFERENCE);
    for (look(&k, &seen); kit_expire(&k) > 0;) {
        look(&k, &seen);
    }
    for (unsigned i = 0; i < PEOPLE; i++) {
        EQ(ticket(&k, COMMAND_CREATE_TICKET, i, &p), REASON_OK);
    }
    k.now_us += 60 * SECOND_US;
    while (kit_expire(&k) > 0) {
        look(&k, &seen);
    }
    EQ(change(&k, RELEASE_ACTION_CLOSE), REASON_OK);
    for (look(&k, &seen); phase(&k) != PHASE_CLOSED && kit_expire(&k) > 0;) {
        look(&k, &seen);
    }
    EQ(seen, (1u << (PHASE_CLOSED + 1)) - (1u << PHASE_LISTING)); /* every one of them */
    export_all(&k, &first, NULL, 0);
    k.now_us += POOL_APPEAL_US; /* burned: the same bundle */
    settle(&k);
    export_all(&k, &f, NULL, 0);
    same(&first, &f);
    files_fini(&first);
    files_fini(&f);
    k.now_us += 365 * DAY_US;
    settle(&k);
    memset(&f, 0, sizeof f);
    EQ(piece(&k, &f, token, &file), REASON_RELEASE_UNKNOWN);
    kit_fini(&k);
}

static void test_cancelled_and_first_come(void)
{
    struct kit k;
    unsigned seen = 0;
    open_pool(&k, LEDGER_VERSION);
    announce(&k, RELEASE_BY_PREFERENCE);
    settle(&k);
    EQ(change(&k, RELEASE_ACTION_CANCEL), REASON_OK);
    look(&k, &seen);
    EQ(seen, 1u << PHASE_CANCELLED);
    kit_fini(&k);
    struct files f = {.count = 0};
    char token[PAGE_TOKEN_MAX + 1] = "";
    int file;
    open_pool(&k, LEDGER_VERSION);
    announce(&k, RELEASE_FIRST_COME);
    settle(&k);
    EQ(phase(&k), PHASE_SERVING);
    EQ(piece(&k, &f, token, &file), REASON_RELEASE_STATE); /* nothing was drawn */
    kit_fini(&k);
}

/* -- refusals ---------------------------------------------------------------------------------- */

/* A release that is served and open, by these rules. */
static void served(struct kit *k, uint32_t version)
{
    struct prng p;
    prng_init(&p, 8);
    open_pool(k, version);
    announce(k, RELEASE_BY_PREFERENCE);
    settle(k);
    for (unsigned i = 0; i < 100; i++) {
        EQ(ticket(k, COMMAND_CREATE_TICKET, i, &p), REASON_OK);
    }
    k->now_us += 60 * SECOND_US;
    settle(k);
    for (unsigned i = 0; i < 30; i++) {
        act(k, &p, i);
    }
    settle(k);
}

static void test_rules_of_before(void)
{
    struct kit k;
    struct files f = {.count = 0};
    char token[PAGE_TOKEN_MAX + 1] = "";
    int file;
    served(&k, 4);
    raise_to(&k, LEDGER_VERSION); /* the release keeps its rules */
    EQ(piece(&k, &f, token, &file), REASON_RELEASE_STATE);
    EQ(change(&k, RELEASE_ACTION_CLOSE), REASON_OK);
    settle(&k);
    export_all(&k, &f, NULL, 0);
    struct draw_summary s = verify(&f);
    OK(!s.is_journaled && s.returned == 0);
    OK(span_equal(files_span(&f, RETURNS), span_of("journal: none\n")));
    files_fini(&f);
    kit_fini(&k);
}

static void test_refusals(void)
{
    struct kit k;
    struct files f = {.count = 0};
    char token[PAGE_TOKEN_MAX + 1] = "";
    int file = 0;
    served(&k, LEDGER_VERSION);
    EQ(ask(&k, COMMAND_EXPORT_RELEASE, 1, (struct release_words){0}), REASON_ROLE_MISSING);
    strcpy(token, "bm9uZSBvZiBvdXJz");
    EQ(piece(&k, &f, token, &file), REASON_PAGE_TOKEN_INVALID);
    token[0] = 0;
    while (file != RETURNS) {
        EQ(piece(&k, &f, token, &file), REASON_OK);
    }
    free(f.at[RETURNS]);
    f.at[RETURNS] = NULL; /* a gateway of before brings the hash of late alone */
    f.len[RETURNS] = 0;
    EQ(piece(&k, &f, token, &file), REASON_METHOD_PLANNED);
    files_fini(&f);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_every_state);
    TAP_RUN(test_cancelled_and_first_come);
    TAP_RUN(test_rules_of_before);
    TAP_RUN(test_refusals);
    TAP_RUN(test_crowds_by_preference);
    TAP_RUN(test_crowds_by_turn);
    return tap_done();
}
