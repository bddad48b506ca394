# SPDX-License-Identifier: MIT
"""Eight kinds of fault, each with its end.  A fault is a generator: what stands before its yield
makes it, what stands behind heals it; the runner waits between the two, and heals in any case.

kill   SIGKILL, started again after a while
stop   SIGSTOP, SIGCONT
cut    iptables drops what comes, what goes, both, or only what goes between nodes
slow   NFQUEUE: every packet late by a time of its own, some lost
full   its disk has no byte left, or less than the reserve
eio    strace: every sync fails with EIO; the process has to end, and is started again
clock  libfaketime: its wall clock is an hour off, either way, or some seconds
blank  it comes back with an empty disk under its old id, and has to be sent away
"""
import os
import shutil
import signal
import subprocess
import time

import house
from city import BUILD, FAKETIME, MIB, end_with_us

KINDS = ('kill', 'stop', 'cut', 'slow', 'full', 'eio', 'clock', 'blank')


def kill(node, dice):
    node.signal(signal.SIGKILL)
    node.process.child.wait()
    yield 'kill', dice.uniform(0.2, 2.5)
    node.revive()


def stop(node, dice):
    node.signal(signal.SIGSTOP)
    yield 'stop', dice.choice((0.3, 1.5, 4.0))
    node.signal(signal.SIGCONT)


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
    node.mend_network()


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
        helper.wait()
        helper.stdout.close()


def full(node, dice):
    left = dice.choice((0, 0, 100 * MIB))
    node.disk.fill(left)
    yield f'full, {left // MIB} MiB left', dice.uniform(1.5, 4.0)
    node.disk.relieve()
    code = node.revive()
    assert code in (None, 1, 3, 4, -6), f'a full disk ended it with {code}'


def eio(node, dice):
    tracer = subprocess.Popen(
        ['strace', '-f', '-qq', '-o', '/dev/null', '-p', str(node.process.pid), '-e',
         'trace=fsync,fdatasync,msync', '-e', 'inject=fsync,fdatasync,msync:error=EIO:when=1+'],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=end_with_us)
    until = time.monotonic() + 15
    while node.alive() and time.monotonic() < until:
        time.sleep(0.02)
    ended = not node.alive()
    tracer.terminate()
    said = tracer.communicate()[1].decode()
    assert ended, f'no sync failed it in 15 s: {said}'
    yield 'eio', dice.uniform(0.1, 1.0)
    code = node.revive()
    assert code not in (0, None), f'exit {code} after a failed sync'


def clock(node, dice):
    off = dice.choice((3600, -3600, 20, -20))
    node.set_clock(off)
    yield f'clock {off:+d} s', dice.uniform(2.0, 4.0)
    node.set_clock(0)
    time.sleep(1.1)  # libfaketime looks once a second


def blank(node, dice):
    """The others must not take it back as the one it was.  Then its disk is found again, or it is
    removed and comes as a new member."""
    found = dice.random() < 0.6
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
    else:
        shutil.rmtree(lost)
        node.city.rejoin(node)


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
    return [kind for kind in KINDS if kind not in without], without
