# SPDX-License-Identifier: MIT
"""The disk without us: what somebody waits who needs a durable write, beside a second process that
writes as many pages as a shard's flusher does.

`stored` runs this right after each of its own runs, with what that shard has just written; the
figure `disk` by itself, beside 13,000 pages a second.  Nobody's server takes part:

    arrivals      | | | | | | | | |      20,000 a second, evenly
    tail          [write ][write   ]     4 KiB each, O_DIRECT and O_DSYNC, block behind block
    served         0       those who came in the first: they wait for its end and for the next
    flusher's     ....s.....s....s..     random pages of a file as long as the state, and syncs
"""
import atexit
import glob
import json
import mmap
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import kit

NAMES = ("disk",)
RATE = 20000
PAGE = 4096
TAIL_BYTES = 4 << 20  # shard.log's own: store_options in shards/store/store.c
STATE_PAGES = 33000 if kit.QUICK else 330000  # of the figure `disk`: a million stored
FLUSH_PAGES, SLICE_PAGES = 13000, 64  # of it: SLICE_CALM in shards/store/stateenv_write.c
IDLE_CLASS = 3 << 13  # linux/ioprio.h
SYS_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}


# -- what a shard has written ----------------------------------------------------------------------

def state_file(data):
    return os.path.join(data, "shard", "state", "data.mdb")


def state_bytes(data):
    return os.path.getsize(state_file(data))


def flushed(server, data):
    """When, pages that the flusher has written so far, and commits of the state.  The kernel's
    write_bytes counts all of a large folio when one page of it gets dirty, ten times too much here;
    wchar is what was handed to pwrite().  Commits are the number of the newest one, which stands in
    LMDB's two meta pages (MDB_meta.mm_txnid)."""
    handed = 0
    for task in glob.glob("/proc/%d/task/*" % server.process.pid):
        with open(task + "/comm") as comm, open(task + "/io") as io:
            if comm.read().strip() == "flusher":
                handed += int(dict(line.split(": ") for line in io)["wchar"])
    with open(state_file(data), "rb") as file:
        head = file.read(2 * PAGE)
    commits = max(struct.unpack_from("<Q", head, at + 144)[0] for at in (0, PAGE))
    return time.monotonic(), handed // PAGE, commits


def a_second(was, now):
    """Pages and commits a second between two times of flushed()."""
    return [(b - a) / (now[0] - was[0]) for a, b in zip(was[1:], now[1:])]


# -- two processes ---------------------------------------------------------------------------------

def flush(path, pages_per_s, commits_per_s):
    """Until it is killed, or who began it is: slices at even times, each random pages, a sync, and
    the page that says so, synced too; the disk serves this when nobody else asks, as it does the
    flusher.  A flusher's pages are less even in time and nearer to each other."""
    if os.uname().machine in SYS_IOPRIO_SET:
        import ctypes
        ctypes.CDLL(None).syscall(SYS_IOPRIO_SET[os.uname().machine], 1, 0, IDLE_CLASS)
    fd, meta = os.open(path, os.O_RDWR), os.open(path, os.O_WRONLY | os.O_DSYNC)
    begin, slices, written = time.monotonic(), 0, 0
    pages, parent = os.fstat(fd).st_size // PAGE, os.getppid()
    while os.getppid() == parent:
        slices += 1
        wanted = int(slices * pages_per_s / commits_per_s) - written
        for page in sorted(random.randrange(2, pages) for _ in range(wanted)):
            os.pwrite(fd, os.urandom(16) * 256, page * PAGE)
        written += wanted
        os.fdatasync(fd)
        os.pwrite(meta, os.urandom(8) * 15, slices % 2 * PAGE + 32)
        time.sleep(max(0, begin + slices / commits_per_s - time.monotonic()))


def open_tail(path):
    """As shards/store/tail.c opens its file."""
    with open(path, "wb") as file:
        file.write(bytes(TAIL_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        return os.open(path, os.O_WRONLY | os.O_DSYNC | os.O_DIRECT)
    except OSError:
        return os.open(path, os.O_WRONLY | os.O_DSYNC)


def write_tail(path, seconds):
    """Prints how long whoever arrives waits, in ms: the next write begins when the last has ended
    and somebody waits, and has all of them."""
    fd, block = open_tail(path), mmap.mmap(-1, PAGE)  # aligned, as O_DIRECT wants it
    block.write(os.urandom(PAGE))
    total, served, writes, at = int(RATE * seconds), 0, [], 0
    start = time.monotonic()
    while served < total:
        begin = time.monotonic() - start
        arrived = min(total, int(begin * RATE) + 1)
        if arrived == served:
            time.sleep(served / RATE - begin)
            continue
        os.pwrite(fd, block, at)
        writes.append((served, arrived, begin, time.monotonic() - start))
        served, at = arrived, (at + PAGE) % TAIL_BYTES
    waits = sorted((end - i / RATE) * 1e3 for first, last, _, end in writes
                   for i in range(first, last))
    print(json.dumps({"p50": waits[total // 2], "p99": waits[total * 99 // 100],
                      "p99.9": waits[total * 999 // 1000],
                      "write": statistics.median(end - begin for *_, begin, end in writes) * 1e3,
                      "longest": max(end - begin for *_, begin, end in writes) * 1e3}))


# -- figures ---------------------------------------------------------------------------------------

class Alone:
    """A file as long as a state, in `folder`; processes are on the cores where the shard and its
    load are else."""

    def __init__(self, folder, state_bytes_):
        self.state, self.tail = (os.path.join(folder, "alone." + of) for of in ("state", "tail"))
        with open(self.state, "wb") as file:
            for _ in range(-(-state_bytes_ // (1000 * PAGE))):
                file.write(os.urandom(1000 * PAGE))
            file.flush()
            os.fsync(file.fileno())

    def run(self, pages_per_s, commits_per_s, seconds):
        start = lambda core, *role: subprocess.Popen(
            [sys.executable, "-B", os.path.abspath(__file__), *map(str, role)],
            stdout=subprocess.PIPE, preexec_fn=kit.pin(core))
        noise = start(1, "flush", self.state, pages_per_s, max(commits_per_s, 0.1))
        atexit.register(noise.kill)
        time.sleep(0.5)
        out, _ = start(0, "tail", self.tail, seconds).communicate()
        if noise.poll() is not None or not out:
            sys.exit("figures: the disk alone: a process failed")
        noise.kill()
        noise.wait()
        return json.loads(out)


def show(what, runs):
    """What Alone.run() found."""
    kit.show(what + ": p99 of who waits for a write", "ms", [r["p99"] for r in runs])
    kit.show("  p99.9", "ms", [r["p99.9"] for r in runs])
    kit.show("  p50", "ms", [r["p50"] for r in runs])
    kit.show("  a write, p50", "ms", [r["write"] for r in runs])
    kit.show("  the longest write", "ms", [r["longest"] for r in runs])


def run(_, __):
    with tempfile.TemporaryDirectory(prefix="fairslot-figures-") as work:
        alone = Alone(work, STATE_PAGES * PAGE)
        show("the disk alone beside %s random pages a second" % format(FLUSH_PAGES, ","),
             [alone.run(FLUSH_PAGES, FLUSH_PAGES / SLICE_PAGES, kit.SECONDS * 2)
              for _ in range(kit.RUNS)])


if __name__ == "__main__":
    role, path, *numbers = sys.argv[1:]
    {"flush": flush, "tail": write_tail}[role](path, *map(float, numbers))
