#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: nothing that was acknowledged is lost while nodes are killed, stopped, cut off, slowed
down, filled up and lied to.  A short run of run.py, which has the long one:
    tests/nemesis/run.py --faults 200 --minutes 20 --keep

FAIRSLOT_SEED=N repeats a schedule.
"""
import copy
import os
import random
import shutil
import sys
import tempfile
import unittest.mock
from xml.etree import ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import run  # noqa: E402
import campaign as hunt  # noqa: E402
import demands  # noqa: E402
import faults  # noqa: E402
import tap  # noqa: E402

SEED = os.environ.get('FAIRSLOT_SEED', str(random.SystemRandom().randrange(1 << 32)))


def campaign(nodes, count, *more):
    """What happened; its report is drawn as a whole.  A run that failed is kept."""
    folder = tempfile.mkdtemp(prefix='fairslot-nemesis-kept-')
    tale = held(nodes, count, '--keep', folder, *more)
    with open(os.path.join(folder, 'report.html'), encoding='utf-8') as file:
        page = file.read()
    picture = ElementTree.parse(os.path.join(folder, 'run.svg'))
    blocks = picture.findall('.//{http://www.w3.org/2000/svg}rect[@class="fault"]')
    assert len(blocks) >= len(tale['strikes']), f'{len(blocks)} drawn'
    assert '>passed<' in page and page.rstrip().endswith('</html>')
    shutil.rmtree(folder)
    return tale


def held(nodes, count, *more):
    options = run.parse(['--nodes', str(nodes), '--faults', str(count), '--minutes', '0', '--mib',
                         '700', '--rate', '1000', '--people', '120', '--slots', '16000',
                         '--acknowledged', '3000', '--seed', SEED, *more])
    tale, verdict, said = run.campaign(options)
    print(''.join(f'# {line}\n' for line in [f'seed {SEED}', *said.splitlines()]), end='')
    short = demands.shortcomings(demands.all_of(options, tale, verdict))
    assert not short, short
    return tale


def enough():
    """What 200 faults in 20 minutes should bring, and no more."""
    kinds = [kind for kind in faults.KINDS for _ in range(25)]
    strikes = [{'kind': kind, 'bit': True, 'leader': number < 60, 'heal_us': 1200 * 10**6}
               for number, kind in enumerate(kinds)]
    plants = [{'name': f'plant {number}', 'caught': True} for number in range(18)]
    plants += [{'name': loss, 'caught': True} for loss in demands.LOSSES]
    laws = ('I1 two holders', 'I2 lost', 'I3 real time', 'I4 entitlement', 'I5 ended', 'I6 once',
            'I9 stale read')
    tale = {'strikes': strikes, 'began_us': 0, 'sick': [], 'scrubs': 0}
    verdict = {'acknowledged': 1000000, 'present': 1000000, 'wrong': dict.fromkeys(laws, 0),
               'gaps': [{'from_us': 0, 'to_us': 700000}], 'plants': plants,
               'together': {'told': 3, 'missing': 3}}
    return tale, verdict


def test_a_campaign_is_held_to_what_it_is_for():
    """Each thing that a long run may lack is said, by its name, and nothing else."""
    options = run.parse(['--seed', '1'])

    def lacks(change):
        tale, verdict = copy.deepcopy(enough())
        change(tale, verdict)
        return [one.what.removeprefix('... ')
                for one in demands.all_of(options, tale, verdict) if not one.met]

    def unbite(tale, kind, left):
        for strike in [one for one in tale['strikes'] if one['kind'] == kind][left:]:
            tale['strikes'].remove(strike)
            tale['strikes'].append({**tale['strikes'][-1], 'leader': strike['leader']})

    assert lacks(lambda tale, verdict: None) == []
    for kind in faults.KINDS[:-1]:
        assert lacks(lambda tale, verdict: unbite(tale, kind, 9)) == [kind]
    assert lacks(lambda tale, verdict: tale['strikes'][70].update(bit=False)) == [
        'faults that have bitten']
    assert 'that hit the leader' in lacks(lambda tale, verdict: tale['strikes'][3].update(
        leader=False))
    assert lacks(lambda tale, verdict: tale['strikes'][9].update(heal_us=1220 * 10**6)) == [
        'all of them within']
    assert lacks(lambda tale, verdict: verdict.update(acknowledged=999999, present=999999)) == [
        'acknowledged mutations']
    assert lacks(lambda tale, verdict: verdict.update(present=999999)) == [
        'of them there in the end']
    assert lacks(lambda tale, verdict: verdict.update(gaps=[])) == ['longest write gap']
    for law in enough()[1]['wrong']:
        assert len(lacks(lambda tale, verdict: verdict['wrong'].update({law: 1}))) == 1, law
    for loss in demands.LOSSES:
        def miss(tale, verdict):
            next(one for one in verdict['plants'] if one['name'] == loss)['caught'] = False
        assert lacks(miss) == [f'planted: {loss}', 'all that is planted, one by one']
    assert lacks(lambda tale, verdict: verdict['together'].update(told=2)) == [
        'the three planted at once']
    assert len(lacks(lambda tale, verdict: tale['sick'].append('CHECK'))) == 1
    assert lacks(lambda tale, verdict: tale.update(scrubs=1)) == ['nodes: scrubs before their day']
    tale, _ = enough()
    assert not demands.all_of(options, tale, None)[-1].met


class Stage:
    """A city and people of words alone: faults that bite or do not, at no cost."""

    def __init__(self, nodes):
        self.nodes, self.is_wounded, self.told_at = [self] * 0, False, 0.0
        self.nodes = [unittest.mock.Mock(number=number) for number in range(nodes)]

    def leader(self):
        return self.nodes[0]

    def told(self):
        self.told_at = hunt.time.monotonic()
        return {'acknowledged': 1, 'silent_us': 0}


def test_a_fault_that_does_not_bite_does_not_count():
    """It is told, and its kind comes again, until enough of each have bitten."""
    bites = {'stop': iter([False, False] + [True] * 100)}
    made = []

    def play(kind):
        def fault(node, dice):
            made.append(kind)
            yield kind, 0.0
            return faults.Proof(next(bites.get(kind, iter([True]))), 'as the script says')
        return fault

    nemesis = hunt.Nemesis(*[Stage(3)] * 2, 1)
    real = {kind: getattr(faults, kind) for kind in faults.KINDS}
    breath, hunt.BREATH_SECONDS = hunt.BREATH_SECONDS, 0
    try:
        for kind in faults.KINDS:
            setattr(faults, kind, play(kind))
        nemesis.run(list(faults.KINDS), 24, 0, least_leader=8)
    finally:
        hunt.BREATH_SECONDS = breath
        for kind, fault in real.items():
            setattr(faults, kind, fault)
    assert len(made) == 26 and made.count('stop') == 5, made
    assert nemesis.count == dict.fromkeys(faults.KINDS, 3), nemesis.count
    assert len([one for one in nemesis.strikes if not one.record()['bit']]) == 2
    assert nemesis.leader_hits >= 8, nemesis.leader_hits


def test_a_node_that_ends_by_itself_is_told():
    stage = Stage(3)
    stage.nodes[1].alive.return_value = False
    stage.nodes[1].talk_of_end.return_value = 'its last words'
    try:
        hunt.Nemesis(stage, stage, 1).pick(False)
    except AssertionError as problem:
        assert str(problem) == 'node 1 ended by itself: its last words', problem
    else:
        raise AssertionError('it was struck as if it lived')


def test_one_node():
    """It is away while it is hit; what it acknowledged stays."""
    campaign(1, 4, '--gateways', '1')


def test_three_nodes():
    """They go on while one of them is hit, the leader among them."""
    tale = campaign(3, 8)
    kinds = {strike['kind'] for strike in tale['strikes']}
    assert kinds == set(faults.KINDS) - set(tale['without']), kinds


if __name__ == '__main__':
    tap.run(globals())
