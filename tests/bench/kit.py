# SPDX-License-Identifier: MIT
"""What every figure is made with: servers on core 0, load on core 1, CPU by the kernel's own count
(/proc/PID/task/*/schedstat), and the table that tests/figures prints in the end."""
import atexit
import glob
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAIRSLOT = os.environ.get("FAIRSLOT_BINARY", os.path.join(ROOT, "build", "fairslot"))
RUNS = 3
QUICK = "--quick" in sys.argv
SECONDS = 2 if QUICK else 5
rows = []


def pin(core):
    return lambda: os.sched_setaffinity(0, {core})


def pin_first(core):
    """A generator that keeps a schedule: before everybody else on its core, where we may.  It was
    late for nothing but other processes' turns: p99 of its lag 55 ms beside eight, 0.4 ms so."""
    def begin():
        os.sched_setaffinity(0, {core})
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            pass  # its own report says whether it was late
    return begin


def cpu_seconds(pid):
    """Of all threads that it has now."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        try:
            total += int(open(path).read().split()[0])
        except OSError:
            pass
    return total / 1e9


class Server:
    """A fairslot process on core 0; ready when it says so on stdout."""

    def __init__(self, *args):
        self.started = time.monotonic()
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([FAIRSLOT, *args], stdout=subprocess.PIPE,
                                        stderr=self.log, preexec_fn=pin(0))
        atexit.register(self.process.kill)  # a figure that fails leaves nothing behind
        line = self.process.stdout.readline().decode().strip()
        self.ready_seconds = time.monotonic() - self.started
        if not line.startswith("ready "):
            self.log.seek(0)
            sys.exit("figures: the server did not start: " + self.log.read().decode()[-2000:])
        doors = dict(word.split("=", 1) for word in line.split()[1:])
        self.address, self.ops = next(iter(doors.values())), doors.get("ops")

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def rss_bytes(self):
        for line in open("/proc/%d/status" % self.process.pid):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(60)


def bench(server, name, *args, begins=lambda: None):
    """Runs one bench on core 1; its JSON plus the server's CPU while it measured.  `begins` is
    called where that begins."""
    load = subprocess.Popen([FAIRSLOT, "bench", name, "--target", server.address, *map(str, args)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=pin(1))
    cpu = server.cpu_seconds()
    said = b""
    for line in load.stderr:
        said += line
        if line.strip() == b"measuring":
            cpu = server.cpu_seconds()
            begins()
    out = load.stdout.read()
    cpu = server.cpu_seconds() - cpu
    if load.wait() != 0:
        sys.exit("figures: bench %s failed: %s%s" % (name, said.decode(), out.decode()))
    result = json.loads(out)
    result["server_cpu_s"] = cpu
    return result


def note(what, unit, values, target, higher_is_better=False):
    middle = statistics.median(values)
    met = middle >= target if higher_is_better else middle <= target
    rows.append((what, middle, unit, ">=" if higher_is_better else "<=", target, met, values))
    print("%-64s %10.2f %-6s (%s %g) %s" % (what, middle, unit, rows[-1][3], target,
                                            "" if met else "MISSED"), flush=True)


def show(what, unit, values):
    """A figure that nobody set a target for: it says what stands behind another one."""
    middle = statistics.median(values)
    rows.append((what, middle, unit, "", None, True, values))
    print("%-64s %10.2f %s" % (what, middle, unit), flush=True)


def tokens(data, prefix, count):
    path = os.path.join(data, prefix + ".tokens")
    with open(path, "w") as f:
        subprocess.run([FAIRSLOT, "token", "--data", data, "--subject", prefix, "--count",
                        str(count), "--assurance", "high", "--ttl", "6h"], stdout=f, check=True)
    return path
