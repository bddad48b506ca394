# SPDX-License-Identifier: MIT
"""How long one command keeps the shard's writer: no more than 256 items or 2 ms (processor time of
the writer's thread, so that others on the machine do not show; the real store under it)."""
import json
import os
import shutil
import subprocess
import tempfile

NAMES = ("rounds",)
KINDS = (("step listing", "end of a listing of %(slots)d slots, its stock made"),
         ("create slots", "BatchCreateSlots, 2,300 slots: a full message"),
         ("step of an erasure", "erasure, of 10,000 records"),
         ("step sealing", "sealing of %(tickets)d tickets"),
         ("step ranking", "ranking"),
         ("step serving", "serving by preference"),
         ("step closing", "closing and its report"),
         ("step of a restock", "restock"),
         ("step of an end", "burning a release's key"))


def longest_ms(runs, kinds):
    """Every run does the same commands, so what only one of them took long for was an interrupt:
    of each command the quickest of the runs, of these the longest."""
    times = [[r["commands"][kind]["times_us"] for r in runs] for kind in kinds]
    return max(max(map(min, zip(*of_kind))) for of_kind in times) / 1000


def run(name, kit):
    """A release's day, three times; of each kind the longest command."""
    build = os.path.dirname(kit.FAIRSLOT)
    subprocess.run(["ninja", "-C", build, "shards/node/bench_commands"], check=True,
                   capture_output=True)
    program = os.path.join(build, "shards", "node", "bench_commands")
    runs = []
    for _ in range(kit.RUNS):
        folder = tempfile.mkdtemp(prefix="fairslot rounds ")
        try:
            runs.append(json.loads(subprocess.run(
                [program, folder] + (["20000", "5000"] if kit.QUICK else []), check=True,
                capture_output=True, timeout=300).stdout))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    kit.note("the longest of any command of a release's day", "ms",
             [longest_ms(runs, runs[0]["commands"])], 2)
    for kind, what in KINDS:
        kit.note("  " + what % runs[0], "ms", [longest_ms(runs, [kind])], 2)
