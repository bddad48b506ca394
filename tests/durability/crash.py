# SPDX-License-Identifier: MIT
"""Kills and restarts under load, then asks the checker.  Used by test_kill.py and test_planted.py.

The moments come from a seed; a failing run prints it, and keeps history and final state."""
import json
import os
import random
import tempfile
import time

import house
from check_history import check
from load import Load, final_state

MAX_LIVE = 4
POOLS = ['pools/steady', 'pools/short']
LOAD_SECONDS = (0.2, 1.1)   # between a restart and the next kill


def prepare(server, people, slots):
    """Pools, slots and tokens of one run; (tokens, slot names in a mixed order)."""
    operator = server.operator()
    operator.make_pool('steady', hold_ttl_s=3600, max_live=MAX_LIVE, service_class='one')
    operator.make_pool('short', hold_ttl_s=2, max_live=MAX_LIVE, service_class='one')
    names = (operator.make_slots(POOLS[0], slots * 3 // 4, desks=50)
             + operator.make_slots(POOLS[1], slots // 4, desks=50))
    operator.close()
    random.Random(slots).shuffle(names)
    return house.mint(server.data, 'person', count=people), names


def keep(seed, load, final):
    folder = tempfile.mkdtemp(prefix='fairslot-history-')
    with open(os.path.join(folder, 'history.jsonl'), 'w', encoding='utf-8') as file:
        file.writelines(json.dumps(line) + '\n' for line in load.history)
    with open(os.path.join(folder, 'final.json'), 'w', encoding='utf-8') as file:
        json.dump(final, file)
    return f'seed {seed}, kept in {folder}'


def run(server, victims, seed, people=600, slots=24000):
    """Kills `victims` (callables that kill and restart) one by one under load.

    Returns (violations, figures).  server: a started house.Server or house.Pair."""
    dice = random.Random(seed)
    tokens, names = prepare(server, people, slots)
    load = Load(server.target, tokens, names, MAX_LIVE, seed).start()
    in_flight = []
    house.eventually(lambda: load.in_flight >= people * 5 // 6, seconds=30)
    for victim in victims:
        time.sleep(dice.uniform(*LOAD_SECONDS))
        house.eventually(lambda: load.in_flight >= people * 5 // 6, seconds=30, every=0.002)
        in_flight.append(load.in_flight)
        victim()
    time.sleep(1)
    load.finish()
    final = final_state(server, load, POOLS, POOLS[1])
    wrong = check(load.history, final)
    if wrong:
        wrong.append(keep(seed, load, final))
    outcomes = {}
    for line in load.history:
        outcomes[line['outcome']] = outcomes.get(line['outcome'], 0) + 1
    states = {}
    for state, _ in final['slots'].values():
        states[state] = states.get(state, 0) + 1
    return wrong, {'kills': len(victims), 'in_flight_min': min(in_flight), **outcomes, **states}
