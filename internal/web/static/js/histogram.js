// The histogram: hover and arrow keys say how many, dragging or Shift with the
// arrow keys chooses a range, Enter narrows to it. Without this script each bar
// is a link that narrows to itself.
import { fetchPart, go } from "./page.js";
import { say } from "./say.js";

let chosen = null; // { from, to } of bars, while choosing
let dragging = false;

export const bars = (chart) => [...chart.querySelectorAll("[data-bars] a")];
const chartOf = (element) => element?.closest?.("[data-chart]");
export const labelOf = (bar) => bar.getAttribute("aria-label");

// prepare makes one bar a stop for Tab instead of all, as of now.
function prepare() {
  chosen = null;
  const chart = document.querySelector("[data-chart]");
  if (!chart) return;
  const all = bars(chart);
  for (const bar of all) {
    bar.setAttribute("tabindex", "-1");
    bar.querySelector("title")?.remove(); // said at once, below
  }
  all.at(-1)?.setAttribute("tabindex", "0");
  chart.querySelector("[data-bars]")?.setAttribute("aria-describedby", keysHelp(chart));
  if (chart.dataset.late !== undefined) load(chart);
}

// keysHelp is read to those who come by keyboard.
function keysHelp(chart) {
  if (!chart.querySelector("#chart-keys")) {
    const p = document.createElement("p");
    p.id = "chart-keys";
    p.className = "visually-hidden";
    p.textContent = "Arrow keys move, Shift with an arrow key chooses several bars, Enter narrows the range to them, Escape lets go.";
    chart.append(p);
  }
  return "chart-keys";
}

// load counts what took too long for the page, or anew: then it keeps what there is
// when that fails.
export async function load(chart, { keep = false } = {}) {
  try {
    const part = await fetchPart(chart.dataset.chart, "[data-chart]");
    if (!chart.isConnected || chosen) return; // what somebody chooses from stays
    if (keep && bars(part.element).length === 0) return;
    delete part.element.dataset.late;
    const at = bars(chart).reverse().indexOf(document.activeElement);
    chart.replaceWith(part.element);
    prepare();
    total(Number(part.element.dataset.sum));
    if (at >= 0) focusOn(part.element, bars(part.element).at(-1 - at));
  } catch {
    // the link in it still leads there
  }
}

// total says above the list how many events there are, if that was counted.
export function total(sum) {
  const heading = document.querySelector("[data-total]");
  if (heading && !Number.isNaN(sum)) heading.textContent = `${sum.toLocaleString("en")} ${sum === 1 ? "event" : "events"}`;
}

// focusOn makes a bar the one that Tab stops at, and has the keyboard go on there.
function focusOn(chart, bar) {
  if (!bar) return;
  for (const other of bars(chart)) other.setAttribute("tabindex", other === bar ? "0" : "-1");
  bar.focus({ preventScroll: true });
}

// retip says the count of the bar that is pointed at as it is now.
export function retip(chart) {
  const bar = chart.querySelector("[data-bars] a:is(:hover, :focus)");
  if (bar && !chosen && !chart.querySelector("[data-tip]").hidden) tip(chart, bar, labelOf(bar));
}

function tip(chart, bar, text) {
  const box = chart.querySelector("[data-tip]");
  if (!box) return;
  box.hidden = !bar;
  if (!bar) return;
  box.textContent = text;
  const frame = chart.getBoundingClientRect();
  const slot = bar.querySelector(".slot").getBoundingClientRect();
  const middle = slot.left + slot.width / 2 - frame.left;
  const half = box.offsetWidth / 2;
  box.style.insetInlineStart = `${Math.min(Math.max(middle - half, 0), frame.width - 2 * half)}px`;
}

// paint shows which bars are chosen.
function paint(chart) {
  const all = bars(chart);
  const [a, b] = chosen ? [Math.min(chosen.from, chosen.to), Math.max(chosen.from, chosen.to)] : [-1, -2];
  all.forEach((bar, i) => bar.classList.toggle("chosen", i >= a && i <= b));
  if (!chosen) return;
  const several = a !== b;
  const text = several ? `${ends(all[a]).from} – ${ends(all[b]).to}: ${sum(all.slice(a, b + 1))}` : labelOf(all[a]);
  tip(chart, all[chosen.to], text);
  if (several && !dragging) say(`${b - a + 1} bars, ${sum(all.slice(a, b + 1))}`);
}

export const countOf = (bar) => Number(labelOf(bar).slice(labelOf(bar).lastIndexOf(":") + 1).replaceAll(",", ""));
const sum = (some) => `${some.reduce((n, bar) => n + countOf(bar), 0).toLocaleString("en")} events`;

// ends are the times of a bar in its words.
function ends(bar) {
  const words = labelOf(bar).slice(0, labelOf(bar).lastIndexOf(":"));
  const [from, to] = words.split(" – ");
  const day = /^(\d+ \w+ \d+), /.exec(from)?.[1];
  return { from, to: to === undefined ? from : /^\d\d:/.test(to) && day ? `${day}, ${to}` : to };
}

// narrow goes to the view of the chosen bars. Whoever chose by keyboard goes on
// from the bars.
function narrow(chart, focus = "") {
  const all = bars(chart);
  const [a, b] = [Math.min(chosen.from, chosen.to), Math.max(chosen.from, chosen.to)];
  const url = new URL(all[a].getAttribute("href"), location.href);
  url.searchParams.set("to", new URL(all[b].getAttribute("href"), location.href).searchParams.get("to"));
  chosen = null;
  go(url.href, { focus });
}

function barAt(chart, x) {
  const all = bars(chart);
  const frame = chart.querySelector("[data-bars]").getBoundingClientRect();
  return Math.min(Math.max(Math.floor(((x - frame.left) / frame.width) * all.length), 0), all.length - 1);
}

document.addEventListener("pointerdown", (event) => {
  const svg = event.target.closest?.("[data-bars]");
  if (!svg || event.button !== 0 || event.shiftKey || event.ctrlKey || event.metaKey || event.pointerType === "touch") return;
  const chart = chartOf(svg);
  const start = barAt(chart, event.clientX);
  const from = event.clientX;
  let moved = false;
  event.preventDefault(); // no dragging of the link itself
  const move = (e) => {
    if (!moved && Math.abs(e.clientX - from) < 4) return;
    moved = dragging = true;
    chosen = { from: start, to: barAt(chart, e.clientX) };
    paint(chart);
  };
  const end = (e) => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
    removeEventListener("keydown", escape);
    dragging = false;
    if (e.type === "pointerup" && moved && chosen) {
      // The click that follows is not one on a bar.
      addEventListener("click", (click) => { click.preventDefault(); click.stopPropagation(); }, { capture: true, once: true });
      setTimeout(() => narrow(chart));
    } else {
      chosen = null;
      paint(chart);
    }
  };
  const escape = (e) => {
    if (e.key !== "Escape") return;
    e.preventDefault();
    e.stopPropagation();
    end(e);
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
  addEventListener("keydown", escape, { capture: true });
});

document.addEventListener("dragstart", (event) => {
  if (event.target.closest?.("[data-bars]")) event.preventDefault();
});

document.addEventListener("pointerover", (event) => {
  const bar = event.target.closest?.("[data-bars] a");
  if (bar && !dragging) tip(chartOf(bar), bar, labelOf(bar));
});

document.addEventListener("pointerout", (event) => {
  const chart = chartOf(event.target);
  if (chart && !dragging && !event.relatedTarget?.closest?.("[data-bars] a")) tip(chart, null);
});

document.addEventListener("focusin", (event) => {
  const bar = event.target.closest?.("[data-bars] a");
  if (bar) tip(chartOf(bar), bar, labelOf(bar));
});

document.addEventListener("focusout", (event) => {
  const bar = event.target.closest?.("[data-bars] a");
  if (bar && !event.relatedTarget?.closest?.("[data-bars]")) {
    const chart = chartOf(bar);
    chosen = null;
    paint(chart);
    tip(chart, null);
  }
});

const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };

document.addEventListener("keydown", (event) => {
  const bar = event.target.closest?.("[data-bars] a");
  if (!bar || event.ctrlKey || event.metaKey || event.altKey) return;
  const chart = chartOf(bar);
  const all = bars(chart);
  const at = all.indexOf(bar);
  if (event.key in steps) {
    event.preventDefault();
    const to = Math.min(Math.max(at + steps[event.key], 0), all.length - 1);
    chosen = event.shiftKey ? { from: chosen?.from ?? at, to } : null;
    bar.setAttribute("tabindex", "-1");
    all[to].setAttribute("tabindex", "0");
    const keep = chosen;
    all[to].focus();
    chosen = keep;
    paint(chart);
  } else if (event.key === "Enter" && chosen) {
    event.preventDefault();
    narrow(chart, "chart");
  } else if (event.key === "Escape" && chosen) {
    event.preventDefault();
    chosen = null;
    paint(chart);
    tip(chart, bar, labelOf(bar));
  }
});

document.addEventListener("click", (event) => {
  const again = event.target.closest?.("[data-chart-retry]");
  if (!again || event.button !== 0 || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  load(chartOf(again));
});

document.addEventListener("swapped", prepare);
prepare();
