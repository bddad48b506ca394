/* SPDX-License-Identifier: MIT */
/* The memory of a connection.  Owns: the list of the blocks that nghttp2 holds.
 *
 *   nghttp2 -> booked: [ link | bytes ] -> under: libc, or a test's allocator that fails on demand
 *
 * Why a book: when an allocation fails at the wrong moment, nghttp2 1.52 keeps a pointer to what it
 * has freed (a DATA item whose stream cannot be queued) and nghttp2_session_del() frees it again;
 * found by failing each allocation in turn.  So after a failure the session is not asked: its
 * blocks are freed off the list.  Costs two pointers a block and about 1 % of a call.
 * Fails: as the allocator below it.
 * Road not taken: leaking the session on failure, which turns one bad moment into less memory. */
#include "wire/memory.h"

#include <stdlib.h>
#include <string.h>

/* Before each block; as large as the strictest alignment. */
struct memory_head {
    struct list link;
};

static void *libc_malloc(size_t size, void *user)
{
    return malloc(size);
}

static void libc_free(void *ptr, void *user)
{
    free(ptr);
}

static void *libc_calloc(size_t count, size_t size, void *user)
{
    return calloc(count, size);
}

static void *libc_realloc(void *ptr, size_t size, void *user)
{
    return realloc(ptr, size);
}

const nghttp2_mem wire_memory_libc = {
    .malloc = libc_malloc,
    .free = libc_free,
    .calloc = libc_calloc,
    .realloc = libc_realloc,
};

static void *memory_malloc(size_t size, void *user)
{
    struct wire_memory *m = user;
    struct memory_head *head = NULL;
    if (size <= SIZE_MAX - sizeof(*head)) {
        head = m->under.malloc(sizeof(*head) + size, m->under.mem_user_data);
    }
    if (!head) {
        return NULL;
    }
    list_push(&m->blocks, &head->link);
    return head + 1;
}

static void memory_free(void *ptr, void *user)
{
    struct wire_memory *m = user;
    if (ptr) {
        struct memory_head *head = (struct memory_head *)ptr - 1;
        list_remove(&head->link);
        m->under.free(head, m->under.mem_user_data);
    }
}

static void *memory_calloc(size_t count, size_t size, void *user)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    void *ptr = memory_malloc(bytes, user);
    return ptr ? memset(ptr, 0, bytes) : NULL;
}

static void *memory_realloc(void *ptr, size_t size, void *user)
{
    struct wire_memory *m = user;
    if (!ptr) {
        return memory_malloc(size, user);
    }
    struct memory_head *old = (struct memory_head *)ptr - 1;
    struct memory_head *head = NULL;
    list_remove(&old->link);
    if (size <= SIZE_MAX - sizeof(*head)) {
        head = m->under.realloc(old, sizeof(*head) + size, m->under.mem_user_data);
    }
    list_push(&m->blocks, head ? &head->link : &old->link);
    return head ? head + 1 : NULL;
}

void wire_memory_init(struct wire_memory *m, const nghttp2_mem *under)
{
    m->under = *under;
    m->booked = (nghttp2_mem){
        .mem_user_data = m,
        .malloc = memory_malloc,
        .free = memory_free,
        .calloc = memory_calloc,
        .realloc = memory_realloc,
    };
    list_init(&m->blocks);
}

void wire_memory_end(struct wire_memory *m, nghttp2_session *session, bool failed)
{
    if (!failed) {
        nghttp2_session_del(session);
        CHECK(list_empty(&m->blocks));
    }
    while (!list_empty(&m->blocks)) {
        struct list *link = list_pull(&m->blocks);
        m->under.free(CONTAINER_OF(link, struct memory_head, link), m->under.mem_user_data);
    }
}
