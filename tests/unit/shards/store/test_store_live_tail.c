/* SPDX-License-Identifier: MIT */
/* A store that was killed with entries in its log's tail alone: are they there, or is it told?
 * A log made before there was a tail, one whose tree is damaged beside a live tail, one whose tail
 * is; whatever opens has every entry that was acknowledged. */
#include <sys/stat.h>
#include <xxhash.h>

#include "place.h"
#include "store/record.h"
#include "store/sums.h"

#define ENTRIES 120
#define APPLIED 90
#define LEN     60
#define TERM    4
#define VOTE    2
#define SECTOR  512

static struct store_options options(bool repairs)
{
    struct store_options o = place_options();
    o.repairs = repairs;
    return o;
}

static struct span entry_of(uint8_t out[LEN], uint64_t n)
{
    return place_bytes(out, LEN, n);
}

/* Killed: what is behind APPLIED was never in a commit of the tree. */
static void make(void)
{
    struct store_options o = options(false);
    uint8_t bytes[LEN];
    place_shell("rm -rf * .good");
    struct store *s = place_open(&o);
    store_log_floor(s, 1);
    EQ(store_log_set_vote(s, TERM, VOTE), 0);
    for (uint64_t n = 1; n <= ENTRIES; n++) {
        EQ(store_log_append(s, TERM, entry_of(bytes, n)), 0);
        EQ(n % 3 ? 0 : store_log_commit(s), 0);
        if (n % 3 == 0 && n <= APPLIED) {
            EQ(store_book(s)->put(store_book(s)->self, span_of("key"), entry_of(bytes, n)), 0);
            store_applied(s, n, TERM, (int64_t)n * 1000);
        }
        EQ(n == APPLIED ? store_flush(s) : 0, 0);
    }
    store_abandon(s);
    place_shell("mkdir .good && cp -r log state .good/");
}

static void restore(void)
{
    place_shell("rm -rf log* state* && cp -r .good/* .");
}

static bool is_right(struct store *s)
{
    uint8_t bytes[LEN];
    uint64_t term, vote, first = store_log_first(s);
    struct span entry;
    store_log_vote(s, &term, &vote);
    bool right = term == TERM && vote == VOTE && store_log_last(s) == ENTRIES &&
                 first <= APPLIED + 1 && store_applied_durable(s) == APPLIED;
    for (uint64_t n = first; right && n <= ENTRIES; n++) {
        right = store_log_read(s, n, &term, &entry) == 0 && term == TERM &&
                span_equal(entry, entry_of(bytes, n));
    }
    return right;
}

static int try_open(const struct store_options *o)
{
    struct store *s;
    int r = store_open(o, &s, place_text);
    if (r == 0) {
        OK(is_right(s));
        store_abandon(s);
    }
    return r;
}

static void flip(const char *name, long at)
{
    FILE *f = fopen(place_path(name), "r+b");
    fseek(f, at, SEEK_SET);
    int byte = getc(f);
    fseek(f, at, SEEK_SET);
    putc(byte ^ 8, f);
    fclose(f);
}

/* Where an entry lies in the file; -1: nowhere. */
static long find(const char *name, uint64_t n)
{
    static uint8_t file[1 << 20];
    uint8_t bytes[LEN];
    FILE *f = fopen(place_path(name), "rb");
    size_t len = fread(file, 1, sizeof file, f);
    fclose(f);
    uint8_t *at = memmem(file, len, entry_of(bytes, n).ptr, LEN / 2);
    return at ? (long)(at - file) : -1;
}

static uint32_t format_now(void)
{
    static uint8_t file[1 << 20];
    uint32_t newest = 0;
    FILE *f = fopen(place_path("log/data.mdb"), "rb");
    size_t len = fread(file, 1, sizeof file, f);
    fclose(f);
    for (uint8_t *at = file; (at = memmem(at, len - (size_t)(at - file), "fslg", 4)); at += 4) {
        newest = at[7] > newest ? at[7] : newest;
    }
    return newest;
}

/* Every copy of it: the one in use is among them. */
static void flip_entry(const char *name, uint64_t n)
{
    for (long at; (at = find(name, n)) >= 0;) {
        flip(name, at);
    }
}

static void test_killed_with_a_live_tail(void)
{
    struct store_options o = options(false);
    make();
    OK(find("log/tail", ENTRIES) > 0);
    OK(find("log/data.mdb", ENTRIES) < 0);
    EQ(format_now(), RECORD_LOG_FORMAT); /* an older program would not see the tail */
    OK(find("log/data.mdb", APPLIED) > 0); /* the flush has settled it */
    EQ(try_open(&o), 0);
    OK(find("log/data.mdb", ENTRIES) > 0);
    EQ(try_open(&o), 0); /* and once more, killed before anything was written */
}

static void test_a_damaged_tail_is_refused(void)
{
    struct store_options alone = options(false), member = options(true);
    restore();
    flip("log/tail", find("log/tail", ENTRIES));
    EQ(try_open(&alone), STORE_E_DAMAGED);
    OK(strstr(place_text, "log/ is damaged"));
    OK(strstr(place_text, "restore a backup"));
    EQ(try_open(&member), STORE_E_DAMAGED); /* it may be what this replica has promised */
    OK(strstr(place_text, "add a new number"));
    flip("log/tail", find("log/tail", ENTRIES - 4)); /* the refusals changed nothing: both wrong */
    EQ(try_open(&member), STORE_E_DAMAGED);
    restore();
    place_shell("rm log/tail");
    EQ(try_open(&alone), STORE_E_DAMAGED);
    EQ(try_open(&member), STORE_E_DAMAGED);
    restore();
    place_shell("truncate -s 4096 log/tail");
    EQ(try_open(&alone), STORE_E_DAMAGED);
    restore();
    EQ(try_open(&alone), 0);
}

/* An old entry in the tree is damaged, and the newest are in the tail alone. */
static void test_a_repair_beside_a_live_tail(void)
{
    struct store_options o = options(true);
    struct store *s;
    restore();
    flip_entry("log/data.mdb", APPLIED / 2);
    EQ(store_open(&o, &s, place_text), 0);
    OK(store_log_repaired(s));
    OK(is_right(s));
    EQ(store_log_first(s), APPLIED + 1);
    store_abandon(s);
    EQ(try_open(&o), 0);
    restore();
    flip_entry("log/data.mdb", APPLIED / 2);
    flip("log/tail", find("log/tail", ENTRIES));
    EQ(try_open(&o), STORE_E_DAMAGED);
}

/* Nothing is lost, and it is told once. */
static void test_spoiled_where_nothing_is(void)
{
    struct store_options o = options(false);
    struct store *s;
    struct stat st;
    restore();
    EQ(stat(place_path("log/tail"), &st), 0);
    flip("log/tail", st.st_size - SECTOR / 2);
    EQ(store_open(&o, &s, place_text), 0);
    OK(store_log_repaired(s));
    OK(strstr(place_text, "log/tail was damaged where nothing was in it"));
    OK(is_right(s));
    store_abandon(s);
    EQ(store_open(&o, &s, place_text), 0);
    OK(!store_log_repaired(s));
    OK(is_right(s));
    store_close(s);
}

/* The meta record, wherever it lies, as an older program wrote it: eight bytes less, and its node
 * in the leaf says so too. */
static void make_older(uint8_t format)
{
    static uint8_t file[1 << 20];
    const size_t len = RECORD_LOG_META_SIZE - 8;
    FILE *f = fopen(place_path("log/data.mdb"), "r+b");
    size_t size = fread(file, 1, sizeof file, f);
    uint8_t *at = file;
    OK(size < sizeof file);
    while ((at = memmem(at, size - (size_t)(at - file), "fslg", 4)) != NULL) {
        uint16_t node_len = (uint16_t)len;
        memcpy(at - 16, &node_len, sizeof node_len);
        at[7] = format;
        struct scribe w = scribe_of(at + len - 8, 8);
        scribe_u64(&w, XXH3_64bits(at, len - 8));
        at += len;
    }
    rewind(f);
    OK(fwrite(file, 1, size, f) == size);
    fclose(f);
}

static void test_a_log_without_a_tail(void)
{
    struct store_options o = options(false);
    restore();
    EQ(try_open(&o), 0); /* all of it is in the tree then */
    make_older(RECORD_LOG_FORMAT_BARE);
    place_shell("rm -f log/tail log/sums");
    place_shell("cp log/data.mdb older");
    EQ(try_open(&o), 0);
    EQ(format_now(), RECORD_LOG_FORMAT);
    EQ(access(place_path("log/tail"), F_OK), 0);
    EQ(try_open(&o), 0);
    /* Killed between the tail and the commit that makes it count: whatever is in it is nobody's. */
    place_shell("cp older log/data.mdb; head -c 8192 /dev/urandom > log/tail");
    EQ(try_open(&o), 0);
    EQ(try_open(&o), 0);
}

/* With entries in its tail alone: they are what was acknowledged. */
static void test_a_log_that_does_not_say_whose(void)
{
    struct store_options o = options(true);
    restore();
    make_older(RECORD_LOG_FORMAT_TAIL);
    EQ(format_now(), RECORD_LOG_FORMAT_TAIL);
    OK(find("log/tail", ENTRIES) > 0);
    EQ(try_open(&o), 0);
    EQ(format_now(), RECORD_LOG_FORMAT);
    restore();
    make_older(RECORD_LOG_FORMAT_TAIL);
    flip_entry("log/data.mdb", APPLIED / 2); /* and with damage where the state has it all */
    EQ(try_open(&o), 0);
    o.disk = 7;
    EQ(try_open(&o), 0); /* whoever has it now says so */
    o.disk = 8;
    EQ(try_open(&o), STORE_E_CLUSTER);
}

/* A start that is refused, for it names another cluster, after the log has changed: the next one
 * does not take the change for damage of what lay closed. */
static void refused_then_right(void)
{
    struct store_options o = options(false);
    EQ(access(place_path("log/sums"), F_OK), 0);
    memset(o.cluster_id, 7, sizeof o.cluster_id);
    EQ(try_open(&o), STORE_E_CLUSTER);
    o = options(false);
    EQ(try_open(&o), 0);
}

static void test_a_refused_start_is_no_damage(void)
{
    struct store_options o = options(false);
    uint8_t bytes[LEN];
    char log[512];
    restore();
    struct store *s = place_open(&o);
    store_log_floor(s, 1);
    store_close(s);
    make_older(RECORD_LOG_FORMAT_TAIL); /* closed by a program of then */
    snprintf(log, sizeof log, "%s", place_path("log"));
    EQ(sums_write(log), 0);
    refused_then_right();
    make();
    s = place_open(&o);
    EQ(store_log_truncate(s, ENTRIES), 0);
    EQ(store_log_commit(s), 0);
    EQ(store_log_append(s, TERM, entry_of(bytes, ENTRIES)), 0);
    EQ(store_log_commit(s), 0); /* in the tail; and one that nobody was told of, when it stops */
    EQ(store_log_append(s, TERM, entry_of(bytes, ENTRIES + 1)), 0);
    store_close(s);
    OK(find("log/tail", ENTRIES) > 0); /* so the next opening commits */
    refused_then_right();
}

int main(void)
{
    place_make();
    TAP_RUN(test_killed_with_a_live_tail);
    TAP_RUN(test_a_damaged_tail_is_refused);
    TAP_RUN(test_a_repair_beside_a_live_tail);
    TAP_RUN(test_spoiled_where_nothing_is);
    TAP_RUN(test_a_log_without_a_tail);
    TAP_RUN(test_a_log_that_does_not_say_whose);
    TAP_RUN(test_a_refused_start_is_no_damage);
    place_remove();
    return tap_done();
}
