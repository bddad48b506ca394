#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: the flood catches what it is there for.  Each of the ten faults of docs/status.md, and an
entitlement that nobody keeps, is planted in the engine by a build option (docs/planted.md), and a
release day on that engine misses the threshold that is meant for it.  Without a fault all are met.
"""
import os
import shutil
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


if __name__ == '__main__':
    tap.run(globals(), before, after, side_by_side=AT_ONCE)
