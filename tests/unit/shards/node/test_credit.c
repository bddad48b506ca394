/* SPDX-License-Identifier: MIT */
/* Do credits follow the delay, and are they shared by who waits? */
#include "node/credit.h"

#include "base/check.h"
#include "tests/lib/tap.h"

static int64_t now_us;

static void observe(struct credit *c, int64_t delay_us, int times)
{
    for (int i = 0; i < times; i++) {
        now_us += 1000;
        credit_observe(c, delay_us, 10, now_us);
    }
}

static void test_grows_slowly_shrinks_fast(void)
{
    struct credit c;
    credit_init(&c, now_us);
    EQ(credit_share(&c, 1, 0, now_us).items, CREDIT_START);
    observe(&c, 100, 10);
    EQ(c.total, CREDIT_START + CREDIT_STEP); /* one step in 10 ms */
    observe(&c, 100, 100000);
    EQ(c.total, CREDIT_MAX);
    observe(&c, 100000, 20); /* smoothed: not at the first slow batch, but soon */
    OK(c.total < CREDIT_MAX);
    OK(c.total >= CREDIT_MAX / 2);
    observe(&c, 100000, 100000);
    EQ(c.total, CREDIT_FLOOR); /* whatever is slow */
    EQ(credit_share(&c, 1, 1000, now_us).items, CREDIT_FLOOR);
    observe(&c, 100, 200);
    OK(c.total > CREDIT_FLOOR); /* and back again */
}

static void test_rests_in_between(void)
{
    struct credit c;
    credit_init(&c, now_us);
    observe(&c, 10000, 12); /* gets there while growing a step or two */
    uint32_t total = c.total;
    observe(&c, 10000, 10000);
    EQ(c.total, total);
}

static void test_one_slow_batch_changes_little(void)
{
    struct credit c;
    credit_init(&c, now_us);
    observe(&c, 1000, 1000);
    uint32_t total = c.total;
    observe(&c, 60000, 1);
    observe(&c, 1000, 30);
    OK(c.total >= total);
}

static void test_shared_by_waiting_identities(void)
{
    struct credit c;
    credit_init(&c, now_us);
    c.total = 1000;
    credit_share(&c, 7, 300, now_us);
    EQ(credit_share(&c, 8, 100, now_us).items, 250); /* 100 of 400 */
    EQ(credit_share(&c, 7, 300, now_us).items, 750);
    EQ(credit_share(&c, 7, 100, now_us).items, 500); /* as it says now */
    EQ(credit_share(&c, 9, UINT32_MAX, now_us).items, 999);
    EQ(credit_share(&c, 8, 100, now_us).items, CREDIT_MIN); /* never nothing */
}

/* One person at one gateway and 999 at another, 10,000 items a second: his next is due in 100 ms,
 * whatever time each takes. */
static void test_parts_of_one(void)
{
    struct credit c;
    credit_init(&c, now_us);
    observe(&c, 10000, 1000); /* ten items a millisecond */
    c.total = 150;
    credit_share(&c, 7, 1, now_us);
    EQ(credit_share(&c, 8, 999, now_us).items, 149);
    EQ(credit_share(&c, 8, 999, now_us).pause_us, 0);
    EQ(credit_share(&c, 7, 1, now_us).items, 1);
    EQ(credit_share(&c, 7, 1, now_us).pause_us, 100000);
    EQ(credit_share(&c, 7, 0, now_us).pause_us, 100000); /* nobody waits: somebody may come */
    EQ(credit_share(&c, 7, 5, now_us).pause_us, 20080);
    c.rate = 0;
    EQ(credit_share(&c, 7, 1, now_us).pause_us, CREDIT_PAUSE_US);
}

/* The floor is shared as any other credit: it never gives the gateway with few people more than its
 * part, so those who choose it gain nothing. */
static void test_floor_is_shared_by_people(void)
{
    struct credit c;
    credit_init(&c, now_us);
    observe(&c, 100000, 10000); /* ten items a millisecond, and all too late */
    EQ(c.total, CREDIT_FLOOR);
    credit_share(&c, 7, 1, now_us);
    EQ(credit_share(&c, 8, 999, now_us).items, CREDIT_FLOOR - 1);
    EQ(credit_share(&c, 8, 999, now_us).pause_us, 0);
    EQ(credit_share(&c, 7, 1, now_us).items, CREDIT_MIN);
    EQ(credit_share(&c, 7, 1, now_us).pause_us, 100000); /* one of a thousand at 10,000 a second */
    EQ(credit_share(&c, 7, 333, now_us).items, CREDIT_FLOOR / 4);
}

static void test_silent_gateways_have_no_share(void)
{
    struct credit c;
    credit_init(&c, now_us);
    c.total = 1000;
    credit_share(&c, 7, 9, now_us);
    EQ(credit_share(&c, 8, 9, now_us + CREDIT_HEARD_US).items, 500);
    EQ(credit_share(&c, 8, 9, now_us + CREDIT_HEARD_US + 1).items, 1000);
    EQ(credit_share(&c, 7, 9, now_us + CREDIT_HEARD_US + 2).items, 500); /* back */
}

static void test_more_gateways_than_places(void)
{
    struct credit c;
    credit_init(&c, now_us);
    c.total = 1000;
    for (uint64_t id = 1; id <= 10 * CREDIT_GATEWAYS_MAX; id++) {
        OK(credit_share(&c, id, 0, now_us + (int64_t)id).items > 0);
    }
    EQ(c.gateways_count, CREDIT_GATEWAYS_MAX);
    uint64_t newest = 10 * CREDIT_GATEWAYS_MAX;
    EQ(credit_share(&c, newest, 0, now_us + (int64_t)newest).items, 1000 / CREDIT_GATEWAYS_MAX);
    EQ(c.gateways_count, CREDIT_GATEWAYS_MAX);
}

/* -- a shard that becomes slower, in virtual time ---------------------------------------------- */

enum { RING = 4096, BATCH = 4 };
typedef void observe_fn(struct credit *c, int64_t delay_us, size_t items, int64_t at_us);

/* One gateway, where people always wait, has as much under way as it may; the shard takes one batch
 * after the other. */
struct line {
    struct credit credit;
    int64_t now_us;
    uint32_t allowed, sent;
    size_t first, count;
    struct {
        uint32_t items;
        int64_t came_us;
    } batches[RING];
};

static void line_fill(struct line *l)
{
    while (l->sent < l->allowed) {
        uint32_t n = l->allowed - l->sent < BATCH ? l->allowed - l->sent : BATCH;
        size_t at = (l->first + l->count++) % RING;
        CHECK(l->count <= RING);
        l->batches[at].items = n;
        l->batches[at].came_us = l->now_us;
        l->sent += n;
    }
}

static void line_run(struct line *l, observe_fn *judge, int64_t item_us, int64_t us)
{
    int64_t end_us = l->now_us + us;
    while (l->now_us < end_us) {
        line_fill(l);
        uint32_t n = l->batches[l->first].items;
        int64_t delay_us = l->now_us - l->batches[l->first].came_us;
        l->first = (l->first + 1) % RING;
        l->count--;
        l->now_us += item_us * n;
        judge(&l->credit, delay_us, n, l->now_us);
        l->allowed = credit_share(&l->credit, 1, 1000, l->now_us).items;
        l->sent -= n;
    }
}

/* Its speed is halved five times: is what it may have under way each time less, a second later, and
 * no more than it does in 15 ms, and a half more? */
static bool follows(observe_fn *judge)
{
    static struct line l;
    l = (struct line){.allowed = CREDIT_START};
    credit_init(&l.credit, 0);
    line_run(&l, judge, 10, 5 * SECOND_US);
    uint32_t last = l.credit.total;
    bool is_well = last >= CREDIT_DELAY_GROW_US / 10;
    for (int64_t item_us = 20; item_us <= 320; item_us *= 2) {
        line_run(&l, judge, item_us, SECOND_US);
        printf("# %lld us an item: credit %u\n", (long long)item_us, l.credit.total);
        is_well &= l.credit.total * item_us <= CREDIT_DELAY_SHRINK_US * 3 / 2;
        is_well &= l.credit.total < last;
        last = l.credit.total;
    }
    line_run(&l, judge, 10, SECOND_US); /* and back */
    return is_well && l.credit.total >= CREDIT_DELAY_GROW_US / 10;
}

/* Planted: what it learns it learns, and gives what it gave. */
static void observe_and_stay(struct credit *c, int64_t delay_us, size_t items, int64_t at_us)
{
    credit_observe(c, delay_us < CREDIT_DELAY_SHRINK_US ? delay_us : CREDIT_DELAY_SHRINK_US, items,
                   at_us);
}

/* Planted: it follows, but only every third second. */
static void observe_late(struct credit *c, int64_t delay_us, size_t items, int64_t at_us)
{
    if (at_us / SECOND_US % 3 == 0) {
        credit_observe(c, delay_us, items, at_us);
    }
}

static void test_follows_the_speed_within_a_second(void)
{
    OK(follows(credit_observe));
    OK(!follows(observe_and_stay));
    OK(!follows(observe_late));
}

/* -- commits that take long, in virtual time --------------------------------------------------- */

enum { PEOPLE = 200, CONTEXTS = 8, ROUND_COMMIT_US = 20000, TRAVEL_US = 100 };

/* Each of PEOPLE asks again when he was answered; a round takes all that has come. */
struct disk {
    struct credit credit;
    int64_t now_us;
    uint32_t waiting, under_way, allowed;
    uint64_t answered;
    struct {
        uint32_t items; /* 0: idle */
        int64_t came_us;
    } contexts[CONTEXTS];
};

static void disk_send(struct disk *d)
{
    for (int i = 0; i < CONTEXTS; i++) {
        uint32_t room = d->allowed > d->under_way ? d->allowed - d->under_way : 0;
        uint32_t n = room < d->waiting ? room : d->waiting;
        if (d->contexts[i].items == 0 && n > 0) {
            n = n > 4 ? n / 2 : n; /* not all in one batch */
            d->contexts[i].items = n;
            d->contexts[i].came_us = d->now_us + TRAVEL_US * (i + 1);
            d->under_way += n;
            d->waiting -= n;
        }
    }
}

static void disk_round(struct disk *d, int64_t item_us, bool says_work)
{
    uint32_t items = 0;
    bool taken[CONTEXTS] = {0};
    int64_t begin_us = d->now_us;
    for (int i = 0; i < CONTEXTS; i++) {
        taken[i] = d->contexts[i].items > 0 && d->contexts[i].came_us <= begin_us;
        if (taken[i]) {
            credit_observe(&d->credit, begin_us - d->contexts[i].came_us, d->contexts[i].items,
                           begin_us);
            items += d->contexts[i].items;
        }
    }
    d->now_us += items ? ROUND_COMMIT_US + items * item_us : TRAVEL_US;
    if (items && says_work) {
        credit_worked(&d->credit, items * item_us);
    }
    for (int i = 0; i < CONTEXTS; i++) {
        if (taken[i]) {
            d->under_way -= d->contexts[i].items;
            d->waiting += d->contexts[i].items;
            d->answered += d->contexts[i].items;
            d->contexts[i].items = 0;
            d->allowed = credit_share(&d->credit, 1, d->waiting, d->now_us).items;
        }
    }
}

/* People answered in ten seconds. */
static uint64_t disk_run(struct disk *d, int64_t item_us, bool says_work)
{
    *d = (struct disk){.waiting = PEOPLE, .allowed = CREDIT_START};
    credit_init(&d->credit, 0);
    while (d->now_us < 10 * SECOND_US) {
        disk_send(d);
        disk_round(d, item_us, says_work);
    }
    printf("# %lld us an item: %llu answered, credit %u, %u under way\n", (long long)item_us,
           (unsigned long long)d->answered, d->credit.total, d->under_way);
    return d->answered;
}

static void test_slow_commits_leave_one_to_each(void)
{
    static struct disk d;
    uint64_t before = disk_run(&d, 10, false); /* as if all of it were work: the floor */
    EQ(d.credit.total, CREDIT_FLOOR);
    OK(disk_run(&d, 10, true) > 4 * before);
    OK(d.credit.total > CREDIT_FLOOR);
    OK(d.credit.total <= PEOPLE); /* and the others wait where they are shared fairly */
    disk_run(&d, 2000, true);
    OK(d.credit.total <= 2 * CREDIT_FLOOR); /* when it is the work, fewer items do help */
}

int main(void)
{
    TAP_RUN(test_grows_slowly_shrinks_fast);
    TAP_RUN(test_rests_in_between);
    TAP_RUN(test_one_slow_batch_changes_little);
    TAP_RUN(test_shared_by_waiting_identities);
    TAP_RUN(test_parts_of_one);
    TAP_RUN(test_floor_is_shared_by_people);
    TAP_RUN(test_silent_gateways_have_no_share);
    TAP_RUN(test_more_gateways_than_places);
    TAP_RUN(test_follows_the_speed_within_a_second);
    TAP_RUN(test_slow_commits_leave_one_to_each);
    return tap_done();
}
