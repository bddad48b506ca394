/* SPDX-License-Identifier: MIT */
/* Asks memory ahead of time for the records that the next commands will read.
 *   a round's calls -> account, index and ticket of each -> simbook_hint() -> the ledger reads
 *   a step that serves -> the tickets of the next in order -> the same
 *   a step that ranks  -> the places in the order of the next tickets -> the same
 * A crowd of millions has gigabytes of records; each would be waited for alone, and so all are
 * waited for at once.  It decides nothing: with a wrong guess everything is as slow as without.
 * Owns: the release as it was when its key was made.  Fails never. */
#include <string.h>

#include "base/bytes.h"
#include "ledger/ledger_release.h"
#include "simulate/world.h"

#define FORESEE_CLIENTS 100000 /* fewer clients' records are near anyway */
#define FORESEE_KEYS    256    /* of one hint */
#define FORESEE_OF_CLIENT 3    /* keys */
#define FORESEE_ROUND   8      /* calls of a round that are worth it */
#define FORESEE_SOON    4096   /* clients at once: their records find room in the cache */

struct foresee {
    struct ledger_key bytes[FORESEE_KEYS];
    struct span keys[FORESEE_KEYS];
    size_t count;
};

static void foresee_key(struct foresee *f, struct ledger_key key)
{
    f->bytes[f->count] = key;
    f->keys[f->count] = ledger_key_span(&f->bytes[f->count]);
    f->count++;
}

static void foresee_hint(struct world *w, struct foresee *f)
{
    simbook_hint(&w->book, f->keys, f->count);
    f->count = 0;
}

static bool foresee_release(struct world *w, struct ledger_release *ret_release)
{
    uint64_t space = ledger_release_space(span_of("city"), span_of("r"));
    return w->scenario.mode != CROWD_FCFS &&
           ledger_release_load(w->ledger, space, ret_release) == 0;
}

/* Account, index and ticket; once nobody enters any more people only look at their tickets. */
static void foresee_client(struct world *w, struct foresee *f, const struct ledger_release *release,
                           uint32_t client)
{
    struct identity identity = world_identity(w, crowd_client(w->crowd, client)->identity);
    struct routing_key at = ledger_identity_key(span_of("city"), &identity);
    if (release == NULL || release->phase <= PHASE_ENTRY || release->cohort_us > 0) {
        foresee_key(f, ledger_key_account(at, &identity));
        foresee_key(f, ledger_key_index(&identity, (struct span){0}));
    }
    if (release) {
        struct ticket_id id;
        ledger_ticket_id(w->ledger, release, &identity, &id);
        foresee_key(f, ledger_release_key_ticket(release->space, &id));
    }
    if (f->count + FORESEE_OF_CLIENT > FORESEE_KEYS) {
        foresee_hint(w, f);
    }
}

/* In a round: a crowd that comes slowly is looked at when its time comes near (foresee_soon()). */
void foresee_calls(struct world *w, struct fairq_entry *const *calls, size_t count)
{
    static struct foresee f;
    struct ledger_release release;
    if (w->scenario.clients_count < FORESEE_CLIENTS || count < FORESEE_ROUND) {
        return;
    }
    bool has_release = foresee_release(w, &release);
    for (size_t i = 0; i < count; i++) {
        const struct world_call *call = (const struct world_call *)(const void *)calls[i];
        foresee_client(w, &f, has_release ? &release : NULL, call->event.client);
    }
    foresee_hint(w, &f);
}

void foresee_soon(struct world *w)
{
    static struct foresee f;
    static uint32_t clients[FORESEE_SOON];
    struct ledger_release release;
    size_t count = w->scenario.clients_count < FORESEE_CLIENTS
                       ? 0 : crowd_soon(w->crowd, &w->soon_mark, clients, FORESEE_SOON);
    if (count == 0) {
        return;
    }
    bool has_release = foresee_release(w, &release);
    for (size_t i = 0; i < count; i++) {
        foresee_client(w, &f, has_release ? &release : NULL, clients[i]);
    }
    foresee_hint(w, &f);
}

/* Of the tickets that are served next. */
static void foresee_served(struct world *w, struct foresee *f, const struct ledger_release *release)
{
    struct ledger_key begin = ledger_release_key(release->space, 'K');
    const struct ledger_key *cursor = release->is_scanning ? &release->scan : &release->cursor;
    struct span key = ledger_key_span(cursor->len ? cursor : &begin), value;
    struct ledger_key_parts parts;
    for (size_t i = 0; i < RELEASE_STEP; i++) {
        struct ticket_id id;
        if (w->book.book.next(&w->book, key, true, &key, &value) ||
            !ledger_key_parse(key, &parts) || parts.at.space != release->space ||
            parts.at.position != 0 || parts.tag != 'K' || parts.suffix.len < sizeof id.bytes) {
            break;
        }
        memcpy(id.bytes, parts.suffix.ptr + parts.suffix.len - sizeof id.bytes, sizeof id.bytes);
        foresee_key(f, ledger_release_key_ticket(release->space, &id));
    }
}

/* Where in the order the tickets come that are ranked next. */
static void foresee_ranked(struct world *w, struct foresee *f, const struct ledger_release *release)
{
    struct ledger_key begin = ledger_release_key(release->space, 'T');
    struct span key = ledger_key_span(release->cursor.len ? &release->cursor : &begin), value;
    struct ledger_key_parts parts;
    while (f->count < RELEASE_STEP) {
        struct ticket_id id;
        if (w->book.book.next(&w->book, key, true, &key, &value) ||
            !ledger_key_parse(key, &parts) || parts.at.space != release->space) {
            break;
        }
        if (parts.tag == 'T' && parts.suffix.len == sizeof id.bytes) {
            memcpy(id.bytes, parts.suffix.ptr, sizeof id.bytes);
            uint64_t rank = ledger_ticket_rank(w->ledger, release, &id);
            foresee_key(f, ledger_release_key_order(release->space, 0, rank, &id));
        }
    }
}

void foresee_step(struct world *w)
{
    static struct foresee f;
    struct ledger_release release;
    if (w->scenario.clients_count < FORESEE_CLIENTS || !foresee_release(w, &release)) {
        return;
    }
    if (release.phase == PHASE_RANKING) {
        foresee_ranked(w, &f, &release);
    } else if (release.phase == PHASE_SERVING || release.phase == PHASE_STANDBY) {
        foresee_served(w, &f, &release);
    }
    foresee_hint(w, &f);
}
