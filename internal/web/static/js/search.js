// Completes the search box while one types: an ARIA combobox with a list below.
// What may come next, and how often it occurs, the server says. Without this
// script the box is a field whose filter the server reads.
//
// A box is an input with data-filter, or #q, below data-search, which is what to
// ask: the form of the list, whose other fields go along, or a part of another form,
// in which the whole log is looked at.
import { say } from "./say.js";

const pause = 120; // of typing, in milliseconds, before the server is asked
let box = null; // the search box that has the focus, with its list

// Asker asks the server once one stops typing, and forgets what it asked before.
class Asker {
  stop() {
    clearTimeout(this.timer);
    this.asked?.abort();
  }

  ask(url, wait, then) {
    this.stop();
    this.timer = setTimeout(async () => {
      const mine = (this.asked = new AbortController());
      const answer = await answerOf(url(), mine.signal);
      if (!mine.signal.aborted) then(answer);
    }, wait);
  }
}

async function answerOf(url, signal) {
  try {
    const answer = await fetch(url, { signal, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return await answer.json();
  } catch {
    return { items: [], start: 0, end: 0, notes: ["Suggestions could not be loaded. What you type is found all the same."] };
  }
}

const typing = new Asker(); // of the search box
const finding = new WeakMap(); // of each menu

class Box {
  constructor(input) {
    this.input = input;
    this.asks = input.closest("[data-search]");
    this.items = [];
    this.at = -1;
    this.list = document.createElement("div");
    this.list.className = "log-list-box";
    this.list.id = "q-list";
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "What may come next");
    this.note = document.createElement("p");
    this.note.className = "log-list-note muted small";
    this.popup = document.createElement("div");
    this.popup.className = "log-popup";
    this.popup.hidden = true;
    this.popup.append(this.list, this.note);
    input.closest(".log-box").append(this.popup);
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-controls", this.list.id);
    input.setAttribute("aria-expanded", "false");
    this.popup.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.take(Number(option.dataset.at));
    });
  }

  get open() { return !this.popup.hidden; }

  show(answer) {
    this.answer = answer;
    this.items = answer.items;
    this.list.replaceChildren(...groups(this.items));
    this.note.textContent = (answer.notes ?? []).join(" ");
    this.note.hidden = this.note.textContent === "";
    this.mark(-1);
    const open = this.items.length > 0 || !this.note.hidden;
    this.popup.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    clearTimeout(this.telling);
    this.telling = setTimeout(() => {
      if (this.open) say(`${this.items.length} suggestions. ${this.note.textContent}`);
    }, 600);
  }

  close() {
    this.popup.hidden = true;
    this.items = [];
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    clearTimeout(this.telling);
  }

  // mark makes an option the one that Enter takes; -1 is none.
  mark(at) {
    this.at = at;
    for (const option of this.list.querySelectorAll("[role=option]")) {
      const on = Number(option.dataset.at) === at;
      option.setAttribute("aria-selected", String(on));
      if (on) {
        this.input.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      }
    }
    if (at < 0) this.input.removeAttribute("aria-activedescendant");
  }

  move(by) {
    const n = this.items.length;
    this.mark(((this.at + by + 1 + (n + 1)) % (n + 1)) - 1);
  }

  // take puts an item in the place of the term.
  take(at) {
    const item = this.items[at];
    if (!item) return;
    const text = this.input.value;
    const after = text.slice(this.answer.end);
    const put = item.more || after.startsWith(" ") ? item.insert : `${item.insert} `;
    this.input.value = text.slice(0, this.answer.start) + put + after;
    const caret = this.answer.start + put.length + (put === item.insert && !item.more ? 1 : 0);
    this.input.setSelectionRange(caret, caret);
    this.input.focus();
    if (item.more) ask(this, 0);
    else this.close();
  }
}

// groups makes the options, each group with its name.
function groups(items) {
  const out = [];
  let group = null;
  items.forEach((item, at) => {
    if (group?.dataset.group !== item.group) {
      group = document.createElement("div");
      group.setAttribute("role", "group");
      group.dataset.group = item.group;
      const name = document.createElement("div");
      name.className = "log-group muted small";
      name.id = `q-group-${at}`;
      name.textContent = item.group;
      group.setAttribute("aria-labelledby", name.id);
      group.append(name);
      out.push(group);
    }
    group.append(optionOf(item, at));
  });
  return out;
}

function optionOf(item, at) {
  const option = document.createElement("div");
  option.setAttribute("role", "option");
  option.className = "log-option";
  option.id = `q-option-${at}`;
  option.dataset.at = String(at);
  option.setAttribute("aria-selected", "false");
  const text = document.createElement("bdi");
  text.textContent = item.text;
  text.className = item.more ? "log-option-text mono" : "log-option-text";
  option.append(text);
  if (item.note) {
    const note = document.createElement("bdi");
    note.className = "log-option-note muted small";
    note.textContent = item.note;
    option.append(note);
  }
  if (item.count !== undefined) {
    const count = document.createElement("span");
    count.className = "log-option-count num muted";
    count.textContent = item.count.toLocaleString("en");
    option.append(count);
  }
  return option;
}

// query is what the server is asked: the text, the caret, and the view's range.
function query(asks, more) {
  const url = new URL(asks.dataset.search, location.href);
  const fields = asks.matches("form") ? new FormData(asks) : [["q", asks.querySelector("[data-filter]").value], ["range", "all"]];
  for (const [name, value] of fields) url.searchParams.set(name, value);
  for (const [name, value] of Object.entries(more)) url.searchParams.set(name, value);
  return url;
}

function ask(which, wait = pause) {
  typing.ask(() => query(which.asks, { at: which.input.selectionStart }), wait, (answer) => {
    if (document.activeElement === which.input) which.show(answer);
  });
}

const boxOf = (input) => (box?.input === input ? box : (box = new Box(input)));
const isBox = (element) => element?.matches?.("[data-search] :is(#q, [data-filter])");

document.addEventListener("input", (event) => {
  if (isBox(event.target)) ask(boxOf(event.target));
});

document.addEventListener("click", (event) => {
  if (isBox(event.target) && !boxOf(event.target).open) ask(box, 0);
});

document.addEventListener("focusout", (event) => {
  if (!isBox(event.target)) return;
  typing.stop();
  boxOf(event.target).close();
});

document.addEventListener("keydown", (event) => {
  if (!isBox(event.target) || event.isComposing) return;
  const b = boxOf(event.target);
  switch (event.key) {
    case "ArrowDown":
    case "ArrowUp":
      event.preventDefault();
      if (b.open) b.move(event.key === "ArrowDown" ? 1 : -1);
      else ask(b, 0);
      break;
    case "Enter":
      if (b.open && b.at >= 0) {
        event.preventDefault();
        b.take(b.at);
      } else {
        typing.stop();
        b.close();
      }
      break;
    case "Tab":
      if (b.open && b.at >= 0) {
        event.preventDefault();
        b.take(b.at);
      }
      break;
    case "Escape":
      if (!b.open) break;
      event.preventDefault();
      event.stopPropagation();
      b.close();
  }
});

// The field of a menu looks through all values, not only those it offers.
document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.matches?.("[data-find]")) return;
  const menu = field.closest("[data-menu]");
  if (!finding.has(menu)) finding.set(menu, new Asker());
  const url = () => query(document.querySelector("[data-search]"), { field: menu.dataset.menu, word: field.value });
  finding.get(menu).ask(url, pause, (answer) => menu.isConnected && offer(menu, field, answer));
});

// offer keeps what is ticked and puts what was found below it.
function offer(menu, field, answer) {
  const options = menu.querySelector("[data-options]");
  const ticked = [...options.querySelectorAll(".option")].filter((o) => o.querySelector("input").checked);
  const have = new Set(ticked.map((o) => o.querySelector("input").value));
  for (const o of options.querySelectorAll(".option, p")) if (!ticked.includes(o)) o.remove();
  for (const item of answer.items) if (!have.has(item.insert)) options.append(tickOf(item));
  menu.querySelector("[data-note]").textContent = (answer.notes ?? []).join(" ") || (answer.items.length ? "" : `Nothing in this range has “${field.value}”.`);
  say(`${answer.items.length} found`);
}

function tickOf(item) {
  const label = document.createElement("label");
  label.className = "option";
  const input = document.createElement("input");
  input.type = "checkbox";
  input.name = "value";
  input.value = item.insert;
  const text = document.createElement("span");
  text.className = "option-text";
  const name = document.createElement("bdi");
  name.textContent = item.text;
  text.append(name);
  if (item.note) {
    const note = document.createElement("bdi");
    note.className = "muted";
    note.textContent = item.note;
    text.append(" ", note);
  }
  const count = document.createElement("span");
  count.className = "num muted";
  count.textContent = item.count?.toLocaleString("en") ?? "";
  label.append(input, text, count);
  return label;
}

// What was ticked is what is meant: the text that led to it is not.
document.addEventListener("submit", (event) => {
  const field = event.target.querySelector?.("[data-find]");
  if (!field || !event.target.querySelector(".option input:checked")) return;
  field.value = "";
}, { capture: true });

// A menu whose values could not be counted with the page asks once it is opened.
document.addEventListener("toggle", (event) => {
  if (!event.target.open) return;
  for (const menu of event.target.querySelectorAll?.("[data-menu]") ?? []) {
    if (!menu.querySelector(".option input:not(:checked)")) menu.querySelector("[data-find]").dispatchEvent(new Event("input", { bubbles: true }));
  }
}, { capture: true });

