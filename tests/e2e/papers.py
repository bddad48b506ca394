# SPDX-License-Identifier: MIT
"""Certificates by OpenSSL's command line: an authority, whom it vouches for; a client's hello."""
import atexit
import datetime
import os
import shutil
import ssl
import subprocess
import tempfile

FOLDER = tempfile.mkdtemp(prefix='fairslot-papers-')
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def path(name):
    return os.path.join(FOLDER, name)


def openssl(*words):
    subprocess.run(['openssl', *words], check=True, capture_output=True, timeout=60)


def hello(context):
    """The first flight of Python's own TLS."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = context.wrap_bio(incoming, outgoing, server_hostname='localhost')
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def authority(name):
    openssl('req', '-x509', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
            '-nodes', '-keyout', path(name + '.key'), '-out', path(name + '.pem'),
            '-subj', '/CN=' + name, '-days', '30')
    return path(name + '.pem')


def issue(name, by, alt=None, days=30, subject=None):
    """NAME.pem and NAME.key; days < 0: expired."""
    openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-keyout', path(name + '.key'), '-out', path(name + '.csr'),
            '-subj', subject or '/CN=' + name)
    os.chmod(path(name + '.key'), 0o600)
    with open(path(name + '.ext'), 'w', encoding='ascii') as file:
        file.write('subjectAltName=' + alt + '\n' if alt else 'keyUsage=digitalSignature\n')
    now = datetime.datetime.now(datetime.timezone.utc)
    dates = ['-days', str(days)]
    if days < 0:  # x509 -days takes no negative number in every version: ca(1) does
        return expired(name, by, now, days)
    openssl('x509', '-req', '-in', path(name + '.csr'), '-CA', path(by + '.pem'),
            '-CAkey', path(by + '.key'), '-CAcreateserial', '-out', path(name + '.pem'),
            '-extfile', path(name + '.ext'), *dates)
    return path(name + '.pem'), path(name + '.key')


def expired(name, by, now, days):
    form = '%y%m%d%H%M%SZ'
    for file, content in (('index', ''), ('serial', '77\n'), ('ca.conf', CA.format(FOLDER))):
        with open(path(file), 'w', encoding='ascii') as out:
            out.write(content)
    openssl('ca', '-batch', '-config', path('ca.conf'), '-cert', path(by + '.pem'),
            '-keyfile', path(by + '.key'), '-in', path(name + '.csr'), '-notext',
            '-startdate', (now - datetime.timedelta(days=60)).strftime(form),
            '-enddate', (now + datetime.timedelta(days=days)).strftime(form),
            '-extfile', path(name + '.ext'), '-out', path(name + '.pem'))
    return path(name + '.pem'), path(name + '.key')


CA = """[ca]
default_ca = it
[it]
database = {0}/index
serial = {0}/serial
new_certs_dir = {0}
default_md = sha256
policy = any
[any]
commonName = supplied
"""
