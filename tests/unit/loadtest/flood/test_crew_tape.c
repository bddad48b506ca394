/* SPDX-License-Identifier: MIT */
/* Goal: what was carried out is sent again byte for byte; the very answer of the first time is no
 * difference, any other is one, and so is a refusal that will not pass. */
#include <string.h>

#include "base/bytes.h"
#include "flood/crew_inside.h"
#include "tests/lib/tap.h"

static struct plan plan;
static struct result result;
static struct client client;

static void tell(void *user, const char *line)
{
    (void)user;
    printf("# %s\n", line);
}

static void begin(struct crew *c, const char *kind)
{
    char text[200];
    struct crowd_report report = {tell, NULL, 0};
    int n = snprintf(text, sizeof text, "[scenario]\n[population x]\nkind = %s\nidentities = 3\n",
                     kind);
    memset(&plan, 0, sizeof plan);
    OK(scenario_read((struct span){(const uint8_t *)text, (size_t)n}, "t.ini", &report,
                     &plan.scenario) == 0);
    plan.processes = 1;
    plan.clients = &client;
    result_init(&result);
    *c = (struct crew){.plan = &plan, .result = &result};
    crew_tapes_open(c);
}

/* Client 1 sends this; it is answered by `answer`, and carried out or not. */
static void sent(struct crew *c, enum crowd_act act, const char *bytes, const char *answer,
                 bool is_done)
{
    struct shot s = {.event = {.client = 1, .act = (uint8_t)act}};
    crew_tape_record(c, &s, "/path", span_of(bytes));
    crew_tape_heard(c, &s, span_of(answer));
    s.is_carried_out = is_done;
    crew_tape_keep(c, &s);
    OK(s.tape.bytes == NULL);
}

/* Sent again: what left. */
static struct shot again(struct crew *c, uint8_t *out, size_t *ret_len)
{
    struct shot s = {.event = {.client = 1, .act = CROWD_ACT_TICKET, .is_replay = 1}};
    const char *path = crew_tape_play(c, &s, out, ret_len);
    OK(path != NULL && strcmp(path, "/path") == 0);
    return s;
}

static void test_the_same_bytes(void)
{
    struct crew c;
    uint8_t out[CREW_PACKED_MAX];
    size_t len;
    begin(&c, "replayers");
    sent(&c, CROWD_ACT_TICKET, "one", "yes", true);
    sent(&c, CROWD_ACT_CONFIRM, "two", "booked", true);
    sent(&c, CROWD_ACT_CANCEL, "three", "", false); /* refused: not what is sent again */
    sent(&c, CROWD_ACT_POLL, "four", "waiting", true); /* changes nothing */
    struct shot s = again(&c, out, &len);
    EQ(len, 3);
    OK(memcmp(out, "two", 3) == 0);
    EQ(s.event.act, CROWD_ACT_CONFIRM);
    crew_tape_heard(&c, &s, span_of("booked"));
    EQ(s.say.answer, CROWD_DONE);
    EQ(result.replays_differ, 0);
    crew_tape_heard(&c, &s, span_of("booked?"));
    EQ(result.replays_differ, 1);
    crew_tapes_close(&c);
}

static void test_a_refusal_that_will_not_pass_is_another_answer(void)
{
    static const enum crowd_answer other[] = {CROWD_OVER, CROWD_TAKEN, CROWD_FORBIDDEN};
    static const enum crowd_answer passing[] = {CROWD_REFUSED, CROWD_TIMED_OUT, CROWD_CUT_OFF,
                                                CROWD_CANCELLED};
    struct crew c;
    uint8_t out[CREW_PACKED_MAX];
    size_t len;
    begin(&c, "replayers");
    sent(&c, CROWD_ACT_HOLD, "one", "held", true);
    struct shot s = again(&c, out, &len);
    for (size_t i = 0; i < ARRAY_COUNT(passing); i++) {
        s.say.answer = passing[i];
        crew_tape_refused(&c, &s);
        EQ(result.replays_differ, 0);
    }
    for (size_t i = 0; i < ARRAY_COUNT(other); i++) {
        s.say.answer = other[i];
        crew_tape_refused(&c, &s);
        EQ(result.replays_differ, i + 1);
    }
    s.event.is_replay = 0; /* of a request of its own it is nothing */
    crew_tape_refused(&c, &s);
    EQ(result.replays_differ, ARRAY_COUNT(other));
    crew_tapes_close(&c);
}

static void test_nobody_records_without_use(void)
{
    struct crew c;
    begin(&c, "people");
    OK(c.tapes == NULL);
    sent(&c, CROWD_ACT_TICKET, "one", "yes", true);
    EQ(result.replays_differ, 0);
    crew_tapes_close(&c);
}

int main(void)
{
    TAP_RUN(test_the_same_bytes);
    TAP_RUN(test_a_refusal_that_will_not_pass_is_another_answer);
    TAP_RUN(test_nobody_records_without_use);
    return tap_done();
}
