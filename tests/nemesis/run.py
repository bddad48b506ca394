#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A flood, and a nemesis beside it: faults of eight kinds in real processes, then the checker.

usage: run.py [--nodes N] [--faults N] [--minutes M] [--acknowledged N] [--seed N] [--rate N]
              [--people N] [--kinds A,B] [--log-keep N] [--patience S] [--keep]
  --nodes 3          replicas
  --faults 200       how many, one after the other, each healed before the next
  --minutes 20       how long the people live at least; faults are spread over it
  --acknowledged N   mutations that there must be (1000000)
  --patience S       how long it goes on for them when the minutes are over (660)
  --seed N           repeats a schedule (its moments depend on the machine)
  --log-keep N       entries that a lagging node may miss before it needs a snapshot (1000)
  --keep             keeps history, final state and the nodes' words
Prints each fault, then what the checker says, the longest write gaps with the faults they touch,
and `nemesis: passed` or what fell short.  Exit 0 or 1.  A campaign is held to what it is for: of
200 faults each of the eight kinds 10 times and the leader hit 60 times (in proportion for others),
so many acknowledged mutations, each of them there, and the three losses (hold, confirm, cancel)
that were planted in the history caught in the same run.
"""
import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import city as town  # noqa: E402
import faults  # noqa: E402
import house  # noqa: E402

LEADER_SHARE = 0.45
CALM_SECONDS = 30  # writes must flow again so soon after a fault


def schedule(kinds, count, dice):
    """Every kind as often as any other, in a mixed order; whether the leader is meant."""
    listed = [kinds[number % len(kinds)] for number in range(count)]
    leaders = [number < count * LEADER_SHARE for number in range(count)]
    dice.shuffle(listed)
    dice.shuffle(leaders)
    return list(zip(listed, leaders))


class Nemesis:
    def __init__(self, city, people, seed):
        self.city, self.people, self.dice = city, people, random.Random(seed)
        self.times, self.count, self.leader_hits = [], collections.Counter(), 0
        self.took = 0.0
        self.began = time.monotonic()

    def pick(self, wants_leader):
        """(node, is it the leader?)"""
        until = time.monotonic() + 10
        leader = self.city.leader()
        while wants_leader and leader is None and time.monotonic() < until:
            self.wait(0.05)
            leader = self.city.leader()
        others = [node for node in self.city.nodes if node is not leader]
        if leader and (wants_leader or not others):
            return leader, True
        return self.dice.choice(others), False

    def strike(self, kind, wants_leader):
        node, is_leader = self.pick(wants_leader)
        fault = getattr(faults, kind)(node, self.dice)
        begin = time.monotonic_ns() // 1000
        try:
            name, seconds = next(fault)
            self.wait(seconds)
        finally:
            for _ in fault:  # heals
                pass
        end = time.monotonic_ns() // 1000
        what = f'{name} at {"leader" if is_leader else "node"} {node.number}'
        self.times.append((begin, end + 1000000, what))
        self.count[kind] += 1
        self.leader_hits += is_leader
        calm = self.calm()
        figures = self.people.told()
        print(f'# {time.monotonic() - self.began:6.1f} s {what:40} {(end - begin) / 1e6:5.1f} s, '
              f'writes again after {calm:.1f} s, {figures["acknowledged"]} acknowledged',
              flush=True)

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.people.told()
            time.sleep(0.05)

    def calm(self):
        """Seconds until writes flow."""
        began = time.monotonic()
        last = self.people.told()['acknowledged']
        while time.monotonic() < began + CALM_SECONDS:
            now = self.people.told()
            if now['acknowledged'] > last and now['silent_us'] < 300000:
                return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(f'no writes for {CALM_SECONDS} s: {self.words()}')

    def words(self):
        return {node.number: node.process.talk[-8:] for node in self.city.nodes}

    def run(self, kinds, count, minutes, acknowledged, patience):
        plan = schedule(kinds, count, self.dice)
        step = minutes * 60 / max(1, len(plan))
        for number, (kind, wants_leader) in enumerate(plan):
            self.strike(kind, wants_leader)
            self.wait(max(0.0, self.began + (number + 1) * step - time.monotonic()))
        self.took = time.monotonic() - self.began
        limit = time.monotonic() + patience
        while self.people.told()['acknowledged'] < acknowledged and time.monotonic() < limit:
            time.sleep(0.2)


def judge(people, times, folder):
    """What the checker says; its exit code."""
    path = os.path.join(folder, 'times')
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(f'{begin} {end} {what}\n' for begin, end, what in times)
    done = subprocess.run([os.path.join(town.BUILD, 'check'), people.history, people.final, path],
                          capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def campaign(options):
    """The whole of it; (what fell short, the checker's words, the nemesis)."""
    began = time.monotonic()
    city = town.City(nodes=options.nodes, gateways=options.gateways, mib=options.mib,
                     shard_options=['--set', f'shard.log_keep={options.log_keep}'])
    people = None
    try:
        city.start()
        kinds, without = faults.known(city)
        if options.kinds:
            kinds = [kind for kind in kinds if kind in options.kinds.split(',')]
        for kind, why in without.items():
            print(f'# without {kind}: {why}')
        people = town.People(city, count=options.people, slots=options.slots, rate=options.rate,
                             seed=options.seed)
        nemesis = Nemesis(city, people, options.seed)
        nemesis.without = without
        nemesis.run(kinds, options.faults, options.minutes, options.acknowledged,
                    options.patience)
        lived = time.monotonic()
        people.finish()
        code, said = judge(people, nemesis.times, city.folder)
        print(f'# began after {nemesis.began - began:.0f} s, faults took '
              f'{lived - nemesis.began:.0f} s, the end and the checker '
              f'{time.monotonic() - lived:.0f} s')
        short = [] if code == 0 else ['the checker is not content']
        for node in city.nodes:
            sick = [line for line in node.talk + node.process.talk
                    if any(word in line for word in (*house.SICK, 'STATE_DIFFERS'))]
            short += [f'node {node.number}: {line}' for line in sick[:3]]
        if options.keep or short:
            keep(city, people)
        return short, said, nemesis
    except BaseException:
        if people:
            keep(city, people)
        raise
    finally:
        if people:
            people.close()
        city.close()


def keep(city, people):
    folder = tempfile.mkdtemp(prefix='fairslot-nemesis-kept-')
    for path in (people.history, people.final, os.path.join(city.folder, 'times')):
        if os.path.exists(path):
            shutil.copy(path, folder)
    for node in city.nodes:
        with open(os.path.join(folder, f'n{node.number}.log'), 'w', encoding='utf-8') as file:
            file.write('\n'.join(node.talk + (node.process.talk if node.process else [])))
    for number, gateway in enumerate(city.gateways):
        with open(os.path.join(folder, f'gateway{number}.log'), 'w', encoding='utf-8') as file:
            file.write('\n'.join(gateway.talk))
    print(f'# kept in {folder}')


LOSSES = ('an acknowledged hold is lost', 'an acknowledged confirm vanished',
          'an acknowledged cancel vanished')


def shortcomings(options, said, count, leader_hits):
    """What a campaign lacks of what it is for; a list of words."""
    short = []
    least = options.faults // 20
    rare = [f'{kind} {count[kind]}' for kind in faults.KINDS if count[kind] < least]
    if rare:
        short.append(f'each kind of fault was wanted {least} times: {", ".join(rare)}')
    if leader_hits < options.faults * 3 // 10:
        short.append(f'the leader was to be hit {options.faults * 3 // 10} times: {leader_hits}')
    if figure(said, 'acknowledged') < options.acknowledged:
        short.append(f'{options.acknowledged} acknowledged mutations were wanted: '
                     f'{figure(said, "acknowledged")}')
    if figure(said, 'present') != figure(said, 'acknowledged'):
        short.append('acknowledged and not there')
    for loss in LOSSES:
        caught = [line for line in said.splitlines() if loss in line and ' caught (' in line]
        if len(caught) != 1 or 'NOT' in caught[0]:
            short.append(f'planted and not caught: {loss}')
    return short


def sum_up(said, nemesis):
    gaps = [line.split(':', 1)[1].strip() for line in said.splitlines() if 'write gap:' in line]
    print(f'longest write gap: {gaps[0] if gaps else "none"}')
    print('planted losses caught: ' + ', '.join(
        loss for loss in LOSSES
        if any(loss in line and ' caught (' in line for line in said.splitlines())))
    print(f'{sum(nemesis.count.values())} faults in {nemesis.took / 60:.1f} minutes: '
          + ', '.join(f'{kind} {nemesis.count[kind]}' for kind in faults.KINDS)
          + f'; the leader hit {nemesis.leader_hits} times')


def figure(said, name):
    """The number behind a word of the checker's summary."""
    words = said.replace(',', ' ').split()
    return int(words[words.index(name) + 1]) if name in words else 0


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (('nodes', 3), ('gateways', 2), ('faults', 200),
                          ('acknowledged', 1000000), ('seed', random.randrange(1 << 32)),
                          ('rate', 3000), ('people', 600), ('slots', 700000), ('mib', 3000),
                          ('log-keep', 1000), ('patience', 660)):
        parser.add_argument('--' + name, type=int, default=default)
    parser.add_argument('--minutes', type=float, default=20)
    parser.add_argument('--kinds', default='')
    parser.add_argument('--keep', action='store_true')
    return parser.parse_args(words)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is taken down
    options = parse(sys.argv[1:])
    print(f'# seed {options.seed}')
    short, said, nemesis = campaign(options)
    print(said)
    sum_up(said, nemesis)
    short += shortcomings(options, said, nemesis.count, nemesis.leader_hits)
    print('nemesis: ' + ('; '.join(short) if short else 'passed'))
    return 1 if short else 0


if __name__ == '__main__':
    sys.exit(main())
