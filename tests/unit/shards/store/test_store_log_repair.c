/* SPDX-License-Identifier: MIT */
/* Is a damaged log made anew where the state has what is damaged, and refused where anything that
 * the replica has promised may be damaged: term, vote, an entry that is not known to be committed?
 * A log of 300 entries, all but the last 20 applied and durable; bytes of its file are changed, and
 * the store opened.  Whatever opens has the newest vote and each of the 20. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "place.h"
#include "store/log_repair.h"

#define ENTRIES 300
#define APPLIED 280
#define LEN     80
#define TERM    9
#define VOTE    3
#define PAGE    4096
#ifdef __SANITIZE_THREAD__ /* waits for a second at the end of each process */
#define FLIPS 20
#else
#define FLIPS 120
#endif

static int steps_left = -1; /* until the process is killed; -1: never */

static void step(void)
{
    if (steps_left >= 0 && steps_left-- == 0) {
        _exit(99);
    }
}

/* What makes a directory durable or changes one: this program's own stand before libc's. */
#define STEPPED(type, name, parameters, arguments)                \
    type name parameters                                          \
    {                                                             \
        static type(*real) parameters;                            \
        if (!real) {                                              \
            *(void **)&real = dlsym(RTLD_NEXT, #name);            \
        }                                                         \
        step();                                                   \
        return real arguments;                                    \
    }
STEPPED(int, rename, (const char *from, const char *to), (from, to))
STEPPED(int, mkdir, (const char *path, mode_t mode), (path, mode))
STEPPED(int, unlink, (const char *path), (path))
STEPPED(int, rmdir, (const char *path), (path))
STEPPED(int, fsync, (int fd), (fd))
STEPPED(int, fdatasync, (int fd), (fd))

static struct store_options options(void)
{
    struct store_options o = place_options();
    o.repairs = true;
    return o;
}

static bool is_there(const char *name)
{
    return access(place_path(name), F_OK) == 0;
}

/* Bytes that stand nowhere else. */
static struct span entry_of(uint8_t out[LEN], uint64_t n)
{
    return place_bytes(out, LEN, n);
}

static void append(struct store *s, uint64_t n)
{
    uint8_t bytes[LEN];
    EQ(store_log_append(s, n / 50 + 1, entry_of(bytes, n)), 0);
    EQ(store_log_commit(s), 0);
}

/* Killed, or closed well: then the state has all, and nothing but the vote is promised. */
static void make(bool is_clean)
{
    struct store_options o = options();
    place_shell("rm -rf * .good");
    struct store *s = place_open(&o);
    uint8_t bytes[LEN];
    store_log_floor(s, 1);
    for (uint64_t n = 1; n <= ENTRIES; n++) {
        append(s, n);
        if (n <= APPLIED || is_clean) {
            EQ(store_book(s)->put(store_book(s)->self, span_of("key"), entry_of(bytes, n)), 0);
            store_applied(s, n, n / 50 + 1, (int64_t)n * 1000);
        }
        EQ(n == APPLIED ? store_flush(s) : 0, 0);
    }
    for (uint64_t vote = 1; vote <= VOTE; vote++) { /* older ones stay on free pages */
        EQ(store_log_set_vote(s, TERM, vote), 0);
        EQ(store_log_commit(s), 0);
    }
    if (is_clean) {
        store_close(s);
    } else {
        store_abandon(s);
    }
    place_shell("mkdir .good && cp -r log state .good/");
}

static void restore(void)
{
    place_shell("rm -rf log* state* && cp -r .good/* .");
}

static uint8_t *read_log(size_t *ret_len)
{
    FILE *f = fopen(place_path("log/data.mdb"), "rb");
    fseek(f, 0, SEEK_END);
    *ret_len = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*ret_len);
    OK(fread(bytes, 1, *ret_len, f) == *ret_len);
    fclose(f);
    return bytes;
}

static void write_log(size_t at, const void *bytes, size_t len)
{
    int fd = open(place_path("log/data.mdb"), O_WRONLY);
    EQ(pwrite(fd, bytes, len, (off_t)at), (ssize_t)len);
    close(fd);
}

/* A bit of every copy of `what`, `from` bytes behind its begin; how many there were. */
static int flip(struct span what, size_t from)
{
    size_t len;
    int count = 0;
    uint8_t *bytes = read_log(&len);
    for (const uint8_t *at = bytes;
         (at = memmem(at, len - (size_t)(at - bytes), what.ptr, what.len)); at++) {
        uint8_t byte = at[from] ^ 4;
        write_log((size_t)(at - bytes) + from, &byte, 1);
        count++;
    }
    free(bytes);
    return count;
}

static void flip_entry(uint64_t n)
{
    uint8_t bytes[LEN];
    OK(flip(entry_of(bytes, n), 7) > 0);
}

/* All that was promised, and no more behind the state than there was. */
static bool is_right(struct store *s)
{
    uint8_t bytes[LEN];
    uint64_t term, vote, durable = store_applied_durable(s);
    struct span entry;
    store_log_vote(s, &term, &vote);
    bool right = term == TERM && vote == VOTE && store_log_last(s) == ENTRIES &&
                 store_log_first(s) <= durable + 1 && durable >= APPLIED;
    for (uint64_t n = store_log_first(s); right && n <= ENTRIES; n++) {
        right = store_log_read(s, n, &term, &entry) == 0 && term == n / 50 + 1 &&
                span_equal(entry, entry_of(bytes, n));
    }
    return right;
}

static int try_open(const struct store_options *o)
{
    struct store *s = NULL;
    memset(place_text, 0, sizeof place_text);
    int r = store_open(o, &s, place_text);
    if (r == 0) {
        OK(is_right(s));
        store_abandon(s);
    }
    return r;
}

static void is_refused(void)
{
    struct store_options o = options();
    size_t len, len_after;
    uint8_t *bytes = read_log(&len);
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "log/ is damaged; remove this node from its cluster"));
    uint8_t *after = read_log(&len_after);
    OK(len == len_after && memcmp(bytes, after, len) == 0);
    OK(!is_there("log.damaged") && !is_there("log.repaired"));
    free(bytes);
    free(after);
}

/* The store, open; the log begins behind the state. */
static struct store *is_repaired(uint64_t applied)
{
    struct store_options o = options();
    struct store *s = place_open(&o);
    uint64_t index, term;
    OK(store_log_repaired(s));
    OK(is_right(s));
    EQ(store_log_first(s), applied + 1);
    EQ(store_applied_durable(s), applied);
    store_log_durable(s, &index, &term);
    EQ(index, applied);
    EQ(term, applied / 50 + 1);
    OK(strstr(place_text, "was damaged") && strstr(place_text, LOG_REPAIR_ASIDE));
    OK(is_there("log.damaged") && !is_there("log.repaired"));
    return s;
}

static void test_an_old_entry(void)
{
    struct store_options o = options();
    uint8_t bytes[LEN];
    struct span value;
    uint64_t wanted;
    make(false);
    EQ(try_open(&o), 0);
    EQ(place_text[0], 0); /* nothing is told of a whole one */
    restore();
    flip_entry(150);
    struct store *s = is_repaired(APPLIED);
    OK(!store_wants_state(s, &wanted));
    EQ(store_book(s)->get(store_book(s)->self, span_of("key"), &value), 0);
    OK(span_equal(value, entry_of(bytes, APPLIED)));
    store_applied(s, APPLIED + 1, APPLIED / 50 + 1, 1);
    append(s, ENTRIES + 1); /* it goes on */
    EQ(store_log_truncate(s, ENTRIES + 1), 0);
    EQ(store_log_commit(s), 0);
    store_close(s);
    s = place_open(&o); /* the one put aside goes with the next start */
    OK(!store_log_repaired(s) && is_right(s) && !is_there("log.damaged"));
    store_close(s);
}

/* The first and the last that may be, and all of them. */
static void test_which_entries_may_be(void)
{
    make(false);
    for (uint64_t n = 1; n <= APPLIED; n += n == 1 ? APPLIED - 1 : 1) {
        flip_entry(n);
        store_abandon(is_repaired(APPLIED));
        restore();
    }
    for (uint64_t n = 1; n <= APPLIED; n += 10) {
        flip_entry(n);
    }
    store_abandon(is_repaired(APPLIED));
    for (uint64_t n = APPLIED + 1; n <= ENTRIES; n++) {
        restore();
        flip_entry(n);
        is_refused();
    }
}

static void test_a_node_alone_is_refused(void)
{
    struct store_options o = place_options();
    restore();
    flip_entry(150);
    EQ(try_open(&o), STORE_E_DAMAGED);
    OK(strstr(place_text, "log/ is damaged; move the directory aside and restore a backup"));
    OK(!is_there("log.damaged"));
}

/* Term and vote; what LMDB says of the file; the state that must have what is dropped. */
static void test_what_was_promised_is_damaged(void)
{
    static const uint8_t wrong = 0x55;
    restore();
    OK(flip(span_of("fslg"), 8 + 16 + 7 + 8) > 0); /* the vote */
    is_refused();
    for (size_t meta = 0; meta < 2; meta++) {
        restore();
        flip_entry(150);
        write_log(meta * PAGE + 144, &wrong, 1); /* its transaction */
        is_refused();
    }
    restore();
    flip_entry(150);
    place_shell("dd if=/dev/zero of=state/data.mdb bs=4096 seek=2 conv=notrunc count=40 "
                "2>/dev/null");
    is_refused();
    restore();
    flip_entry(150);
    place_shell("mv state elsewhere");
    is_refused();
    place_shell("rm -r elsewhere");
}

/* An entry that no search finds any more, and a tail that is cut off: the counts disagree. */
static void test_the_counts_disagree(void)
{
    static const uint8_t big_endian[] = {0, 0, 0, 0, 0, 0, 1, ENTRIES - 256};
    restore();
    OK(flip((struct span){big_endian, 8}, 6) > 0);
    is_refused();
}

/* -- after a clean stop ------------------------------------------------------------------------ */

static void test_after_a_clean_stop(void)
{
    static const uint8_t wrong = 0xaa;
    size_t len;
    make(true);
    flip_entry(150);
    store_abandon(is_repaired(ENTRIES));
    restore();
    flip_entry(1); /* on the page that the vote is on */
    is_refused();
    for (size_t meta = 0; meta < 2; meta++) {
        restore();
        write_log(meta * PAGE + 2000, &wrong, 1); /* of no use, but it must not have changed */
        is_refused();
    }
    restore();
    uint8_t *bytes = read_log(&len);
    for (size_t page = 2; page < len / PAGE; page++) { /* the tree's upper part */
        if (bytes[page * PAGE + 10] & 1) {
            restore();
            flip_entry(150);
            write_log(page * PAGE + 20, &wrong, 1);
            struct store_options o = options();
            int r = try_open(&o);
            OK(r == STORE_E_DAMAGED || (r == 0 && is_there("log.damaged")));
        }
    }
    free(bytes);
    restore();
    place_shell("printf x | dd of=log/sums bs=1 seek=40 conv=notrunc 2>/dev/null");
    is_refused();
}

/* -- a search that ends in an older leaf ------------------------------------------------------- */

static bool is_branch(const uint8_t *page)
{
    return page[10] == 1 && page[11] == 0;
}

/* The newest root's way to the meta record leads to a copy with an older vote: every record there
 * is whole, and the counts are right. */
static void test_an_older_vote_is_not_believed(void)
{
    struct record_log_meta meta;
    uint32_t format;
    size_t len, pointed = 0;
    make(false);
    uint8_t *bytes = read_log(&len);
    size_t stale = 0, fresh = 0;
    for (const uint8_t *at = bytes;
         (at = memmem(at, len - (size_t)(at - bytes), "fslg", 4)); at++) {
        struct span record = {at, RECORD_LOG_META_SIZE};
        if (record_log_meta_read(record, &meta, &format) == 0) {
            size_t page = (size_t)(at - bytes) / PAGE;
            stale = meta.vote == VOTE - 1 ? page : stale;
            fresh = meta.vote == VOTE ? page : fresh;
        }
    }
    OK(stale > 1 && fresh > 1);
    for (size_t page = 2; page < len / PAGE; page++) {
        uint16_t node, low = (uint16_t)fresh;
        memcpy(&node, bytes + page * PAGE + 16, sizeof node); /* its first child */
        if (is_branch(bytes + page * PAGE) && node < PAGE &&
            memcmp(bytes + page * PAGE + node, &low, sizeof low) == 0) {
            low = (uint16_t)stale;
            write_log(page * PAGE + node, &low, sizeof low);
            pointed++;
        }
    }
    OK(pointed > 0);
    flip_entry(150); /* else nothing is found damaged, which is another matter */
    is_refused();
    free(bytes);
}

/* -- a state that may be ahead ----------------------------------------------------------------- */

/* With a received state the log may hold what another leader had at and below its index: only the
 * entry there tells. */
static void test_a_received_state(void)
{
    struct logenv *log;
    uint32_t format;
    make(false);
    struct logenv_place place = {place_path("log"), 64 << 20, 64 << 10};
    EQ(logenv_open(&place, &log, &format), 0);
    EQ(logenv_name_state(log, 1), 0);
    logenv_close(log);
    place_shell("mv state state.1; rm -rf .good; mkdir .good; cp -r log state.1 .good/");
    flip_entry(150);
    store_abandon(is_repaired(APPLIED));
    restore();
    flip_entry(APPLIED);
    is_refused();
}

/* -- killed at each step ----------------------------------------------------------------------- */

/* Killed before its n-th step; 99: it was. */
static int open_killed(int n)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct store_options o = options();
        struct store *s;
        steps_left = n;
        int r = store_open(&o, &s, place_text);
        _exit(r != 0);
    }
    EQ(waitpid(pid, &status, 0), pid);
    OK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_killed_at_each_step(void)
{
    int n = 0, told = 0, between = 0, result;
    struct store_options o = options();
    make(false);
    do {
        restore();
        flip_entry(150);
        result = open_killed(n++);
        OK(result == 99 || result == 0);
        bool is_between = !is_there("log");
        between += is_between;
        struct store *s = place_open(&o);
        OK(is_right(s));
        EQ(store_log_first(s), APPLIED + 1);
        told += store_log_repaired(s);
        OK(store_log_repaired(s) || !is_between);
        OK(!is_there("log.repaired") && !is_there("log.repaired.new"));
        EQ(is_there("log.damaged"), store_log_repaired(s));
        store_abandon(s);
    } while (result == 99);
    printf("# %d steps, %d of them without log/, the next start tells of %d\n", n, between, told);
    OK(between > 0); /* the switch was cut in two */
    OK(told > n / 2);
}

/* What an earlier repair left is never taken for the log. */
static void test_leftovers(void)
{
    struct store_options o = options();
    restore();
    place_shell("mkdir log.repaired log.repaired.new; echo no environment | "
                "tee log.repaired/data.mdb log.repaired.new/data.mdb >log.out; rm log.out");
    EQ(try_open(&o), 0);
    OK(!is_there("log.repaired") && !is_there("log.repaired.new"));
    restore();
    place_shell("mkdir log.damaged log.repaired; echo old | tee log.damaged/data.mdb "
          "log.repaired/data.mdb >log.out; rm log.out");
    flip_entry(150);
    store_abandon(is_repaired(APPLIED));
    place_shell("rm -rf log log.damaged state; cp -r .good/state .; cp -r .good/log log.repaired");
    EQ(try_open(&o), STORE_E_DAMAGED); /* no log/, and it was not a switch */
    OK(strstr(place_text, "log/ is missing"));
}

/* -- any bit ----------------------------------------------------------------------------------- */

enum { ANY_REFUSED = 10, ANY_HARMLESS, ANY_REPAIRED, ANY_WRONG, ANY_DIED };

/* In a child: LMDB may end it. */
static int look(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct store_options o = options();
        struct store *s;
        if (store_open(&o, &s, place_text) != 0) {
            _exit(ANY_REFUSED);
        }
        _exit(!is_right(s) ? ANY_WRONG : store_log_repaired(s) ? ANY_REPAIRED : ANY_HARMLESS);
    }
    EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : ANY_DIED;
}

static void any_bit(bool is_clean)
{
    int seen[ANY_DIED + 1] = {0};
    struct prng p;
    size_t len;
    make(is_clean);
    uint8_t *bytes = read_log(&len);
    prng_init(&p, 31);
    for (int i = 0; i < FLIPS; i++) {
        size_t at = prng_below(&p, len);
        uint8_t byte = bytes[at] ^ (uint8_t)(1 << prng_below(&p, 8));
        write_log(at, &byte, 1);
        int r = look();
        seen[r]++;
        if (r == ANY_REPAIRED) {
            restore();
        } else {
            place_shell("rm -rf log && cp -r .good/log .");
        }
    }
    printf("# %s: %d flips: %d refused, %d repaired, %d hit nothing in use, %d ended it\n",
           is_clean ? "closed" : "killed", FLIPS, seen[ANY_REFUSED], seen[ANY_REPAIRED],
           seen[ANY_HARMLESS], seen[ANY_DIED]);
    EQ(seen[ANY_WRONG], 0);
    EQ(is_clean ? seen[ANY_HARMLESS] : 0, 0); /* not a bit may change unseen */
    OK(seen[ANY_REPAIRED] > FLIPS / 10);
    free(bytes);
}

static void test_any_bit_after_a_kill(void)
{
    any_bit(false);
}

static void test_any_bit_of_a_closed_file(void)
{
    any_bit(true);
}

int main(void)
{
    place_make();
    TAP_RUN(test_an_old_entry);
    TAP_RUN(test_which_entries_may_be);
    TAP_RUN(test_a_node_alone_is_refused);
    TAP_RUN(test_what_was_promised_is_damaged);
    TAP_RUN(test_the_counts_disagree);
    TAP_RUN(test_after_a_clean_stop);
    TAP_RUN(test_an_older_vote_is_not_believed);
    TAP_RUN(test_a_received_state);
    TAP_RUN(test_killed_at_each_step);
    TAP_RUN(test_leftovers);
    TAP_RUN(test_any_bit_after_a_kill);
    TAP_RUN(test_any_bit_of_a_closed_file);
    place_remove();
    return tap_done();
}
