// <stele-audit-log src="LINK"> shows the audit log inside a page, in a frame that
// is as high as what is in it.
//
//   <script type="module" src="https://audit.example.com/static/embed.js"></script>
//   <stele-audit-log src="https://audit.example.com/portal/launch?token=…"></stele-audit-log>
//
// LINK is a portal link, made by the product's server for this visit. The server
// must know this page's origin: its setting --frame-ancestors.
class SteleAuditLog extends HTMLElement {
  static observedAttributes = ['src'];

  #frame;
  #ready = false;
  #heard = ({ source, origin, data }) => {
    if (source !== this.#frame?.contentWindow || origin !== this.#origin || data?.type !== 'stele:size') return;
    const height = Number(data.height);
    if (height > 0 && height < 1e6) this.#frame.style.height = `${height}px`;
  };

  get #origin() {
    return new URL(this.getAttribute('src'), document.baseURI).origin;
  }

  connectedCallback() {
    window.addEventListener('message', this.#heard);
    this.#ready = true;
    this.#load();
  }

  disconnectedCallback() {
    this.#ready = false;
    window.removeEventListener('message', this.#heard);
    this.#frame?.remove();
    this.#frame = undefined;
  }

  attributeChangedCallback() {
    if (this.#ready) this.#load(); // before, the link would be used up twice
  }

  // load shows src in a new frame: a portal link opens once, so a frame is never
  // pointed at the same one again.
  #load() {
    this.#frame?.remove();
    this.#frame = undefined;
    if (!this.getAttribute('src')) return;
    const src = new URL(this.getAttribute('src'), document.baseURI);
    src.searchParams.set('embed', '1');
    const frame = document.createElement('iframe');
    frame.title = this.getAttribute('title') || 'Audit log';
    frame.allow = 'clipboard-write';
    Object.assign(frame.style, { display: 'block', width: '100%', height: '40rem', border: '0' });
    // Each page that the frame shows is asked anew for its height.
    frame.addEventListener('load', () => frame.contentWindow.postMessage({ type: 'stele:hello' }, src.origin));
    frame.src = src.href;
    this.#frame = this.appendChild(frame);
  }
}

customElements.define('stele-audit-log', SteleAuditLog);
