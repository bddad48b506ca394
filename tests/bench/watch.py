# SPDX-License-Identifier: MIT
"""A turn that was given, until it reaches whoever waits for it on a WatchTicket stream; what an
open stream costs.  10,000 people with a ticket each in a release by turn, all of them watching."""
import datetime
import json
import os
import subprocess
import tempfile
import time

NAMES = ("watch",)
TURN_S = 3
SLOTS = 60


def announce(kit, server, data, window_s):
    """A release by turn whose entry is open for so long."""
    day = (datetime.date.today() + datetime.timedelta(days=2)).strftime("%Y-%m-%d")
    env = dict(os.environ, FAIRSLOT_TARGET=server.address,
               FAIRSLOT_TOKEN_FILE=os.path.join(data, "operator.token"))

    def fairslot(*words):
        subprocess.run([kit.FAIRSLOT, *words], check=True, capture_output=True, env=env)

    fairslot("pool", "create", "watch", "--scarce", "--max-live", "16")
    path = os.path.join(data, "watch.csv")
    with open(path, "w") as f:
        f.write("pool,date,start,duration_minutes,desk,time_zone\n")
        for slot in range(SLOTS):
            f.write("watch,%s,09:00,15,Desk %d,UTC\n" % (day, slot))
    fairslot("slot", "import", path)
    release = "pools/watch/releases/r"
    fairslot("release", "create", release, "--entry-open", "now", "--window", "%ds" % window_s,
             "--grace", "1s", "--serving", "turn", "--turn", "%ds" % TURN_S,
             "--slots-from", day, "--slots-to", "2100-01-01")
    return release


def one(kit, connections, streams, seconds):
    count = connections * streams
    with tempfile.TemporaryDirectory() as data:
        server = kit.Server("serve", "--dev", "--data", data, "--listen", "127.0.0.1:0")
        tokens = kit.tokens(data, "entrant", count)
        window_s = 25 if count > 2000 else 12
        release = announce(kit, server, data, window_s)
        began = time.monotonic()
        kit.bench(server, "tickets", "--tokens-file", tokens, "--release", release,
                  "--connections", 32, "--streams", 16)
        before = server.rss_bytes()
        load = subprocess.Popen(
            [kit.FAIRSLOT, "bench", "watch", "--target", server.address, "--tokens-file", tokens,
             "--release", release, "--turn-ms", str(TURN_S * 1000), "--connections",
             str(connections), "--streams", str(streams), "--seconds",
             str(int(window_s - (time.monotonic() - began)) + seconds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=kit.pin(1))
        for line in load.stderr:
            if line.strip() == b"open":
                break
        stream_bytes = (server.rss_bytes() - before) / count
        out = load.stdout.read()
        if load.wait() != 0:
            raise SystemExit("figures: bench watch failed: %s%s" %
                             (load.stderr.read().decode(), out.decode()))
        server.stop()
        return json.loads(out), stream_bytes


def run(_, kit):
    connections, streams = (20, 50) if kit.QUICK else (200, 50)
    runs = [one(kit, connections, streams, 6 if kit.QUICK else 20) for _ in range(kit.RUNS)]
    for result, _ in runs:
        print("  %s" % json.dumps(result))
    what = "a turn to its WatchTicket stream, %s open: " % format(connections * streams, ",")
    kit.note(what + "p99", "ms", [r["p99_us"] / 1e3 for r, _ in runs], 50)
    kit.note("  the slowest", "ms", [r["max_us"] / 1e3 for r, _ in runs], 50)
    kit.note("  memory of each stream", "KiB", [b / 1024 for _, b in runs], 40)
