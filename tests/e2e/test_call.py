#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: `fairslot call METHOD JSON` reaches every method, says what protobuf's own JSON says, and
refuses as every other verb does.  The second opinion on its JSON is Python's json_format.
"""
import json
import os
import subprocess
import tempfile
import time

from google.protobuf import json_format

import house
import tap
from house import api, run

SERVER = house.Server()
OK, FAILED, USAGE, PRECONDITION, UNREACHABLE, DENIED = range(6)
CATALOG = 'CatalogService/'


def before():
    global PERSON, OPERATOR, CLIENT
    SERVER.start()
    CLIENT = SERVER.operator()
    CLIENT.make_pool('call', display_name='P\u00e4sse "1"')
    CLIENT.make_slots('pools/call', 5)
    OPERATOR = os.path.join(SERVER.data, 'operator.token')
    PERSON = os.path.join(SERVER.data, 'person.token')
    with open(PERSON, 'w', encoding='utf-8') as file:
        file.write(SERVER.tokens('person')[0])


def after():
    SERVER.close()


def call(*words, token=None, check=OK, **more):
    return run('call', *words, '--target', SERVER.target, '--token-file', token or PERSON,
               check=check, **more)


def ask(*words, **more):
    """One answer."""
    said = call(*words, **more).stdout
    assert said.count('\n') == 1 and said.endswith('\n'), said
    return json.loads(said)


def test_reads_are_what_protobuf_says():
    pool = CLIENT.GetPool(api.GetPoolRequest(name='pools/call'))
    said = ask(CATALOG + 'GetPool', '{"name": "pools/call"}')
    assert said == json_format.MessageToDict(pool), said
    slots = CLIENT.ListSlots(api.ListSlotsRequest(parent='pools/call', page_size=3))
    said = ask('fairslot.v1.CatalogService/ListSlots', '{"parent": "pools/call", "page_size": "3"}')
    wanted = json_format.MessageToDict(slots)
    said.pop('asOfTime'), wanted.pop('asOfTime')
    assert said == wanted, (said, wanted)
    short, long = ask('ListPools'), ask('/fairslot.v1.CatalogService/ListPools', '{}')
    for answer in short, long:
        answer.pop('asOfTime', None)
    assert short == long, (short, long)


def test_books():
    slot = ask('ListSlots', '{"parent": "pools/call", "freeOnly": true}')['slots'][0]['name']
    hold = ask('CreateHold', json.dumps({'parent': 'pools/call', 'slot': slot}))
    assert hold['state'] == 'STATE_LIVE' and hold['slots'][0]['state'] == 'STATE_HELD', hold
    request_id = house.new_id()
    wish = json.dumps({'name': hold['name'], 'etag': hold['etag'], 'requestId': request_id})
    reservation = ask('ConfirmHold', wish)
    assert reservation == ask('ConfirmHold', wish), 'the same request id, the same answer'
    assert ask('ReservationService/GetReservation',
               json.dumps({'name': reservation['name']})) == reservation
    assert ask('CancelReservation', json.dumps({'name': reservation['name']}))['state'] \
        == 'STATE_CANCELLED'


def test_request_from_file_and_stdin():
    wanted = ask('GetPool', '{"name":"pools/call"}')
    with tempfile.NamedTemporaryFile('w', suffix=' .json') as file:
        file.write('{\n  "name": "pools/call"\n}\n')
        file.flush()
        assert ask('GetPool', '@' + file.name) == wanted
    done = subprocess.run([house.BINARY, 'call', 'GetPool', '-', '--target', SERVER.target,
                           '--token-file', PERSON], input='{"name":"pools/call"}', text=True,
                          capture_output=True, timeout=30, check=True)
    assert json.loads(done.stdout) == wanted
    assert 'no such file' in call('GetPool', '@nowhere', check=FAILED).stderr
    with tempfile.NamedTemporaryFile('w') as file:
        file.write(' ' * (1 << 20) + '{}')
        file.flush()
        assert 'more than 1 MiB' in call('GetPool', '@' + file.name, check=FAILED).stderr


def test_a_stream_is_a_line_an_answer():
    said = call('Health/Watch', '--limit', '1').stdout
    assert json.loads(said) == {'status': 'SERVING'}, said
    said = call('WatchSlots', '{"parent":"pools/call"}', '--limit', '1').stdout
    assert len(json.loads(said)['changed']) == 5, said
    began = time.monotonic()
    done = call('Health/Watch', '--timeout', '1s', check=UNREACHABLE)
    assert json.loads(done.stdout) == {'status': 'SERVING'}, done.stdout
    assert 'DEADLINE_EXCEEDED' in done.stderr, done.stderr
    assert 0.9 < time.monotonic() - began < 20
    done = call('v1.ServerReflection/ServerReflectionInfo', '{"listServices": ""}')
    services = json.loads(done.stdout)['listServicesResponse']['service']
    assert {'name': 'fairslot.v1.CatalogService'} in services, services


def test_wrong_requests_are_usage():
    for text, about in (('', 'an empty body is no JSON'), ('{', 'no JSON'),
                        ('[]', 'an object is wanted'), ('{"name": 1}', 'name: a string is wanted'),
                        ('{"name":"a","name":"b"}', 'a member is given twice'),
                        ('{"nmae": "a"}', 'nmae: this message has no such member'),
                        ('{"name": "\ud800"}'.encode('utf-8', 'surrogatepass'), 'no UTF-8')):
        done = call('GetPool', os.fsdecode(text) if isinstance(text, bytes) else text, check=USAGE)
        assert about in done.stderr and done.stdout == '', (text, done.stderr)
        assert 'next: fairslot call --describe fairslot.v1.CatalogService/GetPool' in done.stderr
    assert 'did you mean ListPools?' in call('ListPols', check=USAGE).stderr
    assert 'write more of the name' in call('ServerReflectionInfo', check=USAGE).stderr
    for words in ((), ('GetPool', '{}', 'more'), ('GetPool', '--limit', '0'),
                  ('GetPool', '--timeout', 'x'), ('--describe', 'nothing'), ('--describe',)):
        call(*words, check=USAGE)
    assert run('call', 'GetPool', '--target', 'nowhere', check=USAGE).stdout == ''


def test_refusals_have_the_codes_of_all_verbs():
    done = call('GetPool', '{"name":"pools/none"}', check=PRECONDITION)
    assert '(POOL_UNKNOWN)' in done.stderr and done.stdout == '', done.stderr
    assert '(FIELD_INVALID)' in call('GetPool', check=FAILED).stderr
    assert '(ROLE_MISSING)' in call('CreatePool', '{"poolId":"x"}', check=DENIED).stderr
    assert '(TOKEN_MISSING)' in run('call', 'CreateHold', '--target', SERVER.target,
                                    check=DENIED).stderr
    assert 'METHOD_PLANNED' in call('ListBackups', token=OPERATOR, check=None).stderr
    run('call', 'GetPool', '--target', '127.0.0.1:9', check=UNREACHABLE)
    assert ask('CreatePool', '{"poolId":"called"}', token=OPERATOR)['name'] == 'pools/called'


def test_lists_and_describes():
    methods = [line.split()[0] for line in run('call', '--list').stdout.strip().split('\n')]
    assert 'grpc.health.v1.Health/Check' in methods and len(methods) > 50, methods
    for method in methods:
        said = run('call', '--describe', method).stdout
        assert said.startswith(method + '\nrequest '), said
    said = run('call', '--describe', 'CreatePool').stdout
    for line in ('  pool                   Pool\n',
                 '  holdTtl                duration, as "1.5s"\n',
                 'ASSURANCE_UNSPECIFIED | ASSURANCE_LOW'):
        assert line in said, said


if __name__ == '__main__':
    tap.run(globals(), before, after)
