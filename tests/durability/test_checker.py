#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The checker of the checker: a clean story has no complaint, each planted fault has its own."""
import copy
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'e2e'))

import tap  # noqa: E402
from check_history import check  # noqa: E402

MAX_LIVE = 3


class Story:
    """A small engine that does everything right, and clients that write down what it says."""

    def __init__(self, seed=1, people=20, steps=2000):
        self.random = random.Random(seed)
        self.history, self.now, self.index, self.number = [], 1000, 10, 0
        self.slots = {f'pools/p/slots/{n:05}': ['FREE', 1] for n in range(steps)}
        self.free = list(self.slots)
        self.holds, self.reservations = {}, {}
        self.mine = {f'person-{n}': {'hold': [], 'reservation': []} for n in range(people)}
        for _ in range(steps):
            self.step()

    def tell(self, identity, op, body, **answer):
        self.now += 10
        self.index += 1
        self.number += 1
        attempt = {'identity': identity, 'op': op, 'body': body, 'request_id': f'r{self.number}',
                   'invoke_ns': self.now - 5, 'return_ns': self.now, 'outcome': 'ok',
                   'reason': None, 'answer': f'a{self.number}', 'log_index': self.index, **answer}
        if self.random.random() < 0.1:  # the answer was lost, and the client asked again
            lost = {**attempt, 'outcome': 'unknown', 'answer': None, 'log_index': 0,
                    'return_ns': self.now - 3}
            self.history.append(lost)
        self.history.append(attempt)
        return attempt

    def move(self, slot, state):
        self.slots[slot][0] = state
        self.slots[slot][1] += 1
        return {'slot': slot, 'version': self.slots[slot][1]}

    def step(self):
        identity = self.random.choice(list(self.mine))
        mine = self.mine[identity]
        dice = self.random.random()
        if mine['hold'] and dice < 0.5:
            name = mine['hold'].pop()
            slot = self.holds[name][2]
            if dice < 0.4:
                taken = name.replace('/holds/h', '/reservations/r')
                self.tell(identity, 'confirm', name, name=taken, **self.move(slot, 'TAKEN'))
                self.holds[name][1] = 'CONFIRMED'
                self.reservations[taken] = [identity, 'CONFIRMED', slot]
                mine['reservation'].append(taken)
            else:
                self.tell(identity, 'drop', name, name=name, **self.move(slot, 'RETURNED'))
                self.holds[name][1] = 'DROPPED'
        elif mine['reservation'] and dice < 0.7:
            name = mine['reservation'].pop()
            slot = self.reservations[name][2]
            self.tell(identity, 'cancel', name, name=name, **self.move(slot, 'RETURNED'))
            self.reservations[name][1] = 'CANCELLED'
        elif len(mine['hold']) + len(mine['reservation']) < MAX_LIVE:
            slot = self.free.pop()
            name = f'pools/p/holds/h{self.number:016x}-1'
            self.tell(identity, 'hold', slot, name=name, **self.move(slot, 'HELD'))
            self.holds[name] = [identity, 'LIVE', slot]
            mine['hold'].append(name)

    def final(self):
        return copy.deepcopy({'slots': self.slots, 'reservations': self.reservations,
                              'holds': self.holds, 'max_live': MAX_LIVE})

    def find(self, op, **wanted):
        return next(a for a in self.history if a['op'] == op and a['outcome'] == 'ok'
                    and all(a[key] == value for key, value in wanted.items()))


def wants(prop, history, final):
    wrong = check(history, final)
    assert any(line.startswith(prop + ':') for line in wrong), f'wanted {prop}, saw {wrong[:5]}'


def clean():
    story = Story()
    return story, copy.deepcopy(story.history), story.final()


def test_clean_stories():
    for seed in range(20):
        story = Story(seed)
        assert check(story.history, story.final()) == []


def test_double_booking():
    story, history, final = clean()
    first = story.find('hold')
    history.append({**first, 'identity': 'thief', 'request_id': 'x', 'answer': 'x',
                    'name': 'pools/p/holds/hffffffffffffffff-2', 'version': first['version'] + 9})
    wants('I1', history, final)


def test_one_version_twice():
    story, history, final = clean()
    first, second = [a for a in history if a['op'] == 'hold' and a['outcome'] == 'ok'][:2]
    history.append({**first, 'identity': 'thief', 'request_id': 'x', 'name': second['name']})
    wants('I1', history, final)


def test_lost_confirm():
    story, history, final = clean()
    name = next(n for n, r in final['reservations'].items() if r[1] == 'CONFIRMED')
    del final['reservations'][name]
    wants('I2', history, final)


def test_lost_hold():
    story, history, final = clean()
    name = next(n for n, h in final['holds'].items() if h[1] == 'LIVE')
    final['slots'][final['holds'][name][2]] = ['FREE', 1]
    wants('I2', history, final)
    story, history, final = clean()
    del final['holds'][name]
    final['missing_holds'] = [name]
    wants('I2', history, final)


def test_lost_cancel():
    story, history, final = clean()
    name = next(n for n, r in final['reservations'].items() if r[1] == 'CANCELLED')
    final['reservations'][name][1] = 'CONFIRMED'
    wants('I5', history, final)


def test_holder_changed():
    story, history, final = clean()
    next(iter(final['reservations'].values()))[0] = 'thief'
    wants('I2', history, final)


def test_an_effect_that_nobody_asked_for():
    story, history, final = clean()
    final['slots'][story.free[0]] = ['TAKEN', 3]
    wants('I2', history, final)
    story, history, final = clean()
    final['reservations']['pools/p/reservations/r00-1'] = ['ghost', 'CONFIRMED', story.free[0]]
    wants('I2', history, final)


def test_refused_and_done():
    story, history, final = clean()
    done = story.find('hold')
    history.append({**done, 'outcome': 'refused', 'reason': 'SLOT_TAKEN', 'answer': None})
    wants('I6', history, final)


def test_two_answers_to_one_request():
    story, history, final = clean()
    history.append({**story.find('confirm'), 'answer': 'another'})
    wants('I6', history, final)


def test_two_bodies_under_one_id():
    story, history, final = clean()
    done = story.find('hold')
    history.append({**done, 'body': story.free[0]})
    wants('I6', history, final)


def test_order_against_time():
    story, history, final = clean()
    story.find('hold')
    early, late = [a for a in history if a['outcome'] == 'ok'][50:52]
    early['log_index'], late['log_index'] = late['log_index'], early['log_index']
    wants('I3', history, final)


def test_one_entry_cannot_span_an_answer():
    story, history, final = clean()
    early, late = [a for a in history if a['outcome'] == 'ok'][50:52]
    late['log_index'] = early['log_index']
    wants('I3', history, final)


def test_resurrected_cancel():
    story, history, final = clean()
    gone = story.find('cancel')
    history.append({'identity': gone['identity'], 'op': 'read_reservation', 'name': gone['body'],
                    'outcome': 'ok', 'state': 'CONFIRMED', 'invoke_ns': gone['return_ns'] + 1,
                    'return_ns': gone['return_ns'] + 2})
    wants('I5', history, final)


def test_confirmed_after_drop():
    story, history, final = clean()
    gone = story.find('drop')
    history.append({**gone, 'op': 'confirm', 'request_id': 'x', 'invoke_ns': gone['return_ns'] + 1,
                    'return_ns': gone['return_ns'] + 2, 'log_index': gone['log_index'],
                    'name': gone['body'].replace('/holds/h', '/reservations/r')})
    wants('I5', history, final)


def test_too_many_reservations():
    story, history, final = clean()
    one = next(a for a in history if a['op'] == 'confirm' and a['outcome'] == 'ok'
               and final['reservations'][a['name']][1] == 'CONFIRMED')
    for number in range(MAX_LIVE + 1):
        history.append({**one, 'request_id': f'x{number}', 'name': f'{one["name"]}{number}',
                        'version': 100 + number})
    wants('I4', history, final)


def test_unknown_may_be_either():
    story, history, final = clean()
    slot = story.free[0]
    history.append({'identity': 'person-1', 'op': 'hold', 'body': slot, 'request_id': 'x',
                    'invoke_ns': story.now, 'return_ns': story.now + 1, 'outcome': 'unknown',
                    'reason': None, 'answer': None, 'log_index': 0, 'name': None, 'slot': None,
                    'version': 0})
    assert check(history, final) == []
    final['slots'][slot] = ['HELD', 2]
    assert check(history, final) == []


if __name__ == '__main__':
    tap.run(globals())
