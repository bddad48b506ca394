# SPDX-License-Identifier: MIT
"""Reads a strace of a server and finds, for every answer, the sync that covers it.

strace prints one line when a call begins and, if others came between, one when it ends; each traced
thread stands still while its line is written, so the order of the lines is an order of events.

What covers an answer: a whole write of its bytes to the log's tail by a descriptor opened with
O_DSYNC, or a commit of LMDB (at default durability, read from its source and from traces):
  1 a write to the log file whose bytes hold the mutation's request id   (pages)
  2 an fdatasync or fsync of the log file that begins after 1 has ended  (pages are on disk)
  3 a write to the log file by a descriptor opened with O_DSYNC that begins after 2 has ended, or
    another sync after it                                               (the meta page is on disk)
Only then may a socket carry the bytes that hold the answer's name.
"""
import re

LINE = re.compile(r'^(\d+) +\d+\.\d+ (.*)$')
CALL = re.compile(r'^(\w+)\((.*)$', re.S)
RESUMED = re.compile(r'^<\.\.\. (\w+) resumed>(.*)$', re.S)
UNFINISHED = ' <unfinished ...>'
HEX = re.compile(r'\\x([0-9a-f]{2})')
TRACED = 'openat,open,close,read,write,writev,pwrite64,pwritev,sendmsg,sendto,fsync,fdatasync,msync'
WRITES = {'write', 'writev', 'pwrite64', 'pwritev', 'sendmsg', 'sendto'}
SYNCS = {'fsync', 'fdatasync'}
SECTOR, HEAD = 512, 24  # of the tail: each sector has a head before its bytes (store/tail.c)


def command(output):
    """strace's words: all threads, whole buffers in hex, paths of descriptors."""
    return ['strace', '-f', '-qq', '-ttt', '-y', '-xx', '-s', '2000000', '-e', 'trace=' + TRACED,
            '-e', 'signal=none', '-o', output]


class Event:
    """One system call: where it began and ended in the order of all events."""

    def __init__(self, name, arguments, begin):
        self.name, self.arguments, self.begin, self.end = name, arguments, begin, None
        match = re.match(r'(\d+)<(.*?)>(?=[,)])', arguments)
        self.fd = int(match.group(1)) if match else None
        self.target = unhex(match.group(2)).decode('utf-8', 'replace') if match else ''

    @property
    def data(self):
        return b''.join(bytes.fromhex(''.join(HEX.findall(text)))
                        for text in re.findall(r'"((?:\\x[0-9a-f]{2})+)"', self.arguments))


def unhex(text):
    return HEX.sub(lambda m: chr(int(m.group(1), 16)), text).encode('latin1')


def read(path):
    """Every finished call, in the order of their beginnings."""
    events, open_calls = [], {}
    with open(path, encoding='latin1') as file:
        for number, line in enumerate(file):
            match = LINE.match(line.rstrip('\n'))
            if not match:
                continue
            thread, text = match.groups()
            resumed, call = RESUMED.match(text), CALL.match(text)
            if resumed:
                event = open_calls.pop(thread, None)
                if event:
                    event.end = number
                    event.result = resumed.group(2)
            elif call:
                unfinished = text.endswith(UNFINISHED)
                event = Event(call.group(1), call.group(2).removesuffix(UNFINISHED)
                              + (')' if unfinished else ''), number)
                event.result = '' if unfinished else call.group(2)
                event.thread = thread
                events.append(event)
                if unfinished:
                    open_calls[thread] = event
                else:
                    event.end = number
    return [event for event in events if event.end is not None]


def is_whole(event):
    """Did the write take all that it was given?"""
    wanted = re.search(r', (\d+), \d+\)', event.arguments)
    written = re.search(r'= (\d+)\b', event.result)
    return bool(wanted and written) and wanted.group(1) == written.group(1)


def without_heads(data):
    return b''.join(data[at + HEAD:at + SECTOR] for at in range(0, len(data), SECTOR))


class Trace:
    def __init__(self, path, log_folder):
        """log_folder: what the path of the log environment contains, as '/log/'."""
        events = read(path)
        self.log_writes, self.log_syncs, self.socket_writes = [], [], []
        self.tail_data = []  # of each durable write: the event, its bytes
        synchronous = {}  # descriptor -> whether it was opened with O_DSYNC
        for event in events:
            if event.name in ('openat', 'open'):
                opened = re.search(r'= (\d+)<', event.result)
                if opened:
                    is_sync = bool(re.search(r'O_D?SYNC', event.arguments))
                    synchronous[int(opened.group(1))] = is_sync
            is_log = log_folder in event.target
            if event.name in WRITES and event.target.endswith('/log/tail'):
                if synchronous.get(event.fd, False) and is_whole(event):
                    self.tail_data.append((event, without_heads(event.data)))
            elif event.name in WRITES and is_log:
                event.dsync = synchronous.get(event.fd, False)
                self.log_writes.append(event)
            elif event.name in SYNCS and is_log and re.search(r'= 0\b', event.result):
                self.log_syncs.append(event)
            elif event.name in WRITES and re.match(r'(socket|TCP)', event.target):
                self.socket_writes.append(event)
        self.socket_data = [(event, event.data) for event in self.socket_writes]
        self.log_data = [(event, event.data) for event in self.log_writes]

    def durable(self, request_id):
        """When this mutation was on disk (a place in the order), or None."""
        tail = next((e.end for e, data in self.tail_data if request_id in data), None)
        tree = self.in_tree(request_id)
        return min((place for place in (tail, tree) if place is not None), default=None)

    def in_tree(self, request_id):
        """When a commit of LMDB had it on disk, or None."""
        pages = next((e for e, data in self.log_data if request_id in data), None)
        if pages is None:
            return None
        synced = next((e for e in self.log_syncs if e.begin > pages.end), None)
        if synced is None:
            return None
        meta = next((e for e in self.log_writes if e.begin > synced.end), None)
        if meta is None:
            return None
        if meta.dsync:
            return meta.end
        again = next((e for e in self.log_syncs if e.begin > meta.end), None)
        return again.end if again else None

    def answered(self, name):
        """When the answer with this resource name began to leave, or None."""
        event = next((e for e, data in self.socket_data if name in data), None)
        return event.begin if event else None
