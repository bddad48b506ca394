# SPDX-License-Identifier: MIT
"""Operations: metrics that promtool takes, probes, logs as JSON, SIGHUP."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import house
import tap
from house import admin, api, eventually

SERVER = house.Server(options=('--set', 'ops.listen=127.0.0.1:0', '--set', 'log.access=yes'))
OPS = None
REQUESTS = 'fairslot_rpc_requests_total'
PARENT = '00f067aa0ba902b7'
TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'


def before():
    global OPS
    SERVER.start()
    OPS = SERVER.process.ready['ops']


def after():
    SERVER.close()


def get(path, target=None, method='GET'):
    """(status, text) of a page."""
    request = urllib.request.Request(f'http://{target or OPS}{path}', method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics(target=None):
    status, text = get('/metrics', target)
    assert status == 200
    return text


def value(text, series):
    found = [line for line in text.splitlines() if line.startswith(series + ' ')]
    return float(found[0].rpartition(' ')[2]) if found else 0.0


def lines(process, name=None):
    """The log's lines so far, of an event."""
    found = [json.loads(line) for line in process.talk if line.startswith('{')]
    return [line for line in found if name in (None, line['name'])]


def test_promtool_takes_the_metrics():
    client = SERVER.operator()
    pool = client.make_pool('counted').name
    slots = client.make_slots(pool, 3)
    person = SERVER.person('ada')
    person.confirm(person.hold(slots[0]).name)
    text = metrics()
    promtool = subprocess.run([os.path.join(house.ROOT, 'tests', 'lib', 'promtool')], check=True,
                              capture_output=True, text=True).stdout.strip()
    done = subprocess.run([promtool, 'check', 'metrics'], input=text, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and done.stdout + done.stderr == '', done.stdout + done.stderr


def test_what_happened_is_counted():
    was = metrics()
    person = SERVER.person('grace')
    house.refused(5, 'SLOT_UNKNOWN', person.hold, 'pools/counted/slots/s20310303t0800-nowhere')
    person.slots('pools/counted')
    text = eventually(lambda: (t := metrics()) and value(
        t, 'fairslot_shard_log_index') > 0 and t)
    for series, least in (
            (REQUESTS + '{class="reserve",protocol="grpc",reason="SLOT_UNKNOWN"}', 1),
            (REQUESTS + '{class="search",protocol="grpc",reason="OK"}', 1),
            ('fairslot_refusals_total{reason="SLOT_UNKNOWN"}', 1),
            ('fairslot_rpc_duration_seconds_count{class="search"}', 1),
            ('fairslot_queue_wait_seconds_count{class="search"}', 1),
            ('fairslot_token_cache_lookups_total{cache="hit"}', 1),
            ('fairslot_token_cache_lookups_total{cache="miss"}', 1),
            ('fairslot_token_verifications_total{verdict="good"}', 1),
            ('fairslot_hop_batch_calls_count', 2),
            ('fairslot_hop_batches_total{outcome="answered"}', 2),
            ('fairslot_shard_rounds_total{way="write"}', 1),
            ('fairslot_shard_rounds_total{way="read"}', 1),
            ('fairslot_shard_commit_duration_seconds_count', 1)):
        assert value(text, series) >= value(was, series) + least, (series, value(text, series))
    for series in ('fairslot_connections', 'fairslot_hop_connected', 'fairslot_shard_log_index',
                   'fairslot_shard_storage_free_bytes', 'fairslot_shard_map_bytes{map="state"}',
                   'process_open_fds', 'process_resident_memory_bytes',
                   'process_cpu_seconds_total'):
        assert value(text, series) > 0, series
    assert abs(value(text, 'process_start_time_seconds') - time.time()) < 120
    assert re.search(r'fairslot_build_info\{version="[^"]+"\} 1\n', text)
    assert len(text) < 200000


def test_probes():
    assert get('/livez') == (200, 'alive\n')
    assert get('/readyz') == (200, 'ready\n')
    assert get('/')[0] == 404 and get('/metrics/..')[0] == 404
    assert get('/livez', method='HEAD') == (200, '')
    assert get('/metrics', method='POST')[0] in (405, 413)


def test_hostile_requests_end_their_connection_alone():
    host, _, port = OPS.rpartition(':')
    silent = [socket.create_connection((host, int(port)), timeout=10) for _ in range(12)]
    many = socket.create_connection((host, int(port)), timeout=10)
    many.sendall(b'GET /livez HTTP/1.1\r\nX: ' + b'x' * 20000)
    assert many.recv(100).startswith(b'HTTP/1.1 431 ')
    noise = socket.create_connection((host, int(port)), timeout=10)
    noise.sendall(os.urandom(100))
    assert noise.recv(100).startswith(b'HTTP/1.1 400 ')
    assert get('/livez')[0] == 200
    # A silent one is closed by its clock, and more than 16 at once are closed at once.
    more = [socket.create_connection((host, int(port)), timeout=10) for _ in range(10)]
    closed = [s for s in more if ended(s, 2)]
    assert closed, 'as many as one likes'
    assert ended(silent[0], 15), 'waits for ever'
    for s in silent + more + [many, noise]:
        s.close()
    assert eventually(lambda: get('/livez')[0] == 200)


def ended(sock, seconds):
    sock.settimeout(seconds)
    try:
        return sock.recv(1) == b''
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def test_access_log_has_pseudonyms_only():
    token = SERVER.tokens('a very particular person')[0]
    client = house.Client(SERVER.target, token)
    client.raw('/fairslot.v1.ReservationService/ListReservations',
               api.ListReservationsRequest(parent='pools/-').SerializeToString(),
               metadata=[('authorization', 'Bearer ' + token),
                         ('traceparent', f'00-{TRACE}-{PARENT}-01')])
    line = eventually(lambda: [x for x in lines(SERVER.process, 'ACCESS')
                               if x.get('trace_id') == TRACE])[0]
    assert line['event'] == 'FS-2900' and line['level'] == 'info'
    assert line['method'] == '/fairslot.v1.ReservationService/ListReservations'
    assert (line['protocol'], line['status'], line['reason']) == ('grpc', 0, 'OK')
    assert re.fullmatch('[0-9a-f]{16}', line['identity']) and line['duration_us'] > 0
    for line in SERVER.process.talk:
        assert 'particular' not in line and token not in line and '127.0.0.1' not in line, line


def test_slow_round_names_the_traces_that_waited():
    if house.SANITIZED or not shutil.which('strace'):
        raise tap.Skip('needs strace')
    slow = ('strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync,pwrite64', '-e',
            'inject=fdatasync,pwrite64:delay_enter=60000')
    server = house.Server(options=('--set', 'shard.slow_round=50ms'), wrapper=slow)
    try:
        server.start()
        request = admin.CreatePoolRequest(pool_id='slow', request_id=house.new_id())
        request.pool.display_name, request.pool.time_zone = 'Slow', 'Europe/Berlin'
        request.pool.service_class, request.pool.max_live_per_identity = 'slow', 1
        request.pool.hold_ttl.seconds = 600
        operator = server.operator()
        operator.raw('/fairslot.admin.v1.PoolAdminService/CreatePool', request.SerializeToString(),
                     metadata=operator.metadata() + [('traceparent', f'00-{TRACE}-{PARENT}-01')])
        line = eventually(lambda: [x for x in lines(server.process, 'ROUND_SLOW')
                                   if TRACE in x['trace_ids']])[0]
        assert line['event'] == 'FS-3003' and line['duration_us'] > 50000, line
        assert line['commands'] >= 1 and line['index'] >= 1, line
    finally:
        server.close()


def test_traceparent_that_is_none_is_ignored():
    client = SERVER.person('somebody')
    for header in ('', '00', f'ff-{TRACE}-{PARENT}-01', f'00-{"0" * 32}-{PARENT}-01',
                   f'00-{TRACE.upper()}-{PARENT}-01', 'x' * 3000):
        client.raw('/fairslot.v1.CatalogService/ListPools', b'',
                   metadata=client.metadata() + [('traceparent', header)])
    assert not [x for x in lines(SERVER.process, 'ACCESS')
                if x.get('trace_id') not in (None, TRACE)]


def test_ready_while_the_shard_is_away():
    pair = house.Pair()
    try:
        pair.start_shard()
        pair.process = house.Process('gateway', '--data', pair.data, '--shard', pair.shard_url,
                                     '--listen', '127.0.0.1:0', '--set', 'ops.listen=127.0.0.1:0')
        pair.process.wait_ready('grpc')
        ops = pair.process.ready['ops']
        assert eventually(lambda: get('/readyz', ops) == (200, 'ready\n'))
        pair.shard.kill()
        assert eventually(lambda: get('/readyz', ops) == (503, 'the shard is not connected\n'))
        assert get('/livez', ops)[0] == 200, 'a gateway without its shard must not be restarted'
        assert value(metrics(ops), 'fairslot_hop_connected') == 0
        pair.start_shard()
        assert eventually(lambda: get('/readyz', ops)[0] == 200)
        # Once, or twice where the first dial of a slow start took its time.
        assert eventually(lambda: {x['event'] for x in lines(pair.process, 'SHARD_AWAY')} ==
                          {'FS-2101'})
    finally:
        pair.close()


def test_not_ready_while_draining():
    server = house.Server(options=('--set', 'ops.listen=127.0.0.1:0', '--set', 'gateway.drain=6s'))
    try:
        server.start()
        ops = server.process.ready['ops']
        assert eventually(lambda: get('/readyz', ops)[0] == 200)
        idle = socket.create_connection(('127.0.0.1', server.port), timeout=30)
        idle.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0')
        # A stream that stays open: the headers of a health watch would do; half a call does, too.
        os.kill(server.process.pid, signal.SIGTERM)
        states = set()
        while server.alive():
            try:
                states.add(get('/readyz', ops))
            except OSError:
                break
            time.sleep(0.05)
        assert (503, 'draining\n') in states, states
        idle.close()
        assert server.process.wait() == 0
    finally:
        server.close()


def test_shard_has_its_own():
    data = house.scratch_folder()
    shard = house.Process('shard', '--data', data, '--listen', 'tcp://127.0.0.1:0', '--set',
                          'ops.listen=127.0.0.1:0')
    shard.wait_ready('shard')
    assert eventually(lambda: get('/readyz', shard.ready['ops']) == (200, 'ready\n'))
    assert 'fairslot_shard_log_index' in metrics(shard.ready['ops'])
    assert shard.stop() == 0


def test_address_in_use():
    done = house.run('serve', '--dev', '--data', house.scratch_folder(), '--listen', '127.0.0.1:0',
                     '--set', f'ops.listen={OPS}', check=1)
    assert f'cannot listen on {OPS} for operations' in done.stderr, done.stderr


def test_hangup_applies_what_can_be():
    folder = house.scratch_folder()
    path = os.path.join(folder, 'fairslot.conf')

    def write(text):
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)

    write('[log]\naccess = no\n')
    server = house.Server(options=('--config', path, '--set', 'ops.listen=127.0.0.1:0'))
    try:
        server.start()
        person = server.person('ada')
        assert person.reaches() and not lines(server.process, 'ACCESS')
        assert allowed_origin(server) is None
        write('[log]\naccess = yes\n[gateway]\nloops = 2\n'
              '[cors]\norigins = https://booking.example.org\n[network]\nrate = 7\n')
        os.kill(server.process.pid, signal.SIGHUP)
        read = eventually(lambda: lines(server.process, 'CONFIG_READ'))
        assert read[0]['changed'] == 3, read
        assert allowed_origin(server) == 'https://booking.example.org'
        restart = lines(server.process, 'CONFIG_NEEDS_RESTART')
        assert [line['key'] for line in restart] == ['gateway.loops'], restart
        assert person.reaches() and eventually(lambda: lines(server.process, 'ACCESS'))
        write('[log]\naccess = no\nlevl = warn\n')
        os.kill(server.process.pid, signal.SIGHUP)
        wrong = eventually(lambda: lines(server.process, 'CONFIG_WRONG'))
        assert f"{path}:3: unknown key 'levl'" in wrong[0]['message'], wrong
        count = len(lines(server.process, 'ACCESS'))
        assert person.reaches()
        assert eventually(lambda: len(lines(server.process, 'ACCESS')) > count), 'the old one holds'
        write('[log]\naccess = no\n[tls]\nkey = fairslot.conf\n')
        os.kill(server.process.pid, signal.SIGHUP)
        assert eventually(lambda: [x for x in lines(server.process, 'CONFIG_WRONG')
                                   if f'{path}:4: tls.key' in x['message']])
        os.remove(path)
        os.kill(server.process.pid, signal.SIGHUP)
        assert eventually(lambda: [x for x in lines(server.process, 'CONFIG_WRONG')
                                   if 'cannot be read: No such file' in x['message']])
        text = metrics(server.process.ready['ops'])
        assert value(text, 'fairslot_config_reloads_total{verdict="good"}') == 1
        assert value(text, 'fairslot_config_reloads_total{verdict="refused"}') == 3
    finally:
        server.close()


def allowed_origin(server):
    """What a page of booking.example.org is told."""
    request = urllib.request.Request(
        f'http://{server.target}/fairslot.v1.CatalogService/ListPools', data=b'{}',
        headers={'content-type': 'application/json', 'origin': 'https://booking.example.org'})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers['access-control-allow-origin']
    except urllib.error.HTTPError as error:
        return error.headers['access-control-allow-origin']


if __name__ == '__main__':
    tap.run(globals(), before, after)
