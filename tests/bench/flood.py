# SPDX-License-Identifier: MIT
"""The flood: what its generator can do, and the news case on real sockets, five seeds in a row that
the commit's hash picks."""
import concurrent.futures
import json
import math
import os
import subprocess
import tempfile
import time

NAMES = {"generator": "the flood's generator, open loop from one core",
         "munich": "munich-release.ini on real sockets, live and first come"}
SEEDS = 5
LANES = 2  # releases at a time: a day is a minute and a half of waiting, and 4 % of a core; not in
           # a hurry, which takes all that a server has
APART = 30  # seconds: two crowds that wake at once make each other late on their one core


def figure_generator(kit):
    """Health RPCs: the generator alone is what is measured; the gateway has the other core."""
    rate = 40000
    with tempfile.TemporaryDirectory() as data:
        server = kit.Server("serve", "--dev", "--data", data, "--listen", "127.0.0.1:0")
        runs = []
        for _ in range(kit.RUNS):
            load = subprocess.run(
                [kit.FAIRSLOT, "bench", "open", "--target", server.address, "--rate", str(rate),
                 "--connections", "16", "--seconds", str(kit.SECONDS)], capture_output=True,
                text=True, preexec_fn=kit.pin_first(1))
            runs.append(json.loads(load.stdout))
        server.stop()
    kit.note("generator, open loop: requests a second sent and answered", "/s",
             [r["answered"] / kit.SECONDS for r in runs], rate * 0.999, True)
    kit.note("  p99 of its lag behind the schedule", "ms",
             [r["lag_p99_us"] / 1000 for r in runs], 2)
    kit.note("  its CPU for each request", "us", [r["cpu_us_per_request"] for r in runs], 25)


def day(kit, server, data, lane, seed, *words):
    """One release; its report."""
    if lane == 1 and not kit.QUICK:
        time.sleep(APART)  # and all that come behind it
    out = os.path.join(data, "day-%d.json" % lane)
    hasten = ["--hasten", "0.1", "--late", "250"] if kit.QUICK else []
    run = subprocess.run(
        [kit.FAIRSLOT, "flood", "--scenario",
         os.path.join(kit.ROOT, "loadtest", "scenarios", "munich-release.ini"), "--target",
         server.address, "--issuer", data, "--prepared", os.path.join(data, "day-%d.tokens" % lane),
         "--seed", str(seed), "--json", out, *hasten, *words],
        capture_output=True, text=True, preexec_fn=kit.pin_first(1))
    if run.returncode != 0:
        raise SystemExit("figures: munich: " + run.stderr[-2000:])
    with open(out) as file:
        return json.load(file)


def fair_range(reports):
    """95 % of what the bots win in all the draws together, drawn fairly."""
    mean = sum(r["fair_mean"] for r in reports)
    variance = 0
    for r in reports:
        n, part = r["identities"], r["bot_identities"] / r["identities"]
        variance += r["slots"] * part * (1 - part) * (n - r["slots"]) / (n - 1)
    return mean - 1.96 * math.sqrt(variance), mean + 1.96 * math.sqrt(variance)


def figure_munich(kit):
    commit = subprocess.run(["git", "-C", kit.ROOT, "rev-parse", "HEAD"], capture_output=True,
                            text=True).stdout.strip()
    base = int(commit[:8] or "1", 16)
    with tempfile.TemporaryDirectory() as data:
        server = kit.Server("serve", "--dev", "--data", data, "--listen", "127.0.0.1:0")
        days = [(base + i,) for i in range(SEEDS)] + [(base, "--mode", "fcfs")]
        with concurrent.futures.ThreadPoolExecutor(1 if kit.QUICK else LANES) as lanes:
            asked = [lanes.submit(day, kit, server, data, i, *words)
                     for i, words in enumerate(days)]
            *live, fcfs = [a.result() for a in asked]
        server.stop()
    low, high = fair_range(live)
    won = [r["bot_slots"] for r in live]
    print("seeds %d to %d: the bots won %s, %d in all; fair is %.1f to %.1f" % (
        base, base + SEEDS - 1, won, sum(won), low, high))
    middle = (low + high) / 2
    kit.note("munich, live, 5 seeds: bots' wins off a fair draw's mean (95 %%: %.1f)" %
             (high - middle), "slots", [abs(sum(won) - middle)], high - middle)
    people = [next(p for p in r["populations"] if p["name"] == "people") for r in live]
    limit = live[0]["window_s"] + live[0]["grace_s"] + 10
    kit.note("  people's p99 time to decision", "s",
             [p["wait"]["p99_ms"] / 1000 for p in people], limit)
    kit.note("  requests unaccounted for, slots with two holders, lost", "",
             [r["requests"]["unaccounted"] + r["audit"]["double_booked"] + r["audit"]["lost"]
              for r in live], 0)
    kit.note("  bytes of a virtual client", "B",
             [r["generator"]["bytes_per_client"] for r in live], 200)
    most = min(fcfs["bot_identities"], fcfs["slots"])
    kit.note("  first come: bots' part of the slots that they could take", "%",
             [100 * fcfs["bot_slots"] / most], 90, True)


def run(name, kit):
    {"generator": figure_generator, "munich": figure_munich}[name](kit)
