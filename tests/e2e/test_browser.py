#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: a page in a real browser books: connect-web and grpc-web in headless Chromium, from another
origin, over HTTP/1.1 and over TLS with HTTP/2; a page that is not on the list gets nothing.

The page (js/browser.mjs) runs every case by itself and reports to the server that it came from.
"""
import http.server
import json
import os
import queue
import re
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.parse

import house
import jskit
import readme
import tap
from page_kit import chromium

SCRATCH = tempfile.TemporaryDirectory(prefix='fairslot browser ')
PATIENCE_S = 90
PAGE = b'<!doctype html><title>fairslot</title><script type="module" src="/page.js"></script>'


def free_port():
    """Below 32768, where the kernel takes none by itself."""
    for port in range(21000, 32000, 7):
        with socket.socket() as sock:
            try:
                sock.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue
    raise AssertionError('no port is free')


class Site:
    """One origin: the page, its script, and where it reports to."""

    def __init__(self, script):
        self.page, self.script, self.reports = PAGE, script, queue.Queue()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                is_script = self.path == '/page.js'
                self.reply(site.script if is_script else site.page,
                           'text/javascript' if is_script else 'text/html')

            def do_POST(self):
                body = self.rfile.read(int(self.headers['content-length']))
                self.reply(b'', 'text/plain')
                site.reports.put(json.loads(body))

            def reply(self, body, kind):
                self.send_response(200)
                self.send_header('content-type', kind)
                self.send_header('content-length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', free_port()), Handler)
        self.origin = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def visit(site, **query):
    """What the page reports."""
    profile = tempfile.mkdtemp(dir=SCRATCH.name)
    url = f'{site.origin}/?{urllib.parse.urlencode(query)}'
    with subprocess.Popen(
            [chromium(), '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run',
             '--disable-dev-shm-usage', '--disable-background-networking', '--disable-extensions',
             '--ignore-certificate-errors', '--user-data-dir=' + profile, url],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, text=True, errors='replace') as browser:
        try:
            return site.reports.get(timeout=PATIENCE_S)
        except queue.Empty:
            os.killpg(browser.pid, signal.SIGKILL)
            raise AssertionError('the page never reported: ' + browser.stderr.read()[-2000:])
        finally:
            if browser.poll() is None:
                os.killpg(browser.pid, signal.SIGKILL)
            browser.stderr.close()


def judge(report, least):
    for case in report:
        print(f'# {"ok" if case["problem"] is None else "NO"}  {case["name"]}')
    assert [case for case in report if case['problem'] is not None] == [], report
    assert len(report) >= least, report


def once_is_enough():
    if house.SANITIZED:
        raise tap.Skip('it is about no code of the server: the plain build shows it')


def before():
    jskit.need_node()
    chromium()
    global GENERATED, SCRIPT, SERVER, LISTED, STRANGER
    GENERATED = os.path.join(os.path.realpath(SCRATCH.name), 'generated')
    os.mkdir(GENERATED)
    SCRIPT = jskit.read(jskit.bundle('browser.mjs', jskit.generated(GENERATED),
                                     os.path.join(SCRATCH.name, 'page.js'))).encode()
    LISTED, STRANGER = Site(SCRIPT), Site(SCRIPT)
    SERVER = house.Server(options=('--set', 'cors.origins=' + LISTED.origin)).start()
    operator = SERVER.operator()
    operator.make_pool('web')
    operator.make_slots('pools/web', 20)


def after():
    SERVER.close()
    SCRATCH.cleanup()


def look(server, site, mode, scheme='http'):
    return visit(site, base=f'{scheme}://{server.target}', pool='pools/web', mode=mode,
                 token=server.tokens('browser')[0])


def test_a_listed_page_books():
    judge(look(SERVER, LISTED, 'allowed'), 16)


def test_another_page_gets_nothing():
    once_is_enough()
    judge(look(SERVER, STRANGER, 'refused'), 6)


WITNESS = """<!doctype html><head><script>
sessionStorage.token = new URLSearchParams(location.search).get('token');
const look = () => document.body.textContent.trim()
  ? fetch('/report', { method: 'POST', body: JSON.stringify(document.body.textContent) })
  : setTimeout(look, 50);
addEventListener('unhandledrejection', ({ reason }) => { document.body.textContent = reason; });
addEventListener('load', look);
</script><script type="module" src="/page.js"></script></head><body></body>"""


def test_the_readmes_page():
    """README's page as it stands, but for the server's port."""
    once_is_enough()
    folder = os.path.join(SCRATCH.name, 'readme')
    os.mkdir(folder)
    address = 'http://127.0.0.1:17700'
    page = readme.code('page')
    assert page.count(address) == 1, page
    with open(os.path.join(folder, 'page.js'), 'w', encoding='utf-8') as file:
        file.write(page.replace(address, f'http://{SERVER.target}'))
    os.symlink(GENERATED, os.path.join(folder, 'gen'))
    os.symlink(jskit.MODULES, os.path.join(folder, 'node_modules'))
    script = jskit.bundle(os.path.join(folder, 'page.js'), GENERATED,
                          os.path.join(folder, 'bundle.js'))
    operator = SERVER.operator()
    operator.make_pool('passports')
    operator.make_slots('pools/passports', 2)
    LISTED.page, LISTED.script = WITNESS.encode(), jskit.read(script).encode()
    said = visit(LISTED, token=SERVER.tokens('reader')[0])
    LISTED.page, LISTED.script = PAGE, SCRIPT
    assert re.fullmatch(r'reserved Desk \d+, code [A-Z0-9]{6}', said.strip()), said
    size = os.path.getsize(script)
    print(f'# bundled: {size} bytes before compression and minification')


def test_over_tls():
    certificate = os.path.join(SCRATCH.name, 'tls.pem')
    key = os.path.join(SCRATCH.name, 'tls.key')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', certificate,
                    '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
                    'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
    data = SERVER.data
    assert SERVER.stop() == 0
    secure = house.Server(data, options=(
        '--set', 'cors.origins=' + LISTED.origin, '--set', 'tls.certificate=' + certificate,
        '--set', 'tls.key=' + key)).start()
    try:
        judge(look(secure, LISTED, 'allowed', 'https'), 16)
    finally:
        secure.close()


if __name__ == '__main__':
    tap.run(globals(), before, after)
