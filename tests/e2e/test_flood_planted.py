#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: the flood catches what it is there for.  Each of the ten faults of docs/status.md, and an
entitlement that nobody keeps, is planted in the engine by a build option (docs/planted.md), and a
release day on that engine misses the threshold that is meant for it.  Without a fault all are met.
The same of the attacks that have a scenario with thresholds: without the defence they are missed.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

import flood_kit
import house
import tap

sys.path.insert(0, os.path.join(house.ROOT, 'tests', 'durability'))
import plant  # noqa: E402

AT_ONCE = 3  # days: most of their time is waiting
FOLDER = tempfile.mkdtemp(prefix='fairslot-plant-')
BUILDING = threading.Lock()  # the builds' object files have one folder
DAY = flood_kit.DAY.replace('rate = 100', 'rate = 300').replace(
    f'run = {3 * flood_kit.SLOW} s', 'run = 20 s')
SHORT = DAY.replace('accept =', 'timeout = 1 s\naccept =').replace('run = 20 s', 'run = 6 s')
# Ten identities with six devices each, for thirty slots: whoever may have two has them.
DEVICES = DAY.replace('[scenario]', '[scenario]\nmode = fcfs').replace(
    'identities = 50', 'identities = 10\ndevices = 6')
THRESHOLDS = ['double_booked==0', 'oversold==0', 'lost==0', 'unheard==0', 'timed_out==0',
              'latency_max<4s', 'extra_tickets==0', 'double_confirmed==0', 'double_won==0',
              'order_wrong==0', 'bot_advantage<3.5', 'arrival_chi2<33', 'unaccounted==0']


def before():
    if house.SANITIZED:
        raise tap.Skip('planted once, in the plain build')


def after():
    shutil.rmtree(FOLDER, ignore_errors=True)
    flood_kit.SCRATCH.cleanup()


def day(name, program, text):
    """The thresholds that a day on this program misses."""
    words = [word for t in THRESHOLDS for word in ('--threshold', t)]
    server = house.Server(binary=program).start()
    try:
        code, report, said = flood_kit.flood(server, *words, name=name,
                                             file=flood_kit.scenario(text, name + '.ini'))
    finally:
        server.kill()  # an engine with a fault need not end well
        shutil.rmtree(server.data, ignore_errors=True)
    missed = [t for t in THRESHOLDS if f'\u2717 {t} ' in said]
    print(f'# {name}: exit {code}, missed {", ".join(missed) or "nothing"}', flush=True)
    assert code in (0, 99) and report is not None and bool(missed) == (code == 99), said
    assert flood_kit.accounted(report), report['requests']
    return missed


def caught(fault, *wanted, text=DAY):
    with BUILDING:
        program = plant.build(fault, FOLDER)
    missed = day(fault, program, text)
    assert set(wanted) <= set(missed), (wanted, missed)


def test_without_a_fault_nothing_is_missed():
    assert day('sound', house.BINARY, DAY) == []


def test_without_a_fault_first_come():
    missed = day('sound-devices', house.BINARY, DEVICES)
    assert set(missed) <= {'bot_advantage<3.5', 'arrival_chi2<33'}, 'who is fast wins, and no more'


def test_oversell():
    caught('PLANT_OVERSELL', 'double_booked==0')


def test_lost_reply():
    caught('PLANT_LOST_REPLY', 'timed_out==0', 'unheard==0', text=SHORT)


def test_late_answer():
    caught('PLANT_LATE_ANSWER', 'latency_max<4s')


def test_double_ticket():
    caught('PLANT_SECOND_TICKET', 'extra_tickets==0')


def test_arrival_order_kept():
    caught('PLANT_ARRIVAL_ORDER', 'arrival_chi2<33', 'bot_advantage<3.5', 'order_wrong==0')


def test_wrong_share():
    caught('PLANT_WRONG_SHARE', 'order_wrong==0')  # how big the share gets is chance


def test_lost_request():
    caught('PLANT_LOST_REQUEST', 'timed_out==0', text=SHORT)


def test_double_confirm():
    caught('PLANT_CONFIRM_TWICE', 'double_confirmed==0')


def test_stale_read():
    caught('PLANT_STALE_LIST', 'lost==0')


def test_clock_dependent_rank():
    caught('PLANT_CLOCK_RANK', 'order_wrong==0')


def test_an_entitlement_that_is_not_kept():
    caught('PLANT_NO_QUOTA', 'double_won==0', text=DEVICES)


# -- the attacks that have a scenario of their own: with the defence, and without it ------------

def virtual(name, program=house.BINARY, file=None):
    """Its day in virtual time, judged by its own thresholds: exit code, and its JSON."""
    file = file or os.path.join(flood_kit.SCENARIOS, name + '.ini')
    day = subprocess.run(
        [program, 'flood', 'simulate', '--scenario', file, '--json', *flood_kit.asked(
            flood_kit.shipped_virtual(name))], capture_output=True, text=True, timeout=100,
        check=False)
    print(f'# {name} in virtual time, {os.path.basename(program)}: exit {day.returncode} '
          f'{" ".join(day.stderr.split())}', flush=True)
    return day.returncode, json.loads(day.stdout) if day.stdout else None


def sockets(name, program=house.BINARY, file=None, words=None):
    """Which of the scenario's own thresholds a day on sockets misses.  That it meets them with the
    defence in place: test_flood_scenarios.py."""
    thresholds, small = flood_kit.shipped(name)
    file = file or os.path.join(flood_kit.SCENARIOS, name + '.ini')
    server = house.Server(binary=program).start()
    try:
        code, report, said = flood_kit.flood(server, *(words or small),
                                             *flood_kit.asked(thresholds), file=file,
                                             binary=program, name=name)
    finally:
        server.kill()
        shutil.rmtree(server.data, ignore_errors=True)
    missed = [t for t in thresholds if f'\u2717 {t} ' in said]
    print(f'# {name} on sockets, {os.path.basename(program)}: exit {code}, missed '
          f'{", ".join(missed)}', flush=True)
    assert code == 99 and flood_kit.accounted(report), said
    return missed


def planted(fault):
    with BUILDING:
        return plant.build(fault, FOLDER)


def test_many_addresses():
    """A3: with places by address, a thousand addresses are a thousand places."""
    code, day = virtual('many-addresses')
    assert code == 0 and day['bot_slots'] <= 20, day
    program = planted('PLANT_ADDRESS_PLACE')
    code, day = virtual('many-addresses', program)
    assert code == 99 and day['bot_slots'] > 20, day
    assert 'extra_tickets==0' in sockets('many-addresses', program)


def test_replays():
    """A12: with request ids that are forgotten, what is sent again is decided again."""
    code, day = virtual('replays')
    assert code == 0 and sum(p['replayed'] for p in day['populations']) > 100, day
    assert day['audit']['replays_differ'] == 0, day['audit']
    program = planted('PLANT_FORGET_REQUEST')
    assert virtual('replays', program)[0] == 1
    assert 'replays_differ==0' in sockets('replays', program)


def test_at_the_last_second():
    """A14: with a confirmation that is told yes though the expiry was before it."""
    code, day = virtual('last-second')
    assert code == 0 and day['audit']['offers_expired'] > 0 and day['audit']['taken'] > 0, day
    assert sum(p['too_late'] for p in day['populations']) > 0, day
    program = planted('PLANT_LATE_YES')
    assert virtual('last-second', program)[0] == 1
    assert 'lost==0' in sockets('last-second', program)


def test_ghosts():
    """A21: with turns that do not end before the release does."""
    code, day = virtual('ghosts')
    assert code == 0 and day['bot_slots'] == 0 and day['audit']['taken'] == 100, day
    with open(os.path.join(flood_kit.SCENARIOS, 'ghosts.ini'), encoding='utf-8') as file:
        text = file.read().replace('accept = 60 s', 'accept = 15 min')
    patient = flood_kit.scenario(text, 'patient.ini')
    code, day = virtual('ghosts', file=patient)
    assert code == 99 and day['audit']['taken'] < 90, day
    assert 'taken_share>=90%' in sockets('ghosts', file=patient, words=[
        '--scale', '0.6', '--hasten', str(0.02 * flood_kit.SLOW)])


if __name__ == '__main__':
    tap.run(globals(), before, after, side_by_side=AT_ONCE)
