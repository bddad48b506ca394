# SPDX-License-Identifier: MIT
"""The simulator: how fast virtual time goes on one core, and how much of it every test run sees."""
import os
import re
import subprocess

NAMES = ("simulator", "simulator.seeds")
FIGURES = re.compile(r"seeds (\d+) .* steps (\d+) faults (\d+).* violations (\d+),"
                     r"(?: excused \d+,)? ([0-9.]+) s of CPU")


def seeds(kit, name, *args):
    """What so many seeds print: seeds, steps, faults, violations, seconds of CPU; virtual ones."""
    binary = os.path.join(os.path.dirname(kit.FAIRSLOT), "tests", "sim", name)
    out = subprocess.run([binary, *map(str, args)], capture_output=True, text=True, check=True,
                         preexec_fn=kit.pin(1)).stdout
    virtual = re.search(r"virtual (\d+) s", out)
    return [float(n) for n in FIGURES.search(out).groups()] + [float(virtual[1]) if virtual else 0]


def figure_simulator(kit):
    count = 60 if kit.QUICK else 400
    runs = [seeds(kit, "city", "--three", 1, count) for _ in range(kit.RUNS)]
    kit.note("simulator: city of three replicas, one core: steps", "/s",
             [r[1] / r[4] for r in runs], 500000, higher_is_better=True)
    kit.note("  virtual time", "x real", [r[5] / r[4] for r in runs], 1000, higher_is_better=True)
    runs = [seeds(kit, "sim", "--seeds", 1, 10 * count) for _ in range(kit.RUNS)]
    kit.note("  replicas alone: steps", "/s", [r[1] / r[4] for r in runs], 500000,
             higher_is_better=True)


def figure_seeds(kit):
    city, raft = 2000, 6000  # as tests/sim/test_sim.py
    found = seeds(kit, "city", "--seeds", 1, city)
    kit.note("each test run: seeds of the city", "seeds", [found[0]], 2000, higher_is_better=True)
    kit.note("  faults in them, beside lost messages", "faults", [found[2]], 40000,
             higher_is_better=True)
    kit.note("  violations", "", [found[3]], 0)
    found = seeds(kit, "sim", "--seeds", 1, raft)
    kit.note("each test run: seeds of replicas alone", "seeds", [found[0]], 5000,
             higher_is_better=True)
    kit.note("  faults injected in them", "faults", [found[2]], 40000, higher_is_better=True)
    kit.note("  violations", "", [found[3]], 0)


def run(name, kit):
    (figure_simulator if name == "simulator" else figure_seeds)(kit)
