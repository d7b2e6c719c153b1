// Filters a list as one types, as the server does when the form is sent: every
// word must be in the item. <input data-filter="#list"> names the list, whose
// items have data-filter-item, and its groups data-filter-group.
const input = document.querySelector("input[data-filter]");
const list = input && document.querySelector(input.dataset.filter);
const status = document.querySelector("[data-filter-status]");

if (list) attach();

function attach() {
  const none = document.querySelector("[data-filter-none]");
  const items = [...list.querySelectorAll("[data-filter-item]")].map((row) => ({ row, text: textOf(row) }));
  const groups = [...list.querySelectorAll("[data-filter-group]")];
  // A list that the server has filtered already has nothing to find in it.
  if (items.length < Number(status.dataset.filterTotal)) return;
  const noun = status.textContent.replace(/^[\d,]+ /, "").trim();
  let later;

  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of items) {
      item.row.hidden = !words.every((word) => item.text.includes(word));
      if (!item.row.hidden) shown++;
    }
    for (const group of groups) group.hidden = !group.querySelector("[data-filter-item]:not([hidden])");
    list.hidden = shown === 0;
    if (none) none.hidden = shown > 0;
    clearTimeout(later);
    later = setTimeout(() => {
      const all = items.length.toLocaleString("en");
      status.textContent = words.length ? `${shown.toLocaleString("en")} of ${all} ${noun}` : `${all} ${noun}`;
      const url = new URL(location);
      if (words.length) url.searchParams.set("q", input.value.trim());
      else url.searchParams.delete("q");
      history.replaceState(history.state, "", url);
    }, 250);
  };
  input.addEventListener("input", filter);
  input.form?.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  if (input.value) filter();
}

// textOf is what an item is found by: its name and its description, not its
// numbers.
function textOf(row) {
  return [...row.querySelectorAll("bdi")].map((part) => part.textContent).join(" ").toLowerCase();
}
