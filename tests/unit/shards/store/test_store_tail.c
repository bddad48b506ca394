/* SPDX-License-Identifier: MIT */
/* Does the tail of the log give back what it made durable, all of it, and nothing else?
 * A crash leaves any sectors of the batch that was being written, and old ones in place of the
 * others: that is never damage, and the batch is whole or absent.
 * This program's own open and pwrite stand before libc's. */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>

#include "tail_model.h"

#define ROUNDS 4000

static bool refuses_direct; /* as some file systems do */
static int write_count;
static int write_code;      /* errno of the next write, once; 0: none */
static size_t write_most;   /* bytes of the next write, once; 0: all */

int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (!real) {
        *(void **)&real = dlsym(RTLD_NEXT, "open");
    }
    if (refuses_direct && (flags & O_DIRECT)) {
        errno = EINVAL;
        return -1;
    }
    return real(path, flags, mode);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) {
        *(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
    }
    write_count++;
    if (write_code) {
        errno = write_code;
        write_code = 0;
        return -1;
    }
    size_t most = write_most;
    write_most = 0;
    return real(fd, bytes, most && most < len ? most : len, offset);
}

/* -- what is written is there ------------------------------------------------------------------ */

static void test_batches_and_turns(void)
{
    struct model m = begin(32 << 10);
    struct prng p;
    uint64_t turns = 0;
    prng_init(&p, 1);
    for (int i = 0; i < ROUNDS; i++) {
        bool is_full = false;
        for (uint64_t left = prng_below(&p, 4); left > 0 && !is_full; left--) {
            is_full = !add(&m);
        }
        if (is_full) {
            turn(&m);
            turns++;
        } else {
            commit(&m);
        }
        if (prng_below(&p, 10) == 0) {
            end(&m);
            open_again(&m);
        }
    }
    OK(turns > 100);
    end(&m);
}

static void test_records_of_every_size(void)
{
    struct model m = begin(64 << 10);
    for (size_t len = 0; len <= 15000; len += len < 1500 ? 1 : 97) {
        OK(add_len(&m, len)); /* alone; and between two others */
        commit(&m);
        OK(add_len(&m, len / 2));
        OK(add_len(&m, len));
        OK(add_len(&m, 0));
        commit(&m);
        end(&m);
        open_again(&m);
    }
    end(&m);
}

static void test_nothing_to_commit(void)
{
    struct model m = begin(BLOCK);
    load(before, BLOCK);
    for (int i = 0; i < 3; i++) {
        EQ(tail_commit(m.t), 0);
        EQ(tail_used(m.t), 0);
    }
    load(after, BLOCK);
    OK(memcmp(before, after, BLOCK) == 0);
    batch(&m, 1);
    EQ(tail_commit(m.t), 0);
    EQ(tail_used(m.t), BLOCK);
    end(&m);
    open_again(&m);
    OK(add(&m)); /* and nobody commits it */
    end(&m);
    open_again(&m);
    end(&m);
    tail_close(NULL);
}

static void test_other_turns_count_for_nothing(void)
{
    struct model m = begin(32 << 10);
    for (int i = 0; i < 4; i++) {
        batch(&m, 1);
    }
    m.txn++; /* the tree was committed, and then the power went */
    m.first = m.acked;
    m.used = 0;
    end(&m);
    open_again(&m);
    batch(&m, 1); /* behind it there are whole batches of the turn before */
    end(&m);
    open_again(&m);
    end(&m);
}

/* -- full -------------------------------------------------------------------------------------- */

static void test_a_batch_that_fits_to_the_byte(void)
{
    for (size_t file = BLOCK; file <= 8 * BLOCK; file += BLOCK) {
        struct model m = begin(file);
        size_t most = file / SECTOR * ROOM - 4;
        OK(most < RECORD_MAX || file > 4 * BLOCK);
        size_t half = most < RECORD_MAX ? most : most - 4 - 15000;
        OK(half == most || add_len(&m, 15000));
        OK(!add_len(&m, half + 1));
        EQ(tail_add(m.t, (struct span){0}, (struct span){0}), TAIL_E_FULL);
        turn(&m);
        OK(half == most || add_len(&m, 15000));
        OK(add_len(&m, half));
        commit(&m);
        EQ(tail_used(m.t), file);
        OK(!add_len(&m, 0));
        end(&m);
        open_again(&m);
        end(&m);
    }
}

static void test_full_and_what_follows(void)
{
    struct model m = begin(16 << 10);
    batch(&m, 1);
    OK(add_len(&m, 10));
    commit(&m);
    OK(add_len(&m, 10)); /* goes with the batch that does not fit */
    OK(!add_len(&m, 12000));
    for (size_t len = 0; len < 3; len++) {
        uint8_t small[3] = {0};
        EQ(tail_add(m.t, (struct span){small, len}, (struct span){0}), TAIL_E_FULL);
    }
    EQ(tail_used(m.t), m.used);
    end(&m);
    open_again(&m); /* what was acknowledged is there */
    OK(!add_len(&m, 17000));
    turn(&m);
    batch(&m, 1); /* nothing of that */
    end(&m);
    open_again(&m);
    for (int i = 0; i < 4; i++) { /* until there is no block left */
        OK(add_len(&m, 10));
        commit(&m);
    }
    EQ(tail_used(m.t), m.file);
    OK(!add_len(&m, 10));
    end(&m);
    open_again(&m);
    end(&m);
}

/* -- a crash in the middle of a batch ---------------------------------------------------------- */

/* A batch of so many sectors behind two others, torn in every way; over zeros, or over batches of
 * other turns. */
static void tear(size_t data, bool is_over_others)
{
    struct model a = begin(32 << 10), b;
    for (int i = 0; is_over_others && i < 3; i++) {
        OK(add_len(&a, 8000 + 5000 * (size_t)i));
        commit(&a);
        turn(&a);
    }
    batch(&a, 1);
    batch(&a, 3);
    load(before, a.file);
    b = a;
    OK(add_len(&b, data * ROOM - 4 - data % 3));
    size_t payload = b.payload;
    commit(&b);
    load(after, b.file);
    end(&b);
    uint64_t subsets = UINT64_C(1) << (b.used - a.used) / SECTOR, step = data > 8 ? 7 * THIN : 1;
    for (uint64_t subset = 0; subset < subsets; subset += step) {
        struct model m = is_whole(payload, subset) ? b : a;
        save_torn(&a, &b, subset);
        open_again(&m);
        batch(&m, 1); /* and what comes then is no other than ever */
        batch(&m, 2);
        end(&m);
        open_again(&m);
        end(&m);
    }
}

static void test_a_torn_batch_is_absent(void)
{
    for (size_t data = 1; data <= 10; data++) {
        tear(data, false);
        tear(data, true);
    }
}

/* Pieces of a turn's first batch are no batch, but the turn is used: with the same number again
 * they would stand behind another first batch. */
static void test_was_used(void)
{
    struct model a = begin(16 << 10), b;
    OK(add_len(&a, 12000));
    commit(&a);
    turn(&a);
    load(before, a.file);
    b = a;
    OK(add_len(&b, 2 * ROOM));
    size_t payload = b.payload;
    commit(&b);
    load(after, b.file);
    end(&b);
    for (uint64_t subset = 0; subset < 256; subset++) {
        struct model m = is_whole(payload, subset) ? b : a;
        save_torn(&a, &b, subset);
        EQ(tail_open(dir, cluster, m.txn, &m.t), 0);
        EQ(tail_was_used(m.t), (subset & 7) != 0);
        check_found(&m);
        m.txn -= !tail_was_used(m.t); /* the tree was not committed */
        turn(&m);
        for (int i = 0; i < 3; i++) {
            batch(&m, 1);
        }
        end(&m);
        open_again(&m);
        end(&m);
    }
}

/* -- the file system --------------------------------------------------------------------------- */

/* Of the open tail; -1: none is open. */
static int open_flags(void)
{
    char link[64], target[400], line[64];
    for (int fd = 3; fd < 100; fd++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        if (n < 5 || memcmp(target + n - 5, "/tail", 5) != 0) {
            continue;
        }
        int flags = -1;
        snprintf(link, sizeof link, "/proc/self/fdinfo/%d", fd);
        FILE *f = fopen(link, "r");
        while (f && fgets(line, sizeof line, f)) {
            (void)sscanf(line, "flags: %o", (unsigned *)&flags);
        }
        if (f) {
            fclose(f);
        }
        return flags;
    }
    return -1;
}

/* A round trip there, and what the descriptor promises. */
static void look_at(const char *root)
{
    char path[300];
    snprintf(path, sizeof path, "%s/fairslot-tail-XXXXXX", root);
    if (!mkdtemp(path)) {
        printf("# %s: no place for a test\n", root);
        return;
    }
    dir = path;
    struct model m = begin(64 << 10);
    int flags = open_flags(), fd = open(tail_path(), O_RDWR | O_DIRECT);
    OK(flags >= 0 && (flags & O_DSYNC));
    EQ((flags & O_DIRECT) != 0, fd >= 0);
    printf("# %s: %s O_DIRECT\n", root, flags & O_DIRECT ? "with" : "without");
    OK(!refuses_direct || !(flags & O_DIRECT));
    if (fd >= 0) {
        close(fd);
    }
    for (int i = 0; i < 30; i++) {
        if (add(&m) && add(&m)) {
            commit(&m);
        } else {
            turn(&m);
        }
        if (i % 3 == 0) {
            end(&m);
            open_again(&m);
        }
    }
    end(&m);
    EQ(open_flags(), -1);
    EQ(unlink(tail_path()), 0);
    EQ(rmdir(path), 0);
    dir = place_dir;
}

static void test_memory_and_disk(void)
{
    look_at(place_dir);
    look_at("/dev/shm");
    look_at(".");
    refuses_direct = true;
    look_at(place_dir);
    refuses_direct = false;
}

/* One write a batch; and what a write may do that is no failure. */
static void test_writes(void)
{
    struct model m = begin(64 << 10);
    static const size_t lens[] = {0, 10, 3000, 10000};
    for (int i = 0; i < 4; i++) {
        OK(add_len(&m, lens[i]));
        write_count = 0;
        commit(&m);
        EQ(write_count, 1);
    }
    OK(add_len(&m, 10));
    write_count = 0;
    write_code = EINTR;
    commit(&m);
    EQ(write_count, 2);
    OK(add_len(&m, 9000));
    write_count = 0;
    write_most = BLOCK;
    commit(&m);
    EQ(write_count, 2);
    end(&m);
    open_again(&m);
    end(&m);
}

static void test_writes_that_fail(void)
{
    struct model m = begin(16 << 10);
    batch(&m, 1);
    OK(add_len(&m, 10 * ROOM));
    write_code = EIO;
    EQ(tail_commit(m.t), -EIO);
    end(&m);
    place_shell("mkdir tail.next");
    OK(tail_make(dir, BLOCK) < 0); /* the one that is there stays */
    place_shell("rmdir tail.next");
    open_again(&m);
    end(&m);
    EQ(tail_make(dir, BLOCK), 0);
    m.file = BLOCK;
    open_again(&m);
    batch(&m, 1);
    end(&m);
    open_again(&m);
    end(&m);
}

/* -- all of it --------------------------------------------------------------------------------- */

/* The power goes while the batch is written that makes `b` of `a`. */
static struct model crash(const struct model *a, const struct model *b, size_t payload,
                          struct prng *p)
{
    uint64_t subset = prng_next(p) | (prng_below(p, 2) ? prng_next(p) : 0);
    subset = prng_below(p, 8) == 0 ? UINT64_MAX : subset;
    save_torn(a, b, subset);
    return is_whole(payload, subset) ? *b : *a;
}

static void test_any_run_of_events(void)
{
    struct model m = begin(48 << 10);
    struct prng p;
    uint64_t crashes = 0, absent = 0;
    prng_init(&p, 20261127);
    for (int i = 0; i < ROUNDS; i++) {
        bool is_full = false;
        for (uint64_t left = prng_below(&p, 6); left > 0 && !is_full; left--) {
            is_full = !add(&m);
        }
        if (is_full || prng_below(&p, 40) == 0) {
            turn(&m); /* the tree was committed with it */
        }
        size_t payload = m.payload;
        struct model a = m;
        a.next = a.acked;
        load(before, m.file);
        commit(&m);
        load(after, m.file);
        switch (prng_below(&p, 8)) {
        case 0:
            end(&m);
            m = crash(&a, &m, payload, &p);
            crashes++;
            absent += payload && m.acked == a.acked;
            open_again(&m);
            break;
        case 1:
            (void)add(&m); /* never committed */
            end(&m);
            open_again(&m);
            break;
        default:
            break;
        }
    }
    printf("# %llu crashes, %llu batches torn\n", (unsigned long long)crashes,
           (unsigned long long)absent);
    OK(crashes > 300);
    OK(absent > 100);
    OK(absent < crashes - 100);
    end(&m);
}

int main(void)
{
    place_make();
    TAP_RUN(test_batches_and_turns);
    TAP_RUN(test_records_of_every_size);
    TAP_RUN(test_nothing_to_commit);
    TAP_RUN(test_other_turns_count_for_nothing);
    TAP_RUN(test_a_batch_that_fits_to_the_byte);
    TAP_RUN(test_full_and_what_follows);
    TAP_RUN(test_a_torn_batch_is_absent);
    TAP_RUN(test_was_used);
    TAP_RUN(test_memory_and_disk);
    TAP_RUN(test_writes);
    TAP_RUN(test_writes_that_fail);
    TAP_RUN(test_any_run_of_events);
    place_remove();
    return tap_done();
}
