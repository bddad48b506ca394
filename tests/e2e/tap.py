# SPDX-License-Identifier: MIT
"""TAP for scripts: every function test_* of a module is a test, run in the order it stands; its
name is the function's, or what @named says.

A test fails by raising, and is skipped by raising Skip(reason).  Nothing hides behind a first
failure: all tests run.  Tests that mostly wait, each for things of its own, run side by side; those
marked @alone come behind them, one by one.
"""
import concurrent.futures
import faulthandler
import signal
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


def alone(test):
    """Not beside others: what it looks at is theirs too, or all of the server."""
    test.alone = True
    return test


def run(module_globals, before=None, after=None, side_by_side=1):
    """Runs the tests of a module's globals(); before() and after() frame the whole.  Exits."""
    tests = [(getattr(value, 'title', name[5:]), value) for name, value in module_globals.items()
             if name.startswith('test_') and callable(value)]
    tests.sort(key=lambda named_test: hasattr(named_test[1], 'alone'))
    print(f'1..{len(tests)}', flush=True)
    # Whoever loses patience with a test asks it to end: then it says what it was waiting for.
    faulthandler.register(signal.SIGTERM, all_threads=True, chain=True)
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
    with concurrent.futures.ThreadPoolExecutor(side_by_side) as threads:
        together = {test: threads.submit(timed, test) for _, test in tests
                    if side_by_side > 1 and not hasattr(test, 'alone')}
        for number, (name, test) in enumerate(tests, 1):
            outcome = together[test].result() if test in together else timed(test)
            failed += tell(number, name, *outcome)
    trouble = attempt(after)
    if trouble:
        print(f'Bail out! afterwards: {trouble}', flush=True)
        failed += 1
    sys.exit(1 if failed else 0)


def timed(test):
    """What became of a test, and how long it took."""
    began = time.monotonic()
    problem = attempt(test)
    return problem, time.monotonic() - began


def tell(number, name, problem, seconds):
    """Says it in TAP; 1 for a failure."""
    what = f'{number} - {name}'
    if isinstance(problem, Skip):
        print(f'ok {what} # SKIP {problem}', flush=True)
    elif problem:
        notes = ''.join(f'# {line}\n' for line in explain(problem))
        print(f'{notes}not ok {what} ({seconds:.1f} s)', flush=True)
    else:
        print(f'ok {what} ({seconds:.1f} s)', flush=True)
    return bool(problem) and not isinstance(problem, Skip)


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
