// Runs the browser's part of Verify on proofs of a real log, and on each way to
// alter one. FIXTURES is the folder that TestProof fills.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as core from "../static/js/verify-core.js";

const read = (name) => readFileSync(`${process.env.FIXTURES}/${name}`, "utf8");
const vkey = read("key.txt");
const growth = JSON.parse(read("growth.json"));
const older = read("older.txt");

function subject(n, change = () => {}, memory = new Map()) {
  const s = {
    entry: JSON.parse(read(`page-${n}.json`)),
    proof: JSON.parse(read(`proof-${n}.json`)),
    shown: [],
    origin: vkey.split("+")[0],
    vkey,
    memory,
    consistency: async (from, to) => {
      assert.deepEqual([from, to], [growth.old, growth.new]);
      return growth.hashes.map(core.fromBase64);
    },
  };
  s.shown = [{ pointer: "/actor/id", text: s.entry.actor.id }];
  change(s);
  return s;
}

async function run(s) {
  const steps = [];
  for await (const step of core.verify(s)) steps.push(step);
  return steps;
}

const failed = async (s) => (await run(s)).find((step) => step.state === "fail")?.id;

test("every entry verifies", async () => {
  for (let n = 0; n < 9; n++) {
    const steps = await run(subject(n));
    assert.deepEqual(steps.map((s) => s.state), steps.map(() => "pass"), JSON.stringify(steps));
    assert.equal(steps.length, core.checks.length);
  }
});

test("what was altered fails at the step that it concerns", async () => {
  const both = (change) => (s) => {
    change(s.entry);
    change(s.proof.entry);
    s.shown[0].text = s.entry.actor.id;
  };
  const flip = (text, at) => text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
  const cases = {
    page: [
      (s) => (s.proof.entry.actor.id = "u2"),
      (s) => (s.entry.metadata.number = 2),
      (s) => (s.shown[0].text = "somebody else"),
      (s) => delete s.proof.entry.context,
    ],
    details: [
      both((e) => (e.actor.name += "x")),
      both((e) => (e.targets[0].name = "x")),
      both((e) => (e.context.location = "203.0.113.8")),
      both((e) => (e.metadata.number = 2)),
      both((e) => delete e.metadata),
      both((e) => e.targets.push({ type: "t", id: "i" })),
      (s) => (s.proof.salt = flip(s.proof.salt, 3)),
    ],
    record: [
      both((e) => (e.actor.id = "u2")),
      both((e) => (e.actor.type = "admin")),
      both((e) => (e.action = "a.b")),
      both((e) => (e.occurred_at = "2020-01-01T00:00:00.000Z")),
      both((e) => (e.version = 2)),
      both((e) => (e.targets[0].type = "t")),
      (s) => (s.proof.record = s.proof.record.replace("{", "{ ")),
    ],
    place: [both((e) => (e.seq = 3)), (s) => (s.proof.proof = s.proof.proof.replace("index 2", "index 3"))],
    path: [
      (s) => {
        const lines = s.proof.proof.split("\n");
        lines[2] = flip(lines[2], 5);
        s.proof.proof = lines.join("\n");
      },
      (s) => (s.proof.proof = s.proof.proof.replace(/^[A-Za-z0-9+/]{43}=\n/m, "")),
      (s) => {
        const lines = s.proof.proof.split("\n");
        const root = lines.findIndex((l, i) => lines[i - 1] === String(growth.new) && i > 3);
        lines[root] = flip(lines[root], 7);
        s.proof.proof = lines.join("\n");
      },
    ],
    checkpoint: [(s) => (s.origin = "elsewhere/ours"), (s) => (s.proof.proof = s.proof.proof.replace("/ours", "/other"))],
    key: [(s) => s.memory.set("key", vkey.replace(/.$/, "A") === vkey ? `${vkey.slice(0, -2)}BB` : vkey.replace(/...$/, "AAA"))],
    signature: [
      (s) => (s.proof.proof = s.proof.proof.replace(/(— \S+ \S{20})./, "$1!").replace("!", "A")),
      (s) => (s.proof.proof = s.proof.proof.replace(/^— .*\n/gm, "")),
    ],
  };
  for (const [id, changes] of Object.entries(cases)) {
    for (const [i, change] of changes.entries()) {
      const s = subject(2, change);
      const before = JSON.stringify(subject(2).proof) === JSON.stringify(s.proof) && JSON.stringify(subject(2).entry) === JSON.stringify(s.entry);
      assert.ok(!before || s.origin !== vkey.split("+")[0] || id === "page" || id === "key", `${id} ${i} changes nothing`);
      assert.equal(await failed(s), id, `${id} ${i}`);
    }
  }
});

// erase makes the entry and its proof what they are once its details were erased.
const erase = (s) => {
  delete s.proof.salt;
  for (const e of [s.entry, s.proof.entry]) {
    for (const party of [e.actor, ...e.targets]) {
      delete party.name;
      delete party.metadata;
    }
    delete e.context;
    delete e.metadata;
    e.erased_at = "2026-11-23T08:00:00.000Z";
  }
};

test("an erased entry verifies, and says so", async () => {
  const steps = await run(subject(2, erase));
  assert.deepEqual(steps.map((s) => s.state), steps.map(() => "pass"), JSON.stringify(steps));
  assert.match(steps.find((s) => s.id === "details").words, /erased on 2026-11-23/);
  const { salt } = subject(2).proof;
  const cases = {
    page: [(s) => delete s.proof.entry.erased_at],
    details: [
      (s) => (s.proof.salt = salt),
      (s) => (s.entry.actor.name = s.proof.entry.actor.name = "Ada"),
      (s) => (s.entry.context = s.proof.entry.context = { location: "x" }),
      (s) => (s.entry.metadata = s.proof.entry.metadata = { a: 1 }),
      (s) => (s.proof.record = s.proof.record.replace(/"details":"[^"]*"/, '"details":"short"')),
      (s) => (s.proof.record = "{"),
    ],
    record: [(s) => (s.entry.action = s.proof.entry.action = "x")],
    path: [(s) => (s.proof.record = s.proof.record.replace(/"details":"./, '"details":"-'))],
  };
  for (const [id, changes] of Object.entries(cases)) {
    for (const [i, change] of changes.entries()) {
      const altered = subject(2, (s) => {
        erase(s);
        change(s);
      });
      assert.equal(await failed(altered), id, `${id} ${i}`);
    }
  }
});

test("the key and the log are remembered", async () => {
  const memory = new Map([["checkpoint", older]]);
  assert.equal(await failed(subject(4, () => {}, memory)), undefined);
  assert.equal(memory.get("key"), vkey);
  assert.equal(memory.get("checkpoint").split(" ")[0], String(growth.new));
  // The same again, without asking the server.
  assert.equal(await failed(subject(4, (s) => (s.consistency = () => assert.fail()), memory)), undefined);
  // Another history of the same size, and of a smaller one.
  for (const size of [growth.new, growth.old]) {
    const other = new Map([["checkpoint", `${size} ${core.toBase64(new Uint8Array(32))}`]]);
    assert.equal(await failed(subject(4, () => {}, other)), "history");
    assert.equal(other.get("checkpoint").split(" ")[0], String(size));
  }
});

test("without Ed25519 it says what was not checked", async () => {
  const real = crypto.subtle.importKey;
  crypto.subtle.importKey = () => Promise.reject(new Error("not supported"));
  try {
    const memory = new Map();
    const steps = await run(subject(0, () => {}, memory));
    assert.deepEqual(steps.filter((s) => s.state !== "pass").map((s) => [s.id, s.state]), [["signature", "skip"]]);
    assert.equal(memory.size, 0, "nothing unsigned is remembered");
  } finally {
    crypto.subtle.importKey = real;
  }
});

test("canonical JSON is that of RFC 8785", () => {
  assert.equal(core.canonical({ "\u20ac": 1e21, "\ud83d\ude00": "\u2028<\"\n", a: [1.5e-7, null, true, -0] }), '{"a":[1.5e-7,null,true,0],"€":1e+21,"😀":"\u2028<\\"\\n"}');
});

test("malformed proofs are refused", () => {
  for (const text of ["", "x\n\n", "c2sp.org/tlog-proof@v1\nindex 01\n\n", "c2sp.org/tlog-proof@v1\nindex 1\nzz\n\n"]) {
    assert.throws(() => core.parseProof(text), core.Failure, text);
  }
  assert.throws(() => core.parseKey("a+0+b"), core.Failure);
  assert.throws(() => core.placeOf("x"), core.Failure);
});
