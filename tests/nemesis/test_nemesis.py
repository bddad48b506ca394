#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: nothing that was acknowledged is lost while nodes are killed, stopped, cut off, slowed
down, filled up and lied to.  A short run of run.py, which has the long one:
    tests/nemesis/run.py --faults 200 --minutes 20

FAIRSLOT_SEED=N repeats a schedule.
"""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import run  # noqa: E402
import tap  # noqa: E402

SEED = os.environ.get('FAIRSLOT_SEED', str(random.SystemRandom().randrange(1 << 32)))


def test_one_node():
    """It is away while it is hit; what it acknowledged stays."""
    options = run.parse(['--nodes', '1', '--gateways', '1', '--faults', '7', '--minutes', '0',
                         '--acknowledged', '5000', '--mib', '700', '--slots', '40000', '--rate',
                         '1200', '--people', '200', '--seed', SEED])
    short, said, nemesis = run.campaign(options)
    print(''.join(f'# {line}\n' for line in [f'seed {SEED}', *said.splitlines()]), end='')
    assert not short, short
    assert sum(nemesis.count.values()) == 7 and len(nemesis.count) >= 5, nemesis.count
    assert 'wrong 0' in said and 'planted 11, caught 11' in said


if __name__ == '__main__':
    tap.run(globals())
