// The histogram and the number of events follow the rows that arrive live. Each
// row is counted here, in the bar of its time; the server is asked only for what
// has no bar yet, and seldom. Nothing of it is read out: live.js says how many
// came.
import { bars, countOf, labelOf, load, retip, total } from "./histogram.js";

const seldom = 30_000; // ms between two questions
const many = 2_000; // rows after which the server counts anew
const most = 10_000; // rows remembered

let arrived = []; // { seq, at } of rows that the server did not count
let frame = 0;
let question = 0;
let asked = -seldom;
const counted = new WeakMap(); // what the server counted, by histogram

document.addEventListener("arrived", (event) => {
  arrived.push(event.detail);
  if (arrived.length > most) arrived.shift();
  frame ||= requestAnimationFrame(follow);
});

// Another view: its numbers are of now.
document.addEventListener("swapped", () => {
  arrived = [];
  clearTimeout(question);
  question = 0;
});

// follow draws what was counted and what has arrived since.
function follow() {
  frame = 0;
  const chart = document.querySelector("[data-chart]");
  const all = chart ? bars(chart) : [];
  if (all.length === 0) return; // not counted yet, or it failed
  if (!counted.has(chart)) counted.set(chart, all.map(countOf));
  const counts = [...counted.get(chart)];
  const through = Number(chart.dataset.counted ?? -1);
  arrived = arrived.filter((row) => row.seq > through);
  const spans = all.map(spanOf);
  let homeless = 0;
  for (const row of arrived) {
    const i = spans.findIndex(([from, to]) => from <= row.at && row.at < to);
    if (i < 0) homeless++;
    else counts[i]++;
  }
  draw(chart, all, counts);
  total(Number(chart.dataset.sum) + arrived.length);
  if (homeless > 0 || arrived.length > many) ask(chart);
}

// spanOf is the time of a bar, as its link has it.
function spanOf(bar) {
  const params = new URL(bar.getAttribute("href"), location.href).searchParams;
  return [Date.parse(params.get("from")), Date.parse(params.get("to"))];
}

// ask has the server count, for what is later than the last bar.
function ask(chart) {
  question ||= setTimeout(async () => {
    asked = performance.now();
    await load(chart, { keep: true });
    question = 0;
    follow();
  }, Math.max(0, asked + seldom - performance.now()));
}

const number = (n) => n.toLocaleString("en");

// draw gives bars their counts, as templates/parts/histogram.html does.
function draw(chart, all, counts) {
  const max = Math.max(...counts);
  all.forEach((bar, i) => {
    if (counts[i] === 0) return; // it had none before
    const slot = bar.querySelector(".slot");
    let rect = bar.querySelector(".bar");
    if (!rect) {
      rect = slot.cloneNode();
      rect.setAttribute("class", "bar");
      slot.after(rect);
    }
    const height = Math.max(4, (100 * counts[i]) / max); // one next to a thousand is seen
    rect.setAttribute("y", `${100 - height}%`);
    rect.setAttribute("height", `${height}%`);
    bar.setAttribute("aria-label", `${wordsOf(bar)}: ${number(counts[i])}`);
  });
  chart.querySelector("[data-chart-max]").textContent = max > 0 ? number(max) : "";
  chart.querySelector("[data-chart-total]").textContent = number(counts.reduce((a, b) => a + b, 0));
  table(chart, all, counts);
  retip(chart);
}

const wordsOf = (bar) => labelOf(bar).slice(0, labelOf(bar).lastIndexOf(":"));

// table is the same for those who do not see bars.
function table(chart, all, counts) {
  const rows = all.flatMap((bar, i) => {
    if (counts[i] === 0) return [];
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = wordsOf(bar);
    const cell = document.createElement("td");
    cell.textContent = number(counts[i]);
    row.append(head, cell);
    return [row];
  });
  chart.querySelector("[data-chart-rows]").replaceChildren(...rows);
}
