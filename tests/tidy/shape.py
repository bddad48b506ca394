# SPDX-License-Identifier: MIT
"""The shape of the text: lengths, heads, words that may not stand, the mirror of tests/unit.

The limits are STYLE.md's.  Where breaking one makes the code clearer, the exception stands in a
table here with its reason, so that the next reader finds it.
"""
import os
import re

import ctext
from arrows import room_of_file

FUNCTION_LINES = 70
FILE_LINES = 600
COLUMNS = 100
PARAMETERS = 5
HEAD_LINES = 3
SMALL_LINES = 60  # a file this short, under a header that says it all, opens with one line or more

# Longer parameter lists that are clearer than a struct made only to shorten them.
PARAMETER_EXCEPTIONS = {
    'codec_request': 6,       # two out parameters that only a refusal fills
    'codec_batch_pack': 7,    # the message's own fields, in wire order
    'wire_client_call': 7,    # what one call is made of, all of it the caller's
    'draw_path_check': 6,     # a proof's parts, as docs/draw.md names them
    'ledger_apply': 7,        # command, its place in the log, and where the verdict goes
    '__real_ledger_apply': 7, # the same, by the linker's names
    '__wrap_ledger_apply': 7,
}
# Where a pure room meets numbers that are no integers, and why nothing is decided by them.
FLOAT_EXCEPTIONS = {
    'proto/codec_json_number.c',  # spells JSON numbers and the API's few such fields
}
# A callback's signature is its library's business.
FOREIGN_TYPES = re.compile(
    r'\b(nghttp2_|uv_|nng_|MDB_|ProtobufC|llhttp_|struct raft|raft_|cjose_|EVP_|SSL\b)')

CODE = ('.c', '.h', '.py', '.js', '.sh')
TEXT = CODE + ('.md', '.proto', '.txt', '.build', '.ini', '.service', '.toml', '.html', '.css')
SKIP_DIRS = {'.git', 'node_modules', '__pycache__', '.cache'}
# Written in pieces, so that this file does not name what it forbids.
WORDS = re.compile(r'\b(' + '|'.join(('TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX')) + r')\b')
MACHINE = re.compile(  # a template for mkdtemp() is none
    r'(?<![\w.$}])/(' + '|'.join(('wo' + 'rk', 'ro' + 'ot', 'ho' + 'me', 't' + 'mp'))
    + r')/(?![\w.%-]*X{6})')


def is_script(text):
    return text.startswith('#!')


def collect(root):
    """Every text file of the project, as people wrote it: path relative to the root -> text."""
    files = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders
                            if f not in SKIP_DIRS and not is_build(folder, f, root))
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) or os.path.getsize(path) > 1 << 20:
                continue
            extension = os.path.splitext(name)[1]
            if extension and extension not in TEXT:
                continue
            with open(path, 'rb') as file:
                data = file.read()
            if extension or data.startswith(b'#!'):
                files[os.path.relpath(path, root)] = data.decode('utf-8', 'replace')
    return files


def is_build(folder, name, root):
    return os.path.samefile(folder, root) and (name.startswith('build') or name.endswith('-data'))


def is_code(path, text):
    return path.endswith(CODE) or is_script(text) or os.path.basename(path) == 'meson.build'


def check_lengths(files):
    for path, text in sorted(files.items()):
        if not is_code(path, text):
            continue
        lines = text.split('\n')
        if len(lines) - 1 > FILE_LINES:
            yield f'{path}: {len(lines) - 1} lines, not {FILE_LINES} at most'
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS:
                yield f'{path}:{number}: {len(line)} columns, not {COLUMNS} at most'


def check_functions(files):
    for path, text in sorted(files.items()):
        if not path.endswith(('.c', '.h')):
            continue
        for function in ctext.functions(text):
            if function.length > FUNCTION_LINES:
                yield (f'{path}:{function.first}: {function.name} has {function.length} lines, '
                       f'not {FUNCTION_LINES} at most')
        for number in ctext.cuddled_functions(text):
            yield f'{path}:{number}: a function\'s brace stands on its own line'


def check_parameters(files):
    for path, text in sorted(files.items()):
        if not path.endswith(('.c', '.h')):
            continue
        seen = [(f.first, f.name, f.parameters) for f in ctext.functions(text)]
        for line, name, found in seen + ctext.prototypes(text):
            allowed = PARAMETER_EXCEPTIONS.get(name, PARAMETERS)
            if len(found) > allowed and not any(FOREIGN_TYPES.search(p) for p in found):
                yield f'{path}:{line}: {name} has {len(found)} parameters, not {allowed} at most'


def check_heads(files, rooms):
    for path, text in sorted(files.items()):
        if path.endswith(('.c', '.h')):
            if not text.startswith('/* SPDX-License-Identifier: '):
                yield f'{path}:1: the SPDX line comes first'
        elif path.endswith(('.py', '.js', '.sh')) or is_script(text):
            if not any('SPDX-License-Identifier: ' in line for line in text.split('\n')[:2]):
                yield f'{path}:1: no SPDX line in the first two'
        if not path.endswith('.c'):
            continue
        small = text.count('\n') <= SMALL_LINES
        wanted = HEAD_LINES if room_of_file(path, rooms) and not small else 1
        if ctext.head_comment(text) < wanted:
            yield f'{path}:2: opens without a design head of {wanted} lines or more'


def check_words(files):
    for path, text in sorted(files.items()):
        for number, line in enumerate(text.split('\n'), 1):
            if WORDS.search(line):
                yield f'{path}:{number}: an open end stands in an issue, not in the text'
            if MACHINE.search(line):
                yield f'{path}:{number}: a path of one machine'
            if '\t' in line:
                yield f'{path}:{number}: a tab'
            if line != line.rstrip() and is_code(path, text):
                yield f'{path}:{number}: blanks at the end'


def check_floats(files, rooms):
    for path, text in sorted(files.items()):
        room = room_of_file(path, rooms)
        if room is None or not room.pure or not path.endswith(('.c', '.h')):
            continue
        if path in FLOAT_EXCEPTIONS:
            continue
        for number, line in enumerate(ctext.strip(text).split('\n'), 1):
            if re.search(r'\b(float|double)\b', line):
                yield f'{path}:{number}: {room.name} is pure and has no floats'


def check_allocation(files, rooms):
    """A pure room allocates where its objects are made, nowhere else."""
    for path, text in sorted(files.items()):
        room = room_of_file(path, rooms)
        if room is None or not room.pure or not path.endswith('.c'):
            continue
        for function in ctext.functions(text):
            if re.search(r'_(new|init|grow)(_\w+)?$', function.name):
                continue
            for number, line in enumerate(function.body, function.last - len(function.body)):
                if re.search(r'\b(malloc|calloc|realloc|aligned_alloc)\s*\(', line):
                    yield (f'{path}:{number}: {function.name} allocates; '
                           f'in a pure room only ..._new, ..._init and ..._grow do')


def check_mirror(files, root):
    """tests/unit mirrors the tree, and no .c stands about that nobody builds."""
    builds = {path: text for path, text in files.items() if path.endswith('meson.build')}
    for path in sorted(files):
        if not path.endswith('.c'):
            continue
        folder, name = os.path.split(path)
        if folder.startswith('tests/unit/'):
            if not os.path.isdir(os.path.join(root, folder[len('tests/unit/'):])):
                yield f'{path}: mirrors no folder of the tree'
            if not name.startswith(('test_', 'bench_')):
                yield f'{path}: a unit test is named test_*.c or bench_*.c'
        stem = name[:-2]
        words = (name, f"'{stem}'", f"'{stem.removeprefix('test_')}'", f"'{stem.split('_')[-1]}'")
        if not any(word in text for text in builds.values() for word in words):
            yield f'{path}: no meson.build names it'
