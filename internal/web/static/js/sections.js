// On a narrow screen the sections are a row that scrolls: the current one is seen.
const row = document.querySelector(".sections .wrap");
const current = row?.querySelector("[aria-current]");
if (current && row.scrollWidth > row.clientWidth) {
  row.scrollLeft = current.offsetLeft - row.offsetLeft - (row.clientWidth - current.offsetWidth) / 2;
}
