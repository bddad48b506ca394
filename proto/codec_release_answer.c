/* SPDX-License-Identifier: MIT */
/* Done verdicts about releases and tickets -> public messages.
 * As codec_answer.c: pure, the same verdict gives the same bytes, which is what makes a repeated
 * request's answer equal to the first one.
 * Owns nothing; -ENOMEM over the arena's cap. */
#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/err.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec_parts.h"
#include "shard/v1/shard.pb-c.h"

#define PART_NAME 24     /* bytes of "trustee 5" */

static ProtobufCBinaryData answer_bytes(const void *ptr, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)ptr};
}

static ProtobufCBinaryData answer_span(struct span bytes)
{
    return answer_bytes(bytes.ptr, bytes.len);
}

static char *answer_etag(struct arena *arena, uint64_t version)
{
    char etag[ETAG_MAX];
    codec_etag(version, etag);
    return codec_text(arena, span_of(etag));
}

/* "pools/P/releases/R/tickets/T", T in hex. */
static char *answer_ticket_name(struct arena *arena, const struct ticket_view *v)
{
    char *out = arena_alloc(arena, 256);
    if (out == NULL) {
        return NULL;
    }
    int n = snprintf(out, 256, "pools/%.*s/releases/%.*s/tickets/", (int)v->pool.len,
                     (const char *)v->pool.ptr, (int)v->release.len,
                     (const char *)v->release.ptr);
    CHECK(n > 0 && n + 33 < 256);
    for (size_t i = 0; i < sizeof v->id; i++) {
        snprintf(out + n + 2 * i, 3, "%02x", v->id[i]);
    }
    return out;
}

/* -- releases ---------------------------------------------------------------------------------- */

static bool answer_parts(const struct release_view *v, struct arena *arena,
                         Fairslot__V1__Release *m)
{
    uint32_t n = v->policy.trustees_count;
    char *texts = arena_alloc(arena, (RELEASE_TRUSTEES_MAX + 1) * PART_NAME);
    m->trustee_parts = arena_alloc(arena, (n + 1) * sizeof *m->trustee_parts);
    m->missing_parts = arena_alloc(arena, (n + 1) * sizeof *m->missing_parts);
    if (texts == NULL || m->trustee_parts == NULL || m->missing_parts == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        m->trustee_parts[i] = answer_span(v->parts[i]);
        if (v->is_ranked && v->parts[i].len == 0) {
            snprintf(texts + PART_NAME * i, PART_NAME, "trustee %u", i + 1);
            m->missing_parts[m->n_missing_parts++] = texts + PART_NAME * i;
        }
    }
    m->n_trustee_parts = n;
    if (v->is_ranked && v->policy.beacon.len && v->beacon_value.len == 0 && v->manifest.len) {
        m->missing_parts[m->n_missing_parts++] = (char *)"beacon";
    }
    m->beacon_value = answer_span(v->beacon_value);
    m->manifest = answer_span(v->manifest);
    return true;
}

static bool answer_has(const uint8_t hash[32])
{
    static const uint8_t none[32];
    return memcmp(hash, none, sizeof none) != 0;
}

/* NULL over the cap. */
static Fairslot__V1__Release *answer_release(const struct release_view *v, struct arena *arena)
{
    Fairslot__V1__Release *m = codec_policy_message(arena, &v->policy);
    ProtobufCBinaryData *commitments = arena_alloc(arena, sizeof *commitments);
    if (m == NULL || commitments == NULL) {
        return NULL;
    }
    m->name = codec_name_make(arena, v->pool, "/releases/", v->id);
    m->etag = answer_etag(arena, v->version);
    m->state = (Fairslot__V1__Release__State)v->state;
    m->slot_count = v->slot_count;
    m->manifest_sha256 = answer_bytes(v->manifest_hash, answer_has(v->manifest_hash) ? 32 : 0);
    commitments[0] = answer_bytes(v->operator_commitment, 32);
    m->seed_commitments = commitments;
    m->n_seed_commitments = 1;
    m->ticket_root = answer_bytes(v->ticket_root, v->is_sealed ? 32 : 0);
    m->ticket_count = (int64_t)v->tickets_count;
    m->rank_threshold = v->rank_threshold;
    m->cut_off = v->cut_off;
    m->cohort = (int32_t)v->cohort;
    m->served_count = (int64_t)v->served_count;
    m->operator_seed = answer_bytes(v->operator_seed, v->is_ranked ? 32 : 0);
    m->seed = answer_bytes(v->seed, v->is_ranked ? 32 : 0);
    if (v->seal_us) {
        m->seal_time = codec_timestamp(arena, v->seal_us);
    }
    bool is_whole = m->name && m->etag && (m->seal_time || v->seal_us == 0);
    return is_whole && answer_parts(v, arena, m) ? m : NULL;
}

int codec_answer_release(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    Fairslot__V1__Release *m = answer_release(v->releases, arena);
    const struct verdict_signed *s = v->is_signed;
    if (m && s && s->has_manifest) {
        m->operator_key = answer_bytes(s->key, sizeof s->key);
        m->manifest_signature = answer_bytes(s->manifest, sizeof s->manifest);
        m->root_signature = answer_bytes(s->root, s->has_root ? sizeof s->root : 0);
    }
    if (m && v->as_of_index > 0) { /* of a replica without a leader */
        m->as_of_index = (int64_t)v->as_of_index;
        m->as_of_time = codec_timestamp(arena, v->as_of_us);
        m = m->as_of_time ? m : NULL;
    }
    return m ? err_trace(codec_pack(&m->base, arena, ret_message)) : err_origin(-ENOMEM);
}

int codec_answer_releases(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    Fairslot__V1__ListReleasesResponse m = FAIRSLOT__V1__LIST_RELEASES_RESPONSE__INIT;
    m.releases = arena_alloc(arena, (v->releases_count + 1) * sizeof *m.releases);
    m.next_page_token = codec_text(arena, v->next_page_token);
    m.as_of_time = codec_timestamp(arena, v->as_of_us);
    m.as_of_index = (int64_t)v->as_of_index;
    if (m.releases == NULL || m.next_page_token == NULL || m.as_of_time == NULL) {
        return err_origin(-ENOMEM);
    }
    for (; m.n_releases < v->releases_count; m.n_releases++) {
        m.releases[m.n_releases] = answer_release(&v->releases[m.n_releases], arena);
        if (m.releases[m.n_releases] == NULL) {
            return err_origin(-ENOMEM);
        }
    }
    return err_trace(codec_pack(&m.base, arena, ret_message));
}

/* -- tickets ----------------------------------------------------------------------------------- */

static bool answer_wish(const struct ticket_view *v, const struct ticket_wish *w,
                        struct arena *arena, Fairslot__V1__Preference *m)
{
    fairslot__v1__preference__init(m);
    if (w->kind == WISH_SLOT) {
        m->want_case = FAIRSLOT__V1__PREFERENCE__WANT_SLOT;
        m->slot = codec_name_slot(arena, v->pool, &w->slot);
        return m->slot != NULL;
    }
    if (w->kind == WISH_ANY) {
        m->want_case = FAIRSLOT__V1__PREFERENCE__WANT_ANY;
        m->any = true;
        return true;
    }
    Fairslot__V1__Preference__SlotClass *c = arena_alloc(arena, sizeof *c);
    if (c == NULL) {
        return false;
    }
    fairslot__v1__preference__slot_class__init(c);
    c->from_time = codec_timestamp(arena, w->from_us);
    c->to_time = codec_timestamp(arena, w->to_us);
    m->want_case = FAIRSLOT__V1__PREFERENCE__WANT_SLOT_CLASS;
    m->slot_class = c;
    return c->from_time && c->to_time;
}

static bool answer_wishes(const struct ticket_view *v, struct arena *arena,
                          Fairslot__V1__Ticket *m)
{
    Fairslot__V1__Preference *made = arena_alloc(arena, (v->wishes_count + 1) * sizeof *made);
    m->preferences = arena_alloc(arena, (v->wishes_count + 1) * sizeof *m->preferences);
    if (made == NULL || m->preferences == NULL) {
        return false;
    }
    for (; m->n_preferences < v->wishes_count; m->n_preferences++) {
        size_t i = m->n_preferences;
        m->preferences[i] = &made[i];
        if (!answer_wish(v, &v->wishes[i], arena, &made[i])) {
            return false;
        }
    }
    return true;
}

/* NULL over the cap. */
static Fairslot__V1__Ticket *answer_ticket(const struct verdict *verdict, struct arena *arena)
{
    const struct ticket_view *v = verdict->ticket;
    const struct verdict_signed *s = verdict->is_signed;
    Fairslot__V1__Ticket *m = arena_alloc(arena, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    fairslot__v1__ticket__init(m);
    m->name = answer_ticket_name(arena, v);
    m->etag = answer_etag(arena, v->version);
    m->state = (Fairslot__V1__Ticket__State)v->state;
    m->slot_count = (int32_t)v->slot_count;
    m->cohort = (int32_t)v->cohort;
    m->rank = v->is_ranked ? v->rank : 0;
    m->ahead = (int64_t)v->ahead;
    m->min_poll_interval = codec_duration(arena, TICKET_POLL_US);
    m->receipt = answer_bytes(v->leaf, sizeof v->leaf);
    m->manifest_sha256 = answer_bytes(v->manifest_hash, answer_has(v->manifest_hash) ? 32 : 0);
    m->nonce = answer_bytes(v->nonce, sizeof v->nonce);
    m->leaf_version = (int32_t)v->leaf_version;
    if (s && s->has_receipt) {
        m->receipt_signature = answer_bytes(s->receipt, sizeof s->receipt);
    }
    m->outcome_reason = codec_text(arena, span_of(v->outcome));
    m->log_index = v->log_index;
    bool is_whole = m->name && m->etag && m->min_poll_interval && m->outcome_reason;
    if (v->act_by_us) {
        m->act_by_time = codec_timestamp(arena, v->act_by_us);
        is_whole = is_whole && m->act_by_time;
    }
    if (v->hold_number) {
        m->hold = codec_name_owned(arena, v->pool, 'h', v->hold_owner, v->hold_number);
        is_whole = is_whole && m->hold;
    }
    return is_whole && answer_wishes(v, arena, m) ? m : NULL;
}

int codec_answer_ticket(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    Fairslot__V1__Ticket *m = answer_ticket(v, arena);
    return m ? err_trace(codec_pack(&m->base, arena, ret_message)) : err_origin(-ENOMEM);
}

int codec_answer_proof(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    const struct ticket_proof_view *p = v->proof;
    Fairslot__V1__TicketProof m = FAIRSLOT__V1__TICKET_PROOF__INIT;
    m.path = arena_alloc(arena, (p->path_count + 1) * sizeof *m.path);
    m.ticket = answer_ticket(v, arena);
    if (m.path == NULL || m.ticket == NULL) {
        return err_origin(-ENOMEM);
    }
    for (; m.n_path < p->path_count; m.n_path++) {
        m.path[m.n_path] = answer_bytes(p->path[m.n_path], 32);
    }
    m.leaf = answer_bytes(p->leaf, 32);
    m.ticket_root = answer_bytes(p->root, 32);
    m.seed = answer_bytes(p->seed, v->ticket->is_ranked ? 32 : 0);
    m.rank = p->rank;
    m.cut_off = p->cut_off;
    m.leaf_index = p->index;
    m.leaf_count = p->count;
    if (v->is_signed && v->is_signed->has_root) {
        m.operator_key = answer_bytes(v->is_signed->key, sizeof v->is_signed->key);
        m.root_signature = answer_bytes(v->is_signed->root, sizeof v->is_signed->root);
    }
    return err_trace(codec_pack(&m.base, arena, ret_message));
}

/* -- the bundle -------------------------------------------------------------------------------- */

static bool answer_row(const struct ticket_row *row, struct arena *arena,
                       Fairslot__Admin__V1__ListReleaseTicketsResponse__Row *m)
{
    fairslot__admin__v1__list_release_tickets_response__row__init(m);
    m->ticket_id = answer_bytes(row->id, sizeof row->id);
    m->cohort = (int32_t)row->cohort;
    m->leaf_version = (int32_t)row->version;
    m->withdrawn = row->is_withdrawn;
    m->preferences = answer_span(row->preferences);
    m->nonce = answer_bytes(row->nonce, sizeof row->nonce);
    m->arrival = row->number;
    m->state = (Fairslot__V1__Ticket__State)row->state;
    m->wish = (int32_t)row->wish;
    m->assurance = (Fairslot__V1__Assurance)row->assurance;
    if (row->first_us == 0) {
        return true;
    }
    m->first_slot = arena_alloc(arena, sizeof *m->first_slot);
    if (m->first_slot == NULL) {
        return false;
    }
    fairslot__v1__slot__init(m->first_slot);
    m->first_slot->start_time = codec_timestamp(arena, row->first_us);
    m->first_slot->desk = codec_text(arena, row->first_slug);
    return m->first_slot->start_time && m->first_slot->desk;
}

int codec_answer_rows(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    Fairslot__Admin__V1__ListReleaseTicketsResponse m =
        FAIRSLOT__ADMIN__V1__LIST_RELEASE_TICKETS_RESPONSE__INIT;
    m.rows = arena_alloc(arena, (v->rows_count + 1) * sizeof *m.rows);
    m.next_page_token = codec_text(arena, v->next_page_token);
    if (m.rows == NULL || m.next_page_token == NULL) {
        return err_origin(-ENOMEM);
    }
    for (; m.n_rows < v->rows_count; m.n_rows++) {
        m.rows[m.n_rows] = arena_alloc(arena, sizeof **m.rows);
        if (m.rows[m.n_rows] == NULL || !answer_row(&v->rows[m.n_rows], arena, m.rows[m.n_rows])) {
            return err_origin(-ENOMEM);
        }
    }
    return err_trace(codec_pack(&m.base, arena, ret_message));
}

/* -- a bundle ---------------------------------------------------------------------------------- */

#define SIGNATURES_MAX 512 /* bytes of the file */

/* The file signatures; what is not signed is missing. */
static bool answer_signatures(const struct verdict_signed *is, struct arena *arena,
                              struct span *ret_text)
{
    static const char *const keys[] = {"operator-key", "manifest", "root"};
    char *out = arena_alloc(arena, SIGNATURES_MAX);
    if (out == NULL) {
        return false;
    }
    struct span bytes[] = {{0}, {0}, {0}};
    if (is) {
        bytes[0] = (struct span){is->key, is->has_manifest ? sizeof is->key : 0};
        bytes[1] = (struct span){is->manifest, is->has_manifest ? sizeof is->manifest : 0};
        bytes[2] = (struct span){is->root, is->has_root ? sizeof is->root : 0};
    }
    int n = 0;
    for (size_t i = 0; i < 3; i++) {
        n += snprintf(out + n, SIGNATURES_MAX - (size_t)n, "%s: ", keys[i]);
        for (size_t j = 0; j < bytes[i].len; j++) {
            n += snprintf(out + n, SIGNATURES_MAX - (size_t)n, "%02x", bytes[i].ptr[j]);
        }
        n += snprintf(out + n, SIGNATURES_MAX - (size_t)n, bytes[i].len ? "\n" : "missing\n");
    }
    CHECK(n > 0 && n < SIGNATURES_MAX);
    *ret_text = (struct span){(const uint8_t *)out, (size_t)n};
    return true;
}

int codec_answer_piece(const struct verdict *v, struct arena *arena, struct span *ret_message)
{
    Shard__V1__ExportPage m = SHARD__V1__EXPORT_PAGE__INIT;
    struct span bytes = v->piece->bytes;
    if (v->releases_count && !answer_signatures(v->is_signed, arena, &bytes)) {
        return err_origin(-ENOMEM);
    }
    m.chunk = answer_span(bytes);
    m.file = (char *)v->piece->file;
    m.next_page_token = codec_text(arena, v->next_page_token);
    return m.next_page_token ? err_trace(codec_pack(&m.base, arena, ret_message))
                             : err_origin(-ENOMEM);
}
