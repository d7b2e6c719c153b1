// Opens the details of an entry in place, below its row, with an address of
// their own. Without this script the row leads to the entry's page.
import { show, write } from "./copy.js";
import { say } from "./say.js";

const rows = () => document.querySelector("[data-rows]");
let listTitle = document.title;
let open = null; // { row, holder, link }

function parse(html) {
  return new DOMParser().parseFromString(html, "text/html");
}

// show fetches what belongs below a row.
async function fetchDetail(url) {
  const answer = await fetch(url, { headers: { "X-Fragment": "1" } });
  if (!answer.ok) throw new Error(String(answer.status));
  return parse(await answer.text()).querySelector("[data-detail]");
}

function failure(url, error) {
  const box = document.createElement("div");
  box.className = "detail detail-failed alert danger";
  const what = error.message === "401" ? "Your session has ended. Open the audit log again from your product." : "The details could not be loaded. ";
  box.append(what);
  if (error.message !== "401") {
    const again = document.createElement("a");
    again.href = url;
    again.textContent = "Try again";
    box.append(again);
  }
  return box;
}

export const isOpen = () => open !== null;
export const openRow = () => open?.row ?? null;

// openEntry shows the details below a row; push adds an address to the history.
export async function openEntry(row, { push = true, focus = false } = {}) {
  const link = row.querySelector("[data-open]");
  if (open?.row === row) return;
  closeEntry({ push: false });
  const holder = document.createElement("div");
  holder.className = "entry-detail";
  holder.id = `detail-${row.dataset.entry}`;
  holder.setAttribute("role", "region");
  holder.setAttribute("aria-label", `Details: ${link.textContent.trim()}`);
  holder.setAttribute("aria-busy", "true");
  holder.tabIndex = -1;
  row.append(holder);
  row.classList.add("entry-open");
  link.setAttribute("aria-expanded", "true");
  link.setAttribute("aria-controls", holder.id);
  open = { row, holder, link };
  const here = open;
  if (push) history.pushState({ entry: row.dataset.entry, list: listURL() }, "", link.href);
  let content;
  try {
    content = await fetchDetail(link.href);
  } catch (error) {
    content = failure(link.href, error);
  }
  if (open !== here) return; // closed meanwhile
  holder.replaceChildren(content);
  holder.removeAttribute("aria-busy");
  content.dispatchEvent(new CustomEvent("detail", { bubbles: true }));
  document.title = listTitle.replace(/^[^·]*/, `${link.textContent.trim().replaceAll("·", "-")} `);
  if (focus) holder.focus({ preventScroll: true });
  if (holder.getBoundingClientRect().bottom > innerHeight) row.scrollIntoView({ block: "nearest" });
}

const listURL = () => history.state?.list ?? location.href;

export function closeEntry({ push = true, focus = false } = {}) {
  if (!open) return;
  const { row, holder, link } = open;
  open = null;
  holder.remove();
  row.classList.remove("entry-open");
  link.removeAttribute("aria-controls");
  link.setAttribute("aria-expanded", "false");
  document.title = listTitle;
  if (push && history.state?.entry) history.pushState({}, "", listURL());
  if (push) document.dispatchEvent(new Event("closed"));
  if (focus) link.focus();
}

export function toggleEntry(row, options) {
  if (open?.row === row) closeEntry({ focus: true });
  else openEntry(row, options);
}

const plainClick = (event) => event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey && !event.defaultPrevented;

document.addEventListener("click", (event) => {
  if (!plainClick(event) || !rows()) return;
  const line = event.target.closest?.(".entry-line");
  if (line && rows().contains(line)) {
    const other = event.target.closest("a, button");
    if (other && !other.matches("[data-open]")) return;
    if (!other && String(getSelection())) return; // somebody selects text
    event.preventDefault();
    toggleEntry(line.closest("[data-entry]"), { focus: false });
    return;
  }
  if (!open) return;
  if (event.target.closest("[data-close]")) {
    event.preventDefault();
    closeEntry({ focus: true });
    return;
  }
  const neighbour = event.target.closest("[data-neighbour]");
  const row = neighbour && step(neighbour.dataset.neighbour === "older" ? 1 : -1);
  if (row) {
    event.preventDefault();
    openEntry(row, { focus: true });
  }
});

// step is the row after the open one, or before it.
function step(by) {
  const all = [...rows().querySelectorAll(":scope > [data-entry]")];
  return all[all.indexOf(open.row) + by];
}

addEventListener("popstate", () => {
  if (!rows()) return;
  const id = history.state?.entry;
  const row = id && document.getElementById(`entry-${id}`);
  if (row) openEntry(row, { push: false });
  else closeEntry({ push: false, focus: false });
});

// The link to an entry; JSON is copied by copy.js itself.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy-link]");
  if (!button) return;
  const done = await write(new URL(button.dataset.copyLink, location.href).href);
  say(done ? "Link copied" : "The link could not be copied");
  button.lastChild.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => (button.lastChild.textContent = "Copy link"), 2000);
});

// Another view of the list was put in place: nothing in it is open.
document.addEventListener("swapped", (event) => {
  open = null;
  listTitle = document.title;
  closed(event.target);
});

const closed = (root) => {
  for (const link of root.querySelectorAll("[data-rows] [data-open]")) link.setAttribute("aria-expanded", "false");
};

function prepare(root) {
  show(root);
  for (const button of root.querySelectorAll("[data-copy-link]")) button.hidden = false;
}

document.addEventListener("detail", (event) => prepare(event.target));
prepare(document);
closed(document);

// Times that say how long ago something was grow old.
function ago(ms) {
  const s = Math.floor(ms / 1000);
  if (s < -60 || s >= 3600) return null;
  if (s < 10) return "just now";
  if (s < 60) return `${s} s ago`;
  return `${Math.floor(s / 60)} min ago`;
}

// clock is the time of day, as the server wrote it in the exact time.
const clock = (time) => /\d\d:\d\d/.exec(time.title)?.[0] ?? time.textContent;

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    if (!/ago$|^just now$/.test(time.textContent)) continue;
    const text = ago(Date.now() - Date.parse(time.dateTime)) ?? clock(time);
    if (time.textContent !== text) time.textContent = text;
  }
}, 20_000);
