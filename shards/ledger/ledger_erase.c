/* SPDX-License-Identifier: MIT */
/* Erasure of an identity: an operator's command, after which no record says anything of it.
 *
 *   RELEASES  its ticket in every known release -> withdrawn, where that still changes something;
 *             then nobody's, as when a key is burned: the leaf stays, so every release verifies
 *   CLASSES   in each of its service classes: live holds and reservations -> given back, their
 *             slots *returned*, or to the standby of their open release; account, ended items,
 *             remembered verdicts, its place in the index -> gone
 *   VERDICTS  what is remembered of it as an operator -> gone
 *
 *   ERASE -> first part -> the end: done, answered, remembered
 *                      \-> a job in the state {who asked, request, stage, cursor}
 *   ERASE_STEP (the shard itself, each round) -> next part -> ... -> the end: the job goes, and its
 *                      verdict is remembered under the request that began it
 *
 * A part costs at most ERASE_COST records, so somebody with thousands of them delays no round.
 * Until the job is done its ERASE is told ERASE_RUNNING, which is not remembered, and so is every
 * mutation of the identity itself: what its cursor has passed stays empty.  Reads see what is left.
 * A release whose set of tickets is sealed and not served yet ends the job, because nobody steps
 * out of a draw half way: the answer is ERASE_RUNNING then too, and the same request begins again.
 * The identity may come back: it begins anew.
 * Rules before version 5 had no job: one command visited every release, records went ERASE_COST a
 * command, and what was left was the cursor.  They do so still, for their logs.
 * Owns: the list of jobs in struct ledger, derived from the book.  Fails by the book. */
#include <errno.h>

#include "ledger/ledger_memory.h"
#include "ledger/ledger_release.h"

#define ERASE_COST         256 /* records that one command looks at or changes */
#define ERASE_COST_RELEASE 2   /* to look for a ticket */
#define ERASE_COST_TICKET  4   /* to make it nobody's */
#define ERASE_COST_CLASS   4   /* account, its place in the index, and finding them */

/* Stand in the state. */
enum erase_stage { ERASE_RELEASES = 1, ERASE_CLASSES = 2, ERASE_VERDICTS = 3 };

/* An erasure under way. */
struct erase_job {
    struct identity asker;
    struct request_id request;
    uint64_t body_hash;
    enum erase_stage stage;
    struct ledger_class done;  /* the last class of which nothing is left */
    struct ledger_key cursor;  /* the last record that was looked at; len 0: none yet */
};

/* More than 0 of what works here. */
enum {
    ERASE_MORE = 1,  /* the command has done enough */
    ERASE_WAITS = 2, /* for a release */
};

struct erase {
    struct ledger_step step; /* as if the identity asked */
    struct command as;
    size_t left;             /* of ERASE_COST */
    struct ledger_account account;
};

static void erase_spend(struct erase *e, size_t cost)
{
    e->left -= cost < e->left ? cost : e->left;
}

/* True when it must wait for the next command; else the cost is spent.  A first one always fits. */
static bool erase_is_spent(struct erase *e, size_t cost)
{
    if (e->left < cost && e->left < ERASE_COST) {
        return true;
    }
    erase_spend(e, cost);
    return false;
}

/* -- what is live ------------------------------------------------------------------------------ */

/* An account has few live items, so they go in one step with it: none is given back twice. */
static int erase_items(struct erase *e, struct routing_key at)
{
    struct ledger_step *s = &e->step;
    struct ledger_account *account = &e->account;
    for (size_t i = 0; i < account->items_count; i++) {
        struct ledger_item *item = &account->items[i];
        const struct ledger_pool *pool;
        struct ledger_owned owned = {NULL, at.position, item};
        if (!ledger_item_is_live(item, s->now_us)) {
            continue;
        }
        int r = ledger_pool_find(s->l, item->pool, &pool);
        owned.pool = pool;
        r = r ? r : ledger_hold_give_back(s, &owned);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
        /* What was put has ended every span: read again, and look behind this one. */
        r = ledger_account_load(s, at, account);
        if (r) {
            return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
        }
    }
    return 0;
}

/* Its ticket in one release. 0, ERASE_WAITS, < 0. */
static int erase_ticket(struct erase *e, uint64_t space)
{
    struct ledger_step *s = &e->step;
    struct ledger_release release;
    struct ledger_ticket ticket;
    struct ticket_id id;
    int r = ledger_release_load(s->l, space, &release);
    if (r || release.is_burned) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    ledger_ticket_id(s->l, &release, &e->as.identity, &id);
    r = ledger_ticket_load(s, space, &id, &ticket);
    if (r || ticket.is_burned) {
        return r == LEDGER_NONE ? 0 : err_trace(r);
    }
    erase_spend(e, ERASE_COST_TICKET);
    if (!ledger_release_is_over(&release)) {
        r = ledger_ticket_leave(s, &release, &id);
    }
    if (r) {
        return r < 0 ? err_trace(r) : ERASE_WAITS;
    }
    return err_trace(ledger_ticket_burn(s, &release, &id));
}

/* In every release that is known, from the cursor on.  0, ERASE_MORE, ERASE_WAITS, < 0. */
static int erase_releases(struct erase *e, struct ledger_key *cursor)
{
    struct ledger_key_parts parts = {.at.space = LEDGER_SPACE_RELEASES - 1};
    if (cursor->len && !ledger_key_parse(ledger_key_span(cursor), &parts)) {
        return err_origin(-EBADMSG);
    }
    uint64_t space = parts.at.space;
    for (;;) {
        struct span value;
        if (erase_is_spent(e, ERASE_COST_RELEASE)) {
            return ERASE_MORE;
        }
        int r = ledger_open_next(e->step.l, &space, &value);
        if (r) {
            return r == LEDGER_NONE ? 0 : err_trace(r);
        }
        r = erase_ticket(e, space);
        if (r) {
            return r < 0 ? err_trace(r) : r;
        }
        *cursor = ledger_release_key(space, 'L');
    }
}

/* The same by rules before version 5, all at once and in their order. */
static int erase_releases_known(struct erase *e)
{
    struct ledger *l = e->step.l;
    int r = 0;
    for (size_t i = 0; i < l->open_count && r == 0; i++) {
        r = erase_ticket(e, l->open[i].space);
    }
    for (size_t i = 0; i < l->ends.count && r == 0; i++) {
        r = erase_ticket(e, l->ends.entries[i].number);
    }
    e->left = ERASE_COST; /* tickets cost nothing by those */
    return r < 0 ? err_trace(r) : r;
}

/* -- records ----------------------------------------------------------------------------------- */

/* Those at that place whose suffix begins with the identity, from the cursor on (so that none that
 * went is looked for again).  0, ERASE_MORE, < 0. */
static int erase_records(struct erase *e, struct routing_key at, struct ledger_key *cursor)
{
    struct ledger_key from = cursor->len ? *cursor : ledger_key_make(at, 0, (struct span){0});
    for (;;) {
        struct ledger_key_parts parts;
        struct span key, value;
        int r = ledger_next(e->step.l, ledger_key_span(&from), true, &key, &value);
        if (r < 0) {
            return err_trace(r);
        }
        if (r == LEDGER_NONE || !ledger_key_parse(key, &parts) ||
            memcmp(&parts.at, &at, sizeof at) != 0) {
            return 0;
        }
        bool is_its = parts.suffix.len >= 16 &&
                      memcmp(parts.suffix.ptr, e->as.identity.bytes, 16) == 0;
        if (is_its && erase_is_spent(e, 1)) {
            *cursor = from;
            return ERASE_MORE;
        }
        memcpy(from.bytes, key.ptr, key.len);
        from.len = key.len;
        r = is_its ? ledger_del(e->step.l, &from) : 0;
        if (r) {
            return err_trace(r);
        }
    }
}

/* What its account costs. */
static size_t erase_account_cost(const struct erase *e)
{
    size_t cost = ERASE_COST_CLASS;
    for (size_t i = 0; i < e->account.items_count; i++) {
        const struct ledger_item *item = &e->account.items[i];
        cost += ledger_item_is_live(item, e->step.now_us) ? 1u + item->parts_count : 0;
    }
    return cost;
}

/* Everything in one class; its place in the index last.  0, ERASE_MORE, < 0. */
static int erase_class(struct erase *e, struct span service_class, struct ledger_key *cursor)
{
    struct routing_key at = ledger_identity_key(service_class, &e->as.identity);
    struct ledger_key own = ledger_key_account(at, &e->as.identity);
    int r = ledger_account_load(&e->step, at, &e->account);
    if (r >= 0 && e->step.l->version >= 5 && erase_is_spent(e, erase_account_cost(e))) {
        return ERASE_MORE;
    }
    if (r == 0) {
        r = erase_items(e, at);
        r = r ? r : ledger_del(e->step.l, &own); /* in the same step: it says what it had */
    }
    r = r < 0 ? r : erase_records(e, at, cursor);
    if (r) {
        return r < 0 ? err_trace(r) : r;
    }
    struct ledger_key index = ledger_key_index(&e->as.identity, service_class);
    return err_trace(ledger_del(e->step.l, &index));
}

/* Behind the class *done, which moves on. */
static int erase_classes(struct erase *e, struct ledger_class *done, struct ledger_key *cursor)
{
    struct ledger_class next = *done;
    int r;
    while ((r = ledger_class_next(e->step.l, &e->as.identity, &next)) == 0) {
        r = erase_class(e, ledger_class_name(&next), cursor);
        if (r) {
            return r < 0 ? err_trace(r) : r;
        }
        *done = next;
        cursor->len = 0;
    }
    return r == LEDGER_NONE ? 0 : err_trace(r);
}

/* What it asked for as an operator. */
static int erase_verdicts(struct erase *e, struct ledger_key *cursor)
{
    static const struct request_id none;
    struct ledger_key admin = ledger_key_admin(&e->as.identity, &none);
    struct ledger_key_parts parts;
    CHECK(ledger_key_parse(ledger_key_span(&admin), &parts));
    int r = erase_records(e, parts.at, cursor);
    return r < 0 ? err_trace(r) : r;
}

/* One part, from where the job stands.  0: all is gone; ERASE_MORE, ERASE_WAITS; < 0. */
static int erase_part(struct erase *e, struct erase_job *job)
{
    int r = 0;
    if (job->stage == ERASE_RELEASES) {
        r = e->step.l->version < 5 ? erase_releases_known(e) : erase_releases(e, &job->cursor);
        if (r == 0) {
            job->stage = ERASE_CLASSES;
            job->cursor.len = 0;
        }
    }
    if (r == 0 && job->stage == ERASE_CLASSES) {
        r = erase_classes(e, &job->done, &job->cursor);
        if (r == 0) {
            job->stage = ERASE_VERDICTS;
            job->cursor.len = 0;
        }
    }
    if (r == 0) {
        CHECK(job->stage == ERASE_VERDICTS);
        r = erase_verdicts(e, &job->cursor);
    }
    return r < 0 ? err_trace(r) : r;
}

/* -- which identities have a job --------------------------------------------------------------- */

static bool erase_same(const struct identity *a, const struct identity *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static int erase_follow(struct ledger *l, const struct identity *identity,
                        const struct erase_job *job)
{
    if (l->erasures_count == ERASURES_MAX) {
        return err_origin(-EBADMSG);
    }
    l->erasures[l->erasures_count++] =
        (struct ledger_erasure){*identity, job->asker, job->request};
    return 0;
}

static void erase_forget(struct ledger *l, const struct identity *identity)
{
    for (size_t i = 0; i < l->erasures_count; i++) {
        if (erase_same(&l->erasures[i].identity, identity)) {
            l->erasures_count--;
            memmove(&l->erasures[i], &l->erasures[i + 1],
                    (l->erasures_count - i) * sizeof l->erasures[0]);
            return;
        }
    }
}

bool ledger_erase_bars(const struct ledger *l, const struct command *c)
{
    bool is_its = false;
    for (size_t i = 0; i < l->erasures_count; i++) {
        is_its = is_its || erase_same(&l->erasures[i].identity, &c->identity);
    }
    return is_its && c->kind != COMMAND_ERASE && !command_is_read(c->kind) &&
           !command_is_own(c->kind);
}

/* -- the job's record -------------------------------------------------------------------------- */

static struct ledger_key erase_job_key(const struct identity *identity)
{
    return ledger_key_make((struct routing_key){0, 0}, 'Z',
                           (struct span){identity->bytes, sizeof identity->bytes});
}

static int erase_job_put(struct ledger_step *s, const struct identity *identity,
                         const struct erase_job *job)
{
    uint8_t bytes[64 + CLASS_MAX + BOOK_KEY_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    struct ledger_key key = erase_job_key(identity);
    scribe_u8(&w, LEDGER_FORMAT_1);
    scribe_bytes(&w, job->asker.bytes, sizeof job->asker.bytes);
    scribe_bytes(&w, job->request.bytes, sizeof job->request.bytes);
    scribe_u64(&w, job->body_hash);
    scribe_u8(&w, job->stage);
    scribe_u8(&w, (uint8_t)job->done.len);
    scribe_bytes(&w, job->done.bytes, job->done.len);
    scribe_bytes(&w, job->cursor.bytes, job->cursor.len);
    return err_trace(ledger_put(s->l, &key, &w));
}

static int erase_job_read(struct span value, struct erase_job *ret_job)
{
    struct erase_job job = {.cursor.len = 0};
    struct reader at = reader_of(value.ptr, value.len);
    bool is_ours = reader_u8(&at) == LEDGER_FORMAT_1;
    reader_bytes(&at, job.asker.bytes, sizeof job.asker.bytes);
    reader_bytes(&at, job.request.bytes, sizeof job.request.bytes);
    job.body_hash = reader_u64(&at);
    job.stage = (enum erase_stage)reader_u8(&at);
    job.done.len = reader_u8(&at);
    if (!is_ours || at.bad || job.stage < ERASE_RELEASES || job.stage > ERASE_VERDICTS ||
        job.done.len > CLASS_MAX) {
        return err_origin(-EBADMSG);
    }
    reader_bytes(&at, job.done.bytes, job.done.len);
    size_t left = reader_left(&at);
    if (at.bad || left > BOOK_KEY_MAX || (left > 0 && left < 17)) {
        return err_origin(-EBADMSG);
    }
    reader_bytes(&at, job.cursor.bytes, left);
    job.cursor.len = left;
    *ret_job = job;
    return 0;
}

/* 0, LEDGER_NONE, < 0. */
static int erase_job_get(struct ledger_step *s, const struct identity *identity,
                         struct erase_job *ret_job)
{
    struct ledger_key key = erase_job_key(identity);
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    return r ? r == LEDGER_NONE ? r : err_trace(r) : err_trace(erase_job_read(value, ret_job));
}

int ledger_erase_load(struct ledger *l)
{
    struct ledger_key from = ledger_key_make((struct routing_key){0, 0}, 'Z', (struct span){0});
    struct span key = ledger_key_span(&from), value;
    for (;;) {
        struct ledger_key_parts parts;
        struct identity identity;
        struct erase_job job;
        int r = ledger_next(l, key, true, &key, &value);
        if (r) {
            return r == LEDGER_NONE ? 0 : err_trace(r);
        }
        if (!ledger_key_parse(key, &parts)) {
            return err_origin(-EBADMSG);
        }
        if (parts.at.space != 0 || parts.at.position != 0 || parts.tag != 'Z') {
            return 0;
        }
        if (parts.suffix.len != sizeof identity.bytes) {
            return err_origin(-EBADMSG);
        }
        memcpy(identity.bytes, parts.suffix.ptr, sizeof identity.bytes);
        r = erase_job_read(value, &job);
        r = r ? r : erase_follow(l, &identity, &job);
        if (r) {
            return err_trace(r);
        }
    }
}

/* Nothing is left to do: the record goes. */
static int erase_job_del(struct ledger_step *s, const struct identity *identity)
{
    struct ledger_key key = erase_job_key(identity);
    erase_forget(s->l, identity);
    return err_trace(ledger_del(s->l, &key));
}

/* -- the command ------------------------------------------------------------------------------- */

static bool erase_identity(struct span text, struct identity *ret_identity)
{
    if (text.len != 2 * sizeof ret_identity->bytes) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f')) {
            return false;
        }
        uint8_t digit = (uint8_t)(is_digit ? c - '0' : c - 'a' + 10);
        uint8_t *byte = &ret_identity->bytes[i / 2];
        *byte = (uint8_t)(i % 2 ? *byte << 4 | digit : digit);
    }
    return true;
}

/* The verdict, under the request that began it. */
static int erase_done(struct ledger_step *s, const struct ledger_key *request)
{
    uint8_t bytes[16];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    ledger_request_counted(s, 0, s->log_index, &w);
    s->v->result = RESULT_OPERATION;
    return err_trace(ledger_request_remember(s, request, LEDGER_FORMAT_1,
                                             (struct span){bytes, scribe_len(&w)}));
}

/* Whether another one stands in the way: REASON_OK or why not. */
static enum reason erase_admit(const struct ledger_step *s, const struct identity *identity)
{
    const struct ledger *l = s->l;
    for (size_t i = 0; i < l->erasures_count; i++) {
        const struct ledger_erasure *other = &l->erasures[i];
        bool is_identity = erase_same(&other->identity, identity);
        bool is_request = erase_same(&other->asker, &s->c->identity) &&
                          memcmp(&other->request, &s->c->request_id, sizeof other->request) == 0;
        if (is_identity || is_request) {
            return is_identity ? REASON_ERASE_RUNNING : REASON_REQUEST_ID_REUSED;
        }
    }
    return l->erasures_count == ERASURES_MAX ? REASON_ERASURES_FULL : REASON_OK;
}

static int erase_begin(struct ledger_step *s, struct erase *e, const struct ledger_key *request)
{
    struct erase_job job = {.asker = s->c->identity,
                            .request = s->c->request_id,
                            .body_hash = s->c->body_hash,
                            .stage = ERASE_RELEASES};
    enum reason reason = erase_admit(s, &e->as.identity);
    if (reason != REASON_OK) {
        return ledger_refuse(s, reason);
    }
    int r = erase_part(e, &job);
    if (r == 0) {
        return err_trace(erase_done(s, request));
    }
    if (r == ERASE_MORE && s->l->version >= 5) {
        r = erase_job_put(s, &e->as.identity, &job);
        r = r ? r : erase_follow(s->l, &e->as.identity, &job);
    }
    return r < 0 ? err_trace(r) : ledger_refuse(s, REASON_ERASE_RUNNING);
}

int ledger_erase(struct ledger_step *s)
{
    struct erase *e = arena_alloc(s->arena, sizeof *e);
    struct ledger_key request = ledger_key_admin(&s->c->identity, &s->c->request_id);
    if (e == NULL) {
        return err_origin(-ENOMEM);
    }
    if (!(s->c->roles & ROLE_OPERATOR)) {
        return ledger_refuse(s, REASON_ROLE_MISSING);
    }
    int r = ledger_request_recall(s, &request, 0);
    if (r != LEDGER_NONE) {
        s->v->result = r == 0 && s->v->reason == REASON_OK ? RESULT_OPERATION : s->v->result;
        return err_trace(r);
    }
    *e = (struct erase){.step = *s, .as = {.kind = COMMAND_ERASE}, .left = ERASE_COST};
    if (!erase_identity(s->c->note, &e->as.identity)) {
        s->v->field = "identity";
        return ledger_refuse(s, REASON_FIELD_INVALID);
    }
    e->step.c = &e->as;
    return err_trace(erase_begin(s, e, &request));
}

int ledger_erase_step(struct ledger_step *s)
{
    const struct identity identity = s->c->identity;
    struct erase *e = arena_alloc(s->arena, sizeof *e);
    struct erase_job job;
    int r = e ? erase_job_get(s, &identity, &job) : err_origin(-ENOMEM);
    if (r) {
        return r == LEDGER_NONE ? 0 : err_trace(r); /* done: proposed twice */
    }
    *e = (struct erase){.step = *s,
                        .as = {.kind = COMMAND_ERASE, .identity = identity},
                        .left = ERASE_COST};
    e->step.c = &e->as;
    r = erase_part(e, &job);
    if (r < 0) {
        return err_trace(r);
    }
    if (r == ERASE_MORE) {
        return err_trace(erase_job_put(s, &identity, &job));
    }
    bool is_done = r == 0;
    r = erase_job_del(s, &identity);
    if (r || !is_done) {
        return err_trace(r); /* a release has to be served first: whoever asks again begins again */
    }
    struct command asked = {.kind = COMMAND_ERASE, .body_hash = job.body_hash,
                            .identity = job.asker, .request_id = job.request};
    struct verdict v = {.reason = REASON_OK};
    struct ledger_step of = *s;
    of.c = &asked;
    of.v = &v;
    struct ledger_key request = ledger_key_admin(&job.asker, &job.request);
    return err_trace(erase_done(&of, &request));
}
