#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: clients that others wrote work, and the README's words are true as they stand.

Clients: @grpc/grpc-js (node), nghttp (no gRPC library at all), the README's python client.
"""
import os
import re
import shutil
import socket
import subprocess
import tempfile

import house
import jskit
import rawh2
import readme
import tap
from grpc.health.v1 import health_pb2 as health
from house import api

SERVER = house.Server()
README_PORTS = [17700, 17701, 17702, 17703, 17711, 17712, 17713, 17720]


def before():
    SERVER.start()
    operator = SERVER.operator()
    operator.make_pool('clients')
    operator.make_slots('pools/clients', 10)


def after():
    SERVER.close()


# -- nghttp ---------------------------------------------------------------------------------------

def nghttp(path, body, *headers):
    with tempfile.NamedTemporaryFile() as file:
        file.write(rawh2.message(body))
        file.flush()
        words = ['nghttp', '-v', '-d', file.name, '-H', 'content-type: application/grpc', '-H',
                 'te: trailers']
        for header in headers:
            words += ['-H', header]
        done = subprocess.run([*words, f'http://{SERVER.target}{path}'], capture_output=True,
                              timeout=20, check=True)
        return done.stdout.decode('utf-8', 'replace')


def test_nghttp_health():
    if not shutil.which('nghttp'):
        raise tap.Skip('nghttp is not installed (nghttp2-client)')
    said = nghttp('/grpc.health.v1.Health/Check', health.HealthCheckRequest().SerializeToString())
    assert ':status: 200' in said and 'grpc-status: 0' in said, said
    assert 'content-type: application/grpc' in said, said


def test_nghttp_books_a_slot():
    if not shutil.which('nghttp'):
        raise tap.Skip('nghttp is not installed (nghttp2-client)')
    token = SERVER.tokens('nghttp')[0]
    client = house.Client(SERVER.target, token)
    slot = client.slots('pools/clients', free_only=True)[0].name
    request = api.CreateHoldRequest(parent='pools/clients', slot=slot, request_id=house.new_id())
    path = '/fairslot.v1.ReservationService/CreateHold'
    said = nghttp(path, request.SerializeToString(), 'authorization: Bearer ' + token)
    assert 'grpc-status: 0' in said and '/holds/h' in said, said
    said = nghttp(path, request.SerializeToString())
    assert 'grpc-status: 16' in said and 'grpc-status-details-bin' in said, said


# -- grpc-js --------------------------------------------------------------------------------------

def test_grpc_js():
    jskit.node('client.js', os.path.join(house.ROOT, 'proto'), SERVER.target,
               env={'FAIRSLOT_TOKEN': SERVER.tokens('node')[0]})


# -- the README -----------------------------------------------------------------------------------

def port_is_free(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(('127.0.0.1', port))
            return True
        except OSError:
            return False


def shell_script(steps):
    """The README as one script: blocks run as they stand, the client is saved under its name, and
    what they left running ends with the script."""
    script = "set -e\ntrap 'kill $(jobs -p); wait' EXIT\n"
    for kind, path, block in steps:
        if kind == 'page':
            continue  # test_browser.py runs it
        script += block if kind == 'run' else f'cat > {path} <<"README_END"\n{block}README_END\n'
    return script


def test_readme_clients_are_twenty_lines():
    for kind in ('client', 'page'):
        code = [line for line in readme.code(kind).split('\n') if line.strip()]
        assert 10 <= len(code) <= 20, f'{kind}: {len(code)} lines of code'


def test_readme_runs_as_it_stands():
    steps = readme.steps()
    assert sum(kind == 'run' for kind, _, _ in steps) >= 3, steps
    taken = [port for port in README_PORTS if not port_is_free(port)]
    if taken:
        raise tap.Skip(f'another server listens on 127.0.0.1:{taken[0]}, a port of the README')
    folder = tempfile.mkdtemp(prefix='fairslot readme ')
    os.symlink(os.path.join(house.ROOT, 'proto'), os.path.join(folder, 'proto'))
    os.makedirs(os.path.join(folder, 'build'))
    os.symlink(house.BINARY, os.path.join(folder, 'build', 'fairslot'))
    try:
        done = subprocess.run(['bash', '-c', shell_script(steps)], cwd=folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90,
                              env={**os.environ, 'PATH': '/usr/bin:/bin'})
        said = done.stdout
        assert done.returncode == 0, said
        assert re.search(r'^reserved 2\S+Z?, code \S+$', said, re.M), said
        assert re.search(r'^Passports, City Hall: 3 slots are free$', said, re.M), said
        assert '{"pools":[{"name":"pools/passports"' in said, 'curl: ' + said
        assert re.search(r'^leader +(nodes/[123]|none)$', said, re.M), said
        assert re.search(r'^3 +(up|down) +(voter|leader) ', said, re.M), said
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    tap.run(globals(), before, after)
