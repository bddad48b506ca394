/* SPDX-License-Identifier: MIT */
/* fairslot release report NAME: what came of a release, one sentence first.
 *   GetReleaseReport -> the sentence, populations, deciles              (anybody)
 *   --suspected FILE: ListReleaseTickets -> the same counts again here, with a list of one's own
 *                     as the suspected                                  (operators and auditors)
 * Counts below 5 are "< 5", whoever counts.  Owns the list and one page at a time.  Every failure
 * was told. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "ctl/cmd_release.h"
#include "ctl/keyfile.h"
#include "ctl/talk.h"
#include "draw/draw.h"
#include "draw/fairness.h"
#include "draw/lines.h"

#define SUMMARY_LIST_MAX (64 * 1024 * 1024) /* bytes of a list: two million tickets */

/* -- in words ---------------------------------------------------------------------------------- */

static const char *summary_cell(int64_t count, char out[24])
{
    if (count < 0) {
        return "< 5";
    }
    snprintf(out, 24, "%" PRId64, count);
    return out;
}

/* "1.04 (95 % interval 0.91 to 1.19)", or what small counts leave open. */
static void summary_ratio(double value, double low, double high)
{
    if (value > 0) {
        printf("%.2f (95 %% interval %.2f to %.2f)", value, low, high);
    } else {
        printf("between %.2f and %.2f (counts are small)", low, high);
    }
}

static void summary_population(const Fairslot__V1__ReleaseReport__Population *p)
{
    char identities[24], slots[24];
    printf("  %-52s %8s %8s  ", p->label, summary_cell(p->identities, identities),
           summary_cell(p->slots, slots));
    if (p->advantage > 0) {
        printf("%.2f\n", p->advantage);
    } else {
        printf("%.2f to %.2f\n", p->advantage_low, p->advantage_high);
    }
}

static int summary_say(const Fairslot__V1__ReleaseReport *m)
{
    char a[24], b[24], c[24];
    printf("%s of %" PRId64 " slots went to %s identities.\n", summary_cell(m->slots_given, a),
           m->slots_offered, summary_cell(m->identities, b));
    if (m->bot_advantage_high > 0) {
        printf("Bot advantage ");
        summary_ratio(m->bot_advantage, m->bot_advantage_low, m->bot_advantage_high);
        printf(": 1.00 means that being fast bought nothing.\n  %s\n", m->suspected_rule);
    } else {
        printf("Nobody is suspected (%s).\n", m->suspected_rule);
    }
    if (m->alarm) {
        printf("ALARM: being fast bought slots; the interval begins above 1.2.\n");
    }
    printf("\n  %-52s %8s %8s  %s\n", "population", "people", "slots", "advantage");
    for (size_t i = 0; i < m->n_populations; i++) {
        summary_population(m->populations[i]);
    }
    printf("\n  by arrival, from the first tenth to the last: entered, got something\n");
    for (size_t i = 0; i < m->n_wins_by_arrival_decile; i++) {
        printf("  %2zu %8s %8s\n", i + 1, summary_cell(m->entries_by_arrival_decile[i], a),
               summary_cell(m->wins_by_arrival_decile[i], b));
    }
    printf("\n  confirmed slots %s, holds never confirmed %.1f %%, Jain's index %.3f\n",
           summary_cell(m->slots_taken, c), 100 * m->hold_waste, m->jain_index);
    if (m->wait_p50 && m->wait_p95) {
        printf("  waited until sealing: half of them up to %" PRId64 " s, 95 %% up to %" PRId64
               " s\n", m->wait_p50->seconds, m->wait_p95->seconds);
    }
    return render_flush();
}

/* -- with a list of one's own ------------------------------------------------------------------ */

struct summary_list {
    struct ticket_id *ids; /* ascending */
    size_t count;
};

static int summary_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ticket_id));
}

/* Ticket ids or names, one a line.  An exit code. */
static int summary_read(const char *path, struct summary_list *list)
{
    char *bytes;
    size_t len, n;
    int r = keyfile_read(path, SUMMARY_LIST_MAX, &bytes, &len);
    if (r != 0) {
        talk_error("%s: %s", path, r == KEYFILE_E_MISSING ? "no such file" : "cannot be read");
        talk_next("a list has one ticket a line, as its name ends: 32 hex digits");
        return VERB_PRECONDITION;
    }
    list->ids = malloc((len / 32 + 1) * sizeof *list->ids);
    struct lines l = lines_of((struct span){(uint8_t *)bytes, len});
    while (list->ids && lines_next(&l)) {
        size_t skip = l.line.len > 32 ? l.line.len - 32 : 0;
        struct span id = {l.line.ptr + skip, l.line.len - skip};
        if (!lines_hex_of(id, list->ids[list->count].bytes, 16, &n) || n != 16) {
            break;
        }
        list->count++;
        l.line.len = 0;
    }
    bool is_whole = list->ids && l.rest.len == 0 && !l.bad && l.line.len == 0;
    free(bytes);
    if (!is_whole) {
        talk_error("%s:%lu: is no ticket", path, l.number);
        talk_next("a list has one ticket a line, as its name ends: 32 hex digits");
        return VERB_FAILED;
    }
    qsort(list->ids, list->count, sizeof *list->ids, summary_compare);
    return VERB_OK;
}

typedef Fairslot__Admin__V1__ListReleaseTicketsResponse__Row summary_row;

static void summary_add(const summary_row *row, const struct summary_list *list,
                        struct fairness *f)
{
    bool is_turn = row->state == FAIRSLOT__V1__TICKET__STATE__STATE_USED;
    if (row->withdrawn || row->ticket_id.len != 16) {
        return;
    }
    struct fairness_ticket t = {
        .assurance = (uint32_t)row->assurance & 3,
        .requests = (uint32_t)row->leaf_version,
        .is_late = true, /* deciles stand in the server's own report */
        .is_suspected = bsearch(row->ticket_id.data, list->ids, list->count,
                                sizeof *list->ids, summary_compare) != NULL,
    };
    if (row->wish > 0 && row->preferences.len > 0) {
        t.slots = row->preferences.data[0] <= SLOTS_PER_HOLD ? row->preferences.data[0] : 1;
    } else {
        t.slots = is_turn;
    }
    fairness_add(f, &t);
}

static int summary_count(struct session *session, const char *name,
                         const struct summary_list *list, struct fairness *f)
{
    Fairslot__Admin__V1__ListReleaseTicketsRequest request =
        FAIRSLOT__ADMIN__V1__LIST_RELEASE_TICKETS_REQUEST__INIT;
    char token[PAGE_TOKEN_MAX + 1] = "";
    request.parent = (char *)name;
    request.page_size = PAGE_SIZE_MAX;
    request.page_token = token;
    do {
        Fairslot__Admin__V1__ListReleaseTicketsResponse *answer;
        const struct session_call c = {
            CMD_RELEASE_ADMIN "ListReleaseTickets", &request.base,
            &fairslot__admin__v1__list_release_tickets_response__descriptor};
        int code = session_call(session, &c, &answer);
        if (code != VERB_OK) {
            return code;
        }
        for (size_t i = 0; i < answer->n_rows; i++) {
            summary_add(answer->rows[i], list, f);
        }
        snprintf(token, sizeof token, "%s", answer->next_page_token);
        session_free(answer);
    } while (token[0]);
    return VERB_OK;
}

/* The report with the headline of the list. */
static int summary_listed(struct session *session, const char *name, const char *path,
                          Fairslot__V1__ReleaseReport *m)
{
    static char rule[] = "suspected: on the operator's list";
    static Fairslot__V1__ReleaseReport__Population mine;
    struct summary_list list = {.count = 0};
    struct fairness f = {.holds = 0};
    struct fairness_ratio ratio;
    int code = summary_read(path, &list);
    code = code == VERB_OK ? summary_count(session, name, &list, &f) : code;
    free(list.ids);
    if (code != VERB_OK) {
        return code;
    }
    const struct fairness_count *group = &f.groups[FAIRNESS_SUSPECTED];
    fairness_advantage(&f.groups[FAIRNESS_ALL], group, &ratio);
    fairslot__v1__release_report__population__init(&mine);
    mine.label = rule;
    mine.identities = fairness_cell(group->identities);
    mine.requests = fairness_cell(group->requests);
    mine.slots = fairness_cell(group->slots);
    m->suspected_rule = rule;
    m->bot_advantage = mine.advantage = (double)ratio.value / FAIRNESS_ONE;
    m->bot_advantage_low = mine.advantage_low = (double)ratio.low / FAIRNESS_ONE;
    m->bot_advantage_high = mine.advantage_high = (double)ratio.high / FAIRNESS_ONE;
    m->alarm = ratio.is_alarm;
    for (size_t i = 0; ratio.is_known && i < m->n_populations; i++) {
        if (strncmp(m->populations[i]->label, "everybody", 9) == 0) {
            m->populations[i] = &mine; /* in its place: nobody needs everybody's 1.00 */
            break;
        }
    }
    return VERB_OK;
}

/* -- the verb ---------------------------------------------------------------------------------- */

int cmd_release_summary(const struct options_call *call, const char *name, const char *suspected)
{
    struct session *session;
    Fairslot__V1__ReleaseReport *answer;
    Fairslot__V1__GetReleaseReportRequest request = FAIRSLOT__V1__GET_RELEASE_REPORT_REQUEST__INIT;
    request.name = (char *)name;
    int code = session_open(call, &session);
    if (code != VERB_OK) {
        return code;
    }
    const struct session_call c = {"/fairslot.v1.CatalogService/GetReleaseReport", &request.base,
                                   &fairslot__v1__release_report__descriptor};
    code = session_call(session, &c, &answer);
    if (code == VERB_OK) {
        Fairslot__V1__ReleaseReport said = *answer;
        Fairslot__V1__ReleaseReport__Population *kept[8];
        CHECK(answer->n_populations <= ARRAY_COUNT(kept));
        if (answer->n_populations) {
            memcpy(kept, answer->populations, answer->n_populations * sizeof kept[0]);
        }
        said.populations = kept;
        code = suspected ? summary_listed(session, name, suspected, &said) : VERB_OK;
        if (code == VERB_OK) {
            code = options_json(call) ? render_print_json(render_json(&said.base))
                                      : summary_say(&said);
        }
        session_free(answer);
    }
    session_close(session);
    return code;
}
