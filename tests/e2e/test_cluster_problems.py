#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What `fairslot cluster problems` says of a replica that lags, repairs itself or catches up; and
that no second change of members begins meanwhile.

Each state is short on a healthy machine, so what goes to a replica passes a gate of ours that can
be narrowed and shut.  What it says itself goes past that gate."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

from house import BINARY, Process, Refused, cluster, eventually, new_id, run
import tap
from trio import MEMBERS, Trio, flip, free_ports, patient

LAG = 64
TRIO = None
STATE = {}


class Gate:
    """An address in front of another one; `rate`: bytes a second inwards, 0: none, None: any."""

    def __init__(self, to):
        self.to = ('127.0.0.1', int(to.rpartition(':')[2]))
        self.rate = None
        self.is_shut = False  # what comes is thrown away, and nobody is let in
        self.pairs = []
        self.door = socket.create_server(('127.0.0.1', free_ports(1)[0]))
        self.url = f'tcp://127.0.0.1:{self.door.getsockname()[1]}'
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                outer, _ = self.door.accept()
            except OSError:
                return
            if self.is_shut:
                outer.close()
                continue
            try:
                inner = socket.create_connection(self.to, timeout=5)
                inner.settimeout(None)
            except OSError:
                outer.close()
                continue
            self.pairs.append((outer, inner))
            for source, sink, is_inward in ((outer, inner, True), (inner, outer, False)):
                threading.Thread(target=self.pump, args=(source, sink, is_inward),
                                 daemon=True).start()

    def shut(self):
        self.is_shut = True
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs.clear()

    def pump(self, source, sink, is_inward):
        try:
            while True:
                slow = self.rate if is_inward else None
                data = source.recv(max(slow // 20, 1) if slow else 65536)
                if not data:
                    break
                while is_inward and self.rate == 0:
                    time.sleep(0.05)
                sink.sendall(data)
                if slow:
                    time.sleep(0.05)
        except OSError:
            pass
        for end in source, sink:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Gated(Trio):
    """Three replicas that reach each other through gates."""

    def __init__(self):
        super().__init__(('--set', 'shard.scrub_interval=1s', '--set', f'shard.lag_alarm={LAG}'))
        self.behind = dict(self.peers)
        self.gates = {i: Gate(self.behind[i]) for i in MEMBERS}
        self.peers = {i: self.gates[i].url for i in MEMBERS}

    def words(self, i):
        return [*super().words(i), '--peers-listen', self.behind[i]]


def before():
    global TRIO
    TRIO = Gated().start()
    TRIO.leader()
    operator = TRIO.operator()
    pool = patient(lambda: operator.make_pool('problems', max_live=16)).name
    STATE['slots'] = operator.make_slots(pool, 2000)  # a state that takes a while to send


def after():
    for gate in TRIO.gates.values():
        gate.rate = None
    TRIO.close()
    if STATE.get('fourth'):
        assert STATE['fourth'].stop() == 0, STATE['fourth'].talk[-10:]


def verb(*words, check=0):
    env = {'FAIRSLOT_TARGET': TRIO.target,
           'FAIRSLOT_TOKEN_FILE': os.path.join(TRIO.data, 'operator.token')}
    return run(*words, check=check, env=env)


def problems():
    """Of the cluster: the sentence by (kind, node).  None while nobody answers."""
    done = verb('cluster', 'problems', '-o', 'json', check=None)
    if not done.stdout:
        return None
    found = json.loads(done.stdout)['problems']
    assert all(p['text'] and p['nextStep'] for p in found), found
    assert done.returncode == (1 if found else 0), done
    return {(p['kind'], p['node']): p['text'] for p in found}


def told(kind, node):
    """Waits until it is told; the sentence."""
    text = eventually(lambda: (problems() or {}).get((kind, f'nodes/{node}')), seconds=60)
    print(f'# {kind}: {text}')
    return text


def all_well():
    eventually(lambda: problems() == {}, seconds=60)


def write(count):
    """An entry each, one after the other."""
    who = TRIO.person('ida')
    for _ in range(count // 2):
        slot, ids = STATE['slots'].pop(), (new_id(), new_id())
        hold = patient(lambda: who.hold(slot, request_id=ids[0]))
        patient(lambda: who.drop(hold.name, request_id=ids[1]))
    who.close()


def test_a_follower_lags():
    all_well()
    slow = TRIO.followers()[0]
    TRIO.shards[slow].child.send_signal(signal.SIGSTOP)
    try:
        told('NODE_DOWN', slow)
        TRIO.gates[slow].rate = 0  # so that it gets nothing when it wakes up
        write(4 * LAG)
    finally:
        TRIO.shards[slow].child.send_signal(signal.SIGCONT)
    assert 'entries behind' in told('NODE_LAGS', slow)
    assert ('NODE_DOWN', f'nodes/{slow}') not in problems()
    TRIO.gates[slow].rate = None
    all_well()
    TRIO.level()


def hand_over(to, timeout):
    """The verb at work, its words to be read when it ends."""
    return subprocess.Popen(
        [BINARY, 'shard', 'leader', '1', '--to', str(to), '--watch', '--timeout', timeout,
         '--target', TRIO.target, '--token-file', os.path.join(TRIO.data, 'operator.token')],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_hand_over_is_asked_for_again():
    all_well()
    to = follower()
    TRIO.gates[to].shut()  # it is heard, and hears nothing: no word of a hand-over reaches it
    try:
        child = hand_over(to, '3s')
        _, said = child.communicate(timeout=60)
        assert child.returncode == 4 and 'asked ' in said and 'next: ' in said, said
        child = hand_over(to, '60s')
        time.sleep(1)
    finally:
        TRIO.gates[to].is_shut = False
    _, said = child.communicate(timeout=90)
    assert child.returncode == 0, said
    print('# ' + said.strip())
    all_well()


def test_a_damaged_state_is_repaired():
    sick = TRIO.followers()[0]
    process = TRIO.shards[sick]
    TRIO.gates[sick].rate = 0
    flip(TRIO.folder(sick), 'state', b'Passports')
    assert 'is damaged' in told('REPAIR', sick)
    assert process.alive() and any('FS-3004' in line for line in process.talk)
    TRIO.gates[sick].rate = None
    eventually(lambda: any('FS-3026' in line for line in process.talk), seconds=60)
    all_well()
    TRIO.level()


def follower():
    """One of the first three; the leader may be another one, and another one soon."""
    def leader():
        done = verb('cluster', 'status', '-o', 'json', check=None)
        return done.returncode == 0 and json.loads(done.stdout)['shards'][0]['leader']
    leads = eventually(leader)
    return next(i for i in MEMBERS if f'nodes/{i}' != leads)


def change_is_refused(method, request):
    """Looks at the leader's answer: a busy machine may change it at any time."""
    def is_refused():
        try:
            method(request(follower()))
        except Refused as refusal:
            if refusal.reason in ('NODE_LEADS', 'NO_LEADER'):
                return False
            assert (refusal.code, refusal.reason) == (14, 'CHANGE_RUNNING'), refusal
            if 'node' not in refusal.meta:
                return False  # whoever leads has only just begun
            assert refusal.meta['node'] == 'nodes/4' and refusal.retry_s > 0, refusal.meta
            return True
        raise AssertionError('a second change was taken')
    eventually(is_refused)


def remove_a_follower():
    """Whichever is one by then; its number."""
    node = []

    def is_gone():
        node[:] = node or [follower()]
        said = verb('node', 'remove', str(node[0]), '--watch', '--timeout', '30s', check=None)
        assert said.returncode in (0, 3, 4), said
        if 'NODE_LEADS' in said.stderr:
            node.clear()
        return said.returncode == 0 or 'NODE_UNKNOWN' in said.stderr
    eventually(is_gone, seconds=60)
    return node[0]


def test_a_new_node_catches_up():
    """A blank disk; and while it has no vote no other node comes or goes."""
    write(4 * LAG)
    name = json.loads(verb('cluster', 'status', '-o', 'json').stdout)['name'][9:]
    door, peers, nobody = (f'tcp://127.0.0.1:{port}' for port in free_ports(3))
    gate = Gate(peers)
    gate.rate = 8000
    STATE['fourth'] = Process(
        'shard', '--data', os.path.join(TRIO.data, 'node 4'), '--listen', door, '--id', '4',
        '--join', name, '--peers-listen', peers, '--set', f'shard.peers_address={gate.url}',
        '--set', f'shard.signing_key={TRIO.key}')
    STATE['fourth'].wait_ready('shard')
    verb('node', 'add', '4', '--peer', gate.url)
    assert 'has no vote yet' in told('CATCHING_UP', 4)
    gate.rate = 0  # for as long as this takes
    assert ': 0 entries' not in told('CATCHING_UP', 4)
    operator = TRIO.operator()
    for dry in False, True:
        change_is_refused(operator.AddNode, lambda _: cluster.AddNodeRequest(
            node=5, peer_address=nobody, validate_only=dry))
        change_is_refused(operator.RemoveNode, lambda node: cluster.RemoveNodeRequest(
            name=f'nodes/{node}', validate_only=dry))
    eventually(lambda: 'CHANGE_RUNNING' in verb(  # it asks again for a while
        'node', 'add', '5', '--peer', nobody, check=4).stderr)
    verb('node', 'add', '4', '--peer', gate.url)  # asked again: the same change
    gate.rate = None
    eventually(lambda: ('TWO_VOTERS', '') in (problems() or {}), seconds=60)  # four of them
    verb('node', 'add', '5', '--peer', nobody)  # it never comes
    verb('node', 'remove', '5', '--watch', '--timeout', '30s')  # and is given up
    TRIO.shards[remove_a_follower()].kill()
    all_well()


if __name__ == '__main__':
    tap.run(globals(), before, after)
