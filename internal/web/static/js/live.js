// Follows new entries: rows come as they are recorded, without moving what is
// being read. What is not known is said: a page that has lost its connection
// does not look calm.
import { isOpen } from "./entry.js";

const most = 500; // rows in the page; older ones make room
const silence = 40_000; // ms without a beat, of which one comes each 15 s
const again = 4_000; // ms until the next try, doubled up to
const seldom = 60_000;

// The list may be put in place anew at any time, so nothing of it is held.
const root = () => document.querySelector("[data-live]");
const list = () => document.querySelector("[data-rows]");
const rowsOf = (ol) => [...ol.querySelectorAll(":scope > [data-entry]")];

let active = false; // whether the person follows
let source = null;
let since = ""; // the first entry that the page does not have
let waiting = []; // rows not in the list yet
let lastHeard = 0;
let watch = 0;
let retry = 0;
let pause = again;
let added = 0; // rows since the page was counted
let through = null; // the foot that goes with all rows so far
let state = { name: "off", words: "" };

// The regions and the pill stay while the list is replaced.
const polite = document.createElement("p");
polite.className = "visually-hidden";
polite.setAttribute("role", "status");
const pill = document.createElement("button");
pill.type = "button";
pill.className = "live-pill";
pill.hidden = true;
document.body.append(polite, pill);

function say(name, words) {
  const changed = state.name !== name;
  state = { name, words };
  show();
  if (changed && name !== "connecting") polite.textContent = words;
}

// show makes the switch look as things are.
function show() {
  const here = root();
  if (!here) return;
  here.hidden = false;
  here.dataset.state = state.name;
  here.querySelector("[data-live-switch]").setAttribute("aria-pressed", String(active));
  here.querySelector("[data-live-status]").textContent = state.name === "live" ? "" : state.words;
}

function on() {
  active = true;
  remember();
  connect();
}

function off() {
  active = false;
  remember();
  disconnect();
  if (waiting.length) insert();
  say("off", "Not live");
  root()?.querySelector("[data-live-status]").replaceChildren();
}

// The switch is part of the address, so that a link or a reload keeps it.
function remember() {
  if (history.state?.entry) return;
  const url = new URL(location.href);
  if (active === (url.searchParams.get("live") === "1")) return; // the address stays as it was written
  if (active) url.searchParams.set("live", "1");
  else url.searchParams.delete("live");
  history.replaceState(history.state, "", url);
}

function streamURL() {
  const view = new URL(document.getElementById("log").dataset.log, location.href);
  const url = new URL(root().dataset.live, location.href);
  url.search = view.search;
  url.searchParams.delete("cursor");
  url.searchParams.set("since", since);
  return url;
}

function connect() {
  disconnect();
  if (!root()) return; // a page of older entries
  since ||= root().dataset.since;
  if (state.name !== "lost") say("connecting", "Connecting…");
  const mine = (source = new EventSource(streamURL()));
  const handlers = { row: add, beat, reload: tooMuch, ended, full, error: lost };
  for (const [name, handler] of Object.entries(handlers)) {
    mine.addEventListener(name, (event) => mine === source && handler(event));
  }
  lastHeard = Date.now();
  watch = setInterval(() => Date.now() - lastHeard > silence && lost(), 5_000);
}

function disconnect() {
  source?.close();
  source = null;
  clearInterval(watch);
  clearTimeout(retry);
}

// lost says so at once, and tries again, less and less often. A stream does not say
// why it was refused; another address does, when the session has ended.
async function lost() {
  disconnect();
  say("lost", "Not live: the connection is lost. Trying again…");
  retry = setTimeout(connect, pause);
  pause = Math.min(2 * pause, seldom);
  const mine = retry;
  try {
    const answer = await fetch(new URL("..", new URL(root().dataset.live, location.href)), { method: "HEAD", redirect: "manual" });
    if (mine === retry && active && !source && [401, 403, 404].includes(answer.status)) ended();
  } catch {
    // not even that: it is the connection
  }
}

// full: others follow, and one of them must stop.
function full(event) {
  disconnect();
  say("lost", `Not live: ${JSON.parse(event.data).message} Trying again each minute…`);
  retry = setTimeout(connect, seldom);
}

function ended() {
  disconnect();
  active = false;
  say("lost", "Not live: your session has ended. Open the audit log again from your product.");
}

function tooMuch() {
  disconnect();
  say("lost", "Not live: very many events were recorded.");
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = "Load them";
  root()?.querySelector("[data-live-status]").append(" ", link);
}

function heard(event) {
  lastHeard = Date.now();
  if (event.lastEventId) since = String(Number(event.lastEventId) + 1);
  say("live", "Live: new events appear as they are recorded");
}

function beat(event) {
  heard(event);
  pause = again;
  const html = JSON.parse(event.data)?.html;
  if (html) through = new DOMParser().parseFromString(html, "text/html").querySelector("[data-through]");
  if (!waiting.length) foot();
}

// foot says up to where the list is complete, once all rows are in it.
function foot() {
  const old = document.querySelector("[data-through]");
  if (through && old) old.replaceWith(through);
  through = null;
}

function add(event) {
  heard(event);
  const { html } = JSON.parse(event.data);
  const row = new DOMParser().parseFromString(html, "text/html").querySelector("[data-entry]");
  if (!row || document.getElementById(row.id) || waiting.some((r) => r.id === row.id)) return;
  row.querySelector("[data-open]").setAttribute("aria-expanded", "false");
  waiting.push(row);
  document.dispatchEvent(new CustomEvent("arrived", { detail: { seq: Number(row.dataset.seq), at: Date.parse(row.querySelector("time").dateTime) } }));
  if (busy()) showPill();
  else insert();
  soon();
}

// busy: somebody reads, or does, something that would move.
function busy() {
  const ol = list();
  if (!ol) return true;
  return isOpen() || document.hidden || ol.getBoundingClientRect().top < 0 || getSelection().type === "Range" || reading(ol);
}

// reading: the keyboard is in the list.
const reading = (ol) => ol.contains(document.activeElement) && document.activeElement.matches(":focus-visible");

const sum = (n) => (n === 1 ? "1 new event" : `${n.toLocaleString("en")} new events`);

function showPill() {
  pill.hidden = false;
  pill.textContent = sum(waiting.length);
}

// insert puts rows where the order of the list has them.
function insert() {
  const ol = list();
  if (!ol) return;
  for (const row of waiting) {
    row.classList.add("entry-new");
    const after = rowsOf(ol).find((r) => r.dataset.order < row.dataset.order);
    if (after) after.before(row);
    else if (!ol.hasAttribute("data-more")) ol.append(row); // else it is on a page of older ones
  }
  added += waiting.length;
  const news = document.querySelector("[data-live-new]");
  if (news) news.textContent = ` · ${added.toLocaleString("en")} new`;
  waiting = [];
  pill.hidden = true;
  foot();
  const many = rowsOf(ol);
  for (const row of many.slice(most)) if (!row.classList.contains("entry-open")) row.remove();
  if (many.length > most) ol.setAttribute("data-more", "");
}

// Readers of screens hear a sum now and then, not each row.
let speaking = 0;
let unsaid = 0;
function soon() {
  unsaid++;
  speaking ||= setTimeout(() => {
    polite.textContent = sum(unsaid);
    speaking = unsaid = 0;
  }, 5_000);
}

pill.addEventListener("click", (event) => {
  if (!list()) {
    location.reload(); // there were no rows, and so no list
    return;
  }
  insert();
  document.getElementById("log-title")?.scrollIntoView({ block: "start" });
  // Who came by keyboard goes on there.
  if (event.detail === 0) list().querySelector("[data-open]")?.focus({ preventScroll: true });
  else document.activeElement?.blur();
});

document.addEventListener("click", (event) => {
  if (!event.target.closest?.("[data-live-switch]")) return;
  if (active) off();
  else on();
});

// Another view of the list: its rows are all there are up to now.
document.addEventListener("swapped", () => {
  waiting = [];
  pill.hidden = true;
  since = "";
  added = 0;
  through = null;
  show();
  if (active) on();
});

// The address of details is their own: the list's gets the switch once they close.
addEventListener("popstate", () => setTimeout(remember));
document.addEventListener("closed", remember);

addEventListener("offline", () => source && lost());
addEventListener("pagehide", disconnect);
addEventListener("pageshow", (event) => event.persisted && active && connect());

// A page that nobody looks at gives its connection back, of which a browser has
// few, and then catches up.
let hiding = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) {
    hiding = setTimeout(disconnect, 30_000);
    return;
  }
  if (active && !source) connect();
  if (waiting.length && !busy()) insert();
});
document.addEventListener("focusout", () => setTimeout(() => waiting.length && !busy() && insert()));

show();
if (root() && new URL(location.href).searchParams.get("live") === "1") on();
