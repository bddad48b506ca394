/* SPDX-License-Identifier: MIT */
/* One voter over the real store: new logs, old logs, restarts, and messages that are none. */
#include "base/bytes.h"
#include "node/replica_store.h"
#include "tests/lib/tap.h"

#include <ftw.h>
#include <unistd.h>
#include <xxhash.h>

static char dir[] = "/tmp/fairslot-replica-XXXXXX";
static char text[256];

struct open {
    struct store *store;
    struct replica_store *log;
    struct replica *replica;
};

static struct store *store_at(const char *name)
{
    char path[128];
    struct store *store = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    struct store_options options = {.dir = path, .log_map_bytes = 16 << 20,
                                    .state_map_bytes = 16 << 20};
    OK(store_open(&options, &store, text) == 0);
    return store;
}

static const struct badge own_alone = {.id = 1, .is_alone = true};

static struct open open_at(const char *name)
{
    char path[128];
    struct open o = {.store = store_at(name)};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    struct replica_store_options options = {.store = o.store, .dir = path, .own = &own_alone};
    OK(replica_store_open(&options, &o.log, &o.replica, text) == 0);
    return o;
}

static void close_all(struct open *o)
{
    replica_free(o->replica);
    replica_store_free(o->log);
    store_close(o->store);
}

static void test_new_log(void)
{
    struct open o = open_at("new");
    struct span entry = span_of("one");
    uint64_t index, term;
    OK(replica_is_leader(o.replica));
    uint64_t first_term = replica_term(o.replica), before = replica_committed(o.replica);
    EQ(replica_propose(o.replica, entry, &index), 0);
    EQ(replica_committed(o.replica), before); /* not before its round */
    EQ(replica_round(o.replica), 0);
    EQ(replica_committed(o.replica), index);
    close_all(&o);
    o = open_at("new");
    OK(replica_term(o.replica) > first_term); /* G2: a voter alone never leads a term twice */
    OK(replica_committed(o.replica) > index);
    EQ(replica_read(o.replica, index, &term, &entry), 0);
    EQ(term, first_term);
    OK(span_equal(entry, span_of("one")));
    EQ(replica_read(o.replica, index + 1, &term, &entry), 0);
    EQ(entry.len, 0); /* Raft's own */
    close_all(&o);
}

/* As it was written before there was Raft: commands of term 1 from entry 1 on, no vote. */
static void test_old_log(void)
{
    struct store *store = store_at("old");
    for (int i = 0; i < 5; i++) {
        OK(store_log_append(store, 1, span_of("old")) == 0);
    }
    OK(store_log_commit(store) == 0);
    store_close(store);
    for (int life = 0; life < 3; life++) {
        struct open o = open_at("old");
        uint64_t term;
        struct span entry;
        EQ(replica_term(o.replica), 2 + life);
        EQ(replica_committed(o.replica), 6 + life);
        for (uint64_t i = 1; i <= 5; i++) {
            EQ(replica_read(o.replica, i, &term, &entry), 0);
            EQ(term, 1);
            OK(span_equal(entry, span_of("old")));
        }
        close_all(&o);
    }
}

static void test_damaged_members(void)
{
    char path[128];
    struct open o = open_at("damaged");
    close_all(&o);
    snprintf(path, sizeof path, "%s/damaged/members", dir);
    FILE *file = fopen(path, "r+");
    fputc(0x55, file);
    fclose(file);
    snprintf(path, sizeof path, "%s/damaged", dir);
    o = (struct open){.store = store_at("damaged")};
    struct replica_store_options options = {.store = o.store, .dir = path, .own = &own_alone};
    EQ(replica_store_open(&options, &o.log, &o.replica, text), REPLICA_E_STATE);
    OK(strstr(text, "members") && strstr(text, "restore"));
    close_all(&o);
}

static void test_refuses_messages(void)
{
    struct open o = open_at("message");
    uint64_t term = replica_term(o.replica), committed = replica_committed(o.replica);
    uint8_t bytes[64] = {1, 1};
    for (size_t len = 0; len <= sizeof bytes; len++) {
        EQ(replica_receive(o.replica, 2, (struct span){bytes, len}), REPLICA_E_MESSAGE);
    }
    EQ(replica_term(o.replica), term);
    EQ(replica_committed(o.replica), committed);
    EQ(replica_remove(o.replica, 1), REPLICA_E_MEMBER); /* nobody would be left */
    EQ(replica_promote(o.replica, 9), REPLICA_E_MEMBER);
    EQ(replica_transfer(o.replica, 1), REPLICA_E_MEMBER);
    close_all(&o);
}

/* -- what the core would take for granted: it has no asserts ----------------------------------- */

static const struct replica_member three[] = {{1, REPLICA_VOTER, "tcp://127.0.0.1:1"},
                                              {2, REPLICA_VOTER, "tcp://127.0.0.1:2"},
                                              {3, REPLICA_VOTER, "tcp://127.0.0.1:3"}};

static struct open open_follower(const char *name)
{
    static const struct badge own = {.id = 1};
    char path[128];
    struct open o = {.store = store_at(name)};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    struct replica_store_options options = {.store = o.store, .dir = path, .own = &own,
                                            .members = three, .members_count = 3};
    OK(replica_store_open(&options, &o.log, &o.replica, text) == 0);
    return o;
}

/* A message from 2 to 1, whole by its sum: what follows its kind and its term. */
struct letter {
    uint8_t bytes[512];
    struct scribe w;
};

enum { APPEND = 1, VOTE = 3, INSTALL = 5 };           /* on the wire: the core's numbers */
enum { COMMAND = 1, BARRIER = 2, CHANGE = 3 };        /* of entries */

static void letter_begin(struct letter *l, uint8_t kind, uint64_t term)
{
    l->w = scribe_of(l->bytes, sizeof l->bytes);
    scribe_u8(&l->w, 1);
    scribe_u8(&l->w, kind);
    scribe_u64(&l->w, 1);
    scribe_u64(&l->w, term);
}

static int letter_send(struct letter *l, struct replica *r)
{
    size_t len = scribe_len(&l->w);
    scribe_u64(&l->w, XXH3_64bits(l->bytes, len));
    return replica_receive(r, 2, (struct span){l->bytes, scribe_len(&l->w)});
}

struct sent {
    uint64_t term, prev, prev_term;
    struct {
        uint8_t kind;
        uint64_t term;
        const char *bytes;
    } entries[3]; /* kind 0: no more */
};

static int append(struct replica *r, const struct sent *s)
{
    struct letter l;
    uint32_t count = 0;
    while (count < 3 && s->entries[count].kind) {
        count++;
    }
    letter_begin(&l, APPEND, s->term);
    scribe_u64(&l.w, s->prev);
    scribe_u64(&l.w, s->prev_term);
    scribe_u64(&l.w, 0); /* committed */
    scribe_u32(&l.w, count);
    for (uint32_t i = 0; i < count; i++) {
        struct span bytes = span_of(s->entries[i].bytes);
        scribe_u8(&l.w, s->entries[i].kind);
        scribe_u64(&l.w, s->entries[i].term);
        scribe_u32(&l.w, (uint32_t)bytes.len);
        scribe_bytes(&l.w, bytes.ptr, bytes.len);
    }
    return letter_send(&l, r);
}

static void test_refuses_entries(void)
{
    static const struct sent bad[] = {
        {0, 1, 1, {{COMMAND, 1, "x"}}},                    /* no term */
        {5, 0, 1, {{COMMAND, 5, "x"}}},                    /* a term before the first entry */
        {5, 1, 0, {{COMMAND, 5, "x"}}},                    /* none of one that is there */
        {5, 1, 6, {{COMMAND, 6, "x"}}},                    /* a later one than the sender's */
        {5, 1, 6, {{0}}},
        {5, 1, 1, {{COMMAND, 6, "x"}}},
        {5, 1, 1, {{COMMAND, 0, "x"}}},
        {5, 1, 1, {{COMMAND, 4, "x"}, {COMMAND, 3, "y"}}}, /* terms that go back */
        {5, 1, 1, {{9, 5, "x"}}},                          /* no kind */
        {5, 1, 1, {{CHANGE, 5, "x"}}},                     /* members that are none */
    };
    struct open o = open_follower("entries");
    uint64_t last = store_log_last(o.store);
    EQ(last, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        EQ(append(o.replica, &bad[i]), REPLICA_E_MESSAGE);
        EQ(replica_term(o.replica), 1);
        EQ(store_log_last(o.store), last);
    }
    static const struct sent good = {5, 1, 1, {{BARRIER, 5, "12345678"}, {COMMAND, 5, "x"}}};
    EQ(append(o.replica, &good), 0);
    EQ(replica_term(o.replica), 5);
    EQ(store_log_last(o.store), 3);
    EQ(replica_round(o.replica), 0);
    close_all(&o);
}

/* G4 at its receiver, too. */
static void test_refuses_a_change_behind_others(void)
{
    struct open o = open_follower("behind");
    uint64_t index, word;
    struct span change;
    EQ(store_log_read(o.store, 1, &word, &change), 0); /* the first members: a good one */
    uint8_t kept[256];
    size_t len = change.len;
    OK(len < sizeof kept);
    memcpy(kept, change.ptr, len);
    for (int behind = 1; behind >= 0; behind--) {
        struct letter l;
        letter_begin(&l, APPEND, 5);
        scribe_u64(&l.w, 1);
        scribe_u64(&l.w, 1);
        scribe_u64(&l.w, 0);
        scribe_u32(&l.w, 1 + (uint32_t)behind);
        for (int i = 0; i < behind; i++) {
            scribe_u8(&l.w, COMMAND);
            scribe_u64(&l.w, 5);
            scribe_u32(&l.w, 1);
            scribe_u8(&l.w, 'x');
        }
        scribe_u8(&l.w, CHANGE);
        scribe_u64(&l.w, 5);
        scribe_u32(&l.w, (uint32_t)len);
        scribe_bytes(&l.w, kept, len);
        EQ(letter_send(&l, o.replica), behind ? REPLICA_E_MESSAGE : 0);
        index = store_log_last(o.store);
        EQ(index, behind ? 1 : 2);
    }
    EQ(replica_round(o.replica), 0);
    close_all(&o);
}

static int install(struct replica *r, uint64_t term, uint64_t index, uint64_t last_term,
                   struct span members)
{
    struct letter l;
    letter_begin(&l, INSTALL, term);
    scribe_u64(&l.w, index);
    scribe_u64(&l.w, last_term);
    scribe_u64(&l.w, 1);
    scribe_bytes(&l.w, members.ptr, members.len);
    return letter_send(&l, r);
}

/* Another leader of the term that is led here; a second state while one is wanted. */
static void test_refuses_states(void)
{
    struct open o = open_at("alone");
    uint64_t term = replica_term(o.replica), word;
    struct span members;
    uint8_t kept[256];
    struct sent entries = {term, 1, 1, {{COMMAND, term, "x"}}};
    EQ(append(o.replica, &entries), REPLICA_E_MESSAGE);
    close_all(&o);
    o = open_follower("states");
    EQ(store_log_read(o.store, 1, &word, &members), 0);
    memcpy(kept, members.ptr, members.len);
    members.ptr = kept;
    EQ(install(o.replica, 5, 0, 5, members), REPLICA_E_MESSAGE);
    EQ(install(o.replica, 5, 9, 0, members), REPLICA_E_MESSAGE);
    EQ(install(o.replica, 5, 9, 6, members), REPLICA_E_MESSAGE);
    EQ(install(o.replica, 5, 9, 5, (struct span){kept, 12}), REPLICA_E_MESSAGE);
    EQ(replica_term(o.replica), 1);
    struct replica_want want;
    OK(!replica_wants(o.replica, &want));
    EQ(install(o.replica, 5, 9, 5, members), 0);
    OK(replica_wants(o.replica, &want));
    EQ(want.index, 9);
    EQ(install(o.replica, 5, 11, 5, members), REPLICA_E_BUSY);
    OK(replica_wants(o.replica, &want));
    EQ(want.index, 9);
    EQ(replica_round(o.replica), 0); /* it wants, and writes nothing of its log meanwhile */
    close_all(&o);
    o = open_at("alone");
    term = replica_term(o.replica);
    EQ(install(o.replica, term, 9, term, members), REPLICA_E_MESSAGE);
    close_all(&o);
}

/* A second change is refused while the first is not committed, and taken afterwards. */
static void test_one_change_at_a_time(void)
{
    struct open o = open_at("changes");
    struct replica_member four = {.id = 4, .address = "tcp://127.0.0.1:4"};
    struct replica_member five = {.id = 5, .address = "tcp://127.0.0.1:5"};
    EQ(replica_add(o.replica, &four), 0);
    EQ(replica_add(o.replica, &five), REPLICA_E_BUSY);
    EQ(replica_remove(o.replica, 4), REPLICA_E_BUSY);
    EQ(replica_promote(o.replica, 4), REPLICA_E_BUSY);
    EQ(replica_round(o.replica), 0);
    EQ(replica_remove(o.replica, 4), 0);
    EQ(replica_add(o.replica, &five), REPLICA_E_BUSY);
    EQ(replica_round(o.replica), 0);
    struct replica_member members[REPLICA_MEMBERS_MAX];
    EQ(replica_members(o.replica, members), 1);
    close_all(&o);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

int main(void)
{
    OK(mkdtemp(dir) != NULL);
    TAP_RUN(test_new_log);
    TAP_RUN(test_old_log);
    TAP_RUN(test_damaged_members);
    TAP_RUN(test_refuses_messages);
    TAP_RUN(test_refuses_entries);
    TAP_RUN(test_refuses_a_change_behind_others);
    TAP_RUN(test_refuses_states);
    TAP_RUN(test_one_change_at_a_time);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return tap_done();
}
