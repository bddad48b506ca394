# SPDX-License-Identifier: MIT
"""TAP for scripts: every function test_* of a module is a test, run in the order it stands; its
name is the function's, or what @named says.

A test fails by raising, and is skipped by raising Skip(reason).  Nothing hides behind a first
failure: all tests run.
"""
import sys
import time
import traceback


class Skip(Exception):
    """This cannot be tried here, and why."""


def named(title):
    """Another name for a test than its function's."""
    def mark(test):
        test.title = title
        return test
    return mark


def run(module_globals, before=None, after=None):
    """Runs the tests of a module's globals(); before() and after() frame the whole.  Exits."""
    tests = [(getattr(value, 'title', name[5:]), value) for name, value in module_globals.items()
             if name.startswith('test_') and callable(value)]
    print(f'1..{len(tests)}', flush=True)
    failed = 0
    trouble = attempt(before)
    if isinstance(trouble, Skip):
        for number, (name, _) in enumerate(tests, 1):
            print(f'ok {number} - {name} # SKIP {trouble}', flush=True)
        sys.exit(0)
    if trouble:
        print(''.join(f'# {line}\n' for line in explain(trouble)), end='')
        print('Bail out! nothing can be tried', flush=True)
        sys.exit(1)
    for number, (name, test) in enumerate(tests, 1):
        began = time.monotonic()
        problem = attempt(test)
        seconds = time.monotonic() - began
        what = f'{number} - {name}'
        if isinstance(problem, Skip):
            print(f'ok {what} # SKIP {problem}', flush=True)
        elif problem:
            failed += 1
            print(''.join(f'# {line}\n' for line in explain(problem)), end='')
            print(f'not ok {what} ({seconds:.1f} s)', flush=True)
        else:
            print(f'ok {what} ({seconds:.1f} s)', flush=True)
    trouble = attempt(after)
    if trouble:
        print(f'Bail out! afterwards: {trouble}', flush=True)
        failed += 1
    sys.exit(1 if failed else 0)


def explain(problem):
    return ''.join(traceback.format_exception(problem)).rstrip().split('\n')


def attempt(action):
    """None, or what it raised."""
    try:
        if action:
            action()
        return None
    except Exception as problem:  # any exception is the test's verdict
        return problem
