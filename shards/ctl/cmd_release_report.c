/* SPDX-License-Identifier: MIT */
/* fairslot release report NAME --out DIR: writes the bundle that anybody can verify.
 *   GetRelease, ListReleaseSlots, ListReleaseTickets (pages) -> files of docs/draw.md, "Bundle"
 * What it writes is what the server says; whether that is true is for `release verify`, which this
 * verb does not call: a report that checked itself would prove nothing.
 * Owns the tickets while it writes (some 500 bytes each).  A report that is broken off leaves files
 * that verify finds incomplete.  Every failure was told. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/limits.h"
#include "ctl/cmd_release.h"
#include "ctl/keyfile.h"
#include "ctl/talk.h"
#include "draw/manifest.h"
#include "draw/preferences.h"

typedef Fairslot__Admin__V1__ListReleaseTicketsResponse__Row report_row;

/* A ticket with its place. */
struct report_ticket {
    uint64_t rank;
    uint32_t cohort;
    const report_row *row; /* in its page */
};

struct report {
    const struct options_call *call;
    struct session *session;
    const char *dir;
    char name[NAMES_MAX];
    bool is_withheld;
    bool has_returns; /* slots came back while it was open: later cohorts may have got them */
    Fairslot__V1__Release *release;
    Fairslot__Admin__V1__ListReleaseTicketsResponse **pages;
    size_t pages_count;
    struct report_ticket *tickets; /* by ticket id, as they came */
    size_t tickets_count;
    struct draw_slot *slots;
    size_t slots_count;
    struct draw_stock *stock;
    struct draw_hash late_hash;
};

/* -- files ------------------------------------------------------------------------------------- */

static FILE *report_open(const struct report *r, const char *name)
{
    char path[KEYFILE_PATH_MAX];
    FILE *file = keyfile_path(path, r->dir, name) ? fopen(path, "we") : NULL;
    if (file == NULL) {
        talk_error("%s/%s: %s", r->dir, name, strerror(errno));
        talk_next("choose a folder that can be written with --out");
    }
    return file;
}

/* Ends the file.  VERB_OK, or VERB_FAILED (told). */
static int report_end(const struct report *r, const char *name, FILE *file)
{
    bool is_broken = ferror(file);
    if (fclose(file) != 0 || is_broken) {
        talk_error("%s/%s: %s", r->dir, name, strerror(errno));
        return VERB_FAILED;
    }
    return VERB_OK;
}

static void report_hex(FILE *file, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fprintf(file, "%02x", ((const uint8_t *)bytes)[i]);
    }
}

static void report_part(FILE *file, const char *key, ProtobufCBinaryData bytes)
{
    fprintf(file, "%s: ", key);
    report_hex(file, bytes.data, bytes.len);
    fputs(bytes.len ? "\n" : "missing\n", file);
}

/* -- what the server has ----------------------------------------------------------------------- */

static int report_fetch_release(struct report *r)
{
    Fairslot__V1__GetReleaseRequest request = FAIRSLOT__V1__GET_RELEASE_REQUEST__INIT;
    request.name = r->name;
    const struct session_call c = {"/fairslot.v1.CatalogService/GetRelease", &request.base,
                                   &fairslot__v1__release__descriptor};
    int code = session_call(r->session, &c, &r->release);
    if (code == VERB_OK && r->release->seed.len != 32) {
        talk_error("%s is not ranked yet: there is nothing to verify", r->name);
        talk_next("wait until 'fairslot release show' says SERVING, STANDBY or CLOSED");
        return VERB_PRECONDITION;
    }
    return code;
}

/* A slot of the list, as the manifest numbers it. */
static bool report_add_slot(struct report *r, const Fairslot__V1__Slot *slot)
{
    if ((r->slots_count & (r->slots_count - 1)) == 0) {
        size_t size = r->slots_count ? 2 * r->slots_count : 64;
        struct draw_slot *grown = realloc(r->slots, size * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        r->slots = grown;
    }
    struct draw_slot *out = &r->slots[r->slots_count];
    size_t n = strlen(slot->desk);
    if (slot->start_time == NULL || slot->duration == NULL || n == 0 || n > SLOT_DESK_MAX) {
        return false;
    }
    out->start_us = slot->start_time->seconds * 1000000;
    out->end_us = out->start_us + slot->duration->seconds * 1000000;
    out->slug_len = (uint8_t)n;
    memcpy(out->slug, slot->desk, n);
    bool is_next = r->slots_count == 0 || draw_slot_compare(out - 1, out) < 0;
    r->slots_count += is_next;
    return is_next;
}

static int report_fetch_slots(struct report *r)
{
    Fairslot__Admin__V1__ListReleaseSlotsRequest request =
        FAIRSLOT__ADMIN__V1__LIST_RELEASE_SLOTS_REQUEST__INIT;
    char token[PAGE_TOKEN_MAX + 1] = "";
    request.parent = r->name;
    request.page_size = PAGE_SIZE_MAX;
    request.page_token = token;
    do {
        Fairslot__Admin__V1__ListReleaseSlotsResponse *answer;
        const struct session_call c = {
            CMD_RELEASE_ADMIN "ListReleaseSlots", &request.base,
            &fairslot__admin__v1__list_release_slots_response__descriptor};
        int code = session_call(r->session, &c, &answer);
        if (code != VERB_OK) {
            return code;
        }
        bool is_good = true;
        for (size_t i = 0; i < answer->n_slots && is_good; i++) {
            is_good = report_add_slot(r, answer->slots[i]);
        }
        snprintf(token, sizeof token, "%s", answer->next_page_token);
        session_free(answer);
        if (!is_good) {
            talk_error("the server's list of slots is not in order");
            return VERB_FAILED;
        }
    } while (token[0]);
    return VERB_OK;
}

static bool report_add_page(struct report *r, Fairslot__Admin__V1__ListReleaseTicketsResponse *page,
                            const struct draw_mac *seed)
{
    void *pages = realloc(r->pages, (r->pages_count + 1) * sizeof *r->pages);
    r->pages = pages ? pages : r->pages;
    void *tickets = realloc(r->tickets,
                            (r->tickets_count + page->n_rows + 1) * sizeof *r->tickets);
    r->tickets = tickets ? tickets : r->tickets;
    if (pages == NULL || tickets == NULL) {
        session_free(page);
        return false;
    }
    r->pages[r->pages_count++] = page;
    for (size_t i = 0; i < page->n_rows; i++) {
        const report_row *row = page->rows[i];
        struct ticket_id id;
        if (row->ticket_id.len != sizeof id.bytes || row->nonce.len != 16) {
            return false;
        }
        memcpy(id.bytes, row->ticket_id.data, sizeof id.bytes);
        r->tickets[r->tickets_count++] =
            (struct report_ticket){draw_rank(seed, &id), (uint32_t)row->cohort, row};
    }
    return true;
}

static int report_fetch_tickets(struct report *r)
{
    Fairslot__Admin__V1__ListReleaseTicketsRequest request =
        FAIRSLOT__ADMIN__V1__LIST_RELEASE_TICKETS_REQUEST__INIT;
    char token[PAGE_TOKEN_MAX + 1] = "";
    struct draw_mac seed;
    draw_mac_init(&seed, r->release->seed.data);
    request.parent = r->name;
    request.page_size = PAGE_SIZE_MAX;
    request.page_token = token;
    do {
        Fairslot__Admin__V1__ListReleaseTicketsResponse *answer;
        const struct session_call c = {
            CMD_RELEASE_ADMIN "ListReleaseTickets", &request.base,
            &fairslot__admin__v1__list_release_tickets_response__descriptor};
        int code = session_call(r->session, &c, &answer);
        if (code != VERB_OK) {
            return code;
        }
        snprintf(token, sizeof token, "%s", answer->next_page_token);
        if (!report_add_page(r, answer, &seed)) {
            talk_error("the server's list of tickets cannot be read, or memory has ended");
            return VERB_FAILED;
        }
        talk_progress(token[0] == '\0', "%zu tickets", r->tickets_count);
    } while (token[0]);
    return VERB_OK;
}

/* -- the files --------------------------------------------------------------------------------- */

static int report_write_manifest(struct report *r)
{
    FILE *file = report_open(r, "manifest");
    if (file == NULL) {
        return VERB_FAILED;
    }
    fwrite(r->release->manifest.data, 1, r->release->manifest.len, file);
    return report_end(r, "manifest", file);
}

static int report_write_slots(struct report *r)
{
    FILE *file = report_open(r, "slots");
    if (file == NULL) {
        return VERB_FAILED;
    }
    for (size_t i = 0; i < r->slots_count; i++) {
        const struct draw_slot *s = &r->slots[i];
        fprintf(file, "%zu %" PRId64 " %" PRId64 " %.*s\n", i, s->start_us,
                s->end_us - s->start_us, (int)s->slug_len, s->slug);
    }
    return report_end(r, "slots", file);
}

static int report_write_parts(struct report *r)
{
    const Fairslot__V1__Release *m = r->release;
    FILE *file = report_open(r, "parts");
    if (file == NULL) {
        return VERB_FAILED;
    }
    report_part(file, "manifest", m->manifest_sha256);
    report_part(file, "operator-seed", m->operator_seed);
    for (size_t i = 0; i < m->n_trustee_keys; i++) {
        static const ProtobufCBinaryData none;
        report_part(file, "trustee-key", m->trustee_keys[i]);
        report_part(file, "trustee-part", i < m->n_trustee_parts ? m->trustee_parts[i] : none);
    }
    if (m->beacon[0]) {
        report_part(file, "beacon-value", m->beacon_value);
    } else {
        fputs("beacon-value: -\n", file);
    }
    report_part(file, "root", m->ticket_root);
    fprintf(file, "count: %" PRId64 "\nlate: ", m->ticket_count);
    report_hex(file, r->late_hash.bytes, sizeof r->late_hash.bytes);
    fputc('\n', file);
    report_part(file, "seed", m->seed);
    return report_end(r, "parts", file);
}

static int report_write_signatures(struct report *r)
{
    const Fairslot__V1__Release *m = r->release;
    FILE *file = report_open(r, "signatures");
    if (file == NULL) {
        return VERB_FAILED;
    }
    report_part(file, "operator-key", m->operator_key);
    report_part(file, "manifest", m->manifest_signature);
    report_part(file, "root", m->root_signature);
    return report_end(r, "signatures", file);
}

/* A ticket's line, without its end, as tickets and late have it. */
static void report_line(const struct report *r, FILE *file, const report_row *row)
{
    struct draw_hash hash;
    report_hex(file, row->ticket_id.data, row->ticket_id.len);
    fprintf(file, " %d ", row->leaf_version);
    if (row->withdrawn) {
        fputs("withdrawn - - -", file);
        return;
    }
    draw_preferences_hash((struct span){row->preferences.data, row->preferences.len},
                          row->nonce.data, &hash);
    fputs("entered ", file);
    report_hex(file, hash.bytes, sizeof hash.bytes);
    if (r->is_withheld) {
        fputs(" withheld withheld", file);
        return;
    }
    fputc(' ', file);
    report_hex(file, row->preferences.data, row->preferences.len);
    fputc(' ', file);
    report_hex(file, row->nonce.data, row->nonce.len);
}

static int report_write_tickets(struct report *r)
{
    FILE *file = report_open(r, "tickets");
    if (file == NULL) {
        return VERB_FAILED;
    }
    for (size_t i = 0; i < r->tickets_count; i++) {
        if (r->tickets[i].cohort == 0) {
            report_line(r, file, r->tickets[i].row);
            fputc('\n', file);
        }
    }
    return report_end(r, "tickets", file);
}

static int report_by_cohort(const void *a, const void *b)
{
    const struct report_ticket *x = a, *y = b;
    if (x->cohort != y->cohort) {
        return x->cohort < y->cohort ? -1 : 1;
    }
    return memcmp(x->row->ticket_id.data, y->row->ticket_id.data, 16);
}

static int report_by_rank(const void *a, const void *b)
{
    const struct report_ticket *x = a, *y = b;
    if (x->cohort == y->cohort && x->rank != y->rank) {
        return x->rank < y->rank ? -1 : 1;
    }
    return report_by_cohort(a, b);
}

/* Later cohorts, and the hash of their file. */
static int report_write_late(struct report *r)
{
    FILE *file = report_open(r, "late");
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    if (file == NULL || memory == NULL) {
        CHECK(memory != NULL);
        fclose(memory);
        free(text);
        return VERB_FAILED;
    }
    qsort(r->tickets, r->tickets_count, sizeof *r->tickets, report_by_cohort);
    for (size_t i = 0; i < r->tickets_count; i++) {
        if (r->tickets[i].cohort > 0) {
            fprintf(memory, "%u ", r->tickets[i].cohort);
            report_line(r, memory, r->tickets[i].row);
            fputc('\n', memory);
        }
    }
    fclose(memory);
    fwrite(text, 1, n, file);
    draw_hash_bytes((struct span){(const uint8_t *)text, n}, &r->late_hash);
    free(text);
    return report_end(r, "late", file);
}

/* "won WISH SLOTS" or "lost - -". */
static void report_won(const struct report *r, FILE *file, const report_row *row)
{
    struct draw_preferences p;
    struct span bytes = {row->preferences.data, row->preferences.len};
    if (row->first_slot == NULL || row->wish == 0 || !draw_preferences_read(bytes, &p)) {
        fputs("lost - -\n", file);
        return;
    }
    struct span desk = {(const uint8_t *)row->first_slot->desk, strlen(row->first_slot->desk)};
    uint32_t slot = draw_stock_find(r->stock, row->first_slot->start_time->seconds * 1000000, desk);
    fprintf(file, "won %d ", row->wish);
    for (uint32_t i = 0; i < p.slot_count && slot != DRAW_NONE; i++) {
        fprintf(file, "%s%u", i ? "," : "", slot);
        slot = draw_stock_next(r->stock, slot);
    }
    fputc('\n', file);
}

static void report_turn(FILE *file, const report_row *row)
{
    switch (row->state) {
    case FAIRSLOT__V1__TICKET__STATE__STATE_TURN:
    case FAIRSLOT__V1__TICKET__STATE__STATE_USED:
    case FAIRSLOT__V1__TICKET__STATE__STATE_LAPSED:
        fputs("turn - -\n", file);
        break;
    case FAIRSLOT__V1__TICKET__STATE__STATE_WITHDRAWN:
        fputs("left - -\n", file);
        break;
    default:
        fputs("waiting - -\n", file);
    }
}

/* A winner whose slots came back, or somebody who got such slots out of standby. */
static bool report_is_return(const report_row *row)
{
    return row->wish > 0 && (row->first_slot == NULL ||
                             row->state == FAIRSLOT__V1__TICKET__STATE__STATE_LAPSED);
}

/* Of a later cohort, by preference: has it had its first chance?  Who left may not have. */
static bool report_is_served(const report_row *row)
{
    return row->state != FAIRSLOT__V1__TICKET__STATE__STATE_ENTERED &&
           (row->state != FAIRSLOT__V1__TICKET__STATE__STATE_WITHDRAWN || row->first_slot);
}

static int report_write_outcome(struct report *r)
{
    bool is_turn = r->release->serving == FAIRSLOT__V1__RELEASE__SERVING__SERVING_BY_TURN;
    FILE *file = report_open(r, "outcome");
    if (file == NULL) {
        return VERB_FAILED;
    }
    qsort(r->tickets, r->tickets_count, sizeof *r->tickets, report_by_rank);
    for (size_t i = 0; i < r->tickets_count; i++) {
        r->has_returns |= report_is_return(r->tickets[i].row);
    }
    for (size_t i = 0; i < r->tickets_count; i++) {
        const struct report_ticket *t = &r->tickets[i];
        if (t->row->withdrawn) {
            continue;
        }
        fprintf(file, "%u %016" PRIx64 " ", t->cohort, t->rank);
        report_hex(file, t->row->ticket_id.data, t->row->ticket_id.len);
        fputc(' ', file);
        if (is_turn) {
            report_turn(file, t->row);
        } else if (t->cohort > 0 && (r->has_returns || !report_is_served(t->row))) {
            fputs("later - -\n", file);
        } else {
            report_won(r, file, t->row);
        }
    }
    return report_end(r, "outcome", file);
}

/* -- the verb ---------------------------------------------------------------------------------- */

static int report_all(struct report *r)
{
    int code = session_open(r->call, &r->session);
    code = code == VERB_OK ? report_fetch_release(r) : code;
    code = code == VERB_OK ? report_fetch_slots(r) : code;
    code = code == VERB_OK ? report_fetch_tickets(r) : code;
    if (code == VERB_OK && draw_stock_new(r->slots, (uint32_t)r->slots_count, &r->stock)) {
        talk_error("out of memory");
        code = VERB_FAILED;
    }
    if (code == VERB_OK && keyfile_make_dir(r->dir) != 0) {
        talk_error("cannot make the folder %s", r->dir);
        code = VERB_FAILED;
    }
    code = code == VERB_OK ? report_write_manifest(r) : code;
    code = code == VERB_OK ? report_write_slots(r) : code;
    code = code == VERB_OK ? report_write_signatures(r) : code;
    code = code == VERB_OK ? report_write_tickets(r) : code;
    code = code == VERB_OK ? report_write_late(r) : code;
    code = code == VERB_OK ? report_write_parts(r) : code;
    return code == VERB_OK ? report_write_outcome(r) : code;
}

static void report_fini(struct report *r)
{
    for (size_t i = 0; i < r->pages_count; i++) {
        session_free(r->pages[i]);
    }
    session_free(r->release);
    session_close(r->session);
    draw_stock_free(r->stock);
    free(r->pages);
    free(r->tickets);
    free(r->slots);
}

int cmd_release_report(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    const char *pool = NULL, *dir = NULL, *out = NULL, *suspected = NULL;
    bool is_summary = false;
    struct report r = {.call = &call};
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL}, {"bundle", 0, &dir, NULL}, {"out", 0, &out, NULL},
        {"withhold", 0, NULL, &r.is_withheld}, {"summary", 0, NULL, &is_summary},
        {"suspected", 0, &suspected, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a NAME"};
    options_call_init(&call);
    int code = options_parse(verb, &rule, argc, argv, &words);
    if (code != 0) {
        return options_exit(code);
    }
    dir = dir ? dir : out;
    code = options_call_check(verb, &call);
    code = code == VERB_OK ? cmd_release_name(words.at[0], pool, r.name) : code;
    if (code == VERB_OK && (dir == NULL || is_summary || suspected)) {
        code = cmd_release_summary(&call, r.name, suspected);
    }
    if (dir == NULL) {
        return code;
    }
    if (code == VERB_OK) {
        r.dir = dir;
        code = report_all(&r);
    }
    if (code == VERB_OK) {
        printf("%s: %zu tickets, %zu slots\n", dir, r.tickets_count, r.slots_count);
        talk_next("anybody can check it: fairslot release verify %s", dir);
        code = render_flush();
    }
    report_fini(&r);
    return code;
}
