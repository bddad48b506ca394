/* SPDX-License-Identifier: MIT */
/* The store as a replica's log.
 * Owns: the file `members` and a copy of it in memory.
 *
 *   index u64, bytes, XXH3-64 of both      written beside, fsync'ed, renamed, directory fsync'ed
 *
 * Why a file: the log forgets its oldest entries, and the change that named the members is one.  It
 * is written when the change is committed, long before the log can forget it, so at a crash in
 * between the change is found in the log again.
 * Fails: a file that does not check is a verdict (> 0); < 0 disk and memory. */
#include "node/replica_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/folder.h"

#define MEMBERS_FILE "members"
#define MEMBERS_MAX (8 + REPLICA_MEMBERS_MAX * (REPLICA_ADDRESS_MAX + 16) + 64 + 8)

struct replica_store {
    struct store *store;
    char dir[FOLDER_PATH_MAX];
    uint8_t bytes[MEMBERS_MAX]; /* of the file */
    size_t len;                 /* 0: there is none */
    bool is_damaged;
};

static int file_read(struct replica_store *s)
{
    int r = folder_read(s->dir, MEMBERS_FILE, s->bytes, sizeof s->bytes, &s->len);
    if (r || s->len == 0) {
        return err_trace(r);
    }
    s->is_damaged = s->len < 17;
    if (!s->is_damaged) {
        struct reader sum = reader_of(s->bytes + s->len - 8, 8);
        s->is_damaged = reader_u64(&sum) != XXH3_64bits(s->bytes, s->len - 8);
    }
    return 0;
}

int replica_store_new(struct store *store, const char *dir, struct replica_store **ret_store)
{
    CHECK(store != NULL);
    struct replica_store *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_origin(-ENOMEM);
    }
    s->store = store;
    int r = folder_join(s->dir, dir, "");
    r = r ? r : file_read(s);
    if (r) {
        free(s);
        return err_fold(r);
    }
    *ret_store = s;
    return 0;
}

void replica_store_free(struct replica_store *s)
{
    free(s);
}

static int keep_members(void *user, uint64_t index, struct span members)
{
    struct replica_store *s = user;
    uint8_t bytes[MEMBERS_MAX];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u64(&w, index);
    scribe_bytes(&w, members.ptr, members.len);
    size_t len = scribe_len(&w);
    scribe_u64(&w, XXH3_64bits(bytes, len));
    CHECK(!w.bad);
    len = scribe_len(&w);
    if (len == s->len && memcmp(bytes, s->bytes, len) == 0) {
        return 0;
    }
    int r = folder_write(s->dir, MEMBERS_FILE, bytes, len);
    memcpy(s->bytes, bytes, len);
    s->len = len;
    return err_trace(r);
}

/* An installed state came with members in the same commit; a crash may come before the file. */
static void use_installed(struct replica_store *s, uint64_t *index, struct span *members)
{
    uint64_t installed;
    struct span bytes;
    if (store_installed_members(s->store, &installed, &bytes) && installed > *index) {
        *index = installed;
        *members = bytes;
    }
}

static int members(void *user, uint64_t *ret_index, struct span *ret_members)
{
    struct replica_store *s = user;
    *ret_index = 0;
    *ret_members = (struct span){0};
    if (s->len == 0 || s->is_damaged) {
        use_installed(s, ret_index, ret_members);
        return s->is_damaged ? REPLICA_E_DAMAGED : 0;
    }
    struct reader in = reader_of(s->bytes, s->len - 8);
    *ret_index = reader_u64(&in);
    *ret_members = (struct span){in.at, reader_left(&in)};
    use_installed(s, ret_index, ret_members);
    return 0;
}

static uint64_t first(void *user)
{
    struct replica_store *s = user;
    return store_log_first(s->store);
}

static uint64_t last(void *user)
{
    struct replica_store *s = user;
    return store_log_last(s->store);
}

static int append(void *user, uint64_t word, struct span entry)
{
    struct replica_store *s = user;
    return err_trace(store_log_append(s->store, word, entry));
}

static int truncate_log(void *user, uint64_t index)
{
    struct replica_store *s = user;
    return err_trace(store_log_truncate(s->store, index));
}

static int set_vote(void *user, uint64_t term, uint64_t vote)
{
    struct replica_store *s = user;
    return err_trace(store_log_set_vote(s->store, term, vote));
}

static void get_vote(void *user, uint64_t *ret_term, uint64_t *ret_vote)
{
    struct replica_store *s = user;
    store_log_vote(s->store, ret_term, ret_vote);
}

static int commit(void *user)
{
    struct replica_store *s = user;
    return err_trace(store_log_commit(s->store));
}

static int read_entry(void *user, uint64_t index, uint64_t *ret_word, struct span *ret_entry)
{
    struct replica_store *s = user;
    return err_trace(store_log_read(s->store, index, ret_word, ret_entry));
}

static void durable(void *user, uint64_t *ret_index, uint64_t *ret_term)
{
    struct replica_store *s = user;
    store_log_durable(s->store, ret_index, ret_term);
}

struct replica_log replica_store_log(struct replica_store *s)
{
    return (struct replica_log){
        .user = s, .first = first, .last = last, .append = append, .truncate = truncate_log,
        .set_vote = set_vote, .vote = get_vote, .commit = commit, .read = read_entry,
        .durable = durable, .keep_members = keep_members, .members = members,
    };
}

/* Its members stand in its log from the first entry on. */
int replica_store_open(const struct replica_store_options *options,
                       struct replica_store **ret_store, struct replica **ret_replica,
                       char *ret_text)
{
    static const struct replica_member alone = {1, REPLICA_VOTER, "alone"};
    const struct badge *own = options->own;
    struct replica_options made = {.id = own->id,
                                   .members = own->is_alone ? &alone : options->members,
                                   .members_count = own->is_alone ? 1 : options->members_count,
                                   .election_ms = options->election_ms,
                                   .heartbeat_ms = options->election_ms / 6,
                                   .seed = (uint32_t)own->disk | 1,
                                   .now_ms = clock_mono_us() / 1000};
    int r = replica_store_new(options->store, options->dir, ret_store);
    if (r) {
        return err_fold(r);
    }
    made.log = replica_store_log(*ret_store);
    r = err_fold(replica_new(&made, ret_replica));
    r = r ? r : replica_start(*ret_replica);
    if (r > 0) {
        snprintf(ret_text, 256, "%s: %s; %s", options->dir,
                 r == REPLICA_E_DAMAGED ? "the log or its file `members` is damaged"
                                        : "log and state are not of one shard, or `members` is "
                                          "missing",
                 own->is_alone ? "restore from a backup"
                               : "remove this node from its cluster, and add a new number with an "
                                 "empty directory");
        return REPLICA_E_STATE;
    }
    return err_trace(r);
}
