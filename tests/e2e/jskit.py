# SPDX-License-Identifier: MIT
"""The tool chain of the JavaScript clients: npm's packages as package-lock.json pins them.

It stays out of the C build.  A machine whose Node.js is older than the packages want (Debian 12's
is) gets one from npm, for these tests only.  Where npm or the registry is missing, tests are
skipped.
"""
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess

import house
import tap

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'js')
MODULES = os.path.join(FOLDER, 'node_modules')
NODE_MAJOR = 20


def node_major():
    """Of the node that would run; 0: none."""
    if not shutil.which('node'):
        return 0
    said = subprocess.run(['node', '--version'], capture_output=True, text=True, check=True).stdout
    return int(said.lstrip('v').split('.')[0])


def need_node():
    """A node that the packages work with is the first on PATH; skips where there can be none."""
    if not shutil.which('npm'):
        raise tap.Skip('npm is not installed')
    if node_major() >= NODE_MAJOR:
        return
    folder = os.path.join(FOLDER, 'node')
    pinned(folder)
    machine = {'x86_64': 'x64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine())
    path = os.path.join(folder, 'node_modules', 'node-linux-' + machine, 'bin')
    if os.path.isdir(path):
        os.environ['PATH'] = path + os.pathsep + os.environ['PATH']
    if node_major() < NODE_MAJOR:
        raise tap.Skip(f'node is older than {NODE_MAJOR}, and npm brought none')


def modules():
    """The folder with the scripts; node_modules in it is what the lock file says."""
    need_node()
    pinned(FOLDER)
    return FOLDER


def pinned(folder):
    """node_modules of `folder` is what its lock file says.  Kept between runs; two test programs at
    once install it once."""
    with open(os.path.join(folder, 'package-lock.json'), 'rb') as file:
        wanted = hashlib.sha256(file.read()).hexdigest()
    stamp = os.path.join(folder, 'node_modules', '.fairslot-lock')
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (os.path.exists(stamp) and read(stamp) == wanted):
            install(folder)
            with open(stamp, 'w', encoding='utf-8') as file:
                file.write(wanted)
    finally:
        os.close(lock)


def install(folder):
    done = subprocess.run(['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts'], cwd=folder,
                          capture_output=True, text=True, timeout=240, check=False)
    if done.returncode != 0:
        raise tap.Skip('npm ci cannot reach a registry: ' + done.stderr.strip().split('\n')[-1])


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def node(script, *words, timeout=60, env=None):
    """Runs a script of FOLDER; its stdout becomes TAP comments.  Fails with what it said."""
    folder = modules()
    done = subprocess.run(['node', os.path.join(folder, script), *words], cwd=folder, text=True,
                          capture_output=True, timeout=timeout, check=False,
                          env={**os.environ, **(env or {})})
    print(''.join(f'# js: {line}\n' for line in done.stdout.split('\n') if line), end='')
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def descriptor_set(path):
    """The FileDescriptorSet of the whole public API, with all that it imports."""
    standard = '/usr/share/grpc-proto'
    subprocess.run(
        ['protoc', '-I', os.path.join(house.ROOT, 'proto'), '-I', standard, '--include_imports',
         '--descriptor_set_out=' + path, *API_FILES], check=True)
    return path


API_FILES = ('fairslot/v1/services.proto', 'fairslot/v1/resources.proto',
             'fairslot/admin/v1/pools.proto', 'fairslot/admin/v1/cluster.proto',
             'google/rpc/error_details.proto', 'google/rpc/status.proto',
             'grpc/health/v1/health.proto', 'grpc/reflection/v1/reflection.proto',
             'grpc/reflection/v1alpha/reflection.proto')


def generated(folder):
    """protoc-gen-es's modules of the public API below `folder`, which finds its packages."""
    need = modules()
    subprocess.run(
        ['protoc', '-I', os.path.join(house.ROOT, 'proto'), '-I', '/usr/share/grpc-proto',
         '--plugin=protoc-gen-es=' + os.path.join(need, 'node_modules', '.bin', 'protoc-gen-es'),
         '--es_out=' + folder, '--es_opt=target=js,import_extension=js', *API_FILES], check=True)
    os.symlink(MODULES, os.path.join(folder, 'node_modules'))
    with open(os.path.join(folder, 'package.json'), 'w', encoding='utf-8') as file:
        file.write('{"type": "module"}')
    return folder


def bundle(entry, folder, out):
    """One script for a browser, by esbuild; `generated` in its imports is `folder`."""
    done = subprocess.run(
        [os.path.join(MODULES, '.bin', 'esbuild'), os.path.join(FOLDER, entry), '--bundle',
         '--format=esm', '--target=chrome110', '--alias:generated=' + folder, '--outfile=' + out,
         '--log-level=warning'], cwd=FOLDER, capture_output=True, text=True, timeout=60,
        check=False)
    assert done.returncode == 0, done.stderr
    return out
