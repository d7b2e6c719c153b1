// What the tests share: the servers' API, and a page that fails its test when it
// does what none of ours may.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { test as base, expect } from '@playwright/test';

export { expect };

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const pictures = fileURLToPath(new URL('../screenshots', import.meta.url));

const key = process.env.STELE_KEY;
const control = process.env.STELE_CONTROL;

// slow is by how many milliseconds every answer comes later: what a test reads
// before it is there shows.
const slow = Number(process.env.STELE_SLOW ?? 0);

async function ask(url, method = 'GET', body = undefined, headers = {}) {
  const res = await fetch(url, {
    method,
    headers: { Authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await res.text();
  if (!res.ok) {
    throw Object.assign(new Error(`${method} ${url}: ${res.status} ${text}`), { status: res.status, body: text });
  }
  return text === '' ? undefined : JSON.parse(text);
}

// Server is one open server and its API, as the product's developer has it.
export class Server {
  constructor(url, path) {
    this.url = url;
    this.path = path;
  }

  call(method, path, body, headers) {
    return ask(this.url + path, method, body, headers);
  }

  // link makes a portal link. role, intent, person: as in the API.
  async link(organization, { role = 'viewer', intent = 'audit_logs', person = { id: 'u_tester', name: 'Ada Tester' }, ...more } = {}) {
    const made = await this.call('POST', `/v1/organizations/${organization}/portal-links`, { role, intent, person, ...more });
    return made.url;
  }

  // organization makes one of its own for a test, with events in it.
  async organization(name = 'Testing Ltd', events = []) {
    const made = await this.call('POST', '/v1/organizations', { name });
    if (events.length > 0) {
      await this.record(made.id, ...events);
    }
    return made.id;
  }

  // record records events in the order given.
  async record(organization, ...events) {
    for (let i = 0; i < events.length; i += 500) {
      await this.call('POST', `/v1/organizations/${organization}/events`, events.slice(i, i + 500));
    }
  }

  // entries are what the API finds, all pages.
  async entries(organization, q = '', limit = 200) {
    const found = [];
    for (let cursor = ''; ;) {
      const page = await this.call('GET', `/v1/organizations/${organization}/events?${new URLSearchParams({ q, limit, ...(cursor && { cursor }) })}`);
      found.push(...page.entries);
      if (!page.has_more) {
        return found;
      }
      cursor = page.next;
    }
  }

  // advance moves the server's clock ahead.
  advance(seconds) {
    return ask(`${control}${this.path}/clock`, 'POST', { seconds });
  }

  // failSearches makes an organization's next searches fail.
  failSearches(organization, times) {
    return ask(`${control}${this.path}/failures`, 'POST', { organization, times });
  }

  // holdExports lets an organization's exports do so much of their work.
  holdExports(organization, percent) {
    return ask(`${control}${this.path}/exports`, 'POST', { organization, percent });
  }

  // now is the server's time.
  async now() {
    return new Date((await this.advance(0)).now);
  }
}

// main has the demo's organizations: full has a quarter of events, small a few
// hundred, empty none.
export const main = new Server(process.env.STELE_URL, '/worlds/0');
export const full = 'org_corvane';
export const small = 'org_pellworth';
export const empty = 'org_empty';

// another opens a server of its own for a test that changes more than an
// organization.
export async function another(settings = {}) {
  const made = await ask(`${control}/worlds`, 'POST', settings);
  return new Server(made.url, made.path);
}

// Receiver is a customer's own system, which a log stream delivers to.
export class Receiver {
  static async open() {
    return Object.assign(new Receiver(), await ask(`${control}/receivers`, 'POST', {}));
  }

  // answers says how it answers from now on: with a status and a text, and with
  // 400 to what holds the text refuse.
  answers({ status = 200, says = '', refuse = '' } = {}) {
    return ask(control + this.path, 'POST', { status, says, refuse });
  }

  // bodies are the requests so far.
  async bodies() {
    return (await ask(control + this.path)).bodies ?? [];
  }
}

// product is a page of the product that shows a portal link in it, at an origin.
export function product(at = control, server = undefined, link = '') {
  return `${at}/product?${new URLSearchParams({ server: server?.url ?? '', link })}`;
}

// event is one that a test records, with what it wants to be different.
export function event(changes = {}) {
  return {
    action: 'api_key.created',
    occurred_at: new Date(Date.parse('2026-11-18T15:00:00Z')).toISOString(),
    actor: { type: 'user', id: 'u_grace', name: 'Grace Hopper' },
    targets: [{ type: 'api_key', id: 'k_deploy', name: 'deploy' }],
    context: { location: '203.0.113.7', user_agent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' },
    ...changes,
  };
}

// accessible holds that axe finds nothing on a page as it is now.
export async function accessible(page) {
  await page.evaluate(axe); // a page's policy would keep a script element out
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  expect(violations.map((v) => ({ rule: v.id, help: v.help, at: v.nodes.slice(0, 5).map((n) => `${n.target} ${n.failureSummary}`) }))).toEqual([]);
}

// contained holds that nothing is wider than the window.
export async function contained(page) {
  const wider = await page.evaluate(() => {
    const inner = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= inner) {
      return [];
    }
    const over = [...document.querySelectorAll('body *')].filter((el) => el.getBoundingClientRect().right > inner + 0.5);
    return [`${document.documentElement.scrollWidth} of ${inner}`, ...over.slice(0, 4).map((el) => el.outerHTML.slice(0, 200))];
  });
  expect(wider, 'wider than the window').toEqual([]);
}

// picture keeps what a page looks like, to be looked at.
export async function picture(page, name, options = {}) {
  await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true, animations: 'disabled', ...options });
}

// watch notes what no page of ours may do: break its content security policy,
// fail in a script, write errors, ask another host, open a dialog.
function watch(context, faults, hosts) {
  context.on('console', (message) => {
    if (message.type() === 'error' || /Content.Security.Policy/i.test(message.text())) {
      faults.push(`console: ${message.text()} (${message.location()?.url ?? ''})`);
    }
  });
  context.on('weberror', (error) => faults.push(`script: ${error.error().stack ?? error.error()}`));
  context.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  context.on('request', (request) => {
    const url = new URL(request.url());
    if (['http:', 'https:'].includes(url.protocol) && !hosts.has(url.host)) {
      faults.push(`request to another host: ${request.url()}`);
    }
  });
}

// test is Playwright's, with
// - expected: which console errors the test brings about,
// - enter: opens the pages of an organization as somebody.
export const test = base.extend({
  expected: [/$^/, { option: true }],

  hosts: async ({}, use) => use(new Set([main, { url: control }].map((s) => new URL(s.url).host))),

  context: async ({ context, expected, hosts }, use) => {
    const faults = [];
    watch(context, faults, hosts);
    if (slow) await context.route('**', (route) => setTimeout(() => route.continue().catch(() => {}), slow));
    await use(context);
    expect(faults.filter((fault) => !expected.test(fault))).toEqual([]);
  },

  enter: async ({ page, hosts, javaScriptEnabled, timezoneId }, use) => {
    await use(async (organization = full, { server = main, at = undefined, ...options } = {}) => {
      hosts.add(new URL(server.url).host);
      const response = await page.goto(await server.link(organization, options));
      expect(response.status()).toBe(200);
      const list = page.locator('[data-log]');
      if (javaScriptEnabled !== false && await list.count() > 0) {
        await expect(list).toHaveAttribute('data-zone', timezoneId); // a first visit asks again, with its zone
      }
      return at === undefined ? response : page.goto(server.url + at);
    });
  },
});
