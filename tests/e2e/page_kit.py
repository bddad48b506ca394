# SPDX-License-Identifier: MIT
"""Pages as a browser has them, on wide and narrow screens, light and dark: nothing for axe to find,
nothing loaded, nothing that overflows.
"""
import atexit
import html
import json
import os
import re
import shutil
import subprocess
import tempfile

import jskit
import tap

WIDTHS = (1280, 390)
SCRATCH = tempfile.mkdtemp(prefix='fairslot-page-')
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

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


def chromium():
    found = shutil.which('chromium') or shutil.which('chromium-browser')
    if not found:
        raise tap.Skip('chromium is not installed')
    return found


def need():
    """Skips where no page can be looked at."""
    jskit.need_node()
    chromium()


def look(page, width, dark):
    """What the probe found, in a frame of exactly this width."""
    with open(os.path.join(jskit.modules(), 'node_modules', 'axe-core', 'axe.min.js'),
              encoding='utf-8') as file:
        probe = PROBE % file.read().replace('</script', '<\\/script')
    with open(page, encoding='utf-8') as file:
        text = file.read()
    copy = os.path.join(SCRATCH, 'probe.html')
    with open(copy, 'w', encoding='utf-8') as file:
        inner = html.escape(text.replace('</body>', probe + '</body>'))
        file.write('<!doctype html><title>x</title><body style="margin:0"><iframe title="x" style='
                   f'"border:0;width:{width}px;height:900px" srcdoc="{inner}"></iframe>')
    done = subprocess.run(
        [chromium(), '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run',
         '--disable-dev-shm-usage', '--disable-background-networking', '--hide-scrollbars',
         '--user-data-dir=' + tempfile.mkdtemp(dir=SCRATCH), '--window-size=1400,1000',
         *(['--blink-settings=preferredColorScheme=0'] if dark else []),
         '--virtual-time-budget=20000', '--dump-dom', 'file://' + copy.replace(' ', '%20')],
        capture_output=True, text=True, errors='replace', timeout=120, check=False)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1)))


def check(page, width, dark):
    """Looks, and finds nothing wrong; the page's first sentence."""
    seen = look(page, width, dark)
    print(f'# {width} px, {"dark" if dark else "light"}: {seen["passes"]} rules pass')
    assert seen['violations'] == [], seen['violations']
    assert seen['passes'] > 10
    assert seen['wide'] == [] and seen['scroll'] <= seen['width'] == width, seen
    assert seen['loaded'] == [], seen['loaded']
    assert seen['dark'] == dark
    return seen['first']
