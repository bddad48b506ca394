// SPDX-License-Identifier: MIT
// Goal: connect-web and grpc-web book in a real browser, from a page of another origin.
// Bundled by esbuild, run by test_browser.py, which serves the page and takes its report.
// The page's query: base (the server), token, pool, mode: "allowed" or "refused" (its origin is on
// the server's list, or not).
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-web';
import { fromBinary, fromJson, toBinary } from '@bufbuild/protobuf';
import * as grpcWeb from 'grpc-web';
import {
  CatalogService, GetPoolRequestSchema, ReservationService,
} from 'generated/fairslot/v1/services_pb.js';
import {
  Hold_State, PoolSchema, Reservation_State, Slot_State,
} from 'generated/fairslot/v1/resources_pb.js';
import { ErrorInfoSchema } from 'generated/google/rpc/error_details_pb.js';
import { StatusSchema } from 'generated/google/rpc/status_pb.js';
import {
  Health, HealthCheckRequestSchema, HealthCheckResponseSchema, HealthCheckResponse_ServingStatus,
} from 'generated/grpc/health/v1/health_pb.js';

const query = new URLSearchParams(location.search);
const [base, token, pool, mode] = ['base', 'token', 'pool', 'mode'].map((name) => query.get(name));
const { SERVING } = HealthCheckResponse_ServingStatus;

function check(truth, what) {
  if (!truth) throw new Error(what);
}

const withToken = (next) => (request) => {
  request.header.set('authorization', 'Bearer ' + token);
  return next(request);
};
const asked = []; // how, and at which path
const spy = (url, init) => {
  asked.push(init.method + ' ' + new URL(url).pathname);
  return fetch(url, init);
};
const options = { baseUrl: base, interceptors: [withToken], fetch: spy };
const transports = {
  'connect json': createConnectTransport(options),
  'connect proto': createConnectTransport({ ...options, useBinaryFormat: true }),
  'connect get': createConnectTransport({ ...options, useHttpGet: true }),
  'grpc-web': createGrpcWebTransport(options),
};

async function refused(code, promise) {
  try {
    await promise;
  } catch (error) {
    const refusal = ConnectError.from(error);
    check(refusal.code === code, `wanted ${Code[code]}: ${refusal.message}`);
    return refusal;
  }
  throw new Error(`wanted ${Code[code]}, got an answer`);
}

// -- connect-web ---------------------------------------------------------------------------------

async function books(transport) {
  const catalog = createClient(CatalogService, transport);
  const booking = createClient(ReservationService, transport);
  const { slots } = await catalog.listSlots({ parent: pool, freeOnly: true });
  const wish = { parent: pool, want: { case: 'slot', value: slots[0].name },
    requestId: crypto.randomUUID() };
  const hold = await booking.createHold(wish);
  check(hold.state === Hold_State.LIVE, 'the hold is not live');
  const { state, name } = await booking.confirmHold(
    { name: hold.name, etag: hold.etag, requestId: crypto.randomUUID() });
  check(state === Reservation_State.CONFIRMED, 'it is not confirmed');
  await booking.cancelReservation({ name, requestId: crypto.randomUUID() });
  const refusal = await refused(Code.NotFound, catalog.getPool({ name: 'pools/none' }));
  const [info] = refusal.findDetails(ErrorInfoSchema);
  check(info?.reason === 'POOL_UNKNOWN' && info.domain === 'fairslot', 'no details');
}

async function streams(transport) {
  const health = createClient(Health, transport);
  const stop = new AbortController();
  let messages = 0;
  await refused(Code.Canceled, (async () => {
    for await (const { status } of health.watch({}, { signal: stop.signal })) {
      check(status === SERVING, 'it does not serve');
      messages++;
      stop.abort();
    }
    throw new ConnectError('', Code.Canceled); // browsers may also end it quietly
  })());
  check(messages === 1, `${messages} messages`);
  await refused(Code.DeadlineExceeded, (async () => {
    for await (const _ of health.watch({}, { timeoutMs: 400 }));
  })());
}

// Somebody else's booking is seen by who watches.
async function watches(transport) {
  const booking = createClient(ReservationService, transport);
  const known = new Map();
  let hold = null;
  for await (const part of createClient(CatalogService, transport).watchSlots({ parent: pool })) {
    for (const slot of part.changed) known.set(slot.name, slot.state);
    const wish = hold?.slots[0].name;
    if (part.complete && wish && known.get(wish) === Slot_State.HELD) break;
    if (!part.complete || hold) continue;
    const [value] = [...known].find(([, state]) => state === Slot_State.FREE);
    const wanted = { parent: pool, want: { case: 'slot', value }, requestId: crypto.randomUUID() };
    hold = await booking.createHold(wanted).catch((error) => {
      check(ConnectError.from(error).code === Code.Aborted, String(error));
      return null; // a snapshot is up to a second old; the next one says so
    });
  }
  await booking.dropHold({ name: hold.name, requestId: crypto.randomUUID() });
}

async function usesGet() {
  asked.length = 0;
  await createClient(CatalogService, transports['connect get']).getPool({ name: pool });
  check(asked.join() === 'GET /fairslot.v1.CatalogService/GetPool', asked.join());
}

// -- fetch alone: a client without any timer -----------------------------------------------------

async function serverEndsIt() {
  const path = base + '/grpc.health.v1.Health/Watch';
  const body = new Blob([new Uint8Array([0, 0, 0, 0, 2]), '{}']);
  const headers = { 'content-type': 'application/connect+json', 'connect-timeout-ms': '300' };
  const bytes = new Uint8Array(
    await (await fetch(path, { method: 'POST', headers, body })).arrayBuffer());
  const first = new DataView(bytes.buffer).getUint32(1);
  const end = 5 + first;
  check(bytes[0] === 0 && bytes[end] === 2, 'frames: ' + [...bytes]);
  const said = JSON.parse(new TextDecoder().decode(bytes.slice(end + 5)));
  check(said.error.code === 'deadline_exceeded', JSON.stringify(said));
}

async function anonymousFetch() {
  const answer = await fetch(base + '/fairslot.v1.CatalogService/GetPool', {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: pool }) });
  const said = fromJson(PoolSchema, await answer.json());
  check(answer.status === 200 && said.name === pool, 'status ' + answer.status);
}

// -- the package grpc-web, without generated code of its own -------------------------------------

const method = (path, input, output) => new grpcWeb.MethodDescriptor(
  path, 'unary', Object, Object, (m) => toBinary(input, m), (bytes) => fromBinary(output, bytes));
const getPool = method('/fairslot.v1.CatalogService/GetPool', GetPoolRequestSchema, PoolSchema);
const watch = method(
  '/grpc.health.v1.Health/Watch', HealthCheckRequestSchema, HealthCheckResponseSchema);
const metadata = { authorization: 'Bearer ' + token };

function call(client, name) {
  return new Promise((resolve, reject) => {
    client.rpcCall(base + getPool.name, fromJson(GetPoolRequestSchema, { name }), metadata, getPool,
      (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function grpcWebUnary(format) {
  const client = new grpcWeb.GrpcWebClientBase({ format });
  const answer = await call(client, pool);
  check(answer.name === pool, JSON.stringify(answer.name));
  let error = null;
  try { await call(client, 'pools/none'); } catch (refusal) { error = refusal; }
  check(error?.code === grpcWeb.StatusCode.NOT_FOUND, 'code ' + error?.code);
  const packed = atob(error.metadata['grpc-status-details-bin']);
  const status = fromBinary(StatusSchema, Uint8Array.from(packed, (c) => c.charCodeAt(0)));
  const info = fromBinary(ErrorInfoSchema, status.details[0].value);
  check(info.reason === 'POOL_UNKNOWN', info.reason);
}

function grpcWebStream() {
  const client = new grpcWeb.GrpcWebClientBase({ format: 'text' });
  const deadline = String(Date.now() + 500);
  const stream = client.serverStreaming(
    base + watch.name, fromJson(HealthCheckRequestSchema, {}), { ...metadata, deadline }, watch);
  return new Promise((resolve, reject) => {
    let messages = 0;
    stream.on('data', ({ status }) => { messages += status === SERVING ? 1 : 100; });
    stream.on('error', ({ code }) => (messages === 1 && code === grpcWeb.StatusCode.DEADLINE_EXCEEDED
      ? resolve() : reject(new Error(`${messages} messages, code ${code}`))));
    stream.on('end', () => reject(new Error('ended without a word')));
  });
}

// -- a page whose origin is not on the list ------------------------------------------------------

async function fails(promise) {
  try {
    await promise;
  } catch {
    return;
  }
  throw new Error('a page that may not call got an answer');
}

const allowed = {
  ...Object.fromEntries(Object.entries(transports).flatMap(([name, transport]) => [
    [name + ' books', () => books(transport)], [name + ' streams', () => streams(transport)]])),
  'connect json watches': () => watches(transports['connect json']), // takes seconds
  'grpc-web watches': () => watches(transports['grpc-web']),
  'connect get is a GET': usesGet,
  'the server ends a stream by itself': serverEndsIt,
  'fetch alone reads the catalogue': anonymousFetch,
  'grpc-web text': () => grpcWebUnary('text'),
  'grpc-web binary': () => grpcWebUnary('binary'),
  'grpc-web stream': grpcWebStream,
};
const refusedCases = {
  ...Object.fromEntries(Object.entries(transports).map(([name, transport]) => [name, () => fails(
    createClient(CatalogService, transport).getPool({ name: pool }))])),
  'fetch alone': () => fails(anonymousFetch()),
  'grpc-web, the package': () => fails(call(new grpcWeb.GrpcWebClientBase({ format: 'text' }), pool)),
};

async function main() {
  const report = [];
  for (const [name, run] of Object.entries(mode === 'refused' ? refusedCases : allowed)) {
    let problem = null;
    const limit = new Promise((_, reject) => {
      setTimeout(() => reject(new Error('no end within 15 s')), 15000);
    });
    try { await Promise.race([run(), limit]); } catch (error) { problem = String(error); }
    report.push({ name, problem });
  }
  await fetch('/report', { method: 'POST', body: JSON.stringify(report) });
}

main();
