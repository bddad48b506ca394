# SPDX-License-Identifier: MIT
"""Issuers written by others (or shaped like theirs) for the tests of identity, and a server of ours
that is configured to believe them.  Owns the node processes: they end with their pipe."""
import base64
import hashlib
import html
import http.cookiejar
import json
import os
import re
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import house
import jskit


class Issuer:
    """A node script that speaks one line of JSON for one line of JSON."""
    script = None

    def __init__(self, port=0):
        house.atexit.register(self.stop)
        self.start(port)
        line = self.child.stdout.readline()
        assert line, f'{self.script} {port} does not start: {self.trouble()}'
        self.port = json.loads(line)['port']
        self.base = f'http://127.0.0.1:{self.port}'

    def start(self, port):
        folder = jskit.modules()
        self.talk = tempfile.TemporaryFile('w+')
        self.child = subprocess.Popen(
            ['node', os.path.join(folder, self.script), str(port)], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.talk)

    def trouble(self):
        self.talk.seek(0)
        return self.talk.read()[-500:]

    def ask(self, do, **more):
        self.child.stdin.write(json.dumps({'do': do, **more}) + '\n')
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        assert 'error' not in answer, answer['error']
        return answer

    def fault(self, how):
        return self.ask('fault', how=how)['counts']

    def fetches(self):
        return self.ask('counts')['counts']['keys']

    def stop(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


class Keycloak(Issuer):
    script = 'keycloak_shaped.mjs'

    @property
    def url(self):
        return self.base + '/realms/city'

    def token(self, subject, **more):
        return self.ask('mint', subject=subject, **more)['token']


class Stop(urllib.request.HTTPRedirectHandler):
    """Redirects are looked at, one by one."""

    def redirect_request(self, *unused):
        return None


class Provider(Issuer):
    script = 'oidc_provider.mjs'

    @property
    def url(self):
        return self.base

    def token(self, subject, algorithm='ES256'):
        """The authorization code flow with PKCE, as a browser and an application walk it."""
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), Stop())
        verifier = base64.urlsafe_b64encode(os.urandom(40)).rstrip(b'=').decode()
        challenge = house.b64url(hashlib.sha256(verifier.encode()).digest())
        back = f'{self.base}/back'
        url = f'{self.base}/auth?' + urllib.parse.urlencode({
            'client_id': 'booking', 'response_type': 'code', 'redirect_uri': back,
            'scope': 'openid book', 'code_challenge': challenge, 'code_challenge_method': 'S256',
            'resource': f'urn:fairslot:{algorithm}', 'state': 'xyz'})
        for _ in range(12):
            status, location, page = step(browser, url)
            if status in (302, 303):
                url = urllib.parse.urljoin(url, location)
                if url.startswith(back):
                    break
            else:
                prompt = re.search(r'name="prompt" value="(\w+)"', page).group(1)
                action = html.unescape(re.search(r'action="([^"]+)"', page).group(1))
                _, location, _ = step(browser, urllib.parse.urljoin(url, action), {
                    'prompt': prompt, 'login': subject, 'password': 'any'})
                url = urllib.parse.urljoin(url, location)
        code = urllib.parse.parse_qs(urllib.parse.urlparse(url).query)['code'][0]
        status, _, page = step(browser, f'{self.base}/token', {
            'grant_type': 'authorization_code', 'code': code, 'redirect_uri': back,
            'client_id': 'booking', 'code_verifier': verifier,
            'resource': f'urn:fairslot:{algorithm}'})
        assert status == 200, page
        return json.loads(page)['access_token']


def step(browser, url, form=None):
    """(status, location, body)"""
    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        answer = browser.open(url, data, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers.get('location'), answer.read().decode()


class Server(house.Server):
    """`fairslot serve` that believes the issuers of a configuration: {name: {key: value}}."""

    def __init__(self, issuers):
        super().__init__()
        self.configure(issuers)

    def configure(self, issuers):
        os.makedirs(self.data, exist_ok=True)
        key = os.path.join(self.data, 'key')
        if not os.path.exists(key):
            with open(key, 'wb') as file:
                file.write(b'thirty-two bytes of a tenant key')
            os.chmod(key, 0o600)
        self.config = os.path.join(self.data, 'fairslot.conf')
        with open(self.config, 'w', encoding='utf-8') as file:
            file.write(f'[gateway]\nloops = 2\n[auth]\ntenant_key = {key}\n')
            for name, keys in issuers.items():
                file.write(f'[issuer {name}]\n')
                file.writelines(f'{key} = {value}\n' for key, value in keys.items())

    def start(self):
        self.process = house.Process('serve', '--config', self.config, '--data', self.data,
                                     '--listen', f'127.0.0.1:{self.port}', '--set',
                                     'ops.listen=127.0.0.1:0')
        self.port = int(self.process.wait_ready('grpc').rpartition(':')[2])
        return self

    def metric(self, series):
        """What /metrics says of it; None: nothing."""
        page = f"http://{self.process.ready['ops']}/metrics"
        with urllib.request.urlopen(page, timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(f'fairslot_{series} '):
                    return float(line.rpartition(' ')[2])
        return None

    def client(self, token):
        return house.Client(self.target, token)

    def says(self, words, seconds=15):
        """Waits until the log has a line with these words."""
        return house.eventually(
            lambda: [line for line in self.process.talk if words in line], seconds)
