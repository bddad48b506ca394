#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The checker of the checkers: a build that answers before its fsync, and one that skips replay
after a crash, must be caught by the tests that exist for them.
"""
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'e2e'))

import crash  # noqa: E402
import house  # noqa: E402
import plant  # noqa: E402
import tap  # noqa: E402
import test_fsync  # noqa: E402

FOLDER = tempfile.mkdtemp(prefix='fairslot-plant-')


def after():
    shutil.rmtree(FOLDER, ignore_errors=True)


def unsanitized():
    if house.SANITIZED:
        raise tap.Skip('planted once, in the plain build')


def test_an_answer_before_its_fsync_is_caught():
    unsanitized()
    test_fsync.can_trace()
    program = plant.build('PLANT_ANSWER_BEFORE_FSYNC', FOLDER)
    early_folder = os.path.join(FOLDER, 'early')
    os.mkdir(early_folder)
    watched, told = test_fsync.mutations_under_strace(early_folder, program)
    early = test_fsync.early_answers(watched, told)
    print(f'# {len(early)} of {len(told)} answers were early', flush=True)
    assert len(early) > 10, f'only {len(early)} of {len(told)} were seen'


def test_a_skipped_replay_is_caught():
    unsanitized()
    program = plant.build('PLANT_SKIP_REPLAY', FOLDER)
    server = house.Server(binary=program).start()

    def victim():
        server.kill()
        server.start()
    wrong, figures = crash.run(server, [victim] * 3, seed=1, people=200, slots=8000)
    print(f'# {figures}, {len(wrong)} violations: {wrong[:1]}', flush=True)
    server.kill()
    server.close()
    assert any(line.startswith('I2:') for line in wrong), 'a lost acknowledgement was not seen'


if __name__ == '__main__':
    tap.run(globals(), after=after)
