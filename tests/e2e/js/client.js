// SPDX-License-Identifier: MIT
// Goal: @grpc/grpc-js books, is refused with details, keeps deadlines, and survives 2,000 calls.
// usage: FAIRSLOT_TOKEN=... node client.js PROTO_DIR HOST:PORT [CA.pem]     with a CA: over TLS
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [protoDir, target, ca] = process.argv.slice(2);
const definition = loader.loadSync('fairslot/v1/services.proto', {
  includeDirs: [protoDir], keepCase: true, longs: Number, enums: String, defaults: true,
});
const api = grpc.loadPackageDefinition(definition).fairslot.v1;
const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca))
  : grpc.credentials.createInsecure();
const catalog = new api.CatalogService(target, credentials);
const booking = new api.ReservationService(target, credentials);
const me = new grpc.Metadata();
me.set('authorization', 'Bearer ' + process.env.FAIRSLOT_TOKEN);

function call(service, method, request, metadata = me, options = {}) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 10000;
    service[method](request, metadata, { deadline, ...options }, (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
  });
}

async function refused(code, promise) {
  try {
    await promise;
  } catch (error) {
    assert.strictEqual(error.code, code, error.message);
    return error;
  }
  throw new Error('wanted status ' + code + ', got an answer');
}

async function main() {
  const pool = await call(catalog, 'GetPool', { name: 'pools/clients' });
  assert.strictEqual(pool.name, 'pools/clients');

  const { slots } = await call(catalog, 'ListSlots', { parent: pool.name, free_only: true });
  assert(slots.length > 0, 'no free slots');
  const holdRequest = { parent: pool.name, slot: slots[0].name, request_id: crypto.randomUUID() };
  const hold = await call(booking, 'CreateHold', holdRequest);
  assert.strictEqual(hold.state, 'STATE_LIVE');
  assert.deepStrictEqual(await call(booking, 'CreateHold', holdRequest), hold);
  const taken = await call(booking, 'ConfirmHold',
    { name: hold.name, etag: hold.etag, request_id: crypto.randomUUID() });
  assert.strictEqual(taken.state, 'STATE_CONFIRMED');
  console.log('booked', taken.name);

  const again = { parent: pool.name, slot: slots[0].name, request_id: crypto.randomUUID() };
  const error = await refused(grpc.status.ABORTED, call(booking, 'CreateHold', again));
  const details = error.metadata.get('grpc-status-details-bin')[0].toString('latin1');
  assert(details.includes('SLOT_TAKEN') && details.includes('fairslot'), details);
  console.log('refused:', error.details);

  await refused(grpc.status.UNAUTHENTICATED,
    call(booking, 'ListReservations', { parent: 'pools/-' }, new grpc.Metadata()));
  await refused(grpc.status.DEADLINE_EXCEEDED,
    call(catalog, 'ListPools', {}, me, { deadline: Date.now() - 1 }));

  const watch = catalog.WatchSlots({ parent: pool.name }, me);
  const first = await new Promise((heard, failed) => {
    watch.once('data', heard);
    watch.on('error', failed);
  });
  assert(first.complete && first.changed.length >= slots.length, JSON.stringify(first));
  const ended = new Promise((over) => watch.on('error', over));
  watch.cancel();
  assert.strictEqual((await ended).code, grpc.status.CANCELLED);

  const calls = [];
  let done = 0;
  for (let i = 0; i < 2000; i++) {
    calls.push((async () => {
      for (let tries = 0; ; tries++) {
        try {
          await call(catalog, 'GetPool', { name: pool.name });
          done++;
          return;
        } catch (refusal) { // one identity may have only so many calls waiting
          if (refusal.code !== grpc.status.RESOURCE_EXHAUSTED || tries > 200) throw refusal;
          await new Promise((wake) => setTimeout(wake, 20 + Math.random() * 80));
        }
      }
    })());
  }
  await Promise.all(calls);
  assert.strictEqual(done, 2000);
  console.log('2,000 calls at once, each answered');
  catalog.close();
  booking.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
