// What the page checks, without the page: it runs in browsers and in Node. The
// steps and the sentences are those of audit.VerifyEvidence in Go, and a test
// compares them; docs/verification.md says what an evidence zip is.
import { canonical, detailsOf, equal, extendsTree, fromBase64, hex, importKey, placeOf, recordOf, toBase64 } from "../../web/static/js/verify-core.js";

// Fault is something that is not as it was recorded, or cannot be shown to be.
export class Fault extends Error {
  constructor(check, message, place = {}) {
    super(message);
    Object.assign(this, { check, file: "", line: 0, seq: undefined, field: "" }, place);
  }

  sentence() {
    let where = this.file;
    if (this.line) where += this.file === csvFile ? `, row ${this.line}` : `, line ${this.line}`;
    if (this.seq !== undefined) where += ` (entry ${this.seq})`;
    return where ? `${where}: ${this.message}` : this.message;
  }
}

const manifestFile = "manifest.json";
const noteFile = "manifest.note";
const jsonlFile = "entries.jsonl";
const csvFile = "entries.csv";
const treeFile = "proof/tree.jsonl";
const checkpointFile = "proof/checkpoint";
const olderFile = "proof/older-checkpoint";
const consistencyFile = "proof/consistency";
const verifierFile = "verify.html";
const evidenceFiles = [manifestFile, noteFile, jsonlFile, csvFile, treeFile, checkpointFile, verifierFile];
const olderFiles = [olderFile, consistencyFile];

const maxLine = 2 ** 20;
const maxRow = 2 ** 21;
const maxLarge = 2 ** 23;
const maxSmall = 2 ** 16;
const maxDirectory = 2 ** 16;
const maxDescriptor = 24;
const maxEvidenceLog = 2 ** 40;
const maxTargets = 100;

const encoder = new TextEncoder();
const sameBytes = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
const shorten = (s) => {
  const runes = [...s];
  return runes.length > 60 ? `${runes.slice(0, 60).join("")}…` : s;
};
const quote = (s) => JSON.stringify(shorten(String(s)));

// decode gives undefined for what is not UTF-8.
function decode(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

// SHA-256 (FIPS 180-4), which can be given its input in pieces: that of browsers
// wants all of it at once.
const roundConstants = new Int32Array(64);
const startHash = new Int32Array(8);
{
  const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32);
  let n = 0;
  for (let p = 2; n < 64; p++) {
    let prime = true;
    for (let d = 2; d * d <= p; d++) prime &&= p % d !== 0;
    if (!prime) continue;
    roundConstants[n] = fraction(Math.cbrt(p));
    if (n < 8) startHash[n] = fraction(Math.sqrt(p));
    n++;
  }
}

const schedule = new Int32Array(64);

export class Sha256 {
  #state = startHash.slice();
  #block = new Uint8Array(64);
  #filled = 0;
  #length = 0;

  update(bytes) {
    this.#length += bytes.length;
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(64 - this.#filled, bytes.length);
      this.#block.set(bytes.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < 64) return this;
      this.#compress(this.#block, 0);
    }
    for (; at + 64 <= bytes.length; at += 64) this.#compress(bytes, at);
    this.#block.set(bytes.subarray(at));
    this.#filled = bytes.length - at;
    return this;
  }

  digest() {
    const bits = this.#length * 8;
    const pad = new Uint8Array((this.#filled < 56 ? 64 : 128) - this.#filled);
    pad[0] = 0x80;
    const view = new DataView(pad.buffer);
    view.setUint32(pad.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(pad.length - 4, bits % 2 ** 32);
    this.update(pad);
    const out = new Uint8Array(32);
    const words = new DataView(out.buffer);
    for (let i = 0; i < 8; i++) words.setInt32(4 * i, this.#state[i]);
    return out;
  }

  #compress(bytes, at) {
    const w = schedule;
    for (let i = 0; i < 16; i++, at += 4) w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    // Reading the state one by one is much faster than taking it apart.
    const s = this.#state;
    let a = s[0];
    let b = s[1];
    let c = s[2];
    let d = s[3];
    let e = s[4];
    let f = s[5];
    let g = s[6];
    let h = s[7];
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + roundConstants[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    s[4] += e;
    s[5] += f;
    s[6] += g;
    s[7] += h;
  }
}

const hashOf = (...parts) => parts.reduce((hash, part) => hash.update(part), new Sha256()).digest();
const leafOf = (record) => hashOf(Uint8Array.of(0), record);
const nodeOf = (left, right) => hashOf(Uint8Array.of(1), left, right);

// The zip. It is read from the one directory at its very end, and nothing may be
// in it that is not in a file of it.
const zipFault = () => new Fault("format", "the zip cannot be read: it was cut off, added to or damaged, or is no evidence zip; get it again");

async function bytesAt(blob, at, n) {
  const bytes = new Uint8Array(await blob.slice(at, at + n).arrayBuffer());
  if (bytes.length < n) throw zipFault();
  return new DataView(bytes.buffer);
}

const textOf = (view, at, n) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(view.buffer, view.byteOffset + at, n));
const big = (view, at) => Number(view.getBigUint64(at, true));

async function openZip(blob) {
  const { directory, at } = await readDirectory(blob);
  const parts = new Map();
  let end = 0;
  for (let from = 0; from < directory.byteLength; ) {
    const { part, n } = parsePart(new DataView(directory.buffer, from));
    from += n;
    if (!evidenceFiles.includes(part.name) && !olderFiles.includes(part.name)) {
      throw new Fault("format", `the zip holds ${quote(part.name)}, which is no part of evidence`);
    }
    if (parts.has(part.name)) throw new Fault("format", `the zip holds ${part.name} twice`);
    await locate(blob, part, end, at);
    end = part.data + part.packed;
    parts.set(part.name, part);
  }
  if (at - end > maxDescriptor) throw zipFault();
  wantParts(parts);
  return parts;
}

function wantParts(parts) {
  const want = parts.has(olderFile) || parts.has(consistencyFile) ? [...evidenceFiles, ...olderFiles] : evidenceFiles;
  const missing = want.find((name) => !parts.has(name));
  if (missing) throw new Fault("format", `the zip has no ${missing}`);
  for (const name of want) {
    const limit = [jsonlFile, csvFile, treeFile].includes(name) ? Infinity : [manifestFile, verifierFile].includes(name) ? maxLarge : maxSmall;
    if (parts.get(name).size > limit) throw new Fault("format", `it has more than ${limit} bytes`, { file: name });
  }
}

async function readDirectory(blob) {
  let at = blob.size - 22;
  if (at < 0) throw zipFault();
  let b = await bytesAt(blob, at, 22);
  if (b.getUint32(0, true) !== 0x06054b50 || b.getUint32(4, true) !== 0 || b.getUint16(20, true) !== 0) throw zipFault();
  let length = b.getUint32(12, true);
  let begin = b.getUint32(16, true);
  if (b.getUint16(10, true) === 0xffff || length === 0xffffffff || begin === 0xffffffff) {
    at -= 76;
    if (at < 0) throw zipFault();
    b = await bytesAt(blob, at, 76);
    if (b.getUint32(0, true) !== 0x06064b50 || big(b, 4) !== 44 || b.getUint32(56, true) !== 0x07064b50 || big(b, 64) !== at) throw zipFault();
    length = big(b, 40);
    begin = big(b, 48);
  }
  if (length > maxDirectory || begin + length !== at) throw zipFault();
  return { directory: await bytesAt(blob, begin, length), at: begin };
}

function parsePart(b) {
  if (b.byteLength < 46 || b.getUint32(0, true) !== 0x02014b50 || b.getUint16(32, true) !== 0 || b.getUint16(34, true) !== 0) throw zipFault();
  const nameEnd = 46 + b.getUint16(28, true);
  const n = nameEnd + b.getUint16(30, true);
  if (b.byteLength < n) throw zipFault();
  const part = { name: textOf(b, 46, nameEnd - 46) };
  const method = b.getUint16(10, true);
  if (b.getUint16(8, true) & 1 || (method !== 0 && method !== 8)) {
    throw new Fault("format", `${quote(part.name)} is packed in a way that evidence is not: only deflate and store are`);
  }
  part.stored = method === 0;
  const extra = zip64Extra(b, nameEnd, n);
  for (const [field, at] of [["size", 24], ["packed", 20], ["header", 42]]) {
    part[field] = b.getUint32(at, true);
    if (part[field] === 0xffffffff) {
      if (extra.length === 0) throw zipFault();
      part[field] = extra.shift();
    }
    if (part[field] > 2 ** 53) throw zipFault();
  }
  if (part.stored && part.size !== part.packed) throw zipFault();
  return { part, n };
}

// zip64Extra gives the 64-bit sizes of an extra field.
function zip64Extra(b, at, end) {
  while (end - at >= 4) {
    const next = at + 4 + b.getUint16(at + 2, true);
    if (next > end) return [];
    if (b.getUint16(at, true) === 1) return Array.from({ length: Math.floor((next - at - 4) / 8) }, (_, i) => big(b, at + 4 + 8 * i));
    at = next;
  }
  return [];
}

async function locate(blob, part, before, directory) {
  const gap = part.header - before;
  if (gap < 0 || gap > maxDescriptor || (before === 0 && gap !== 0) || directory - part.header < 30) throw zipFault();
  const b = await bytesAt(blob, part.header, 30);
  const nameLength = b.getUint16(26, true);
  if (b.getUint32(0, true) !== 0x04034b50 || b.getUint16(6, true) & 1 || (b.getUint16(8, true) === 0) !== part.stored) throw zipFault();
  const name = await bytesAt(blob, part.header + 30, nameLength);
  part.data = part.header + 30 + nameLength + b.getUint16(28, true);
  if (textOf(name, 0, nameLength) !== part.name || directory - part.data < part.packed) throw zipFault();
}

// PartReader unpacks a file, and hashes what it gave.
class PartReader {
  #reader;
  #left;
  #hash = new Sha256();

  constructor(blob, part) {
    this.name = part.name;
    this.#left = part.size;
    const packed = blob.slice(part.data, part.data + part.packed).stream();
    this.#reader = (part.stored ? packed : packed.pipeThrough(new DecompressionStream("deflate-raw"))).getReader();
  }

  // chunk gives undefined at the end.
  async chunk() {
    let piece;
    try {
      piece = await this.#reader.read();
    } catch (error) {
      // What is not the data's fault is the disk's.
      throw error instanceof TypeError || error?.code?.startsWith?.("Z_") || error?.code === "ERR_TRAILING_JUNK_AFTER_STREAM_END" ? this.damaged() : error;
    }
    if (piece.done && this.#left > 0) throw this.damaged();
    if (piece.done) return undefined;
    this.#left -= piece.value.length;
    if (this.#left < 0) throw this.damaged();
    this.#hash.update(piece.value);
    return piece.value;
  }

  damaged() {
    return new Fault("format", "it cannot be unpacked: the zip is damaged; get it again", { file: this.name });
  }

  sum() {
    return hex(this.#hash.digest());
  }
}

// LineReader reads a file line by line; in a CSV, what is quoted may have line
// feeds.
class LineReader extends PartReader {
  line = 0;
  #buffer = new Uint8Array(0);
  #from = 0; // of the next line
  #seen = 0; // up to where it was looked at
  #quoted = false;
  #ended = false;
  #limit;

  constructor(blob, part, limit) {
    super(blob, part);
    this.#limit = limit;
  }

  // next gives a line with its end, undefined after the last.
  async next() {
    this.line++;
    for (;;) {
      const end = this.#find();
      if ((end > 0 ? end : this.#buffer.length) - this.#from > this.#limit) throw this.fault(`it has more than ${this.#limit} bytes`);
      if (end > 0) {
        const text = decode(this.#buffer.subarray(this.#from, end));
        this.#from = end;
        if (text === undefined) throw this.fault("it is not valid UTF-8");
        return text;
      }
      if (this.#ended && this.#from < this.#buffer.length) throw this.fault("it is cut off: it does not end with a line feed");
      if (this.#ended) return undefined;
      await this.#more();
    }
  }

  // find gives where the line ends, 0 when that is not in the buffer.
  #find() {
    for (;;) {
      const at = this.#buffer.indexOf(10, this.#seen);
      const end = at < 0 ? this.#buffer.length : at + 1;
      if (this.name === csvFile) {
        for (let i = this.#seen; i < end; i++) if (this.#buffer[i] === 34) this.#quoted = !this.#quoted;
      }
      this.#seen = end;
      if (at < 0) return 0;
      if (!this.#quoted) return end;
    }
  }

  async #more() {
    const chunk = await this.chunk();
    if (!chunk) {
      this.#ended = true;
      return;
    }
    const rest = this.#buffer.subarray(this.#from);
    const joined = new Uint8Array(rest.length + chunk.length);
    joined.set(rest);
    joined.set(chunk, rest.length);
    this.#seen -= this.#from;
    this.#from = 0;
    this.#buffer = joined;
  }

  fault(message) {
    return new Fault("format", message, { file: this.name, line: this.line });
  }

  // drain reads the rest for its hash.
  async drain() {
    this.#buffer = new Uint8Array(0);
    while (!this.#ended) if (!(await this.chunk())) this.#ended = true;
  }
}

// Texts in their one form.
const whole = (n) => Number.isSafeInteger(n) && n >= 0;
const isObject = (v) => typeof v === "object" && v !== null && !Array.isArray(v);
const loneSurrogate = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

// timeOf gives the milliseconds of a time as entries have it.
function timeOf(text) {
  const parts = /^(\d{4})-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d{3}|\d{6}|\d{9})Z$/.exec(text);
  if (!parts || parts[1] < "1970" || parts[1] > "2261" || (parts[2].length > 3 && parts[2].endsWith("000"))) throw new TypeError("no time");
  const ms = `${text.slice(0, 23)}Z`;
  if (new Date(ms).toISOString() !== ms) throw new TypeError("no time");
  return Date.parse(ms);
}

function want(condition) {
  if (!condition) throw new TypeError("not what is written");
}

function string(v) {
  want(typeof v === "string");
  return JSON.stringify(v);
}

function member(name, v) {
  if (v === undefined || v === null) return "";
  want(isObject(v));
  return Object.keys(v).length ? `,"${name}":${canonical(v)}` : "";
}

function partyText(p) {
  want(isObject(p));
  return `{"type":${string(p.type)},"id":${string(p.id)}${p.name ? `,"name":${string(p.name)}` : ""}${member("metadata", p.metadata)}}`;
}

// entryText is an entry as a server writes it; it throws for what is none.
function entryText(e) {
  want(isObject(e) && whole(e.seq) && Number.isSafeInteger(e.version) && e.version !== 0 && Array.isArray(e.targets));
  timeOf(e.occurred_at);
  timeOf(e.received_at);
  want(e.received_at.length === 24);
  let text = `{"id":${string(e.id)},"organization_id":${string(e.organization_id)},"seq":${e.seq},"action":${string(e.action)},"version":${e.version},"occurred_at":"${e.occurred_at}","received_at":"${e.received_at}","actor":${partyText(e.actor)},"targets":[${e.targets.map(partyText).join(",")}]`;
  const { location, user_agent } = e.context ?? {};
  text += member("context", { ...(location ? { location: JSON.parse(string(location)) } : {}), ...(user_agent ? { user_agent: JSON.parse(string(user_agent)) } : {}) });
  text += member("metadata", e.metadata);
  if (e.erased_at !== undefined) {
    timeOf(e.erased_at);
    want(e.erased_at.length === 24);
    text += `,"erased_at":"${e.erased_at}"`;
  }
  if (e.schema) text += `,"schema":${string(e.schema)}`;
  return `${text}}`;
}

// parsed reads a line that is written in its one form; undefined when it is not.
function parsed(line, write) {
  try {
    const value = JSON.parse(line);
    return `${write(value)}\n` === line && !loneSurrogate.test(line) ? value : undefined;
  } catch {
    return undefined;
  }
}

function hashText(text) {
  want(/^[A-Za-z0-9+/]{43}=$/.test(text) && toBase64(fromBase64(text)) === text);
  return text;
}

function nodeText(n) {
  want(isObject(n));
  if (n.seq === undefined) {
    want(whole(n.first) && whole(n.level) && n.level <= 62 && ["outside", "filter", "removed"].includes(n.why));
    return `{"first":${n.first},"level":${n.level},"hash":"${hashText(n.hash)}","why":"${n.why}"}`;
  }
  want(whole(n.seq) && typeof n.record === "string" && encoder.encode(n.record).length <= 65_535);
  if (n.salt === undefined) return `{"seq":${n.seq},"record":${string(n.record)}}`;
  const salt = fromBase64(n.salt);
  want(salt.length === 16);
  return `{"seq":${n.seq},"record":${string(n.record)},"salt":"${toBase64(salt)}"}`;
}

// The CSV.
function columnsOf(form) {
  const names = ["id", "seq", "action", "version", "occurred_at", "received_at", "actor_id", "actor_type", "actor_name", "actor_metadata"];
  for (let n = 1; n <= form.target_groups; n++) names.push(`target_id_${n}`, `target_type_${n}`, `target_name_${n}`, `target_metadata_${n}`);
  return [...names, "context_location", "context_user_agent", "metadata", "erased_at"];
}

function cellsOf(form, e) {
  const text = (s = "") => (!form.raw_cells && /^['\x20]*[=+\-@\t\r\n＝＋－＠]/.test(s) ? `'${s}` : s);
  const json = (metadata) => (metadata ? canonical(metadata) : "");
  const party = (p) => [text(p.id), text(p.type), text(p.name), json(p.metadata)];
  const targets = e.targets.flatMap(party);
  const empty = Array(4 * form.target_groups - targets.length).fill("");
  return [
    e.id, String(e.seq), text(e.action), String(e.version), e.occurred_at, e.received_at, ...party(e.actor), ...targets, ...empty,
    text(e.context?.location), text(e.context?.user_agent), json(e.metadata), e.erased_at ?? "",
  ];
}

const rowText = (cells) => `${cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")}\r\n`;

function splitRow(row) {
  const cells = [];
  let cell = "";
  let quoted = false;
  row = row.replace(/\r?\n$/, "");
  for (let i = 0; i < row.length; i++) {
    const c = row[i];
    if (quoted && c === '"' && row[i + 1] === '"') {
      cell += c;
      i++;
    } else if (c === '"') {
      quoted = !quoted;
    } else if (c === "," && !quoted) {
      cells.push(cell);
      cell = "";
    } else {
      cell += c;
    }
  }
  return [...cells, cell];
}

// The manifest.
const notManifest = () => new Fault("format", "it is not the JSON that a manifest is", { file: manifestFile });
const wrongManifest = (field, message, check = "manifest") => new Fault(check, message, { file: manifestFile, field });

function parseManifest(text) {
  let m;
  try {
    m = JSON.parse(text);
    want(isObject(m));
    for (const part of ["organization", "range", "received", "requested_by", "csv", "files", "checkpoint", "server"]) want(isObject(m[part]));
    want(Array.isArray(m.schemas));
  } catch {
    throw notManifest();
  }
  if (m.format !== "stele-evidence/v1") {
    throw wrongManifest("format", `its format is ${quote(m.format)}, and this verifier knows "stele-evidence/v1": get a newer one`, "format");
  }
  const again = manifestText(m);
  if (again !== text) {
    throw new Fault("format", "it is not written as a manifest is: a member is unknown, missing or there twice, or the form is another", { file: manifestFile });
  }
  return m;
}

const optional = (name, v) => (v ? { [name]: v } : {});
const given = (name, v) => (v === undefined ? {} : { [name]: v });

// manifestText is a manifest as a server writes it; "" for what is none.
function manifestText(m) {
  const tree = (t) => (t === undefined ? undefined : { root: hashText(t.root), size: t.size });
  try {
    const texts = [m.organization.id, m.origin, m.filter, m.requested_by.type, m.requested_by.id, m.zone, m.vkey, m.server.name, m.server.version];
    const numbers = [m.range.from, m.range.to, m.rows, m.erased, m.checkpoint.size, m.csv.target_groups, ...[m.first_seq, m.last_seq, m.older?.size, m.complete_through?.seq].filter((n) => n !== undefined)];
    want(texts.every((t) => typeof t === "string") && numbers.every(whole) && typeof m.csv.raw_cells === "boolean");
    for (const t of [m.created_at, m.received.from, m.received.to, m.complete_through?.received_at]) if (t !== undefined) timeOf(t);
    want(m.created_at !== undefined && (m.complete_through === null || m.complete_through.received_at !== undefined));
    const files = Object.keys(m.files).sort().map((name) => [name, { bytes: m.files[name].bytes, sha256: m.files[name].sha256 }]);
    want(files.every(([, f]) => Number.isSafeInteger(f.bytes) && typeof f.sha256 === "string"));
    return `${JSON.stringify({
      checkpoint: tree(m.checkpoint),
      complete_through: m.complete_through && { received_at: m.complete_through.received_at, seq: m.complete_through.seq },
      created_at: m.created_at,
      csv: { raw_cells: m.csv.raw_cells, target_groups: m.csv.target_groups },
      erased: m.erased,
      files: Object.fromEntries(files),
      filter: m.filter,
      ...given("first_seq", m.first_seq),
      format: m.format,
      ...given("last_seq", m.last_seq),
      ...given("older", tree(m.older)),
      organization: { id: m.organization.id, ...optional("name", m.organization.name) },
      origin: m.origin,
      range: { from: m.range.from, to: m.range.to },
      received: { ...given("from", m.received.from), ...given("to", m.received.to) },
      requested_by: { id: m.requested_by.id, ...optional("name", m.requested_by.name), type: m.requested_by.type },
      rows: m.rows,
      schemas: m.schemas.map((s) => ({ action: s.action, version: s.version })),
      server: { name: m.server.name, version: m.server.version },
      vkey: m.vkey,
      zone: m.zone,
    }, null, 2)}\n`;
  } catch {
    return "";
  }
}

function checkManifest(m) {
  const size = m.checkpoint.size;
  const through = m.complete_through;
  if (m.origin.slice(m.origin.lastIndexOf("/") + 1) !== m.organization.id) {
    throw wrongManifest("origin", `the organization is ${quote(m.organization.id)}, the log ${quote(m.origin)}`, "origin");
  }
  if (size > maxEvidenceLog) throw wrongManifest("checkpoint", `no log has more than ${maxEvidenceLog} entries`);
  if (m.range.from > m.range.to || m.range.to > size) {
    throw wrongManifest("range", `entries ${m.range.from} to ${m.range.to} are no range of a log of ${size}`);
  }
  if (through ? through.seq >= size || m.range.to > through.seq + 1 : m.range.to > 0) {
    throw wrongManifest("complete_through", "the range ends after the last entry that was considered, or that is after the end of the log");
  }
  if (m.csv.target_groups < 1 || m.csv.target_groups > maxTargets) throw wrongManifest("csv", `a CSV has 1 to ${maxTargets} groups of target columns`);
}

// Signed notes (C2SP signed-note) and keys.
function parseKeys(text) {
  const keys = text.split(/\s+/).filter(Boolean).map((vkey) => {
    const parts = /^([^ +]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey);
    const bytes = parts ? fromBase64(parts[3]) : [];
    want(bytes.length === 33 && bytes[0] === 1 && hex(hashOf(encoder.encode(`${parts[1]}\n`), bytes).slice(0, 4)) === parts[2]);
    return { name: parts[1], hash: parts[2], raw: bytes.slice(1), id: `${parts[1]}+${parts[2]}` };
  });
  want(keys.length > 0);
  return new Map(keys.map((key) => [key.id, key]));
}

// openNote gives the text of a note and the names of the keys that signed it. What
// is wrong is "note", "unsigned" or "signature"; unchecked says that this browser
// cannot check signatures.
async function openNote(bytes, keys) {
  const note = decode(bytes);
  const cut = note?.lastIndexOf("\n\n") ?? -1;
  if (cut < 0 || !note.endsWith("\n") || /[\x00-\x09\x0b-\x1f]/.test(note)) return { wrong: "note" };
  const text = note.slice(0, cut + 1);
  const names = [];
  let unchecked = false;
  const lines = note.slice(cut + 2, -1).split("\n");
  if (lines.length > 100) return { wrong: "note" };
  const seen = new Set();
  for (const line of lines) {
    const parts = /^— ([^\s+]+) ([A-Za-z0-9+/]+=*)$/.exec(line);
    let bytes;
    try {
      bytes = fromBase64(parts[2]);
      want(bytes.length >= 5 && toBase64(bytes) === parts[2]);
    } catch {
      return { wrong: "note" };
    }
    const id = `${parts[1]}+${hex(bytes.slice(0, 4))}`;
    if (!keys.has(id) || seen.has(id)) continue;
    seen.add(id);
    const key = await importKey(keys.get(id));
    unchecked ||= !key;
    if (key && !(await crypto.subtle.verify({ name: "Ed25519" }, key, bytes.slice(4), encoder.encode(text)))) return { wrong: "signature", name: parts[1] };
    names.push(parts[1]);
  }
  return names.length ? { text, names, unchecked } : { wrong: "unsigned" };
}

const organizationOf = (origin) => origin.slice(origin.lastIndexOf("/") + 1);
const goodFor = (names, origin) => names.some((name) => name === origin || `${name}/${organizationOf(origin)}` === origin);

function parseCheckpointText(text) {
  const bad = (message) => new Fault("format", `the checkpoint cannot be read: ${message}`);
  const lines = text.split("\n");
  if (lines.length < 4 || lines.at(-1) !== "") throw bad("a checkpoint has three lines at least: origin, size, root");
  if (lines.slice(0, -1).includes("")) throw bad("a checkpoint has no empty line");
  if (!/^(0|[1-9][0-9]{0,15})$/.test(lines[1])) throw bad(`${quote(lines[1])} is not the size of a tree`);
  let root;
  try {
    root = hashText(lines[2]);
  } catch {
    throw bad(`${quote(lines[2])} is not the hash of a root`);
  }
  return { origin: lines[0], size: Number(lines[1]), root };
}

// What goes through a zip.
class Walk {
  report = { manifest: undefined, keyKnown: false, checkpoint: undefined, older: undefined, kept: undefined, unchecked: false, rows: 0, erased: 0, leftOut: 0, removed: 0, problems: [] };
  sums = new Map();

  constructor(blob, options) {
    this.blob = blob;
    this.options = options;
  }

  // problem keeps what is wrong and lets the verification go on.
  async problem(step) {
    try {
      await step;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.report.problems.push(error);
    }
  }

  async verify() {
    this.parts = await openZip(this.blob);
    const manifest = await this.whole(manifestFile);
    const text = decode(manifest);
    if (text === undefined) throw notManifest();
    this.manifest = parseManifest(text);
    this.report.manifest = this.manifest;
    checkManifest(this.manifest);
    this.openKeys();
    await this.checkpoints();
    await this.problem(new Rows(this).run());
    await this.problem(this.checkNote(manifest));
    await this.checkSums();
  }

  async whole(name) {
    const reader = new PartReader(this.blob, this.parts.get(name));
    const chunks = [];
    for (let chunk = await reader.chunk(); chunk; chunk = await reader.chunk()) chunks.push(chunk);
    this.sums.set(name, reader.sum());
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  }

  openKeys() {
    this.report.keyKnown = this.options.keys !== undefined;
    try {
      this.keys = parseKeys(this.options.keys ?? this.manifest.vkey);
    } catch {
      if (this.report.keyKnown) throw new Fault("signature", "the key that you gave is not a verifier key (name+hash+key)");
      throw wrongManifest("vkey", "its key is not a verifier key", "signature");
    }
  }

  async open(file, signed, before = "") {
    const fault = (check, message) => new Fault(check, before + message, { file });
    const note = await openNote(signed, this.keys);
    if (note.wrong === "unsigned") throw fault("signature", "the checkpoint is not signed by a key that was given");
    if (note.wrong === "signature") throw fault("signature", `the signature of the checkpoint by ${note.name} is wrong: it was altered, or another key signed it`);
    if (note.wrong) throw fault("format", "the checkpoint is not a signed note");
    this.report.unchecked ||= note.unchecked;
    let c;
    try {
      c = parseCheckpointText(note.text);
    } catch (error) {
      throw fault("format", error.message);
    }
    if (!goodFor(note.names, c.origin)) throw fault("origin", `the checkpoint is of the log ${JSON.stringify(c.origin)}, for which the key that signed it is not good`);
    return c;
  }

  async checkpoints() {
    const m = this.manifest;
    const c = await this.open(checkpointFile, await this.whole(checkpointFile));
    if (c.origin !== m.origin) throw new Fault("origin", `it is of the log ${quote(c.origin)}, the manifest of ${quote(m.origin)}`, { file: checkpointFile });
    if (m.checkpoint.size !== c.size || m.checkpoint.root !== c.root) {
      throw new Fault("manifest", "size or root are not what the manifest says", { file: checkpointFile, field: "checkpoint" });
    }
    this.report.checkpoint = c;
    await this.older();
    await this.known();
  }

  async older() {
    const m = this.manifest;
    const c = this.report.checkpoint;
    if ((m.older !== undefined) !== this.parts.has(olderFile)) {
      throw wrongManifest("older", "it names an older checkpoint and the zip has none, or the other way round");
    }
    if (!m.older) return;
    const older = await this.open(olderFile, await this.whole(olderFile));
    if (older.origin !== c.origin) throw new Fault("origin", `it is of the log ${quote(older.origin)}, not of ${quote(c.origin)}`, { file: olderFile });
    if (m.older.size !== older.size || m.older.root !== older.root) {
      throw new Fault("manifest", "size or root are not what the manifest says", { file: olderFile, field: "older" });
    }
    if (!(await isExtended(c, older, parseConsistency(decode(await this.whole(consistencyFile)))))) {
      throw new Fault("consistency", `it does not prove that the log of ${c.size} entries extends the older checkpoint of ${older.size}`, { file: consistencyFile });
    }
    this.report.older = older;
  }

  async known() {
    if (this.options.older === undefined) return;
    const c = this.report.checkpoint;
    const kept = await this.open("", this.options.older, "the older checkpoint that you gave: ");
    if (kept.origin !== c.origin) throw new Fault("origin", `the older checkpoint that you gave is of the log ${quote(kept.origin)}, the zip of ${quote(c.origin)}`);
    if (kept.size > c.size) {
      throw new Fault("consistency", `the checkpoint that you gave is of ${kept.size} entries, newer than the zip's of ${c.size}: export again to compare them`);
    }
    this.report.kept = kept;
  }

  async checkNote(manifest) {
    const fault = (check, message) => new Fault(check, message, { file: noteFile });
    const origin = this.manifest.origin;
    const note = await openNote(await this.whole(noteFile), this.keys);
    if (note.wrong === "unsigned") throw fault("signature", "the note is not signed by a key that was given");
    if (note.wrong === "signature") throw fault("signature", `the signature of the note by ${note.name} is wrong: it was altered, or another key signed it`);
    if (note.wrong) throw fault("format", "the note is not a signed note");
    const cut = note.text.indexOf("\n");
    const [first, due] = [note.text.slice(0, cut), `${origin} evidence v1`];
    if (first !== due) throw fault("format", `the note begins with ${quote(first)}, not with ${quote(due)}`);
    if (!goodFor(note.names, origin)) throw fault("origin", `the note is about the log ${quote(origin)}, for which the key that signed it is not good`);
    if (note.text.slice(cut + 1) !== `${hex(hashOf(manifest))}\n`) {
      throw new Fault("manifest", "it is not the manifest that was signed: something in it was altered", { file: manifestFile });
    }
  }

  async checkSums() {
    await this.whole(verifierFile);
    const { problems } = this.report;
    const known = [...evidenceFiles, ...olderFiles];
    for (const name of known) {
      const listed = Object.hasOwn(this.manifest.files, name) ? this.manifest.files[name] : undefined;
      const part = this.parts.get(name);
      const own = name === manifestFile || name === noteFile;
      if ((listed !== undefined) !== (part !== undefined && !own)) {
        problems.push(wrongManifest("files", `the list of files lacks ${name}, or has it though it is not there`));
      } else if (listed && (listed.bytes !== part.size || listed.sha256 !== (this.sums.get(name) ?? listed.sha256))) {
        problems.push(new Fault("manifest", "it is not the file that was written: its SHA-256 or size is not what the manifest lists", { file: name }));
      }
    }
    const unknown = Object.keys(this.manifest.files).sort().find((name) => !known.includes(name));
    if (unknown !== undefined) problems.push(wrongManifest("files", `the list of files has ${quote(unknown)}, which is no part of evidence`));
  }
}

function parseConsistency(text) {
  const lines = text?.split("\n") ?? [];
  try {
    want(lines.pop() === "" && lines.length <= 126);
    return lines.map((line) => fromBase64(hashText(line)));
  } catch {
    throw new Fault("format", "it is not a list of hashes, one a line", { file: consistencyFile });
  }
}

async function isExtended(c, older, path) {
  if (older.size === 0) return path.length === 0 && older.root === toBase64(new Fold().root());
  const tree = ({ size, root }) => ({ size, root: fromBase64(root) });
  return extendsTree(tree(older), tree(c), path);
}

// Fold computes the root of a tree out of its subtrees, left to right.
class Fold {
  size = 0;
  #stack = [];

  push(hash, level) {
    for (let index = this.size / 2 ** level; index % 2 === 1; index = (index - 1) / 2) hash = nodeOf(this.#stack.pop(), hash);
    this.#stack.push(hash);
    this.size += 2 ** level;
  }

  root() {
    return this.#stack.length ? this.#stack.reduceRight((right, left) => nodeOf(left, right)) : hashOf();
  }
}

// Rows reads the tree and, beside it, the two files of entries.
class Rows {
  #fold = new Fold();
  #keptRoot;
  #targets = 1;
  #schemas = new Map();
  #unlisted = false;
  #first;
  #last;

  constructor(walk) {
    this.walk = walk;
    this.manifest = walk.manifest;
    this.report = walk.report;
    const lines = (name, limit) => new LineReader(walk.blob, walk.parts.get(name), limit);
    this.tree = lines(treeFile, maxLine);
    this.jsonl = lines(jsonlFile, maxLine);
    this.csv = lines(csvFile, maxRow);
    for (const { action, version } of this.manifest.schemas) this.#schemas.set(`${version} ${action}`, false);
  }

  async run() {
    let found;
    try {
      await this.rows();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      found = error;
    }
    for (const reader of [this.tree, this.jsonl, this.csv]) {
      try {
        await reader.drain();
        this.walk.sums.set(reader.name, reader.sum());
      } catch (error) {
        if (!found || !(error instanceof Fault)) throw error;
      }
    }
    if (found) throw found;
    this.totals();
  }

  async rows() {
    const header = await this.csv.next();
    if (header !== rowText(columnsOf(this.manifest.csv))) {
      throw new Fault("format", "the first row is not that of the columns that the manifest says", { file: csvFile, line: 1 });
    }
    for (;;) {
      if (this.report.kept?.size === this.#fold.size) this.#keptRoot = toBase64(this.#fold.root());
      const node = await this.node();
      if (!node) break;
      if (node.seq === undefined) this.leftOut(node);
      else await this.row(node);
    }
    await this.ends();
  }

  // node reads the next node of the tree, undefined after the last.
  async node() {
    const size = this.report.checkpoint.size;
    const done = this.#fold.size;
    const line = await this.tree.next();
    const fault = (message) => new Fault("tree", message, { file: treeFile, line: this.tree.line });
    if (line === undefined && done < size) throw new Fault("tree", `it ends before entry ${done}, and the checkpoint is of ${size} entries`, { file: treeFile });
    if (line === undefined) return undefined;
    const node = parsed(line, nodeText);
    if (!node) throw this.tree.fault("it is not an entry or a subtree as it is written in evidence");
    const { first, level } = node.seq === undefined ? node : { first: node.seq, level: 0 };
    const count = 2 ** level;
    if (first !== done) throw fault(`it begins at entry ${first}, and the line before ends before entry ${done}: a line is missing, there twice or moved`);
    if (first % count !== 0) throw fault(`no subtree of ${count} entries begins at entry ${first}`);
    if (count > size - first) throw fault(`it goes beyond the ${size} entries of the checkpoint`);
    this.#fold.push(node.seq === undefined ? fromBase64(node.hash) : leafOf(encoder.encode(node.record)), level);
    return node;
  }

  leftOut({ first: from, level, why }) {
    const { range, filter } = this.manifest;
    const count = 2 ** level;
    const to = from + count;
    const fault = (message) => new Fault("tree", message, { file: treeFile, line: this.tree.line });
    const inside = from >= range.from && to <= range.to;
    const outside = to <= range.from || from >= range.to;
    if (why === "outside" ? !outside : !inside) {
      throw fault(`entries ${from} to ${to - 1} are left out as "${why}", and the range is ${range.from} to ${range.to}`);
    }
    if (why === "filter" && filter === "") throw fault(`entries ${from} to ${to - 1} are left out by the filter, and there is none`);
    if (why === "filter") this.report.leftOut += count;
    if (why === "removed") this.report.removed += count;
  }

  async row(node) {
    const { range } = this.manifest;
    if (node.seq < range.from || node.seq >= range.to) {
      throw new Fault("tree", `the entry is not in the range ${range.from} to ${range.to}`, { file: treeFile, line: this.tree.line, seq: node.seq });
    }
    const e = await this.entry(node.seq);
    this.against(e, node);
    await this.csvRow(e);
    this.report.rows++;
    this.#first ??= e.seq;
    if (e.erased_at) this.report.erased++;
    const schema = `${e.version} ${e.action}`;
    if (this.#schemas.has(schema)) this.#schemas.set(schema, true);
    else this.#unlisted = true;
    this.#targets = Math.max(this.#targets, e.targets.length);
    this.#last = e;
    if (this.report.rows % 1024 === 0) await this.walk.options.progress?.(this.report.rows, this.manifest.rows);
  }

  wrong(seq, check, field, message) {
    return new Fault(check, message, { file: jsonlFile, line: this.jsonl.line, seq, field });
  }

  async entry(seq) {
    const line = await this.jsonl.next();
    if (line === undefined) throw new Fault("place", `it ends before the row of entry ${seq}`, { file: jsonlFile, seq });
    const e = parsed(line, entryText);
    if (!e) {
      throw this.wrong(seq, "format", "", "it is not an entry as a server writes it: a member is unknown, missing or there twice, or the form of a value or the spacing is another");
    }
    if (e.seq !== seq) throw misplaced(jsonlFile, this.jsonl.line, e.seq, seq);
    return e;
  }

  against(e, node) {
    const { organization, received } = this.manifest;
    const at = timeOf(e.received_at);
    if (e.organization_id !== organization.id) {
      throw this.wrong(e.seq, "origin", "organization_id", `it is of organization ${quote(e.organization_id)}, the log of ${quote(organization.id)}`);
    }
    let place;
    try {
      place = placeOf(e.id);
    } catch {
      place = {};
    }
    if (place.seq !== e.seq || place.ms !== at) throw this.wrong(e.seq, "place", "id", "the id is not that of an entry in this place, received at this time");
    if (this.#last && at < timeOf(this.#last.received_at)) throw this.wrong(e.seq, "place", "received_at", "it was received before the entry of the row before");
    if ((received.from && isBefore(e.received_at, received.from)) || (received.to && !isBefore(e.received_at, received.to))) {
      throw this.wrong(e.seq, "place", "received_at", "it was not received in the time that the manifest says");
    }
    const digest = this.digest(e, node);
    const record = recordOf(e, digest);
    if (canonical(record) === node.record) return;
    const inTree = (message) => new Fault("record", message, { file: treeFile, line: this.tree.line, seq: e.seq, field: "record" });
    const recorded = strictObject(node.record);
    if (!recorded) throw inTree("the record cannot be read");
    const names = ["id", "action", "version", "occurred_at", "received_at", "actor", "targets", "details"];
    let field = names.find((name) => !equal(record[name], recorded[name] ?? null));
    const more = Object.keys(recorded).find((name) => !names.includes(name));
    if (!field && more !== undefined) field = quote(more);
    if (!field) throw inTree("the record is not written as canonical JSON");
    if (field === "details") {
      throw this.wrong(e.seq, "details", field, "a name, metadata or the context is not what was recorded: they do not have the digest of its record");
    }
    throw this.wrong(e.seq, "record", field, `${field} is not what its record says`);
  }

  digest(e, node) {
    const details = canonical(detailsOf(e));
    const fault = (field, message) => this.wrong(e.seq, "details", field, message);
    if (e.erased_at && node.salt !== undefined) throw fault("erased_at", "it says that its details were erased, but the proof has what they are checked with");
    if (e.erased_at && details !== "{}") throw fault("details", "it says that its details were erased, but it has a name, metadata or context");
    if (!e.erased_at && node.salt === undefined) {
      throw fault("erased_at", "it does not say that its details were erased, but the proof lacks what they are checked with");
    }
    if (e.erased_at) return strictObject(node.record)?.details ?? "";
    return toBase64(hashOf(fromBase64(node.salt), encoder.encode(details))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  }

  async csvRow(e) {
    const form = this.manifest.csv;
    if (e.targets.length > form.target_groups) {
      throw wrongManifest("csv", `entry ${e.seq} has ${e.targets.length} targets, and the CSV columns for ${form.target_groups}`);
    }
    const row = await this.csv.next();
    if (row === undefined) throw new Fault("place", `it ends before the row of entry ${e.seq}`, { file: csvFile, seq: e.seq });
    const want = cellsOf(form, e);
    if (row === rowText(want)) return;
    const fault = (check, field, message) => new Fault(check, message, { file: csvFile, line: this.csv.line, seq: e.seq, field });
    const cells = splitRow(row);
    if (cells.length !== want.length) throw fault("format", "", `it has ${cells.length} cells, not ${want.length}`);
    if (/^\d{1,13}$/.test(cells[1]) && Number(cells[1]) !== e.seq) throw misplaced(csvFile, this.csv.line, Number(cells[1]), e.seq);
    const at = want.findIndex((cell, i) => cell !== cells[i]);
    if (at < 0) throw fault("format", "", "it is not written as an export writes it");
    const column = columnsOf(form)[at];
    throw fault("record", column, `${column} is not what ${jsonlFile} says`);
  }

  async ends() {
    for (const reader of [this.jsonl, this.csv]) {
      if ((await reader.next()) !== undefined) throw new Fault("place", "there is a row more than the proof has entries", { file: reader.name, line: reader.line });
    }
    if (toBase64(this.#fold.root()) !== this.report.checkpoint.root) {
      throw new Fault("tree", "its records and hashes do not lead to the root that was signed: a record, a hash or a whole row was altered, or is of another log", { file: treeFile });
    }
    const { kept, older } = this.report;
    const sameAsOlder = older?.size === kept?.size && older?.root === kept?.root;
    if (!kept || this.#keptRoot === kept.root || (this.#keptRoot === undefined && sameAsOlder)) return;
    this.report.kept = undefined;
    if (this.#keptRoot !== undefined || older?.size === kept.size) {
      throw new Fault("consistency", `the log does not extend the checkpoint that you gave: its first ${kept.size} entries are not what they were`);
    }
    throw new Fault("consistency", `the zip does not show whether the log extends the checkpoint of ${kept.size} entries that you gave: export again and name it as the older checkpoint`);
  }

  totals() {
    const m = this.manifest;
    const { rows, erased } = this.report;
    const last = this.#last;
    if (m.rows !== rows) throw wrongManifest("rows", `it says that there are ${m.rows} rows, and there are ${rows}`);
    if (m.erased !== erased) throw wrongManifest("erased", `it says that the details of ${m.erased} rows were erased, and of ${erased} they were`);
    if (m.first_seq !== this.#first) throw wrongManifest("first_seq", "first_seq is not that of the first row");
    if (m.last_seq !== last?.seq) throw wrongManifest("last_seq", "last_seq is not that of the last row");
    if (m.csv.target_groups !== this.#targets) {
      throw wrongManifest("csv", `the CSV has ${m.csv.target_groups} groups of target columns, and needs ${this.#targets}`);
    }
    const through = m.complete_through;
    if (last && through.seq === last.seq && (isBefore(through.received_at, last.received_at) || isBefore(last.received_at, through.received_at))) {
      throw wrongManifest("complete_through", "complete_through is not when that entry was received");
    }
    if (last && isBefore(through.received_at, last.received_at)) throw wrongManifest("complete_through", "complete_through is before the last row was received");
    const order = (a, b) => compareBytes(a.action, b.action) || a.version - b.version;
    const listed = m.schemas.every((s, i) => (i === 0 || order(m.schemas[i - 1], s) < 0) && this.#schemas.get(`${s.version} ${s.action}`));
    if (this.#unlisted || !listed) throw wrongManifest("schemas", "the schemas are not those of the rows, each once and sorted");
  }
}

// isBefore compares times of any number of digits: they are in one zone.
const isBefore = (a, b) => a.slice(0, -1) < b.slice(0, -1);

// compareBytes orders texts by their UTF-8.
function compareBytes(a, b) {
  const [x, y] = [encoder.encode(a), encoder.encode(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i] - y[i];
  return x.length - y.length;
}

function misplaced(file, line, seq, due) {
  const message = seq > due
    ? `the row of entry ${due} is missing: that of entry ${seq} stands in its place`
    : `the row of entry ${seq} stands here again or out of order: that of entry ${due} belongs here`;
  return new Fault("place", message, { file, line, seq: due, field: "seq" });
}

function strictObject(text) {
  try {
    const v = JSON.parse(text);
    return isObject(v) ? v : undefined;
  } catch {
    return undefined;
  }
}

// verifyEvidence checks all that an evidence zip says. blob is the zip. Options:
// keys are verifier keys as text (left out: the one in the zip, and the report says
// so), older the bytes of a signed checkpoint that was kept, progress is called
// with rows done and in all. It throws what comes from reading; what is wrong is in
// report.problems.
export async function verifyEvidence(blob, options = {}) {
  const walk = new Walk(blob, options);
  await walk.problem(walk.verify());
  return walk.report;
}

const digits = (n) => n.toLocaleString("en");
const number = (n, one, many) => (n === 1 ? `1 ${one}` : `${digits(n)} ${many}`);

// verified says in sentences what was verified; nothing when there are problems.
export function verified(report) {
  const { manifest: m, checkpoint: c, problems, rows } = report;
  if (problems.length || !m) return [];
  const said = [];
  if (!report.unchecked) {
    const key = report.keyKnown ? "the key that you gave" : "the key that came with the file";
    said.push(`The checkpoint of the log ${c.origin}, of its first ${number(c.size, "entry", "entries")}, is signed with ${key}.`);
  }
  if (rows === 0) said.push("There is no row, in the JSONL and in the CSV alike.");
  else if (rows === 1) said.push("The row is in its place in that log, and says what was recorded, in the JSONL and in the CSV alike.");
  else said.push(`Each of the ${number(rows, "row", "rows")} is in its place in that log, and says what was recorded, in the JSONL and in the CSV alike.`);
  if (report.erased) {
    said.push(`The details of ${number(report.erased, "row", "rows")} were erased: names, metadata and context are gone; who did what to what, and when, is as it was recorded.`);
  }
  said.push(complete(report));
  const extended = (which, n) => `The log extends the ${which}, of ${number(n, "entry", "entries")}: none of those was altered or removed from the tree.`;
  if (report.older) said.push(extended("older checkpoint in the file", report.older.size));
  if (report.kept) said.push(extended("checkpoint that you gave", report.kept.size));
  said.push(report.unchecked ? "Every file is the one that was written, as the manifest lists them." : "Every file is the one that was written, and the manifest that lists them is signed with the same key.");
  return said;
}

function complete({ manifest, rows, leftOut, removed }) {
  const { from, to } = manifest.range;
  if (from === to) return "The range has no entries, so none is missing.";
  if (leftOut + removed === 0 && to - from === 1) return `Nothing is missing: entry ${digits(from)} is here.`;
  if (leftOut + removed === 0) return `Nothing is missing: every entry from ${digits(from)} to ${digits(to - 1)} is here.`;
  const parts = [rows === 0 ? "none is here" : `${number(rows, "is", "are")} here`];
  if (leftOut) parts.push(`${number(leftOut, "was", "were")} left out by the filter`);
  if (removed) parts.push(`${number(removed, "was", "were")} removed by retention`);
  const last = parts.pop();
  return `Nothing is missing: of the ${number(to - from, "entry", "entries")} from ${digits(from)} to ${digits(to - 1)}, ${parts.join(", ")} and ${last}.`;
}

// notVerified says in sentences what nobody can verify with the zip alone, and what
// to do about it; nothing when there are problems.
export function notVerified(report) {
  const { manifest: m, problems } = report;
  if (problems.length || !m) return [];
  const said = [];
  if (report.unchecked) said.push("The signatures: this browser cannot check Ed25519. Use a newer one, or stele verify.");
  if (!report.keyKnown) {
    said.push(`Whose key it is: anybody can put a key into a file. Compare it with the one that the product gives, or give that one to the verifier. The key in the file is ${m.vkey}`);
  }
  if (!report.older && !report.kept) said.push("Whether the log is the one that was shown before: nothing older was compared. Keep the checkpoint for next time.");
  if (report.leftOut) said.push(`That what was left out does not match the filter ${m.filter}: of those entries only hashes are here.`);
  if (m.received.from || m.received.to) said.push("That the range is all that was received in the period: of the entries around it only hashes are here.");
  if (report.removed) said.push("That what was removed was due: only hashes are left of it. The server signs a certificate of each removal.");
  if (report.erased) said.push("What the erased details were, and that they had to go.");
  said.push("What the server says of the export itself (who asked, when, the filter, schema marks): it is signed, but not in the log.");
  return said;
}
