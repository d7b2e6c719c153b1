// What Verify checks, without a page: it runs in browsers and in Node. Nothing
// here trusts the server: everything is computed from the entry that the page
// shows, the proof, and a public key.
//
// The format is that of docs/format.md: an entry's record is canonical JSON (RFC
// 8785) with a salted digest of its details; records are leaves of an RFC 6962
// tree; a signed note (C2SP tlog-checkpoint) has the tree's size and root.

// Failure is a check that did not hold, with words for people.
export class Failure extends Error {}

const fail = (message) => {
  throw new Failure(message);
};

const utf8 = new TextEncoder();

// Canonical JSON (RFC 8785). JavaScript writes numbers and strings as it wants
// them, and sorts keys by their UTF-16 units.
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
    return `{${members.join(",")}}`;
  }
  return JSON.stringify(value);
}

export const equal = (a, b) => canonical(a) === canonical(b);

// detailsOf are an entry's details, see audit.Entry.Details.
export function detailsOf(entry) {
  const details = {};
  const party = ({ name, metadata }) => ({
    ...(name ? { name } : {}),
    ...(metadata && Object.keys(metadata).length ? { metadata } : {}),
  });
  const filled = (o) => o !== undefined && Object.keys(o).length > 0;
  if (filled(party(entry.actor))) details.actor = party(entry.actor);
  if (filled(entry.context)) details.context = entry.context;
  if (filled(entry.metadata)) details.metadata = entry.metadata;
  const targets = (entry.targets ?? []).map(party);
  if (targets.some(filled)) details.targets = targets;
  return details;
}

// recordOf is an entry's record, given the digest of its details.
export function recordOf(entry, digest) {
  const id = ({ id, type }) => ({ id, type });
  return {
    action: entry.action,
    actor: id(entry.actor),
    details: digest,
    id: entry.id,
    occurred_at: entry.occurred_at,
    received_at: entry.received_at,
    targets: (entry.targets ?? []).map(id),
    version: entry.version,
  };
}

// Bytes and text.
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

export function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

const base64url = (bytes) => toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

function join(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));
}

// Hashes of RFC 6962.
export const leafHash = (record) => sha256([0], record);
const nodeHash = (left, right) => sha256([1], left, right);

// rootOf follows the hashes of a proof of inclusion to the root (RFC 9162,
// 2.1.3.2).
export async function rootOf(leaf, index, size, path) {
  let fn = BigInt(index);
  let sn = BigInt(size) - 1n;
  if (fn > sn) fail(`Entry ${index} is not in a log of ${size} entries.`);
  let root = leaf;
  for (const hash of path) {
    if (sn === 0n) fail("The proof has more hashes than the way to the root.");
    if (fn & 1n || fn === sn) {
      root = await nodeHash(hash, root);
      while (!(fn & 1n) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      root = await nodeHash(root, hash);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  if (sn !== 0n) fail("The proof has fewer hashes than the way to the root.");
  return root;
}

// extendsTree says whether a tree extends an older one (RFC 9162, 2.1.4.2).
export async function extendsTree(older, newer, path) {
  if (older.size > newer.size) return false;
  if (older.size === newer.size) return path.length === 0 && same(older.root, newer.root);
  let fn = BigInt(older.size) - 1n;
  let sn = BigInt(newer.size) - 1n;
  const hashes = [...path];
  while (fn & 1n) {
    fn >>= 1n;
    sn >>= 1n;
  }
  // An older tree of 2^n entries is a node of the newer one, and not repeated.
  let fr = fn === 0n ? older.root : hashes.shift();
  let sr = fr;
  if (!fr) return false;
  for (const hash of hashes) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      fr = await nodeHash(hash, fr);
      sr = await nodeHash(hash, sr);
      while (!(fn & 1n) && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      sr = await nodeHash(sr, hash);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && same(fr, older.root) && same(sr, newer.root);
}

// parseProof reads a C2SP tlog-proof.
export function parseProof(text) {
  const cut = text.indexOf("\n\n");
  const lines = text.slice(0, cut).split("\n");
  if (cut < 0 || lines.shift() !== "c2sp.org/tlog-proof@v1") fail("The proof does not have the form of a tlog-proof.");
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const index = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? "");
  if (!index) fail("The proof does not say which entry it is of.");
  if (lines.length > 63) fail("The proof has too many hashes.");
  return { index: Number(index[1]), path: lines.map(parseHash), note: text.slice(cut + 2) };
}

export function parseHash(text) {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) fail("The proof has something that is not a hash.");
  return fromBase64(text);
}

// parseCheckpoint reads a signed note: the text that is signed, what it says, and
// the lines of signatures.
export function parseCheckpoint(note) {
  const cut = note.lastIndexOf("\n\n");
  const text = note.slice(0, cut + 1);
  const [origin, size, root] = text.split("\n");
  if (cut < 0 || !origin || !/^(0|[1-9][0-9]{0,15})$/.test(size ?? "")) fail("The checkpoint is not a signed note.");
  const signatures = [];
  for (const line of note.slice(cut + 2).split("\n")) {
    const parts = /^— ([^ +]+) ([A-Za-z0-9+/=]+)$/.exec(line);
    if (parts) {
      const bytes = fromBase64(parts[2]);
      signatures.push({ name: parts[1], hash: hex(bytes.slice(0, 4)), signature: bytes.slice(4) });
    }
  }
  return { text, origin, size: Number(size), root: parseHash(root ?? ""), signatures };
}

// parseKey reads a verifier key: name, hash and an Ed25519 key.
export function parseKey(vkey) {
  const parts = /^([^ +]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey.trim());
  const bytes = parts ? fromBase64(parts[3]) : [];
  if (bytes.length !== 33 || bytes[0] !== 1) fail("The key is not an Ed25519 verifier key.");
  return { name: parts[1], hash: parts[2], raw: bytes.slice(1), bytes };
}

// fingerprint is what people compare: SHA-256 of the public key.
export async function fingerprint(key) {
  return hex(await sha256(key.raw));
}

// placeOf reads the parts of an entry's id: milliseconds and seq.
export function placeOf(id) {
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id)) fail("The id is not that of an entry.");
  const number = (text) => [...text].reduce((n, c) => n * 32 + alphabet.indexOf(c), 0);
  return { ms: number(id.slice(0, 10)), seq: number(id.slice(10, 18)) };
}

// importKey is undefined where the browser has no Ed25519.
export async function importKey(key) {
  try {
    return await crypto.subtle.importKey("raw", key.raw, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return undefined;
  }
}

const short = (bytes) => `${hex(bytes).slice(0, 16)}…`;
const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

// checks are the steps, in order. Each gets what those before found, adds to it,
// and returns words for people; it throws a Failure when it does not hold.
export const checks = [
  {
    id: "page",
    title: "The proof is of the entry on this page",
    async run(s) {
      const wrong = Object.keys({ ...s.proof.entry, ...s.entry }).find((k) => !equal(s.proof.entry?.[k] ?? null, s.entry[k] ?? null));
      if (wrong) fail(`“${wrong}” on this page is not what the proof is of.`);
      const field = (s.shown ?? []).find(({ pointer, text }) => text !== String(at(s.entry, pointer) ?? ""));
      if (field) fail(`What this page shows at ${field.pointer} is not what the entry says.`);
      return `Every field is the same${s.shown?.length ? `, and so are the ${s.shown.length} values shown above` : ""}.`;
    },
  },
  {
    id: "details",
    title: "Names, metadata and context are as recorded",
    async run(s) {
      if (s.entry.erased_at) return erased(s);
      const salt = fromBase64(s.proof.salt ?? "");
      if (salt.length !== 16) fail("The salt of the details does not have 16 bytes.");
      const digest = await sha256(salt, utf8.encode(canonical(detailsOf(s.entry))));
      s.digest = base64url(digest);
      s.record = parseRecord(s.proof.record);
      if (s.record.details !== s.digest) fail("Their SHA-256 is not the one in the record: something in them was altered.");
      return `SHA-256 of the salt and the details is ${short(digest)}, as the record says.`;
    },
  },
  {
    id: "record",
    title: "Action, actor, targets and times are as recorded",
    async run(s) {
      const want = recordOf(s.entry, s.digest);
      if (canonical(want) === s.proof.record) return `The record has ${count(s.proof.record.length, "character")}, each as it must be.`;
      const wrong = Object.keys({ ...want, ...s.record }).find((k) => !equal(want[k] ?? null, s.record[k] ?? null));
      return fail(wrong ? `“${wrong}” is not what the record says.` : "The record is not written as canonical JSON.");
    },
  },
  {
    id: "place",
    title: "The entry is in its place",
    async run(s) {
      s.inclusion = parseProof(s.proof.proof);
      const { ms, seq } = placeOf(s.entry.id);
      if (s.entry.seq !== s.inclusion.index) fail(`The proof is of entry ${s.inclusion.index}, this is entry ${s.entry.seq}.`);
      if (seq !== s.entry.seq || ms !== Date.parse(s.entry.received_at)) fail("The id is not of an entry in this place, received at this time.");
      return `Number ${s.entry.seq.toLocaleString("en")}; its id says so too.`;
    },
  },
  {
    id: "leaf",
    title: "The record is a leaf of the log’s tree",
    async run(s) {
      s.leaf = await leafHash(utf8.encode(s.proof.record));
      return `Its hash is ${short(s.leaf)}`;
    },
  },
  {
    id: "checkpoint",
    title: "The checkpoint is of this log",
    async run(s) {
      s.checkpoint = parseCheckpoint(s.inclusion.note);
      if (s.checkpoint.origin !== s.origin) fail(`It is of the log “${s.checkpoint.origin}”, not of “${s.origin}”.`);
      if (!s.origin.endsWith(`/${s.entry.organization_id}`)) fail("It is of another organization’s log.");
      return `It covers the first ${count(s.checkpoint.size, "entry").replace(/entrys$/, "entries")} of ${s.origin}.`;
    },
  },
  {
    id: "path",
    title: "The leaf leads to the checkpoint’s root",
    async run(s) {
      const root = await rootOf(s.leaf, s.inclusion.index, s.checkpoint.size, s.inclusion.path);
      if (!same(root, s.checkpoint.root)) fail("It leads to another root: the entry, or the proof, was altered.");
      return `${count(s.inclusion.path.length, "hash").replace(/hashs$/, "hashes")} lead to the root ${short(root)}`;
    },
  },
  {
    id: "key",
    title: "The key is the one this browser knows",
    async run(s) {
      s.key = parseKey(s.vkey);
      s.fingerprint = await fingerprint(s.key);
      const known = s.memory.get("key");
      if (known && known !== s.vkey) {
        fail(`This browser remembers another key for this log (${await fingerprint(parseKey(known))}). Ask the product why it changed before you trust anything here.`);
      }
      return known ? `Fingerprint ${s.fingerprint}, as the last time.` : `Fingerprint ${s.fingerprint}, seen for the first time: compare it with the one that the product gave you.`;
    },
  },
  {
    id: "signature",
    title: "The checkpoint is signed with the key",
    async run(s) {
      const signed = s.checkpoint.signatures.find(({ name, hash }) => name === s.key.name && hash === s.key.hash);
      if (!signed) fail("It has no signature by the key.");
      const key = await importKey(s.key);
      if (!key) return { skip: "This browser cannot check Ed25519 signatures. Everything else was checked; for the signature, use the command below." };
      const good = await crypto.subtle.verify({ name: "Ed25519" }, key, signed.signature, utf8.encode(s.checkpoint.text));
      if (!good) fail("The signature is wrong: the checkpoint was altered, or another key signed it.");
      s.memory.set("key", s.vkey);
      s.signed = true;
      return "The Ed25519 signature is good.";
    },
  },
  {
    id: "history",
    title: "The log only grew since this browser last looked",
    async run(s) {
      const known = s.memory.get("checkpoint");
      const now = s.checkpoint;
      let words = "This browser had not looked before. It remembers this checkpoint for the next time.";
      if (known) {
        const [size, root] = known.split(" ");
        const [older, newer] = [{ size: Number(size), root: fromBase64(root) }, now].sort((a, b) => a.size - b.size);
        const path = older.size === newer.size || older.size === 0 ? [] : await s.consistency(older.size, newer.size);
        if (older.size > 0 && !(await extendsTree(older, newer, path))) {
          fail(`It is not the log that this browser saw with ${count(Number(size), "entry").replace(/entrys$/, "entries")}: something before was changed or removed.`);
        }
        words = `The first ${older.size.toLocaleString("en")} entries are what they were.`;
      }
      if (s.signed && (!known || now.size > Number(known.split(" ")[0]))) s.memory.set("checkpoint", `${now.size} ${toBase64(now.root)}`);
      return words;
    },
  },
];

// at follows a JSON pointer.
export function at(value, pointer) {
  return pointer
    .split("/")
    .slice(1)
    .reduce((v, key) => v?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], value);
}

// erased checks an entry whose details were erased: it has none, and the record
// says what their digest was.
function erased(s) {
  if (s.proof.salt) fail("The entry says that its details were erased, but the proof has their salt.");
  if (canonical(detailsOf(s.entry)) !== "{}") fail("The entry says that its details were erased, but it has a name, metadata or context.");
  s.record = parseRecord(s.proof.record);
  s.digest = s.record?.details;
  if (!/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(s.digest ?? "")) fail("The record does not have the digest of any details.");
  return `They were erased on ${s.entry.erased_at.slice(0, 10)}, and nobody can tell any more what they were. The rest is checked as ever.`;
}

function parseRecord(text) {
  try {
    return JSON.parse(text);
  } catch {
    return fail("The record cannot be read.");
  }
}

// verify runs the checks and yields how each ended: state is pass, fail, skip, or
// unreached after a failure.
export async function* verify(subject) {
  let failed = false;
  for (const { id, title, run } of checks) {
    if (failed) {
      yield { id, title, state: "unreached", words: "Not checked, because of the step above." };
      continue;
    }
    try {
      const words = await run(subject);
      yield words.skip ? { id, title, state: "skip", words: words.skip } : { id, title, state: "pass", words };
    } catch (error) {
      failed = true;
      const words = error instanceof Failure ? error.message : `It could not be checked (${error.message}).`;
      yield { id, title, state: "fail", words };
    }
  }
}
