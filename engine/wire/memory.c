/* SPDX-License-Identifier: MIT */
/* The memory of a connection.  Owns: the list of the blocks that it and nghttp2 hold.
 *
 *   nghttp2, calls -> booked: [ link size | bytes ] -> under: libc, or a failing test's
 *                        +-> cap: what all connections of a thread may hold together
 *
 * Each block is paid for from a cap that the caller shares among its connections, so that their
 * sum has an end whatever clients do; the caller refuses work long before it is reached.
 * Why a book: when an allocation fails at the wrong moment, nghttp2 1.52 keeps a pointer to what it
 * has freed (a DATA item whose stream cannot be queued) and nghttp2_session_del() frees it again;
 * found by failing each allocation in turn.  So after a failure the session is not asked: its
 * blocks are freed off the list.  Costs 32 bytes a block and about 1 % of a call.
 * Fails: as the allocator below it, and when the cap is reached.
 * Road not taken: leaking the session on failure, which turns one bad moment into less memory. */
#include "wire/memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"

/* Before each block; a multiple of the strictest alignment. */
struct memory_head {
    struct list link;
    size_t size;    /* of head and bytes */
    size_t padding; /* unused */
};

_Static_assert(sizeof(struct memory_head) % _Alignof(max_align_t) == 0, "bytes stay aligned");

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

static bool memory_take(struct wire_memory *m, size_t size)
{
    if (m->cap && !memcap_take(m->cap, size)) {
        return false;
    }
    m->used += size;
    return true;
}

static void memory_give(struct wire_memory *m, size_t size)
{
    CHECK(size <= m->used);
    m->used -= size;
    if (m->cap) {
        memcap_give(m->cap, size);
    }
}

static void *memory_malloc(size_t size, void *user)
{
    struct wire_memory *m = user;
    struct memory_head *head;
    if (size > SIZE_MAX - sizeof(*head) || !memory_take(m, sizeof(*head) + size)) {
        return NULL;
    }
    size += sizeof(*head);
    head = m->under.malloc(size, m->under.mem_user_data);
    if (!head) {
        memory_give(m, size);
        return NULL;
    }
    head->size = size;
    list_push(&m->blocks, &head->link);
    return head + 1;
}

static void memory_free(void *ptr, void *user)
{
    struct wire_memory *m = user;
    if (ptr) {
        struct memory_head *head = (struct memory_head *)ptr - 1;
        memory_give(m, head->size);
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
    struct memory_head *head;
    if (size > SIZE_MAX - sizeof(*head) || !memory_take(m, sizeof(*head) + size)) {
        return NULL;
    }
    size_t old_size = old->size;
    size += sizeof(*head);
    list_remove(&old->link);
    head = m->under.realloc(old, size, m->under.mem_user_data);
    if (!head) {
        memory_give(m, size);
        list_push(&m->blocks, &old->link);
        return NULL;
    }
    memory_give(m, old_size);
    head->size = size;
    list_push(&m->blocks, &head->link);
    return head + 1;
}

void wire_memory_init(struct wire_memory *m, const nghttp2_mem *under, struct memcap *cap)
{
    m->used = 0;
    m->cap = limit_is_on("memory") ? cap : NULL;
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
        struct memory_head *head =
            CONTAINER_OF(list_pull(&m->blocks), struct memory_head, link);
        memory_give(m, head->size);
        m->under.free(head, m->under.mem_user_data);
    }
    CHECK(m->used == 0);
}
