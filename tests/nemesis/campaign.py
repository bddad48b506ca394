# SPDX-License-Identifier: MIT
"""The nemesis: faults at even steps, each begun at its time whether or not the one before has
healed, on nodes that are whole; and a watch that writes flow whenever a majority is whole.

Made here: what is hit, when, and what came of it (Strike).  A fault that did not bite is told, is
not counted, and its kind comes again later.  No two nodes are without their disk at a time: that
would lose what was acknowledged, and no replicated log could help it.
"""
import collections
import random
import threading
import time

from city import now_us
import faults

LEADER_SHARE = 0.45
CALM_SECONDS = 30   # writes must flow again so soon when a majority is whole
HEAL_SECONDS = 240  # a recovery that takes longer is a finding
BREATH_SECONDS = 1.0
SPARE = 0.04        # of the steps: for faults that have to be tried again


class Strike:
    """One fault: when, what, at whom, and what shows it."""

    def __init__(self, kind, node, is_leader):
        self.kind, self.node, self.is_leader = kind, node, is_leader
        self.name, self.proof, self.problem, self.thread = kind, None, None, None
        self.begin_us = now_us()
        self.heal_us = self.end_us = 0  # healing began; the node runs again as it should

    def line(self):
        what = f'{self.name} at {"leader" if self.is_leader else "node"} {self.node.number}'
        words = self.proof.words if self.proof else 'nothing'
        return (f'{what:42} {(self.heal_us - self.begin_us) / 1e6:4.1f} s, healed in '
                f'{(self.end_us - self.heal_us) / 1e6:4.1f} s: '
                f'{words if self.proof and self.proof.has_bitten else "NO BITE, " + words}')

    def record(self):
        return {'kind': self.kind, 'name': self.name, 'node': self.node.number,
                'leader': self.is_leader, 'begin_us': self.begin_us, 'heal_us': self.heal_us,
                'end_us': self.end_us, 'bit': bool(self.proof and self.proof.has_bitten),
                'proof': self.proof.words if self.proof else ''}


def schedule(kinds, count, dice):
    """Every kind as often as any other, in a mixed order; whether the leader is meant."""
    listed = [kinds[number % len(kinds)] for number in range(count)]
    leaders = [number < count * LEADER_SHARE for number in range(count)]
    dice.shuffle(listed)
    dice.shuffle(leaders)
    return list(zip(listed, leaders))


class Nemesis:
    def __init__(self, city, people, seed, is_alone=False):
        self.city, self.people, self.dice = city, people, random.Random(seed)
        self.is_alone = is_alone  # each fault waits until the one before has healed
        self.strikes, self.open = [], []
        self.count, self.leader_hits, self.took, self.in_time = collections.Counter(), 0, 0.0, 0
        self.began, self.began_us = time.monotonic(), now_us()
        self.whole_since = self.began

    # -- the watch ---------------------------------------------------------------------------------

    def hurt(self):
        return [strike.node for strike in self.open]

    def watch(self):
        """Takes in what has healed; fails when nothing is written though it could be."""
        for strike in [one for one in self.open if one.thread and not one.thread.is_alive()]:
            self.take_in(strike)
        self.city.is_wounded = bool(self.open)
        now = time.monotonic()
        if 2 * (len(self.city.nodes) - len(self.open)) <= len(self.city.nodes):
            self.whole_since = now
        silent = self.people.told()['silent_us'] / 1e6 + now - self.people.told_at
        if min(silent, now - self.whole_since) > CALM_SECONDS:
            raise AssertionError(f'nothing was written for {silent:.0f} s, and for '
                                 f'{now - self.whole_since:.0f} s a majority is whole')
        for strike in self.open:
            if strike.heal_us and now_us() - strike.heal_us > HEAL_SECONDS * 1e6:
                raise AssertionError(f'no end of it: {strike.name} at node {strike.node.number}')

    def take_in(self, strike):
        self.open.remove(strike)
        if strike.problem:
            raise strike.problem
        self.strikes.append(strike)
        if strike.proof.has_bitten:
            self.count[strike.kind] += 1
            self.leader_hits += strike.is_leader
        at = (strike.begin_us - self.began_us) / 1e6
        print(f'# {at:6.1f} s {strike.line()}; {self.people.told()["acknowledged"]} acknowledged',
              flush=True)

    def wait(self, until):
        self.watch()
        while time.monotonic() < until:
            time.sleep(0.05)
            self.watch()

    # -- one fault ---------------------------------------------------------------------------------

    def pick(self, wants_leader):
        """(node, is it the leader?); waits until one is whole, and a while for a leader."""
        until = time.monotonic() + 10
        while True:
            whole = [node for node in self.city.nodes if node not in self.hurt()]
            for node in whole:
                assert node.alive(), f'node {node.number} ended by itself: {node.talk_of_end()}'
            leader = self.city.leader()
            if leader in whole and (wants_leader or len(whole) == 1):
                return leader, True
            others = [node for node in whole if node is not leader]
            if others and (not wants_leader or time.monotonic() > until):
                return self.dice.choice(others), False
            self.wait(time.monotonic() + 0.05)

    def strike(self, kind, wants_leader):
        node, is_leader = self.pick(wants_leader)
        strike = Strike(kind, node, is_leader)
        fault = getattr(faults, kind)(node, self.dice)
        self.open.append(strike)
        strike.name, seconds = next(fault)
        strike.thread = threading.Thread(target=self.heal, args=(strike, fault, seconds),
                                         daemon=True)
        strike.thread.start()
        self.wait(time.monotonic() + seconds)

    @staticmethod
    def heal(strike, fault, seconds):
        time.sleep(seconds)
        strike.heal_us = now_us()
        try:
            next(fault)
            raise AssertionError(f'{strike.kind} has no end')
        except StopIteration as end:
            strike.proof = end.value
        except BaseException as problem:  # told by the watch
            strike.problem = problem
        strike.end_us = now_us()

    def next_of(self, plan):
        """The first of the plan that may be now: one disk is away at a time."""
        is_away = any(strike.kind in faults.DISKLESS for strike in self.open)
        at = next((i for i, (kind, _) in enumerate(plan)
                   if not (is_away and kind in faults.DISKLESS)), None)
        return None if at is None else plan.pop(at)

    # -- all of them -------------------------------------------------------------------------------

    def run(self, kinds, count, minutes, least_leader=0):
        plan = schedule(kinds, count, self.dice)
        step = minutes * 60 / (count * (1 + SPARE) + 1)
        tries, most = 0, count + count // 10 + 2
        while (plan or self.open) and tries < most:
            self.wait(self.began + tries * step)
            chosen = self.next_of(plan)
            if chosen is None or (self.is_alone and self.open):
                plan[:0] = [chosen] if chosen else []
                self.wait(time.monotonic() + 0.1)
            else:
                kind, wants_leader = chosen
                wants_leader |= len(plan) < least_leader - self.leader_hits
                tries += 1
                self.strike(kind, wants_leader)
                self.wait(time.monotonic() + BREATH_SECONDS)
            plan += self.again(count, kinds, plan)
        self.finish_open()
        self.wait(self.began + minutes * 60)
        self.took = time.monotonic() - self.began
        self.in_time = self.people.told()['acknowledged']

    def again(self, count, kinds, plan):
        """What is to be tried once more: those that have not bitten."""
        missing = count - sum(self.count.values()) - len(plan) - len(self.open)
        wanted = collections.Counter(kind for kind, _ in schedule(kinds, count, random.Random(0)))
        wanted -= self.count
        wanted -= collections.Counter(kind for kind, _ in plan)
        wanted -= collections.Counter(strike.kind for strike in self.open)
        return [(kind, False) for kind in list(wanted.elements())[:max(0, missing)]]

    def finish_open(self):
        while self.open:
            self.wait(time.monotonic() + 0.1)

    def calm(self):
        """Everything is healed: writes flow."""
        last = self.people.told()['acknowledged']
        while self.people.told()['acknowledged'] <= last:
            self.wait(time.monotonic() + 0.05)

    def patience(self, acknowledged, seconds):
        limit = time.monotonic() + seconds
        while self.people.told()['acknowledged'] < acknowledged and time.monotonic() < limit:
            self.wait(time.monotonic() + 0.2)

    def give_up(self):
        """The campaign has failed: nothing of it may still start a process."""
        for strike in self.open:
            if strike.thread:
                strike.thread.join(timeout=60)
