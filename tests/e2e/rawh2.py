# SPDX-License-Identifier: MIT
"""A bare HTTP/2 client on python3-h2, for what a well-bred gRPC library never sends.

It has no timer of its own: when an answer says that a deadline passed, the server kept it.
"""
import socket
import struct
import time

import h2.config
import h2.connection
import h2.events
import h2.settings


def message(payload, compressed=0, length=None):
    """gRPC's five bytes before a message; `length` lies when it is given."""
    return struct.pack('>BI', compressed, len(payload) if length is None else length) + payload


class Answer:
    def __init__(self):
        self.headers, self.trailers, self.data = {}, {}, b''
        self.reset = None    # error code of RST_STREAM
        self.ended = False
        self.seconds = 0.0   # until it ended

    @property
    def http(self):
        return self.headers.get(':status')

    @property
    def grpc(self):
        status = self.trailers.get('grpc-status', self.headers.get('grpc-status'))
        return None if status is None else int(status)


class Connection:
    def __init__(self, port, patience=10):
        self.adopt(socket.create_connection(('127.0.0.1', port), timeout=patience), True, patience)

    @classmethod
    def on(cls, link, greet=True, patience=10):
        """On a socket that is there already (TLS); greet: it has said nothing yet."""
        connection = cls.__new__(cls)
        connection.adopt(link, greet, patience)
        return connection

    def adopt(self, link, greet, patience):
        self.socket, self.patience = link, patience
        self.h2 = h2.connection.H2Connection(config=h2.config.H2Configuration(
            header_encoding='utf-8', validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.answers = {}
        self.goaway = None   # error code
        self.closed = False
        self.last_stream, self.debug = None, b''  # of the GOAWAY
        self.pings = 0       # the server's
        self.h2.initiate_connection()
        if greet:
            self.flush()
        else:
            self.h2.clear_outbound_data_buffer()

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.closed:
            try:
                self.socket.sendall(data)
            except OSError:
                self.closed = True

    def request(self, path, body=b'', headers=(), end=True, method='POST', plain=False):
        """Starts a call; its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        fields = [(':method', method), (':scheme', 'http'), (':authority', '127.0.0.1'),
                  (':path', path)]
        if not plain:
            fields += [('content-type', 'application/grpc'), ('te', 'trailers')]
        self.h2.send_headers(stream, fields + list(headers), end_stream=end and not body)
        self.flush()
        while body:
            room = min(self.h2.local_flow_control_window(stream), 16384, len(body))
            if room == 0:
                self.read_once()
                if self.answers[stream].ended or self.closed:
                    return stream
                continue
            part, body = body[:room], body[room:]
            try:
                self.h2.send_data(stream, part, end_stream=end and not body)
            except Exception:  # the server has closed the stream already
                return stream
            self.flush()
        return stream

    def read_once(self):
        try:
            data = self.socket.recv(65536)
        except (ConnectionError, socket.timeout):
            data = b''
        if not data:
            self.closed = True
            return
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()

    def take(self, event):
        answer = self.answers.get(getattr(event, 'stream_id', None))
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code
            self.last_stream, self.debug = event.last_stream_id, event.additional_data or b''
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif answer is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            answer.headers = dict(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer.data += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset, answer.ended = event.error_code, True

    def wait(self, stream):
        """The answer, whole; or as far as it came when the connection ended."""
        answer, began = self.answers[stream], time.monotonic()
        while not answer.ended and not self.closed and self.goaway is None:
            assert time.monotonic() - began < self.patience, 'no answer'
            self.read_once()
        answer.seconds = time.monotonic() - began
        return answer

    def call(self, path, body=b'', headers=(), **more):
        return self.wait(self.request(path, body, headers, **more))

    def close(self):
        self.socket.close()


def closes(sock, seconds=10):
    """Does the peer end this connection by itself?  Reads away what it says first."""
    sock.settimeout(seconds)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if not sock.recv(65536):
                return True
        except socket.timeout:
            return False
        except ConnectionError:
            return True
    return False
