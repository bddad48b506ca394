#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: `fairslot flood` measures a release day, says pass or fail, and is honest when something is
wrong: bad words before anything is sent; a target that goes away, answers garbage, or descriptors
that run out, with what there is; ^C with a report of what was.
"""
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import flood_kit
import house
import tap
from flood_kit import accounted, flood, path, read, scenario

SERVER = house.Server()


def before():
    SERVER.start()


def after():
    SERVER.close()
    flood_kit.SCRATCH.cleanup()


def check_percentiles(text, report):
    """Each table as HdrHistogram's own tools write it, and true: counts are of values, not of
    percentiles."""
    number = r' *(\d+\.\d{3})'
    row = re.compile(number + r' ([01]\.\d{12}) +(\d+) +(\d+\.\d\d)')
    tables = re.split(r'^# (.+)\n', text, flags=re.M)[1:]
    names = dict(zip(tables[::2], tables[1::2]))
    assert 'time to decision: people' in names and 'CreateTicket' in names, list(names)
    for name, table in names.items():
        head, blank, *rows = table.rstrip('\n').split('\n')
        *rows, last, mean, most, buckets = rows
        assert head == '       Value     Percentile TotalCount 1/(1-Percentile)' and not blank, name
        found = [row.fullmatch(line) for line in rows]
        assert all(found), (name, rows)
        found = [(float(m[1]), float(m[2]), int(m[3])) for m in found]
        assert found == sorted(found) and found[0][2] >= 1, (name, found)
        count = found[-1][2]
        assert all(upto + 1e-6 >= q * count for _, q, upto in found), (name, found)
        assert re.fullmatch(number + f' 1\\.0{{12}} +{count}', last), (name, last)
        assert re.fullmatch(r'#\[Mean +=' + number + r', StdDeviation +=' + number + r'\]', mean)
        assert re.fullmatch(r'#\[Max +=' + number + f', Total count +=  *{count}\\]', most), most
        assert re.fullmatch(r'#\[Buckets += +\d+, SubBuckets +=  *\d+\]', buckets), buckets
        if name in report['latency']:
            assert report['latency'][name]['count'] == count, name


def test_a_day_passes():
    code, report, said = flood(
        SERVER, '--threshold', 'bot_advantage<4', '--threshold',
        'wait_p95{population=people}<60s', '--threshold', 'double_booked==0', '--threshold',
        'unaccounted==0', '--csv', path('day.csv'), '--hgrm', path('day.hgrm'), '--processes', '2')
    assert code == 0, said
    assert said.count('\u2713') == 4 and '\u2717' not in said, said
    assert accounted(report) and report['requests']['sent'] > 500, report['requests']
    assert report['audit']['taken'] == report['audit']['reservations'] == 30, report['audit']
    assert report['audit']['asked_again'] == 10, 'winners who confirm again are refused for that'
    assert sum(p['slots'] for p in report['populations']) == 30
    assert {p['name'] for p in report['populations']} == {'people', 'bots'}
    assert report['fair_range'][0] <= 6 <= report['fair_range'][1]
    assert sum(d['clients'] for d in report['arrival_deciles']) == 250
    assert sum(d['won'] for d in report['arrival_deciles']) == 30
    with open(path('day.csv'), encoding='utf-8') as file:
        lines = file.read().splitlines()
    assert len(lines) == 3 and all(l.count(',') == lines[0].count(',') for l in lines), lines
    with open(path('day.hgrm'), encoding='utf-8') as file:
        check_percentiles(file.read(), report)


def test_first_come_is_what_it_is_and_a_missed_threshold_is_99():
    code, report, said = flood(SERVER, '--mode', 'fcfs', '--threshold', 'bot_advantage<1.5',
                               '--threshold', 'oversold==0')
    assert code == 99, said
    assert '\u2717 bot_advantage<1.5' in said and '\u2713 oversold==0' in said, said
    assert report['bot_slots'] >= 27, 'bots take nearly everything'
    assert report['arrival_chi2'] > 17, 'and they came first'
    os.rename(path('report.json'), path('fcfs.json'))


def test_two_runs_compared():
    code, _, said = flood(SERVER, '--mode', 'draw', '--hasten', '0.9')
    assert code == 0, said
    done = house.run('flood', 'compare', path('fcfs.json'), path('report.json'))
    assert 'bot_slots' in done.stdout and 'different mode' in done.stdout, done.stdout
    done = house.run('flood', 'compare', path('fcfs.json'), path('report.json'), '-o', 'json')
    both = json.loads(done.stdout)
    assert both['different'] == ['mode'] and both['numbers'][0]['a'] >= 27, both
    simulated = house.run('flood', 'simulate', '--scenario', scenario(flood_kit.DAY), '--json',
                          path('sim.json'))
    done = house.run('flood', 'compare', path('sim.json'), path('sim.json'))
    assert 'different' not in done.stdout and 'people: wait' in done.stdout, (simulated, done)
    with open(path('no.json'), 'w', encoding='utf-8') as file:
        file.write('{"a": 1}')
    wrong = house.run('flood', 'compare', path('fcfs.json'), path('no.json'), check=2)
    assert 'no.json is no report' in wrong.stderr, wrong.stderr
    wrong = house.run('flood', 'compare', path('fcfs.json'), path('nowhere.json'), check=2)
    assert 'nowhere.json' in wrong.stderr, wrong.stderr


def test_bad_words():
    cases = [
        ((flood_kit.DAY.replace('think =', 'thing ='), ()), ('day.ini:15:', "'think'")),
        ((flood_kit.DAY.replace('rate = 100', 'rate = -100'), ()), ('day.ini:20:',)),
        ((flood_kit.DAY.replace('kind = bots', 'kind = bot'), ()), ('day.ini:17:', "'bots'")),
        ((flood_kit.DAY, ('--threshold', 'bot_advantag<1')), ('column 1', "'bot_advantage'")),
        ((flood_kit.DAY, ('--threshold', 'wait_p95{population=poeple}<9s')),
         ('column 21', "'people'")),
        ((flood_kit.DAY, ('--threshold', 'slots<three')), ('column 7',)),
        ((flood_kit.DAY, ('--threshold', 'slots<1') * 33), ('33 times: 32 at most',)),
        ((flood_kit.DAY, ('--mode', 'lottery')), ('fcfs, live or draw',)),
        ((flood_kit.DAY, ('--processes', '0')), ('1 to 64',)),
        ((flood_kit.DAY, ('--html', '/nowhere/page.html')), ('/nowhere/page.html',)),
        ((flood_kit.DAY, ('--target', '192.0.2.1:443')), ('--i-own-this-target',)),
        ((flood_kit.DAY, ('--issuer', '/nowhere')), ('/nowhere',)),
    ]
    for (text, words), wanted in cases:
        code, report, said = flood(SERVER, *words, file=scenario(text))
        assert code in (1, 2) and report is None, (code, said)
        assert code == 2 or words == ('--issuer', '/nowhere'), (words, said)
        assert all(word in said for word in wanted), (wanted, said)


def test_no_server():
    with socket.socket() as nobody:
        nobody.bind(('127.0.0.1', 0))
        target = f'127.0.0.1:{nobody.getsockname()[1]}'
        code, report, said = flood(SERVER, '--target', target)
    assert code == 4 and report is None and target in said, (code, said)


def test_the_target_goes_down_in_the_middle():
    server = house.Server().start()
    try:
        out = path('down.json')
        run = flood_kit.start(server, '--json', out)
        wait_for(run, 'decided', 2)
        server.kill()
        shown, said = run.communicate(timeout=60)
        assert run.returncode == 1, (run.returncode, said)
        assert 'went away' in said and 'could not be made' in shown, shown + said
        report = read(out)
        assert report['generator']['lost_target'] is True
        assert accounted(report) and report['requests']['sent'] > 0
        assert report['audit']['done'] is False
    finally:
        server.close()


def wait_for(run, word, times):
    """Lines with this word on its stderr: it is under way."""
    for line in run.stderr:
        times -= word in line
        if times == 0:
            return
    raise AssertionError('it ended before')


def test_a_target_that_is_something_else():
    """From the first byte on: it is said what it seems to be, and nothing is reported."""
    for greeting, words in ((b'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n', 'HTTP/1'),
                            (b'\x15\x03\x03\0\x02\x02\x28', 'https://'),
                            (b'220 this is a mail server\r\n', 'fairslot gateway?')):
        listener = socket.create_server(('127.0.0.1', 0))
        threading.Thread(target=greet, args=(listener, greeting), daemon=True).start()
        target = f'127.0.0.1:{listener.getsockname()[1]}'
        code, report, said = flood(SERVER, '--target', target)
        listener.close()
        assert code == 4 and report is None, (code, said)
        assert target in said and words in said and 'next: ' in said, said


def greet(listener, greeting):
    try:
        while True:
            client, _ = listener.accept()
            client.recv(65536)
            client.sendall(greeting)
            time.sleep(0.2)
            client.close()
    except OSError:
        pass


def test_out_of_descriptors():
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    code, report, said = flood(SERVER, limits=few)
    assert code == 1 and report is None and 'advantage' not in said, (code, said)
    assert 'out of file descriptors' in said and ' 16' in said and 'ulimit -n' in said, said
    assert SERVER.alive()


def test_interrupted():
    out, page = path('stopped.json'), path('stopped.html')
    run = flood_kit.start(SERVER, '--json', out, '--html', page)
    wait_for(run, 'decided', 2)
    run.send_signal(signal.SIGINT)
    shown, said = run.communicate(timeout=60)
    assert run.returncode == 130, (run.returncode, said)
    assert 'stopped' in said and 'requests' in shown, shown + said
    report = read(out)
    assert report['generator']['stopped'] is True and accounted(report)
    with open(page, encoding='utf-8') as file:
        assert '<h1>The run was stopped after ' in file.read()


class Garbler:
    """Hands the first connection (the operator's) on to the server, and answers the others with
    bytes that are no HTTP/2."""

    def __init__(self, server):
        self.server, self.first = server, True
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.target = f'127.0.0.1:{self.listener.getsockname()[1]}'
        self.data = server.data
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.first:
                self.first = False
                line = socket.create_connection(('127.0.0.1', self.server.port))
                for one, other in ((client, line), (line, client)):
                    threading.Thread(target=self.hand_on, args=(one, other), daemon=True).start()
            else:
                threading.Thread(target=self.garble, args=(client,), daemon=True).start()

    @staticmethod
    def hand_on(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass

    @staticmethod
    def garble(client):
        try:
            client.recv(65536)
            client.sendall(b'220 this is a mail server\r\n' * 20)
            time.sleep(0.2)
            client.close()
        except OSError:
            pass


def test_a_target_that_answers_garbage():
    garbler = Garbler(SERVER)
    code, report, said = flood(garbler)
    garbler.listener.close()
    assert code == 1, (code, said)
    assert 'not HTTP/2' in said and 'is 127.0.0.1' in said, said
    assert accounted(report) and report['requests']['garbage_connections'] > 0
    assert report['requests']['answered'] == 0


def test_a_late_generator_reports_nothing():
    run = subprocess.run(
        [house.BINARY, 'flood', '--scenario', scenario(), '--target', SERVER.target, '--issuer',
         SERVER.data, '--late', '1', '--json', path('late.json'), '--processes', '1'],
        capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: os.nice(19), env={**os.environ, 'FLOOD': '1'})
    if run.returncode == 0:  # this machine is quick enough: nothing was late
        assert read(path('late.json'))['generator']['late_share'] <= 0.01
        return
    assert run.returncode == 1 and 'nothing that it measured is reported' in run.stderr, run.stderr
    assert not os.path.exists(path('late.json')) and 'bots' not in run.stdout


def test_histogram_words():
    done = house.run('flood', 'histogram', check=0)
    assert json.loads(done.stdout)['count'] == 0
    for line in ('4294967296', '99999999999999999999', 'x', '-1', '1.5'):
        wrong = subprocess.run([house.BINARY, 'flood', 'histogram'], input=line + '\n', text=True,
                               capture_output=True, timeout=30, check=False)
        said = wrong.stderr.splitlines()
        assert wrong.returncode == 2 and len(said) == 2 and said[0].endswith(line), wrong


if __name__ == '__main__':
    tap.run(globals(), before, after)
