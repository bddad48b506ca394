/* SPDX-License-Identifier: MIT */
/* Goal: what clients ask is what the scenario says: as many wishes as it has, single slots of the
 * release and at last whatever is left; a confirmation that is sent again has the same id. */
#include <string.h>

#include "base/check.h"
#include "fairslot/v1/services.pb-c.h"
#include "flood/crew_inside.h"
#include "tests/lib/tap.h"

static char *slots[] = {(char *)"pools/p/slots/a", (char *)"pools/p/slots/b"};
static struct plan plan;
static struct client client;

static void tell(void *user, const char *line)
{
    (void)user;
    printf("# %s\n", line);
}

static void begin(struct crew *c, const char *wishes)
{
    char text[200];
    struct crowd_report report = {tell, NULL, 0};
    int n = snprintf(text, sizeof text, "[scenario]\nwishes = %s\n[population x]\nkind = people\n"
                     "identities = 1\n", wishes);
    memset(&plan, 0, sizeof plan);
    OK(scenario_read((struct span){(const uint8_t *)text, (size_t)n}, "t.ini", &report,
                     &plan.scenario) == 0);
    strcpy(plan.pool, "pools/p");
    strcpy(plan.release, "pools/p/releases/r");
    plan.clients = &client;
    plan.slots = slots;
    plan.slots_count = 2;
    *c = (struct crew){.plan = &plan};
    prng_init(&c->prng, 1);
    OK(crowd_new(&plan.scenario, 9, 0, 1, &c->crowd) == 0);
}

static void test_as_many_wishes_as_the_scenario_has(void)
{
    static const struct {
        const char *text;
        size_t count;
    } cases[] = {{"1", 1}, {"4", 4}, {"8", 8}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct crew c;
        struct crowd_event e = {.act = CROWD_ACT_TICKET};
        uint8_t out[CREW_PACKED_MAX];
        size_t len;
        begin(&c, cases[i].text);
        OK(strcmp(crew_ask(&c, &e, out, &len), "/fairslot.v1.TicketService/CreateTicket") == 0);
        Fairslot__V1__CreateTicketRequest *q =
            fairslot__v1__create_ticket_request__unpack(NULL, len, out);
        OK(q != NULL);
        EQ(q->n_preferences, cases[i].count);
        for (size_t k = 0; k + 1 < q->n_preferences; k++) {
            EQ(q->preferences[k]->want_case, FAIRSLOT__V1__PREFERENCE__WANT_SLOT);
            OK(strncmp(q->preferences[k]->slot, "pools/p/slots/", 14) == 0);
        }
        OK(q->preferences[q->n_preferences - 1]->any);
        fairslot__v1__create_ticket_request__free_unpacked(q, NULL);
        crowd_free(c.crowd);
    }
}

static void test_a_confirmation_keeps_its_id(void)
{
    struct crew c;
    struct crowd_event e = {.act = CROWD_ACT_CONFIRM};
    uint8_t first[CREW_PACKED_MAX], again[CREW_PACKED_MAX];
    size_t len, len_again;
    begin(&c, "1");
    strcpy(client.paper, "h1");
    crew_ask(&c, &e, first, &len);
    crew_ask(&c, &e, again, &len_again);
    EQ(len, len_again);
    OK(memcmp(first, again, len) == 0);
    strcpy(client.paper, "h2");
    crew_ask(&c, &e, again, &len_again);
    OK(memcmp(first, again, len) != 0);
    crowd_free(c.crowd);
}

int main(void)
{
    TAP_RUN(test_as_many_wishes_as_the_scenario_has);
    TAP_RUN(test_a_confirmation_keeps_its_id);
    return tap_done();
}
