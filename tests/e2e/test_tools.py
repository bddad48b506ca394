#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: clients without a timer of their own are ended by the server's deadline; curl, nghttp,
h2load, grpcio, grpc-js and buf work as they come, over plain text and over TLS.

Deadlines are shown against a shard that is stopped (SIGSTOP), so that no answer can ever come.
"""
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import house  # before grpc: it adds to it
import grpc
import jskit
import rawh2
import tap
from grpc.health.v1 import health_pb2 as health, health_pb2_grpc as health_rpc
from house import api, api_rpc

PLAIN = house.Server()
SCRATCH = tempfile.TemporaryDirectory(prefix='fairslot tools ')
LIST, GET_POOL = ('/fairslot.v1.CatalogService/' + name for name in ('ListPools', 'GetPool'))
WATCH = '/grpc.health.v1.Health/Watch'
CHECK = '/grpc.health.v1.Health/Check'


def before():
    PLAIN.start()
    operator = PLAIN.operator()
    operator.make_pool('clients', display_name='P\u00e4sse \U0001f600')
    operator.make_slots('pools/clients', 10)


def after():
    PLAIN.close()
    SCRATCH.cleanup()


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise tap.Skip(f'{tool} is not installed')


def curl(url, *words, check=True):
    """Status and body.  No option here limits curl's own time."""
    need('curl')
    done = subprocess.run(['curl', '-sS', '-w', '\n%{http_code}', *words, url], text=True,
                          errors='replace', capture_output=True, timeout=60, check=False)
    assert not check or done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition('\n')
    return int(status), body


def nghttp(url, message, *headers):
    """What nghttp saw.  It has no timer at all."""
    need('nghttp')
    with tempfile.NamedTemporaryFile() as file:
        file.write(rawh2.message(message))
        file.flush()
        words = ['nghttp', '-v', '--no-verify-peer', '-d', file.name,
                 '-H', 'content-type: application/grpc', '-H', 'te: trailers']
        for header in headers:
            words += ['-H', header]
        done = subprocess.run([*words, url], capture_output=True, timeout=60, check=True)
        return done.stdout.decode('utf-8', 'replace')


# -- as they come ---------------------------------------------------------------------------------

def test_curl_with_nothing_but_a_body():
    status, body = curl(f'http://{PLAIN.target}{LIST}', '-d', '{}')
    assert status == 200 and json.loads(body)['pools'][0]['name'] == 'pools/clients', body


def test_h2load():
    need('h2load')
    body = os.path.join(SCRATCH.name, 'body')
    with open(body, 'wb') as file:
        file.write(rawh2.message(b''))
    done = subprocess.run(
        ['h2load', '-n', '2000', '-c', '10', '-m', '10', '-d', body,
         '-H', 'content-type: application/grpc', '-H', 'te: trailers',
         f'http://{PLAIN.target}{CHECK}'], capture_output=True, text=True, timeout=60, check=True)
    assert '2000 succeeded, 0 failed, 0 errored' in done.stdout, done.stdout
    with open(body, 'wb') as file:
        file.write(b'{}')
    done = subprocess.run(
        ['h2load', '--h1', '-n', '1000', '-c', '10', '-d', body,
         '-H', 'content-type: application/json', f'http://{PLAIN.target}{CHECK}'],
        capture_output=True, text=True, timeout=60, check=True)
    assert '1000 succeeded, 0 failed, 0 errored' in done.stdout, done.stdout


# -- the server's deadline ------------------------------------------------------------------------

class Stopped:
    """A gateway whose shard stands still: no answer can come."""

    def __enter__(self):
        self.pair = house.Pair().start()
        self.token = self.pair.tokens('waiting')[0]
        house.eventually(house.Client(self.pair.target, self.token).reaches)
        os.kill(self.pair.shard.pid, signal.SIGSTOP)
        house.eventually(self.stands)  # its threads stop one after the other
        return self

    def stands(self):
        states = []
        for path in glob.glob(f'/proc/{self.pair.shard.pid}/task/*/stat'):
            with open(path, encoding='ascii') as file:
                states.append(file.read().rpartition(')')[2].split()[0])
        return states and set(states) == {'T'}

    def __exit__(self, *problem):
        os.kill(self.pair.shard.pid, signal.SIGCONT)
        self.pair.close()

    def url(self, path):
        return f'http://{self.pair.target}{path}'


def took(action, *arguments):
    """The answer, and how long it took."""
    began = time.monotonic()
    answer = action(*arguments)
    return answer, time.monotonic() - began


def test_unary_deadlines_are_the_servers():
    with Stopped() as stopped:
        bearer = 'authorization: Bearer ' + stopped.token
        said, seconds = took(nghttp, stopped.url(LIST), b'', bearer, 'grpc-timeout: 400m')
        assert 'grpc-status: 4' in said and 0.4 <= seconds < 20, (seconds, said)
        json_type = ('-H', 'content-type: application/json')
        for version in ('--http1.1', '--http2-prior-knowledge'):
            (status, body), seconds = took(
                curl, stopped.url(LIST), version, '-d', '{}', *json_type, '-H', bearer,
                '-H', 'connect-timeout-ms: 300')
            assert status == 504 and 0.3 <= seconds < 20, (version, status, seconds)
            said = json.loads(body)
            assert said['code'] == 'deadline_exceeded', body
            assert said['details'][0]['debug']['reason'] == 'DEADLINE_EXCEEDED', body
        query = '?connect=v1&encoding=json&message=%7B%7D'
        (status, body), seconds = took(
            curl, stopped.url(LIST) + query, '-H', bearer, '-H', 'connect-timeout-ms: 300')
        assert status == 504 and seconds >= 0.3, (status, seconds, body)


def test_a_stream_is_cut_at_its_deadline():
    url = f'http://{PLAIN.target}{WATCH}'
    said, seconds = took(nghttp, url, b'', 'grpc-timeout: 300m')
    assert 'grpc-status: 4' in said and 0.3 <= seconds < 20, (seconds, said)
    body = os.path.join(SCRATCH.name, 'envelope')
    with open(body, 'wb') as file:
        file.write(b'\0\0\0\0\2{}')
    for version in ('--http1.1', '--http2-prior-knowledge'):
        (status, said), seconds = took(
            curl, url, version, '--data-binary', '@' + body, '-H',
            'content-type: application/connect+json', '-H', 'connect-timeout-ms: 300')
        assert status == 200 and 0.3 <= seconds < 20, (version, status, seconds)
        assert '{"status":"SERVING"}' in said and '"code":"deadline_exceeded"' in said, said


# -- TLS ------------------------------------------------------------------------------------------

class Secure:
    """The same folder behind TLS, while it lasts."""

    def __enter__(self):
        need('openssl')
        self.ca = os.path.join(SCRATCH.name, 'tls.pem')
        key = os.path.join(SCRATCH.name, 'tls.key')
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
             '-nodes', '-keyout', key, '-out', self.ca, '-days', '2', '-subj', '/CN=localhost',
             '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'], check=True,
            capture_output=True)
        assert PLAIN.stop() == 0
        self.server = house.Server(PLAIN.data, options=(
            '--set', 'tls.certificate=' + self.ca, '--set', 'tls.key=' + key)).start()
        self.token = self.server.tokens('secure')[0]
        return self

    def __exit__(self, *problem):
        self.server.close()
        PLAIN.start()

    def url(self, path=''):
        return f'https://{self.server.target}{path}'


def grpcio(secure):
    with open(secure.ca, 'rb') as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    me = [('authorization', 'Bearer ' + secure.token)]
    with grpc.secure_channel(secure.server.target, credentials) as channel:
        catalog = api_rpc.CatalogServiceStub(channel)
        pool = catalog.GetPool(api.GetPoolRequest(name='pools/clients'), metadata=me, timeout=20)
        assert pool.name == 'pools/clients', pool
        try:
            catalog.GetPool(api.GetPoolRequest(name='pools/none'), metadata=me, timeout=20)
            raise AssertionError('no refusal')
        except grpc.RpcError as error:
            assert house.Refused(error).reason == 'POOL_UNKNOWN', error
        statuses = health_rpc.HealthStub(channel).Watch(health.HealthCheckRequest(), timeout=20)
        assert next(statuses).status == 1
        statuses.cancel()


def test_over_tls():
    with Secure() as secure:
        bearer = 'authorization: Bearer ' + secure.token
        for version, wanted in (('--http1.1', '1.1'), ('--http2', '2')):
            status, body = curl(secure.url(GET_POOL), version, '--cacert', secure.ca, '-d',
                                '{"name":"pools/clients"}', '-H', bearer, '-w',
                                '%{http_version}\n%{http_code}')
            assert status == 200 and body.endswith(wanted), (status, body)
        said = nghttp(secure.url(CHECK), b'')
        assert 'The negotiated protocol: h2' in said and 'grpc-status: 0' in said, said
        grpcio(secure)
        done = house.run('call', 'GetPool', '{"name":"pools/clients"}', '--target', secure.url(),
                         '--ca', secure.ca)
        assert json.loads(done.stdout)['name'] == 'pools/clients', done.stdout


def test_javascript_over_tls():
    jskit.need_node()
    with Secure() as secure:
        jskit.node('client.js', os.path.join(house.ROOT, 'proto'), secure.server.target, secure.ca,
                   env={'FAIRSLOT_TOKEN': secure.token})
        buf = os.path.join(jskit.modules(), 'node_modules', '.bin', 'buf')
        for protocol in ('grpc', 'grpcweb', 'connect'):
            done = subprocess.run(
                [buf, 'curl', '--protocol', protocol, '--cacert', secure.ca, '-d',
                 '{"name": "pools/clients"}', secure.url(GET_POOL)], capture_output=True, text=True,
                timeout=60, check=True)
            assert json.loads(done.stdout)['name'] == 'pools/clients', done.stdout
        generated = os.path.join(os.path.realpath(SCRATCH.name), 'generated')
        os.mkdir(generated)
        jskit.node('connect_node.mjs', jskit.generated(generated), secure.url(), 'connect-json-h1',
                   'connect-proto-h2', 'grpc-h2', 'grpc-web-h1',
                   env={'FAIRSLOT_TOKEN': secure.token, 'NODE_EXTRA_CA_CERTS': secure.ca})


def test_clients_that_give_up():
    """They vanish in the middle of a stream; the server notices and serves the others."""
    need('curl')
    body = os.path.join(SCRATCH.name, 'frame')
    with open(body, 'wb') as file:
        file.write(rawh2.message(b''))
    for version in ('--http1.1', '--http2-prior-knowledge'):
        leaver = subprocess.Popen(
            ['curl', '-sSN', version, '--data-binary', '@' + body, '-H',
             'content-type: application/grpc-web', f'http://{PLAIN.target}{WATCH}'],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert leaver.stdout.read(7) == b'\0\0\0\0\2\x08\1', 'it left before it heard'
        leaver.kill()
        leaver.wait()
        leaver.stdout.close()
    assert 'grpc-status: 0' in nghttp(f'http://{PLAIN.target}{CHECK}', b'')


if __name__ == '__main__':
    tap.run(globals(), before, after)
