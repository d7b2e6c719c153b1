// Follows new entries: rows come as they are recorded, without moving what is
// being read. What is not known is said: a page that has lost its connection
// does not look calm.
import { isOpen } from "./entry.js";

const root = document.querySelector("[data-live]");
const list = document.querySelector("[data-rows]");
const most = 500; // rows in the page; older ones make room

if (root && list) {
  const button = root.querySelector("[data-live-switch]");
  const status = root.querySelector("[data-live-status]");
  const pill = root.querySelector("[data-live-pill]");
  const polite = root.querySelector("[data-live-polite]");
  let source = null;
  let waiting = []; // rows not in the list yet
  let since = root.dataset.since; // the first entry that the page does not have
  let lastHeard = 0;
  let watch = 0;
  let retry = 0;
  let unsaid = 0; // new rows not yet told to screen readers

  const say = (state, words) => {
    root.dataset.state = state;
    status.textContent = words;
  };

  function on() {
    button.setAttribute("aria-pressed", "true");
    remember(true);
    connect();
  }

  function off() {
    button.setAttribute("aria-pressed", "false");
    remember(false);
    disconnect();
    say("off", "");
    if (waiting.length) insert();
  }

  // The switch is part of the address, so that a link or a reload keeps it.
  function remember(live) {
    const url = new URL(location.href);
    if (live) url.searchParams.set("live", "1");
    else url.searchParams.delete("live");
    if (!history.state?.entry) history.replaceState(history.state, "", url);
  }

  function connect() {
    disconnect();
    say("connecting", "Connecting…");
    const url = new URL(root.dataset.live, location.href);
    if (since) url.searchParams.set("since", since);
    source = new EventSource(url);
    source.addEventListener("row", (event) => add(event));
    source.addEventListener("beat", (event) => heard(event));
    source.addEventListener("reload", () => tooMuch());
    source.addEventListener("ended", () => {
      disconnect();
      button.setAttribute("aria-pressed", "false");
      say("lost", "Not live: your session has ended. Open the audit log again from your product.");
    });
    source.addEventListener("error", () => lost());
    lastHeard = Date.now();
    watch = setInterval(() => {
      if (Date.now() - lastHeard > 40_000) lost(); // two beats have not come
    }, 5_000);
  }

  function disconnect() {
    source?.close();
    source = null;
    clearInterval(watch);
    clearTimeout(retry);
  }

  // lost says so at once, and tries again.
  function lost() {
    disconnect();
    say("lost", "Not live: the connection is lost. Trying again…");
    retry = setTimeout(connect, 4_000);
  }

  function heard(event) {
    lastHeard = Date.now();
    if (event.lastEventId) since = String(Number(event.lastEventId) + 1);
    say("live", "Live");
    document.dispatchEvent(new CustomEvent("live-beat", { detail: event.data }));
  }

  function tooMuch() {
    disconnect();
    say("lost", "Not live: very many entries were recorded. ");
    const again = document.createElement("a");
    again.href = location.href;
    again.textContent = "Load them";
    status.append(again);
  }

  function add(event) {
    heard(event);
    const { html } = JSON.parse(event.data);
    const row = new DOMParser().parseFromString(html, "text/html").querySelector("[data-entry]");
    if (!row || document.getElementById(row.id) || waiting.some((r) => r.id === row.id)) return;
    row.querySelector("[data-open]")?.setAttribute("aria-expanded", "false");
    waiting.push(row);
    unsaid++;
    if (busy()) showPill();
    else insert();
    soon();
  }

  // busy: somebody reads something that would move.
  function busy() {
    const top = list.getBoundingClientRect().top;
    return isOpen() || document.hidden || top < 0 || list.contains(document.activeElement) || String(getSelection()) !== "";
  }

  function showPill() {
    pill.hidden = false;
    pill.querySelector("span").textContent = waiting.length === 1 ? "1 new entry" : `${waiting.length.toLocaleString("en")} new entries`;
  }

  // insert puts rows where the order of the list has them.
  function insert() {
    for (const row of waiting) {
      row.classList.add("entry-new");
      const rows = [...list.querySelectorAll(":scope > [data-entry]")];
      const after = rows.find((r) => r.dataset.order < row.dataset.order);
      if (after) after.before(row);
      else if (!list.dataset.more) list.append(row); // else it is on a page of older entries
    }
    waiting = [];
    pill.hidden = true;
    const rows = [...list.querySelectorAll(":scope > [data-entry]")];
    for (const row of rows.slice(most)) if (!row.classList.contains("entry-open")) row.remove();
    document.dispatchEvent(new CustomEvent("live-rows"));
  }

  // Screen readers hear a sum, not each row.
  let speaking = 0;
  function soon() {
    if (speaking) return;
    speaking = setTimeout(() => {
      speaking = 0;
      polite.textContent = unsaid === 1 ? "1 new entry" : `${unsaid} new entries`;
      unsaid = 0;
    }, 5_000);
  }

  button.addEventListener("click", () => (button.getAttribute("aria-pressed") === "true" ? off() : on()));
  pill.addEventListener("click", () => {
    insert();
    const top = document.querySelector("[data-rows] [data-open]");
    list.scrollIntoView({ block: "start" });
    top?.focus({ preventScroll: true });
  });
  addEventListener("offline", () => source && lost());
  addEventListener("pagehide", () => disconnect());
  addEventListener("pageshow", (event) => event.persisted && button.getAttribute("aria-pressed") === "true" && connect());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && waiting.length && !busy()) insert();
  });
  root.hidden = false;
  if (new URL(location.href).searchParams.get("live") === "1") on();
}
