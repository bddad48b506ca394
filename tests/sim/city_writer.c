/* SPDX-License-Identifier: MIT */
/* The shipped writer of a shard replica, without its thread: writer_open() and writer_close() at
 * the ends, writer_step() in between, called when the virtual clock says so.
 * Owns: the writer, its intake and its options.  Not covered of shards/node by this: node.c, the
 * thread and the hand-over at a clean stop (writer_start, writer_stop, writer_hand_over), the files
 * of badge.c, replica_store.c and fetch.c, and a signing key; city_shells.h stands in for those.
 * Fails: where the writer does; house_text() says why. */
#include "tests/sim/city_writer.h"

#include <stdlib.h>

#include "base/check.h"
#include "node/writer_inside.h"

struct house {
    struct writer writer;
    struct node_options options;
    char text[256];
};

const char *house_name(uint64_t id)
{
    static const char *names[] = {"n1", "n2", "n3", "n4", "n5", "n6", "n7"};
    CHECK(id >= 1 && id <= ARRAY_COUNT(names));
    return names[id - 1];
}

struct house *house_open(uint64_t id, size_t members_count)
{
    static struct node_member members[NODE_MEMBERS_MAX];
    struct house *h = calloc(1, sizeof *h);
    for (size_t i = 0; i < members_count; i++) {
        members[i] = (struct node_member){i + 1, house_name(i + 1)};
    }
    h->options = (struct node_options){.id = id, .members = members, .data_dir = "",
                                       .members_count = members_count, .program = "city",
                                       .peers_url = house_name(id), .joins = id > members_count};
    h->options.members_count = h->options.joins ? 0 : members_count;
    h->writer.options = &h->options;
    h->writer.text = h->text;
    pthread_mutex_init(&h->writer.lock, NULL);
    pthread_cond_init(&h->writer.wake, NULL);
    if (intake_new(HOUSE_BATCHES, HOUSE_WAITING, &h->writer.intake) || writer_open(&h->writer)) {
        house_close(h);
        return NULL;
    }
    writer_set_door(&h->writer, house_name(id));
    return h;
}

void house_close(struct house *h)
{
    if (h) {
        writer_close(&h->writer);
        intake_free(h->writer.intake);
        pthread_mutex_destroy(&h->writer.lock);
        pthread_cond_destroy(&h->writer.wake);
        free(h);
    }
}

void house_push(struct house *h, struct rpc_batch *batch)
{
    intake_push(h->writer.intake, batch);
}

int house_step(struct house *h)
{
    return writer_step(&h->writer);
}

int64_t house_next_us(struct house *h)
{
    return writer_next_us(&h->writer);
}

struct ledger *house_ledger(struct house *h)
{
    return h->writer.ledger;
}

const char *house_text(const struct house *h)
{
    return h->writer.why ? h->writer.why : "a writer ended";
}
