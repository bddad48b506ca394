/* SPDX-License-Identifier: MIT */
/* A disk that fails: is it reported, never retried, and is the next open clean?
 * This program's own fdatasync and pwrite stand before libc's, also for LMDB. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>

#include "place.h"

static atomic_int fail_sync;  /* errno of the next fdatasync, once; 0: none */
static atomic_int fail_write; /* the same of writes, until cleared */
static atomic_int write_count;
static atomic_int sync_count;

int fdatasync(int fd)
{
    static int (*real)(int);
    if (!real) {
        *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    }
    sync_count++;
    int code = atomic_exchange(&fail_sync, 0);
    if (code) {
        errno = code;
        return -1;
    }
    return real(fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) {
        *(void **)&real = dlsym(RTLD_NEXT, "pwrite");
    }
    write_count++;
    if (fail_write) {
        errno = fail_write;
        return -1;
    }
    return real(fd, bytes, len, offset);
}

/* Our own files go by this name, LMDB by the other one. */
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
    return pwrite(fd, bytes, len, offset);
}

static struct store *start(struct store_options *o)
{
    *o = place_options();
    struct store *s = place_open(o);
    const struct book *b = store_book(s);
    EQ(b->put(b->self, span_of("key"), span_of("old")), 0);
    place_entry(s, span_of("one"));
    EQ(store_flush(s), 0);
    return s;
}

/* The state is as of `index` applied, and the log goes to `last`. */
static void clean_after(const struct store_options *o, uint64_t applied, uint64_t last,
                        const char *value)
{
    struct store *s = place_open(o);
    const struct book *b = store_book(s);
    struct span got, entry;
    uint64_t term;
    EQ(store_applied_durable(s), applied);
    EQ(store_log_last(s), last);
    for (uint64_t i = applied + 1; i <= last; i++) {
        EQ(store_log_read(s, i, &term, &entry), 0);
    }
    EQ(b->get(b->self, span_of("key"), &got), 0);
    OK(span_equal(got, span_of(value)));
    store_close(s);
}

static void again(void)
{
    place_remove();
    place_make();
}

static void test_a_failed_sync_of_the_log(void)
{
    struct store_options o;
    struct store *s = start(&o);
    EQ(store_log_append(s, 1, span_of("two")), 0);
    EQ(store_log_set_vote(s, 1, 1), 0); /* which the tail cannot say: the tree is committed */
    fail_sync = EIO;
    EQ(store_log_commit(s), -EIO);
    EQ(fail_sync, 0);
    store_close(s);
    clean_after(&o, 1, 1, "old");
    again();
}

/* Of the tail: written and made durable in one call. */
static void test_a_failed_write_of_the_log(void)
{
    struct store_options o;
    struct store *s = start(&o);
    EQ(store_log_append(s, 1, span_of("two")), 0);
    fail_write = EIO;
    int syncs = sync_count, writes = write_count;
    EQ(store_log_commit(s), -EIO);
    EQ(write_count, writes + 1);
    fail_write = 0;
    store_close(s);
    EQ(write_count, writes + 1); /* nothing was tried again, not by the close either */
    EQ(sync_count, syncs);
    clean_after(&o, 1, 1, "old");
    again();
}

static void test_a_full_disk_in_the_log(void)
{
    struct store_options o;
    struct store *s = start(&o);
    EQ(store_log_append(s, 1, span_of("two")), 0);
    fail_write = ENOSPC;
    EQ(store_log_commit(s), -ENOSPC);
    fail_write = 0;
    store_close(s);
    clean_after(&o, 1, 1, "old");
    again();
}

static void test_a_failed_sync_of_the_state(void)
{
    struct store_options o;
    struct store *s = start(&o);
    const struct book *b = store_book(s);
    EQ(b->put(b->self, span_of("key"), span_of("new")), 0);
    place_entry(s, span_of("two"));
    fail_sync = EIO;
    EQ(store_flush(s), -EIO);
    int syncs = sync_count;
    OK(store_turn(s) < 0); /* and stays failed */
    OK(store_flush(s) < 0);
    store_close(s);
    EQ(sync_count, syncs); /* nothing was tried again, not by the close either */
    clean_after(&o, 1, 2, "old"); /* the log still has it: replay makes it "new" */
    again();
}

static void test_a_failed_flush_reaches_the_turn(void)
{
    struct store_options o;
    struct store *s = start(&o);
    place_entry(s, span_of("two"));
    store_close(s);
    o.flush_interval_us = 1;
    s = place_open(&o);
    place_entry(s, span_of("three"));
    usleep(1000);
    fail_sync = EIO;
    int r = 0;
    for (int i = 0; i < 1000 && r == 0; i++) {
        r = store_turn(s);
        usleep(1000);
    }
    EQ(r, -EIO);
    store_close(s);
    clean_after(&o, 2, 3, "old");
    again();
}

/* No writes at the first creation: nothing half made may stay in the way. */
static void test_a_failed_creation(void)
{
    struct store_options o = place_options();
    struct store *s = NULL;
    fail_sync = EIO;
    EQ(store_open(&o, &s, place_text), -EIO);
    OK(s == NULL);
    fail_write = ENOSPC;
    OK(store_open(&o, &s, place_text) < 0);
    fail_write = 0;
    s = place_open(&o);
    EQ(store_log_last(s), 0);
    store_close(s);
}

/* A kill inside the last commit leaves what can be seen and is not on disk yet. */
static void test_open_syncs_what_it_shows(void)
{
    struct store_options o;
    struct store *s = start(&o);
    store_close(s);
    int syncs = sync_count;
    s = place_open(&o);
    EQ(sync_count, syncs + 2); /* log and state */
    store_close(s);
    fail_sync = EIO;
    EQ(store_open(&o, &s, place_text), -EIO);
    again();
}

int main(void)
{
    place_make();
    TAP_RUN(test_a_failed_sync_of_the_log);
    TAP_RUN(test_a_failed_write_of_the_log);
    TAP_RUN(test_a_full_disk_in_the_log);
    TAP_RUN(test_a_failed_sync_of_the_state);
    TAP_RUN(test_a_failed_flush_reaches_the_turn);
    TAP_RUN(test_open_syncs_what_it_shows);
    TAP_RUN(test_a_failed_creation);
    place_remove();
    return tap_done();
}
