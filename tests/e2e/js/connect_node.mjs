// SPDX-License-Identifier: MIT
// Goal: connect-node, with code that protoc-gen-es made, books and is refused over every face.
// usage: FAIRSLOT_TOKEN=... node connect_node.mjs GENERATED BASE_URL FACE...
//   FACE: connect-json, connect-proto, connect-get, grpc, grpc-web, each with -h1 or -h2
// With NODE_EXTRA_CA_CERTS and an https:// URL the same over TLS.
import assert from 'node:assert';
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import {
  createConnectTransport, createGrpcTransport, createGrpcWebTransport,
} from '@connectrpc/connect-node';

const [generated, baseUrl, ...faces] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(`${generated}/${file}_pb.js`).href);
const { CatalogService, ReservationService } = await load('fairslot/v1/services');
const { Hold_State, Reservation_State, Slot_State } = await load('fairslot/v1/resources');
const { ErrorInfoSchema, RetryInfoSchema } = await load('google/rpc/error_details');
const { Health, HealthCheckResponse_ServingStatus } = await load('grpc/health/v1/health');

const withToken = (next) => (request) => {
  request.header.set('authorization', 'Bearer ' + process.env.FAIRSLOT_TOKEN);
  return next(request);
};
let seen = []; // content type and cache-control of each answer: only a GET's may be kept
const watch = (next) => async (request) => {
  const answer = await next(request);
  seen.push([answer.header.get('content-type'), answer.header.get('cache-control')]);
  return answer;
};

function transport(name) {
  const httpVersion = name.endsWith('-h1') ? '1.1' : '2';
  const options = { baseUrl, httpVersion, interceptors: [withToken, watch] };
  const kind = name.replace(/-h[12]$/, '');
  switch (kind) {
    case 'connect-json': return createConnectTransport({ ...options, useBinaryFormat: false });
    case 'connect-proto': return createConnectTransport({ ...options, useBinaryFormat: true });
    case 'connect-get': return createConnectTransport({ ...options, useHttpGet: true });
    case 'grpc': return createGrpcTransport(options);
    case 'grpc-web': return createGrpcWebTransport(options);
    default: throw new Error('no face ' + name);
  }
}

async function refused(code, promise) {
  try {
    await promise;
  } catch (error) {
    const refusal = ConnectError.from(error);
    assert.strictEqual(Code[refusal.code], Code[code], refusal.message);
    return refusal;
  }
  throw new Error('wanted ' + Code[code] + ', got an answer');
}

const reasonOf = (refusal) => refusal.findDetails(ErrorInfoSchema)[0]?.reason;

async function books(catalog, booking) {
  const { slots } = await catalog.listSlots({ parent: 'pools/clients', freeOnly: true });
  assert(slots.length > 0, 'no free slots');
  const wish = { parent: 'pools/clients', want: { case: 'slot', value: slots[0].name },
    requestId: randomUUID() };
  const hold = await booking.createHold(wish);
  assert.strictEqual(hold.state, Hold_State.LIVE);
  assert.deepStrictEqual(await booking.createHold(wish), hold, 'a retry has the same answer');
  const taken = await booking.confirmHold(
    { name: hold.name, etag: hold.etag, requestId: randomUUID() });
  assert.strictEqual(taken.state, Reservation_State.CONFIRMED);
  assert.strictEqual(taken.slots[0].startTime.seconds, slots[0].startTime.seconds);
  const refusal = await refused(Code.Aborted, booking.createHold(
    { ...wish, requestId: randomUUID() }));
  assert.strictEqual(reasonOf(refusal), 'SLOT_TAKEN');
  await booking.cancelReservation({ name: taken.name, requestId: randomUUID() });
}

async function isRefused(catalog, booking) {
  const refusal = await refused(Code.NotFound, catalog.getPool({ name: 'pools/none' }));
  assert.strictEqual(reasonOf(refusal), 'POOL_UNKNOWN');
  assert.strictEqual(refusal.findDetails(ErrorInfoSchema)[0].domain, 'fairslot');
  assert.strictEqual(refusal.findDetails(RetryInfoSchema).length, 0);
  assert.strictEqual(reasonOf(await refused(Code.InvalidArgument,
    booking.createHold({ parent: 'pools/clients', requestId: 'none' }))), 'FIELD_INVALID');
}

async function streams(health) {
  const stop = new AbortController();
  let messages = 0;
  try {
    for await (const status of health.watch({}, { signal: stop.signal })) {
      assert.strictEqual(status.status, HealthCheckResponse_ServingStatus.SERVING);
      messages++;
      stop.abort();
    }
  } catch (error) {
    assert.strictEqual(ConnectError.from(error).code, Code.Canceled, String(error));
  }
  assert.strictEqual(messages, 1);
  messages = 0;
  const began = Date.now();
  const refusal = await refused(Code.DeadlineExceeded, (async () => {
    for await (const _ of health.watch({}, { timeoutMs: 300 })) messages++;
  })());
  assert(messages <= 1 && Date.now() - began >= 290, `${messages}, ${refusal.message}`);
}

const WATCHING = ['connect-json-h1', 'connect-proto-h2', 'grpc-h2', 'grpc-web-h1']; // takes seconds

// A snapshot is up to a second old; the next one says so.
function notFreeAnyMore(error) {
  assert.strictEqual(ConnectError.from(error).code, Code.Aborted, String(error));
  return null;
}

// Somebody else's booking is seen by who watches.
async function watches(catalog, booking) {
  const stop = new AbortController();
  const known = new Map();
  let wish = null;
  let hold = null;
  try {
    for await (const part of catalog.watchSlots({ parent: 'pools/clients' },
      { signal: stop.signal })) {
      for (const slot of part.changed) known.set(slot.name, slot.state);
      if (!part.complete) continue;
      if (hold) {
        if (known.get(wish) !== Slot_State.HELD) continue;
        stop.abort();
        break;
      }
      wish = [...known].find(([, state]) => state === Slot_State.FREE)[0];
      hold = await booking.createHold({ parent: 'pools/clients',
        want: { case: 'slot', value: wish }, requestId: randomUUID() }).catch(notFreeAnyMore);
    }
  } catch (error) {
    assert.strictEqual(ConnectError.from(error).code, Code.Canceled, String(error));
  }
  assert.strictEqual(known.get(wish), Slot_State.HELD);
  await booking.dropHold({ name: hold.name, requestId: randomUUID() });
}

async function walkThrough(face) {
  const over = transport(face);
  const catalog = createClient(CatalogService, over);
  const booking = createClient(ReservationService, over);
  seen = [];
  const pool = await catalog.getPool({ name: 'pools/clients' });
  assert.strictEqual(pool.displayName, 'P\u00e4sse \u{1f600}');
  assert.strictEqual(pool.holdTtl.seconds, 600n);
  await books(catalog, booking);
  await isRefused(catalog, booking);
  await streams(createClient(Health, over));
  if (WATCHING.includes(face)) await watches(catalog, booking);
  const gets = seen.filter(([, cache]) => cache?.includes('max-age=1')).length;
  assert(face.startsWith('connect-get') ? gets > 0 : gets === 0, `${gets} by GET`);
  console.log(`${face}: booked, refused, streamed; ${seen[0][0]}`);
}

async function main() {
  for (const face of faces) {
    try {
      await walkThrough(face);
    } catch (error) {
      throw new Error(face, { cause: error });
    }
  }
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
