# SPDX-License-Identifier: MIT
"""deploy/install and Debian's backports: which source it derives from the machine's own, and that
it asks for the one package only.  Nothing is installed: the tools that would are ours.

usage: test_backports.py SOURCE
"""
import os
import subprocess
import sys
import tempfile

OWN = 'deb.example.test/debian'
DEB822 = f"""# the machine's own
Types: deb
URIs: http://{OWN}
Suites: CODE CODE-updates
Components: main contrib
Signed-By: /usr/share/keyrings/own.gpg

Types: deb
URIs: http://security.example.test
Suites: CODE-security
Components: main
"""
CASES = (
    ('a stanza', {'d/debian.sources': DEB822}, 'sources',
     ['Types: deb', f'URIs: http://{OWN}', 'Suites: CODE-backports', 'Components: main',
      'Signed-By: /usr/share/keyrings/own.gpg']),
    ('a line', {'list': f'deb cdrom:[x] CODE main\ndeb [arch=amd64 signed-by=/k] http://{OWN} CODE '
                        'main contrib\n'}, 'list',
     [f'deb [arch=amd64 signed-by=/k] http://{OWN} CODE-backports main']),
    ('a stanza that is switched off', {'d/off.sources': 'Enabled: no\nTypes: deb\nURIs: x\nSuites: '
                                                        'CODE\n',
                                       'list': f'deb http://{OWN} CODE main\n'}, 'list',
     [f'deb http://{OWN} CODE-backports main']),
    ('no source', {'list': 'deb http://security.example.test CODE-security main\n'}, None, None),
)
TOOLS = {'apt-cache': 'echo', 'dpkg-query': 'echo missing', 'dpkg': 'exit 1',
         'sudo': 'exec "$@"', 'apt-get': 'echo "$@" >>"$CALLS"'}


def codename():
    with open('/etc/os-release', encoding='utf-8') as file:
        found = [line.split('=', 1)[1].strip().strip('"') for line in file
                 if line.startswith('VERSION_CODENAME=')]
    return found[0] if found else None


def case(source, code, files, folder):
    os.makedirs(os.path.join(folder, 'd'))
    os.makedirs(os.path.join(folder, 'bin'))
    for name, text in files.items():
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
            file.write(text.replace('CODE', code))
    for name, text in TOOLS.items():
        path = os.path.join(folder, 'bin', name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write('#!/bin/sh\n' + text + '\n')
        os.chmod(path, 0o755)
    calls = os.path.join(folder, 'calls')
    env = {**os.environ, 'PATH': os.path.join(folder, 'bin') + ':' + os.environ['PATH'],
           'FAIRSLOT_SOURCES': os.path.join(folder, 'd'), 'CALLS': calls,
           'FAIRSLOT_LIST': os.path.join(folder, 'list')}
    done = subprocess.run([os.path.join(source, 'deploy', 'install'), 'build'], env=env,
                          capture_output=True, text=True, timeout=30)
    asked = open(calls, encoding='utf-8').read() if os.path.exists(calls) else ''
    return done, asked


def judge(source, code, files, kind, lines):
    with tempfile.TemporaryDirectory() as folder:
        done, asked = case(source, code, files, folder)
        made = [name for name in os.listdir(os.path.join(folder, 'd')) if 'backports' in name]
        if kind is None:
            return done.returncode == 1 and 'next: ' in done.stderr and not made and not asked, done
        if made != [f'fairslot-backports.{kind}']:
            return False, (done, made)
        with open(os.path.join(folder, 'd', made[0]), encoding='utf-8') as file:
            text = file.read()
        good = text.splitlines() == [line.replace('CODE', code) for line in lines]
        wanted = [word for word in asked.split() if 'backports' in word]
        return (good and done.returncode == 0 and wanted == [f'libraft-dev/{code}-backports'] and
                ' -t ' not in asked), (done, text, asked)


def main():
    code = codename()
    if code is None:
        print('1..0 # SKIP no Debian')
        return 0
    failed = 0
    print(f'1..{len(CASES)}')
    for number, (name, files, kind, lines) in enumerate(CASES, 1):
        good, seen = judge(sys.argv[1], code, files, kind, lines)
        failed += not good
        print(f'{"ok" if good else "not ok"} {number} - backports from {name}')
        if not good:
            print('#', repr(seen)[:600])
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
