#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: our JSON mapping says what protobuf-es says, on thousands of random messages of every type
of the API, both ways, and refuses what it refuses.  No server: tests/e2e/json_lines.c alone.

A failing seed: FAIRSLOT_SEED=N python3 tests/e2e/test_json.py
"""
import os
import tempfile

import house
import jskit
import tap

COUNT = 4000 * int(os.environ.get('FAIRSLOT_SOAK', '1')) // (4 if house.SANITIZED else 1)
LINES = os.path.join(os.path.dirname(house.BINARY), 'tests', 'json_lines')


def test_protobuf_es_agrees():
    folder = jskit.modules()
    seed = os.environ.get('FAIRSLOT_SEED', '20261125')
    with tempfile.TemporaryDirectory() as scratch:
        api = jskit.descriptor_set(os.path.join(scratch, 'api.binpb'))
        said = jskit.node(os.path.join(folder, 'oracle.mjs'), LINES, api, str(COUNT), seed,
                          timeout=240)
    assert [line.split(':')[0] for line in said.strip().split('\n')] == ['write', 'read', 'wrong']


if __name__ == '__main__':
    tap.run(globals())
