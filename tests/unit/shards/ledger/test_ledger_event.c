/* SPDX-License-Identifier: MIT */
/* Goal: whoever files a ticket through a client is told of it through that client, once, in order.
 *   a draw and what comes of it, by pages of every size: each event once, and the same ones
 *   turns that lapse, a release that is closed over tickets: each of them lost
 *   another client, a person, nobody's client: what they see and what they do not
 *   a reopened ledger and the sweep: nothing lost early, nothing kept late, an old token is told so
 */
#include "ledger/ledger_event.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define POOL   "city"
#define CLIENT 77
#define SEEN   512

static const uint8_t secret[RELEASE_SECRET] = {1, 2, 3};
static struct release_policy policy;
static struct release_words words;
static const struct ticket_wish any = {.kind = WISH_ANY};

struct seen {
    size_t count, pages;
    struct event_view events[SEEN];
    char token[PAGE_TOKEN_MAX + 1];
};

static void settle(struct kit *k)
{
    struct arena arena;
    struct command due[64];
    size_t n = 1;
    arena_init(&arena, 1 << 20);
    for (int i = 0; i < 10000 && n > 0; i++) {
        arena_reset(&arena);
        n = ledger_due(k->l, k->now_us, &arena, due, 64);
        for (size_t j = 0; j < n; j++) {
            EQ(kit_apply(k, &due[j]), REASON_OK);
        }
    }
    arena_fini(&arena);
}

static void announce(struct kit *k, enum release_serving serving, uint32_t slots)
{
    struct pool_view p = kit_policy(POOL, POOL);
    kit_init(k);
    p.scarce = true;
    p.max_live = 1;
    EQ(kit_pool_of(k, &p), REASON_OK);
    EQ(kit_slots(k, POOL, 0, slots), REASON_OK);
    policy = (struct release_policy){.serving = serving,
                                     .entry_open_us = k->now_us,
                                     .entry_close_us = k->now_us + 60 * SECOND_US,
                                     .turn_us = 90 * SECOND_US,
                                     .slots_from_us = KIT_START,
                                     .slots_to_us = KIT_START + 30 * DAY_US};
    words = (struct release_words){.id = span_of("r"),
                                   .policy = &policy,
                                   .secret = {secret, sizeof secret}};
    struct command c = kit_command(k, COMMAND_CREATE_RELEASE, POOL, 9999);
    c.roles = ROLE_OPERATOR;
    c.release = &words;
    EQ(kit_apply(k, &c), REASON_OK);
    settle(k);
}

static int ticket(struct kit *k, enum command_kind kind, unsigned person, uint64_t client)
{
    struct command c = kit_command(k, kind, POOL, person);
    bool is_create = kind == COMMAND_CREATE_TICKET;
    words = (struct release_words){.id = span_of("r"), .wishes = &any, .wishes_count = is_create,
                                   .slot_count = is_create};
    c.release = &words;
    c.client = client;
    return kit_apply(k, &c);
}

static int change(struct kit *k, enum release_action action)
{
    struct command c = kit_command(k, COMMAND_CHANGE_RELEASE, POOL, 9999);
    words = (struct release_words){.id = span_of("r"), .action = action};
    c.release = &words;
    c.roles = ROLE_OPERATOR;
    return kit_apply(k, &c);
}

/* The list to its end, from seen->token on; views outlive the answer but for their names. */
static int list(struct kit *k, struct seen *seen, struct command c, uint32_t page)
{
    seen->count = seen->pages = 0;
    for (;;) {
        c.page_size = page;
        c.page_token = span_of(seen->token);
        int r = kit_apply(k, &c);
        if (r) {
            return r;
        }
        seen->pages++;
        OK(k->v.events_count <= page);
        for (size_t i = 0; i < k->v.events_count && seen->count < SEEN; i++) {
            seen->events[seen->count++] = k->v.events[i];
        }
        OK(k->v.resume_token.len > 0);
        memcpy(seen->token, k->v.resume_token.ptr, k->v.resume_token.len);
        seen->token[k->v.resume_token.len] = 0;
        if (k->v.next_page_token.len == 0) {
            return 0;
        }
    }
}

static struct command asks(struct kit *k, uint64_t client, bool is_client, unsigned person)
{
    struct command c = kit_command(k, COMMAND_LIST_EVENTS, "-", person);
    c.client = client;
    c.is_client = is_client;
    return c;
}

static size_t count_of(const struct seen *seen, enum event_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < seen->count; i++) {
        n += seen->events[i].kind == kind;
    }
    return n;
}

static int items(struct kit *k, enum command_kind kind, unsigned person)
{
    EQ(ticket(k, COMMAND_GET_TICKET, person, 0), REASON_OK);
    struct command c = kit_command(k, kind, POOL, person);
    c.owner = k->v.ticket->hold_owner;
    c.number = k->v.ticket->hold_number;
    return kit_apply(k, &c);
}

static unsigned winner(struct kit *k, unsigned people, unsigned from)
{
    for (unsigned i = from; i < people; i++) {
        EQ(ticket(k, COMMAND_GET_TICKET, i, 0), REASON_OK);
        if (k->v.ticket->state == TICKET_OFFERED) {
            return i;
        }
    }
    return people;
}

static bool same(const struct event_view *a, const struct event_view *b)
{
    return a->kind == b->kind && a->at == b->at && a->nth == b->nth &&
           memcmp(a->ticket, b->ticket, 16) == 0;
}

/* -- a draw ------------------------------------------------------------------------------------ */

static void test_a_draw(void)
{
    struct kit k;
    struct seen all = {.count = 0}, paged;
    announce(&k, RELEASE_BY_PREFERENCE, 4);
    for (unsigned i = 0; i < 20; i++) {
        EQ(ticket(&k, COMMAND_CREATE_TICKET, i, CLIENT), REASON_OK);
    }
    EQ(ticket(&k, COMMAND_DELETE_TICKET, 19, CLIENT), REASON_OK);
    k.now_us += 61 * SECOND_US;
    settle(&k);
    unsigned a = winner(&k, 20, 0), b = winner(&k, 20, a + 1);
    EQ(items(&k, COMMAND_CONFIRM_HOLD, a), REASON_OK);
    EQ(items(&k, COMMAND_CANCEL_RESERVATION, a), REASON_OK);
    EQ(items(&k, COMMAND_DROP_HOLD, b), REASON_OK);
    settle(&k);
    k.now_us += 601 * SECOND_US;
    settle(&k); /* two offers expire, and those of standby that took the freed ones */
    EQ(change(&k, RELEASE_ACTION_CLOSE), REASON_OK);
    settle(&k);
    EQ(list(&k, &all, asks(&k, CLIENT, true, 500), 250), 0);
    EQ(count_of(&all, EVENT_TICKET_WITHDRAWN), 1);
    EQ(count_of(&all, EVENT_OFFER_MADE), 4);
    OK(count_of(&all, EVENT_STANDBY_OFFER_MADE) >= 2);
    EQ(count_of(&all, EVENT_HOLD_CONFIRMED), 1);
    EQ(count_of(&all, EVENT_RESERVATION_CANCELLED), 1);
    EQ(count_of(&all, EVENT_HOLD_DROPPED), 1);
    OK(count_of(&all, EVENT_HOLD_EXPIRED) >= 2);
    EQ(count_of(&all, EVENT_RELEASE_CLOSED), 1);
    size_t offers = 4 + count_of(&all, EVENT_STANDBY_OFFER_MADE);
    EQ(count_of(&all, EVENT_TICKET_LOST) + offers, 19); /* of 20 one withdrew */
    for (size_t i = 1; i < all.count; i++) {
        OK(all.events[i].log_index >= all.events[i - 1].log_index);
    }
    for (uint32_t page = 1; page < 9; page++) {
        paged = (struct seen){.count = 0};
        EQ(list(&k, &paged, asks(&k, CLIENT, true, 500), page), 0);
        EQ(paged.count, all.count);
        for (size_t i = 0; i < all.count && i < paged.count; i++) {
            OK(same(&all.events[i], &paged.events[i]));
        }
        EQ(kit_reopen(&k), 0);
    }
    EQ(list(&k, &all, asks(&k, CLIENT, true, 500), 250), 0); /* behind the last token */
    EQ(all.count, 0);
    kit_fini(&k);
}

/* -- turns ------------------------------------------------------------------------------------- */

static void test_turns(void)
{
    struct kit k;
    struct seen seen = {.count = 0};
    announce(&k, RELEASE_BY_TURN, 2);
    for (unsigned i = 0; i < 5; i++) {
        EQ(ticket(&k, COMMAND_CREATE_TICKET, i, CLIENT), REASON_OK);
    }
    k.now_us += 61 * SECOND_US;
    settle(&k);
    EQ(list(&k, &seen, asks(&k, CLIENT, true, 500), 250), 0);
    EQ(count_of(&seen, EVENT_TURN_GIVEN), 2);
    EQ(count_of(&seen, EVENT_RELEASE_SEALED), 1);
    EQ(seen.events[seen.count - 1].kind, EVENT_TURN_GIVEN);
    EQ(seen.events[seen.count - 1].act_by_us, k.now_us + 90 * SECOND_US);
    k.now_us += 91 * SECOND_US;
    settle(&k);
    EQ(list(&k, &seen, asks(&k, CLIENT, true, 500), 1), 0);
    EQ(count_of(&seen, EVENT_TURN_EXPIRED), 2);
    EQ(count_of(&seen, EVENT_TURN_GIVEN), 2);
    EQ(seen.count, 4);
    EQ(change(&k, RELEASE_ACTION_CLOSE), REASON_OK);
    settle(&k);
    EQ(list(&k, &seen, asks(&k, CLIENT, true, 500), 1), 0);
    EQ(count_of(&seen, EVENT_TURN_EXPIRED), 2); /* the two that were live */
    EQ(count_of(&seen, EVENT_TICKET_LOST), 1);
    EQ(seen.count, 4);
    kit_fini(&k);
}

/* -- whose ------------------------------------------------------------------------------------- */

static void test_whose(void)
{
    struct kit k;
    struct seen seen = {.count = 0}, none = {.count = 0}, own = {.count = 0};
    announce(&k, RELEASE_BY_PREFERENCE, 4);
    EQ(ticket(&k, COMMAND_CREATE_TICKET, 1, CLIENT), REASON_OK);
    EQ(ticket(&k, COMMAND_CREATE_TICKET, 2, CLIENT), REASON_OK);
    EQ(ticket(&k, COMMAND_CREATE_TICKET, 3, 0), REASON_OK);
    EQ(ticket(&k, COMMAND_CREATE_TICKET, 4, CLIENT), REASON_OK);
    EQ(ticket(&k, COMMAND_CREATE_TICKET, 4, CLIENT + 1), REASON_OK); /* on another front end */
    k.now_us += 61 * SECOND_US;
    settle(&k);
    EQ(list(&k, &seen, asks(&k, CLIENT, true, 500), 250), 0);
    EQ(count_of(&seen, EVENT_OFFER_MADE), 2);
    EQ(list(&k, &none, asks(&k, CLIENT + 2, true, 500), 250), 0);
    EQ(count_of(&none, EVENT_OFFER_MADE), 0);
    EQ(none.count, 6); /* of the release: everybody's, but for a closing that is yet to come */
    EQ(list(&k, &own, asks(&k, CLIENT, false, 2), 250), 0);
    EQ(count_of(&own, EVENT_OFFER_MADE), 1);
    EQ(ticket(&k, COMMAND_GET_TICKET, 2, 0), REASON_OK);
    for (size_t i = 0; i < own.count; i++) {
        OK(own.events[i].kind < EVENT_OF_TICKET ||
           memcmp(own.events[i].ticket, k.v.ticket->id, 16) == 0);
    }
    memset(&own, 0, sizeof own);
    EQ(list(&k, &own, asks(&k, CLIENT + 1, false, 4), 250), 0);
    EQ(count_of(&own, EVENT_OFFER_MADE), 1);
    struct command c = asks(&k, CLIENT, true, 500); /* somebody else's token */
    EQ(list(&k, &own, c, 250), REASON_PAGE_TOKEN_INVALID);
    kit_fini(&k);
}

static void test_filters(void)
{
    struct kit k;
    struct seen seen = {.count = 0};
    announce(&k, RELEASE_BY_PREFERENCE, 4);
    EQ(kit_pool(&k, "other", "other"), REASON_OK);
    EQ(ticket(&k, COMMAND_CREATE_TICKET, 1, CLIENT), REASON_OK);
    k.now_us += 61 * SECOND_US;
    settle(&k);
    struct command c = asks(&k, CLIENT, true, 500);
    c.pool = span_of("other");
    EQ(list(&k, &seen, c, 250), 0);
    EQ(seen.count, 0);
    memset(&seen, 0, sizeof seen);
    c.pool = span_of("nowhere");
    EQ(list(&k, &seen, c, 250), REASON_POOL_UNKNOWN);
    c.pool = span_of(POOL);
    words = (struct release_words){.id = span_of("x")};
    c.release = &words;
    EQ(list(&k, &seen, c, 250), REASON_RELEASE_UNKNOWN);
    words.id = span_of("r");
    EQ(list(&k, &seen, c, 250), 0);
    EQ(count_of(&seen, EVENT_OFFER_MADE), 1);
    strcpy(seen.token, "AAAA");
    EQ(list(&k, &seen, c, 250), REASON_PAGE_TOKEN_INVALID);
    kit_fini(&k);
}

/* -- the end of events ------------------------------------------------------------------------- */

static size_t records(struct kit *k)
{
    struct ledger_key from = ledger_key_space(LEDGER_SPACE_EVENTS);
    struct span key = ledger_key_span(&from), value;
    size_t n = 0;
    bool exclusive = false;
    while (ledger_next(k->l, key, exclusive, &key, &value) == 0) {
        struct ledger_key_parts parts;
        if (!ledger_key_parse(key, &parts) || parts.at.space != LEDGER_SPACE_EVENTS) {
            break;
        }
        exclusive = true;
        n++;
    }
    return n;
}

static void test_the_sweep(void)
{
    struct kit k;
    struct seen seen = {.count = 0}, late = {.count = 0};
    announce(&k, RELEASE_BY_PREFERENCE, 4);
    for (unsigned i = 0; i < 4; i++) {
        EQ(ticket(&k, COMMAND_CREATE_TICKET, i, CLIENT), REASON_OK);
    }
    k.now_us += 61 * SECOND_US;
    settle(&k);
    EQ(list(&k, &seen, asks(&k, CLIENT, true, 500), 250), 0);
    EQ(records(&k), seen.count);
    struct command sweep = {.kind = COMMAND_SWEEP};
    for (int i = 0; i < 20; i++) {
        EQ(kit_apply(&k, &sweep), REASON_OK);
    }
    EQ(records(&k), seen.count);
    k.now_us += EVENTS_KEPT_US;
    EQ(list(&k, &late, asks(&k, CLIENT, true, 500), 250), 0);
    EQ(late.count, 0); /* not swept yet, and told no more */
    for (int i = 0; i < 20; i++) {
        EQ(kit_apply(&k, &sweep), REASON_OK);
    }
    EQ(records(&k), 0);
    EQ(list(&k, &seen, asks(&k, CLIENT, true, 500), 250), REASON_EVENTS_GONE);
    EQ(list(&k, &late, asks(&k, CLIENT, true, 500), 250), 0);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_a_draw);
    TAP_RUN(test_turns);
    TAP_RUN(test_whose);
    TAP_RUN(test_filters);
    TAP_RUN(test_the_sweep);
    return tap_done();
}
