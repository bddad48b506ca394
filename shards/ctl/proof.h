/* SPDX-License-Identifier: MIT */
/* What one person keeps: a receipt (the answer of CreateTicket) and a proof (of GetTicketProof), as
 * the JSON files that `fairslot ticket create` and `fairslot ticket proof -o json` print. */
#ifndef FAIRSLOT_CTL_PROOF_H
#define FAIRSLOT_CTL_PROOF_H

#include "draw/bundle.h"
#include "draw/preferences.h"

#define PROOF_TEXT 160 /* bytes of a name or word out of the file, with its end */

struct proof {
    char ticket[PROOF_TEXT];  /* its name */
    char state[PROOF_TEXT];   /* "STATE_LOST" */
    char outcome[PROOF_TEXT]; /* "PREFERENCES_TAKEN", or empty */
    struct draw_bundle_receipt receipt;
    bool has_receipt_signature;
    struct draw_preferences preferences;
    char slugs[DRAW_WISHES_MAX][SLOT_DESK_MAX + 1]; /* that the preferences borrow */
    uint8_t nonce[16];
    struct draw_hash path[DRAW_PATH_MAX];
    unsigned path_len;
    uint64_t index, count;
    struct draw_hash root;
    struct draw_hash seed;
    bool is_ranked;
    uint64_t rank, cut_off;
    struct draw_key key;
    struct draw_signature root_signature;
    bool has_root_signature;
};

/* Reads a receipt: a ticket as JSON.  False: *ret_what (static) is missing or wrong in it. */
bool proof_read_receipt(struct span json, struct draw_bundle_receipt *ret_receipt,
                        const char **ret_what);
/* Reads a proof. */
bool proof_read(struct span json, struct proof *ret_proof, const char **ret_what);
/* Recomputes it: NULL, or what does not hold (static).  `key`: the operator's, from elsewhere;
 * NULL: the proof's own. */
const char *proof_check(const struct proof *p, const struct draw_key *key);
/* 64 hex digits, or a PEM file.  False: neither. */
bool proof_key(const char *text, struct draw_key *ret_key);

#endif
