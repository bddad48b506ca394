# SPDX-License-Identifier: MIT
"""A city of its own: one network namespace and one disk for each node, one more namespace with the
gateways and the people, a bridge between them.

Everything has the runner's pid in its name and is taken down by close(), also after ^C or a failed
test; what a killed runner left behind is swept by the next one.  Processes are ended by their pid,
and end with the runner.
"""
import ctypes
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'e2e'))

import house  # noqa: E402
import tap  # noqa: E402

BUILD = os.path.join(os.path.dirname(os.path.abspath(house.BINARY)), 'tests', 'nemesis')
NET = '198.51.100.'  # documentation's addresses: nobody's (RFC 5737)
TOWN = NET + '1'
SHARD_PORT, PEER_PORT, OPS_PORT = 17701, 17703, 17709
FAKETIME = glob.glob('/usr/lib/*/faketime/libfaketimeMT.so.1')
# The monotonic clock is the real one.  libfaketime 0.9.10 believes that this C library measures
# waits for a condition by another clock than it was told, and turns the end of each such wait into
# an instant long ago: every thread that should sleep spins, the scrubber without an end.
REAL_WAITS = ('DONT_FAKE_MONOTONIC=1', 'FAKETIME_FORCE_MONOTONIC_FIX=0')
MIB = 1 << 20


def quiet(*words, check=True, **more):
    return subprocess.run(list(map(str, words)), check=check, capture_output=True, text=True,
                          timeout=60, **more)


def sweep():
    """Takes down what runners that no longer live have left."""
    for name in quiet('ip', 'netns', 'list', check=False).stdout.split():
        found = re.fullmatch(r'fairslot-nemesis-(\d+)-\w+', name)
        if found and not os.path.exists(f'/proc/{found.group(1)}'):
            quiet('ip', 'netns', 'del', name, check=False)
    for folder in glob.glob(os.path.join(tempfile.gettempdir(), 'fairslot-nemesis-*-disks')):
        if not os.path.exists(f'/proc/{folder.rsplit("-", 2)[1]}'):
            for disk in glob.glob(folder + '/*/'):
                quiet('umount', disk, check=False)
            shutil.rmtree(folder, ignore_errors=True)


def now_us():
    """The clock of people's histories, and of everything that a report puts beside them."""
    return time.monotonic_ns() // 1000


def socket_in(net):
    """A TCP socket that lives in another network namespace; the calling thread goes and comes."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
    there = os.open('/run/netns/' + net, os.O_RDONLY)
    try:
        if libc.setns(there, 0x40000000) != 0:  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), 'setns')
        try:
            return socket.socket()
        finally:
            assert libc.setns(home, 0x40000000) == 0, 'lost in another network namespace'
    finally:
        os.close(home)
        os.close(there)


def end_with_us():
    """In the child: SIGKILL when the runner ends (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Disk:
    """A file system of its own on a loop device; a ballast file takes its room away."""

    def __init__(self, path, mib):
        self.path, self.image = path, path + '.image'
        os.mkdir(path)
        with open(self.image, 'wb') as file:
            file.truncate(mib * MIB)
        quiet('mkfs.ext4', '-q', '-m', '0', self.image)
        done = quiet('mount', '-o', 'loop', self.image, path, check=False)
        if done.returncode != 0:
            os.unlink(self.image)
            done = quiet('mount', '-t', 'tmpfs', '-o', f'size={mib}m', 'fairslot', path,
                         check=False)
        if done.returncode != 0:
            raise tap.Skip('a disk of its own cannot be mounted here: ' + done.stderr.strip())

    def fill(self, left):
        """Until `left` bytes are free."""
        figures = os.statvfs(self.path)
        size = figures.f_bavail * figures.f_frsize - left
        with open(os.path.join(self.path, 'ballast'), 'wb') as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, size))
                while left == 0:  # the last blocks, too
                    file.seek(0, os.SEEK_END)
                    file.write(b'x' * 4096)
                    file.flush()
            except OSError:
                pass

    def relieve(self):
        try:
            os.unlink(os.path.join(self.path, 'ballast'))
        except FileNotFoundError:
            pass

    def close(self):
        for _ in range(20):
            if quiet('umount', self.path, check=False).returncode == 0:
                break
            time.sleep(0.1)


class Replica(house.Process):
    """A process whose events are stamped, as they come, by the runner's clock and not its own."""

    def __init__(self, *words, **more):
        self.events = []  # (now_us(), whole line); of those that have a number
        super().__init__(*words, **more)

    def read_talk(self):
        for line in self.child.stderr:
            self.talk.append(line.rstrip('\n'))
            if '"FS-30' in line:
                self.events.append((now_us(), self.talk[-1]))


class Node:
    """`fairslot shard` in a namespace, on a disk, with a clock that may be set apart."""

    def __init__(self, city, number, mib):
        self.city, self.number = city, number
        self.id = number  # of the member; another one after its disk was lost
        self.net = city.name(f'n{number}')
        self.address = f'{NET}{10 + number}'
        self.disk = Disk(os.path.join(city.folder, f'n{number}'), mib)
        self.data = os.path.join(self.disk.path, 'data')
        self.clock = os.path.join(city.folder, f'n{number}.clock')
        self.set_clock(0)
        self.process, self.joins = None, None  # joins: the cluster's id, of a later member
        self.talk, self.events = [], []  # of processes before this one

    @property
    def url(self):
        return f'tcp://{self.address}:{SHARD_PORT}'

    @property
    def peer_url(self):
        return f'tcp://{self.address}:{PEER_PORT}'

    def set_clock(self, seconds):
        with open(self.clock + '.new', 'w', encoding='ascii') as file:
            file.write(f'{seconds:+d}s\n')
        os.rename(self.clock + '.new', self.clock)

    def words(self):
        words = ['shard', '--data', self.data, '--listen', self.url, '--set',
                 f'ops.listen=127.0.0.1:{OPS_PORT}', *self.city.inside, *self.city.shard_options]
        if len(self.city.nodes) > 1:
            words += ['--id', str(self.id), '--set', 'shard.signing_key=' + self.city.key]
            if self.joins:
                words += ['--join', self.joins, '--peers-listen', self.peer_url]
            for member in [] if self.joins else self.city.first_members:
                words += ['--peer', member]
        return words

    def start(self, wait=True):
        wrapper = ['ip', 'netns', 'exec', self.net, 'env']
        if FAKETIME and not house.SANITIZED:
            wrapper += ['LD_PRELOAD=' + FAKETIME[0], *REAL_WAITS,
                        'FAKETIME_TIMESTAMP_FILE=' + self.clock, 'FAKETIME_CACHE_DURATION=1']
        self.process = Replica(*self.words(), wrapper=wrapper)
        self.process.wrapped = False  # ip and env become what they start
        if wait:
            self.process.wait_ready('shard')
        return self

    def alive(self):
        return self.process is not None and self.process.alive()

    def talk_of_end(self):
        return ' | '.join(self.process.talk[-3:])

    def signal(self, number):
        os.kill(self.process.pid, number)

    def term(self):
        """The latest in which this process leads; 0: it follows."""
        for line in reversed(self.process.talk):
            if '"FS-3020"' in line:
                return json.loads(line)['term']
            if '"FS-3021"' in line:
                return 0
        return 0

    def put_away(self):
        """The process is gone: what it said is kept."""
        self.process.wait()
        self.talk += self.process.talk
        self.events += self.process.events

    def said(self, word):
        """Has its process, this one, said so?"""
        return any(word in line for line in self.process.talk)

    def task_state(self):
        """R, S, T ... of its process, as the kernel has it; and the processor time it had."""
        with open(f'/proc/{self.process.pid}/stat', encoding='ascii', errors='replace') as file:
            fields = file.read().rpartition(')')[2].split()
        return fields[0], int(fields[11]) + int(fields[12])

    def metrics(self):
        """Its own gauges and counters now, name -> value; empty when it does not answer."""
        text = b''
        try:
            with socket_in(self.net) as link:
                link.settimeout(1)
                link.connect(('127.0.0.1', OPS_PORT))
                link.sendall(b'GET /metrics HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n')
                while part := link.recv(65536):
                    text += part
        except OSError:
            pass
        found = re.findall(r'^fairslot_(\w+) ([0-9.e+-]+)$', text.decode(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    def revive(self):
        """Runs again, if it does not; the exit code it had, or None."""
        if self.alive():
            return None
        code = self.process.child.returncode
        self.put_away()
        self.start()
        return code

    def iptables(self, *words, check=True):
        return quiet('ip', 'netns', 'exec', self.net, 'iptables', '-w', *words, check=check)

    def dropped(self):
        """Packets that the rules of this namespace have dropped."""
        rows = [line.split() for line in self.iptables('-nvxL').stdout.splitlines()]
        return sum(int(row[0]) for row in rows if len(row) > 2 and row[2] == 'DROP')

    def mend_network(self):
        self.iptables('-F', check=False)

    def close(self):
        try:
            if self.alive():
                self.signal(signal.SIGCONT)
                self.process.stop()
        finally:
            self.disk.close()


def certificates(folder):
    """One authority of its own, and the options of whoever has its certificate."""
    ca_key, ca, key, request, own = [os.path.join(folder, name) for name in (
        'ca.key', 'ca.pem', 'node.key', 'node.csr', 'node.pem')]
    curve = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes')
    quiet('openssl', 'req', '-x509', *curve, '-keyout', ca_key, '-out', ca, '-subj',
          '/CN=nemesis', '-days', 3)
    quiet('openssl', 'req', *curve, '-keyout', key, '-out', request, '-subj', '/CN=fairslot',
          '-addext', 'subjectAltName=DNS:fairslot')
    quiet('openssl', 'x509', '-req', '-in', request, '-CA', ca, '-CAkey', ca_key,
          '-CAcreateserial', '-out', own, '-days', 3, '-copy_extensions', 'copyall')
    return ['--set', 'inside.authority=' + ca, '--set', 'inside.certificate=' + own, '--set',
            'inside.key=' + key]


class City:
    """Nodes, gateways, and where people stand."""

    def __init__(self, nodes=1, gateways=1, mib=700, shard_options=(), secure=False):
        if os.geteuid() != 0:
            raise tap.Skip('network namespaces need root')
        sweep()
        self.shard_options, self.inside = tuple(shard_options), ['--insecure']
        self.folder = os.path.join(tempfile.gettempdir(), f'fairslot-nemesis-{os.getpid()}-disks')
        self.nodes, self.gateways, self.spaces, self.gateway_count = [], [], [], gateways
        self.data, self.is_wounded = None, False  # is_wounded: a node is hurt or recovers
        try:
            os.mkdir(self.folder)
            self.data = house.scratch_folder()
            self.key = os.path.join(self.folder, 'key')
            house.run('release', 'key', self.key)
            if secure:
                self.inside = certificates(self.folder)
            self.build_net(nodes)
            self.nodes = [Node(self, number, mib) for number in range(1, nodes + 1)]
            self.next_id = nodes
            self.first_members = [f'{node.number}={node.peer_url}' for node in self.nodes]
        except BaseException:
            self.close()
            raise

    def name(self, role):
        return f'fairslot-nemesis-{os.getpid()}-{role}'

    def space(self, role):
        done = quiet('ip', 'netns', 'add', self.name(role), check=False)
        if done.returncode != 0:
            raise tap.Skip('no network namespaces here: ' + done.stderr.strip())
        self.spaces.append(self.name(role))
        quiet('ip', '-n', self.name(role), 'link', 'set', 'lo', 'up')
        return self.name(role)

    def build_net(self, nodes):
        self.town = self.space('town')
        quiet('ip', '-n', self.town, 'link', 'add', 'street', 'type', 'bridge')
        quiet('ip', '-n', self.town, 'addr', 'add', TOWN + '/24', 'dev', 'street')
        quiet('ip', '-n', self.town, 'link', 'set', 'street', 'up')
        for number in range(1, nodes + 1):
            net = self.space(f'n{number}')
            quiet('ip', 'link', 'add', 'out', 'netns', net, 'type', 'veth', 'peer', 'name',
                  f'n{number}', 'netns', self.town)
            quiet('ip', '-n', self.town, 'link', 'set', f'n{number}', 'master', 'street', 'up')
            quiet('ip', '-n', net, 'addr', 'add', f'{NET}{10 + number}/24', 'dev', 'out')
            quiet('ip', '-n', net, 'link', 'set', 'out', 'up')
        if quiet('ip', 'netns', 'exec', self.town, 'iptables', '-L', check=False).returncode != 0:
            raise tap.Skip('iptables does not work in a network namespace here')

    def in_town(self, *words):
        return ['ip', 'netns', 'exec', self.town, *map(str, words)]

    def start(self):
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.process.wait_ready('shard')
        for _ in range(self.gateway_count):
            self.start_gateway()
        return self

    def verb(self, *words, seconds=60):
        """An operator's verb through a gateway; (exit code, what it said)."""
        done = subprocess.run(self.in_town(
            house.BINARY, *words, '--target', self.gateways[0].target, '--token-file',
            self.data + '/operator.token', '-o', 'json'), capture_output=True, text=True,
            timeout=seconds)
        return done.returncode, done.stdout + done.stderr

    def status(self):
        """`cluster status`, once it is answered."""
        until = time.monotonic() + 60
        while True:
            code, said = self.verb('cluster', 'status')
            if code == 0:
                return json.loads(said)
            assert time.monotonic() < until, f'cluster status: exit {code} {said}'
            time.sleep(0.3)

    def members(self):
        """Number of each member -> does it vote?"""
        return {int(member['node'].split('/')[1]): member['voter']
                for member in self.status()['shards'][0]['members']}

    def insist(self, words, wanted, seconds=60):
        """A verb, again and again until wanted(members): it may be refused while a leader goes."""
        until = time.monotonic() + seconds
        said = ''
        while not wanted(self.members()):
            assert time.monotonic() < until, f'{words}: {said}'
            said = self.verb(*words)
            time.sleep(0.3)

    def clocks(self):
        """Number of each member -> its wall clock less that of the replica that answered."""
        code, said = self.verb('cluster', 'status', seconds=20)
        nodes = json.loads(said)['nodes'] if code == 0 else []
        return {int(node['name'].split('/')[1]): float(node['clockAhead'][:-1])
                for node in nodes if 'clockAhead' in node}

    def rejoin(self, node, seconds=180):
        """A node that lost its disk becomes a member again, as a new one; faults may go on."""
        old, self.next_id = node.id, self.next_id + 1
        node.joins = self.status()['name'].split('/')[1]
        self.insist(['node', 'remove', old], lambda members: old not in members, seconds)
        node.id = self.next_id
        node.start()
        self.insist(['node', 'add', node.id, '--peer', node.peer_url],
                    lambda members: members.get(node.id), seconds)

    def start_gateway(self):
        words = ['gateway', '--data', self.data, '--listen', '127.0.0.1:0', '--set',
                 'ops.listen=127.0.0.1:0']
        words += self.inside if len(self.inside) > 1 else []
        for node in self.nodes:
            words += ['--shard', node.url]
        process = house.Process(*words, wrapper=self.in_town())
        process.wrapped = False
        self.gateways.append(process)
        process.target = process.wait_ready('grpc')
        return process

    def leader(self):
        """The node that says it leads in the latest term, and lives; or None."""
        if len(self.nodes) == 1:
            return self.nodes[0]
        led = [(node.term(), node) for node in self.nodes if node.alive()]
        term, node = max(led, key=lambda pair: pair[0], default=(0, None))
        return node if term else None

    def close(self):
        problems = []
        for owned in [*self.gateways, *self.nodes]:
            try:
                owned.stop() if owned in self.gateways else owned.close()
            except (AssertionError, OSError) as problem:
                problems.append(problem)
        for name in self.spaces:
            quiet('ip', 'netns', 'del', name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.data:
            shutil.rmtree(self.data, ignore_errors=True)
        self.gateways, self.nodes, self.spaces = [], [], []
        if problems:
            raise problems[0]


class People:
    """people.c in town: start(), then told() while they live, then finish()."""

    def __init__(self, city, count=300, slots=20000, rate=2000, seed=1):
        self.city = city
        self.history = os.path.join(city.folder, 'history')
        self.final = os.path.join(city.folder, 'final')
        tokens = os.path.join(city.folder, 'tokens')
        with open(tokens, 'w', encoding='utf-8') as file:
            file.write('\n'.join(house.mint(city.data, 'person', count=count, ttl='6h')) + '\n')
        words = [os.path.join(BUILD, 'people'), '--operator', city.data + '/operator.token',
                 '--tokens', tokens, '--history', self.history, '--final', self.final,
                 '--slots', slots, '--pools', max(1, slots // 20000), '--rate', rate,
                 '--seed', seed]
        for gateway in city.gateways:
            words += ['--target', gateway.target]
        self.child = subprocess.Popen(city.in_town(*words), stdin=subprocess.PIPE, text=True,
                                      stdout=subprocess.PIPE, preexec_fn=end_with_us)
        line = self.child.stdout.readline().strip()
        assert line == 'ready', f'people could not begin: {line!r}'
        os.set_blocking(self.child.stdout.fileno(), False)
        self.latest = {'acknowledged': 0, 'gap_us': 0, 'silent_us': 0, 'unknown': 0}
        self.lines, self.told_at = [], time.monotonic()

    def told(self):
        """The newest line of figures."""
        for line in iter(self.child.stdout.readline, ''):
            if line.startswith('{'):
                self.latest, self.told_at = json.loads(line), time.monotonic()
            elif line.strip():
                self.lines.append(line.strip())
        assert self.child.poll() is None, f'people ended: {self.child.returncode}'
        return self.latest

    def finish(self, seconds=1200):
        os.set_blocking(self.child.stdout.fileno(), True)
        said, _ = self.child.communicate('end\n', timeout=seconds)
        assert self.child.returncode == 0, f'people: exit {self.child.returncode}\n{said[-500:]}'

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
