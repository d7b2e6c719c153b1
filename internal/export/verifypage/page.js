// The page: a zip is dropped on it or chosen, and what it says is shown.
import { notVerified, verified, verifyEvidence } from "./evidence.js";

const $ = (id) => document.getElementById(id);
let current; // the zip that is shown
let turn = 0; // which verification is the newest

function element(tag, className, ...children) {
  const el = document.createElement(tag);
  if (className) el.className = className;
  el.append(...children);
  return el;
}

// paint lets the browser show what has changed.
const paint = () => new Promise((resolve) => setTimeout(resolve));

function list(kind, sign, what, sentences) {
  const items = sentences.map((text) => {
    const mark = element("span", "sign", sign);
    mark.setAttribute("aria-hidden", "true");
    return element("li", "", mark, element("span", "", text));
  });
  return element("section", "", element("h2", "", what), element("ul", `said ${kind}`, ...items));
}

function verdict(kind, title, words) {
  return element("div", `alert verdict ${kind}`, element("h2", "", title), element("p", "", words));
}

// conclude says in a sentence how it ended.
function conclude(report) {
  const { problems } = report;
  if (problems.length) return verdict("danger", "Not verified", "Something is not as it was recorded, or cannot be shown to be. Do not rely on these files.");
  if (report.unchecked) return verdict("warn", "Verified in part", "Everything fits together, but this browser cannot check signatures.");
  if (!report.keyKnown) return verdict("warn", "Verified, with the key that came with the file", "Everything fits together and is signed. Whose key it is, only you can tell: see below.");
  return verdict("ok", "Verified", "Everything fits together and is signed with the key that you gave.");
}

const time = (text) => text.replace("T", " ").replace(/(\.000)?Z$/, " UTC");

function facts(m) {
  const name = ({ name, id }) => (name ? `${name} (${id})` : id);
  const period = [m.received.from && `from ${time(m.received.from)}`, m.received.to && `before ${time(m.received.to)}`].filter(Boolean).join(", ");
  const rows = [
    ["Organization", name(m.organization)],
    ["Log", m.origin],
    ["Filter", m.filter || "none: every entry"],
    ["Received", period || "at any time"],
    ["Rows", m.rows.toLocaleString("en")],
    ["Made", `${time(m.created_at)} for ${m.requested_by.type} ${name(m.requested_by)}`],
    ["By", `${m.server.name}, ${m.server.version}`],
  ];
  const dl = element("dl", "facts", ...rows.flatMap(([term, text]) => [element("dt", "", term), element("dd", "", text)]));
  return element("section", "card", element("div", "body", dl));
}

function show(report) {
  const sentences = report.problems.map((p) => p.sentence());
  const parts = [conclude(report)];
  if (sentences.length) parts.push(list("fail", "✕", "What is wrong", sentences));
  if (verified(report).length) parts.push(list("pass", "✓", "What was verified", verified(report)));
  if (notVerified(report).length) parts.push(list("open", "–", "What was not verified", notVerified(report)));
  if (report.manifest) parts.push(element("section", "stack", element("h2", "", report.problems.length ? "What the file claims to be" : "What it is"), facts(report.manifest)));
  $("result").replaceChildren(...parts);
}

// working shows how far it is.
function working(name) {
  const bar = element("progress");
  bar.setAttribute("aria-label", "Rows verified");
  const words = element("p", "muted", `Verifying ${name}…`);
  $("result").replaceChildren(element("div", "working", words, bar));
  return async (done, total) => {
    bar.max = total;
    bar.value = done;
    words.textContent = `Verifying ${name}: ${done.toLocaleString("en")} of ${total.toLocaleString("en")} rows`;
    await paint();
  };
}

async function options(progress) {
  const given = { progress };
  const key = $("key").value.trim();
  if (key) given.keys = key;
  const [older] = $("older").files;
  if (older) given.older = new Uint8Array(await older.arrayBuffer());
  return given;
}

async function verifyFile(zip) {
  const mine = ++turn;
  current = zip;
  $("again").disabled = false;
  $("drop").classList.add("done");
  $("file-hint").textContent = zip.name;
  $("status").textContent = "Verifying";
  $("result").setAttribute("aria-busy", "true");
  const shown = working(zip.name);
  const progress = async (done, total) => {
    if (mine !== turn) throw new Error("another zip was chosen");
    await shown(done, total);
  };
  try {
    await paint();
    const report = await verifyEvidence(zip, await options(progress));
    if (mine === turn) show(report);
  } catch (error) {
    if (mine === turn) $("result").replaceChildren(verdict("warn", "Nothing was verified", `The zip could not be read (${error.message}). Choose it again.`));
  }
  if (mine !== turn) return;
  $("result").removeAttribute("aria-busy");
  $("status").textContent = $("result").querySelector(".verdict").textContent;
  $("result").focus();
}

// start makes the page work.
function start() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (current) verifyFile(current);
  });
  $("file").addEventListener("change", () => $("file").files[0] && verifyFile($("file").files[0]));
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
    });
  }
  document.addEventListener("drop", (event) => event.dataTransfer.files[0] && verifyFile(event.dataTransfer.files[0]));
  if (!globalThis.crypto?.subtle || !globalThis.DecompressionStream) {
    $("result").replaceChildren(verdict("warn", "This browser cannot verify", "It cannot unpack zips or compute hashes for files on disk. Use a newer one, or stele verify FILE."));
    $("file").disabled = true;
  }
}

start();
