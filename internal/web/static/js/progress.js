// Follows work that the server does in the background, on the page of it: numbers
// are put in place as they change, and the whole when there is more to show.
import { show as showCopy } from "./copy.js";
import { say } from "./say.js";

const box = () => document.querySelector("[data-progress]");

if (box()?.dataset.progressStatus) follow();

async function follow() {
  let faults = 0;
  while (box().dataset.progressStatus) {
    await pause(faults ? Math.min(10_000, 1000 * 2 ** faults) : 1000);
    try {
      const now = await status(box().dataset.progressStatus);
      if (!now) return location.reload();
      if (now.version === box().dataset.progressVersion) numbers(now);
      else await renew(now);
      faults = 0;
    } catch {
      if (++faults === 2) unreachable();
    }
  }
}

// status is what the server says; nothing when this page has ended, such as with
// the session.
async function status(url) {
  const answer = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" } });
  if ([401, 403, 404].includes(answer.status)) return null;
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.json();
}

function numbers(now) {
  for (const element of box().querySelectorAll("[data-part]")) {
    if (element.textContent !== now[element.dataset.part]) element.textContent = now[element.dataset.part];
  }
}

// renew puts the page as it is now in place, and tells what came of it.
async function renew(now) {
  const answer = await fetch(box().dataset.progress, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("[data-progress]");
  if (!fresh) return location.reload();
  box().replaceWith(document.adoptNode(fresh));
  showCopy();
  say(now.say);
}

function unreachable() {
  const note = box().querySelector("[data-progress-note]");
  if (!note) return;
  note.textContent = "The server cannot be reached just now. The work goes on; this page keeps asking.";
  say(note.textContent);
}

// pause waits, and longer while nobody looks.
async function pause(time) {
  await new Promise((resolve) => { setTimeout(resolve, time); });
  if (document.hidden) {
    await new Promise((resolve) => { document.addEventListener("visibilitychange", resolve, { once: true }); });
  }
}
