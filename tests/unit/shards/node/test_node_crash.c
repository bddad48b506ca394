/* SPDX-License-Identifier: MIT */
/* Does everything that was acknowledged survive the process?  A child runs a node and books; it is
 * killed at some moment, with replies on their way; the parent opens what is left and looks for
 * every hold whose answer had arrived.  (kill -9 keeps the page cache: that the answers leave after
 * the fsync is another suite's question.)  Also: what a node does when its disk fails under it. */
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/shards/node/house.h"

#define SLOTS      12000 /* more than eight children can book before they are killed */
#define CHILD_S    110   /* then it ends, whatever happened: nobody waits longer for it */
#define CALL_MS    60000 /* patience, not speed: only a child that is stuck runs into it */
#define DISK_SLOTS 64    /* booked before the disk fails */

static const char *self;

struct ack {
    uint64_t slot;
    uint64_t id[2];
    uint64_t state; /* HOLD_LIVE or HOLD_CONFIRMED */
};

/* -- the child --------------------------------------------------------------------------------- */

/* Books the slots from first to before end, confirming every second one, in batches; writes what
 * was acknowledged. */
static void child_book(struct house *h, uint64_t first, uint64_t end, int out)
{
    struct command c[16];
    struct slot_key keys[16];
    struct ack acks[16];
    for (uint64_t slot = first; slot + 16 <= end; slot += 16) {
        for (size_t i = 0; i < 16; i++) {
            keys[i] = (struct slot_key){house_slot_us(slot + i), span_of("d1")};
            c[i] = house_command(COMMAND_CREATE_HOLD, "town", slot + i);
            c[i].slots = &keys[i];
            c[i].slots_count = 1;
        }
        struct answer *a = house_calls(h, c, 16, CALL_MS);
        for (size_t i = 0; i < 16; i++) {
            CHECK(a != NULL);
            CHECK(a[i].reason == REASON_OK);
            acks[i] = (struct ack){.slot = slot + i, .state = HOLD_LIVE};
            CHECK(house_hold_id(&a[i], &acks[i].id[0], &acks[i].id[1]));
        }
        CHECK(write(out, acks, sizeof acks) == sizeof acks);
        for (size_t i = 0; i < 8; i++) {
            c[i] = house_command(COMMAND_CONFIRM_HOLD, "town", slot + 2 * i);
            c[i].owner = acks[2 * i].id[0];
            c[i].number = acks[2 * i].id[1];
            acks[i] = acks[2 * i];
            acks[i].state = HOLD_CONFIRMED;
        }
        a = house_calls(h, c, 8, CALL_MS);
        for (size_t i = 0; i < 8; i++) {
            CHECK(a != NULL);
            CHECK(a[i].reason == REASON_OK);
        }
        CHECK(write(out, acks, 8 * sizeof acks[0]) == (ssize_t)(8 * sizeof acks[0]));
    }
}

static int child_main(const char *way, const char *dir, uint64_t first)
{
    struct house h;
    house_init(&h);
    rmdir(h.dir);
    snprintf(h.dir, sizeof h.dir, "%s", dir);
    CHECK(house_open(&h, NULL) == 0);
    if (strcmp(way, "book") == 0) {
        child_book(&h, first, SLOTS, 3);
    } else {
        child_book(&h, first, first + DISK_SLOTS, 3);
        /* From here on a write of any page but the first fails: a disk that is gone. */
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit none = {4096, 4096};
        CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
        child_book(&h, first + DISK_SLOTS, SLOTS, 3);
    }
    for (;;) {
        pause();
    }
}

static pid_t child_start(const char *way, const char *dir, uint64_t first, int *ret_out)
{
    int fds[2];
    char number[32];
    CHECK(pipe(fds) == 0);
    snprintf(number, sizeof number, "%llu", (unsigned long long)first);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], 3);
        for (int fd = 4; fd < 256; fd++) {
            close(fd);
        }
        alarm(CHILD_S);
        execl(self, self, way, dir, number, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    *ret_out = fds[0];
    return pid;
}

/* -- the parent -------------------------------------------------------------------------------- */

static size_t read_acks(int in, struct ack *acks, size_t max)
{
    size_t bytes = 0;
    ssize_t n;
    while ((n = read(in, (char *)acks + bytes, max * sizeof *acks - bytes)) > 0) {
        bytes += (size_t)n;
    }
    return bytes / sizeof *acks;
}

static void check_acks(struct house *h, const struct ack *acks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int state = house_hold_state(h, "town", acks[i].slot, acks[i].id);
        OK(state == (int)acks[i].state || state == HOLD_CONFIRMED);
        EQ(house_slot_state(h, "town", acks[i].slot),
           state == HOLD_CONFIRMED ? SLOT_TAKEN : SLOT_HELD);
    }
}

static void prepare(struct house *h)
{
    house_init(h);
    EQ(house_open(h, NULL), 0);
    EQ(house_pool(h, "town", DAY_US), REASON_OK);
    for (uint64_t first = 0; first < SLOTS; first += 500) {
        EQ(house_slots(h, "town", first, 500), REASON_OK);
    }
    house_close(h);
}

static void test_killed_at_any_moment(void)
{
    static struct ack acks[4 * SLOTS];
    struct house h;
    size_t count = 0;
    prepare(&h);
    for (int round = 0; round < 8; round++) {
        int in;
        /* Start behind what may have been booked without an answer. */
        uint64_t first = count > 0 ? acks[count - 1].slot / 16 * 16 + 32 : 0;
        pid_t pid = child_start("book", h.dir, first, &in);
        /* From the first answer on: a slow machine only makes it longer, not emptier. */
        struct pollfd first_answer = {.fd = in, .events = POLLIN};
        EQ(poll(&first_answer, 1, -1), 1);
        OK(first_answer.revents & POLLIN); /* else it ended without one */
        house_sleep_ms(1 + 11 * round);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        count += read_acks(in, acks + count, 4 * SLOTS - count);
        close(in);
        EQ(house_open(&h, NULL), 0);
        check_acks(&h, acks, count);
        house_close(&h);
    }
    OK(count > 100);
    printf("# %zu acknowledged over 8 kills\n", count);
    house_fini(&h);
}

static void test_disk_fails(void)
{
    static struct ack acks[4 * SLOTS];
    struct house h;
    int in, status;
    prepare(&h);
    pid_t pid = child_start("fail", h.dir, 0, &in);
    size_t count = read_acks(in, acks, 4 * SLOTS); /* until the child ends by itself */
    close(in);
    waitpid(pid, &status, 0);
    OK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    OK(count >= DISK_SLOTS + DISK_SLOTS / 2); /* each hold, and each second one confirmed */
    OK(count < SLOTS);
    EQ(house_open(&h, NULL), 0);
    check_acks(&h, acks, count);
    uint64_t id[2];
    EQ(house_hold(&h, "town", SLOTS - 1, 1, id), REASON_OK);
    house_close(&h);
    printf("# %zu acknowledged before the disk failed\n", count);
    house_fini(&h);
}

int main(int argc, char **argv)
{
    self = "/proc/self/exe";
    if (argc == 4) {
        return child_main(argv[1], argv[2], strtoull(argv[3], NULL, 10));
    }
    TAP_RUN(test_killed_at_any_moment);
    TAP_RUN(test_disk_fails);
    return tap_done();
}
