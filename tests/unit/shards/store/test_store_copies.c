/* SPDX-License-Identifier: MIT */
/* Is a copy of the state that of one commit, how many are there, and does one outlive its maker? */
#include "copies.h"

static void test_a_copy_is_of_one_commit(void)
{
    wipe();
    struct store *s = open_one();
    struct snapshot_about about, again;
    fill(s, 500, 1);
    EQ(snapshot_want(store_snapshots(s), 500, &about), SNAPSHOT_E_BEHIND);
    EQ(store_flush(s), 0);
    EQ(store_turn(s), 0);
    uint64_t effects = store_applied_effects(s);
    about = wait_copy(s, 500);
    EQ(about.index, 500);
    EQ(about.effects, effects);
    EQ(about.term, 1);
    EQ(about.format, RECORD_FORMAT);
    fill(s, 500, 2);
    EQ(store_flush(s), 0);
    again = wait_copy(s, 400); /* the same does */
    EQ(again.id, about.id);
    size_t len = 100;
    EQ(snapshot_read(store_snapshots(s), about.id, about.size, chunk, &len), 0);
    EQ(len, 0);
    len = 100;
    EQ(snapshot_read(store_snapshots(s), about.id + 1, 0, chunk, &len), SNAPSHOT_E_UNKNOWN);
    EQ(store_turn(s), 0);
    again = wait_copy(s, 1000);
    OK(again.id != about.id);
    fill(s, 10, 3);
    EQ(store_flush(s), 0);
    EQ(store_turn(s), 0);
    EQ(snapshot_want(store_snapshots(s), 1010, &again), SNAPSHOT_E_BUSY);
    snapshot_release(store_snapshots(s), about.id);
    len = 100;
    EQ(snapshot_read(store_snapshots(s), about.id, 0, chunk, &len), SNAPSHOT_E_UNKNOWN);
    again = wait_copy(s, 1010);
    EQ(again.index, 1010);
    OK(is_gone(place_dir, "copy.1"));
    OK(is_there(place_dir, "copy.3/data.mdb"));
    store_abandon(s);
    s = open_one();
    OK(is_there(place_dir, "copy.2") && is_there(place_dir, "copy.3"));
    store_close(s);
}

static void test_no_room_for_a_copy(void)
{
    wipe();
    struct store *s = open_one();
    fill(s, 100, 1);
    store_close(s);
    struct store_options o = options_of(place_dir);
    o.disk_reserve_bytes = UINT64_MAX / 2;
    s = place_open(&o);
    struct snapshot_about about;
    int r = SNAPSHOT_E_WAIT;
    for (int i = 0; i < WAIT_MAX && r == SNAPSHOT_E_WAIT; i++) {
        r = snapshot_want(store_snapshots(s), 1, &about);
        usleep(10000);
    }
    EQ(r, SNAPSHOT_E_ROOM);
    OK(!is_there(place_dir, "copy.1"));
    about = (struct snapshot_about){.id = 1, .size = 4096, .format = RECORD_FORMAT};
    memset(about.cluster_id, 7, sizeof about.cluster_id);
    uint64_t offset;
    EQ(snapshot_receive(store_snapshots(s), &about, &offset), SNAPSHOT_E_ROOM);
    store_close(s);
}

/* Each side of a half sent copy ends, by kill and well; then the copy is spoilt. */
static void test_the_sender_begins_anew(void)
{
    wipe();
    struct store *a = open_one(), *b = open_other();
    fill(a, 3000, 1);
    EQ(store_flush(a), 0);
    EQ(store_turn(a), 0);
    struct snapshot_about about = wait_copy(a, 2950), again;
    stream(a, b, &about, about.size / 3);
    store_abandon(a);
    a = open_one();
    size_t len = sizeof chunk;
    EQ(snapshot_read(store_snapshots(a), about.id, 0, chunk, &len), SNAPSHOT_E_UNKNOWN);
    again = wait_copy(a, 2950); /* once it was seen to be whole */
    EQ(again.id, about.id);
    uint64_t offset;
    EQ(snapshot_receive(store_snapshots(b), &again, &offset), 0);
    EQ(offset, about.size / 3);
    stream(a, b, &again, about.size / 2);
    store_close(a);
    a = open_one();
    again = wait_copy(a, 2950);
    EQ(again.id, about.id);
    stream(a, b, &again, about.size);
    EQ(wait_check(b), 0);
    store_close(a);
    a = open_one();
    fill(a, 100, 2);
    EQ(store_flush(a), 0);
    EQ(store_turn(a), 0);
    again = wait_copy(a, 3050); /* what was kept is too early for that */
    OK(again.id != about.id);
    OK(is_there(place_dir, "copy.1/data.mdb") && is_there(place_dir, "copy.2/data.mdb"));
    store_close(a);
    char line[800];
    snprintf(line, sizeof line, "cd '%s' && printf x | dd of=copy.1/data.mdb bs=1 seek=9000 "
             "conv=notrunc 2>/dev/null && : >copy.2/data.mdb", place_dir);
    EQ(system(line), 0);
    a = open_one();
    again = wait_copy(a, 2950); /* neither: a new one */
    OK(again.id != about.id && again.index == 3100);
    OK(!is_there(place_dir, "copy.2"));
    store_close(a);
    store_close(b);
}

int main(void)
{
    place_make();
    TAP_RUN(test_a_copy_is_of_one_commit);
    TAP_RUN(test_no_room_for_a_copy);
    TAP_RUN(test_the_sender_begins_anew);
    place_remove();
    return tap_done();
}
