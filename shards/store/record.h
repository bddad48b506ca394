/* SPDX-License-Identifier: MIT */
/* What the environments say about themselves, and the checksums of what they hold.  Pure.
 * XXH3-64 (Y. Collet): LMDB 0.9 has no checksums, and of bit flips with an effect 98.9 % were
 * silent when measured.  A sum is seeded by the record's key, so that a record that LMDB hands out
 * under a wrong key is found too. */
#ifndef FAIRSLOT_STORE_RECORD_H
#define FAIRSLOT_STORE_RECORD_H

#include "base/types.h"

#define RECORD_FORMAT   2  /* of the state and its copies; raise it with any change of layout */
#define RECORD_LOG_FORMAT 4 /* of the log, tree and tail; older ones are made this at opening */
#define RECORD_LOG_FORMAT_TAIL 3 /* it did not say whose disk it is on */
#define RECORD_LOG_FORMAT_BARE 2 /* it had no tail either */
#define RECORD_SUM_SIZE 8 /* bytes before the value of a state record */
#define RECORD_LOG_HEAD 16 /* bytes before a log entry: term, checksum */

struct record_log_meta {
    uint32_t format;       /* that it was read in; written is always RECORD_LOG_FORMAT */
    uint8_t cluster_id[16];
    uint64_t term; /* of the vote */
    uint64_t vote; /* 0: none */
    uint64_t base; /* index that an empty log stands behind */
    uint64_t base_term;    /* of that entry */
    uint64_t state_number; /* which directory holds the state: an installed snapshot is the next */
    uint64_t disk; /* whose promises these are (node/badge.h); 0: a shard's alone, or not said */
};

struct record_state_meta {
    uint8_t cluster_id[16];
    uint64_t applied_index; /* every effect up to here is in the environment, and none later */
    uint64_t applied_term;
    int64_t applied_time_us;
    uint64_t effects; /* of all puts and dels up to here: record_effect() */
    uint64_t count;   /* of the records */
    uint64_t digest;  /* sum of their checksums, modulo 2^64: none is missing, none surplus */
};

/* The top byte of an entry's term is the replica's. */
static inline uint64_t record_term(uint64_t word)
{
    return word & ((UINT64_C(1) << 56) - 1);
}

#define RECORD_LOG_META_SIZE   80
#define RECORD_STATE_META_SIZE 80

enum {
    RECORD_E_FORMAT = 1,  /* another data format version: *ret_format says which */
    RECORD_E_DAMAGED = 2,
};

void record_log_meta_write(const struct record_log_meta *m, uint8_t out[RECORD_LOG_META_SIZE]);
int record_log_meta_read(struct span bytes, struct record_log_meta *ret_meta,
                         uint32_t *ret_format);
void record_state_meta_write(const struct record_state_meta *m,
                             uint8_t out[RECORD_STATE_META_SIZE]);
int record_state_meta_read(struct span bytes, struct record_state_meta *ret_meta,
                           uint32_t *ret_format);

uint64_t record_entry_sum(uint64_t index, uint64_t term, struct span entry);
/* The environment's bytes of a state record: sum, value.  `out` has room for both. */
void record_value_write(struct span key, struct span value, uint8_t *out);
/* The checksum that stands before a stored value; 0 when there is none. */
uint64_t record_value_sum(struct span stored);
/* Goes on from `effects` over one put, or a del (`value` with ptr NULL).  Two replicas that applied
 * the same entries have the same number; it says nothing about the order on disk. */
uint64_t record_effect(uint64_t effects, struct span key, struct span value);
/* 0 and the value inside `stored`, or RECORD_E_DAMAGED. */
int record_value_read(struct span key, struct span stored, struct span *ret_value);

#endif
