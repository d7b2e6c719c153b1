// Verify: checks, in the browser, that the entry shown is in the log, and shows
// each step. What is checked is in verify-core.js.
import { verify } from "./verify-core.js";

const icons = { pass: "✓", gone: "–", fail: "✕", skip: "–", unreached: "·" };
const states = { pass: "Passed", gone: "Not there any more", fail: "Failed", skip: "Could not be checked", unreached: "Not checked" };

// memory keeps, for each log, the key and the newest checkpoint that this browser
// has verified. A browser that keeps nothing verifies all the same.
function memoryOf(origin) {
  const name = (key) => `stele:${key}:${origin}`;
  const held = new Map();
  return {
    get(key) {
      try {
        return localStorage.getItem(name(key)) ?? held.get(key);
      } catch {
        return held.get(key);
      }
    },
    set(key, value) {
      held.set(key, value);
      try {
        localStorage.setItem(name(key), value);
      } catch {
        // kept until the page closes
      }
    },
  };
}

function element(tag, attributes = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  el.append(...children);
  return el;
}

async function fetchJSON(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.status === 401 ? "your session has ended" : `the server answered ${answer.status}`);
  return answer.json();
}

// subjectOf is what the page shows and claims, for the checks to compare.
async function subjectOf(panel) {
  const detail = panel.closest("[data-detail]");
  const shown = [...detail.querySelectorAll("[data-pointer]")].map((el) => ({
    pointer: el.dataset.pointer,
    text: (el.querySelector("[data-text]") ?? el).textContent,
  }));
  return {
    entry: JSON.parse(detail.querySelector("[data-json]").textContent),
    shown,
    proof: await fetchJSON(panel.dataset.proof),
    origin: panel.dataset.origin,
    vkey: panel.dataset.key,
    memory: memoryOf(panel.dataset.origin),
    consistency: async (older, newer) => {
      const { hashes } = await fetchJSON(`${panel.dataset.consistency}?old=${older}&new=${newer}`);
      return hashes.map((h) => Uint8Array.from(atob(h), (c) => c.charCodeAt(0)));
    },
  };
}

function stepElement({ title, state, words }, number) {
  return element(
    "li",
    { class: `step step-${state}` },
    element("span", { class: "step-icon", "aria-hidden": "true" }, icons[state]),
    element("span", {}, element("span", { class: "visually-hidden" }, `${states[state]}: `), element("strong", {}, `${number}. ${title}`), element("span", { class: "step-words" }, words)),
  );
}

function verdict(kind, title, words) {
  return element("div", { class: `alert verdict ${kind}` }, element("strong", {}, title), element("p", {}, words));
}

// said is a step as it is shown. That details are not there any more, as they must
// not be, is no check of them.
function said(step, entry) {
  if (!entry.erased_at || step.id !== "details" || step.state !== "pass") return step;
  return { ...step, state: "gone", title: "Names, metadata and context were erased" };
}

// conclude says in a sentence how it ended.
function conclude(steps, panel) {
  const failed = steps.find((s) => s.state === "fail");
  const skipped = steps.filter((s) => s.state === "skip");
  if (failed) {
    return verdict("danger", "This entry could not be verified", `Step ${steps.indexOf(failed) + 1} failed: ${failed.title}. ${failed.words}`);
  }
  if (skipped.length) {
    panel.querySelector(".verify-offline").open = true;
    return verdict("warn", "Verified in part", skipped.map((s) => `${s.title}: ${s.words}`).join(" "));
  }
  if (steps.some((s) => s.state === "gone")) {
    return verdict("ok", "Verified, as far as it is there", "What is left of this entry is in the log, unaltered, and the checkpoint that holds it is signed. What its details were, nobody can check any more.");
  }
  return verdict("ok", "Verified", "This entry is in the log, unaltered, and the checkpoint that holds it is signed.");
}

export async function start(panel) {
  const button = panel.querySelector("[data-verify-start]");
  const result = panel.querySelector("[data-verify-result]");
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  result.setAttribute("aria-busy", "true");
  const list = element("ol", { class: "steps" });
  result.replaceChildren(list);
  try {
    if (!globalThis.crypto?.subtle) {
      const words = "Nothing was checked: browsers compute hashes on secure pages (https) only. Use the command below instead.";
      panel.querySelector(".verify-offline").open = true;
      result.replaceChildren(verdict("warn", "This page cannot verify", words));
      return;
    }
    const steps = [];
    const subject = await subjectOf(panel);
    for await (const made of verify(subject)) {
      const step = said(made, subject.entry);
      steps.push(step);
      list.append(stepElement(step, steps.length));
    }
    result.prepend(conclude(steps, panel));
  } catch (error) {
    result.replaceChildren(verdict("danger", "This entry could not be verified", `Nothing was checked: the proof could not be fetched (${error.message}).`));
  } finally {
    button.removeAttribute("aria-disabled");
    result.removeAttribute("aria-busy");
  }
}

// Details may be put into the page at any time.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-verify-start]");
  if (button) start(button.closest("[data-verify]"));
});

export function prepare(root) {
  for (const button of root.querySelectorAll("[data-verify-start]")) button.hidden = false;
}

document.addEventListener("detail", (event) => prepare(event.target));
prepare(document);
