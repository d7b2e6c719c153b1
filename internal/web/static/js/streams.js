// The cards of log streams keep up to date while somebody looks; the form of one
// keeps the secrets that were typed into it while it is being tried.
import { show as showCopy } from "./copy.js";
import { say } from "./say.js";

const every = 4000;

if (document.querySelector("[data-live]")) follow();
prepare();

async function read(answer) {
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// follow asks for the page again and again, and puts its live parts in place.
async function follow() {
  const url = new URL(location.href);
  url.searchParams.delete("done");
  let faults = 0;
  for (;;) {
    await pause(Math.min(60_000, every * 2 ** faults));
    try {
      const answer = await fetch(url, { credentials: "same-origin" });
      if (answer.status === 401 || answer.status === 403 || answer.status === 404) return location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      refresh(await read(answer));
      faults = 0;
    } catch {
      faults++;
    }
  }
}

// pause waits, and longer while nobody looks.
async function pause(time) {
  await new Promise((resolve) => { setTimeout(resolve, time); });
  if (document.hidden) {
    await new Promise((resolve) => { document.addEventListener("visibilitychange", resolve, { once: true }); });
  }
}

const states = (below) => new Map([...below.querySelectorAll("[data-state]")].map((chip, i) => [
  chip.closest("li")?.getAttribute("aria-labelledby") ?? `#${i}`, chip.dataset.state,
]));

// refresh leaves alone what somebody is busy with: a choice of rows, a text.
function refresh(page) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (!fresh || old.querySelector("input:checked") || old.contains(getSelection()?.focusNode) && !getSelection().isCollapsed) continue;
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    if (focus?.matches("input, select, textarea")) continue;
    const before = states(old);
    const open = [...old.querySelectorAll("details[open][id]")].map((details) => details.id);
    const place = focus && way(old, focus);
    old.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    place?.(old)?.focus({ preventScroll: true });
    tell(old, before);
  }
}

// way finds an element again in a later form of what holds it.
function way(root, element) {
  if (element.id) return () => document.getElementById(element.id);
  if (element.href) return (now) => [...now.querySelectorAll("a")].find((link) => link.href === element.href);
  const name = element.tagName;
  const at = [...root.querySelectorAll(name)].indexOf(element);
  return (now) => now.querySelectorAll(name)[at];
}

// tell says which streams came into another state, and nothing of numbers.
function tell(part, before) {
  if (part.id !== "streams" && part.id !== "live-state") return;
  const name = (key) => document.getElementById(key)?.textContent.trim() ?? document.querySelector("h1").textContent.trim();
  const changes = [...states(part)].filter(([key, state]) => before.has(key) && before.get(key) !== state);
  if (changes.length > 0) say(changes.map(([key, state]) => `${name(key)}: ${state}`).join(". "));
}

// prepare shows what works with scripts only.
function prepare() {
  for (const button of document.querySelectorAll("[data-reveal]")) button.hidden = false;
  showCopy();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-reveal]");
  if (!button) return;
  const input = document.getElementById(button.dataset.reveal);
  const shown = input.type === "text";
  input.type = shown ? "password" : "text";
  button.textContent = shown ? "Show" : "Hide";
  button.setAttribute("aria-label", button.getAttribute("aria-label").replace(/^\w+/, button.textContent));
});

document.addEventListener("input", (event) => {
  if (event.target.id !== "filter") return;
  const link = document.querySelector("[data-filter-link]");
  if (!link) return;
  const url = new URL(link.href);
  url.searchParams.set("q", event.target.value);
  link.href = url.href;
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-stream-form]") || event.defaultPrevented) return;
  event.preventDefault();
  if (!form.hasAttribute("aria-busy")) send(form, event.submitter);
});

// send sends the form. When it comes back, with an answer or with faults, the
// secrets that were typed are put back: the server does not repeat them.
async function send(form, button) {
  const secrets = new Map([...form.querySelectorAll("[data-secret]")].map((input) => [input.name, input.value]));
  const body = new URLSearchParams(new FormData(form, button));
  form.setAttribute("aria-busy", "true");
  for (const each of form.querySelectorAll("button")) each.setAttribute("aria-disabled", "true");
  const label = button?.textContent;
  if (button?.value === "test" || button?.value === "save") button.textContent = "Testing …";
  say(body.get("do") === "test" ? "Testing" : "Sending");
  try {
    const answer = await fetch(form.action, { method: "POST", body, credentials: "same-origin" });
    if (answer.redirected) return location.assign(answer.url);
    const page = await read(answer);
    const fresh = page.querySelector("#stream-new");
    if (!fresh) {
      document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
      document.getElementById("main").focus();
      return undefined;
    }
    replace(fresh, secrets, button);
  } catch {
    form.removeAttribute("aria-busy");
    for (const each of form.querySelectorAll("button")) each.removeAttribute("aria-disabled");
    if (button) button.textContent = label;
    failed(form);
  }
  return undefined;
}

function replace(fresh, secrets, button) {
  const old = document.getElementById("stream-new");
  const open = old.querySelector("details.advanced")?.open;
  old.replaceWith(document.adoptNode(fresh));
  for (const input of fresh.querySelectorAll("[data-secret]")) input.value ||= secrets.get(input.name) ?? "";
  fresh.querySelector("[data-lost]")?.remove();
  const advanced = fresh.querySelector("details.advanced");
  if (advanced && open) advanced.open = true;
  prepare();
  const wrong = fresh.querySelector("[aria-invalid=true]");
  const result = fresh.querySelector("#test-result");
  const made = button?.value.startsWith("generate/") && document.getElementById(button.value.replace("generate", "settings"));
  const target = made || wrong || result || fresh.querySelector("form");
  target.focus();
  if (result) {
    result.scrollIntoView({ block: "center" });
    say(result.querySelector("h2").textContent);
  } else if (wrong) {
    say("Some fields need another look");
  }
}

// failed says that there was no answer, and keeps what was typed.
function failed(form) {
  document.querySelector("[data-send-failed]")?.remove();
  const box = document.createElement("p");
  box.className = "alert danger";
  box.dataset.sendFailed = "";
  box.setAttribute("role", "alert");
  box.textContent = "The server did not answer, so it is not known whether the stream was saved. Look at the list of streams before you try again.";
  form.querySelector("[data-form-said]").prepend(box);
  box.scrollIntoView({ block: "center" });
}
