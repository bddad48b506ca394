# SPDX-License-Identifier: MIT
"""The booking path: gateway, shard, both together, a start and an idle connection."""
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

import disk
import kit

NAMES = ("health", "mutations", "one", "commit", "shard", "stored", "idle", "restart", "crash")
IDENTITIES = 20000 if kit.QUICK else 100000
STORED = 200000 if kit.QUICK else 1000000  # fewer people and one reaches 16 live holds


def figure_health(work):
    server = kit.Server("serve", "--dev", "--data", work, "--listen", "127.0.0.1:0")
    kit.bench(server, "health", "--seconds", 1)
    runs = [kit.bench(server, "health", "--seconds", kit.SECONDS) for _ in range(kit.RUNS)]
    kit.note("gateway: health RPC, 100 connections x 10 streams, server CPU", "us",
         [r["server_cpu_s"] / r["rpcs"] * 1e6 for r in runs], 4)
    if shutil.which("h2load"):
        frame = os.path.join(work, "frame")
        open(frame, "wb").write(b"\0\0\0\0\0")
        cpus = []
        for _ in range(kit.RUNS):
            cpu = server.cpu_seconds()
            subprocess.run(["h2load", "-n", "400000", "-c", "100", "-m", "10", "-d", frame,
                            "-H", "content-type: application/grpc", "-H", "te: trailers",
                            "http://%s/grpc.health.v1.Health/Check" % server.address],
                           stdout=subprocess.DEVNULL, check=True, preexec_fn=kit.pin(1))
            cpus.append((server.cpu_seconds() - cpu) / 400000 * 1e6)
        kit.note("the same by h2load", "us", cpus, 4)
    server.stop()


def figure_mutations(work):
    server = kit.Server("serve", "--dev", "--data", work, "--listen", "127.0.0.1:0")
    known = kit.tokens(work, "known", IDENTITIES)
    runs = []
    for run in range(kit.RUNS):
        cold = kit.tokens(work, "cold%d" % run, 4000)
        runs.append(kit.bench(server, "mutations", "--token-file", work + "/operator.token",
                          "--tokens-file", known, "--cold-file", cold, "--cold-permille", 10,
                          "--connections", 32, "--streams", 32, "--pools", 50, "--slots",
                          IDENTITIES * 2, "--seconds", kit.SECONDS, "--run", run + 1))
    kit.note("CreateHold + ConfirmHold, gateway and shard, durable", "/s",
         [r["mutations_per_s"] for r in runs], 25000, True)
    kit.note("  server CPU for each", "us",
         [r["server_cpu_s"] / r["mutations"] * 1e6 for r in runs], 40)
    kit.note("  p99 at 1,024 in flight", "ms", [r["p99_us"] / 1e3 for r in runs], 100)
    server.stop()


def figure_one(work):
    server = kit.Server("serve", "--dev", "--data", work, "--listen", "127.0.0.1:0")
    known = kit.tokens(work, "one", 1000)
    runs = [kit.bench(server, "mutations", "--token-file", work + "/operator.token",
                      "--tokens-file", known, "--connections", 1, "--streams", 1, "--pools", 5,
                      "--slots", 20000,
                      "--seconds", kit.SECONDS, "--run", run + 1) for run in range(kit.RUNS)]
    kit.note("one idle client, CreateHold or ConfirmHold, p50", "ms",
         [r["p50_us"] / 1e3 for r in runs], 1.5)
    server.stop()


def synced_ms(folder):
    """Median of what the disk alone takes for a log commit: a small synced write."""
    path, took = os.path.join(folder, "plain"), []
    with open(path, "wb") as f:
        f.write(os.urandom(4096) * 2000)
        f.flush()
        os.fsync(f.fileno())
    fd = os.open(path, os.O_RDWR)
    for _ in range(500):
        start = time.monotonic()
        os.pwrite(fd, b"x" * 4096, random.randrange(2000) * 4096)
        os.fdatasync(fd)
        took.append((time.monotonic() - start) * 1e3)
        time.sleep(0.002)
    os.close(fd)
    os.unlink(path)
    return sorted(took)[len(took) // 2]


def batches(ops):
    """Of a shard's metrics: (upper bound in s, batches answered within it), and the seconds that
    all of them were in it."""
    name = "fairslot_shard_batch_duration_seconds_"
    with urllib.request.urlopen("http://%s/metrics" % ops, timeout=10) as answer:
        lines = [line[len(name):].rsplit(" ", 1) for line in answer.read().decode().splitlines()
                 if line.startswith(name)]
    within = [(float(of.split('"')[1]), float(count)) for of, count in lines
              if of.startswith("bucket")]
    return sorted(within), float(dict(lines)["sum"])


def median_of(then, now):
    """Where half of the batches between two looks had their answer; between two bounds, evenly."""
    counts = [(bound, count - before) for (bound, count), (_, before) in zip(now, then)]
    half, below, least = counts[-1][1] / 2, 0, 0.0
    for bound, count in counts:
        if count >= half:
            return least + (bound - least) * (half - below) / (count - below)
        below, least = count, bound
    raise AssertionError("the last bucket has all")


def figure_commit(work):
    """What an idle shard adds to the disk: one request at a time, 200 a second.  Inside it: from a
    batch's arrival to its answer, by its own clock; the mean has what the disk stalled meanwhile.
    From outside there are the ways of nng beside it, and five threads on idle cores to be woken."""
    inside, mean, outside, plain = [], [], [], []
    for run in range(kit.RUNS):
        data = os.path.join(work, "commit%d" % run)
        server = kit.Server("shard", "--data", data, "--listen", "tcp://127.0.0.1:0",
                            "--set", "ops.listen=127.0.0.1:0")
        was = []
        result = kit.bench(server, "shard", "--identities", 10000, "--pools", 5, "--slots", 20000,
                           "--batch", 1, "--rate", 200, "--seconds", kit.SECONDS,
                           begins=lambda: was.extend(batches(server.ops)))
        now = batches(server.ops)
        server.stop()
        plain.append(synced_ms(work))
        inside.append(median_of(was[0], now[0]) * 1e3 - plain[-1])
        mean.append((now[1] - was[1]) * 1e3 / (now[0][-1][1] - was[0][-1][1]) - plain[-1])
        outside.append(result["p50_us"] / 1e3)
    kit.note("idle commit inside the shard, over the disk's own: p50", "ms", inside, 0.4)
    kit.show("  mean, with the disk's stalls", "ms", mean)
    kit.show("  the disk's own: a synced write, p50", "ms", plain)
    kit.show("  a request and its answer, the client on the other core, p50", "ms", outside)


def figure_shard(work):
    runs = []
    for run in range(kit.RUNS):
        data = os.path.join(work, "shard%d" % run)
        server = kit.Server("shard", "--data", data, "--listen", "tcp://127.0.0.1:0")
        runs.append(kit.bench(server, "shard", "--identities", IDENTITIES, "--pools", 50,
                              "--slots", 2000000 if not kit.QUICK else 500000, "--batch", 256,
                              "--seconds", kit.SECONDS))
        server.stop()
        shutil.rmtree(data)
    kit.note("shard alone, nng batches of 256, 100,000 identities", "/s",
         [r["mutations_per_s"] for r in runs], 120000, True)


def figure_stored(work):
    """Beside each run stands what the disk alone makes of it, right after it and for half as long.
    No row has the one less the other: they are not at the same instant (the disk alone, asked the
    same twice within a minute, had 1.9 and 6.0 ms at p99), and random pages are the harder ones."""
    data = os.path.join(work, "stored")
    server = kit.Server("shard", "--data", data, "--listen", "tcp://127.0.0.1:0")
    spare = 10000 * kit.SECONDS * (4 * kit.RUNS + 2)
    args = ["--identities", STORED, "--pools", 50, "--slots", STORED + spare]
    kit.bench(server, "shard", "--seconds", 0, "--batch", 256, *args)
    warm = kit.bench(server, "shard", "--seconds", kit.SECONDS, "--rate", disk.RATE, "--skip",
                     STORED, *args)
    skip = warm["next_slot"]
    alone = disk.Alone(work, disk.state_bytes(data))
    os.sync()  # what other figures and the filling left dirty is not this one's to write back
    runs, plain, wrote, without = [], [], [], []
    for _ in range(kit.RUNS):
        plain.append(synced_ms(work))
        was = []
        runs.append(kit.bench(server, "shard", "--seconds", kit.SECONDS * 4, "--rate", disk.RATE,
                              "--skip", skip, *args,
                              begins=lambda: was.extend(disk.flushed(server, data))))
        wrote.append(disk.a_second(was, disk.flushed(server, data)))
        server.process.send_signal(signal.SIGSTOP)  # it would go on with its flush
        without.append(alone.run(*wrote[-1], kit.SECONDS * 2))
        server.process.send_signal(signal.SIGCONT)
        skip = runs[-1]["next_slot"]
    kit.note("shard with %s slots and identities stored, 20,000/s: p99" % format(STORED, ","), "ms",
             [r["p99_us"] / 1e3 for r in runs], 15)
    kit.note("  p99.9", "ms", [r["p999_us"] / 1e3 for r in runs], 40)
    kit.note("  p50", "ms", [r["p50_us"] / 1e3 for r in runs], 1)
    kit.show("  the disk alone, idle: a synced write, p50", "ms", plain)
    kit.show("  pages a second that its flusher wrote", "/s", [pages for pages, _ in wrote])
    kit.show("  commits of the state a second, two syncs each", "/s", [syncs for _, syncs in wrote])
    disk.show("the disk alone beside as many pages, no server", without)
    server.stop()
    figure_restart(work)


def figure_restart(work):
    data = os.path.join(work, "stored")
    if not os.path.exists(data):
        return
    clean, killed = [], []
    for number, seconds in ((signal.SIGTERM, clean), (signal.SIGKILL, killed)):
        for _ in range(kit.RUNS):
            server = kit.Server("shard", "--data", data, "--listen", "tcp://127.0.0.1:0")
            seconds.append(server.ready_seconds)
            server.stop(number)
    kit.note("restart with %s slots" % format(STORED, ","), "s", clean, 2)
    kit.note("  after kill -9", "s", killed, 2)


def figure_crash(work):
    """A start after kill -9 in the middle of as much load as one voter takes: what the overlays had
    is decided again, and half a flush is undone."""
    seconds = []
    for run in range(kit.RUNS):
        data = os.path.join(work, "crash%d" % run)
        server = kit.Server("shard", "--data", data, "--listen", "tcp://127.0.0.1:0")
        load = subprocess.Popen(
            [kit.FAIRSLOT, "bench", "shard", "--target", server.address, "--identities",
             str(IDENTITIES), "--pools", "50", "--slots", "2000000", "--batch", "256",
             "--seconds", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            preexec_fn=kit.pin(1))
        for line in load.stderr:
            if line.strip() == b"measuring":
                break
        time.sleep(kit.SECONDS + run)  # not thrice in the same place of a flush
        server.stop(signal.SIGKILL)
        load.kill()
        load.wait()
        server = kit.Server("shard", "--data", data, "--listen", "tcp://127.0.0.1:0")
        seconds.append(server.ready_seconds)
        server.stop()
        shutil.rmtree(data)
    kit.show("restart after kill -9 at full load", "s", seconds)


def figure_idle(work):
    count = 2000 if kit.QUICK else 8000
    values = []
    for _ in range(kit.RUNS):
        server = kit.Server("serve", "--dev", "--data", work, "--listen", "127.0.0.1:0")
        kit.bench(server, "health", "--seconds", 1, "--connections", 1)
        before = server.rss_bytes()
        load = subprocess.Popen([kit.FAIRSLOT, "bench", "idle", "--target", server.address,
                                 "--connections", str(count), "--seconds", "4"],
                                stdout=subprocess.PIPE, preexec_fn=kit.pin(1))
        held = json.loads(load.stdout.readline())
        time.sleep(1)
        values.append((server.rss_bytes() - before) / held["held"] / 1024)
        load.wait()
        server.stop()
    kit.note("idle connection after one RPC, resident memory", "KiB", values, 20)


def run(name, _):
    """restart is measured with what `stored` leaves behind."""
    if name == "restart":
        name = "stored"
    with tempfile.TemporaryDirectory(prefix="fairslot-figures-") as work:
        globals()["figure_" + name](work)
