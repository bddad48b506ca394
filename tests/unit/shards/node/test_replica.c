/* SPDX-License-Identifier: MIT */
/* One voter over the real store: new logs, old logs, restarts, and messages that are none. */
#include "base/bytes.h"
#include "node/replica_store.h"
#include "tests/lib/tap.h"

#include <ftw.h>
#include <unistd.h>

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
    TAP_RUN(test_one_change_at_a_time);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return tap_done();
}
