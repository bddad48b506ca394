# SPDX-License-Identifier: MIT
"""The crowd in virtual time: the national day on one core, bytes of a client, and a thousand
seeds of munich-release, live and first come.  Seeds begin with the commit's hash, so that none is
picked."""
import json
import os
import resource
import subprocess
import time

NAMES = ("national", "seeds")


def simulate(kit, name, *words):
    """Its JSON, its seconds on the processor, on the clock, and its peak of memory in MiB."""
    file = os.path.join(kit.ROOT, "loadtest", "scenarios", name + ".ini")
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([kit.FAIRSLOT, "flood", "simulate", "--scenario", file, "--json",
                                *words], stdout=subprocess.PIPE, text=True, preexec_fn=kit.pin(0))
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit("figures: simulate %s ended with %d" % (name, process.returncode))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(said), cpu, time.monotonic() - began, usage.ru_maxrss / 1024


def first_seed(kit):
    commit = subprocess.run(["git", "-C", kit.ROOT, "rev-parse", "HEAD"], capture_output=True,
                            text=True).stdout.strip()
    return str(int(commit[:8] or "1", 16))


def figure_national(kit):
    scale = "0.02" if kit.QUICK else "1"
    found = [simulate(kit, "national-day", "--scale", scale, "--seed", first_seed(kit))
             for _ in range(kit.RUNS)]
    kit.note("national day, %s of 11,000,000 identities, one core" % scale, "s",
             [f[2] for f in found], 180)
    kit.note("  on the processor", "s", [f[1] for f in found], 180)
    kit.note("  peak of memory", "MiB", [f[3] for f in found], 8192)
    kit.note("  bytes of a virtual client", "B", [f[0]["cost"]["bytes_per_client"] for f in found],
             200)
    kit.note("  bots' advantage off 1", "", [abs(f[0]["bot_advantage"] - 1) for f in found],
             0.2 if kit.QUICK else 0.028)  # four standard deviations of a fair draw


def figure_seeds(kit):
    count = "100" if kit.QUICK else "1000"
    words = ("--seed", first_seed(kit), "--seeds")
    live = simulate(kit, "munich-release", *words, count)[0]
    kit.note("munich-release live, %s seeds: standard errors off the closed form" % count, "",
             [abs(live["errors_off"])], 3)
    kit.note("  seeds with the bots' wins in a fair draw's 95 % range", "%",
             [100 * live["in_fair_range"] / live["runs"]], 93, True)
    kit.note("  mean advantage of the bots", "x", [live["advantage_mean"]], 1.05)
    fcfs = simulate(kit, "munich-release", "--mode", "fcfs", *words, "10")[0]
    kit.note("  the same crowd, first come: part of the possible advantage", "%",
             [100 * fcfs["advantage_mean"] / fcfs["possible_advantage"]], 90, True)


def run(name, kit):
    {"national": figure_national, "seeds": figure_seeds}[name](kit)
