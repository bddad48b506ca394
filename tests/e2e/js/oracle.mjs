// SPDX-License-Identifier: MIT
// Goal: our JSON mapping and protobuf-es agree, on random messages of every type of the API.
//   write   a message of ours in JSON is what toJson() says, and fromJson() reads it back
//   read    what toJson() writes, in every spelling that is allowed, we read as the same message
//   wrong   a value put where it does not belong is refused by both, or read alike
// usage: node oracle.mjs PROGRAM DESCRIPTOR_SET COUNT SEED; prints a line for each part.
import assert from 'node:assert';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import readline from 'node:readline';
import {
  create, createFileRegistry, fromBinary, fromJson, ScalarType, toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { anyPack, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const [program, setPath, countText, seedText] = process.argv.slice(2);
const count = Number(countText);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fs.readFileSync(setPath)));

// mulberry32: the same seed, the same messages.
let state = Number(seedText) >>> 0;
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const chance = (p) => random() < p;

// -- the program: one question a line, one answer a line -----------------------------------------

const child = spawn(program, [], { stdio: ['pipe', 'pipe', 'inherit'] });
child.stdin.on('error', () => {}); // its exit code says more
const waiting = [];
readline.createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()(line));
child.on('exit', (code) => {
  if (code !== 0) { console.error('the program ended with', code); process.exit(1); }
});
function ask(line) {
  assert(!line.includes('\n'));
  return new Promise((answered) => { waiting.push(answered); child.stdin.write(line + '\n'); });
}
const hex = (bytes) => Buffer.from(bytes).toString('hex');
// By their bytes: to equals() a NaN is not itself.
const same = (desc, a, b) => hex(toBinary(desc, a)) === hex(toBinary(desc, b));

// -- random messages -----------------------------------------------------------------------------

const CHARS = ['a', 'Z', '0', ' ', '"', '\\', '/', '<', '\t', '\n', '\u0001', '\u001f', '\u007f',
  '\u00e4', '\u20ac', '\u2028', '\ufeff', '\uffff', '\u{1f600}', '\u{10ffff}'];
const text = () => Array.from({ length: below(12) }, () => pick(CHARS)).join('');
const big = (bits, signed) => {
  let v = BigInt.asUintN(bits, (BigInt(below(2 ** 32)) << 32n) | BigInt(below(2 ** 32)));
  v >>= BigInt(below(bits));
  if (chance(0.1)) v = pick([0n, 1n, 2n ** BigInt(bits) - 1n, 2n ** BigInt(bits - 1)]);
  return signed ? BigInt.asIntN(bits, v) : v;
};
const real = () => pick([0.1, 1.5, -3, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, NaN, Infinity,
  -Infinity, random(), random() * 1e10, 0.1 + 0.2]);
const bytes = () => Uint8Array.from({ length: below(20) }, () => below(256));

function scalar(type) {
  switch (type) {
    case ScalarType.STRING: return text();
    case ScalarType.BYTES: return bytes();
    case ScalarType.BOOL: return chance(0.5);
    case ScalarType.INT32: return Number(big(32, true));
    case ScalarType.INT64: return big(64, true);
    case ScalarType.UINT64: return big(64, false);
    case ScalarType.DOUBLE: return real();
    default: throw new Error('no random value for scalar ' + type);
  }
}

const nanos = () => pick([0, 500000000, 1000, 1, 999999999, below(1e9), below(1000) * 1e6]);
function wellKnown(desc) {
  if (desc.typeName === 'google.protobuf.Timestamp') {
    const seconds = pick([0n, -62135596800n, 253402300799n, 951782400n,
      -62135596800n + (big(64, false) % 315537897600n)]);
    return create(desc, { seconds, nanos: nanos() });
  }
  if (desc.typeName === 'google.protobuf.Duration') {
    const sign = pick([1, -1]);
    const seconds = pick([0n, 1n, 315575999999n, big(64, false) % 315576000000n]);
    return create(desc, { seconds: BigInt(sign) * seconds, nanos: sign * nanos() });
  }
  if (desc.typeName === 'google.protobuf.Any') {
    const inner = registry.getMessage(pick(['google.rpc.RetryInfo', 'google.rpc.BadRequest',
      'fairslot.admin.v1.RangeMoveMetadata']));
    return anyPack(inner, message(inner, 1));
  }
  return null;
}

const enumValue = (desc) => (chance(0.1) ? 99 : pick(desc.values).number);

function message(desc, depth = 0) {
  const known = wellKnown(desc);
  if (known) return known;
  const m = create(desc);
  const r = reflect(desc, m);
  const oneofs = new Map(desc.oneofs.map((o) => [o, pick([null, ...o.fields])]));
  for (const field of desc.fields) {
    if (field.oneof ? oneofs.get(field.oneof) !== field : chance(depth > 2 ? 0.7 : 0.3)) continue;
    if (field.fieldKind === 'list') {
      const list = r.get(field);
      for (let n = below(4); n > 0; n--) list.add(element(field, field.listKind, depth));
    } else if (field.fieldKind === 'map') {
      const map = r.get(field);
      for (let n = below(3); n > 0; n--) map.set(text(), text());
    } else {
      r.set(field, element(field, field.fieldKind, depth));
    }
  }
  return m;
}

function element(field, kind, depth) {
  if (kind === 'message') return reflect(field.message, message(field.message, depth + 1));
  return kind === 'enum' ? enumValue(field.enum) : scalar(field.scalar);
}

// -- other spellings of the same JSON ------------------------------------------------------------

function respell(desc, json) {
  if (json === null || typeof json !== 'object' || Array.isArray(json)) return json;
  const out = {};
  for (const field of desc.fields) {
    if (!(field.jsonName in json)) {
      if (chance(0.1)) out[field.jsonName] = null;
      continue;
    }
    const each = (v) => respellValue(field, v);
    const value = json[field.jsonName];
    out[chance(0.5) ? field.name : field.jsonName] = Array.isArray(value) ? value.map(each) : each(value);
  }
  const shuffled = Object.entries(out).sort(() => random() - 0.5);
  if (chance(0.2)) shuffled.push(['notAField', pick([null, 1, 'x', [[]], { a: {} }])]);
  return Object.fromEntries(shuffled);
}

function respellValue(field, v) {
  if (field.message?.typeName === 'google.protobuf.Timestamp' && chance(0.3)) {
    return v.startsWith('0001-01-01') ? v : offset(v);
  }
  if (field.message) return respell(field.message, v);
  if (field.scalar === ScalarType.BYTES) {
    let t = v;
    if (chance(0.5)) t = t.replaceAll('+', '-').replaceAll('/', '_');
    return chance(0.5) ? t.replace(/=+$/, '') : t;
  }
  if (field.scalar === ScalarType.INT32 && chance(0.3)) return String(v);
  if (field.enum && typeof v === 'string' && chance(0.3)) {
    return field.enum.values.find((value) => value.name === v).number;
  }
  const isSmall = typeof v === 'string' && /^-?\d{1,15}$/.test(v);
  const is64 = field.scalar === ScalarType.INT64 || field.scalar === ScalarType.UINT64;
  return is64 && isSmall && chance(0.5) ? Number(v) : v;
}

// The same instant two hours west.
function offset(v) {
  const [, to, rest] = v.match(/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(.*)Z$/);
  const moved = new Date(Date.parse(to + 'Z') - 7200000).toISOString();
  return /^\d{4}-/.test(moved) ? moved.slice(0, 19) + rest + '-02:00' : v;
}

// -- the three parts -----------------------------------------------------------------------------

async function types() {
  const names = (await ask('T')).trim().split(' ');
  return names.map((name) => ({
    desc: registry.getMessage(name.replace('*', '')), readable: !name.endsWith('*'),
  })).filter(({ desc }) => desc); // a map's entry is no message to others
}

async function write(all) {
  for (let i = 0; i < count; i++) {
    const { desc } = all[i % all.length];
    const m = message(desc);
    const json = await ask(`R ${desc.typeName} ${hex(toBinary(desc, m))}`);
    assert(!json.startsWith('!'), `${desc.typeName}: ${json} for ${JSON.stringify(toJson(desc, m, { registry }))}`);
    assert.deepStrictEqual(JSON.parse(json), JSON.parse(JSON.stringify(toJson(desc, m, { registry }))));
    assert(same(desc, fromJson(desc, JSON.parse(json), { registry }), m), json);
  }
  console.log(`write: ${count} messages of ${all.length} types`);
}

// A bare time is no JSON object, and no method's request.
const isRequest = ({ desc, readable }) => readable && !/^google\.protobuf\.(T|D)/.test(desc.typeName);

async function read(all) {
  const readable = all.filter(isRequest);
  for (let i = 0; i < count; i++) {
    const { desc } = readable[i % readable.length];
    const m = message(desc);
    const plain = toJson(desc, m, { alwaysEmitImplicit: chance(0.3) });
    const json = JSON.stringify(chance(0.7) ? respell(desc, plain) : plain, null, chance(0.2) ? ' ' : '')
      .replaceAll('\n', ' ');
    const packed = await ask(`P ${desc.typeName} ${json}`);
    assert(!packed.startsWith('!'), `${desc.typeName}: ${packed} for ${json}`);
    const back = fromBinary(desc, Buffer.from(packed, 'hex'));
    assert(same(desc, back, m), `${json} became ${JSON.stringify(toJson(desc, back))}`);
  }
  console.log(`read: ${count} messages of ${readable.length} types`);
}

const WRONG = [null, true, false, 0, 1, -1, 1.5, 1e10, -1e10, 4294967296, 1e300, '', 'x', '1', '-1',
  '1.5', '1e2', '1s', '1.5s', '-0.5s', '1m', 'AQI', 'AQI=', 'AQ', 'A', 'A=', '****', '-_', 'NaN',
  'Infinity', 'ASSURANCE_HIGH', 'STATE_FREE', '2026-12-01T09:00:00Z', '2026-12-01T09:00:00+02:00',
  '2026-12-01T09:00:00.123456789Z', '2026-12-01', '2026-13-01T00:00:00Z', '9999-12-31T23:59:59-00:01',
  [], [null], [1], ['x'], [[]], {}, { a: 1 }, { seconds: 1 }, [{}]];

// Where the two may differ, and why; `ours`: we took it, they refused.
function mayDiffer(field, value, ours) {
  const values = [value].flat();
  if (field.enum && values.some((v) => typeof v === 'string')) return !ours; // ignored there
  if (field.scalar === ScalarType.BYTES) return !ours; // stray bits and paddings
  if (field.message?.typeName === 'google.protobuf.Duration') return !ours; // "1sx"
  if (field.scalar === ScalarType.DOUBLE) return value === ''; // 0 there
  const is64 = field.scalar === ScalarType.INT64 || field.scalar === ScalarType.UINT64;
  if (is64 && value === '1e2') return ours; // the mapping allows it, BigInt() does not
  return field.oneof && value === null && ours; // null is unset, not a choice
}

async function wrong(all) {
  const readable = all.filter((type) => isRequest(type) && type.desc.fields.length > 0);
  let refused = 0;
  for (let i = 0; i < count; i++) {
    const { desc } = readable[i % readable.length];
    const field = pick(desc.fields);
    const value = pick(WRONG);
    const json = { ...toJson(desc, message(desc)), [field.jsonName]: value };
    for (const other of field.oneof?.fields ?? []) {
      if (other !== field && chance(0.7)) delete json[other.jsonName];
    }
    let theirs = null;
    try {
      theirs = fromJson(desc, json, { ignoreUnknownFields: true });
    } catch { /* refused */ }
    const packed = await ask(`P ${desc.typeName} ${JSON.stringify(json)}`);
    const weTookIt = !packed.startsWith('!');
    refused += !weTookIt;
    if (weTookIt && theirs) {
      const back = fromBinary(desc, Buffer.from(packed, 'hex'));
      assert(same(desc, back, theirs), `${desc.typeName} ${JSON.stringify(json)}`);
    } else if (weTookIt || theirs) {
      assert(mayDiffer(field, value, weTookIt),
        `${desc.typeName}.${field.name}: ours ${packed}, theirs ${theirs ? 'took it' : 'refused'}: `
        + JSON.stringify(json));
    }
  }
  assert(refused > count / 4, `only ${refused} refused`);
  console.log(`wrong: ${count} messages, ${refused} refused`);
}

async function main() {
  const all = await types();
  assert(all.length > 80, `only ${all.length} types`);
  await write(all);
  await read(all);
  await wrong(all);
  child.stdin.end();
}

main().catch((error) => { console.error(error); process.exit(1); });
