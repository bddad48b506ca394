#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Goal: `fairslot flood simulate` says what a release does to a crowd, the same bytes for the same
seed; a tenth of the national day runs here; bad scenarios end with file, line and suggestion."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
FAIRSLOT = os.environ.get('FAIRSLOT_BINARY', os.path.join(ROOT, 'build', 'fairslot'))
SLOW = 'FAIRSLOT_SANITIZED' in os.environ
SCENARIOS = os.path.join(ROOT, 'loadtest', 'scenarios')
count = failed = 0


def ok(is_right, what, said=''):
    global count, failed
    count += 1
    failed += not is_right
    print(f'{"ok" if is_right else "not ok"} {count} - {what}', flush=True)
    if not is_right:
        print('\n'.join(f'# {line}' for line in str(said).splitlines()[:20]), flush=True)


def simulate(*words, seconds=250):
    return subprocess.run([FAIRSLOT, 'flood', 'simulate', *words], capture_output=True, text=True,
                          timeout=seconds)


def day(name, *words):
    r = simulate('--scenario', os.path.join(SCENARIOS, name + '.ini'), '--json', *words)
    return json.loads(r.stdout) if r.returncode == 0 else {'failed': r.stderr}


def check_days():
    one, two = day('munich-release', '--seed', '7'), day('munich-release', '--seed', '7')
    ok(one == two and one.get('bot_slots', 0) > 0, 'one seed, one day', one)
    ok(one != day('munich-release', '--seed', '8'), 'another seed, another day')
    people = one['populations'][0]
    ok(one['requests']['unaccounted'] == 0 and one['audit']['oversold'] == 0
       and one['audit']['taken'] == 300, 'every request and every slot is accounted for', one)
    ok(people['wait']['p99_s'] <= 80, 'decided within window, grace and 10 s', people)
    ok(one['cost']['bytes_per_client'] <= 200, 'a virtual client takes 200 bytes at most')
    quiet = day('quiet-day')
    ok(quiet['audit']['taken'] >= 290, 'on a quiet day everybody gets a slot', quiet['audit'])
    ring = day('sybil-ring')
    ok(ring['bot_slots'] == 0 and ring['audit']['taken'] == 100, 'weak identities get nothing')
    sockets = day('many-connections')
    ok(sockets['bot_slots'] <= 20, 'many connections are one place', sockets['bot_slots'])
    hoard = day('hoarders')
    ok(hoard['bot_slots'] == 0 and hoard['audit']['taken'] == 100 and
       hoard['audit']['offers_expired'] > 0, 'what hoarders let lapse goes to standby',
       hoard['audit'])
    sellers = day('cancel-and-rebook')
    ok(sellers['bot_slots'] == 0 and sellers['audit']['taken'] == 100,
       'what sellers cancel goes to standby', sellers['audit'])


def check_thresholds():
    good = os.path.join(SCENARIOS, 'munich-release.ini')
    words = ['--threshold', 'bot_advantage<3', '--threshold', 'wait_p95{population=people}<90s',
             '--threshold', 'double_booked==0']
    met = simulate('--scenario', good, *words)
    ok(met.returncode == 0 and met.stdout.count('\u2713') == 3, 'thresholds are ticked', met)
    missed = simulate('--scenario', good, '--mode', 'fcfs', *words, '--json')
    ok(missed.returncode == 99 and '\u2717 bot_advantage<3   (11)' in missed.stderr
       and json.loads(missed.stdout)['bot_slots'] == 300, 'a missed one: 99, and JSON is JSON',
       missed)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'day.json')
        filed = simulate('--scenario', good, '--json', path, *words)
        with open(path, encoding='utf-8') as f:
            ok(filed.returncode == 0 and json.load(f)['mode'] == 'live', 'JSON to a file', filed)
    many = [w for n in range(33) for w in ('--threshold', f'bot_slots<{n + 900}')]
    for bad, said in [(['--threshold', 'bot_advantag<1'], "did you mean 'bot_advantage'"),
                      (['--threshold', 'latency_p99<1s'], 'column 1: unknown metric'),
                      (['--threshold', 'bot_slots<=33%'], 'bot_slots takes no unit'),
                      (['--threshold', 'bot_slots<9', '--seeds', '2'], 'judges one day'),
                      (many, 'more than 32'), (['--json', '/nowhere/x'], 'cannot write /nowhere')]:
        r = simulate('--scenario', good, *bad)
        ok(r.returncode == 2 and said in r.stderr and 'next: ' in r.stderr, f'refused: {bad[:2]}',
           r)


def check_long_waits():
    """A draw takes a day: so do the waits for it."""
    draw = day('munich-release', '--mode', 'draw', '--scale', '0.1')
    wait = draw['populations'][0]['wait']
    ok(30000 < wait['p50_s'] < 60000 and 70000 < wait['p99_s'] <= wait['max_s'] < 100000,
       'waits of a draw are told as long as they were', wait)


def check_turns():
    """The same release, served by turns: a turn finds its slot, and speed buys nothing either."""
    with open(os.path.join(SCENARIOS, 'munich-release.ini'), encoding='utf-8') as f:
        text = f.read().replace('mode = live', 'mode = live\nby_turn = yes')
    with tempfile.NamedTemporaryFile('w', suffix='.ini', encoding='utf-8') as f:
        f.write(text)
        f.flush()
        r = simulate('--scenario', f.name, '--seed', '7', '--json')
    turns = json.loads(r.stdout) if r.returncode == 0 else {'failed': r.stderr}
    ok(turns.get('audit') == {'taken': 300, 'oversold': 0, 'double_booked': 0, 'offers_expired': 0,
                               'replays_differ': 0}
       and turns['requests']['unaccounted'] == 0, 'by turns: every slot is given', turns)
    low, high = turns.get('fair_range', (1, 0))
    ok(low <= turns.get('bot_slots', -1) <= high and turns['fairness']['arrival_chi2'] < 28,
       'by turns: who came first has no better place', turns)


def check_seeds():
    words = ('--seed', '20261126', '--seeds', '20' if SLOW else '40')
    live = day('munich-release', *words)
    ok(abs(live['errors_off']) <= 3, 'live: the mean advantage is the closed form', live)
    ok(live['in_fair_range'] >= 0.85 * live['runs'], 'live: the bots win as in a fair draw', live)
    first = day('munich-release', '--mode', 'fcfs', '--seed', '20261126', '--seeds', '3')
    ok(first['advantage_mean'] >= 0.9 * first['possible_advantage'],
       'first come: 90 % of the possible advantage, so the check can fail', first)


def check_national():
    scale = 0.01 if SLOW else 0.1
    tenth = day('national-day', '--scale', str(scale))
    ok(tenth['identities'] == 11000000 * scale and tenth['audit']['taken'] == 200000 * scale,
       'a tenth of the national day', str(tenth)[:300])
    ok(tenth['bot_advantage_95'][0] <= 1 <= tenth['bot_advantage_95'][1],
       'national: the advantage is 1', tenth['bot_advantage'])


BAD = [
    ('[scenario]\nslotz = 3\n', ":2: [scenario] has no key 'slotz': did you mean 'slots'?"),
    ('[population p]\nkind = botz\n', ":2: there is no kind 'botz'; did you mean 'bots'?"),
    ('[population p]\nkind = bots\nrate = -5\n', ':3: rate takes a number, not'),
    ('[population p]\nkind = people\nidentities = 0\n', ':3: identities is 0'),
    ('\0\1\2', ':1: '),
    ('', 'nobody would come'),
]


def check_bad():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'bad.ini')
        for text, words in BAD:
            with open(path, 'w', encoding='latin-1') as f:
                f.write(text)
            r = simulate('--scenario', path)
            ok(r.returncode == 2 and words in r.stderr and path in r.stderr and not r.stdout,
               f'refused: {text[:40]!r}', f'{r.returncode} {r.stderr}')
        good = os.path.join(SCENARIOS, 'quiet-day.ini')
        for words, said in [(['--scenario', folder], 'cannot be read'),
                            (['--scenario', path + '.none'], 'No such file'),
                            ([], '--scenario FILE is missing'),
                            (['--scenario'], 'needs a value'),
                            (['--scenaro', good], 'did you mean --scenario'),
                            (['--scenario', good, '--seed', '-1'], '--seed takes a whole number'),
                            (['--scenario', good, '--seeds', '0'], '--seeds takes a whole number'),
                            (['--scenario', good, '--mode', 'lottery'], 'fcfs, live or draw'),
                            (['--scenario', good, '--scale', '0'], '--scale takes a number'),
                            (['--scenario', os.path.join(SCENARIOS, 'national-day.ini'), '--scale',
                              '1000'], 'makes more than')]:
            r = simulate(*words)
            ok(r.returncode == 2 and said in r.stderr, f'refused: {" ".join(words[-2:])[-60:]}',
               f'{r.returncode} {r.stderr}')


check_bad()
check_days()
check_thresholds()
check_long_waits()
check_turns()
check_seeds()
check_national()
print(f'1..{count}')
sys.exit(failed > 0)
