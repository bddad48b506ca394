#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: the flood's other ways in: TLS, IPv6, tokens minted ahead, slots out of a file, the shard
asked itself; round trips and slow readers on real sockets; and a generator that was stopped in the
middle reports nothing.
"""
import asyncio
import os
import signal
import ssl
import subprocess
import threading
import time

import flood_kit
import house
import papers
import tap
from flood_kit import accounted, flood, path, scenario

SLOW = flood_kit.SLOW
DAY = f'''[scenario]
slots = 20
window = {1 * SLOW} s
grace = 200 ms
accept = 10 s
run = {3 * SLOW} s
assurance = substantial
[population people]
kind = people
identities = 60
connections = 4
reaction = {100 * SLOW} ms
think = 50 ms
[population bots]
kind = bots
identities = 20
connections = 2
rate = 50
'''
CA = papers.authority('ca')
CERTIFICATE, KEY = papers.issue('server', 'ca', 'DNS:localhost,IP:127.0.0.1')
MINE, MY_KEY = papers.issue('tester', 'ca')
SECURE = house.Server(options=('--set', 'tls.certificate=' + CERTIFICATE,
                               '--set', 'tls.key=' + KEY))
PAIR = house.Pair()


class Six(house.Server):
    """On the loopback address of IPv6."""

    def start(self):
        self.process = house.Process('serve', '--dev', '--data', self.data, '--listen', '[::1]:0')
        self.port = int(self.process.wait_ready('grpc').rpartition(':')[2])
        return self

    @property
    def target(self):
        return f'[::1]:{self.port}'


class Porter:
    """Stands before a plain server and lets in who shows a certificate of the CA, as a front of
    another make does."""

    def __init__(self, server):
        self.server, self.data = server, server.data
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=CA)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_cert_chain(CERTIFICATE, KEY)
        self.context.set_alpn_protocols(['h2'])
        self.loop, ready = asyncio.new_event_loop(), threading.Event()
        self.loop.set_exception_handler(lambda loop, context: None)  # who is turned away
        threading.Thread(target=self.run, args=(ready,), daemon=True).start()
        assert ready.wait(20)

    def run(self, ready):
        listener = self.loop.run_until_complete(
            asyncio.start_server(self.enter, '127.0.0.1', 0, ssl=self.context))
        self.target = f'https://127.0.0.1:{listener.sockets[0].getsockname()[1]}'
        ready.set()
        self.loop.run_forever()

    async def enter(self, reader, writer):
        within, out = await asyncio.open_connection('127.0.0.1', self.server.port)
        await asyncio.gather(self.carry(reader, out), self.carry(within, writer))

    @staticmethod
    async def carry(source, to):
        try:
            while data := await source.read(65536):
                to.write(data)
                await to.drain()
        except OSError:
            pass
        to.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


def before():
    PAIR.start()


def after():
    PAIR.close()
    flood_kit.SCRATCH.cleanup()


def day(name='short.ini', text=DAY):
    return scenario(text, name)


def passed(server, *words, file=None):
    code, report, said = flood(server, *words, file=file or day())
    assert code == 0, said
    assert accounted(report) and report['audit']['done'], report
    assert report['audit']['taken'] == report['slots'] == sum(
        p['slots'] for p in report['populations']), report['audit']
    return report, said


def test_over_tls():
    SECURE.start()
    try:
        passed(SECURE, '--target', f'https://localhost:{SECURE.port}', '--ca', CA)
        code, report, said = flood(SECURE, '--target', f'https://127.0.0.1:{SECURE.port}',
                                   file=day())
        assert code != 0 and report is None and '--ca' in said, (code, said)
        code, report, said = flood(SECURE, '--target', f'https://127.0.0.1:{SECURE.port}', '--ca',
                                   path('nowhere.pem'), file=day())
        assert code == 2 and report is None and 'nowhere.pem' in said, (code, said)
    finally:
        SECURE.close()


def test_with_a_certificate_of_its_own():
    """Operator, crowd, the winners who ask again and the verifier of the order all show it."""
    porter = Porter(PAIR)
    try:
        report, _ = passed(porter, '--ca', CA, '--cert', MINE, '--key', MY_KEY)
        assert report['audit']['order_wrong'] == report['audit']['double_confirmed'] == 0
        code, report, said = flood(porter, '--ca', CA, file=day())
        assert code in (1, 4) and report is None and 'error: ' in said, (code, said)
        for words, wrong in ((('--cert', MINE), '--cert and --key go together'),
                             (('--key', MY_KEY), '--cert and --key go together'),
                             (('--cert', path('no.pem'), '--key', MY_KEY), 'no.pem'),
                             (('--cert', MINE, '--key', KEY), 'key')):
            code, report, said = flood(porter, '--ca', CA, *words, file=day())
            assert code == 2 and report is None and wrong in said, (words, code, said)
    finally:
        porter.close()


def test_over_ipv6():
    server = Six().start()
    try:
        passed(server)
    finally:
        server.close()


def test_tokens_minted_ahead():
    tokens = path('day.tokens')
    _, said = passed(PAIR, '--prepared', tokens)
    assert 'minting 80 tokens into' in said and os.stat(tokens).st_mode & 0o777 == 0o600, said
    _, said = passed(PAIR, '--prepared', tokens, '--seed', '2')
    assert 'minting' not in said and '80 tokens out of' in said, said
    with open(tokens, 'rb') as file:
        whole = file.read()
    other = day('other.ini', DAY.replace('identities = 60', 'identities = 61'))
    wrong = [(whole, other, "another crowd's"), (whole[:-9], day(), 'damaged'),
             (b'\0' * 40, day(), 'damaged'), (b'x' * 9000, day(), 'no tokens'),
             (whole[:40] + b'\1' + b'\0' * 7 + whole[48:], day(), 'too old'),
             (whole[:48] + b'\xff' * 16 + whole[64:], day(), 'damaged'),
             (whole[:-8] + b'\xff' * 8, day(), 'damaged')]
    for content, file, text in wrong:
        with open(path('bad.tokens'), 'wb') as out:
            out.write(content)
        code, report, said = flood(PAIR, '--prepared', path('bad.tokens'), file=file)
        assert code == 1 and report is None and text in said and 'remove the file' in said, said
    code, _, said = flood(PAIR, '--prepared', '/nowhere/tokens', file=day())
    assert code == 1 and '/nowhere/tokens' in said, (code, said)


def test_slots_out_of_a_file():
    date = time.strftime('%Y-%m-%d', time.gmtime(time.time() + 9 * 86400))
    with open(path('slots.csv'), 'w', encoding='utf-8') as file:
        file.write('date,start,duration_minutes,desk,time_zone\n')
        for minute in range(0, 60, 5):
            file.write(f'{date},10:{minute:02},5,Room {minute % 2},UTC\n')
    report, _ = passed(PAIR, '--slots', path('slots.csv'))
    assert report['slots'] == 12, report['slots']
    with open(path('bad.csv'), 'w', encoding='utf-8') as file:
        file.write(f'date,start,duration_minutes,desk,time_zone\n{date},10:00,x,Room,UTC\n')
    code, report, said = flood(PAIR, '--slots', path('bad.csv'), file=day())
    assert code == 2 and report is None and 'bad.csv:2:' in said, (code, said)
    code, report, said = flood(PAIR, '--slots', path('none.csv'), file=day())
    assert code == 2 and report is None and 'there is no such file' in said, (code, said)


def test_the_shard_is_asked_itself():
    report, _ = passed(PAIR, '--audit-shard', PAIR.shard_url)
    audit = report['audit']
    assert audit['shards_asked'] == 1 and audit['shard_differs'] == 0, audit
    assert audit['shard_slots'] == audit['shard_taken'] == 20, audit
    code, report, said = flood(PAIR, '--audit-shard', PAIR.shard_url, '--audit-shard',
                               PAIR.shard_url, file=day())  # as if two shards had the pool
    assert report['audit']['shard_slots'] == 40 and report['audit']['shard_differs'] == 20, report
    code, report, said = flood(PAIR, '--audit-shard', 'tcp://127.0.0.1:1', file=day())
    assert code == 4 and report is None and 'cannot connect to the shard' in said, (code, said)


def test_served_by_turns():
    """Each turn names a slot of its own choice; holders who choose one slot at once ask again."""
    turns = DAY.replace('grace =', 'by_turn = yes\ngrace =').replace(
        f'run = {3 * SLOW} s', f'run = {2 * SLOW} s')  # nobody ends it: who waits may get a turn
    code, report, said = flood(PAIR, file=day('turns.ini', turns))
    assert code == 0 and accounted(report) and report['audit']['done'], said
    assert 0 < report['audit']['taken'] == report['audit']['reservations'], report['audit']
    assert report['audit']['order_wrong'] == 0, report['audit']


def test_round_trips_take_their_time():
    """First come first served: whoever is near wins, and the report has it."""
    far = DAY.replace('kind = people', 'kind = people\nrtt = 300 ms').replace(
        'kind = bots', 'kind = bots\nrtt = 2 ms')
    report, _ = passed(PAIR, '--mode', 'fcfs', file=day('far.ini', far))
    fifths = report['rtt_fifths']
    assert len(fifths) == 5 and sum(f['identities'] for f in fifths) == 80, fifths
    assert fifths[0]['rtt_ms'] < 20 < fifths[-1]['rtt_ms'], fifths
    assert fifths[0]['win_share'] > fifths[-1]['win_share'], fifths
    assert report['rtt_spearman'] < 0, report['rtt_spearman']
    assert report['latency']['ListSlots']['p90_ms'] > 150, report['latency']
    assert report['generator']['late_share'] <= 0.01, 'a journey is no lateness'


def test_slow_readers_leave_answers_unread():
    slow = DAY.replace('kind = bots', 'kind = slow-readers\nunread = 700 ms\nrtt = 0').replace(
        'rate = 50\n', 'reaction = 50 ms\nthink = 10 ms\n')
    report, _ = passed(PAIR, file=day('slow.ini', slow))
    assert report['populations'][1]['requests']['answered'] > 20, report['populations'][1]
    assert report['latency']['CreateTicket']['max_ms'] > 600, report['latency']


def test_a_generator_that_stood_still_reports_nothing():
    """All of a second's requests leave late: more than 1 %."""
    out = path('late.json')
    run = subprocess.Popen(
        [house.BINARY, 'flood', '--scenario', day(), '--target', PAIR.target, '--issuer',
         PAIR.data, '--late', '100', '--json', out], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, 'NO_COLOR': '1'})
    children, until = [], time.monotonic() + 60
    while not children and time.monotonic() < until:  # they stand before the release opens
        time.sleep(0.01)
        with open(f'/proc/{run.pid}/task/{run.pid}/children', encoding='ascii') as file:
            children = [int(pid) for pid in file.read().split()]
    assert children, 'the generator is a process of its own'
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2.5 + SLOW)  # two seconds of them are before the opening
    for pid in children:
        os.kill(pid, signal.SIGCONT)
    shown, said = run.communicate(timeout=120)
    assert run.returncode == 1, (run.returncode, said)
    assert 'nothing that it measured is reported' in said and '--processes' in said, said
    assert not os.path.exists(out) and 'advantage' not in shown, shown


def test_a_misspelt_verb():
    done = house.run('flood', 'simulat', check=2)
    assert 'fairslot flood simulate' in done.stderr, done.stderr
    done = house.run('flood', 'xyzzy', check=2)
    assert 'flood --help' in done.stderr, done.stderr


if __name__ == '__main__':
    tap.run(globals(), before, after)
