# SPDX-License-Identifier: MIT
"""Releases: a national draw on one core, and tickets that are durable before they are answered."""
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

NAMES = ("draw", "tickets", "full")


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


def used_bytes(kit, server, data, port):
    """Of the state's map: pages that hold something, without those that are free again."""
    for _ in range(2):  # it is measured when something is asked
        subprocess.run([kit.FAIRSLOT, "pool", "list", "--target", server.address, "--token-file",
                        os.path.join(data, "operator.token")], check=True, capture_output=True)
        time.sleep(0.3)
    text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=10).read().decode()
    return float(re.search(r'^fairslot_shard_map_used_bytes\{map="state"\} (\S+)', text,
                           re.M).group(1))


def file_bytes(data):
    return os.stat(os.path.join(data, "shard", "state", "data.mdb")).st_blocks * 512


def figure_tickets(kit):
    """CreateTicket through gateway and shard; what a ticket with all its records takes in the
    state, each run in a new one.  The file is longer: LMDB writes changed pages to new places, and
    what two flushes left behind is used again by the next."""
    rates, sizes, files = [], [], []
    count = 20000 if kit.QUICK else 200000
    for run in range(kit.RUNS):
        with tempfile.TemporaryDirectory() as data, socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
            s.close()
            words = ("serve", "--dev", "--data", data, "--listen", "127.0.0.1:0", "--set",
                     "ops.listen=127.0.0.1:%d" % port)
            server = kit.Server(*words)
            tokens = kit.tokens(data, "entrant", count)
            release = announce(kit, server, data, "bench-%d" % run, "r")
            server.stop()
            server = kit.Server(*words)
            before, file_before = used_bytes(kit, server, data, port), file_bytes(data)
            result = kit.bench(server, "tickets", "--tokens-file", tokens, "--release", release,
                               "--connections", 32, "--streams", 16)
            rates.append(result["tickets_per_s"])
            server.stop()
            server = kit.Server(*words)
            sizes.append((used_bytes(kit, server, data, port) - before) / count)
            files.append((file_bytes(data) - file_before) / count)
            server.stop()
    kit.note("CreateTicket through gateway and shard, durable", "/s", rates, 20000, True)
    kit.note("  growth of the state for each, with all its records", "B", sizes, 450)
    kit.note("  growth of the file, pages that are free again included", "B", files, 450)


def figure_full(kit):
    """A start with as many tickets as slots; the slots are held by as many people."""
    count = 20000 if kit.QUICK else 1000000
    with tempfile.TemporaryDirectory() as data:
        server = kit.Server("shard", "--data", data, "--listen", "tcp://127.0.0.1:0")
        kit.bench(server, "shard", "--seconds", 0, "--batch", 256, "--identities", count,
                  "--pools", 50, "--slots", count)
        server.stop()
        words = ("serve", "--dev", "--data", data, "--listen", "127.0.0.1:0")
        server = kit.Server(*words)
        tokens = kit.tokens(data, "entrant", count)
        release = announce(kit, server, data, "full", "r")
        kit.bench(server, "tickets", "--tokens-file", tokens, "--release", release,
                  "--connections", 32, "--streams", 16)
        server.stop()
        clean, killed = [], []
        for number, seconds in ((signal.SIGTERM, clean), (signal.SIGKILL, killed)):
            for _ in range(kit.RUNS):
                server = kit.Server(*words)
                seconds.append(server.ready_seconds)
                server.stop(number)
    what = format(count, ",")
    kit.note("restart with %s slots and %s tickets" % (what, what), "s", clean, 3)
    kit.note("  after kill -9", "s", killed, 3)


def run(name, kit):
    {"draw": figure_draw, "tickets": figure_tickets, "full": figure_full}[name](kit)
