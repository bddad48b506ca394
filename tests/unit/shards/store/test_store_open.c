/* SPDX-License-Identifier: MIT */
/* Does opening refuse what it must, by name, and take up what was left half made? */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "place.h"
#include "store/folder.h"
#include "store/logenv.h"
#include "store/stateenv.h"
#include "store/sums.h"

static int try_open(const struct store_options *o)
{
    struct store *s = NULL;
    memset(place_text, 0, sizeof place_text);
    int r = store_open(o, &s, place_text);
    if (r == 0) {
        store_close(s);
    } else {
        OK(s == NULL);
    }
    return r;
}

static void test_first_creation(void)
{
    struct store_options o = place_options();
    struct stat st;
    char dir[300];
    snprintf(dir, sizeof dir, "%s/deep/er", place_dir);
    o.dir = dir;
    EQ(try_open(&o), 0);
    EQ(stat(place_path("deep/er"), &st), 0);
    EQ(st.st_mode & 0777, 0700);
    EQ(stat(place_path("deep/er/log/data.mdb"), &st), 0);
    EQ(st.st_mode & 0777, 0600);
    EQ(stat(place_path("deep/er/state/data.mdb"), &st), 0);
    EQ(st.st_mode & 0777, 0600);
    EQ(try_open(&o), 0);
}

static void test_cluster(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    uint8_t id[16], again[16], zero[16] = {0};
    store_cluster_id(s, id);
    OK(memcmp(id, zero, 16) != 0);
    store_close(s);
    s = place_open(&o);
    store_cluster_id(s, again);
    OK(memcmp(id, again, 16) == 0);
    store_close(s);
    memcpy(o.cluster_id, id, 16);
    EQ(try_open(&o), 0);
    o.cluster_id[3] ^= 1;
    EQ(try_open(&o), STORE_E_CLUSTER);
    OK(strstr(place_text, "belongs to cluster"));
    OK(strlen(place_text) < 199);
}

/* What it has promised was another one's. */
static void test_a_log_of_another_disk(void)
{
    struct store_options o = place_options();
    o.repairs = true;
    o.disk = 7;
    place_shell("rm -rf log state");
    EQ(try_open(&o), 0);
    EQ(try_open(&o), 0);
    o.disk = 8;
    EQ(try_open(&o), STORE_E_CLUSTER);
    OK(strstr(place_text, "log/ is of disk 0000000000000007, badge of disk 0000000000000008"));
    OK(strstr(place_text, "put its own back"));
    OK(strlen(place_text) < 199);
    o.disk = 7;
    EQ(try_open(&o), 0); /* the refusal has changed nothing */
    o.disk = 0;
    EQ(try_open(&o), 0);
    place_shell("rm -rf log state");
    EQ(try_open(&o), 0);
    o.disk = 7;
    EQ(try_open(&o), 0); /* it did not say whose it is, and does now */
    o.disk = 8;
    EQ(try_open(&o), STORE_E_CLUSTER);
    place_shell("rm -rf log state");
}

static void test_lock(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    EQ(try_open(&o), STORE_E_LOCKED);
    OK(strstr(place_text, "another process"));
    OK(strstr(place_text, place_dir));
    pid_t pid = fork();
    if (pid == 0) {
        struct store *other;
        _exit(store_open(&o, &other, place_text));
    }
    int status;
    EQ(waitpid(pid, &status, 0), pid);
    EQ(WEXITSTATUS(status), STORE_E_LOCKED);
    store_close(s);
    EQ(try_open(&o), 0);
}

/* Writes `bytes` as the meta record of log/ or state/. */
static void put_meta(const char *env_name, const char *tree, struct span key, struct span bytes)
{
    EQ(sums_forget(place_path(env_name)), 0);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = env_val(key), v = env_val(bytes);
    EQ(env_open(place_path(env_name), 64 << 20, &env), 0);
    EQ(mdb_txn_begin(env, NULL, 0, &txn), 0);
    EQ(mdb_dbi_open(txn, tree, 0, &dbi), 0);
    EQ(mdb_put(txn, dbi, &k, &v, 0), 0);
    EQ(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void test_other_format(void)
{
    static const uint8_t log_key[8];
    struct store_options o = place_options();
    struct record_log_meta log = {.term = 1};
    struct record_state_meta state = {.applied_index = 0};
    uint8_t bytes[RECORD_STATE_META_SIZE];
    EQ(try_open(&o), 0);
    record_log_meta_write(&log, bytes);
    bytes[7] = 9;
    put_meta("log", NULL, (struct span){log_key, 8}, (struct span){bytes, 30}); /* other length */
    EQ(try_open(&o), STORE_E_FORMAT);
    OK(strstr(place_text, "version 9, this program reads 4"));
    record_log_meta_write(&log, bytes);
    put_meta("log", NULL, (struct span){log_key, 8}, (struct span){bytes, RECORD_LOG_META_SIZE});
    record_state_meta_write(&state, bytes);
    bytes[7] = 3;
    put_meta("state", "meta", span_of("meta"), (struct span){bytes, sizeof bytes});
    EQ(try_open(&o), STORE_E_FORMAT);
    OK(strstr(place_text, "version 3, this program reads 2"));
    bytes[7] = 2;
    bytes[40] ^= 4; /* right format, wrong sum */
    put_meta("state", "meta", span_of("meta"), (struct span){bytes, sizeof bytes});
    EQ(try_open(&o), STORE_E_DAMAGED);
    place_shell("rm -rf log state");
}

/* The version of LMDB's data on both meta pages, or on one. */
static void put_lmdb_version(const char *env_name, uint32_t version, int pages)
{
    char path[FOLDER_PATH_MAX];
    EQ(folder_join(path, place_path(env_name), "/data.mdb"), 0);
    int fd = open(path, O_WRONLY);
    OK(fd >= 0);
    for (int i = 0; i < pages; i++) {
        EQ(pwrite(fd, &version, sizeof version, i * sysconf(_SC_PAGESIZE) + 20),
           (ssize_t)sizeof version);
    }
    close(fd);
}

/* Another LMDB's file is whole: nothing is called damaged, repaired, or fetched from a peer, and it
 * stays as it was. */
static void test_other_lmdb(void)
{
    static const char *const names[] = {"log", "state"};
    for (int repairs = 0; repairs < 2; repairs++) {
        struct store_options o = place_options();
        o.repairs = repairs;
        EQ(try_open(&o), 0);
        for (int i = 0; i < 2; i++) {
            char said[64];
            snprintf(said, sizeof said, "%s/data.mdb is of another LMDB, data version 999",
                     names[i]);
            put_lmdb_version(names[i], 999, 2);
            EQ(try_open(&o), STORE_E_FORMAT);
            OK(strstr(place_text, said));
            put_lmdb_version(names[i], 1, 2);
            EQ(try_open(&o), 0);
        }
        put_lmdb_version("log", 999, 1); /* on one page only: a spoiled page */
        EQ(try_open(&o), STORE_E_DAMAGED);
        place_shell("rm -rf log* state*");
    }
}

static void test_half_made_is_taken_up(void)
{
    struct store_options o = place_options();
    uint8_t id[16], again[16];
    struct store *s = place_open(&o);
    store_cluster_id(s, id);
    store_close(s);
    place_shell("rm -rf log");
    s = place_open(&o); /* state/ with nothing applied: the log was never made */
    store_cluster_id(s, again);
    OK(memcmp(id, again, 16) == 0);
    store_close(s);
    place_shell("rm -rf log state");
    place_shell("mkdir state.new && echo torn > state.new/data.mdb");
    EQ(try_open(&o), 0);
    OK(access(place_path("state.new"), F_OK) != 0);
}

static void test_missing_half_is_damage(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    place_entry(s, span_of("x"));
    store_close(s); /* flushes: the state is at 1 */
    place_shell("mv log log.away");
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "log/ is missing"));
    place_shell("mv log.away log");
    place_shell("mv state state.away");
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "state/ is missing"));
    place_shell("mv state.away state");
    EQ(try_open(&o), 0);
}

static void test_halves_of_two_stores(void)
{
    struct store_options o = place_options();
    place_shell("mv log log.away");
    place_shell("mv state state.away");
    EQ(try_open(&o), 0);
    place_shell("rm -rf log && mv log.away log");
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "two clusters"));
    place_shell("rm -rf state && mv state.away state");
    EQ(try_open(&o), 0);
}

static void test_an_older_log_does_not_meet_the_state(void)
{
    struct store_options o = place_options();
    place_shell("cp -r log log.old");
    struct store *s = place_open(&o);
    place_entry(s, span_of("x"));
    store_close(s);
    place_shell("mv log log.away");
    place_shell("cp -r log.old log");
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "do not meet"));
    place_shell("rm -rf log state");
}

static void test_broken_files(void)
{
    struct store_options o = place_options();
    struct store *s = place_open(&o);
    place_entry(s, span_of("x"));
    store_close(s);
    place_shell("cp state/data.mdb good");
    place_shell("dd if=/dev/zero of=state/data.mdb bs=8192 count=1 conv=notrunc 2>/dev/null");
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "state/data.mdb: page 0 changed since it was closed"));
    place_shell("mv state/sums sums");
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "state/ is damaged"));
    place_shell(": > state/data.mdb");
    EQ(try_open(&o), STORE_E_DAMAGED);
    place_shell("mv sums state/sums");
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "state/ is not as it was closed"));
    place_shell("cp good state/data.mdb");
    EQ(try_open(&o), 0);
    place_shell("echo no environment > log/data.mdb; rm log/sums");
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "log/ is damaged"));
}

int main(void)
{
    place_make();
    TAP_RUN(test_first_creation);
    TAP_RUN(test_cluster);
    TAP_RUN(test_a_log_of_another_disk);
    TAP_RUN(test_lock);
    TAP_RUN(test_other_format);
    TAP_RUN(test_other_lmdb);
    TAP_RUN(test_half_made_is_taken_up);
    TAP_RUN(test_missing_half_is_damage);
    TAP_RUN(test_halves_of_two_stores);
    TAP_RUN(test_an_older_log_does_not_meet_the_state);
    TAP_RUN(test_broken_files);
    place_remove();
    return tap_done();
}
