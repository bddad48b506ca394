#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: every scenario that comes along runs on real sockets, small and hastened: each population
speaks, every request ends in one way, the shard has what the clients were told, and the
thresholds that the scenario's head names are met (that they can be missed: test_flood_planted.py).
"""
import concurrent.futures
import glob
import json
import os
import subprocess

import flood_kit
import house
import tap
from flood_kit import accounted, path

SERVER = house.Server()
FOLDER = flood_kit.SCENARIOS
SIDE_BY_SIDE = 3
WRONG = ('oversold', 'double_booked', 'double_won', 'lost', 'unheard', 'extra_tickets',
         'double_confirmed', 'order_wrong')


def before():
    SERVER.start()


def after():
    SERVER.close()
    flood_kit.SCRATCH.cleanup()


def run(name):
    thresholds, small = flood_kit.shipped(name)
    out = path(name + '.json')
    done = subprocess.run(
        [house.BINARY, 'flood', '--scenario', os.path.join(FOLDER, name + '.ini'), '--target',
         SERVER.target, '--issuer', SERVER.data, '--late', '10000', *small,
         *flood_kit.asked(thresholds), '--json', out], capture_output=True, text=True,
        timeout=300, check=False)
    assert done.returncode == 0, (name, done.returncode, done.stdout[-1500:],
                                  done.stderr[-1500:])
    with open(out, encoding='utf-8') as file:
        return json.load(file)


def test_all_that_come_along():
    names = sorted(os.path.basename(f)[:-4] for f in glob.glob(os.path.join(FOLDER, '*.ini')))
    assert len(names) >= 20, names
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        reports = dict(zip(names, pool.map(run, names)))
    for name, report in reports.items():
        audit = report['audit']
        assert accounted(report) and report['requests']['garbled'] == 0, (name, report['requests'])
        assert audit['done'] and not any(audit[key] for key in WRONG), (name, audit)
        assert audit['taken'] == audit['reservations'], (name, audit)
        silent = [p['name'] for p in report['populations'] if p['requests']['sent'] == 0]
        assert not silent, (name, silent)
        print(f'# {name}: {report["requests"]["sent"]} requests, {audit["taken"]} of '
              f'{report["slots"]} slots taken, {report["bot_slots"]} by attackers')
    crowd = reports['national-day']  # 11,000: what a process takes alone is little beside them
    assert crowd['generator']['bytes_per_client'] <= 200, crowd['generator']
    weak = reports['sybil-ring']
    assert weak['bot_slots'] == 0, 'weak identities get nothing'


if __name__ == '__main__':
    tap.run(globals(), before, after)
