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


def campaign(nodes, count, *more):
    options = run.parse(['--nodes', str(nodes), '--faults', str(count), '--minutes', '0', '--mib',
                         '700', '--rate', '1000', '--people', '120', '--slots', '16000',
                         '--acknowledged', '3000', '--seed', SEED, *more])
    short, said, nemesis = run.campaign(options)
    print(''.join(f'# {line}\n' for line in [f'seed {SEED}', *said.splitlines()]), end='')
    assert not short, short
    assert sum(nemesis.count.values()) == count, nemesis.count
    assert 'wrong 0' in said and 'planted 11, caught 11' in said
    return nemesis


def test_a_campaign_is_held_to_what_it_is_for():
    """Each thing that a long run may lack is said, and nothing else."""
    options = run.parse(['--seed', '1'])
    said = ('acknowledged 1000000, present 1000000, refused 5\n'
            + ''.join(f'planted: {loss:40} caught (I2 lost)\n' for loss in run.LOSSES))
    enough = {kind: 10 for kind in run.faults.KINDS}

    def lacks(said=said, count=enough, hits=60):
        return run.shortcomings(options, said, count, hits)

    assert not lacks(), lacks()
    for kind in enough:
        assert f'10 times: {kind} 9' in lacks(count={**enough, kind: 9})[0]
    assert 'hit 60 times: 59' in lacks(hits=59)[0]
    assert '1000000 acknowledged' in lacks(said.replace('1000000', '999999'))[0]
    assert 'not there' in lacks(said.replace('present 1000000', 'present 999999'))[0]
    for loss in run.LOSSES:
        missed = said.replace(f'{loss:40} caught', f'{loss:40} NOT CAUGHT')
        assert lacks(missed) == [f'planted and not caught: {loss}'], lacks(missed)
    assert len(lacks('')) == 1 + len(run.LOSSES)


def test_one_node():
    """It is away while it is hit; what it acknowledged stays."""
    campaign(1, 4, '--gateways', '1')


def test_three_nodes():
    """They go on while one of them is hit, the leader among them."""
    nemesis = campaign(3, 8)
    assert nemesis.leader_hits >= 2, nemesis.leader_hits
    if not nemesis.without:
        assert len(nemesis.count) == 8, nemesis.count


if __name__ == '__main__':
    tap.run(globals())
