/* SPDX-License-Identifier: MIT */
/* Ids and units that every room shares.  Ids are one-field structs, so that two of them cannot
 * be swapped by accident.  Times are microseconds since the Unix epoch (UTC) unless named. */
#ifndef FAIRSLOT_BASE_TYPES_H
#define FAIRSLOT_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes: valid as long as the owner says. */
struct span {
    const uint8_t *ptr;
    size_t len;
};

/* Pseudonym of a verified person: HMAC(tenant key, issuer, subject), first 16 bytes. */
struct identity {
    uint8_t bytes[16];
};

/* A client's UUID for one mutation, as 16 bytes. */
struct request_id {
    uint8_t bytes[16];
};

/* Where a record lives (docs/decisions/0003): compared as (space, position), both unsigned. */
struct routing_key {
    uint64_t space;
    uint64_t position;
};

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US   (60 * MINUTE_US)
#define DAY_US    (24 * HOUR_US)

#endif
