# SPDX-License-Identifier: MIT
"""The front: what a call costs the gateway with identity, queue and hop; what waiting costs;
and what one flooder with ten thousand connections does to everybody else."""
import atexit
import json
import os
import re
import subprocess
import tempfile
import threading
import time

NAMES = ("gateway", "waiting", "flood")


def start(kit, work):
    """Shard on core 1, gateway alone on core 0, so that its CPU is its own."""
    shard = kit.Server("shard", "--data", work, "--listen", "tcp://127.0.0.1:0")
    pid = shard.process.pid
    for task in os.listdir("/proc/%d/task" % pid):
        os.sched_setaffinity(int(task), {1})
    gateway = kit.Server("gateway", "--data", work, "--shard", shard.address, "--listen",
                         "127.0.0.1:0")
    return shard, gateway


def figure_gateway(kit, work):
    shard, gateway = start(kit, work)
    known = kit.tokens(work, "known", 1000)
    runs = [kit.bench(gateway, "reads", "--tokens-file", known, "--connections", 100, "--streams",
                      10, "--seconds", kit.SECONDS) for _ in range(kit.RUNS)]
    kit.note("gateway: call with identity, queue and hop, 100 x 10, its CPU", "us",
             [r["server_cpu_s"] / r["rpcs"] * 1e6 for r in runs], 10)
    gateway.stop()
    shard.stop()


def figure_waiting(kit, _):
    test = os.path.join(os.path.dirname(kit.FAIRSLOT), "tests", "test_fairq_cost")
    found = []
    for _ in range(kit.RUNS):
        said = subprocess.run([test], capture_output=True, text=True, check=True).stdout
        found.append([float(n) for n in re.search(
            r"push (\d+) ns, pull (\d+) ns, (\d+) bytes each", said).groups()])
    for what, unit, at, divisor, target in (
            ("1,000,000 identities waiting: push", "us", 0, 1000, 1),
            ("  pull", "us", 1, 1000, 1), ("  memory of each", "B", 2, 1, 160)):
        kit.note(what, unit, [f[at] / divisor for f in found], target)


class Flooder:
    """One identity on all connections, from a process of its own."""

    def __init__(self, kit, gateway, work, connections, streams):
        one = kit.tokens(work, "flooder", 1)
        self.served = []  # (seconds, calls)
        self.process = subprocess.Popen(
            [kit.FAIRSLOT, "bench", "reads", "--target", gateway.address, "--tokens-file", one,
             "--connections", str(connections), "--streams", str(streams), "--seconds",
             str(kit.SECONDS + 40)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=kit.pin(1))
        atexit.register(self.process.kill)
        for line in self.process.stderr:
            if line.strip() == "measuring":
                threading.Thread(target=self.listen, daemon=True).start()
                time.sleep(3)  # it has opened everything, and been told no
                return
        raise SystemExit("figures: the flooder did not start")

    def listen(self):
        for line in self.process.stderr:
            words = line.split()
            if words[0] == "served":
                self.served.append((int(words[1]) / 1e6, int(words[2])))

    def rate(self, start, end):
        """Calls a second that it was served between two moments."""
        inside = [at for at in self.served if start <= at[0] <= end]
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])

    def stop(self):
        self.process.terminate()
        self.process.wait()


def figure_flood(kit, work):
    """100 people, one call each at a time; then the same beside a flooder that has 10,000
    connections and fills the pool of calls."""
    connections, streams = (2000, 6) if kit.QUICK else (10000, 6)
    shard, gateway = start(kit, work)
    known = kit.tokens(work, "honest", 100)
    args = ["--tokens-file", known, "--connections", 100, "--streams", 1, "--seconds", kit.SECONDS]
    busy = args[:4] + ["--streams", 100] + args[6:]  # some of it waits at every moment
    ratios, kept, shares, between = [], [], [], []

    def share(flooder, run):
        end = time.monotonic() - 0.2
        return flooder.rate(end - kit.SECONDS + 0.4, end) / (run["rpcs"] / 100 / kit.SECONDS)

    for _ in range(kit.RUNS):
        quiet = kit.bench(gateway, "reads", *args)
        flooder = Flooder(kit, gateway, work, connections, streams)
        flood = kit.bench(gateway, "reads", *args)
        between.append(share(flooder, flood))
        shares.append(share(flooder, kit.bench(gateway, "reads", *busy)))
        flooder.stop()
        ratios.append(flood["p99_of_one_max_us"] / quiet["p99_of_one_max_us"])
        kept.append(flood["rpcs_of_one_min"] / quiet["rpcs_of_one_min"])
        print("  quiet: %s\n  flood: %s" % (json.dumps(quiet), json.dumps(flood)))
    kit.note("flooder with %s connections: worst p99 of any of 100 people, to the quiet run"
             % format(connections, ","), "x", ratios, 2)
    kit.note("  calls served of the flooder, to one of 100 people who always wait too", "x", shares,
             1.1)
    # One share of what others wait for, and what they leave between their calls.
    kit.note("  the same to one of them who asks for one thing at a time", "x", between, 5)
    kit.note("  fewest calls served of any of them, to the quiet run", "x", kept, 0.5, True)
    gateway.stop()
    shard.stop()


def run(name, kit):
    with tempfile.TemporaryDirectory(prefix="fairslot-figures-") as work:
        globals()["figure_" + name](kit, work)
