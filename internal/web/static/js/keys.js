// Single keys, as the help (?) lists them. They never work in a field, and can
// be switched off there.
import { closeEntry, isOpen, openRow, toggleEntry } from "./entry.js";
import { start } from "./verify.js";

const help = document.querySelector("[data-keys]");
const name = "stele:keys";
const allowed = () => {
  try {
    return localStorage.getItem(name) !== "off";
  } catch {
    return true;
  }
};

const rows = () => [...document.querySelectorAll("[data-rows] > [data-entry]")];
const current = () => document.activeElement?.closest?.("[data-rows] > [data-entry]");

function move(by) {
  const all = rows();
  if (!all.length) return false;
  const at = all.indexOf(current() ?? openRow());
  const row = all[Math.min(Math.max(at + by, 0), all.length - 1)];
  const link = row.querySelector("[data-open]");
  link.focus({ preventScroll: true });
  row.querySelector(".entry-line").scrollIntoView({ block: "nearest" });
  return true;
}

function follow(selector) {
  const link = document.querySelector(selector);
  link?.click();
  return Boolean(link);
}

const actions = {
  "/": () => {
    const field = document.getElementById("q");
    field?.focus();
    field?.select();
    return Boolean(field);
  },
  j: () => move(1),
  k: () => move(-1),
  o: () => {
    const row = current();
    if (row) toggleEntry(row);
    return Boolean(row);
  },
  n: () => follow("[data-entry-page] [data-neighbour=older], .detail [data-neighbour=older]") || follow("[data-page=older], a[rel=next]"),
  p: () => follow("[data-entry-page] [data-neighbour=newer], .detail [data-neighbour=newer]") || follow("[data-page=newer], a[rel=prev]"),
  v: () => {
    const panel = document.querySelector("[data-verify]");
    if (panel) {
      panel.scrollIntoView({ block: "nearest" });
      start(panel);
    }
    return Boolean(panel);
  },
  l: () => follow("[data-live-switch]"),
  "?": () => {
    help?.showModal();
    return Boolean(help);
  },
};

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable], dialog[open]");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape") {
    if (document.querySelector("dialog[open], details.menu[open], [popover]:popover-open")) return;
    if (isOpen()) {
      if (typing(event.target)) return;
      event.preventDefault();
      closeEntry({ focus: true });
    } else if (document.querySelector("[data-entry-page]") && !typing(event.target)) {
      follow("[data-close]");
    }
    return;
  }
  if (typing(event.target)) return;
  if (allowed() && actions[event.key]?.()) event.preventDefault();
});

if (help) {
  const box = help.querySelector("[data-keys-on]");
  box.checked = allowed();
  box.addEventListener("change", () => {
    try {
      localStorage.setItem(name, box.checked ? "on" : "off");
    } catch {
      // until the page closes they stay as they are
    }
  });
  for (const button of document.querySelectorAll("[data-keys-help]")) {
    button.hidden = false;
    button.addEventListener("click", () => help.showModal());
  }
}
