/* SPDX-License-Identifier: MIT */
/* Ordered records in memory: key -> value or tombstone, between the ledger and the disk.
 * Keys compare as bytes, shorter first (as LMDB does).  Grows only, is dropped whole.  No clock, no
 * files.  One thread writes; once nobody writes any more, any number of threads may read. */
#ifndef FAIRSLOT_STORE_OVERLAY_H
#define FAIRSLOT_STORE_OVERLAY_H

#include "base/types.h"

struct overlay;
struct overlay_node;

/* One record; borrowed: key as long as the overlay is not reset, value until it is put again. */
struct overlay_entry {
    uint8_t *value;     /* in the overlay's blocks; behind the key at first */
    uint32_t value_len; /* bytes */
    uint32_t unit;      /* where the entry itself is, in the overlay's blocks */
    uint16_t value_cap; /* bytes that fit at `value` */
    uint8_t key_len;    /* bytes */
    bool tombstone;     /* the record was removed: hides older layers */
    uint8_t key[];      /* key_len bytes, then value_cap bytes of the first value */
};

/* A place in key order.  Valid until the next put, del or reset. */
struct overlay_cursor {
    const struct overlay_node *leaf; /* NULL: past the end */
    unsigned index;                  /* of the entry in the leaf */
};

/* 0 or -ENOMEM. */
int overlay_new(struct overlay **ret_overlay);
/* Has and keeps so much memory from now on, touched, so that nobody waits for the kernel to clear
 * it; before the first put.  0 or -ENOMEM. */
int overlay_warm(struct overlay *o, size_t bytes);
/* Takes NULL. */
void overlay_free(struct overlay *o);
/* Empty again; keeps some blocks for the next use. */
void overlay_reset(struct overlay *o);

/* Both copy.  Key 1..BOOK_KEY_MAX bytes, value up to BOOK_VALUE_MAX.  0 or -ENOMEM. */
int overlay_put(struct overlay *o, struct span key, struct span value);
int overlay_del(struct overlay *o, struct span key);

/* What a key is looked up by, the same in every overlay of the process. */
uint32_t overlay_tag(struct span key);
/* It will be looked up soon: memory is asked for now, and nobody waits for it. */
void overlay_fetch(const struct overlay *o, uint32_t tag);
/* The same for the record itself, once overlay_fetch() has done its part.  false: it seems not to
 * be here. */
bool overlay_fetch_entry(const struct overlay *o, uint32_t tag);
/* The record or its tombstone; NULL when this layer does not know the key. */
const struct overlay_entry *overlay_find_tagged(const struct overlay *o, struct span key,
                                                uint32_t tag);
static inline const struct overlay_entry *overlay_find(const struct overlay *o, struct span key)
{
    return overlay_find_tagged(o, key, overlay_tag(key));
}
/* The first entry (tombstones too) with key >= `from`, exclusive: > `from`. */
struct overlay_cursor overlay_seek(const struct overlay *o, struct span from, bool exclusive);
/* The entry at the cursor; NULL past the end. */
const struct overlay_entry *overlay_at(const struct overlay_cursor *c);
void overlay_step(struct overlay_cursor *c);

uint64_t overlay_count(const struct overlay *o); /* entries, tombstones included */
/* Different routing keys among them, or a few more: records of one key lie side by side on disk. */
uint64_t overlay_places(const struct overlay *o);
uint64_t overlay_bytes(const struct overlay *o); /* handed out of its blocks */

static inline struct span overlay_key(const struct overlay_entry *e)
{
    return (struct span){e->key, e->key_len};
}

static inline struct span overlay_value(const struct overlay_entry *e)
{
    return (struct span){e->value, e->value_len};
}

#endif
