/* SPDX-License-Identifier: MIT */
/* A file of slots against what is there.
 *   a pool's rows (by start) -> ListSlots of their span, page by page (in time order, too)
 *   -> both walked at once: same start and desk: there already, or a clash if it lasts otherwise
 * Owns one page at a time; rows stay the import's.  Fails by telling.
 * Desks are the same when their slugs are, as the server makes slot ids of slugs.
 * Not taken: asking with validate_only and believing SLOT_EXISTS: it names one slot of a batch, and
 * cannot tell a slot that was imported yesterday from one that clashes. */
#include "ctl/stock.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "ctl/names.h"
#include "ctl/talk.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec.h"

#define STOCK_CLASHES_SHOWN 20

/* One comparison under way. */
struct stock {
    struct session *session;
    struct import *import;
    const char *file;
    size_t at, end; /* rows of this pool: the first that may still be met, behind the last */
    size_t there;   /* rows that are there already, all pools */
    size_t clashes; /* rows that cannot be made, all pools */
};

static bool stock_same_desk(const char *a, const char *b)
{
    char slug_a[SLOT_DESK_MAX + 1], slug_b[SLOT_DESK_MAX + 1];
    size_t len_a = codec_desk_slug((struct span){(const uint8_t *)a, strlen(a)}, slug_a);
    size_t len_b = codec_desk_slug((struct span){(const uint8_t *)b, strlen(b)}, slug_b);
    return len_a == len_b && memcmp(slug_a, slug_b, len_a) == 0;
}

static void stock_met(struct stock *s, struct import_slot *row, const Fairslot__V1__Slot *slot)
{
    int64_t duration_s = slot->duration ? slot->duration->seconds : 0;
    if (duration_s == row->duration_s) {
        row->there = true;
        s->there++;
        return;
    }
    if (s->clashes++ < STOCK_CLASHES_SHOWN) {
        talk_say("%s:%u: the pool has a slot of %lld minutes at this time and desk (%s)", s->file,
                 row->line, (long long)duration_s / 60, slot->name);
    }
}

/* Pages come in time order, so rows before this slot's start are behind us for good. */
static void stock_slot(struct stock *s, const Fairslot__V1__Slot *slot)
{
    int64_t start_s = slot->start_time ? slot->start_time->seconds : 0;
    while (s->at < s->end && s->import->slots[s->at].start_s < start_s) {
        s->at++;
    }
    for (size_t n = s->at; n < s->end && s->import->slots[n].start_s == start_s; n++) {
        struct import_slot *row = &s->import->slots[n];
        if (!row->there && stock_same_desk(row->desk, slot->desk)) {
            stock_met(s, row, slot);
            return;
        }
    }
}

static int stock_pool(struct stock *s)
{
    char parent[NAMES_MAX], token[PAGE_TOKEN_MAX + 1] = "";
    Google__Protobuf__Timestamp from = GOOGLE__PROTOBUF__TIMESTAMP__INIT, to = from;
    names_pool(s->import->slots[s->at].pool, parent);
    from.seconds = s->import->slots[s->at].start_s;
    to.seconds = s->import->slots[s->end - 1].start_s + 1;
    do {
        Fairslot__V1__ListSlotsResponse *page;
        Fairslot__V1__ListSlotsRequest request = FAIRSLOT__V1__LIST_SLOTS_REQUEST__INIT;
        request.parent = parent;
        request.page_size = PAGE_SIZE_MAX;
        request.page_token = token;
        request.start_time = &from;
        request.end_time = &to;
        const struct session_call list = {"/fairslot.v1.CatalogService/ListSlots", &request.base,
                                          &fairslot__v1__list_slots_response__descriptor};
        int r = session_call(s->session, &list, &page);
        if (r != VERB_OK) {
            return r;
        }
        for (size_t i = 0; i < page->n_slots; i++) {
            stock_slot(s, page->slots[i]);
        }
        snprintf(token, sizeof(token), "%s", page->next_page_token);
        session_free(page);
    } while (token[0]);
    return VERB_OK;
}

static void stock_take_out(struct import *import)
{
    size_t kept = 0;
    for (size_t n = 0; n < import->count; n++) {
        if (!import->slots[n].there) {
            import->slots[kept++] = import->slots[n];
        }
    }
    import->count = kept;
}

int stock_compare(struct session *session, struct import *import, const char *file,
                  size_t *ret_there)
{
    char number[32];
    struct stock s = {.session = session, .import = import, .file = file};
    for (size_t begin = 0; begin < import->count; begin = s.end) {
        s.at = begin;
        s.end = import_pool_end(import, begin);
        int r = stock_pool(&s);
        if (r != VERB_OK) {
            return r;
        }
    }
    if (s.clashes > STOCK_CLASHES_SHOWN) {
        talk_say("... and %s more", talk_number(s.clashes - STOCK_CLASHES_SHOWN, number));
    }
    if (s.clashes > 0) {
        talk_error("%s slot%s of %s cannot be made: nothing was imported",
                   talk_number(s.clashes, number), s.clashes == 1 ? "" : "s", file);
        talk_next("take them out of the file, or give them the duration that is there");
        return VERB_PRECONDITION;
    }
    stock_take_out(import);
    *ret_there = s.there;
    return VERB_OK;
}
