#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The checker of test_hostile.py: with its limit switched off, every attack must be reported.

Method: a fairslot built with -DPLANT_LIMITS_OFF, which leaves out the limits that the environment
names; one server for each limit, with that limit off and all others on.  An attack that still ends
well would prove nothing in test_hostile.py.
"""
import concurrent.futures
import os
import shutil
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'durability'))

import attacks  # noqa: E402
import house  # noqa: E402
import plant  # noqa: E402
import tap  # noqa: E402

AT_ONCE = 6  # servers: most of their time is waiting
FOLDER = tempfile.mkdtemp(prefix='fairslot-plant-')
STARTING = threading.Lock()
CHOSEN = {}   # name of the test -> (attack, limits, server)
RESULTS = {}  # name of the test -> what came of it


def before():
    if house.SANITIZED:
        return
    program = plant.build('PLANT_LIMITS_OFF', FOLDER, mark='limit_is_on(')
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for name, chosen in CHOSEN.items():
            RESULTS[name] = pool.submit(goes_on, program, *chosen)


def after():
    shutil.rmtree(FOLDER, ignore_errors=True)


def start(program, limits, where):
    """A server without these limits: it reads the environment as it is when it starts."""
    server = house.Server(options=attacks.SERVERS[where], binary=program)
    with STARTING:
        os.environ['FAIRSLOT_LIMITS_OFF'] = limits
        try:
            return server.start()
        finally:
            del os.environ['FAIRSLOT_LIMITS_OFF']


def goes_on(program, attack, limits, where):
    """What the attack reports against a server without its limits, or None."""
    server = start(program, limits, where)
    try:
        scene = attacks.scene_of(server)
        try:
            attack(scene)
        except AssertionError as report:
            return str(report)
        finally:
            scene.close()
        return None
    finally:
        server.kill()
        shutil.rmtree(server.data, ignore_errors=True)


def attempt(name, attack, limits):
    def test():
        if house.SANITIZED:
            raise tap.Skip('planted once, in the plain build')
        report = RESULTS[name].result()
        assert report, f'{attack.__name__} ends without {limits}: another limit does it'
        print(f'# {attack.__name__}: {report}', flush=True)
    return test


for one, off, place, _ in attacks.ATTACKS:
    title = f'test_without_{off.replace(",", "_")}_{one.__name__}'
    CHOSEN[title] = (one, off, place)
    globals()[title] = attempt(title, one, off)


if __name__ == '__main__':
    tap.run(globals(), before, after)
