# SPDX-License-Identifier: MIT
"""Attacks on the operations listener and on the operators' own, as in attacks.py."""
import socket
import time

import papers

OPS_MOST, ADMIN_MOST = 16, 256  # OPS_CONNS_MAX, ADMIN_CONNECTIONS_MAX
PATIENCE = 12


class Link:
    """A plain socket, in a scene's list of what is to be closed."""

    def __init__(self, scene, target, data=b''):
        host, _, port = target.rpartition(':')
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        scene.open.append(self)
        try:
            self.socket.connect((host, int(port)))
        except ConnectionError:
            return  # reset before connect() looked: is_over() says so
        self.send(data)

    def send(self, data):
        try:
            self.socket.sendall(data)
            return True
        except ConnectionError:
            return False

    def is_over(self, seconds):
        """Did it end in this time?"""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                if not self.socket.recv(1 << 16):
                    return True
            except socket.timeout:
                return False
            except OSError:
                return True
        return False

    def close(self):
        self.socket.close()


def stay(links):
    """How many of them are still open, once all had time to be closed."""
    time.sleep(0.5)
    return sum(not link.is_over(0.002) for link in links)


def ops_crowd(scene):
    inside = stay([Link(scene, scene.ops) for _ in range(3 * OPS_MOST)])
    assert inside <= OPS_MOST, f'{inside} connections are in'


def ops_half_request(scene):
    link = Link(scene, scene.ops, b'GET /metrics HTTP/1.1\r\nhost:')
    assert link.is_over(PATIENCE), f'half a request is waited for after {PATIENCE} s'


def ops_long_request(scene):
    link = Link(scene, scene.ops, b'GET /livez HTTP/1.1\r\nhost: a\r\n')
    for _ in range(100):
        if not link.send(b'x-long: ' + b'y' * 10000 + b'\r\n') or link.is_over(0.01):
            return
    raise AssertionError('a million bytes of a head were taken')


def admin_crowd(scene):
    target = scene.server.process.ready['admin']
    inside = stay([Link(scene, target) for _ in range(ADMIN_MOST + 60)])
    assert inside <= ADMIN_MOST, f'{inside} connections are in'


OPS_ENDED = 'ops_connections_ended_total{ops_end="%s"}'
ATTACKS_OPS = [
    (ops_crowd, 'ops_full', 'admin', OPS_ENDED % 'full'),
    (ops_half_request, 'ops_late', 'admin', OPS_ENDED % 'late'),
    (ops_long_request, 'ops_long', 'admin', OPS_ENDED % 'long'),
    (admin_crowd, 'admin_connections', 'admin', 'connections_refused_total'),
]


def admin_options():
    """A server with an operators' listener besides; clients' book with tokens as ever."""
    authority = papers.authority('hostile')
    certificate, key = papers.issue('hostile-server', 'hostile', 'DNS:localhost,IP:127.0.0.1')
    return ['--set', 'admin.listen=127.0.0.1:0', '--set', 'admin.certificate=' + certificate,
            '--set', 'admin.key=' + key, '--set', 'admin.client_ca=' + authority]
