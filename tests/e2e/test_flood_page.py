#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: what the flood writes can be read by others: its page by a browser on wide and narrow
screens, light and dark: nothing for axe to find, nothing loaded, nothing that overflows; its
histogram by another HdrHistogram, to its own precision.
"""
import html
import json
import os
import random
import re
import shutil
import subprocess
import tempfile

import flood_kit
import house
import jskit
import tap

SERVER = house.Server()
SCRATCH = tempfile.TemporaryDirectory(prefix='fairslot page ')

# Runs in a copy of the page, in a frame (no window is as narrow as a telephone): axe, then what is
# wider than the screen, then what was loaded.
PROBE = '''<script>%s</script><script>
addEventListener('load', async () => {
  const found = await axe.run(document, {resultTypes: ['violations', 'incomplete']});
  const wide = [...document.querySelectorAll('main *')].filter((e) =>
    !e.closest('.wide') && e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => e.tagName + ' ' + (e.textContent || '').slice(0, 40));
  const out = document.createElement('pre');
  out.id = 'probe';
  out.textContent = JSON.stringify({
    violations: found.violations.map((v) => v.id + ': ' + v.nodes[0].html.slice(0, 120)),
    passes: found.passes.length, wide, width: innerWidth,
    scroll: document.scrollingElement.scrollWidth,
    loaded: performance.getEntriesByType('resource').map((e) => e.name),
    first: document.querySelector('h1').textContent,
    dark: matchMedia('(prefers-color-scheme: dark)').matches,
    paper: getComputedStyle(document.body).backgroundColor});
  parent.document.body.append(out);
});
</script>'''


def before():
    SERVER.start()


def after():
    SERVER.close()
    SCRATCH.cleanup()
    flood_kit.SCRATCH.cleanup()


def chromium():
    found = shutil.which('chromium') or shutil.which('chromium-browser')
    if not found:
        raise tap.Skip('chromium is not installed')
    return found


def look(page, width, dark):
    """What the probe found, in a frame of exactly this width."""
    with open(os.path.join(jskit.modules(), 'node_modules', 'axe-core', 'axe.min.js'),
              encoding='utf-8') as file:
        probe = PROBE % file.read().replace('</script', '<\\/script')
    with open(page, encoding='utf-8') as file:
        text = file.read()
    copy = os.path.join(SCRATCH.name, 'probe.html')
    with open(copy, 'w', encoding='utf-8') as file:
        inner = html.escape(text.replace('</body>', probe + '</body>'))
        file.write('<!doctype html><title>x</title><body style="margin:0"><iframe title="x" style='
                   f'"border:0;width:{width}px;height:900px" srcdoc="{inner}"></iframe>')
    done = subprocess.run(
        [chromium(), '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run',
         '--disable-dev-shm-usage', '--disable-background-networking', '--hide-scrollbars',
         '--user-data-dir=' + tempfile.mkdtemp(dir=SCRATCH.name), '--window-size=1400,1000',
         *(['--blink-settings=preferredColorScheme=0'] if dark else []),
         '--virtual-time-budget=20000', '--dump-dom', 'file://' + copy.replace(' ', '%20')],
        capture_output=True, text=True, errors='replace', timeout=120, check=False)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1)))


def test_the_page():
    jskit.need_node()
    chromium()
    page = os.path.join(SCRATCH.name, 'page.html')
    code, report, said = flood_kit.flood(SERVER, '--html', page)
    assert code == 0, said
    with open(page, encoding='utf-8') as file:
        text = file.read()
    assert not re.search(r'(src|href)=|url\(|@import|<script|https?://', text), 'it stands alone'
    assert report['commit'] in text and report['machine'] in text and 'seed 1' in text
    for width in (1280, 390):
        for dark in (False, True):
            seen = look(page, width, dark)
            print(f'# {width} px, {"dark" if dark else "light"}: {seen["passes"]} rules pass')
            assert seen['violations'] == [], seen['violations']
            assert seen['passes'] > 10
            assert seen['wide'] == [] and seen['scroll'] <= seen['width'] == width, seen
            assert seen['loaded'] == [], seen['loaded']
            assert seen['dark'] == dark
            first = seen['first']
            assert f'{report["bot_slots"]} of 30' in first and '20.0 %' in first, first


def test_the_probe_can_fail():
    """A page that overflows, has a picture without words and pale letters: all of it is found."""
    jskit.need_node()
    page = os.path.join(SCRATCH.name, 'bad.html')
    with open(page, 'w', encoding='utf-8') as file:
        file.write('<!doctype html><html><head><title>x</title></head><body><main><h1>x</h1>'
                   '<svg role="img" width="10" height="10"></svg>'
                   '<p style="color:#bbb;background:#fff;width:2000px">pale and wide</p></main>'
                   '</body></html>')
    seen = look(page, 390, False)
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
