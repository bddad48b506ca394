# SPDX-License-Identifier: MIT
"""What a network may do before anybody has said who he is: each limit, and what is without it."""
import os
import signal
import socket
import ssl
import time

import house
import papers
import rawh2
import tap

CA = papers.authority('ca')
CERTIFICATE, KEY = papers.issue('server', 'ca', 'DNS:localhost,IP:127.0.0.1')
STRICT = ('--set', 'network.exempt=192.0.2.0/24')  # loopback, too, is a network like others
TLS = ('--set', 'tls.certificate=' + CERTIFICATE, '--set', 'tls.key=' + KEY)
GREETING = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0'
HEALTH = '/grpc.health.v1.Health/Check'


class Front:
    """A server with some keys set, for one test."""

    def __init__(self, *keys, tls=False):
        words = [word for key in keys for word in ('--set', key)]
        self.server = house.Server(options=(*(TLS if tls else ()), *words))

    def __enter__(self):
        return self.server.start()

    def __exit__(self, *_):
        self.server.close()


def enter(server, source='127.0.0.1', greeting=GREETING):
    """A connection that got in, or None: it was reset at once."""
    link = socket.socket()
    link.settimeout(10)
    try:
        link.bind((source, 0))
        link.connect(('127.0.0.1', server.port))
        link.sendall(greeting)
        if link.recv(1000):
            return link
    except ConnectionError:
        pass
    link.close()
    return None


def crowd(server, count, source='127.0.0.1'):
    """Connections that got in, of `count` that tried at once."""
    return [link for link in (enter(server, source) for _ in range(count)) if link]


def test_connections_begin_at_a_rate():
    with Front(STRICT[1], 'network.rate=5', 'network.burst=10') as server:
        began = time.monotonic()
        links = crowd(server, 40)
        most = 10 + 5 * (time.monotonic() - began) + 1
        assert 10 <= len(links) <= most, len(links)
        others = crowd(server, 10, '127.0.1.1')
        assert len(others) == 10, 'another network pays for itself'
        time.sleep(1)
        assert 4 <= len(crowd(server, 12)), 'it refills'
        assert rawh2_call(links[0]) == 0, 'who is in stays in'


def rawh2_call(link):
    """A health call on a connection that has greeted; gRPC's status."""
    return rawh2.Connection.on(link, greet=False).call(HEALTH, rawh2.message(b'')).grpc


def test_without_the_rate_all_come_in():
    with Front(STRICT[1], 'network.rate=0') as server:
        assert len(crowd(server, 100)) == 100


def test_so_many_may_be_open():
    with Front(STRICT[1], 'network.connections=8') as server:
        links = crowd(server, 20)
        assert len(links) == 8, len(links)
        assert len(crowd(server, 8, '127.0.2.9')) == 8
        for link in links[:3]:
            link.close()
        house.eventually(lambda: len(links.append(enter(server)) or [x for x in links if x]) >= 11)
    with Front(STRICT[1], 'network.connections=0') as server:
        assert len(crowd(server, 100)) == 100


def test_exempt_networks():
    with Front('network.exempt=127.0.3.0/24', 'network.rate=1', 'network.burst=2',
               'network.connections=2') as server:
        assert len(crowd(server, 30, '127.0.3.77')) == 30
        assert len(crowd(server, 30)) == 2
    with Front('network.rate=1', 'network.burst=2', 'network.connections=2') as server:
        assert len(crowd(server, 30)) == 30, 'loopback, unless told otherwise'


def test_exempt_networks_follow_a_reload():
    path = os.path.join(house.scratch_folder(), 'fairslot.conf')

    def write(networks):
        with open(path, 'w', encoding='ascii') as file:
            file.write(f'[network]\nexempt = {networks}\nrate = 1\nburst = 2\nconnections = 2\n')
    write('192.0.2.0/24')
    server = house.Server(options=('--config', path)).start()

    def hangup(event):
        said = len(server.process.talk)
        os.kill(server.process.pid, signal.SIGHUP)
        house.eventually(lambda: any(event in line for line in server.process.talk[said:]))
    try:
        assert len(crowd(server, 10, '127.0.3.77')) == 2
        write('127.0.3.0/24')
        hangup('CONFIG_READ')
        assert len(crowd(server, 30, '127.0.3.77')) == 30
        assert len(crowd(server, 30, '127.0.4.1')) == 2
        write('127.0.3.0/33')
        hangup('CONFIG_WRONG')
        assert len(crowd(server, 30, '127.0.3.77')) == 30, 'the old list holds'
        write('')
        hangup('CONFIG_READ')
        assert len(crowd(server, 30, '127.0.4.2')) == 30, 'the default: loopback'
    finally:
        server.close()


def test_a_network_that_cannot_be_read():
    done = house.run('serve', '--dev', '--data', house.scratch_folder(), '--listen', '127.0.0.1:0',
                     '--set', 'network.exempt=10.0.0.0/33', check=2)
    assert '10.0.0.0/33' in done.stderr and 'network.exempt' in done.stderr, done.stderr


def test_no_key_is_made_for_who_is_over():
    """Over its rate, a network costs no handshake: not even the ClientHello is read."""
    with Front(STRICT[1], 'network.rate=1', 'network.burst=3', 'ops.listen=127.0.0.1:0',
               tls=True) as server:
        context = ssl.create_default_context(cafile=CA)
        done = 0
        for _ in range(20):
            try:
                plain = socket.create_connection(('127.0.0.1', server.port), timeout=10)
                with context.wrap_socket(plain, server_hostname='localhost'):
                    done += 1
            except (ConnectionError, ssl.SSLError, OSError):
                pass
        assert 3 <= done <= 6, done
        text = house.fetch('http://' + server.process.ready['ops'] + '/metrics')
        ok = house.sample(text, 'fairslot_tls_handshakes_total{handshake="ok"}')
        assert ok == done, (ok, done)
        over = house.sample(text, 'fairslot_connections_rejected_total{toll="rate"}')
        assert over == 20 - done, (over, done)


def silent(server, count):
    """TLS clients that say nothing."""
    return [socket.create_connection(('127.0.0.1', server.port), timeout=10) for _ in range(count)]


def still_open(links):
    count = 0
    for link in links:
        link.setblocking(False)
        try:
            count += link.recv(1) != b''
        except BlockingIOError:
            count += 1
        except ConnectionError:
            pass
    return count


def test_handshakes_under_way():
    """With too many the oldest goes: whoever is quick comes in, however many are slow."""
    with Front('tls.handshakes=20', 'tls.handshake=60s', tls=True) as server:
        links = silent(server, 100)
        house.eventually(lambda: still_open(links) <= 20)
        assert still_open(links) == 20 and still_open(links[80:]) == 20
        context = ssl.create_default_context(cafile=CA)
        plain = socket.create_connection(('127.0.0.1', server.port), timeout=10)
        with context.wrap_socket(plain, server_hostname='localhost') as link:
            assert link.version() == 'TLSv1.3'
    with Front('tls.handshakes=0', 'tls.handshake=60s', tls=True) as server:
        links = silent(server, 100)
        time.sleep(0.5)
        assert still_open(links) == 100


def test_a_flood_of_hellos_leaves_time_for_calls():
    """Two hundred handshakes at once cost 60 ms of keys; a caller is answered in between."""
    with Front(tls=True) as server:
        context = ssl.create_default_context(cafile=CA)
        context.set_alpn_protocols(['h2'])
        plain = socket.create_connection(('127.0.0.1', server.port), timeout=10)
        caller = rawh2.Connection.on(context.wrap_socket(plain, server_hostname='localhost'))
        assert caller.call(HEALTH, rawh2.message(b'')).grpc == 0
        hello = papers.hello(context)
        links = silent(server, 200)
        for link in links:
            link.sendall(hello)
        assert caller.call(HEALTH, rawh2.message(b'')).grpc == 0
        for link in links:
            assert link.recv(1)[0] == 22, 'every hello is answered'


if __name__ == '__main__':
    tap.run(globals())
