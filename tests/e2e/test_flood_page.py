#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: what the flood writes can be read by others: its page by a browser on wide and narrow
screens, light and dark: nothing for axe to find, nothing loaded, nothing that overflows; its
histogram by another HdrHistogram, to its own precision.
"""
import json
import os
import random
import re
import subprocess
import tempfile

import flood_kit
import house
import jskit
import page_kit
import tap

SERVER = house.Server()
SCRATCH = tempfile.TemporaryDirectory(prefix='fairslot page ')

def before():
    SERVER.start()


def after():
    SERVER.close()
    SCRATCH.cleanup()
    flood_kit.SCRATCH.cleanup()


def test_the_page():
    page_kit.need()
    page = os.path.join(SCRATCH.name, 'page.html')
    code, report, said = flood_kit.flood(SERVER, '--html', page)
    assert code == 0, said
    with open(page, encoding='utf-8') as file:
        text = file.read()
    assert not re.search(r'(src|href)=|url\(|@import|<script|https?://', text), 'it stands alone'
    assert report['commit'] in text and report['machine'] in text and 'seed 1' in text
    for width in page_kit.WIDTHS:
        for dark in (False, True):
            first = page_kit.check(page, width, dark)
            assert f'{report["bot_slots"]} of 30' in first and '20.0 %' in first, first
    for part in ('Slots against identities', 'Does it pay to be first?', 'Does it pay to be near?',
                 'When it happened', 'How long answers took', 'Gini', 'Method', 'cores'):
        assert part in text, part
    for fifth in report['rtt_fifths']:
        assert f'>{fifth["rtt_ms"]:.3g} ms</text>' in text, fifth


def test_the_probe_can_fail():
    """A page that overflows, has a picture without words and pale letters: all of it is found."""
    page_kit.need()
    page = os.path.join(SCRATCH.name, 'bad.html')
    with open(page, 'w', encoding='utf-8') as file:
        file.write('<!doctype html><html><head><title>x</title></head><body><main><h1>x</h1>'
                   '<svg role="img" width="10" height="10"></svg>'
                   '<p style="color:#bbb;background:#fff;width:2000px">pale and wide</p></main>'
                   '</body></html>')
    seen = page_kit.look(page, 390, False)
    found = ' '.join(seen['violations'])
    assert 'color-contrast' in found and 'svg-img-alt' in found and 'html-has-lang' in found
    assert seen['wide'] and seen['scroll'] > seen['width']


def series(number):
    """Latencies as they come: one mode, two, a long tail, all alike, none over a millisecond."""
    dice = random.Random(number)
    kinds = [lambda: int(dice.lognormvariate(6, 1)), lambda: dice.randrange(1, 2000),
             lambda: int(dice.expovariate(1 / 50000)) + 1, lambda: 4711,
             lambda: int(dice.choice([dice.gauss(900, 50), dice.gauss(90000, 4000)])),
             lambda: int(dice.paretovariate(1.1) * 100), lambda: dice.randrange(1 << 20, 1 << 31),
             lambda: dice.randrange(0, 3), lambda: int(dice.lognormvariate(10, 2)),
             lambda: 1 << dice.randrange(0, 32)]
    return [max(0, min(kinds[number](), (1 << 32) - 1)) for _ in range(5000 if number else 1)]


def test_another_histogram_agrees():
    jskit.need_node()
    told = []
    for number in range(10):
        values = series(number)
        done = subprocess.run([house.BINARY, 'flood', 'histogram'], text=True, timeout=60,
                              input=''.join(f'{v}\n' for v in values), capture_output=True,
                              check=True)
        one = json.loads(done.stdout)
        assert one['count'] == len(values) and one['max'] == max(values)
        told.append({'values': values, 'v2': one['v2'], 'percentiles': one['percentiles']})
    path = os.path.join(SCRATCH.name, 'series.json')
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(told, file)
    assert '10 series agree' in jskit.node('histogram.mjs', path)


def test_no_number_is_told():
    for text in ('12\nthirteen\n', '-5\n', '1.5\n'):
        done = subprocess.run([house.BINARY, 'flood', 'histogram'], text=True, timeout=60,
                              input=text, capture_output=True, check=False)
        assert done.returncode == 2 and 'whole number' in done.stderr, done


if __name__ == '__main__':
    tap.run(globals(), before, after)
