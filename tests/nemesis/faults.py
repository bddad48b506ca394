# SPDX-License-Identifier: MIT
"""Eight kinds of fault, each with its end and its proof.  A fault is a generator: what stands
before its yield makes it, what stands behind looks whether it has bitten and heals it; the runner
waits between the two, and heals in any case.  It ends with a Proof.

kind   what is done                                       what proves that it has bitten
kill   SIGKILL, started again after a while               the process ended by signal 9
stop   SIGSTOP, SIGCONT                                   the kernel says T, and no time on a core
cut    iptables drops what comes, what goes, both, or     packets that the rules dropped
       only what goes between nodes
slow   NFQUEUE: every packet late by a time of its own,   packets that were late or lost
       some lost
full   its disk has no byte left, or less than reserved   it ended for want of room, or its own
                                                          figure of free bytes is below its reserve
eio    strace: every sync fails with EIO                  it ended with an error behind such a sync
clock  libfaketime: its wall clock is an hour or some     the others see its clock apart by that
       seconds off, either way
blank  it comes back with an empty disk under its old id  it was sent away, naming the other disk

Two more are what operators do, and come only when they are asked for (--also):
roll   drained, ended by SIGTERM, started again           it ended with 0
swap   removed while it runs, and another one added        the members, before and after
"""
import collections
import errno
import os
import shutil
import signal
import subprocess
import time

from city import BUILD, FAKETIME, MIB, end_with_us
import house

KINDS = ('kill', 'stop', 'cut', 'slow', 'full', 'eio', 'clock', 'blank')
ALSO = ('roll', 'swap')
DISKLESS = ('blank', 'swap')  # one node at a time
RESERVE = 256 * MIB  # shard.disk_reserve

Proof = collections.namedtuple('Proof', 'has_bitten words')


def kill(node, dice):
    node.signal(signal.SIGKILL)
    code = node.process.child.wait()
    yield 'kill', dice.uniform(0.2, 2.5)
    node.revive()
    return Proof(code == -signal.SIGKILL, f'ended by signal {-code}')


def stop(node, dice):
    node.signal(signal.SIGSTOP)
    time.sleep(0.02)  # each of its threads has left its core
    before = node.task_state()
    yield 'stop', dice.choice((0.3, 1.5, 4.0))
    after = node.task_state()
    node.signal(signal.SIGCONT)
    return Proof(before == after and after[0] == 'T',
                 f'state {after[0]}, {after[1] - before[1]} ticks of a core')


def cut(node, dice):
    ways = ['in', 'out', 'both'] + (['peers'] if len(node.city.nodes) > 1 else [])
    way = dice.choice(ways)
    others = [other.address for other in node.city.nodes if other is not node]
    if way in ('in', 'both'):
        node.iptables('-A', 'INPUT', '!', '-i', 'lo', '-j', 'DROP')
    if way in ('out', 'both'):
        node.iptables('-A', 'OUTPUT', '!', '-o', 'lo', '-j', 'DROP')
    for other in others if way == 'peers' else ():
        node.iptables('-A', 'INPUT', '-s', other, '-j', 'DROP')
        node.iptables('-A', 'OUTPUT', '-d', other, '-j', 'DROP')
    yield f'cut {way}', dice.uniform(0.5, 4.0)
    dropped = node.dropped()
    node.mend_network()
    return Proof(dropped > 0, f'{dropped} packets dropped')


def slow(node, dice):
    late, loss = dice.choice((2, 10, 40)), dice.choice((0, 10, 50))
    words = [os.path.join(BUILD, 'slow'), '0', late * 1000, late * 1000, loss,
             dice.randrange(1 << 30)]
    helper = subprocess.Popen(['ip', 'netns', 'exec', node.net, *map(str, words)], text=True,
                              stdout=subprocess.PIPE, preexec_fn=end_with_us)
    try:
        assert helper.stdout.readline() == 'ready\n', 'NFQUEUE does not work here'
        node.iptables('-A', 'OUTPUT', '!', '-o', 'lo', '-j', 'NFQUEUE', '--queue-num', '0',
                      '--queue-bypass')
        yield f'slow {late}-{2 * late} ms, {loss / 10:.0f} % lost', dice.uniform(1.0, 4.0)
    finally:
        node.mend_network()
        helper.terminate()
        said = helper.communicate()[0].split()
    seen, lost = (int(said[1]), int(said[3])) if said else (0, 0)
    return Proof(seen > lost or lost > 0, f'{seen} packets, {lost} of them lost')


def free_bytes(node):
    """That its disk has, as it says; None: it has ended, or does not say."""
    for _ in range(3):
        figures = node.metrics() if node.alive() else {}
        if figures:
            return figures.get('shard_storage_free_bytes')
    return None


def full(node, dice):
    left = dice.choice((0, 0, 100 * MIB))
    node.disk.fill(left)
    yield f'full, {left // MIB} MiB left', dice.uniform(1.5, 4.0)
    sees = free_bytes(node)
    node.disk.relieve()
    until = time.monotonic() + 10
    while sees is None and node.alive() and time.monotonic() < until:
        time.sleep(0.02)  # it says nothing any more: it is about to end
    code = node.revive()
    assert code in (None, 1, 3, 4, -6), f'a full disk ended it with {code}'
    if code is not None:
        words = '\n'.join(node.talk[-40:])  # EIO: what LMDB makes of a write that came short
        why = next((name for name in ('ENOSPC', 'EIO')
                    if os.strerror(getattr(errno, name)) in words), None)
        return Proof(why is not None, f'ended by it: {why}, exit {code}')
    if sees is None:
        return Proof(False, 'it lives, and does not say how much is free')
    return Proof(sees < RESERVE, f'it sees {sees / MIB:.0f} MiB free')


# The log's tail is written and made durable by one call.
DURABLE = 'fsync,fdatasync,msync,pwrite64'


def eio(node, dice):
    notes = os.path.join(node.city.folder, f'n{node.number}.strace')
    tracer = subprocess.Popen(
        ['strace', '-f', '-qq', '-o', notes, '-p', str(node.process.pid), '-e',
         f'trace={DURABLE}', '-e', f'inject={DURABLE}:error=EIO:when=1+'],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=end_with_us)
    until = time.monotonic() + 15
    while node.alive() and time.monotonic() < until:
        time.sleep(0.02)
    ended = not node.alive()
    tracer.terminate()
    tracer.communicate()
    if not ended:  # nothing was to be written: nothing has failed
        yield 'eio', 0.0
        return Proof(False, 'no sync in 15 s')
    with open(notes, encoding='ascii', errors='replace') as file:
        failed = file.read().count('(INJECTED)')
    yield 'eio', dice.uniform(0.1, 1.0)
    code = node.revive()
    assert code not in (0, None), f'exit {code} after a failed sync'
    return Proof(failed > 0, f'{failed} syncs failed, then exit {code}')


def apart(node):
    """Seconds that the others see its wall clock apart from theirs; None: they do not say."""
    clocks = node.city.clocks()
    own = clocks.pop(node.id, None)
    return own - sorted(clocks.values())[len(clocks) // 2] if clocks and own is not None else None


def clock(node, dice):
    off = dice.choice((3600, -3600, 20, -20))
    node.set_clock(off)
    yield f'clock {off:+d} s', dice.uniform(2.0, 4.0)
    sees, until = None, time.monotonic() + 6
    while time.monotonic() < until and (sees is None or abs(sees - off) > 2):
        sees = apart(node)
    node.set_clock(0)
    time.sleep(1.1)  # libfaketime looks once a second
    return Proof(sees is not None and abs(sees - off) <= 2,
                 'its clock was not seen' if sees is None else f'{sees:+.1f} s to the others')


def blank(node, dice):
    """The others must not take it back as the one it was.  Then its disk is found again, or it is
    removed and comes as a new member."""
    found = node.city.is_wounded or dice.random() < 0.6
    node.signal(signal.SIGKILL)
    node.process.child.wait()
    node.put_away()
    lost = node.data + '.lost'
    os.rename(node.data, lost)
    node.start(wait=False)
    yield f'blank, {"found again" if found else "lost for good"}', dice.uniform(0.2, 1.0)
    code = node.process.wait(seconds=60)
    said = ' '.join(node.process.talk)
    assert code != 0 and 'another disk' in said, f'a blank disk under an old id: {code} {said}'
    node.put_away()
    shutil.rmtree(node.data)
    if found:
        os.rename(lost, node.data)
        node.start()
        return Proof(True, f'sent away, exit {code}')
    shutil.rmtree(lost)
    node.city.rejoin(node)
    return Proof(True, f'sent away, exit {code}; came back as node {node.id}')


def drain(node, seconds=20):
    """It leads no more, if the others let it: it is ended in any case."""
    until = time.monotonic() + seconds
    while node.city.leader() is node and time.monotonic() < until:
        node.city.verb('node', 'drain', node.id)
        time.sleep(0.2)


def roll(node, dice):
    drain(node)
    node.signal(signal.SIGTERM)
    code = node.process.wait(seconds=60)
    yield 'rolling restart', dice.uniform(0.0, 0.3)
    node.revive()
    return Proof(code == 0, f'exit {code}')


def swap(node, dice):
    old = node.id
    yield 'member replaced', 0.0
    drain(node)
    node.city.insist(['node', 'remove', old], lambda members: old not in members, seconds=180)
    time.sleep(dice.uniform(0.0, 2.0))  # it runs on, as a stranger
    node.signal(signal.SIGTERM)
    code = node.process.wait(seconds=60)
    node.put_away()
    shutil.rmtree(node.data)
    node.city.rejoin(node)
    return Proof(True, f'node {old} removed, exit {code}; node {node.id} added')


def known(city):
    """The kinds that can be tried here; (kinds, {kind: why not})."""
    without = {}
    if not FAKETIME:
        without['clock'] = 'libfaketime is not installed'
    if not shutil.which('strace'):
        without['eio'] = 'strace is not installed'
    if not os.path.exists(os.path.join(BUILD, 'slow')):
        without['slow'] = 'libnetfilter-queue-dev is not installed'
    if house.SANITIZED:
        without['eio'] = 'leak checks and strace exclude each other'
        without['clock'] = 'sanitizers and libfaketime exclude each other'
    if len(city.nodes) == 1:
        without['blank'] = 'a single node without its disk is no cluster any more'
        without['clock'] = 'nobody else sees the clock of a single node'
    return [kind for kind in KINDS if kind not in without], without
