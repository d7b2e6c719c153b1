// Notes the time zone to show times in for the server, which writes all times:
// the browser's own, or the one that was chosen: UTC, or another by its name.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const key = "stele:zone";

function choice() {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // not allowed: the browser's own
  }
}

function choose(value) {
  try {
    if (value === "local") localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // lasts until the page closes
  }
  note(value);
}

function wanted(value = choice()) {
  if (value === "utc") return "UTC";
  return value === null || value === "local" ? zone : value;
}

// note writes the cookie and reports whether that changed it.
function note(value) {
  const cookie = `stele_tz=${wanted(value)}`;
  const has = () => document.cookie.split("; ").includes(cookie);
  const had = has();
  if (!wanted(value)) return !had;
  const kept = `${cookie}; path=/settings/security; max-age=31536000`;
  document.cookie = `${kept}; samesite=lax`;
  // In a frame of another site, browsers keep only what is that site's alone.
  if (!has()) document.cookie = `${kept}; samesite=none; secure; partitioned`;
  return !had;
}

// A first visit was answered in UTC: it is shown again, in the zone.
const changed = note(choice());
const log = () => document.querySelector("[data-log]");

async function again(address, push) {
  const { go } = await import("./page.js");
  await go(address, { push, focus: push ? "zone-now" : "" });
}

function prepare() {
  for (const link of document.querySelectorAll("[data-zone-choice=local]")) {
    link.hidden = zone === "UTC" && link.getAttribute("aria-current") !== "true";
    if (link.getAttribute("aria-current") !== "true") link.textContent = zone;
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("[data-zone-choice]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  choose(link.dataset.zoneChoice);
  const url = new URL(link.href);
  for (const name of ["tz", "keep"]) url.searchParams.delete(name); // the cookie says it
  if (log()) again(url.href, true);
  else location.assign(url.href);
});

// A zone that was typed is noted by the server, which knows whether it is one.
let typed = "";
document.addEventListener("submit", (event) => {
  if (event.target.matches?.("[data-zone-form]")) typed = event.target.elements.tz.value;
});

document.addEventListener("swapped", () => {
  if (typed && log()?.dataset.zone === typed) choose(typed === "UTC" ? "utc" : typed);
  typed = "";
  prepare();
});
prepare();
if (changed && log() && log().dataset.zone !== wanted() && !new URL(location.href).searchParams.has("tz")) again(location.href, false);
