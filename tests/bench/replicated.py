# SPDX-License-Identifier: MIT
"""Replicas: what three voters decide a second beside one, how long nobody can write when the leader
is killed and when all three are restarted one by one, and what others do on the same machine."""
import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import kit

NAMES = ("replicated", "failover", "rolling", "compare")
HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = 256
CONTEXTS = 16  # batches under way: as many as two gateways have
SLOTS = 1000000 if kit.QUICK else 2000000
IDENTITIES = SLOTS // 16  # each has as many live holds as may be when all slots are taken
KILLS = 3 if kit.QUICK else 34  # of each run: a hundred in all
measured = {}  # what `compare` compares with


def warm_memory():
    """As an operator does before a big release: as much as can be set, where three nodes have room
    for it and for as much again.  A voter outgrows half of it within five seconds."""
    with open("/proc/meminfo") as file:
        available = next(int(line.split()[1]) << 10 for line in file
                         if line.startswith("MemAvailable:"))
    return "1GiB" if available >= 8 << 30 else "512MiB"


WARM = warm_memory()
WARM_SET = ("--set", "shard.warm_memory=" + WARM)


def trio(options=()):
    """Three replicas and a gateway: the fixture of the end-to-end tests."""
    for folder in ("e2e", "nemesis"):
        path = os.path.join(os.path.dirname(HERE), folder)
        if path not in sys.path:
            sys.path.insert(0, path)
    from trio import Trio
    return Trio(options)


class TurnedAway(Exception):
    """Another replica leads now: a sync of the disk took longer than an election."""


def bench_shard(target, nodes=(), seconds=kit.SECONDS, skip=0):
    """`fairslot bench shard` against a door: mutations a second, microseconds of CPU that each
    cost the nodes, by process id, and the next free slot, where another run may go on."""
    load = subprocess.Popen([kit.FAIRSLOT, "bench", "shard", "--target", target, "--identities",
                             str(IDENTITIES), "--pools", "50", "--slots", str(SLOTS), "--batch",
                             str(BATCH), "--contexts", str(CONTEXTS), "--seconds", str(seconds),
                             "--skip", str(skip)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, was = [], {}
    for line in load.stderr:
        said.append(line.decode())
        if line.strip() == b"measuring":
            was = {pid: kit.cpu_seconds(pid) for pid in nodes}
    out = load.stdout.read()
    cost = {pid: kit.cpu_seconds(pid) - was.get(pid, 0) for pid in nodes}
    if load.wait() != 0 and any("turned away" in line for line in said):
        raise TurnedAway
    if load.returncode != 0:
        sys.exit("figures: bench shard failed: " + "".join(said)[-1000:])
    result = json.loads(out)
    return (result["mutations_per_s"],
            {pid: spent * 1e6 / result["mutations"] for pid, spent in cost.items()},
            result["next_slot"])


def free_cores(server):
    """Nobody is pinned: three voters and their load share two cores."""
    for path in os.listdir("/proc/%d/task" % server.process.pid):
        os.sched_setaffinity(int(path), range(os.cpu_count()))


def three_voters():
    """What they make in five seconds and, on what is stored by then, for four times as long; what a
    mutation costs leader and followers.  Once more when another one led meanwhile."""
    for again in range(3):
        city = trio(WARM_SET).start()
        try:
            leader = city.leader()
            pids = {i: city.shards[i].child.pid for i in city.shards}
            rate, cost, skip = bench_shard(city.doors[leader], pids.values())
            city.level()  # who follows has applied all of it, too
            longer = bench_shard(city.doors[city.leader()], (), kit.SECONDS * 4, skip)[0]
            return rate, longer, cost.pop(pids[leader]), sum(cost.values()) / 2
        except TurnedAway:
            print("three voters: another one led in the middle of run %d, again" % (again + 1),
                  file=sys.stderr)
        finally:
            city.close()
    sys.exit("figures: no replica led for as long as a run; see how long the disk's syncs take")


def figure_replicated(work):
    one, three, longer, leads, follows = [], [], [], [], []
    for run in range(kit.RUNS):
        data = os.path.join(work, "one%d" % run)
        server = kit.Server("shard", "--data", data, "--listen", "tcp://127.0.0.1:0",
                            *WARM_SET)
        free_cores(server)
        one.append(bench_shard(server.address)[0])
        server.stop()
        shutil.rmtree(data)
        for row, value in zip((three, longer, leads, follows), three_voters()):
            row.append(value)
    measured["one"], measured["three"] = statistics.median(one), statistics.median(three)
    kit.note("one voter, shard alone, 16 nng batches of 256 under way, nobody pinned, %s of memory "
             "warm" % WARM, "/s", one, 120000, True)
    kit.note("three voters, three processes on this machine, %s of memory warm in each" % WARM,
             "/s", three, 60000, True)
    kit.show("  for four times as long, on what is stored by then", "/s", longer)
    kit.show("  CPU of the leader for each mutation", "us", leads)
    kit.show("  of each follower", "us", follows)


class Stage:
    """What nemesis' people need to know of a Trio."""

    def __init__(self, trio_, folder):
        self.data, self.folder = trio_.data, folder
        self.gateways = [type("Gateway", (), {"target": trio_.target})]

    @staticmethod
    def in_town(*words):
        return list(map(str, words))


def acknowledged(history):
    """When mutations were acknowledged, in order; seconds of the monotonic clock."""
    with open(history, "rb") as file:
        records = file.read()
    times = [line[1] / 1e6 for line in struct.iter_unpack("<qq4Qq3IHBBB7x", records)
             if line[12] == 1 and line[11] in (1, 2, 3, 4)]
    return sorted(times)


def longest(times, begin, end):
    """The longest time without an acknowledgement that touches [begin, end)."""
    gap, before = 0.0, begin
    for at in times:
        if at > before and before < end and at > begin:
            gap = max(gap, at - max(before, begin))
        before = max(before, at)
    return gap


def under_load(work, act, options=()):
    """Runs act(trio) while people book a thousand times a second; (times, what act returned)."""
    city = trio(options).start()
    import city as town
    people = None
    try:
        city.leader()
        people = town.People(Stage(city, work), count=200, slots=100000, rate=1000)
        time.sleep(2)
        result = act(city)
        time.sleep(2)
        people.finish()
        check = os.path.join(town.BUILD, "check")
        done = subprocess.run([check, people.history, people.final], capture_output=True,
                              text=True)
        if done.returncode != 0:
            sys.exit("figures: something was lost: " + done.stdout[-3000:])
        return acknowledged(people.history), result
    finally:
        if people:
            people.close()
        city.close()


def caught_up(city, entries=100, seconds=60):
    """Until all replicas are at most so far apart: under load they are never quite level."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seen = [city.metric(node, "shard_log_index") for node in city.shards]
        if None not in seen and max(seen) - min(seen) <= entries:
            return
        time.sleep(0.05)
    sys.exit("figures: a replica does not catch up")


def figure_failover(work):
    def kill_leaders(city):
        moments = []
        for _ in range(KILLS):
            leader = city.leader()
            moments.append(time.monotonic())
            city.shards[leader].kill()
            city.leader(but=leader)
            time.sleep(0.5)
            city.start_shard(leader).wait_ready("shard")
            caught_up(city)
            time.sleep(0.5)
        return moments

    p99, middle = [], []
    for _ in range(kit.RUNS):
        times, moments = under_load(work, kill_leaders)
        gaps = sorted(longest(times, at, at + 1) for at in moments)
        p99.append(gaps[min(len(gaps) - 1, len(gaps) * 99 // 100)])
        middle.append(statistics.median(gaps))
    kit.note("the leader is killed, %d times: longest time without a write, p99" % KILLS, "s",
             p99, 1)
    kit.note("  median", "s", middle, 1)


def figure_rolling(work):
    def restart_all(city):
        begin = time.monotonic()
        for node in (1, 2, 3):
            if city.shards[node].stop() != 0:
                sys.exit("figures: a node did not stop well")
            city.start_shard(node).wait_ready("shard")
            caught_up(city)
            time.sleep(0.5)
        return begin, time.monotonic()

    gaps = []
    for _ in range(kit.RUNS):
        times, (begin, end) = under_load(work, restart_all)
        gaps.append(longest(times, begin, end) * 1e3)
    kit.note("three nodes restarted one by one under load: longest time without a write", "ms",
             gaps, 300)


def wait_port(port, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("figures: nobody listens on %d" % port)


def ended(process):
    process.send_signal(signal.SIGTERM)
    process.wait(30)


# What a hold is: the request known, the slot free, the entitlement not used up; three records.
HOLD = """
local known = redis.call('GET', KEYS[3])
if known then return known end
if redis.call('EXISTS', KEYS[1]) == 1 then return 'taken' end
local live = tonumber(redis.call('HGET', KEYS[2], 'live') or '0')
if live >= 16 then return 'quota' end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'live', live + 1, KEYS[1], ARGV[1])
redis.call('SET', KEYS[3], ARGV[1], 'EX', 86400)
return 'ok'
"""
REDIS = 18379
PIPELINED = 16  # commands under way of each connection


def redis_server(work, port, *more):
    folder = os.path.join(work, str(port))
    os.mkdir(folder)
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save",
                               "", "--appendonly", "yes", "--appendfsync", "always", "--dir",
                               folder, *more], stdout=subprocess.DEVNULL)
    wait_port(port)
    return server


def redis_says(*words):
    return subprocess.run(["redis-cli", "-p", str(REDIS), *words], capture_output=True, text=True,
                          check=True).stdout.strip()


@contextlib.contextmanager
def redis_servers(work, replicas):
    """One, and so many that follow it, each with a file that it syncs before it answers."""
    servers = [redis_server(work, REDIS)]
    try:
        for port in range(REDIS + 1, REDIS + 1 + replicas):
            servers.append(redis_server(work, port, "--replicaof", "127.0.0.1 %d" % REDIS))
        until = time.monotonic() + 60
        while redis_says("info", "replication").count("state=online") < replicas:
            if time.monotonic() > until:
                sys.exit("figures: Redis' replicas do not follow")
            time.sleep(0.2)
        yield
    finally:
        for server in servers:
            ended(server)


def redis(work, depth, is_hold=False, replicas=0):
    """SETs, or holds by a script, a second, fsync always, from 64 connections with `depth` commands
    under way on each.  Redis answers before its replicas have it."""
    with redis_servers(work, replicas):
        what = ["-t", "set", "-d", "120", "-r", "1000000"]
        if is_hold:
            what = ["-r", "100000000", "evalsha", redis_says("script", "load", HOLD), "3",
                    *("%s:__rand_int__" % of for of in ("slot", "who", "request")), "x" * 120]
        count = "50000" if kit.QUICK else "300000" if depth > 1 else "150000"
        said = subprocess.run(["redis-benchmark", "-p", str(REDIS), "-c", "64", "-n", count, "-P",
                               str(depth), "--csv", *what], capture_output=True, text=True,
                              check=True).stdout
        return float(said.strip().splitlines()[-1].split('","')[1])


def pipelines(depth, count, tail=b"", tail_reply=0):
    """redis-benchmark's `-t set -d 120 -r 1000000 -c 64 -P depth` once more, because that one
    cannot mix commands: `tail` goes behind each `depth` SETs, its answer has `tail_reply` bytes.
    All buffers are made before the clock starts, and without `tail` it holds Redis back no more
    than redis-benchmark does: alternating, 16 at a time, 279,000 to 376,000 a second and 300,000 to
    341,000; with two replicas 190,000 to 251,000 and 210,000 to 236,000; 64 at a time 442,000 to
    477,000 and 388,000 to 529,000.  SETs a second."""
    command = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$120\r\n" + b"x" * 120 + b"\r\n"
    buffers = [b"".join(command % random.randrange(1000000) for _ in range(depth)) + tail
               for _ in range(count // depth)]
    wanted = len(b"+OK\r\n") * depth + tail_reply
    poll, sockets, missing, last = select.epoll(), {}, {}, b""
    for _ in range(64):
        sock = socket.create_connection(("127.0.0.1", REDIS))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    begin = time.monotonic()
    for fd, sock in sockets.items():
        sock.sendall(buffers.pop())
        missing[fd] = wanted
    while missing:
        for fd, _ in poll.poll():
            last = sockets[fd].recv(65536)
            missing[fd] -= len(last)
            if missing[fd] < 0 or b"-" in last or not last:
                sys.exit("figures: Redis answers %r" % last[:200])
            if missing[fd] == 0 and buffers:
                sockets[fd].sendall(buffers.pop())
                missing[fd] = wanted
            elif missing[fd] == 0:
                del missing[fd]
    seconds = time.monotonic() - begin
    for sock in sockets.values():
        sock.close()
    return count // depth * depth / seconds


def redis_waits(work, depth):
    """SETs a second that a majority of three has on disk when WAIT 1 0 behind each `depth` of them
    is answered: the promise of fairslot's mutations.  A replica that syncs always acknowledges
    behind its fdatasync, as strace shows of 7.0."""
    wait = b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n"
    with redis_servers(work, replicas=2):
        return pipelines(depth, 50000 if kit.QUICK else 300000, wait, len(b":1\r\n"))


def postgresql(work):
    """Inserts a second by 64 clients, each its own transaction."""
    programs = sorted(p for p in os.listdir("/usr/lib/postgresql"))[-1]
    bin_ = "/usr/lib/postgresql/%s/bin/" % programs
    data, port = os.path.join(work, "pg"), 18432
    as_other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    os.chmod(work, 0o755)
    os.mkdir(data)
    if as_other:
        shutil.chown(data, "postgres")
    run = lambda *words: subprocess.run([*as_other, *words], check=True, capture_output=True,
                                        text=True)
    run(bin_ + "initdb", "-D", data, "-A", "trust", "-U", "bench")
    server = subprocess.Popen([*as_other, bin_ + "postgres", "-D", data, "-p", str(port), "-k",
                               data, "-c", "listen_addresses=127.0.0.1"],
                              stderr=subprocess.DEVNULL)
    try:
        wait_port(port)
        at = ["-h", "127.0.0.1", "-p", str(port), "-U", "bench"]
        run("psql", *at, "-d", "postgres", "-c",
            "create table hold (slot bigint, who bytea, made timestamptz default now())")
        script = os.path.join(data, "insert.sql")
        with open(script, "w") as file:
            file.write("\\set slot random(1, 100000000)\n"
                       "insert into hold (slot, who) values (:slot, '\\x00112233445566778899');\n")
        said = run("pgbench", *at, "-n", "-c", "64", "-j", "1", "-T", str(kit.SECONDS), "-M",
                   "prepared", "-f", script, "postgres").stdout
        return [float(line.split("=")[1].split()[0]) for line in said.splitlines()
                if line.startswith("tps")][0]
    finally:
        subprocess.run([*as_other, bin_ + "pg_ctl", "-D", data, "-m", "fast", "stop"],
                       capture_output=True)
        server.wait(30)


def etcd(work):
    """Puts a second into three nodes, 64 connections, by h2load."""
    names = ["n%d" % n for n in (1, 2, 3)]
    peers = ",".join("%s=http://127.0.0.1:%d" % (name, 18380 + n) for n, name in enumerate(names))
    nodes = []
    try:
        for n, name in enumerate(names):
            client, peer = ("http://127.0.0.1:%d" % (base + n) for base in (18479, 18380))
            nodes.append(subprocess.Popen(
                ["etcd", "--name", name, "--data-dir", os.path.join(work, name),
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", peers, "--initial-cluster-state", "new"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_port(18479)
        time.sleep(3)
        key, value = b"slot/20300101", b"x" * 120
        put = b"\n" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value
        body = os.path.join(work, "put")
        with open(body, "wb") as file:
            file.write(b"\0" + struct.pack(">I", len(put)) + put)
        said = subprocess.run(["h2load", "-n", "10000" if kit.QUICK else "40000", "-c", "64", "-d",
                               body, "-H", "content-type: application/grpc", "-H", "te: trailers",
                               "http://127.0.0.1:18479/etcdserverpb.KV/Put"], capture_output=True,
                              text=True, check=True).stdout
        finished = next(line for line in said.splitlines() if line.startswith("finished"))
        return float(finished.split(",")[1].split()[0])
    finally:
        for node in nodes:
            ended(node)


def figure_compare(work):
    """Beside what fairslot's three voters do, and what is on one disk only beside one voter, too;
    each only when its package is there."""
    if "three" not in measured:
        figure_replicated(work)
    rows = (("Redis, fsync always, 64 connections, SET", "redis-server", True,
             lambda w: redis(w, 1)),
            ("Redis, the same, 4 commands pipelined", "redis-server", True, lambda w: redis(w, 4)),
            ("Redis, the same, 16 commands pipelined", "redis-server", True,
             lambda w: redis(w, PIPELINED)),
            ("  and two replicas, which it does not wait for", "redis-server", False,
             lambda w: redis(w, PIPELINED, replicas=2)),
            ("  and waits for one of them: WAIT 1 0 behind each 16", "redis-server", False,
             lambda w: redis_waits(w, PIPELINED)),
            ("  WAIT 1 0 behind each 64: 4,096 under way, as many as ours", "redis-server", False,
             lambda w: redis_waits(w, BATCH * CONTEXTS // 64)),
            ("  a hold as a script instead of a SET", "redis-server", True,
             lambda w: redis(w, PIPELINED, is_hold=True)),
            ("  a hold as a script, two replicas", "redis-server", False,
             lambda w: redis(w, PIPELINED, is_hold=True, replicas=2)),
            ("PostgreSQL, 64 clients, one insert a transaction", "pgbench", True, postgresql),
            ("etcd, three nodes, 64 connections", "etcd", False, etcd))
    for what, program, is_alone, measure in rows:
        if not shutil.which(program):
            print("%s: not installed (deploy/install compare)" % what)
            continue
        values = []
        for _ in range(kit.RUNS):
            with tempfile.TemporaryDirectory(prefix="fairslot-compare-") as folder:
                values.append(measure(folder))
        kit.note(what, "/s", values, measured["three"])  # met: three durable voters are ahead of it
        if is_alone:
            kit.note("  the same runs beside one voter, which is not replicated either", "/s",
                     values, measured["one"])


def run(name, _):
    with tempfile.TemporaryDirectory(prefix="fairslot-figures-") as work:
        globals()["figure_" + name](work)
