# SPDX-License-Identifier: MIT
"""HTTP/1.1 by hand: what goes out is exactly what a test wrote, what comes back is read by the
letter of RFC 9112."""
import json
import socket
import struct


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f'{self.status} {self.headers} {self.body[:300]}'


class Connection:
    """One socket; answers are read in their order."""

    def __init__(self, port, timeout=20):
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=timeout)
        self.rest = b''

    def send(self, data):
        self.sock.sendall(data)
        return self

    def more(self):
        data = self.sock.recv(65536)
        self.rest += data
        return bool(data)

    def until(self, mark):
        while mark not in self.rest:
            if not self.more():
                raise EOFError(f'the connection ended after {self.rest[:300]}')
        part, self.rest = self.rest.split(mark, 1)
        return part

    def take(self, count):
        while len(self.rest) < count:
            if not self.more():
                raise EOFError(f'the connection ended after {self.rest[:300]}')
        part, self.rest = self.rest[:count], self.rest[count:]
        return part

    def head(self):
        """Status and headers of the next answer."""
        lines = self.until(b'\r\n\r\n').decode('latin-1').split('\r\n')
        version, status, _ = lines[0].split(' ', 2)
        assert version == 'HTTP/1.1', lines[0]
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(': ')
            assert name not in headers, f'{name} stands twice'
            headers[name] = value
        return int(status), headers

    def chunk(self):
        """One chunk's bytes; empty: the last one."""
        data = self.take(int(self.until(b'\r\n'), 16))
        assert self.take(2) == b'\r\n'
        return data

    def answer(self, has_body=True):
        status, headers = self.head()
        if not has_body or status == 204:
            return Answer(status, headers, b'')
        if headers.get('transfer-encoding') == 'chunked':
            body = b''
            while True:
                part = self.chunk()
                if not part:
                    return Answer(status, headers, body)
                body += part
        return Answer(status, headers, self.take(int(headers['content-length'])))

    def post(self, path, body, content_type='application/json', headers=()):
        """A whole request, and its answer."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send(request('POST', path, body, [('content-type', content_type), *headers]))
        return self.answer()

    def get(self, path, headers=()):
        self.send(request('GET', path, None, headers))
        return self.answer()

    def ends(self, seconds=20):
        """Does the server end it, whatever else it says?"""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(65536):
                pass
        except socket.timeout:
            return False
        except ConnectionError:
            pass
        return True

    def close(self):
        self.sock.close()


def request(method, path, body=None, headers=()):
    lines = [f'{method} {path} HTTP/1.1', 'host: test']
    if body is not None:
        lines.append(f'content-length: {len(body)}')
    lines += [f'{name}: {value}' for name, value in headers]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode() + (body or b'')


def envelope(message, flags=0):
    return struct.pack('>BI', flags, len(message)) + message


def envelopes(body):
    """[(flags, message)] of a Connect stream or of gRPC-Web."""
    found = []
    while body:
        flags, size = struct.unpack('>BI', body[:5])
        found.append((flags, body[5:5 + size]))
        assert len(body) >= 5 + size, body
        body = body[5 + size:]
    return found
