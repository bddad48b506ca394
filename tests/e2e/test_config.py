# SPDX-License-Identifier: MIT
"""Configuration as an operator meets it: files, drop-ins, --set, flags, pages made of the table."""
import os
import subprocess

import house
import tap
from house import run

USAGE = 2
FOLDER = house.scratch_folder()


def write(name, text):
    path = os.path.join(FOLDER, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


def test_check_says_line_and_neighbour():
    path = write('wrong.conf', '[gateway]\nlisen = 127.0.0.1:1\ndrain = 10\n')
    done = run('config', 'check', path, check=USAGE)
    lines = done.stderr.splitlines()
    assert lines[0] == f"{path}:2: unknown key 'lisen' in [gateway]: did you mean 'listen'?", lines
    assert lines[1] == f'{path}:3: gateway.drain: a time needs its unit, as 10s', lines
    assert done.stdout == ''
    right = write('right.conf', '[gateway]\ndrain = 10s\n')
    assert run('config', 'check', right).stdout == f'{right}: right\n'


def test_check_finds_what_a_start_would_refuse():
    path = write('apart.conf', '[gateway]\nlisten = 0.0.0.0:1\n[tls]\nkey = apart.conf\n'
                 '[issuer munich]\nurl = https://m.example\n')
    lines = run('config', 'check', path, check=USAGE).stderr.splitlines()
    assert lines[0].startswith(f'{path}:2: gateway.listen 0.0.0.0:1: not a loopback'), lines
    assert any(line.startswith(f'{path}:4: tls.key ') for line in lines), lines
    assert any(line.startswith(f'{path}:6: ') and 'munich' in line for line in lines), lines
    assert lines[3] == f'error: {path} is not right', lines


def test_show_names_origins():
    path = write('shown.conf', '[gateway]\ndrain = 9s\n')
    write('shown.conf.d/10-more.conf', '[gateway]\nhello = 8s\n')
    text = run('config', 'show', path, '--origin', '--set', 'gateway.deadline=7s').stdout
    assert f'# {path}:2\ndrain = 9s\n' in text, text
    assert f'# {path}.d/10-more.conf:2\nhello = 8s\n' in text, text
    assert '# --set\ndeadline = 7s\n' in text, text
    assert '# default\nlisten = 127.0.0.1:17700\n' in text, text


def test_secrets_are_never_shown():
    path = write('pasted.conf', '[auth]\ntenant_key = 6c6f6f6b206174206d65\n')
    done = run('config', 'check', path, check=USAGE)
    assert '6c6f' not in done.stderr + done.stdout, done.stderr
    done = run('config', 'show', '--set', 'auth.tenant_key=6c6f6f6b206174206d65', check=None)
    assert '6c6f' not in done.stderr + done.stdout, done.stdout


def test_server_reads_it():
    path = write('server.conf', '[data]\nfolder = data of it\n[gateway]\nlisten = 127.0.0.1:0\n')
    process = house.Process('serve', '--dev', '--config', path, '--set', 'log.level=warn')
    port = process.wait_ready('grpc').rpartition(':')[2]
    assert os.path.exists(os.path.join(FOLDER, 'data of it', 'lock')), 'beside its file'
    assert int(port) > 0
    assert process.stop() == 0


def test_flags_come_last():
    path = write('flags.conf', '[gateway]\nlisten = 127.0.0.1:1\n')
    process = house.Process('serve', '--dev', '--config', path, '--data',
                            os.path.join(FOLDER, 'flags'), '--listen', '127.0.0.1:0')
    process.wait_ready('grpc')
    assert process.stop() == 0


def test_wrong_file_starts_nothing():
    path = write('broken.conf', '[gateway]\ndrain = soon\n')
    data = os.path.join(FOLDER, 'nothing')
    for verb in ('serve', 'shard'):
        done = run(verb, '--config', path, '--data', data, check=USAGE)
        assert f'{path}:2: gateway.drain:' in done.stderr, done.stderr
        assert f'config check {path}' in done.stderr, done.stderr
    assert not os.path.exists(data)


def test_beyond_loopback_names_the_line():
    path = write('open.conf', '[gateway]\nlisten = 0.0.0.0:0\n')
    done = run('serve', '--dev', '--config', path, '--data', os.path.join(FOLDER, 'open'),
               check=USAGE)
    assert f'{path}:2: gateway.listen 0.0.0.0:0: not a loopback address' in done.stderr, done.stderr


def test_manual_page():
    """What mandoc says of it; that it is up to date is a unit test."""
    manual = os.path.join(house.ROOT, 'deploy', 'man', 'fairslot.conf.5')
    lint = subprocess.run(['mandoc', '-Tlint', manual], capture_output=True, text=True, check=False)
    assert lint.returncode == 0 and not lint.stdout + lint.stderr, lint.stdout + lint.stderr


if __name__ == '__main__':
    tap.run(globals())
