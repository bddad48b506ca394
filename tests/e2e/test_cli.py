#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: the command line as people and scripts use it: exit codes 0 to 5, JSON that parses, data on
stdout and talk on stderr, help with an example at every verb, and CSV files that are wrong.
"""
import collections
import datetime
import json
import os
import re
import shutil
import socket
import tempfile
import time

import house
import tap
from house import api, new_id, resources, run
from release_kit import City, State, WINDOW_S

SERVER = house.Server()
OK, FAILED, USAGE, PRECONDITION, UNREACHABLE, DENIED = range(6)
FOLDER = tempfile.mkdtemp(prefix='fairslot cli ')
HEADER = 'pool,date,start,duration_minutes,desk,time_zone\n'


def before():
    global OPERATOR, PERSON, TARGET
    SERVER.start()
    OPERATOR = os.path.join(SERVER.data, 'operator.token')
    PERSON = write('person.token', SERVER.tokens('person')[0])
    TARGET = ('--target', SERVER.target)


def after():
    SERVER.close()
    shutil.rmtree(FOLDER, ignore_errors=True)


def write(name, text):
    path = os.path.join(FOLDER, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def call(*words, token=None, check=OK):
    return run(*words, *TARGET, '--token-file', token or OPERATOR, check=check)


def call_json(*words, **more):
    done = call(*words, '-o', 'json', **more)
    return json.loads(done.stdout)


def verbs():
    """Every verb, as the overview lists them."""
    return [line.split('  ')[1].split() for line in run('--help').stdout.split('\n')
            if re.match(r'  [a-z]+( [a-z]+)?  +\S', line)
            and not line.startswith('  fairslot')]


# -- help -----------------------------------------------------------------------------------------

def test_help_everywhere():
    found = verbs()
    for verb in (['serve'], ['gateway'], ['shard'], ['token'], ['pool', 'create'], ['pool', 'list'],
                 ['pool', 'show'], ['slot', 'import'], ['slot', 'list'], ['reservation', 'list'],
                 ['reservation', 'show']):
        assert verb in found, (verb, found)
    for verb in found:
        done = run(*verb, '--help')
        assert 'usage: fairslot ' + verb[0] in done.stdout, (verb, done.stdout)
        assert 'example:\n  fairslot ' in done.stdout, (verb, done.stdout)
        assert done.stderr == '', (verb, done.stderr)
    for noun in ('pool', 'slot', 'reservation'):
        assert f'fairslot {noun}' in run(noun, '--help').stdout


def test_usage_is_2():
    for words in ((), ('nothing',), ('pool',), ('pool', 'nothing'), ('pool', 'create'),
                  ('pool', 'list', '--nothing'), ('pool', 'list', 'surplus'),
                  ('pool', 'list', '--target'), ('pool', 'list', '--target', 'nowhere'),
                  ('pool', 'list', '-o', 'xml'), ('serve',), ('serve', '--dev'),
                  ('token', '--data', FOLDER), ('slot', 'import'), ('reservation', 'show'),
                  ('token', '--data', FOLDER, '--subject', 'x', '--assurance', 'total'),
                  ('token', '--data', FOLDER, '--subject', 'x', '--ttl', 'long'),
                  ('token', '--data', FOLDER, '--subject', 'x', '--count', '0'),
                  ('pool', 'create', 'x', '--hold-ttl', 'soon'),
                  ('pool', 'create', 'x', '--max-live', 'many'),
                  ('gateway', '--data', FOLDER), ('gateway', '--data', FOLDER, '--shard', 'x'),
                  ('gateway', '--data', FOLDER, '--shard', 'tcp://127.0.0.1:1', '--shard', 'x'),
                  ('gateway', '--data', FOLDER, *(['--shard', 'tcp://127.0.0.1:1'] * 17))):
        done = run(*words, check=USAGE)
        assert done.stdout == '' and done.stderr, (words, done.stdout, done.stderr)


def test_did_you_mean():
    assert 'pool' in run('pol', 'list', check=USAGE).stderr
    assert 'list' in run('pool', 'lits', check=USAGE).stderr


# -- exit codes -----------------------------------------------------------------------------------

def test_pool_verbs():
    done = call('pool', 'create', 'cli', '--display-name', 'Büro Süd', '--hold-ttl', '5m',
                '--max-live', '2', '--service-class', 'cli')
    assert 'cli' in done.stdout, done.stdout
    shown = call_json('pool', 'show', 'cli', token=PERSON)
    assert shown['name'] == 'pools/cli' and shown['displayName'] == 'Büro Süd', shown
    assert shown['holdTtl'] == '300s' and shown['maxLivePerIdentity'] == 2, shown
    listed = call_json('pool', 'list', token=PERSON)
    assert [pool['name'] for pool in listed['pools']] == ['pools/cli']
    assert 'Büro Süd' in call('pool', 'list').stdout


def test_ways_of_return_and_erasure():
    """pool create and update with appeal period and way of return; identity erase, twice."""
    call('pool', 'create', 'back', '--return', 'coin', '--return-wait', '2h', '--appeal-period',
         '14d')
    shown = call_json('pool', 'show', 'back', token=PERSON)
    assert shown['returnPolicy'] == 'RETURN_POLICY_COIN', shown
    assert shown['returnWait'] == '7200s' and shown['appealPeriod'] == '1209600s', shown
    call('pool', 'update', 'back', '--return', 'named', check=FAILED)  # which release?
    call('pool', 'update', 'back', '--return', 'named', '--return-release', 'autumn')
    shown = call_json('pool', 'show', 'back', token=PERSON)
    assert shown['returnRelease'] == 'autumn', shown
    call('pool', 'create', 'wrong', '--return', 'often', check=2)
    for _ in range(2):
        done = call('identity', 'erase', '0123456789abcdef0123456789abcdef')
        assert 'erased' in done.stdout, done.stdout
    call('identity', 'erase', 'Anna', check=FAILED)


def test_precondition_is_3():
    for words in (('pool', 'show', 'nowhere'), ('pool', 'create', 'cli'),
                  ('reservation', 'show', 'pools/cli/reservations/r0123456789abcdef-1'),
                  ('slot', 'list', '--pool', 'nowhere')):
        done = call(*words, check=None)
        assert done.returncode in (PRECONDITION, DENIED), (words, done.returncode, done.stderr)
        assert done.stdout == '' and done.stderr, done
    assert call('pool', 'show', 'nowhere', check=PRECONDITION)
    assert call('pool', 'create', 'cli', check=PRECONDITION)


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def test_unreachable_is_4():
    done = run('pool', 'list', '--target', f'127.0.0.1:{free_port()}', '--token-file', OPERATOR,
               check=UNREACHABLE)
    assert done.stdout == '' and '127.0.0.1' in done.stderr, done.stderr


def test_a_server_that_is_none():
    """Something listens, and talks no HTTP/2."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.settimeout(10)
        import threading

        def answer():
            peer, _ = server.accept()
            peer.recv(100)
            peer.sendall(b'220 mail.example ESMTP\r\n')
            peer.close()
        thread = threading.Thread(target=answer)
        thread.start()
        done = run('pool', 'list', '--target', f'127.0.0.1:{server.getsockname()[1]}',
                   '--token-file', OPERATOR, check=UNREACHABLE)
        thread.join()
        assert done.stderr


def test_denied_is_5():
    for words in (('pool', 'create', 'denied'), ('slot', 'import', write('d.csv', HEADER +
                  'cli,2031-03-03,09:00,15,Desk 1,Europe/Berlin\n'))):
        done = call(*words, token=PERSON, check=DENIED)
        assert done.stdout == '' and 'operator' in done.stderr, done.stderr
    run('reservation', 'list', *TARGET, check=DENIED, env={'FAIRSLOT_TOKEN_FILE': ''})
    call('pool', 'list', token=write('bad.token', 'no.such.token'), check=DENIED)


def test_token_file_that_is_missing():
    for words in (('pool', 'list'), ('release', 'list', '--pool', 'x'), ('event', 'list'),
                  ('ticket', 'watch', 'pools/x/releases/r'), ('reservation', 'list')):
        done = call(*words, token=os.path.join(FOLDER, 'missing'), check=FAILED)
        assert 'missing' in done.stderr and 'next: ' in done.stderr, done


def test_environment():
    done = run('pool', 'list', '-o', 'json', env={'FAIRSLOT_TARGET': SERVER.target,
                                                  'FAIRSLOT_TOKEN_FILE': PERSON})
    assert json.loads(done.stdout)['pools']


def test_options_before_the_verb():
    options = (*TARGET, '--token-file', PERSON, '-o', 'json')
    behind = json.loads(run('pool', 'list', *options).stdout)
    assert json.loads(run(*options, 'pool', 'list').stdout) == behind
    assert json.loads(run('pool', *options, 'list').stdout) == behind
    for words in (('-o', 'json'), ('--dev', 'serve'), ('pool', '-o', 'json'),
                  ('pool', '--x', 'list')):
        assert 'options go behind it' in run(*words, check=USAGE).stderr, words


def test_output_that_cannot_be_written():
    with open('/dev/full', 'w', encoding='utf-8') as full:
        import subprocess
        done = subprocess.run([house.BINARY, 'pool', 'list', *TARGET, '--token-file', OPERATOR],
                              stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
    assert done.returncode == FAILED and done.stderr, done
    for words in ('pool list --help', '--help', '--version'):
        for closed in ('>/dev/full', '>&-'):
            code = subprocess.call(['sh', '-c', f'"$0" {words} {closed}', house.BINARY],
                                   stderr=subprocess.DEVNULL)
            assert code == FAILED, (words, closed, code)


# -- servers --------------------------------------------------------------------------------------

def test_only_loopback():
    done = run('serve', '--dev', '--data', os.path.join(FOLDER, 'open'), '--listen', '0.0.0.0:0',
               check=USAGE)
    assert '--insecure' in done.stderr, done.stderr
    assert not os.path.exists(os.path.join(FOLDER, 'open')), 'refused before anything is made'


def test_port_in_use():
    done = run('serve', '--dev', '--data', os.path.join(FOLDER, 'second'),
               '--listen', SERVER.target, check=FAILED)
    assert str(SERVER.port) in done.stderr, done.stderr


def test_secrets_are_ones_own():
    for name in ('operator.token', 'tenant.key', 'issuer/es256.jwk', 'issuer/rs256.jwk'):
        mode = os.stat(os.path.join(SERVER.data, name)).st_mode & 0o777
        assert mode == 0o600, (name, oct(mode))


def test_tokens():
    tokens = SERVER.tokens('many', count=3)
    assert len(tokens) == 3 and len(set(tokens)) == 3
    assert run('token', '--data', SERVER.data, '--subject', 'x').stdout.count('\n') == 1


# -- CSV ------------------------------------------------------------------------------------------

def slots_of(pool='cli'):
    return call_json('slot', 'list', '--pool', pool)['slots']


GOOD = ['cli,2031-03-03,09:00,15,Desk 1,Europe/Berlin',
        'cli,2031-03-03,09:00,15,"Desk ""2""",Europe/Berlin',
        'cli,2031-07-03,09:00,15,Desk 1,Europe/Berlin']


def test_import():
    path = write('good.csv', HEADER + '\n'.join(GOOD) + '\n')
    call('slot', 'import', path, '--dry-run')
    assert slots_of() == []
    call('slot', 'import', path)
    slots = slots_of()
    assert [slot['startTime'] for slot in slots] == ['2031-03-03T08:00:00Z'] * 2 + [
        '2031-07-03T07:00:00Z'], slots
    assert slots[1]['desk'] == 'Desk "2"' and slots[0]['state'] == 'STATE_FREE'
    call('slot', 'import', path)  # the same file again changes nothing
    assert slots_of() == slots


def test_import_again():
    """Rows that are there are left alone, whatever stands around them; a clash imports nothing."""
    call('pool', 'create', 'again')
    rows = [f'again,2031-03-03,{hour:02}:00,15,Desk 1,Europe/Berlin' for hour in range(8, 12)]
    call('slot', 'import', write('again.csv', HEADER + '\n'.join(rows[:2]) + '\n'))
    said = call('slot', 'import', write('again.csv', HEADER + '\n'.join(rows[::-1]) + '\n'),
                '-o', 'json').stdout
    assert json.loads(said) == {'createdCount': 2, 'existingCount': 2, 'poolCount': 1,
                                'dryRun': False}, said
    clash = write('clash.csv', HEADER + 'again,2031-03-03,07:00,15,Desk 1,Europe/Berlin\n'
                  'again,2031-03-03,09:00,20,desk 1,Europe/Berlin\n')
    done = call('slot', 'import', clash, check=PRECONDITION)
    assert f'{clash}:3: ' in done.stderr and done.stdout == '', done
    overlap = write('overlap.csv', HEADER + 'again,2031-04-03,07:00,60,D,UTC\n'
                    'again,2031-04-03,07:30,60,D,UTC\n')
    done = call('slot', 'import', overlap, check=FAILED)
    assert f'{overlap}:3: ' in done.stderr, done
    assert len(slots_of('again')) == 4


def test_import_of_many_slots():
    lines = [f'cli,2032-{1 + n // 1400:02}-{1 + n // 50 % 28:02},{8 + n // 5 % 10:02}:00,15,'
             f'Room {n % 5},Europe/Berlin' for n in range(5600)]
    call('slot', 'import', write('many.csv', HEADER + '\n'.join(lines) + '\n'))
    assert len(slots_of()) == 5603


def test_a_bad_line_imports_nothing():
    before_count = len(slots_of())
    bad = ['cli,2031-02-30,09:00,15,D,Europe/Berlin', 'cli,2031-05-05,25:00,15,D,Europe/Berlin',
           'cli,2031-05-05,09:00,0,D,Europe/Berlin', 'cli,2031-05-05,09:00,x,D,Europe/Berlin',
           'cli,2031-05-05,09:00,15,,Europe/Berlin', 'cli,2031-05-05,09:00,15,D,Europe/Atlantis',
           'cli,2031-05-05,09:00,15,D', 'cli,2031-05-05,09:00,15,D,Europe/Berlin,more',
           'Cli!,2031-05-05,09:00,15,D,Europe/Berlin', 'cli,2031-05-05,09:00,15,"D,Europe/Berlin',
           'cli,2031-03-30,02:30,15,D,Europe/Berlin', 'cli,2031-05-05,09:00,15,\x01,Europe/Berlin',
           'cli,2031-05-05,09:00,99999,D,Europe/Berlin', ',2031-05-05,09:00,15,D,Europe/Berlin']
    for line in bad:
        path = write('bad.csv', HEADER + 'cli,2031-05-05,08:00,15,D,Europe/Berlin\n' + line + '\n'
                     'cli,2031-05-05,10:00,15,D,Europe/Berlin\n')
        done = call('slot', 'import', path, check=None)
        assert done.returncode in (FAILED, PRECONDITION), (line, done)
        assert f'{path}:3: ' in done.stderr, (line, done.stderr)
        assert len(slots_of()) == before_count, line


def test_every_bad_line_is_named():
    path = write('bad.csv', HEADER + 'cli,x,09:00,15,D,UTC\ncli,2031-05-05,09:00,15,D,UTC\n'
                 'cli,y,1,1,1,1\n')
    done = call('slot', 'import', path, check=None)
    assert f'{path}:2: ' in done.stderr and f'{path}:4: ' in done.stderr, done.stderr


def test_files_that_are_no_csv_of_ours():
    for name, text in (('empty', ''), ('no-header', GOOD[0] + '\n'), ('header', HEADER),
                       ('columns', 'pool,date\n'), ('binary', '\x00\x01\x02'),
                       ('double', HEADER + GOOD[0] + '\n' + GOOD[0] + '\n'),
                       ('unknown', HEADER + 'nowhere,2031-05-05,09:00,15,D,UTC\n')):
        done = call('slot', 'import', write(name + '.csv', text), check=None)
        assert done.returncode in (FAILED, PRECONDITION), (name, done)
        assert f'{name}.csv' in done.stderr, (name, done.stderr)
    done = call('slot', 'import', os.path.join(FOLDER, 'missing.csv'), check=None)
    assert done.returncode in (FAILED, USAGE) and 'missing.csv' in done.stderr, done


def test_reservations():
    client = house.Client(SERVER.target, open(PERSON, encoding='utf-8').read())
    slot = client.slots('pools/cli', free_only=True)[0].name
    taken = client.confirm(client.hold(slot).name)
    listed = call_json('reservation', 'list', token=PERSON)['reservations']
    assert [r['name'] for r in listed] == [taken.name]
    shown = call_json('reservation', 'show', taken.name, token=PERSON)
    assert shown['name'] == taken.name and shown['state'] == 'STATE_CONFIRMED'
    assert call_json('reservation', 'list', token=OPERATOR).get('reservations', []) == []
    other = write('other.token', SERVER.tokens('other')[0])
    call('reservation', 'show', taken.name, token=other, check=DENIED)
    assert client.GetReservation(api.GetReservationRequest(name=taken.name)) == taken


def test_mass_work():
    """More than 256 slots, which is what one command may touch: a list in slices, and a release
    that is cancelled, closed and restocked."""
    call('pool', 'create', 'mass', '--scarce')
    client = house.Client(SERVER.target, open(OPERATOR, encoding='utf-8').read().strip())
    names = client.make_slots('pools/mass', 1200, desks=20)
    listed = write('mass.slots', '\n'.join(n.split('/')[-1] for n in names[:600]) + '\n')

    def states():
        return dict(collections.Counter(s.state for s in client.slots('pools/mass')))

    release = 'pools/mass/releases/r'
    for number, (end, left) in enumerate((('cancel', 1), ('close', 5))):
        soon = datetime.datetime.now(datetime.timezone.utc)
        begin = soon.strftime('%Y-%m-%dT%H:%M:%SZ')
        call('release', 'create', release + str(number), '--entry-open', begin, '--window', '2s',
             '--grace', '0s', '--slots-from',
             (soon + datetime.timedelta(hours=1)).strftime('%Y-%m-%dT%H:%M:%SZ'),
             '--slots-to', (soon + datetime.timedelta(days=9)).strftime('%Y-%m-%dT%H:%M:%SZ'))
        if end == 'close':
            house.eventually(lambda: client.GetRelease(api.GetReleaseRequest(
                name=release + '1')).state == resources.Release.STATE_STANDBY)
        call('release', end, release + str(number))
        house.eventually(lambda: client.GetRelease(api.GetReleaseRequest(
            name=release + str(number))).state in (resources.Release.STATE_CANCELLED,
                                                   resources.Release.STATE_CLOSED))
        assert states() == {left: 1200}, (end, states())
    assert call_json('pool', 'restock', 'mass')['restockedCount'] == 1200

    def block(verb='block', file=listed, check=0):
        return call('slot', verb, '--pool', 'mass', '--file', file, check=check)

    free = client.make_pool('mass-free').name
    other = client.make_slots(free, 600, desks=20)
    mixed = write('mixed.slots', ' '.join(other))
    taken = house.Client(SERVER.target, SERVER.tokens('mass')[0])
    hold = taken.hold(other[300])
    p = call('slot', 'block', '--file', mixed, check=PRECONDITION)
    assert 'SLOT_TAKEN' in p.stderr and '256 slots of the file were done' in p.stderr, p
    taken.drop(hold.name)
    assert call('slot', 'block', '--file', mixed).stdout == '344 slots blocked\n'
    assert call_json('slot', 'unblock', '--file', mixed)['changedCount'] == 600
    assert block().stdout == '600 slots blocked\n' and block().stdout == '0 slots blocked\n'
    assert states() == {1: 600, 4: 600}
    assert block('unblock').stdout == '600 slots unblocked\n' and states() == {1: 1200}
    block(file=write('none.slots', 'no-slot ' + 'x/y '), check=USAGE)
    block(file=write('zero.slots', 'a\0b'), check=PRECONDITION)
    block(file=listed + '.none', check=PRECONDITION)
    for words in (('x', '--file', listed), ('--file', listed, '--request-id', new_id())):
        call('slot', 'block', '--pool', 'mass', *words, check=USAGE)
    assert states() == {1: 1200}


def test_times_moves_and_stock():
    """hold create --at, reservation reschedule and reconfirm, slot block and watch, pool update
    and restock: each on its own line, and what it prints."""
    call('pool', 'create', 'desk', '--max-slots', '3', '--max-changes', '1', '--max-live', '4')
    client = house.Client(SERVER.target, open(OPERATOR, encoding='utf-8').read().strip())
    names = client.make_slots('pools/desk', 12, first=1924992000 + 28800, desks=2)
    at = '2031-01-01T09:00:00+01:00'
    held = call_json('hold', 'create', 'desk', '--at', at, '--count', '2', token=PERSON)
    assert [s['state'] for s in held['slots']] == ['STATE_HELD'] * 2, held
    same = call_json('hold', 'create', '--pool', 'desk', '--at', at, token=PERSON)
    assert len(same['slots']) == 1
    call('hold', 'drop', same['name'], token=PERSON)
    call('hold', 'create', 'desk', '--at', at, '--count', '4', token=PERSON, check=PRECONDITION)
    taken = call_json('hold', 'confirm', held['name'], token=PERSON)
    assert 'and 1 more' in call('reservation', 'show', taken['name'], token=PERSON).stdout
    moved = call_json('reservation', 'reschedule', taken['name'], '--at',
                      '2031-01-01T09:30:00+01:00', token=PERSON)
    assert moved['name'] == taken['name'] and moved['changesLeft'] == 0, moved
    call('reservation', 'reschedule', taken['name'], '--slot', names[-1].split('/')[-1],
         token=PERSON, check=PRECONDITION)
    sure = call_json('reservation', 'reconfirm', taken['name'], token=PERSON)
    assert sure['state'] == 'STATE_RECONFIRMED'
    for words in (('hold', 'create', 'desk', '--at', 'noon'), ('hold', 'create', '--at', at),
                  ('hold', 'create', 'desk', '--count', '2'),
                  ('hold', 'create', 'desk', '--at', at, '--count', '9'),
                  ('reservation', 'reschedule', taken['name']),
                  ('reservation', 'reschedule', taken['name'], '--at', at, '--slot', 'x'),
                  ('reservation', 'cancel', taken['name'], '--at', at),
                  ('pool', 'update', 'desk'), ('pool', 'update', 'desk', '--scarce', 'perhaps'),
                  ('pool', 'update', 'desk', '--cool-down', 'soon'), ('slot', 'block'),
                  ('slot', 'block', 'x'), ('slot', 'watch')):
        call(*words, token=PERSON, check=USAGE)
    free = [s['name'] for s in call_json('slot', 'list', '--pool', 'desk', '--free')['slots']]
    done = call('slot', 'block', *free[-2:], '--reason', 'water')
    assert done.stdout == '2 slots blocked\n', done.stdout
    call('slot', 'block', moved['slots'][0]['name'], check=None)
    short = [name.split('/')[-1] for name in free[-2:]]
    assert call_json('slot', 'unblock', '--pool', 'desk', *short)['changedCount'] == 2
    assert call('pool', 'restock', 'desk').stdout == '3 slots are free again\n'
    assert call_json('pool', 'restock', 'desk')['restockedCount'] == 0
    changed = call_json('pool', 'update', 'desk', '--office', 'Annex', '--max-changes', '0',
                        '--reconfirm-by', '24h')
    assert changed['office'] == 'Annex' and changed['maxChanges'] == -1, changed
    assert changed['reconfirmBy'] == '86400s'
    assert 'reconfirm by' in call('pool', 'show', 'desk').stdout
    back = call_json('pool', 'update', 'desk', '--reconfirm-by', 'none')
    assert 'reconfirmBy' not in back
    call('pool', 'update', 'desk', '--office', 'X', '--etag', '"v1"', check=None)
    lines = call('slot', 'watch', '--pool', 'desk', '--limit', '1').stdout.splitlines()
    assert len(lines) == 12 and sum(' taken ' in line for line in lines) == 2, lines
    part = json.loads(call('slot', 'watch', '--pool', 'desk', '--limit', '1', '-o',
                           'json').stdout.splitlines()[0])
    assert len(part['changed']) == 12 and part['complete'] is True


# -- releases -------------------------------------------------------------------------------------

def announce(release, *words):
    """A release of all that its pool has; entry is open when this returns."""
    soon = datetime.datetime.now(datetime.timezone.utc)
    days = [(soon + datetime.timedelta(days=n)).strftime('%Y-%m-%d') for n in (1, 30)]
    call('release', 'create', release, '--entry-open', 'now', '--window', f'{WINDOW_S}s', '--grace',
         '0s', '--slots-from', days[0], '--slots-to', days[1], *words)
    City(SERVER).wait(release, State.STATE_ENTRY)


def some_slots(pool, count):
    """Slots of the day after tomorrow, from nine o'clock on (UTC)."""
    first = (int(time.time()) // 86400 + 2) * 86400 + 9 * 3600
    return first, City(SERVER).operator.make_slots(pool, count, first=first)


def rfc3339(second):
    return datetime.datetime.fromtimestamp(second, datetime.timezone.utc).isoformat()


def test_a_turn():
    """Served by turn: somebody waits for it, chooses with it, and nobody chooses without."""
    call('pool', 'create', 'turns', '--scarce')
    first, names = some_slots('pools/turns', 2)
    release = 'pools/turns/releases/t'
    announce(release, '--serving', 'turn')
    people = [write(f'turn{i}', token) for i, token in enumerate(SERVER.tokens('turn', count=3))]
    for who in people:
        call('ticket', 'create', release, token=who)
    early = call('hold', 'create', names[0], '--ticket', 't', token=people[0], check=PRECONDITION)
    assert 'NOT_YOUR_TURN' in early.stderr and 'ticket watch' in early.stderr, early
    City(SERVER).wait(release, State.STATE_SERVING)

    def looked():
        states = [call_json('ticket', 'watch', 't', '--pool', 'turns', '--limit', '1',
                            token=who)['state'] for who in people]
        return sorted(states) == ['STATE_TURN', 'STATE_TURN', 'STATE_WAITING'] and states

    states = house.eventually(looked)
    has = [who for who, state in zip(people, states) if state == 'STATE_TURN']
    waits = people[states.index('STATE_WAITING')]
    line = call('ticket', 'watch', release, '--limit', '1', token=has[0]).stdout
    assert re.match(r'TURN +rank [0-9a-f]{16}, about 0 before it until 20\S+Z\n$', line), line
    call('hold', 'create', names[0], token=has[0], check=PRECONDITION)
    got = call_json('hold', 'create', names[0], '--ticket', 't', token=has[0])
    assert got['slots'][0]['name'] == names[0] and got['state'] == 'STATE_LIVE', got
    got = call_json('hold', 'create', 'turns', '--at', rfc3339(first + 900), '--ticket', release,
                    token=has[1])
    assert got['slots'][0]['name'] == names[1], got
    call('hold', 'create', names[0], '--ticket', 't', token=waits, check=PRECONDITION)
    done = call('ticket', 'watch', release, token=has[0])
    assert done.stdout.startswith('USED '), done
    call('release', 'close', release)
    assert 'RELEASE_CLOSED' in call('ticket', 'watch', release, token=waits).stdout


def test_what_a_release_needs():
    """Each option that is missing is named, and each field that the server refuses says why."""
    call('pool', 'create', 'needs', '--scarce')
    some_slots('pools/needs', 1)
    release = 'pools/needs/releases/n'
    given = {'--entry-open': 'now', '--window': '60s', '--slots-from': '2031-01-01',
             '--slots-to': '2031-02-01'}
    for name in given:
        words = [word for pair in given.items() if pair[0] != name for word in pair]
        done = call('release', 'create', release, *words, check=USAGE)
        assert f'{name} TIME: is needed' in done.stderr, done
    words = [word for pair in given.items() for word in pair]
    call('release', 'create', release, *words, '--entry-close', '2030-01-01', check=USAGE)
    past = ('--entry-open', '2020-01-01', '--entry-close', '2020-01-02', *words[4:])
    done = call('release', 'create', release, *past, check=FAILED)
    assert 'release.entry_close_time: must be in the future' in done.stderr, done


def test_wishes_and_a_beacon():
    """Wishes of every kind, in the order in which they stand; the beacon's value comes in time."""
    call('pool', 'create', 'wishes', '--scarce')
    first, names = some_slots('pools/wishes', 3)
    release = 'pools/wishes/releases/w'
    announce(release, '--beacon', 'dice')
    assert call_json('release', 'show', release)['partsWait'] == '600s'
    last = names[2].split('/')[-1]
    ticket = json.loads(call(
        'ticket', 'create', release, '--slot', last, '--between',
        f'{rfc3339(first)}/{rfc3339(first + 900)}', '--slot', names[1], '--any',
        token=PERSON).stdout)
    wishes = ticket['preferences']
    assert [list(w)[0] for w in wishes] == ['slot', 'slotClass', 'slot', 'any'], wishes
    assert wishes[0]['slot'] == names[2] and wishes[2]['slot'] == names[1], wishes
    assert wishes[1]['slotClass']['toTime'] == rfc3339(first + 900).replace('+00:00', 'Z'), wishes
    for wrong in ('noon/night', rfc3339(first) + '/', 'x/y/z'):
        call('ticket', 'create', release, '--between', wrong, token=PERSON, check=USAGE)
    for wrong in ((), ('--value', ''), ('--value', 'abc'), ('--value', 'xy'),
                  ('--value', 'ab' * 513)):
        call('release', 'beacon', release, *wrong, check=USAGE)
    call('release', 'beacon', release, '--value', '06', check=PRECONDITION)
    City(SERVER).wait(release, State.STATE_SEALED)
    assert 'waits for the beacon (dice)' in call('release', 'show', release).stdout
    call('release', 'beacon', release, '--value', '06', token=PERSON, check=DENIED)
    call('release', 'beacon', 'w', '--pool', 'wishes', '--value', 'C0ffee')
    City(SERVER).standby(release)
    shown = call_json('release', 'show', release)
    text = call('release', 'show', release).stdout
    assert re.search(r'\n  seed      [0-9a-f]{64}\n', text) and 'waits' not in text, text
    assert shown['beaconValue'] == 'wP/u' and not shown.get('missingParts'), shown
    won = call_json('ticket', 'show', release, token=PERSON)
    assert call_json('hold', 'show', won['hold'], token=PERSON)['slots'][0]['name'] == names[2]


if __name__ == '__main__':
    tap.run(globals(), before, after)
