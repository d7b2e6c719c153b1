// say tells a text to readers of screens, politely.

// The region is in the page before there is something to say, or some readers
// would miss it.
const region = document.createElement("p");
region.className = "visually-hidden";
region.setAttribute("role", "status");
document.body.append(region);

export function say(text) {
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}
