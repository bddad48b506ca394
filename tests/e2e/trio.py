# SPDX-License-Identifier: MIT
"""Three replicas of a shard behind a gateway, all processes of their own."""
import glob
import os
import random
import shutil
import socket
import struct
import time

from house import BINARY, Process, Server, eventually, run

MEMBERS = (1, 2, 3)


HANDED_OUT = set()


def free_ports(count):
    """Ports that nobody listens on now, below those that the kernel hands out; each only once."""
    found = []
    while len(found) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
        if port not in HANDED_OUT:
            HANDED_OUT.add(port)
            found.append(port)
    return found


class Trio(Server):
    """As house.Server; `shards` has the processes by id, None for one that is away."""

    def __init__(self, options=(), binaries=None):
        super().__init__()
        self.binaries = binaries or {}  # by id, where it is not the usual one
        self.shard_options = tuple(options)
        ports = free_ports(9)
        self.doors = {i: f'tcp://127.0.0.1:{ports[i - 1]}' for i in MEMBERS}
        self.peers = {i: f'tcp://127.0.0.1:{ports[i + 2]}' for i in MEMBERS}
        self.ops = {i: f'127.0.0.1:{ports[i + 5]}' for i in MEMBERS}
        self.shards = {}
        self.key = os.path.join(self.data, 'shared.key')

    def start(self):
        run('release', 'key', self.key)
        for i in MEMBERS:
            self.start_shard(i)
        for i in MEMBERS:
            self.shards[i].wait_ready('shard')
        return self.start_gateway()

    def words(self, i):
        order = MEMBERS if i != MEMBERS[-1] else MEMBERS[::-1]  # the same list, however it stands
        peers = [word for k in order for word in ('--peer', f'{k}={self.peers[k]}')]
        return ['shard', '--data', self.folder(i), '--listen', self.doors[i], '--id', str(i),
                *peers, '--set', f'shard.signing_key={self.key}',
                '--set', f'ops.listen={self.ops[i]}', *self.shard_options]

    def folder(self, i):
        return os.path.join(self.data, f'node {i}')

    def start_shard(self, i, *more):
        self.shards[i] = Process(*self.words(i), *more, binary=self.binaries.get(i, BINARY))
        return self.shards[i]

    def start_gateway(self):
        doors = [word for i in MEMBERS for word in ('--shard', self.doors[i])]
        self.process = Process('gateway', '--data', self.data, *doors,
                               '--listen', f'127.0.0.1:{self.port}')
        self.port = int(self.process.wait_ready('grpc').rpartition(':')[2])
        return self

    def metric(self, i, name):
        """None while that replica does not answer."""
        host, port = self.ops[i].split(':')
        try:
            with socket.create_connection((host, int(port)), timeout=2) as line:
                line.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
                text = b''.join(iter(lambda: line.recv(65536), b'')).decode()
        except OSError:
            return None
        for row in text.splitlines():
            if row.startswith(f'fairslot_{name} '):
                return float(row.split()[1])
        return None

    def leader(self, *, but=None, seconds=30):
        """The id of the one that leads, another one than `but`."""
        found = []

        def look():
            found[:] = [i for i in MEMBERS if self.shards[i].alive() and i != but and
                        self.metric(i, 'shard_leader') == 1]
            return len(found) == 1

        eventually(look, seconds=seconds)
        return found[0]

    def followers(self):
        leader = self.leader()
        return [i for i in MEMBERS if i != leader]

    def level(self, ids=MEMBERS, seconds=60):
        """Until they have all applied the same."""
        def look():
            seen = {self.metric(i, 'shard_log_index') for i in ids}
            return len(seen) == 1 and None not in seen
        eventually(look, seconds=seconds)

    def close(self):
        try:
            if self.process and self.process.alive():
                assert self.process.stop() == 0, self.process.talk[-20:]
            for shard in self.shards.values():
                if shard.alive():
                    code = shard.stop()
                    assert code == 0, f'shard: exit code {code}: {shard.talk[-20:]}'
                else:
                    shard.assert_healthy()
        finally:
            shutil.rmtree(self.data, ignore_errors=True)


def patient(call, seconds=20):
    """As a client does: the same request again while it is told to come back."""
    from house import Refused
    until = time.monotonic() + seconds
    while True:
        try:
            return call()
        except Refused as refusal:
            assert refusal.code in (4, 14), refusal
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def data_file(folder, which):
    """The data file of that half, `log` or `state`: a node that was mended has state.N."""
    found = [path for path in glob.glob(f'{glob.escape(folder)}/**/data.mdb', recursive=True)
             if os.path.basename(os.path.dirname(path)).split('.')[0] == which and
             not os.path.dirname(path).endswith('.damaged')]
    assert len(found) == 1, found
    return found[0]


def is_record(text, at):
    """In a leaf of LMDB, where records are: before them pages keep bytes of what they once were."""
    page = at // 4096 * 4096
    flags, _, upper = struct.unpack_from('<HHH', text, page + 10)
    return flags == 2 and at - page >= upper


def flip(folder, which, words, records=False):
    """A bit of every copy of these bytes, wherever LMDB has them, or of `records` alone; waits
    until they are there."""
    def places():
        with open(data_file(folder, which), 'rb') as file:
            text = file.read()
        found, at = [], text.find(words)
        while at >= 0:
            if not records or is_record(text, at):
                found.append(at)
            at = text.find(words, at + 1)
        return found
    found = eventually(places)
    with open(data_file(folder, which), 'r+b') as file:
        for at in found:
            file.seek(at + len(words) // 2)
            byte = file.read(1)[0]
            file.seek(at + len(words) // 2)
            file.write(bytes([byte ^ 16]))
