// Puts another view of a page in place of the one shown, without loading the page
// anew: links and forms with data-swap, and whoever calls go. Each view has its
// address, and back and forward lead to it, to where one was in it.
//
// After a swap, "swapped" is dispatched on the new element.

import { say } from "./say.js";

const selector = "#log";
const shown = () => document.querySelector(selector);

// fetchPart gets a part of a page as an element. What the server answers in
// another form is an error with its status.
export async function fetchPart(url, part, { signal } = {}) {
  const answer = await fetch(url, { headers: { "X-Fragment": "1" }, signal });
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(part);
  if (!found) throw Object.assign(new Error(`status ${answer.status}`), { status: answer.status });
  return { element: document.adoptNode(found), url: answer.url };
}

// remember keeps where one is, for the way back.
function remember() {
  if (!shown() || history.state?.entry) return;
  history.replaceState({ ...history.state, top: scrollY, focus: document.activeElement?.id || "" }, "");
}

let running = null;
let here = new URL(location.href); // whose view is shown

// go shows the view of an address. focus is the id of what gets the focus, if it
// has lost it.
export async function go(address, { push = true, focus = "", top = null } = {}) {
  running?.abort();
  const mine = (running = new AbortController());
  const old = shown();
  old.setAttribute("aria-busy", "true");
  document.querySelector("[data-swap-failed]")?.remove();
  let part;
  try {
    part = await fetchPart(address, selector, { signal: mine.signal });
  } catch (error) {
    if (mine.signal.aborted) return;
    if (error.status) location.assign(address); // such as a session that has ended: that page says what to do
    else failed(address, { push, focus, top });
    return;
  } finally {
    if (running === mine) {
      running = null;
      old.removeAttribute("aria-busy");
    }
  }
  if (push) {
    remember();
    history.pushState({}, "", part.url);
  }
  here = new URL(location.href);
  replace(old, part.element, { focus, top });
}

// replace keeps what is being typed, and the focus where it is if it can.
function replace(old, now, { focus, top }) {
  const active = document.activeElement;
  const inside = old.contains(active);
  const typed = active?.id === "q" ? { value: active.value, start: active.selectionStart, end: active.selectionEnd } : null;
  old.replaceWith(now);
  document.title = document.title.replace(/^[^·]*/, `${now.dataset.title} `);
  if (typed && !focus) {
    const box = document.getElementById("q");
    box?.focus({ preventScroll: true });
    if (box?.value === typed.value) box.setSelectionRange(typed.start, typed.end);
  } else if (inside || focus) {
    target(focus || active.id)?.focus({ preventScroll: true });
  }
  if (top !== null) scrollTo({ top, behavior: "instant" });
  else document.getElementById(focus)?.scrollIntoView({ block: "nearest" });
  say(now.dataset.say);
  now.dispatchEvent(new CustomEvent("swapped", { bubbles: true }));
}

// target is what can take the focus for an id: itself, or what is in it. Without,
// it is the heading of the list, and never a field, which would open the keyboard
// of a phone.
function target(id) {
  const found = document.getElementById(id) ?? document.getElementById("log-title") ?? document.getElementById("main");
  if (found?.matches("details")) return found.querySelector("summary");
  return found?.matches(".chart") ? found.querySelector("[data-bars] a:last-of-type") : found;
}

// failed says that there was no answer, keeps what is shown, and offers to try
// again.
function failed(address, options) {
  const box = document.createElement("div");
  box.className = "log-failed alert danger";
  box.dataset.swapFailed = "";
  box.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.textContent = "The server did not answer, so the list below is as it was. Your filters are kept.";
  const again = document.createElement("a");
  again.className = "button";
  again.href = address;
  again.textContent = "Try again";
  again.addEventListener("click", (event) => {
    event.preventDefault();
    go(address, options);
  });
  box.append(text, again);
  shown().before(box);
  again.focus();
}

const plain = (event) => event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey && !event.defaultPrevented;

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-swap]");
  if (!link || !shown() || !plain(event)) return;
  event.preventDefault();
  // Whoever came to a bar by keyboard goes on from the bars.
  const focus = event.detail > 0 && link.closest("[data-bars]") ? "" : link.dataset.focus;
  go(link.getAttribute("href"), { focus }); // in SVG, href is not a text
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches?.("form[data-swap]") || !shown() || event.defaultPrevented) return;
  event.preventDefault();
  const url = new URL(form.action);
  const fields = new FormData(form, event.submitter);
  url.search = new URLSearchParams([...fields].filter(([name, value]) => value !== "" || name === "from" || name === "to")).toString();
  go(url.href, { focus: form.dataset.focus });
});

addEventListener("popstate", (event) => {
  if (!shown()) return;
  if (event.state?.entry) {
    // entry.js opens it below its row. Of another view, it has a page.
    if (!document.getElementById(`entry-${event.state.entry}`)) location.reload();
    return;
  }
  if (view(location) === view(here)) {
    if (event.state?.top !== undefined) scrollTo({ top: event.state.top, behavior: "instant" });
    return;
  }
  go(location.href, { push: false, focus: event.state?.focus, top: event.state?.top ?? 0 });
});

// view is what of an address says what is listed; "live" says how.
function view(url) {
  const params = new URLSearchParams(url.search);
  params.delete("live");
  params.sort();
  return params.toString();
}

if (shown()) {
  addEventListener("scrollend", remember);
  addEventListener("pagehide", remember);
  document.addEventListener("click", closeMenus);
  document.addEventListener("keydown", (event) => event.key === "Escape" && closeMenus(event));
}

// closeMenus closes what is open when one goes elsewhere, or presses Escape.
function closeMenus(event) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (event.type === "click" && menu.contains(event.target)) continue;
    const within = menu.contains(document.activeElement);
    menu.open = false;
    if (event.type === "keydown") {
      event.preventDefault();
      if (within) menu.querySelector("summary").focus();
    }
  }
}
