/* SPDX-License-Identifier: MIT */
/* Goal: what an answer says to a client, and which paper it keeps: one who came up from standby
 * confirms the hold that it was offered, one who holds or has won keeps what it has. */
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/crew_inside.h"
#include "tests/lib/tap.h"

static struct plan plan;
static struct result result;
static struct client client;
static uint8_t told;

static void tell(void *user, const char *line)
{
    (void)user;
    printf("# %s\n", line);
}

/* One person who waits for a draw. */
static void begin(struct crew *c)
{
    static const char text[] = "[scenario]\n[population x]\nkind = people\nidentities = 1\n"
                               "reload = 0 %\n";
    struct crowd_report report = {tell, NULL, 0};
    memset(&plan, 0, sizeof plan);
    memset(&client, 0, sizeof client);
    OK(scenario_read((struct span){(const uint8_t *)text, sizeof text - 1}, "t.ini", &report,
                     &plan.scenario) == 0);
    plan.clients = &client;
    plan.told = &told;
    result_init(&result);
    *c = (struct crew){.plan = &plan, .result = &result};
    OK(crowd_new(&plan.scenario, 9, 0, 1, &c->crowd) == 0);
}

/* The next request, whose answer is a ticket in this state with this hold. */
static void hear(struct crew *c, Fairslot__V1__Ticket__State state, const char *hold)
{
    struct shot s = {.say.answer = CROWD_REFUSED};
    Fairslot__V1__Ticket t = FAIRSLOT__V1__TICKET__INIT;
    uint8_t packed[512];
    OK(crowd_next(c->crowd, INT64_MAX, &s.event));
    OK(s.event.act == CROWD_ACT_TICKET || s.event.act == CROWD_ACT_POLL);
    t.state = state;
    t.hold = (char *)(uintptr_t)hold;
    size_t n = protobuf_c_message_pack(&t.base, packed);
    crew_hear(c, &s, (struct span){packed, n});
    crowd_answer(c->crowd, &s.event, s.event.at_us + 1000, &s.say);
}

static void test_up_from_standby(void)
{
    struct crew c;
    struct crowd_event e;
    begin(&c);
    hear(&c, FAIRSLOT__V1__TICKET__STATE__STATE_WAITING, "");
    hear(&c, FAIRSLOT__V1__TICKET__STATE__STATE_STANDBY, "");
    EQ(crowd_client(c.crowd, 0)->state, CROWD_WAITS);
    hear(&c, FAIRSLOT__V1__TICKET__STATE__STATE_OFFERED, "pools/p/holds/h1");
    OK(strcmp(client.paper, "h1") == 0);
    OK(crowd_next(c.crowd, INT64_MAX, &e));
    EQ(e.act, CROWD_ACT_CONFIRM);
    crowd_free(c.crowd);
}

/* An answer that was under way when it won says nothing new. */
static void test_what_it_has_is_kept(void)
{
    struct crew c;
    begin(&c);
    hear(&c, FAIRSLOT__V1__TICKET__STATE__STATE_WAITING, "");
    hear(&c, FAIRSLOT__V1__TICKET__STATE__STATE_OFFERED, "pools/p/holds/h1");
    struct shot late = {.event = {.act = CROWD_ACT_POLL}};
    Fairslot__V1__Ticket t = FAIRSLOT__V1__TICKET__INIT;
    uint8_t packed[512];
    t.state = FAIRSLOT__V1__TICKET__STATE__STATE_OFFERED;
    t.hold = (char *)(uintptr_t)"pools/p/holds/h2";
    size_t n = protobuf_c_message_pack(&t.base, packed);
    crew_hear(&c, &late, (struct span){packed, n});
    OK(strcmp(client.paper, "h1") == 0);
    crowd_free(c.crowd);
}

/* Bytes that are no message are counted, told as garbled, and end nothing. */
static void test_garbage(void)
{
    struct crew c;
    struct shot s = {.event = {.act = CROWD_ACT_POLL}};
    begin(&c);
    crew_hear(&c, &s, span_of("\xff\xff\xff"));
    EQ(s.say.answer, CROWD_GARBLED);
    EQ(result.garbled, 1);
    crowd_free(c.crowd);
}

int main(void)
{
    TAP_RUN(test_up_from_standby);
    TAP_RUN(test_what_it_has_is_kept);
    TAP_RUN(test_garbage);
    return tap_done();
}
