/* SPDX-License-Identifier: MIT */
/* `fairslot bench NAME`: one measurement, one line of JSON.  tests/figures starts the servers, pins
 * them to a core, runs these three times and prints the medians of docs/status.md.
 * Owns: option parsing.  Fails with usage (2) or a text on stderr (1, 4). */
#include "flood/bench.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "flood/flood.h"

static const struct flood_option {
    const char *name;
    size_t offset;
    bool is_text;
} flood_options[] = {
    {"target", offsetof(struct bench_options, target), true},
    {"token-file", offsetof(struct bench_options, token_file), true},
    {"tokens-file", offsetof(struct bench_options, tokens_file), true},
    {"release", offsetof(struct bench_options, release), true},
    {"cold-file", offsetof(struct bench_options, cold_file), true},
    {"connections", offsetof(struct bench_options, connections), false},
    {"streams", offsetof(struct bench_options, streams), false},
    {"seconds", offsetof(struct bench_options, seconds), false},
    {"pools", offsetof(struct bench_options, pools), false},
    {"slots", offsetof(struct bench_options, slots), false},
    {"identities", offsetof(struct bench_options, identities), false},
    {"batch", offsetof(struct bench_options, batch), false},
    {"contexts", offsetof(struct bench_options, contexts), false},
    {"rate", offsetof(struct bench_options, rate), false},
    {"run", offsetof(struct bench_options, run), false},
    {"cold-permille", offsetof(struct bench_options, cold_permille), false},
    {"turn-ms", offsetof(struct bench_options, turn_ms), false},
    {"skip", offsetof(struct bench_options, skip), false},
};

static bool flood_set(struct bench_options *o, const struct flood_option *option, const char *text)
{
    char *field = (char *)o + option->offset;
    if (option->is_text) {
        *(const char **)(void *)field = text;
        return true;
    }
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    if (*text == 0 || *end != 0 || *text == '-') {
        fprintf(stderr, "bench: --%s takes a whole number, not '%s'\n", option->name, text);
        return false;
    }
    *(uint64_t *)(void *)field = v;
    return true;
}

static bool flood_parse(struct bench_options *o, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const struct flood_option *found = NULL;
        for (size_t k = 0; k < ARRAY_COUNT(flood_options) && strncmp(argv[i], "--", 2) == 0; k++) {
            if (strcmp(argv[i] + 2, flood_options[k].name) == 0) {
                found = &flood_options[k];
            }
        }
        if (found == NULL || i + 1 == argc) {
            fprintf(stderr, "bench: unknown option or missing value: %s (see --help)\n", argv[i]);
            return false;
        }
        if (!flood_set(o, found, argv[++i])) {
            return false;
        }
    }
    return true;
}

static int flood_run(const struct verb *verb, int argc, char **argv)
{
    struct bench_options o = {.target = "127.0.0.1:17700", .connections = 100, .streams = 10,
                              .seconds = 5, .pools = 50, .slots = 100000, .identities = 100000,
                              .batch = 64, .contexts = RPC_CLIENT_CONTEXTS};
    if (!flood_parse(&o, argc, argv)) {
        return VERB_USAGE;
    }
    if (o.connections == 0 || o.streams == 0 || o.pools == 0 || o.identities == 0 ||
        o.batch == 0 || o.batch > BATCH_ITEMS_MAX || o.contexts == 0 ||
        o.contexts > BENCH_CONTEXTS_MAX) {
        fprintf(stderr, "bench: a count is 0, --batch is over %d or --contexts over %d\n",
                BATCH_ITEMS_MAX, BENCH_CONTEXTS_MAX);
        return VERB_USAGE;
    }
    if (strcmp(verb->name, "health") == 0) {
        return bench_health(&o);
    }
    if (strcmp(verb->name, "open") == 0) {
        return bench_open(&o);
    }
    if (strcmp(verb->name, "idle") == 0) {
        return bench_idle(&o);
    }
    if (strcmp(verb->name, "reads") == 0) {
        return bench_reads(&o);
    }
    if (strcmp(verb->name, "tickets") == 0) {
        return bench_tickets(&o);
    }
    if (strcmp(verb->name, "watch") == 0) {
        return bench_watch(&o);
    }
    return strcmp(verb->name, "shard") == 0 ? bench_shard(&o) : bench_mutations(&o);
}

const struct verb flood_verbs[] = {
    {"demo", NULL, "one release three times against one crowd: who gets the slots?",
     "usage: fairslot demo [options]\n"
     "Starts a server in a temporary folder and runs one release three times against the same\n"
     "crowd: first come first served, a live window, a draw.  Prints who got the slots, writes a\n"
     "page with figures, and leaves nothing else behind.  Loopback only; about a minute.\n"
     "  --people N      people, a tenth of them refreshing all the time (2000)\n"
     "  --firm N        identities of the firm with fast bots (400)\n"
     "  --slots N       slots on offer (200)\n"
     "  --seconds N     length of each run: window and reaction times shrink alike (20)\n"
     "  --seed N        another crowd (1)\n"
     "  --html FILE     the page (fairslot-demo.html)\n"
     "  --json [FILE]   every number, to a file or to stdout\n"
     "example:\n  fairslot demo --seconds 10 --html demo.html\n",
     demo_run},
    {"flood", "compare", "two reports of `flood --json` side by side",
     "usage: fairslot flood compare A.json B.json [-o json]\n"
     "Two files of `fairslot flood --json`, or of `flood simulate --json`: the numbers that both\n"
     "have, how much they changed, and what else is not the same (seed, machine, commit ...).\n"
     "  -o table|json       how the answer is printed (table)\n"
     "example:\n  fairslot flood compare before.json after.json\n",
     flood_compare},
    {"flood", "histogram", "numbers on stdin as percentiles and in HdrHistogram's V2 encoding",
     "usage: fairslot flood histogram < FILE\n"
     "One whole number of microseconds a line, 0 to 4294967295.\n"
     "example:\n  fairslot flood histogram < latencies.txt\n",
     flood_histogram},
    {"flood", NULL, "a release day with its whole crowd against a server, open loop",
     "usage: fairslot flood --scenario FILE --issuer DIR [options]\n"
     "Sets up a pool, slots and a release as an operator, sends a crowd, reads everything back\n"
     "from the shard, and says who got the slots.  Latency counts from when a request was due.\n"
     "  --scenario FILE     who comes, when and how (loadtest/scenarios)\n"
     "  --target HOST:PORT  server (127.0.0.1:17700), [::1]:PORT, https://HOST:PORT over TLS;\n"
     "                      loopback only, unless\n"
     "  --i-own-this-target it is yours\n"
     "  --ca FILE           trust this authority's servers, and use TLS (FAIRSLOT_CA)\n"
     "  --cert FILE, --key FILE  client certificate, where the listener wants one\n"
     "  --issuer DIR        data directory of `serve --dev`: its issuer signs the crowd's tokens\n"
     "  --token-file FILE   operator's token (DIR/operator.token)\n"
     "  --prepared FILE     the crowd's tokens: out of this file; into it when there is none\n"
     "  --slots FILE        slots out of a CSV file (as `slot import`), not the scenario's number\n"
     "  --audit-shard URL   ask this shard itself (tcp://HOST:PORT) what became of the slots;\n"
     "                      once for each shard\n"
     "  --mode MODE         fcfs, live or draw (the scenario's)\n"
     "  --seed N            another crowd (1)\n"
     "  --processes N       of the generator (1)\n"
     "  --scale X           numbers of people, bots and slots times X (1)\n"
     "  --hasten X          all times times X: 0.1 makes a minute six seconds (1)\n"
     "  --full              until the release closes; else until all who came in time know\n"
     "  --late N            a request is late N ms after its time (20); over 1 % late ones\n"
     "                      nothing is reported\n"
     "  --threshold T       'bot_advantage<1.05', 'wait_p95{population=people}<90s',\n"
     "                      'double_booked==0'; as many as you like; a missed one: exit code 99\n"
     "  --html FILE         one page with figures\n"
     "  --json [FILE], --csv [FILE], --hgrm [FILE]   to a file or to stdout\n"
     "metrics: slots, advantage, slot_share, bot_slots, bot_advantage, bot_slot_share, wait_p50,\n"
     "  wait_p95, wait_p99, wait_max, latency_p50, latency_p95, latency_p99, latency_max, sent,\n"
     "  answered, refused, timed_out, cancelled, unaccounted, garbled, oversold, double_booked,\n"
     "  double_won, extra_tickets, double_confirmed, order_wrong, shard_differs, lost, unheard,\n"
     "  late_share, arrival_chi2, arrival_spearman, rtt_spearman, jain, gini, wasted_holds,\n"
     "  taken_share, passed, too_late, replayed, replays_differ\n"
     "example:\n"
     "  fairslot flood --scenario loadtest/scenarios/munich-release.ini --issuer demo \\\n"
     "      --threshold 'bot_advantage<1.3' --html day.html\n",
     flood_flood},
    {"bench", "open", "the generator alone: open loop at a fixed rate, and how late it was",
     "usage: fairslot bench open --rate N [--target HOST:PORT] [--connections 100] [--seconds 5]\n"
     "example:\n  fairslot bench open --rate 40000 --connections 16\n",
     flood_run},
    {"bench", "health", "unary RPCs that need no shard, closed loop",
     "usage: fairslot bench health [--target HOST:PORT] [--connections 100] [--streams 10] "
     "[--seconds 5]\n"
     "example:\n  fairslot bench health --target 127.0.0.1:17700\n",
     flood_run},
    {"bench", "idle", "opens connections, makes one RPC on each, holds them",
     "usage: fairslot bench idle [--target HOST:PORT] [--connections 1000] [--seconds 5]\n"
     "Prints 'held' when all stand, then waits.\n"
     "example:\n  fairslot bench idle --connections 10000 --seconds 10\n",
     flood_run},
    {"bench", "mutations", "CreateHold and ConfirmHold through gateway and shard, closed loop",
     "usage: fairslot bench mutations --token-file OPERATOR --tokens-file FILE [--cold-file FILE]\n"
     "    [--cold-permille 10] [--pools 50] [--slots 100000] [--connections 32] [--streams 16]\n"
     "    [--seconds 5] [--run N]\n"
     "example:\n"
     "  fairslot bench mutations --token-file d/operator.token --tokens-file tokens.txt\n",
     flood_run},
    {"bench", "reads", "ListPools through identity, queue and hop, closed loop",
     "usage: fairslot bench reads --tokens-file FILE [--target HOST:PORT] [--connections 100]\n"
     "    [--streams 10] [--seconds 5]\n"
     "Stream i asks as line i of the file, over and over: one line makes one identity of all.\n"
     "Refused calls are counted and asked again at once.\n"
     "example:\n  fairslot bench reads --tokens-file one.txt --connections 10000 --streams 6\n",
     flood_run},
    {"bench", "shard", "CreateHold and ConfirmHold by nng batches, without a gateway",
     "usage: fairslot bench shard --target tcp://HOST:PORT [--identities 100000] [--slots 100000]\n"
     "    [--pools 50] [--batch 64] [--contexts 8] [--seconds 5] [--rate 0] [--skip 0]\n"
     "    [--run N]\n"
     "--contexts: batches under way; a gateway has 8.\n"
     "--rate 0: closed loop; else open loop, latency counted from the scheduled arrival.\n"
     "--seconds 0: stores the slots and one reservation of each identity, then ends;\n"
     "--skip N: slots are there already, begin with slot N.\n"
     "example:\n  fairslot bench shard --target tcp://127.0.0.1:17710 --rate 20000\n",
     flood_run},
    {"bench", "tickets", "CreateTicket through gateway and shard, closed loop",
     "usage: fairslot bench tickets --tokens-file FILE --release NAME [--target HOST:PORT]\n"
     "    [--connections 100] [--streams 10]\n"
     "Every token of the file enters the release once.\n"
     "example:\n"
     "  fairslot bench tickets --tokens-file tokens.txt --release pools/p/releases/r\n",
     flood_run},
    {"bench", "watch", "how long until a turn reaches a WatchTicket stream",
     "usage: fairslot bench watch --tokens-file FILE --release NAME --turn-ms N\n"
     "    [--target HOST:PORT] [--connections 100] [--streams 10] [--seconds 5]\n"
     "Line i of the file, which has its ticket already, watches on stream i.\n"
     "example:\n"
     "  fairslot bench watch --tokens-file tokens.txt --release pools/p/releases/r "
     "--turn-ms 3000\n",
     flood_run},
    {NULL, NULL, NULL, NULL, NULL},
};
