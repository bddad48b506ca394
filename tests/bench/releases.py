# SPDX-License-Identifier: MIT
"""Releases: a national draw on one core, and tickets that are durable before they are answered."""
import datetime
import json
import os
import subprocess
import tempfile

NAMES = ("draw", "tickets")


def figure_draw(kit):
    """Ranks, order and serial dictatorship of 11 million tickets."""
    build = os.path.dirname(kit.FAIRSLOT)
    subprocess.run(["ninja", "-C", build, "shards/draw/bench_draw"], check=True,
                   capture_output=True)
    program = os.path.join(build, "shards", "draw", "bench_draw")
    runs = [json.loads(subprocess.run([program] + (["1100000"] if kit.QUICK else []), check=True,
                                      capture_output=True, preexec_fn=kit.pin(0)).stdout)
            for _ in range(kit.RUNS)]
    what = "%.1f M tickets, 200,000 slots, 4,000 classes, one core: " % (runs[0]["tickets"] / 1e6)
    kit.note(what + "order and allocation", "s", [r["total_s"] for r in runs], 5)
    kit.note("  memory", "GB", [r["peak_bytes"] / 1e9 for r in runs], 1.6)


def announce(kit, server, data, pool, name):
    """A release of the pool whose entry is open for an hour."""
    day = (datetime.date.today() + datetime.timedelta(days=2)).strftime("%Y-%m-%d")
    env = dict(os.environ, FAIRSLOT_TARGET=server.address,
               FAIRSLOT_TOKEN_FILE=os.path.join(data, "operator.token"))

    def fairslot(*words):
        subprocess.run([kit.FAIRSLOT, *words], check=True, capture_output=True, env=env)

    fairslot("pool", "create", pool, "--scarce", "--max-live", "16")
    path = os.path.join(data, pool + ".csv")
    with open(path, "w") as f:
        f.write("pool,date,start,duration_minutes,desk,time_zone\n")
        f.write("%s,%s,09:00,15,Desk 1,UTC\n" % (pool, day))
    fairslot("slot", "import", path)
    release = "pools/%s/releases/%s" % (pool, name)
    fairslot("release", "create", release, "--entry-open", "now", "--window", "1h",
             "--slots-from", day, "--slots-to", "2100-01-01")
    return release


def folder_bytes(path):
    return sum(os.stat(os.path.join(root, name)).st_blocks * 512
               for root, _, names in os.walk(path) for name in names)


def figure_tickets(kit):
    """CreateTicket through gateway and shard; what a ticket with all its records adds to files."""
    rates, sizes = [], []
    with tempfile.TemporaryDirectory() as data:
        server = kit.Server("serve", "--dev", "--data", data, "--listen", "127.0.0.1:0")
        count = 20000 if kit.QUICK else 100000
        tokens = kit.tokens(data, "entrant", count)
        for run in range(kit.RUNS):
            release = announce(kit, server, data, "bench-%d" % run, "r")
            before = folder_bytes(os.path.join(data, "shard", "state"))
            result = kit.bench(server, "tickets", "--tokens-file", tokens, "--release", release,
                               "--connections", 32, "--streams", 16)
            rates.append(result["tickets_per_s"])
            server.stop()
            server = kit.Server("serve", "--dev", "--data", data, "--listen", "127.0.0.1:0")
            sizes.append((folder_bytes(os.path.join(data, "shard", "state")) - before) / count)
        server.stop()
    kit.note("CreateTicket through gateway and shard, durable", "/s", rates, 20000, True)
    kit.note("  growth of the state's file for each, with all its records", "B", sizes, 450)


def run(name, kit):
    {"draw": figure_draw, "tickets": figure_tickets}[name](kit)
