// The form of a legal hold says how many entries it would cover while one types.
const form = document.querySelector("[data-hold-form]");
const filter = form?.querySelector("[data-filter]");
if (filter) watch();

function watch() {
  form.classList.add("scripted"); // which hides the button that counts
  let timer;
  let asked;
  const recount = async () => {
    asked?.abort();
    asked = new AbortController();
    const log = form.querySelector("[data-hold-log]");
    const url = new URL(log.href);
    url.searchParams.set("q", filter.value);
    log.href = url.href;
    const body = new URLSearchParams(new FormData(form));
    body.set("do", "count");
    try {
      const answer = await fetch(form.action, { method: "POST", body, credentials: "same-origin", signal: asked.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      show(page);
    } catch (error) {
      if (error.name !== "AbortError") form.querySelector("[data-hold-count]").textContent = "";
    }
  };
  filter.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(recount, 400);
  });
  filter.addEventListener("change", () => {
    clearTimeout(timer);
    recount();
  });
}

// show puts the count in place. Elements stay, so that readers hear of the change.
function show(page) {
  const fresh = page.querySelector("[data-hold-count]");
  const hint = page.querySelector("#query-hint");
  if (!fresh || !hint) return;
  form.querySelector("[data-hold-count]").replaceChildren(...fresh.childNodes);
  document.getElementById("query-hint").replaceChildren(...hint.childNodes);
  const wrong = page.querySelector("[data-filter]").getAttribute("aria-invalid");
  if (wrong) filter.setAttribute("aria-invalid", wrong);
  else filter.removeAttribute("aria-invalid");
}
