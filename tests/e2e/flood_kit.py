# SPDX-License-Identifier: MIT
"""What the tests of the flood share: a small release day, and `fairslot flood` run on it."""
import json
import os
import re
import subprocess
import tempfile

import house

SCRATCH = tempfile.TemporaryDirectory(prefix='fairslot flood ')
SLOW = 4 if house.SANITIZED else 1

# Seconds short, so that a test of it is; the proportions are those of a real day.
DAY = f'''[scenario]
slots = 30
window = {2 * SLOW} s
draw_window = {2 * SLOW} s
grace = 500 ms
cohort = 1 s
accept = 10 s
run = {3 * SLOW} s
assurance = substantial
[population people]
kind = people
identities = 200
connections = 10
reaction = {200 * SLOW} ms
think = 100 ms
[population bots]
kind = bots
identities = 50
connections = 5
rate = 100
early = 500 ms
'''


SCENARIOS = os.path.join(house.ROOT, 'loadtest', 'scenarios')
# How much smaller, and how much faster (None: at its own pace): a day of draws is four seconds,
# half an hour in which slots come back is seven.
SMALL = {'national-day': (0.001, 0.00005), 'quiet-day': (0.1, 0.02),
         'cancel-and-rebook': (0.03, 0.004), 'hoarders': (0.03, 0.004),
         'mass-cancel': (0.03, 0.003), 'many-addresses': (0.1, 0.02), 'replays': (0.1, 0.02),
         'last-second': (0.3, None), 'ghosts': (0.1, 0.02)}


def shipped(name):
    """The thresholds that a scenario names in its head, and the words that make it small."""
    with open(os.path.join(SCENARIOS, name + '.ini'), encoding='utf-8') as file:
        told = [line.split()[2:] for line in file if line.startswith('# thresholds:')]
    thresholds = told[0] if told else []
    scale, hasten = SMALL.get(name, (0.03, 0.02))
    pace = ('--hasten', str(hasten * SLOW)) if hasten else ()
    return thresholds, ['--scale', str(scale), *pace]


def shipped_virtual(name):
    """Those that virtual time can judge: what needs sockets and their audit it does not know."""
    told = subprocess.run([house.BINARY, 'flood', 'simulate', '--help'], capture_output=True,
                          text=True, check=True).stdout
    known = set(told.partition('metrics:')[2].partition('exit:')[0].replace(',', ' ').split())
    return [t for t in shipped(name)[0] if re.match(r'\w+', t).group() in known]


def asked(thresholds):
    return [word for t in thresholds for word in ('--threshold', t)]


def path(name):
    return os.path.join(SCRATCH.name, name)


def scenario(text=DAY, name='day.ini'):
    with open(path(name), 'w', encoding='utf-8') as file:
        file.write(text)
    return path(name)


def start(server, *words, file=None, limits=None, binary=house.BINARY):
    """`late` is generous: a machine that tests many things at once is no place to measure on."""
    return subprocess.Popen(
        [binary, 'flood', '--scenario', file or scenario(), '--target', server.target,
         '--issuer', server.data, '--late', '5000', *words], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, 'NO_COLOR': '1'},
        preexec_fn=limits)


def flood(server, *words, file=None, limits=None, binary=house.BINARY, name='report'):
    """Exit code, its JSON (None: none was written), what it said."""
    out = path(name + '.json')
    if os.path.exists(out):
        os.unlink(out)
    run = start(server, '--json', out, *words, file=file, limits=limits, binary=binary)
    shown, said = run.communicate(timeout=120)
    return run.returncode, read(out), shown + said


def read(out):
    if not os.path.exists(out):
        return None
    with open(out, encoding='utf-8') as file:
        return json.load(file)


def accounted(report):
    """Every request ended in exactly one way."""
    requests = report['requests']
    ended = sum(requests[k] for k in ('answered', 'refused', 'timed_out', 'cancelled'))
    return requests['sent'] == ended and requests['unaccounted'] == 0
