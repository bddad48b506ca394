/* SPDX-License-Identifier: MIT */
/* Budgets of address groups.
 *
 *   group -> SipHash -> four cells, one in each row
 *   may it begin?   least of four "earliest next times" <= now + burst: then all four become
 *                   max(what they are, max(least, now) + interval)            (conservative update)
 *   may it be open? least of four counters < connections_max: then all four are counted
 *
 * Owns: 4 x TOLL_CELLS cells, 16 bytes each: 1 MiB, however many addresses there are.
 * Fails by refusing.  What is refused is not charged, so an address that is retried in vain gets in
 * as soon as its budget has refilled.
 * Invariants: a counter is never below the group's true number of open connections, an earliest
 * next time never before the group's own: the sketch errs on the refusing side only.
 * How often it errs: with k groups that have spent their rate at the same time, a stranger is
 * refused with (1 - (1 - 1/16384)^k)^4: 1 in 25,000 for 1,200 groups, which need 100,000
 * connections a second at the default rate, more than there is.
 * Not a table of addresses: an IPv6 /32 has 65,536 groups, and an entry for each would be what an
 * anonymous caller may make us allocate, or evict. */
#include "gateway/toll.h"

#include <errno.h>
#include <sodium/crypto_shorthash.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define TOLL_ROWS      4
#define TOLL_CELL_BITS 14
#define TOLL_CELLS     (1u << TOLL_CELL_BITS)
#define TOLL_V4        (UINT64_C(1) << 56)
#define TOLL_V6        (UINT64_C(2) << 56)

_Static_assert(TOLL_ROWS * TOLL_CELL_BITS <= 64, "one hash picks every row's cell");

struct toll_cell {
    uint64_t next_us; /* when the next one would be due at the even rate */
    uint32_t open;    /* connections counted here */
};

struct toll {
    struct toll_options options;
    uint64_t interval_us; /* between two connections at the even rate */
    struct toll_cell rows[TOLL_ROWS][TOLL_CELLS];
};

void toll_set(struct toll *b, const struct toll_options *options)
{
    IMPLY(options->rate_per_s > 0, options->burst > 0);
    b->options = *options;
    b->interval_us = options->rate_per_s > 0 ? (uint64_t)SECOND_US / options->rate_per_s : 0;
}

int toll_new(const struct toll_options *options, struct toll **ret_toll)
{
    CHECK(sizeof options->secret == crypto_shorthash_KEYBYTES);
    struct toll *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return err_origin(-ENOMEM);
    }
    toll_set(b, options);
    *ret_toll = b;
    return 0;
}

void toll_free(struct toll *b)
{
    free(b);
}

struct toll_group toll_group_of(const uint8_t *address, size_t len)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    CHECK(len == 4 || len == 16);
    if (len == 16 && memcmp(address, mapped, sizeof mapped) == 0) {
        address += sizeof mapped;
        len = 4;
    }
    uint64_t value = 0;
    for (int i = 0; i < (len == 4 ? 3 : 6); i++) {
        value = value << 8 | address[i];
    }
    return (struct toll_group){value | (len == 4 ? TOLL_V4 : TOLL_V6)};
}

static void toll_cells(struct toll *b, struct toll_group group,
                         struct toll_cell *ret_cells[TOLL_ROWS])
{
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t hash;
    crypto_shorthash(out, (const uint8_t *)&group.value, sizeof group.value, b->options.secret);
    memcpy(&hash, out, sizeof hash);
    for (int i = 0; i < TOLL_ROWS; i++) {
        ret_cells[i] = &b->rows[i][hash & (TOLL_CELLS - 1)];
        hash >>= TOLL_CELL_BITS;
    }
}

int toll_enter(struct toll *b, struct toll_group group, uint64_t now_us)
{
    struct toll_cell *cells[TOLL_ROWS];
    uint64_t next_us = UINT64_MAX;
    uint32_t open = UINT32_MAX;
    if (group.value == 0) {
        return 0;
    }
    toll_cells(b, group, cells);
    for (int i = 0; i < TOLL_ROWS; i++) {
        next_us = cells[i]->next_us < next_us ? cells[i]->next_us : next_us;
        open = cells[i]->open < open ? cells[i]->open : open;
    }
    if (b->options.connections_max > 0 && open >= b->options.connections_max) {
        return TOLL_E_OPEN;
    }
    next_us = next_us > now_us ? next_us : now_us;
    uint64_t room_us = b->interval_us * b->options.burst;
    if (next_us + b->interval_us > now_us + room_us && b->interval_us > 0) {
        return TOLL_E_RATE;
    }
    for (int i = 0; i < TOLL_ROWS; i++) {
        uint64_t due_us = next_us + b->interval_us;
        cells[i]->next_us = cells[i]->next_us > due_us ? cells[i]->next_us : due_us;
        cells[i]->open++;
    }
    return 0;
}

void toll_leave(struct toll *b, struct toll_group group)
{
    struct toll_cell *cells[TOLL_ROWS];
    if (group.value == 0) {
        return;
    }
    toll_cells(b, group, cells);
    for (int i = 0; i < TOLL_ROWS; i++) {
        CHECK(cells[i]->open > 0);
        cells[i]->open--;
    }
}
