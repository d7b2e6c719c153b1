// Copy buttons: <button data-copy="#id" hidden> copies the text of an element,
// or its value. Without scripts the buttons are not there.

import { say } from "./say.js";

// write puts a text on the clipboard, also where a page without TLS may not use
// the newer way.
export async function write(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { /* not allowed: try the older way */ }
  }
  const box = document.createElement("textarea");
  box.value = text;
  box.className = "visually-hidden";
  box.readOnly = true;
  const before = document.activeElement;
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  before?.focus();
  return done;
}

async function copy(button) {
  const from = document.querySelector(button.dataset.copy);
  if (!from) return;
  const done = await write(from.value ?? from.textContent);
  const said = done ? "Copied" : "Not copied: select the text and copy it";
  say(said);
  button.dataset.label ??= button.textContent;
  button.textContent = done ? "Copied" : "Not copied";
  clearTimeout(button.again);
  button.again = setTimeout(() => { button.textContent = button.dataset.label; }, 2000);
}

// One listener for all buttons: those that come later work too.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (button) copy(button);
});

// show shows the copy buttons below an element, which are hidden without scripts.
export function show(below = document) {
  for (const button of below.querySelectorAll("button[data-copy][hidden]")) button.hidden = false;
}
show();
