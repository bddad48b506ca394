// SPDX-License-Identifier: MIT
// What both test issuers share: an HTTP server whose answers can be spoiled, and a line of JSON in,
// a line of JSON out to whoever started it.  Commands: {"do": "fault", "how": NAME or null},
// {"do": "counts"}, and the issuer's own.
import http from 'node:http';
import readline from 'node:readline';

const HUGE = Buffer.alloc(64 * 1024, 0x20);

// Each takes the answer's place.  `body` is what the issuer would have said.
const faults = {
  garbage: (req, res) => json(res, '{"keys": [{"kty": "EC", "kid": "'),
  empty: (req, res) => json(res, ''),
  nokeys: (req, res) => json(res, '{"keys": []}'),
  html: (req, res, body) => { res.setHeader('content-type', 'text/html'); res.end(body); },
  redirect: (req, res) => { res.writeHead(302, { location: '/elsewhere' }); res.end(); },
  error: (req, res) => { res.writeHead(500); res.end('{"error": "broken"}'); },
  gone: (req, res) => { res.writeHead(404); res.end(); },
  cut: (req, res, body) => {
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
    res.write(body.slice(0, body.length / 2), () => req.socket.destroy());
  },
  reset: (req) => { req.socket.resetAndDestroy(); },
  huge: (req, res) => { // 10 MB of blanks before an object
    res.setHeader('content-type', 'application/json');
    let left = 160;
    const more = () => { while (left-- > 0) { if (!res.write(HUGE)) return res.once('drain', more); }
      res.end('{}'); };
    res.on('error', () => {});
    more();
  },
  claims_length: (req, res) => { // says 10 MB beforehand
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': 10485760 });
    res.write('{');
  },
  hang: () => {},
  drip: (req, res) => { // one byte a second
    res.setHeader('content-type', 'application/json');
    const timer = setInterval(() => res.write(' '), 1000);
    res.on('close', () => clearInterval(timer));
  },
};

function json(res, text) {
  res.setHeader('content-type', 'application/json');
  res.end(text);
}

// Listens, and hears commands once the issuer says so with ready(); the port is out by then.  Faults
// strike at keysPath.
export async function open(port, { handler, keysPath, keys, commands }) {
  let fault = null, isReady = false;
  const counts = { keys: 0, discovery: 0, elsewhere: 0 };
  const server = http.createServer((req, res) => {
    const path = req.url.split('?')[0];
    if (!isReady) { res.writeHead(503); return res.end(); }
    if (path === '/elsewhere') counts.elsewhere++;
    if (path.endsWith('/.well-known/openid-configuration')) counts.discovery++;
    if (path === keysPath) {
      counts.keys++;
      if (fault) return faults[fault](req, res, Buffer.from(JSON.stringify(keys())));
    }
    return handler(req, res);
  });
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  const ready = () => readline.createInterface({ input: process.stdin }).on('line', async (line) => {
    const command = JSON.parse(line);
    try {
      if (command.do === 'fault') fault = command.how;
      else if (command.do !== 'counts') return say(await commands[command.do](command));
      say({ counts });
    } catch (error) {
      say({ error: String(error.stack || error) });
    }
  }).on('close', () => process.exit(0));
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    ready: () => { isReady = true; ready(); say({ port: server.address().port }); },
  };
}

export function say(object) {
  process.stdout.write(JSON.stringify(object) + '\n');
}
