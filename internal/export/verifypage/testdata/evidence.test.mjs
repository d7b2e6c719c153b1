// Runs the page's part of verification on what Go verified before, in the file
// CASES, and compares every sentence.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Sha256, notVerified, verified, verifyEvidence } from "../evidence.js";

test("SHA-256 in pieces is SHA-256", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) % 256);
  for (const n of [0, 1, 55, 56, 63, 64, 65, 119, 128, 1000]) {
    const want = createHash("sha256").update(bytes.subarray(0, n)).digest("hex");
    for (const cut of [0, 1, 33, 64, n]) {
      const hash = new Sha256().update(bytes.subarray(0, Math.min(cut, n))).update(bytes.subarray(Math.min(cut, n), n));
      assert.equal(Buffer.from(hash.digest()).toString("hex"), want, `${n} bytes cut at ${cut}`);
    }
  }
});

const plain = ({ check, message, file, line, seq, field }) => ({
  check,
  message,
  ...(file ? { file } : {}),
  ...(line ? { line } : {}),
  ...(seq === undefined ? {} : { seq }),
  ...(field ? { field } : {}),
});

// Node unpacks what has more behind it, browsers do not: the browser's tests have
// that as a test vector.
const inBrowsers = "packed: more behind the data";

for (const c of JSON.parse(readFileSync(process.env.CASES, "utf8")).filter(({ name }) => name !== inBrowsers)) {
  test(c.name, async () => {
    const report = await verifyEvidence(new Blob([Buffer.from(c.zip, "base64")]), {
      keys: c.keys,
      older: c.older && Uint8Array.from(Buffer.from(c.older, "base64")),
    });
    assert.deepEqual(report.problems.map(plain), c.problems ?? []);
    assert.deepEqual(verified(report), c.verified ?? []);
    assert.deepEqual(notVerified(report), c.not_verified ?? []);
  });
}
