/* SPDX-License-Identifier: MIT */
/* Does a copy of the state arrive whole at another store, after breaks too, and does nothing else
 * ever take the state's place?  And how far may the log be trimmed? */
#include "copies.h"

/* -- one that comes in ------------------------------------------------------------------------- */

static void check_installed(struct store *a, struct store *b, uint64_t base)
{
    uint64_t index, term;
    struct span members;
    EQ(store_log_last(b), base);
    EQ(store_log_first(b), base + 1);
    EQ(store_applied_index(b), store_applied_index(a));
    store_log_durable(b, &index, &term);
    EQ(index, base);
    EQ(term, 1);
    OK(store_installed_members(b, &index, &members));
    EQ(index, 3);
    OK(span_equal(members, span_of("who they are")));
    store_log_vote(b, &term, &index);
    EQ(term, 9);
    EQ(index, 2);
    check_same(a, b);
}

static void test_it_arrives_with_breaks(void)
{
    wipe();
    struct store *a = open_one(), *b = open_other();
    fill(a, 3000, 1);
    EQ(store_flush(a), 0);
    EQ(store_turn(a), 0);
    fill(b, 40, 9); /* it has some of its own, to be dropped */
    EQ(store_log_set_vote(b, 9, 2), 0);
    EQ(store_log_commit(b), 0);
    struct snapshot_about about = wait_copy(a, 2950);
    struct store_place place = place_at(2950);
    EQ(store_install(b, &place), STORE_E_MISSING);
    stream(a, b, &about, about.size / 3);
    EQ(snapshot_check(store_snapshots(b)), SNAPSHOT_E_OFFSET);
    EQ(snapshot_chunk(store_snapshots(b), 5, span_of("x")), SNAPSHOT_E_OFFSET);
    store_abandon(b);
    b = open_other(); /* the receiver began anew: it goes on where it was */
    uint64_t offset;
    EQ(snapshot_chunk(store_snapshots(b), 0, span_of("x")), SNAPSHOT_E_UNKNOWN);
    EQ(snapshot_receive(store_snapshots(b), &about, &offset), 0);
    EQ(offset, about.size / 3);
    stream(a, b, &about, about.size);
    EQ(wait_check(b), 0);
    place = place_at(3001); /* later than the state */
    EQ(store_install(b, &place), STORE_E_MISSING);
    place = place_at(2950);
    EQ(store_install(b, &place), 0);
    check_installed(a, b, 2950);
    OK(is_gone(other_dir, "state"));
    OK(is_there(other_dir, "state.1/data.mdb"));
    OK(!is_there(other_dir, "incoming"));
    store_abandon(b);
    b = open_other();
    check_installed(a, b, 2950);
    store_close(b);
    b = open_other(); /* sums of state.1 */
    check_installed(a, b, 2950);
    fill(b, 100, 4); /* the log catches up, fifty of them are in the state already */
    fill(a, 50, 4);
    EQ(store_applied_index(b), 3050);
    check_same(a, b);
    EQ(store_flush(b), 0);
    uint64_t index, term;
    store_log_durable(b, &index, &term);
    EQ(index, 3050);
    store_close(b);
    b = open_other();
    check_same(a, b);
    store_close(b);
    store_close(a);
}

/* A received state ahead of its log: what another leader wrote and never committed may go. */
static void test_entries_behind_a_state_ahead(void)
{
    wipe();
    struct store *a = open_one(), *b = open_other();
    fill(a, 300, 1);
    EQ(store_flush(a), 0);
    EQ(store_turn(a), 0);
    struct snapshot_about about = wait_copy(a, 300);
    struct store_place place = place_at(100);
    EQ(store_log_set_vote(b, 9, 2), 0);
    stream(a, b, &about, about.size);
    EQ(wait_check(b), 0);
    EQ(store_install(b, &place), 0);
    for (int i = 0; i < 400; i++) {
        EQ(store_log_append(b, 8, span_of("of a leader that is gone")), 0);
    }
    EQ(store_log_commit(b), 0);
    EQ(store_log_first(b), 101); /* nothing is trimmed */
    store_abandon(b);
    b = open_other();
    uint64_t index, term;
    store_log_durable(b, &index, &term);
    EQ(index, 100); /* entry 300 is another one */
    EQ(store_log_truncate(b, 101), 0);
    EQ(store_log_commit(b), 0);
    check_installed(a, b, 100);
    fill(b, 500, 1);
    fill(a, 300, 1);
    check_same(a, b);
    store_close(b);
    store_close(a);
}

static void test_damage_on_the_way(void)
{
    wipe();
    struct store *a = open_one(), *b = open_other();
    fill(a, 1000, 1);
    EQ(store_flush(a), 0);
    EQ(store_turn(a), 0);
    struct snapshot_about about = wait_copy(a, 1000);
    struct prng p;
    prng_init(&p, 3);
    for (int i = 0; i < 20; i++) {
        uint64_t at = prng_below(&p, about.size), offset;
        size_t len = 1;
        stream(a, b, &about, at);
        EQ(snapshot_read(store_snapshots(a), about.id, at, chunk, &len), 0);
        chunk[0] ^= (uint8_t)(1 << prng_below(&p, 8));
        EQ(snapshot_chunk(store_snapshots(b), at, (struct span){chunk, 1}), 0);
        stream(a, b, &about, about.size);
        EQ(wait_check(b), SNAPSHOT_E_DAMAGED);
        EQ(snapshot_check(store_snapshots(b)), SNAPSHOT_E_UNKNOWN);
        OK(!is_there(other_dir, "incoming"));
        EQ(snapshot_receive(store_snapshots(b), &about, &offset), 0);
        EQ(offset, 0);
    }
    /* All as it was sent, and yet not what it is said to be. */
    struct snapshot_about lie = about;
    lie.effects++;
    stream(a, b, &lie, lie.size);
    EQ(wait_check(b), SNAPSHOT_E_DAMAGED);
    struct store_place place = place_at(1000);
    EQ(store_install(b, &place), STORE_E_MISSING);
    store_close(b);
    store_close(a);
}

static void test_what_is_refused(void)
{
    wipe();
    struct store *b = open_other();
    uint64_t offset;
    struct snapshot_about about = {.id = 5, .size = 9000, .format = RECORD_FORMAT};
    EQ(snapshot_receive(store_snapshots(b), &about, &offset), SNAPSHOT_E_CLUSTER);
    memset(about.cluster_id, 7, sizeof about.cluster_id);
    about.format++;
    EQ(snapshot_receive(store_snapshots(b), &about, &offset), SNAPSHOT_E_FORMAT);
    about.format--;
    EQ(snapshot_receive(store_snapshots(b), &about, &offset), 0);
    memset(chunk, 1, 9001);
    EQ(snapshot_chunk(store_snapshots(b), 0, (struct span){chunk, 9001}), SNAPSHOT_E_OFFSET);
    EQ(snapshot_chunk(store_snapshots(b), 0, (struct span){chunk, 9000}), 0);
    about.id = 6; /* another one takes its place */
    EQ(snapshot_receive(store_snapshots(b), &about, &offset), 0);
    EQ(offset, 0);
    snapshot_forget(store_snapshots(b));
    EQ(snapshot_chunk(store_snapshots(b), 0, (struct span){chunk, 1}), SNAPSHOT_E_UNKNOWN);
    OK(!is_there(other_dir, "incoming"));
    store_close(b);
}

/* An install that ended before its commit leaves the old state; one after it, the new one. */
static void test_what_was_left_half_way_goes(void)
{
    wipe();
    struct store *s = open_one();
    fill(s, 100, 1);
    store_close(s);
    char line[800];
    snprintf(line, sizeof line, "cd '%s' && cp -r state state.1 && cp -r state state.77 && "
             "cp -r state copy.4 && cp -r state state.away && mkdir state.2", place_dir);
    EQ(system(line), 0);
    s = open_one();
    OK(!is_there(place_dir, "state.1") && !is_there(place_dir, "state.77"));
    OK(!is_there(place_dir, "state.2") && !is_there(place_dir, "copy.4"));
    OK(is_there(place_dir, "state.away")); /* an operator's */
    EQ(store_applied_index(s), 100);
    store_close(s);
}

/* -- the log's floor --------------------------------------------------------------------------- */

static void test_the_log_waits_for_a_peer(void)
{
    wipe();
    struct store_options o = options_of(place_dir);
    o.log_keep_entries = 2000;
    struct store *s = place_open(&o);
    store_log_floor(s, 300);
    for (int i = 0; i < 20; i++) {
        fill(s, 100, 1);
        EQ(store_flush(s), 0);
    }
    fill(s, 1, 1);
    OK(store_log_first(s) <= 300 && store_log_first(s) > 200); /* it goes in steps */
    for (int i = 0; i < 10; i++) {
        fill(s, 100, 1);
        EQ(store_flush(s), 0);
    }
    OK(store_log_first(s) > 300); /* beyond the bound it needs a snapshot */
    OK(store_log_last(s) - store_log_first(s) >= 1990);
    OK(store_log_last(s) - store_log_first(s) < 2300);
    store_log_floor(s, UINT64_MAX);
    for (int i = 0; i < 40; i++) {
        fill(s, 100, 1);
        EQ(store_flush(s), 0);
    }
    OK(store_log_last(s) - store_log_first(s) < 500);
    store_close(s);
}

/* Beyond the bound for one that lags: it is there and will ask. */
static void test_the_log_is_held_for_a_fetcher(void)
{
    wipe();
    struct store_options o = options_of(place_dir);
    o.log_keep_entries = 200;
    o.log_keep_bytes = 64 << 10;
    o.log_map_bytes = 16 << 20;
    struct store *s = place_open(&o);
    store_log_floor(s, 300);
    store_log_hold(s, 500);
    for (int i = 0; i < 40; i++) {
        fill(s, 100, 1);
        EQ(store_flush(s), 0);
        (void)store_room(s);
    }
    OK(store_log_first(s) <= 500 && store_log_first(s) > 400);
    store_log_hold(s, UINT64_MAX);
    for (int i = 0; i < 80; i++) {
        fill(s, 100, 1);
        EQ(store_flush(s), 0);
    }
    OK(store_log_last(s) - store_log_first(s) < 500);
    store_close(s);
}

/* What nobody cuts fills the map, and then the fetcher must begin anew. */
static void test_a_hold_ends_before_the_log_is_full(void)
{
    wipe();
    struct store_options o = options_of(place_dir);
    o.log_map_bytes = 512 << 10;
    struct store *s = place_open(&o);
    store_log_hold(s, 1);
    for (int i = 0; i < 80; i++) {
        fill(s, 100, 1);
        EQ(store_flush(s), 0);
        EQ(store_room(s), STORE_ROOM_OK);
    }
    OK(store_log_first(s) > 1000);
    store_close(s);
}

static void test_a_big_log_does_not_wait(void)
{
    wipe();
    struct store_options o = options_of(place_dir);
    o.log_keep_bytes = 64 << 10;
    struct store *s = place_open(&o);
    store_log_floor(s, 1);
    for (int i = 0; i < 50; i++) {
        fill(s, 100, 1);
        EQ(store_flush(s), 0);
        (void)store_room(s);
    }
    OK(store_log_first(s) > 3000);
    store_close(s);
}

/* -- a damaged state --------------------------------------------------------------------------- */

/* A bit of every value of that tag, in the file itself. */
static void spoil(const char *name, uint8_t tag)
{
    static uint8_t bytes[16 << 20];
    uint8_t words[40];
    char path[600];
    size_t found = 0;
    snprintf(path, sizeof path, "%s/%s/data.mdb", other_dir, name);
    memset(words, tag, sizeof words);
    FILE *file = fopen(path, "r+b");
    OK(file != NULL);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    for (size_t at = 0; at + sizeof words < len; at++) {
        if (memcmp(bytes + at, words, sizeof words) == 0) {
            fseek(file, (long)at + 20, SEEK_SET);
            fputc(tag ^ 4, file);
            at += sizeof words;
            found++;
        }
    }
    OK(found > 0);
    EQ(fclose(file), 0);
}

static struct store *open_spoilt(void)
{
    struct store_options o = options_of(other_dir);
    o.repairs = true;
    struct store *s = place_open(&o);
    uint64_t index;
    OK(store_wants_state(s, &index));
    EQ(index, 1);
    OK(strstr(place_text, "damaged"));
    EQ(store_applied_index(s), 0);
    OK(is_there(other_dir, "state/data.mdb")); /* until there is another one */
    return s;
}

/* What it has promised: entries, term, vote. */
static void check_promises(struct store *s, uint64_t last)
{
    uint64_t term, vote;
    EQ(store_log_first(s), 1);
    EQ(store_log_last(s), last);
    store_log_vote(s, &term, &vote);
    EQ(term, 9);
    EQ(vote, 2);
}

static void mend(struct store *a, struct store *b)
{
    struct snapshot_about about = wait_copy(a, 1);
    uint64_t index;
    EQ(store_repair(b), STORE_E_MISSING);
    stream(a, b, &about, about.size);
    EQ(wait_check(b), 0);
    EQ(store_repair(b), 0);
    OK(!store_wants_state(b, &index));
    OK(store_damaged(b) == NULL);
    check_same(a, b);
}

static void test_a_damaged_state_comes_from_a_peer(void)
{
    wipe();
    struct store *a = open_one(), *b = open_other();
    uint64_t last = 300, index;
    fill(a, last, 1);
    fill(b, last, 1);
    EQ(store_log_set_vote(b, 9, 2), 0);
    EQ(store_log_commit(b), 0);
    EQ(store_flush(a), 0);
    EQ(store_turn(a), 0);
    EQ(store_flush(b), 0);
    store_abandon(b);
    spoil("state", 1);
    struct store_options o = options_of(other_dir);
    EQ(store_open(&o, &b, place_text), STORE_E_DAMAGED); /* alone: nobody can give it another one */
    store_abandon(open_spoilt());
    b = open_spoilt(); /* it ended on the way: as damaged as before */
    check_promises(b, last);
    mend(a, b);
    check_promises(b, last);
    OK(is_gone(other_dir, "state") && !is_there(other_dir, "blank"));
    store_abandon(b);
    b = open_other();
    check_same(a, b);
    check_promises(b, last);
    /* And while it is open: found by a read. */
    uint8_t key[24];
    struct span value;
    const struct book *book = store_book(b);
    EQ(store_lose_state(b), STORE_E_DAMAGED); /* nothing was found */
    spoil("state.1", 1);
    OK(book->get(book->self, key_of(key, 7), &value) < 0);
    OK(store_damaged(b) != NULL);
    EQ(store_lose_state(b), 0);
    OK(store_wants_state(b, &index));
    EQ(store_lose_state(b), STORE_E_DAMAGED);
    mend(a, b);
    check_promises(b, last);
    fill(b, 50, 4);
    fill(a, 50, 4);
    check_same(a, b);
    EQ(store_flush(b), 0);
    store_close(b);
    store_close(a);
}

int main(void)
{
    place_make();
    TAP_RUN(test_it_arrives_with_breaks);
    TAP_RUN(test_entries_behind_a_state_ahead);
    TAP_RUN(test_damage_on_the_way);
    TAP_RUN(test_what_is_refused);
    TAP_RUN(test_what_was_left_half_way_goes);
    TAP_RUN(test_the_log_waits_for_a_peer);
    TAP_RUN(test_the_log_is_held_for_a_fetcher);
    TAP_RUN(test_a_hold_ends_before_the_log_is_full);
    TAP_RUN(test_a_big_log_does_not_wait);
    TAP_RUN(test_a_damaged_state_comes_from_a_peer);
    place_remove();
    return tap_done();
}
