// The form of a new export says what it would hold while one fills it in; the
// page of an export shows how far it is.
import { say } from "./say.js";

const form = document.querySelector("[data-export-form]");
if (form) watchForm(form);
const running = document.querySelector("[data-export-status]");
if (running) follow(running);

// Twice sent, the second would find nothing to cancel any more.
document.querySelector("[data-once]")?.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  else event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => delete document.querySelector("[data-once]")?.dataset.sent);

// part fetches a page of this server and returns the part of it that a selector
// names.
async function part(url, selector, signal) {
  const answer = await fetch(url, { credentials: "same-origin", signal });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.querySelector(selector);
}

// offerFile lets a text be taken from a file instead of being pasted.
function offerFile(form) {
  const input = form.querySelector("[data-file-into]");
  if (!input) return;
  form.querySelector("[data-file-offer]").hidden = false;
  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    const box = document.getElementById(input.dataset.fileInto);
    box.value = await file.slice(0, 64 << 10).text(); // a checkpoint has a few hundred bytes
    input.value = "";
    box.focus();
    say(`${file.name} was read`);
  });
}

function watchForm(form) {
  offerFile(form);
  form.querySelector("[data-recount]").hidden = true;
  let timer;
  let asked;
  const recount = async () => {
    asked?.abort();
    asked = new AbortController();
    const url = new URL(form.action);
    url.searchParams.set("new", "1");
    for (const name of ["q", "range", "from", "to"]) url.searchParams.set(name, form.elements[name].value);
    const old = form.querySelector("[data-export-count]");
    try {
      const fresh = await part(url, "[data-export-count]", asked.signal);
      // The element stays, so that readers hear of the change.
      if (fresh) old.replaceChildren(...fresh.childNodes);
    } catch (error) {
      if (error.name !== "AbortError") old.textContent = "";
    }
  };
  form.addEventListener("input", (event) => {
    if (!["q", "range", "from", "to"].includes(event.target.name)) return;
    clearTimeout(timer);
    timer = setTimeout(recount, 350);
  });
  // Twice sent would be two exports.
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    else if (event.submitter?.formMethod !== "get") form.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => { delete form.dataset.sent; });
}

async function follow(box) {
  const bar = box.querySelector("progress");
  const note = box.querySelector("[data-export-note]");
  const usual = note.textContent;
  let said = bar.value;
  let faults = 0;
  for (;;) {
    await pause(faults ? Math.min(10_000, 1000 * 2 ** faults) : 1000);
    let now;
    try {
      const answer = await fetch(box.dataset.exportStatus, { credentials: "same-origin", headers: { Accept: "application/json" } });
      if (answer.status === 401 || answer.status === 404) return location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      now = await answer.json();
      if (faults) note.textContent = usual;
      faults = 0;
    } catch {
      faults++;
      if (faults === 2) {
        note.textContent = "The server cannot be reached just now. The export goes on; this page keeps asking.";
        say(note.textContent);
      }
      continue;
    }
    if (now.ended) return finish(now);
    bar.value = now.percent;
    for (const element of box.querySelectorAll("[data-part]")) element.textContent = now[element.dataset.part];
    document.title = document.title.replace(/^(\d+ % · )?/, `${now.percent} % · `);
    if (now.percent >= said + 25) {
      said = now.percent;
      say(`${now.percent} percent, ${now.rows_text} rows. Time left: ${now.left}`);
    }
  }
}

// finish puts what the server says of an ended export in place.
async function finish(now) {
  const box = document.querySelector("[data-export]");
  try {
    const page = await fetch(box.dataset.export, { credentials: "same-origin" });
    const fresh = new DOMParser().parseFromString(await page.text(), "text/html");
    for (const selector of ["[data-export]", "[data-export-chip]"]) {
      document.querySelector(selector).replaceWith(document.adoptNode(fresh.querySelector(selector)));
    }
    document.title = fresh.title;
    say(now.state === "ready" ? `The export is ready: ${now.rows_text} rows, ${now.size}` : `The export has ended: ${now.state_text}`);
  } catch {
    location.reload();
  }
}

// pause waits, and longer while nobody looks.
async function pause(time) {
  await new Promise((resolve) => { setTimeout(resolve, time); });
  if (document.hidden) {
    await new Promise((resolve) => { document.addEventListener("visibilitychange", resolve, { once: true }); });
  }
}
