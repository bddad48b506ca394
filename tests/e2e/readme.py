# SPDX-License-Identifier: MIT
"""The code that stands in README.md, cut out as it is, so that tests can run it.

A line before a fence says what it is: <!-- run -->, <!-- client: FILE -->, <!-- page: FILE -->.
"""
import os
import re

import house

FENCE = re.compile(r'^<!-- (run|client|page)(?:: (\S+))? -->\n```\w+\n(.*?)^```$', re.M | re.S)


def steps():
    """(kind, file or None, code) of each, in order."""
    with open(os.path.join(house.ROOT, 'README.md'), encoding='utf-8') as file:
        return [match.groups() for match in FENCE.finditer(file.read())]


def code(kind):
    """The one block of this kind."""
    blocks = [block for found, _, block in steps() if found == kind]
    assert len(blocks) == 1, f'README.md has {len(blocks)} blocks of kind {kind}'
    return blocks[0]
