/* SPDX-License-Identifier: MIT */
/* Clients' and operators' messages about releases and tickets -> commands.  As codec_request.c:
 * everything that can be said wrong is said here, with the field and what would be right.
 * What depends on the state (does the slot exist, has the time passed, is the key sound) is the
 * ledger's.  The gateway adds the secret of a new release behind this, so it is no part of the body
 * that a request id stands for.  Owns nothing. */
#include "base/check.h"
#include "base/err.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec_parts.h"

/* The words of the command, made when first asked for; NULL over the cap. */
static struct release_words *release_words(struct codec_ask *ask)
{
    if (ask->command->release == NULL) {
        struct release_words *words = arena_alloc(ask->arena, sizeof *words);
        if (words) {
            *words = (struct release_words){.slot_count = 0};
        }
        ask->command->release = words;
    }
    return (struct release_words *)ask->command->release;
}

/* "pools/P/releases/R" in `field`. */
static int release_name(struct codec_ask *ask, const char *field, struct span text)
{
    struct release_words *words = release_words(ask);
    if (words == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    bool is_name = codec_name_child(text, "/releases/", &ask->command->pool, &words->id);
    return is_name && codec_pool_id_ok(words->id)
               ? 0
               : codec_fault(ask, field, "pools/POOL/releases/RELEASE");
}

/* 32 hex digits or "me". */
static int release_ticket_id(struct codec_ask *ask, const char *field, struct span text)
{
    static const char detail[] = "pools/POOL/releases/RELEASE/tickets/TICKET, or .../me";
    struct release_words *words = release_words(ask);
    if (span_equal(text, span_of("me"))) {
        return 0;
    }
    uint8_t *id = arena_alloc(ask->arena, 16);
    if (id == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    for (size_t i = 0; i < 32; i++) {
        uint8_t c = i < text.len ? text.ptr[i] : 0;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || text.len != 32) {
            return codec_fault(ask, field, detail);
        }
        id[i / 2] = (uint8_t)(i % 2 ? id[i / 2] | digit : digit << 4);
    }
    words->ticket = (struct span){id, 16};
    return 0;
}

int codec_ask_ticket(struct codec_ask *ask, const char *field, const char *text)
{
    static const char part[] = "/tickets/";
    struct span name = span_of(text);
    const uint8_t *at = memmem(name.ptr, name.len, part, sizeof part - 1);
    struct span release = {name.ptr, at ? (size_t)(at - name.ptr) : name.len};
    int r = release_name(ask, field, release);
    if (r) {
        return r;
    }
    struct span id = {at ? at + sizeof part - 1 : NULL, 0};
    id.len = at ? name.len - release.len - (sizeof part - 1) : 0;
    return release_ticket_id(ask, field, id);
}

/* -- tickets ----------------------------------------------------------------------------------- */

static int release_wish(struct codec_ask *ask, const Fairslot__V1__Preference *m,
                        struct ticket_wish *out)
{
    *out = (struct ticket_wish){.kind = WISH_ANY};
    if (m->want_case == FAIRSLOT__V1__PREFERENCE__WANT_SLOT) {
        out->kind = WISH_SLOT;
        return codec_ask_slot(ask, "preferences.slot", m->slot, &out->slot);
    }
    if (m->want_case == FAIRSLOT__V1__PREFERENCE__WANT_ANY) {
        return m->any ? 0 : codec_fault(ask, "preferences.any", "true, or another wish");
    }
    if (m->want_case != FAIRSLOT__V1__PREFERENCE__WANT_SLOT_CLASS) {
        return codec_fault(ask, "preferences", "a slot, a slot_class or any");
    }
    const Fairslot__V1__Preference__SlotClass *c = m->slot_class;
    out->kind = WISH_CLASS;
    bool has_times = c->from_time && c->to_time &&
                     codec_time_us(c->from_time->seconds, c->from_time->nanos, &out->from_us) &&
                     codec_time_us(c->to_time->seconds, c->to_time->nanos, &out->to_us);
    if (!has_times || out->from_us >= out->to_us) {
        return codec_fault(ask, "preferences.slot_class", "from_time before to_time");
    }
    return c->office[0] ? codec_fault(ask, "preferences.slot_class.office",
                                      "empty: a pool is of one office")
                        : 0;
}

int codec_request_create_ticket(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__CreateTicketRequest *m;
    int r = codec_unpack(&fairslot__v1__create_ticket_request__descriptor, message, ask->arena,
                         &m);
    if (r == 0) {
        r = release_name(ask, "parent", span_of(m->parent));
    }
    if (r) {
        return r;
    }
    if (m->n_preferences > TICKET_WISHES_MAX) {
        return codec_fault(ask, "preferences", "at most 8");
    }
    if (m->slot_count < 0 || m->slot_count > SLOTS_PER_HOLD) {
        return codec_fault(ask, "slot_count", "0 (one) to 8");
    }
    if (m->eligibility_code[0]) {
        return codec_fault(ask, "eligibility_code", "empty: it comes with a later version");
    }
    struct release_words *words = release_words(ask);
    struct ticket_wish *wishes = arena_alloc(ask->arena, TICKET_WISHES_MAX * sizeof *wishes);
    if (wishes == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    words->slot_count = m->slot_count ? (uint32_t)m->slot_count : 1;
    words->wishes = wishes;
    words->wishes_count = m->n_preferences;
    for (size_t i = 0; i < m->n_preferences && r == 0; i++) {
        r = release_wish(ask, m->preferences[i], &wishes[i]);
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

int codec_request_delete_ticket(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__DeleteTicketRequest *m;
    int r = codec_unpack(&fairslot__v1__delete_ticket_request__descriptor, message, ask->arena,
                         &m);
    if (r == 0) {
        r = codec_ask_ticket(ask, "name", m->name);
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

/* GetTicketRequest, WatchTicketRequest and GetTicketProofRequest are a name each, as number 1. */
int codec_request_get_ticket(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__GetTicketRequest *m;
    int r = codec_unpack(&fairslot__v1__get_ticket_request__descriptor, message, ask->arena, &m);
    return r ? r : codec_ask_ticket(ask, "name", m->name);
}

/* -- releases ---------------------------------------------------------------------------------- */

int codec_request_get_release(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__GetReleaseRequest *m;
    int r = codec_unpack(&fairslot__v1__get_release_request__descriptor, message, ask->arena, &m);
    return r ? r : release_name(ask, "name", span_of(m->name));
}

int codec_request_reveal_seed(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__RevealSeedRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__reveal_seed_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = release_name(ask, "name", span_of(m->name));
    }
    if (r == 0 && m->seed.len != 0 && m->seed.len != 32) {
        r = codec_fault(ask, "seed", "empty, or the operator's seed: 32 bytes");
    }
    if (r == 0) {
        release_words(ask)->bytes = (struct span){m->seed.data, m->seed.len};
    }
    return r;
}

/* The name of the release with "/report" behind it, or without. */
int codec_request_get_report(struct codec_ask *ask, struct span message)
{
    static const char tail[] = "/report";
    Fairslot__V1__GetReleaseReportRequest *m;
    int r = codec_unpack(&fairslot__v1__get_release_report_request__descriptor, message,
                         ask->arena, &m);
    if (r) {
        return r;
    }
    struct span name = span_of(m->name);
    if (name.len > sizeof tail - 1 &&
        memcmp(name.ptr + name.len - (sizeof tail - 1), tail, sizeof tail - 1) == 0) {
        name.len -= sizeof tail - 1;
    }
    return release_name(ask, "name", name);
}

int codec_request_get_result(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__GetReleaseResultRequest *m;
    int r = codec_unpack(&fairslot__v1__get_release_result_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = release_name(ask, "name", span_of(m->name));
    }
    return r ? r : codec_ask_page(ask, 0, m->page_token);
}

int codec_request_export(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__ExportReleaseRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__export_release_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = release_name(ask, "name", span_of(m->name));
    }
    if (r == 0) {
        release_words(ask)->action = m->withhold_preferences;
    }
    return r;
}

int codec_request_list_releases(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__ListReleasesRequest *m;
    int r = codec_unpack(&fairslot__v1__list_releases_request__descriptor, message, ask->arena,
                         &m);
    if (r == 0) {
        r = codec_ask_pool(ask, "parent", m->parent);
    }
    return r ? r : codec_ask_page(ask, m->page_size, m->page_token);
}

/* ListReleaseSlotsRequest and ListReleaseTicketsRequest have the same fields. */
int codec_request_list_release(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__ListReleaseTicketsRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__list_release_tickets_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = release_name(ask, "parent", span_of(m->parent));
    }
    return r ? r : codec_ask_page(ask, m->page_size, m->page_token);
}

int codec_request_create_release(struct codec_ask *ask, struct span message)
{
    static const Fairslot__V1__Release nothing = FAIRSLOT__V1__RELEASE__INIT;
    Fairslot__Admin__V1__CreateReleaseRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__create_release_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = codec_ask_pool(ask, "parent", m->parent);
    }
    if (r) {
        return r;
    }
    struct release_words *words = release_words(ask);
    struct release_policy *policy = arena_alloc(ask->arena, sizeof *policy);
    if (words == NULL || policy == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    words->id = span_of(m->release_id);
    words->policy = policy;
    ask->command->validate_only = m->validate_only;
    if (!codec_pool_id_ok(words->id)) {
        return codec_fault(ask, "release_id", "1 to 63 of a-z, 0-9 and '-', first and last no '-'");
    }
    if (m->n_slots) {
        return codec_fault(ask, "slots", "empty: slots_start_time and slots_end_time say which");
    }
    if (!codec_policy_read(m->release ? m->release : &nothing, policy, &ask->field,
                           &ask->detail)) {
        return REASON_FIELD_INVALID;
    }
    return codec_ask_request_id(ask, m->request_id);
}

int codec_request_change_release(struct codec_ask *ask, enum release_action action,
                                 struct span message)
{
    Fairslot__Admin__V1__OpenReleaseRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__open_release_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = release_name(ask, "name", span_of(m->name));
    }
    if (r == 0) {
        release_words(ask)->action = action;
        r = codec_ask_etag(ask, m->etag);
    }
    if (r == 0 && (strlen(m->reason) > NOTE_MAX || !codec_text_ok(span_of(m->reason)))) {
        r = codec_fault(ask, "reason", "at most 200 bytes without control characters");
    }
    if (r == 0) {
        ask->command->note = span_of(m->reason);
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

int codec_request_add_part(struct codec_ask *ask, struct span message)
{
    Fairslot__Admin__V1__AddReleasePartRequest *m;
    int r = codec_unpack(&fairslot__admin__v1__add_release_part_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = release_name(ask, "name", span_of(m->name));
    }
    if (r) {
        return r;
    }
    if (m->trustee < 0 || m->trustee > RELEASE_TRUSTEES_MAX) {
        return codec_fault(ask, "trustee", "1 to 5, or 0 for the beacon");
    }
    if (m->part.len < 1 || m->part.len > RELEASE_PART_MAX) {
        return codec_fault(ask, "part", "1 to 512 bytes");
    }
    struct release_words *words = release_words(ask);
    words->part = m->trustee ? (uint32_t)m->trustee - 1 : RELEASE_PART_BEACON;
    words->bytes = (struct span){m->part.data, m->part.len};
    return codec_ask_request_id(ask, m->request_id);
}
