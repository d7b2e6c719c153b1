// What was typed before the scripts of a page began, on a slow line, or what the
// browser kept of a form: they are told of it as of what is typed later. This is
// the last script of a page, so that the others listen already.
const silent = new Set(["checkbox", "radio", "file", "hidden", "submit", "button"]);

function changed(field) {
  if (field.tagName !== "SELECT") return !silent.has(field.type) && field.value !== field.defaultValue;
  const first = Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  return field.selectedIndex !== first;
}

for (const field of document.querySelectorAll("input, textarea, select")) {
  if (changed(field)) field.dispatchEvent(new Event("input", { bubbles: true }));
}
