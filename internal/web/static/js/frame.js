// Tells the page around this one how high it is, when that page asks and is one
// of those that may show it. embed.js is the other side.
const frames = document.querySelector('meta[name="frames"]').content.split(' ');

// allows compares an origin with one of the setting, such as
// https://app.example.com or https://*.example.com.
function allows(pattern, origin) {
  const [scheme, host] = pattern.split('://*.');
  if (host === undefined) return pattern === origin;
  return origin.startsWith(`${scheme}://`) && origin.endsWith(`.${host}`);
}

const asked = new Set();

function tell() {
  const height = Math.ceil(document.body.getBoundingClientRect().height);
  for (const origin of asked) {
    window.parent.postMessage({ type: 'stele:size', height, title: document.title }, origin);
  }
}

window.addEventListener('message', ({ source, origin, data }) => {
  if (source !== window.parent || data?.type !== 'stele:hello') return;
  if (origin !== location.origin && !frames.some((pattern) => allows(pattern, origin))) return;
  asked.add(origin);
  tell();
});
new ResizeObserver(tell).observe(document.body);
