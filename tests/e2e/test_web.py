#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: what web developers use works on the one port: connect-node with code of protoc-gen-es, and
buf curl over three protocols with reflection.  Browsers: test_browser.py.
"""
import concurrent.futures
import http.client
import json
import os
import subprocess
import tempfile

import house
import jskit
import tap

SERVER = house.Server()
SCRATCH = tempfile.TemporaryDirectory(prefix='fairslot web ')
FACES = ('connect-json-h1', 'connect-json-h2', 'connect-proto-h1', 'connect-proto-h2',
         'connect-get-h1', 'connect-get-h2', 'grpc-h2', 'grpc-web-h1', 'grpc-web-h2')
CHECK = '/grpc.health.v1.Health/Check'
GET_POOL = '/fairslot.v1.CatalogService/GetPool'


def once_is_enough():
    if house.SANITIZED:
        raise tap.Skip('it is about no code of the server: the plain build shows it')


def before():
    SERVER.start()
    operator = SERVER.operator()
    operator.make_pool('clients', display_name='P\u00e4sse \U0001f600')
    operator.make_slots('pools/clients', 20)


def after():
    SERVER.close()
    SCRATCH.cleanup()


def test_the_build_needs_no_node():
    """node and npm that fail, and say so, stand first in PATH: configuring never asks them."""
    once_is_enough()
    traps = os.path.join(SCRATCH.name, 'traps')
    caught = os.path.join(SCRATCH.name, 'caught')
    os.mkdir(traps)
    for name in ('node', 'nodejs', 'npm', 'npx'):
        path = os.path.join(traps, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'#!/bin/sh\necho {name} "$@" >> "{caught}"\nexit 1\n')
        os.chmod(path, 0o755)
    build = os.path.join(SCRATCH.name, 'build')
    done = subprocess.run(['meson', 'setup', build, house.ROOT], capture_output=True, text=True,
                          env={**os.environ, 'PATH': traps + ':' + os.environ['PATH']}, timeout=240,
                          check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert not os.path.exists(caught), jskit.read(caught)
    rules = jskit.read(os.path.join(build, 'build.ninja'))
    assert 'node_modules' not in rules and 'e2e/js/' not in rules


def test_connect_node_over_every_face():
    jskit.need_node()
    generated = jskit.generated(os.path.realpath(SCRATCH.name))
    said = jskit.node('connect_node.mjs', generated, f'http://{SERVER.target}', *FACES,
                      env={'FAIRSLOT_TOKEN': SERVER.tokens('node')[0]})
    assert said.count('booked, refused, streamed') == len(FACES), said


# -- JSON that is wrong ---------------------------------------------------------------------------

WRONG = (  # body, and what is said of it
    (b'', 'an empty body is no JSON'), (b'{', 'no JSON'), (b'null', 'no JSON'),
    (b'[]', 'an object is wanted'),
    (b'{"name": 1}', 'name: a string is wanted'), (b'{"name":"a"}x', 'no JSON'),
    (b'{"name":"a","name":"b"}', 'a member is given twice'), (b'{"name":"\xff"}', 'no UTF-8'),
    (b'{"name":"\\ud800"}', 'no JSON'), (b'{"name":"\\u0000"}', 'NUL'), (b'{"a":NaN}', 'no JSON'),
    (b'{"a":1e999}', 'a number is too large'), (b'{"a":' + b'9' * 1000 + b'}', 'too large'),
    (b'{"a":' + b'[' * 30000 + b']' * 30000 + b'}', 'nested too deeply'),
    (b'{"a":' + b'{"a":' * 10000 + b'1' + b'}' * 10001, 'nested too deeply'))


def test_wrong_json_is_told():
    """Each is a refusal that names what is wrong; what is no more than unknown is passed over."""
    line = http.client.HTTPConnection(SERVER.target, timeout=20)

    def post(body):
        line.request('POST', GET_POOL, body, {'content-type': 'application/json'})
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())

    for body, about in WRONG:
        status, said = post(body)
        assert status == 400 and said['code'] == 'invalid_argument', (body[:60], status, said)
        assert about in said['message'], (body[:60], said)
        assert said['details'][0]['debug']['reason'] == 'MESSAGE_MALFORMED', said
    status, said = post(b'{"nmae": {"a": [[1], null]}, "name": "pools/clients"}')
    assert status == 200 and said['name'] == 'pools/clients', said
    status, said = post(b'{"a":"' + b'x' * 70000 + b'"}')
    assert said['code'] == 'resource_exhausted', said
    line.close()


# -- buf curl -------------------------------------------------------------------------------------

def buf(*words, path='', check=True):
    """buf curl; its stdout, or (check False) its stderr, or (None) both.  It learns the API by
    reflection."""
    token = SERVER.tokens('buf')[0]
    done = subprocess.run(
        [os.path.join(jskit.modules(), 'node_modules', '.bin', 'buf'), 'curl', *words,
         '-H', f'authorization: Bearer {token}', f'http://{SERVER.target}{path}'],
        capture_output=True, text=True, timeout=30, check=False)
    if check is None:
        return done
    assert (done.returncode == 0) == check, (words, done.stdout, done.stderr)
    return done.stdout if check else done.stderr


# h1 has no trailers for gRPC; reflection is a stream both ways, which buf asks of h2 alone.
BUF = (('grpc', 'h2'), ('grpcweb', 'h2'), ('connect', 'h2'), ('grpcweb', 'h1'), ('connect', 'h1'))


def how(protocol, version):
    if version == 'h2':
        return ('--protocol', protocol, '--http2-prior-knowledge')
    schema = os.path.join(SCRATCH.name, 'api.binpb')
    if not os.path.exists(schema):
        jskit.descriptor_set(schema)
    return ('--protocol', protocol, '--schema', schema)


def test_buf_curl_three_protocols():
    for face in BUF:
        said = json.loads(buf(*how(*face), '-d', '{"name": "pools/clients"}', path=GET_POOL))
        assert said['displayName'] == 'P\u00e4sse \U0001f600', said
        said = json.loads(buf(*how(*face), '-d', '{"name": "pools/none"}', path=GET_POOL,
                              check=False))
        assert said['code'] == 'not_found', said
        assert said['details'][0]['type'] == 'google.rpc.ErrorInfo', said
        assert json.loads(buf(*how(*face), '-d', '{}', path=CHECK)) == {'status': 'SERVING'}


def test_buf_curl_reflects():
    for protocol in ('grpc', 'grpcweb', 'connect'):
        said = buf(*how(protocol, 'h2'), '--list-methods')
        assert 'fairslot.v1.CatalogService/ListPools' in said.split(), said


def test_buf_curl_streams():
    """All at once: most of the time is waiting."""
    how('connect', 'h1')  # makes the schema once

    def watch(face):
        return buf(*how(*face), '-d', '{}', '--timeout', '4s',
                   path='/grpc.health.v1.Health/Watch', check=None)

    with concurrent.futures.ThreadPoolExecutor(len(BUF)) as pool:
        for face, done in zip(BUF, pool.map(watch, BUF)):
            said = (face, done.stdout, done.stderr)
            assert done.stdout and json.loads(done.stdout) == {'status': 'SERVING'}, said
            assert json.loads(done.stderr)['code'] == 'deadline_exceeded', said


if __name__ == '__main__':
    tap.run(globals(), before, after)
