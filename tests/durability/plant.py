# SPDX-License-Identifier: MIT
"""Builds a fairslot with a planted bug: the tests that must catch it are worth what they catch.

Takes the build directory's own commands: recompiles the files that know the plant with it, and
links them before the archives, so that everything else is the very program under test.
"""
import json
import os
import shlex
import subprocess

import house
import tap

BUILD = os.path.dirname(os.path.abspath(house.BINARY))


def compile_commands():
    with open(os.path.join(BUILD, 'compile_commands.json'), encoding='utf-8') as file:
        return json.load(file)


def link_command():
    """The words that link the program."""
    done = subprocess.run(['ninja', '-C', BUILD, '-t', 'commands', 'fairslot'], capture_output=True,
                          text=True, check=True)
    return shlex.split(done.stdout.rstrip('\n').split('\n')[-1])


def build(plant, folder, mark=None):
    """Path of a program that was compiled with -D`plant`; files that say `mark` know it, too."""
    objects = []
    for entry in compile_commands():
        source = os.path.join(entry['directory'], entry['file'])
        if '/tests/' in source or not os.path.exists(source):
            continue
        with open(source, encoding='utf-8') as file:
            text = file.read()
        if plant not in text and (mark is None or mark not in text):
            continue
        words = shlex.split(entry['command'])
        target = os.path.join(folder, os.path.relpath(source, '/').replace('/', '_') + '.o')
        words[words.index('-o') + 1] = target
        subprocess.run([*words, '-D' + plant], cwd=entry['directory'], check=True)
        if target not in objects:
            objects.append(target)
    assert objects, f'no file knows {plant}'
    words = link_command()
    if '-o' not in words:
        raise tap.Skip('the link command of this build is not understood')
    program = os.path.join(folder, 'fairslot-' + plant.lower())
    at = words.index('-o')
    words[at + 1] = program
    subprocess.run(words[:at + 2] + objects + words[at + 2:], cwd=BUILD, check=True)
    return program
