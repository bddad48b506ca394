# SPDX-License-Identifier: MIT
"""C as text: just enough of it for style checks.

Leans on the house style (a function's braces stand alone in column 0) instead of parsing C; a
function written otherwise is itself a finding, so nothing hides from the length rule.
"""
import re

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def strip(text, keep_strings=False):
    """The text without comments (and string contents), each line where it was."""
    def blank(match):
        token = match.group(0)
        if token[0] in '"\'':
            return token if keep_strings else token[0] * 2
        return re.sub(r'[^\n]', ' ', token)
    return TOKEN.sub(blank, text)


def includes(text):
    """(line, name, is_system) of every #include."""
    found = []
    for number, line in enumerate(strip(text, keep_strings=True).split('\n'), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            found.append((number, match.group(2), match.group(1) == '<'))
    return found


def parameters(signature):
    """Parameters between the outermost parentheses that follow the name; [] for (void)."""
    match = re.search(r'\b(\w+)\s*\(', signature)
    if not match:
        return []
    depth, start, parts = 0, match.end(), []
    for at in range(match.end() - 1, len(signature)):
        char = signature[at]
        if char == '(':
            depth += 1
        elif char == ')':
            depth -= 1
            if depth == 0:
                parts.append(signature[start:at])
                break
        elif char == ',' and depth == 1:
            parts.append(signature[start:at])
            start = at + 1
    parts = [part.strip() for part in parts]
    return [] if parts in ([''], ['void']) else [part for part in parts if part != '...']


class Function:
    """A definition: name, parameters, first and last line, the lines of its body."""

    def __init__(self, signature, first, last, body):
        match = re.search(r'\b(\w+)\s*\(', signature)
        self.name = match.group(1) if match else '?'
        self.parameters = parameters(signature)
        self.first = first
        self.last = last
        self.body = body

    @property
    def length(self):
        return self.last - self.first + 1


def functions(text):
    """Every function definition with its braces in column 0."""
    lines = strip(text).split('\n')
    found, opened = [], None
    for number, line in enumerate(lines):
        if line.rstrip() == '{':
            opened = number
        elif line.rstrip() == '}' and opened is not None:
            first = opened
            while first > 0 and re.match(r'\s*[^#;}\s][^#;}]*$', lines[first - 1]):
                first -= 1
            signature = ' '.join(lines[first:opened])
            found.append(Function(signature, first + 1, number + 1, lines[opened + 1:number]))
            opened = None
    return found


def cuddled_functions(text):
    """Lines where a definition opens its brace behind the signature and does not close it there."""
    found = []
    for number, line in enumerate(strip(text).split('\n'), 1):
        if re.match(r'[A-Za-z_][^=#]*\)\s*\{\s*$', line) and not line.startswith(('else', 'do')):
            found.append(number)
    return found


def prototypes(text):
    """(line, name, parameters) of every prototype at the start of a line."""
    flat = strip(text)
    found = []
    for match in re.finditer(r'^(?!typedef|return|#)[A-Za-z_][\w \*]*?\b(\w+)\(', flat, re.M):
        rest = flat[match.start():]
        end = re.search(r'[;{]', rest)
        if end and end.group(0) == ';':
            line = flat.count('\n', 0, match.start()) + 1
            called = flat[match.start(1):match.start() + end.start()]
            found.append((line, match.group(1), parameters(called)))
    return found


def head_comment(text):
    """How many lines the comment has that the file opens with (the SPDX line not counted)."""
    rest = re.sub(r'\A/\* SPDX-License-Identifier: [\w.-]+ \*/\n', '', text)
    match = re.match(r'\s*/\*.*?\*/', rest, re.S)
    return match.group(0).strip().count('\n') + 1 if match else 0
