# SPDX-License-Identifier: MIT
"""The arrows between rooms: reads arrows.txt, holds includes and archives against it.

Why both: an #include shows what a file names, an undefined symbol what it really needs; a
hand-written extern escapes the first, a type-only dependency the second.
"""
import os
import re
import subprocess

from ctext import includes

# Headers of the foreign libraries that the table speaks of, and what their symbols begin with.
FOREIGN_HEADERS = [
    ('uv', r'uv\.h|uv/'), ('nghttp2', r'nghttp2/'), ('llhttp', r'llhttp\.h'),
    ('protobuf-c', r'protobuf-c/'), ('lmdb', r'lmdb\.h'), ('nng', r'nng/'),
    ('raft', r'raft\.h|raft/'), ('inih', r'ini\.h'),
    ('openssl', r'openssl/'), ('cjose', r'cjose/'), ('jansson', r'jansson\.h'),
    ('sodium', r'sodium\.h|sodium/'), ('xxhash', r'xxh(ash|_x86dispatch)\.h'), ('curl', r'curl/'),
]
FOREIGN_SYMBOLS = [
    ('uv', r'uv_'), ('nghttp2', r'nghttp2_'), ('llhttp', r'llhttp_'), ('lmdb', r'mdb_'),
    ('protobuf-c', r'protobuf_c_'), ('nng', r'nng_'), ('raft', r'raft_'), ('inih', r'ini_'),
    ('openssl', r'(SSL|TLS|EVP|OPENSSL|HMAC|SHA\d+|BN|BIO|PEM|RSA|EC|ECDSA|ERR|RAND|OSSL|CRYPTO'
                r'|X509|d2i|i2d|ASN1)_|HMAC$|SHA\d+$'),
    ('cjose', r'cjose_'), ('jansson', r'json_|jansson_'),
    ('sodium', r'(crypto|sodium|randombytes)_'), ('xxhash', r'XXH'), ('curl', r'curl_'),
]
# In a pure room: hashes and comparisons only, never a random device.
PURE_FOREIGN = re.compile(
    r'json_(loadb|delete|(array|string|integer|real|object_iter)(_\w+)?)$'
    r'|crypto_(shorthash|auth_hmacsha256|hash_sha256|generichash)|protobuf_c_|XXH|sodium_memcmp$'
    r'|SHA256(_Init|_Update|_Final)?$|HMAC$|EVP_sha256$|CRYPTO_memcmp$'
    # checking a signature: key and bytes in, yes or no out
    r'|d2i_PUBKEY$|BN_(free|is_word)$|EVP_MD_CTX_(new|free)$'
    r'|EVP_PKEY_(free|get_\w+|new_raw_public_key)$'
    r'|EVP_DigestVerify(Init)?$')
PURE_HEADERS = {'errno.h', 'inttypes.h', 'limits.h', 'stdalign.h', 'stdbool.h', 'stddef.h',
                'stdarg.h', 'stdint.h', 'stdio.h', 'stdlib.h',
                'string.h'}  # errno.h for its numbers alone
PURE_LIBC = {'memcpy', 'memcmp', 'memset', 'memmove', 'memchr', 'memmem', 'strlen', 'strcmp',
             'strncmp', 'strnlen', 'strchr', 'strrchr', 'strspn', 'strcspn', 'snprintf',
             'vsnprintf', 'qsort', 'bsearch', 'malloc', 'calloc', 'realloc', 'aligned_alloc',
             'free', 'abort',
             'strtod'}  # without setlocale(), which no room calls, it reads numbers as C does
IMPURE_BASE = {'clock', 'log'}  # files of base that a pure room may not touch
SHELL_HEADERS = re.compile(
    r'(arpa|net|netinet|sys|linux|bits)/|(assert|ctype|dirent|endian|errno|fcntl|fnmatch|ftw'
    r'|getopt|glob|ifaddrs|inttypes|libgen|limits|locale|malloc|math|netdb|poll|pthread|pwd|regex'
    r'|sched|semaphore|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string'
    r'|strings|syslog|termios|threads|time|ucontext|unistd|wchar|execinfo|spawn|byteswap)\.h$')
COMPILER = re.compile(
    r'__(asan|ubsan|tsan|msan|sanitizer|gcov|stack_chk|u?div|umod|mul|popcount|clz|ctz)'
    r'|_GLOBAL_OFFSET_TABLE_$|__tls_get_addr$|llvm_')


class Room:
    def __init__(self, name, at, kind, rooms, foreign):
        self.name, self.at, self.kind, self.rooms = name, at.split(), kind, rooms
        self.foreign = {}  # library -> the files that may name it, by commas, or None
        for word in foreign:
            library, _, file = word.partition('@')
            self.foreign[library] = file or None

    @property
    def pure(self):
        return self.kind == 'pure'

    def may_name(self, library, file):
        only = self.foreign.get(library, '')
        return only is None or file in only.split(',')


def load(path):
    """The table, in layer order: name -> Room."""
    rooms = {}
    with open(path, encoding='utf-8') as table:
        for number, line in enumerate(table, 1):
            if line.startswith('#') or not line.strip():
                continue
            name, at, kind, uses, foreign = (cell.strip() for cell in line.split('|'))
            for other in uses.split():
                if other not in rooms:
                    raise ValueError(f'{path}:{number}: {name} uses {other}, which is not above it')
            rooms[name] = Room(name, at, kind, set(uses.split()), foreign.split())
    return rooms


def room_of_file(path, rooms):
    """The room that the file (relative to the root) stands in, or None."""
    for room in rooms.values():
        if any(path == at or path.startswith(at + '/') for at in room.at):
            return room
    return None


def room_of_include(name, rooms):
    """Which room an #include "..." names, or None."""
    if name.endswith('.pb-c.h'):
        return rooms['gen']
    first = name.split('/')[0]
    if name == 'verb.h':
        return rooms['verb']
    if name == 'serve.h' or name.startswith('serve_') and '/' not in name:
        return rooms['main']
    return rooms.get(first) if '/' in name and first not in ('gen', 'verb', 'main') else None


def foreign_of(name, table):
    for library, pattern in table:
        if re.match(pattern, name):
            return library
    return None


def check_system_include(room, file, name):
    library = foreign_of(name, FOREIGN_HEADERS)
    if library:
        if not room.may_name(library, os.path.basename(file)):
            return f'{room.name} may not name {library} (<{name}>)'
    elif room.pure and name not in PURE_HEADERS:
        return f'{room.name} is pure and may not include <{name}>'
    elif not SHELL_HEADERS.match(name):
        return f'<{name}> is in no row of tests/tidy/arrows.py'
    return None


def check_own_include(room, name, rooms):
    target = room_of_include(name, rooms)
    if target is None:
        return f'"{name}" names no room: write it as "room/file.h"'
    if target is not room and target.name not in room.rooms:
        return f'{room.name} may not include {target.name} ("{name}")'
    stem = os.path.splitext(os.path.basename(name))[0]
    if room.pure and target.name == 'base' and stem in IMPURE_BASE:
        return f'{room.name} is pure and may not include "{name}"'
    return None


def check_includes(files, rooms):
    """files: path -> text.  Yields 'path:line: what'."""
    for path, text in sorted(files.items()):
        room = room_of_file(path, rooms)
        if room is None or not path.endswith(('.c', '.h')):
            continue
        for line, name, is_system in includes(text):
            wrong = (check_system_include(room, path, name) if is_system
                     else check_own_include(room, name, rooms))
            if wrong:
                yield f'{path}:{line}: {wrong}'


def header_path(name, rooms):
    room = room_of_include(name, rooms)
    if room is None or not room.at:
        return None
    if '/' not in name:  # the front door's own headers stand beside it
        return 'engine/' + name
    return room.at[0] + '/' + name.split('/', 1)[1]


def check_cycles(files, rooms):
    """Headers that include themselves through others."""
    graph = {path: [header_path(name, rooms) for _, name, system in includes(text) if not system]
             for path, text in files.items() if path.endswith('.h')}
    done = set()

    def walk(path, trail):
        if path in trail:
            yield ' -> '.join(trail[trail.index(path):] + [path]) + ': headers in a circle'
        elif path in graph and path not in done:
            for target in graph[path]:
                yield from walk(target, trail + [path])
            done.add(path)

    for path in sorted(graph):
        yield from walk(path, [])


class Archive:
    """What an archive defines and needs, a member at a time (nm reads thin archives too)."""

    def __init__(self, path):
        self.defined = {}   # global symbol -> member
        self.undefined = {}  # symbol -> set of members
        out = subprocess.run(['nm', '-A', '-g', path], capture_output=True, text=True, check=True)
        for line in out.stdout.splitlines():
            where, _, rest = line.rpartition(':')
            member = os.path.basename(where.rpartition(':')[2])  # a thin archive has paths
            words = rest.split()
            if len(words) < 2:
                continue
            kind, symbol = words[-2], words[-1]
            if kind in 'Uw':
                self.undefined.setdefault(symbol, set()).add(member)
            else:
                self.defined[symbol] = member


def member_file(member):
    """'fairq.c.o' -> 'fairq.c'"""
    return member[:-2] if member.endswith('.o') else member


def check_symbol(room, symbol, member, defined):
    """defined: symbol -> (room name, member).  What is wrong with this need, or None."""
    if symbol in defined:
        owner, where = defined[symbol]
        stem = member_file(where)[:-2]
        if owner != room.name and owner not in room.rooms:
            return f'{room.name} may not call {owner} ({symbol})'
        if room.pure and owner == 'base' and stem in IMPURE_BASE:
            return f'{room.name} is pure and may not call {symbol}'
        return None
    library = foreign_of(symbol, FOREIGN_SYMBOLS)
    if library:
        if not room.may_name(library, member_file(member)):
            return f'{room.name} may not call {library} ({symbol})'
        if room.pure and not PURE_FOREIGN.match(symbol):
            return f'{room.name} is pure and may not call {symbol}'
        return None
    plain = re.sub(r'^__(\w+)_chk$', r'\1', symbol)
    if room.pure and plain not in PURE_LIBC and not COMPILER.match(symbol):
        return f'{room.name} is pure and may not call {symbol}'
    return None


def check_archives(archives, rooms):
    """archives: room name -> Archive."""
    defined = {symbol: (name, member) for name, archive in archives.items()
               for symbol, member in archive.defined.items()}
    for name, archive in archives.items():
        for symbol, members in sorted(archive.undefined.items()):
            for member in sorted(members):
                wrong = check_symbol(rooms[name], symbol, member, defined)
                if wrong:
                    yield f'{name}/{member_file(member)}: {wrong}'


# Symbols whose prefix is neither their file's stem nor their room, and why.
PREFIX_EXCEPTIONS = {}


def prefixes(name, member):
    """What a global symbol of this file may begin with."""
    stem = member_file(member)
    stem = stem[:-2] if stem.endswith('.c') else stem
    return {stem, stem.split('_')[0], name}


def check_prefixes(archives, rooms):
    for name, archive in archives.items():
        if name == 'gen':
            continue
        for symbol, member in sorted(archive.defined.items()):
            if symbol in PREFIX_EXCEPTIONS or COMPILER.match(symbol):
                continue
            if not any(symbol == p or symbol.startswith(p + '_') for p in prefixes(name, member)):
                yield f'{name}/{member_file(member)}: {symbol} has not its file\'s prefix'
