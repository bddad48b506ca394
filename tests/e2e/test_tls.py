# SPDX-License-Identifier: MIT
"""Clients of others over TLS, what is refused and how, tickets, and a certificate that changes
under load without a call lost."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import house
import papers
import tap
from house import api, grpc

CA = papers.authority('ca')
CERTIFICATE, KEY = papers.issue('server', 'ca', 'DNS:localhost,IP:127.0.0.1')
WORDS = ('--set', 'tls.certificate=' + papers.path('live.pem'),
         '--set', 'tls.key=' + papers.path('live.key'), '--set', 'ops.listen=127.0.0.1:0',
         '--set', 'gateway.loops=2')
SERVER = house.Server(options=WORDS)
OPS = None


def use(name):
    """What the server finds at its paths."""
    for kind in ('pem', 'key'):
        shutil.copy2(papers.path(f'{name}.{kind}'), papers.path('new'))
        os.rename(papers.path('new'), papers.path('live.' + kind))


def before():
    global OPS
    use('server')
    SERVER.start()
    OPS = SERVER.process.ready['ops']
    client = secure()
    client.token = SERVER.operator_token()
    client.make_pool('counter')
    client.close()


def secure(server=None, token=None, ca=CA, options=()):
    """house.Client over TLS, by grpcio's own library (BoringSSL)."""
    client = house.Client('127.0.0.1:1', token)
    client.channel.close()
    with open(ca, 'rb') as file:
        roots = grpc.ssl_channel_credentials(file.read())
    client.channel = grpc.secure_channel((server or SERVER).target, roots,
                                         options=[('grpc.use_local_subchannel_pool', 1), *options])
    client.stubs = [stub(client.channel) for stub in (
        house.api_rpc.CatalogServiceStub, house.api_rpc.ReservationServiceStub,
        house.admin_rpc.PoolAdminServiceStub)]
    return client


def counted(name, **labels):
    """One sample of /metrics; 0 when it is not there."""
    with urllib.request.urlopen(f'http://{OPS}/metrics', timeout=10) as answer:
        text = answer.read().decode()
    inner = ','.join(f'{key}="{value}"' for key, value in labels.items())
    head = f'fairslot_{name}{{{inner}}} ' if labels else f'fairslot_{name} '
    return sum(float(line[len(head):]) for line in text.splitlines() if line.startswith(head))


def s_client(*words, send=b'', seconds=10):
    done = subprocess.run(['openssl', 's_client', '-connect', SERVER.target, '-CAfile', CA, *words],
                          input=send, capture_output=True, timeout=seconds)
    return (done.stdout + done.stderr).decode(errors='replace')


def raw(data=b'', patience=10):
    link = socket.create_connection(('127.0.0.1', SERVER.port), timeout=patience)
    if data:
        link.sendall(data)
    return link


def read_all(link):
    out = b''
    try:
        while part := link.recv(65536):
            out += part
    except ConnectionError:
        pass
    return out


def well():
    """Whoever means well is served."""
    client = secure(token=SERVER.operator_token())
    assert client.ListPools(api.ListPoolsRequest()).pools[0].name == 'pools/counter'
    client.close()


def test_grpcio():
    before_ok = counted('tls_handshakes_total', handshake='ok')
    well()
    assert counted('tls_handshakes_total', handshake='ok') > before_ok
    stranger = secure(ca=papers.authority('stranger'))
    try:
        stranger.ListPools(api.ListPoolsRequest(), timeout=3)
        raise AssertionError('a client that does not trust us was served')
    except house.Refused as refusal:
        assert refusal.code in (4, 14), refusal
    stranger.close()
    subprocess.run(['openssl', 's_client', '-connect', SERVER.target, '-verify_return_error',
                    '-CAfile', papers.path('stranger.pem')], input=b'', capture_output=True,
                   timeout=10)
    house.eventually(lambda: counted('tls_handshakes_total', handshake='alert') > 0)


def curl(*words):
    return subprocess.run(['curl', '-sS', '--cacert', CA, '--max-time', '10', *words],
                          capture_output=True, text=True)


def test_curl_and_nghttp():
    url = f'https://{SERVER.target}/grpc.health.v1.Health/Check'
    for version, words in (('2', ['--http2']), ('1.1', ['--http1.1'])):
        done = curl('--tlsv1.3', *words, '-H', 'content-type: application/json', '-d', '{}', '-w',
                    ' %{http_version} %{http_code}', url)
        assert done.stdout.endswith(f' {version} 200'), done
        assert 'SERVING' in done.stdout, done
    old = curl('--tls-max', '1.2', url)
    assert old.returncode == 35, old
    done = subprocess.run(['nghttp', '-v', '--no-verify-peer', '-H', ':method: POST', '-H',
                           'content-type: application/grpc', '-H', 'te: trailers', '-d', os.devnull,
                           url], capture_output=True, text=True, timeout=20)
    assert 'The negotiated protocol: h2' in done.stdout, done.stdout
    assert 'grpc-status: ' in done.stdout, done.stdout


def test_what_is_agreed_upon():
    said = s_client('-alpn', 'h2,http/1.1')
    for word in ('TLSv1.3', 'ALPN protocol: h2', 'X25519', 'Verify return code: 0 (ok)'):
        assert word in said, (word, said)
    assert 'ALPN protocol: http/1.1' in s_client('-alpn', 'http/1.1')
    assert 'no application protocol' in s_client('-alpn', 'smtp')
    assert 'No ALPN negotiated' in s_client()
    assert 'alert protocol version' in s_client('-tls1_2')
    for kind in ('alpn', 'version'):
        house.eventually(lambda: counted('tls_handshakes_total', handshake=kind) > 0)


def test_tls12_by_configuration():
    server = house.Server(options=WORDS + ('--set', 'tls.tls12=yes'))
    server.start()
    said = subprocess.run(['openssl', 's_client', '-connect', server.target, '-CAfile', CA,
                           '-tls1_2', '-alpn', 'h2'], input=b'', capture_output=True, timeout=10)
    assert b'TLSv1.2' in said.stdout and b'ECDHE' in said.stdout, said.stdout
    server.close()


def test_coming_back_with_a_ticket():
    ticket = papers.path('ticket')
    before_back = counted('tls_handshakes_total', handshake='resumed')
    first = subprocess.Popen(['openssl', 's_client', '-connect', SERVER.target, '-CAfile', CA,
                              '-alpn', 'h2', '-sess_out', ticket], stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    house.eventually(lambda: os.path.exists(ticket) and os.path.getsize(ticket) > 0)
    first.stdin.close()
    first.wait(10)
    said = subprocess.run(['openssl', 'sess_id', '-in', ticket, '-noout', '-text'],
                          capture_output=True, text=True, check=True).stdout
    assert 'Max Early Data: 0' in said, said
    assert 'Reused, TLSv1.3' in s_client('-alpn', 'h2', '-sess_in', ticket)
    house.eventually(lambda: counted('tls_handshakes_total', handshake='resumed') > before_back)
    os.kill(SERVER.process.pid, signal.SIGHUP)  # a new certificate does not cost the ticket
    house.eventually(lambda: any('was read again' in line for line in SERVER.process.talk))
    assert 'Reused, TLSv1.3' in s_client('-alpn', 'h2', '-sess_in', ticket)


def test_gateways_share_ticket_keys():
    keys, ticket = papers.path('ticket.keys'), papers.path('shared.ticket')
    with open(keys, 'wb') as file:
        file.write(os.urandom(80))
    os.chmod(keys, 0o600)
    pair = [house.Server(options=WORDS + ('--set', 'tls.ticket_keys=' + keys)) for _ in range(2)]
    for server in pair:
        server.start()
    first = subprocess.Popen(['openssl', 's_client', '-connect', pair[0].target, '-CAfile', CA,
                              '-alpn', 'h2', '-sess_out', ticket], stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    house.eventually(lambda: os.path.exists(ticket) and os.path.getsize(ticket) > 0)
    first.stdin.close()
    first.wait(10)
    said = subprocess.run(['openssl', 's_client', '-connect', pair[1].target, '-CAfile', CA,
                           '-alpn', 'h2', '-sess_in', ticket], input=b'', capture_output=True,
                          timeout=10)
    assert b'Reused, TLSv1.3' in said.stdout, said.stdout
    for server in pair:
        server.close()


def test_plain_text_on_the_tls_port():
    answer = read_all(raw(b'GET / HTTP/1.1\r\nhost: x\r\n\r\n'))
    assert answer.startswith(b'HTTP/1.1 400 ') and b'https://' in answer, answer
    read_all(raw(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))  # ended, with an alert or without
    for garbage in (b'\x00' * 100, os.urandom(300), b'SSH-2.0-x\r\n' * 20,
                    b'\x16\x03\x01\xff\xff' * 9):
        read_all(raw(garbage))
    house.eventually(lambda: counted('tls_handshakes_total', handshake='not_tls') > 2)
    well()


def client_hello():
    return papers.hello(ssl.create_default_context(cafile=CA))


def test_broken_handshakes():
    hello = client_hello()
    for at in range(6, len(hello), 37):  # one byte wrong: refused, or agreed upon and then stuck
        link = raw(hello[:at] + bytes([hello[at] ^ 0x5a]) + hello[at + 1:])
        link.close()
    link = raw(hello)
    assert link.recv(65536)[0] == 22, 'a ServerHello'
    link.sendall(os.urandom(200))
    read_all(link)
    huge = b'\x16\x03\x01\x40\x00\x01\x00\xff\xff' + bytes(16380)  # a ClientHello of over 64 KiB
    read_all(raw(huge * 5))
    fragments = b''.join(b'\x16\x03\x01\x00\x01' + bytes([byte]) for byte in hello[5:])
    link = raw(fragments)  # a record for each byte is allowed
    assert link.recv(65536)[0] == 22
    link.close()
    well()


def test_half_a_hello_and_silence():
    server = house.Server(options=WORDS + ('--set', 'tls.handshake=300ms', '--set',
                                           'gateway.hello=300ms'))
    server.start()
    for data in (b'', client_hello()[:40], client_hello()):
        link = socket.create_connection(('127.0.0.1', server.port), timeout=10)
        link.sendall(data)
        began = time.monotonic()
        read_all(link)
        assert 0.2 < time.monotonic() - began < 5
    server.close()
    server = house.Server(options=WORDS + ('--set', 'tls.handshake=0'))
    server.start()  # the same without the limit
    link = socket.create_connection(('127.0.0.1', server.port), timeout=1.5)
    link.sendall(client_hello()[:40])
    try:
        assert link.recv(100) is None, 'it was closed'
    except socket.timeout:
        pass
    server.close()


def test_half_a_record():
    server = house.Server(options=WORDS + ('--set', 'gateway.hello=500ms'))
    server.start()
    context = ssl.create_default_context(cafile=CA)
    context.set_alpn_protocols(['h2'])
    plain = socket.create_connection(('127.0.0.1', server.port), timeout=10)
    link = context.wrap_socket(plain, server_hostname='localhost')
    link.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0')
    link.recv(1000)
    bare = socket.socket(fileno=os.dup(link.fileno()))
    bare.settimeout(10)
    bare.sendall(b'\x17\x03\x03\x40\x00' + bytes(100))  # 16,284 bytes of it never come
    began = time.monotonic()
    read_all(bare)
    assert 0.3 < time.monotonic() - began < 5
    server.close()


def test_a_good_bye_waits_for_the_answer():
    context = ssl.create_default_context(cafile=CA)
    link = context.wrap_socket(socket.create_connection(('127.0.0.1', SERVER.port), timeout=10),
                               server_hostname='localhost', suppress_ragged_eofs=False)
    body = b'{}'
    link.sendall(b'POST /grpc.health.v1.Health/Check HTTP/1.1\r\nhost: x\r\n'
                 b'content-type: application/json\r\ncontent-length: 2\r\n\r\n' + body)
    assert b'SERVING' in link.recv(4096)
    link.unwrap()  # both sides say close_notify; a connection cut without one would raise
    link.close()
    well()


def test_key_update_flood():
    talk = subprocess.Popen(['openssl', 's_client', '-connect', SERVER.target, '-CAfile', CA,
                             '-alpn', 'h2'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        for _ in range(200):  # "K" on a line of its own asks for a key update
            talk.stdin.write(b'K\n')
            talk.stdin.flush()
            time.sleep(0.005)
        talk.stdin.close()
    except BrokenPipeError:
        pass
    talk.wait(10)
    house.eventually(lambda: counted('tls_handshakes_total', handshake='flood') > 0)
    well()


def test_tls_on_a_plain_port():
    server = house.Server()
    server.start()
    said = subprocess.run(['openssl', 's_client', '-connect', server.target], input=b'',
                          capture_output=True, timeout=20)
    assert said.returncode != 0
    client = server.operator()
    client.make_pool('plain')
    client.close()
    server.close()


def test_reload_under_load():
    """Five changes, two of them broken; no call of a hundred a second is lost."""
    papers.issue('next', 'ca', 'DNS:localhost,IP:127.0.0.1')
    stop, lost, done = threading.Event(), [], []

    def calls():
        token = SERVER.operator_token()
        while not stop.is_set():
            client = secure(token=token)  # a new connection each time, some calls on each
            for _ in range(5):
                try:
                    client.ListPools(api.ListPoolsRequest())
                    done.append(1)
                except house.Refused as refusal:
                    lost.append(refusal)
            client.close()

    def serves():
        return ssl.get_server_certificate(('127.0.0.1', SERVER.port))

    def pem(name):
        with open(papers.path(name + '.pem'), encoding='ascii') as file:
            return file.read().strip()

    old = secure(token=SERVER.operator_token())
    old.ListPools(api.ListPoolsRequest())
    threads = [threading.Thread(target=calls) for _ in range(2)]
    for thread in threads:
        thread.start()
    for name in ('next', 'server', 'next'):
        use(name)
        os.kill(SERVER.process.pid, signal.SIGHUP)
        house.eventually(lambda: serves().strip() == pem(name))
    for wreck, word in ((b'garbage\n', 'must be PEM'), (None, 'cannot read')):
        if wreck is None:
            os.rename(papers.path('live.pem'), papers.path('away'))
        else:
            with open(papers.path('live.pem'), 'wb') as file:
                file.write(wreck)
        os.kill(SERVER.process.pid, signal.SIGHUP)
        house.eventually(lambda: any('stays as it was' in line and word in line
                                     for line in SERVER.process.talk))
        assert serves().strip() == pem('next'), 'the old one serves on'
        use('next')
    old.ListPools(api.ListPoolsRequest())
    stop.set()
    for thread in threads:
        thread.join()
    old.close()
    assert not lost, lost[:3]
    assert len(done) > 50, len(done)


def test_beyond_loopback():
    done = house.run('serve', '--dev', '--data', house.scratch_folder(), '--listen', '0.0.0.0:0',
                     check=2)
    assert 'tls.certificate' in done.stderr, done.stderr
    server = house.Process('serve', '--dev', '--data', house.scratch_folder(), '--listen',
                           '0.0.0.0:0', *WORDS)
    assert server.wait_ready('grpc').startswith('0.0.0.0:')
    assert server.stop() == 0


def test_files_that_are_no_good():
    papers.issue('loose', 'ca', 'DNS:localhost')
    os.chmod(papers.path('loose.key'), 0o644)
    papers.issue('old', 'ca', 'DNS:localhost', days=-2)

    def start(certificate, key, check=1):
        return house.run('serve', '--dev', '--data', house.scratch_folder(), '--listen',
                         '127.0.0.1:0', '--set', 'tls.certificate=' + papers.path(certificate),
                         '--set', 'tls.key=' + papers.path(key), check=check).stderr

    assert 'does not belong' in start('server.pem', 'next.key')
    assert 'PEM' in start('server.key', 'server.key')
    house.run('serve', '--dev', '--data', house.scratch_folder(), '--set',
              'tls.certificate=' + CERTIFICATE, check=2)
    for name, word in (('loose', 'can be read by others: chmod 600'),
                       ('old', 'expired 2 days ago')):
        server = house.Server(options=('--set', 'tls.certificate=' + papers.path(name + '.pem'),
                                       '--set', 'tls.key=' + papers.path(name + '.key')))
        server.start()
        assert any(word in line for line in server.process.talk), server.process.talk
        server.close()


def test_verbs_over_tls():
    words = ('pool', 'list', '--token-file', os.path.join(SERVER.data, 'operator.token'))
    url = f'https://127.0.0.1:{SERVER.port}'
    assert 'counter' in house.run(*words, '--target', url, '--ca', CA).stdout
    assert 'counter' in house.run(*words, '--target', url, env={'FAIRSLOT_CA': CA}).stdout
    assert 'not trusted' in house.run(*words, '--target', url, check=None).stderr
    house.run(*words, '--target', url, '--ca', '/no/such/file', check=1)
    house.run(*words, '--target', url, '--cert', CERTIFICATE, check=2)
    plain = house.Server()
    plain.start()
    said = house.run(*words, '--target', f'https://{plain.target}', '--ca', CA, check=None).stderr
    assert 'does not speak TLS' in said or 'no TLS with' in said, said
    plain.close()


if __name__ == '__main__':
    tap.run(globals(), before, SERVER.close)
