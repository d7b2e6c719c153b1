// Runs one published version of @workos-inc/node against a server:
//
//     node suite.mjs PACKAGE
//
// PACKAGE is a name from package.json. The environment says where the server is:
// SUITE_URL, SUITE_KEY, and SUITE_FLAKY_URL, a way to the same server on which
// the answer to the first try of every event is lost.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';

const name = process.argv[2];
const require = createRequire(import.meta.url);
const sdk = require(name);
const { version } = require(`./node_modules/${name}/package.json`);
const [major, minor] = version.split('.').map(Number);
const has = (wantMajor, wantMinor = 0) => major > wantMajor || (major === wantMajor && minor >= wantMinor);

const { SUITE_URL: url, SUITE_KEY: key, SUITE_FLAKY_URL: flakyURL } = process.env;
const connect = (to, apiKey = key) => {
  const { hostname, port } = new URL(to);
  return new sdk.WorkOS(apiKey, { apiHostname: hostname, port: Number(port), https: false });
};
const workos = connect(url);
const portal = (client) => client.adminPortal ?? client.portal;

// unique makes names that no other run on the same server uses.
const run = `node${major}-${Date.now().toString(36)}`;
let count = 0;
const unique = (what) => `${run}-${what}-${++count}`;

// api asks the server without the SDK.
async function api(method, path, body) {
  const res = await fetch(url + path, {
    method,
    headers: { Authorization: `Bearer ${key}`, ...(body && { 'Content-Type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  assert.ok(res.ok, `${method} ${path}: ${res.status} ${await res.clone().text()}`);
  return res.json();
}

// recorded returns the entries of an organization as the native API has them.
const recorded = async (org) => (await api('GET', `/v1/organizations/${org.id}/events?order=asc`)).entries;

const organization = (what = 'Org') => workos.organizations.createOrganization({ name: unique(what) });

// action registers an action with the targets that event has, and returns its
// name.
async function action(metadata) {
  const name = unique('team.updated');
  await api('POST', `/audit_logs/actions/${name}/schemas`, {
    targets: [{ type: 'team' }],
    metadata: metadata && { type: 'object', properties: metadata },
  });
  return name;
}

// event is an event as this version of the SDK takes it: version 2 passes on
// what it gets, later ones turn camelCase into snake_case.
function event(action, more = {}) {
  const occurredAt = new Date('2026-01-15T12:00:00.123Z');
  return {
    action,
    ...(has(3) ? { occurredAt } : { occurred_at: occurredAt }),
    actor: { id: 'user_1', type: 'user', name: 'Ada "the first" Lovelace', metadata: { role: 'admin' } },
    targets: [{ id: 'team_1', type: 'team', name: 'Core, and more' }],
    context: has(3)
      ? { location: '203.0.113.7', userAgent: 'suite/1' }
      : { location: '203.0.113.7', user_agent: 'suite/1' },
    metadata: { members: 3, 'is-default': true, note: '=SUM(A1)' },
    ...more,
  };
}

// thrown returns what a call throws.
async function thrown(promise) {
  let value;
  await assert.rejects(promise, (err) => {
    value = err;
    return true;
  });
  return value;
}

test(`createEvent records an ordinary entry (${name} ${version})`, async () => {
  const org = await organization();
  const act = await action({ members: { type: 'number' }, note: { type: 'string' } });
  await workos.auditLogs.createEvent(org.id, event(act));
  const [entry, ...others] = await recorded(org);
  assert.equal(others.length, 0);
  const { id, seq, received_at, organization_id, ...rest } = entry;
  assert.equal(seq, 0);
  assert.equal(organization_id, org.id);
  assert.deepEqual(rest, {
    action: act,
    version: 1,
    occurred_at: '2026-01-15T12:00:00.123Z',
    actor: { id: 'user_1', type: 'user', name: 'Ada "the first" Lovelace', metadata: { role: 'admin' } },
    targets: [{ id: 'team_1', type: 'team', name: 'Core, and more' }],
    context: { location: '203.0.113.7', user_agent: 'suite/1' },
    metadata: { members: 3, 'is-default': true, note: '=SUM(A1)' },
  });
});

test('an event without anything optional', async () => {
  const org = await organization();
  const act = await action();
  const e = event(act, { actor: { id: 'u', type: 'user' }, targets: [{ id: 't', type: 'team' }], context: { location: '' } });
  delete e.metadata;
  await workos.auditLogs.createEvent(org.id, e);
  const [entry] = await recorded(org);
  assert.deepEqual(entry.actor, { id: 'u', type: 'user' });
  assert.equal(entry.context, undefined);
});

test('one idempotency key records one event', async () => {
  const org = await organization();
  const act = await action();
  const idempotencyKey = unique('key');
  await workos.auditLogs.createEvent(org.id, event(act), { idempotencyKey });
  await workos.auditLogs.createEvent(org.id, event(act), { idempotencyKey });
  assert.equal((await recorded(org)).length, 1);

  const err = await thrown(
    workos.auditLogs.createEvent(org.id, event(act, { targets: [{ id: 'other', type: 'team' }] }), { idempotencyKey }),
  );
  assert.equal(err.name, 'GenericServerException');
  assert.equal(err.status, 400);
  assert.match(err.message, /Another idempotency key .* with different request parameters was found/);
  assert.equal((await recorded(org)).length, 1);
});

test('calls without a key are events of their own', async () => {
  const org = await organization();
  const act = await action();
  await workos.auditLogs.createEvent(org.id, event(act));
  await workos.auditLogs.createEvent(org.id, event(act));
  assert.equal((await recorded(org)).length, 2);
});

test('an event whose answer was lost', async () => {
  const org = await organization();
  const act = await action();
  const sent = connect(flakyURL).auditLogs.createEvent(org.id, event(act));
  if (has(7)) {
    await sent; // tried again, with the same key
  } else {
    assert.equal((await thrown(sent)).status, 500);
  }
  assert.equal((await recorded(org)).length, 1);
});

test('exceptions of events', async () => {
  const org = await organization();
  const act = await action({ members: { type: 'number' } });
  const create = (e, to = org.id, client = workos) => thrown(client.auditLogs.createEvent(to, e));

  const unauthorized = await create(event(act), org.id, connect(url, 'sk_wrong'));
  assert.ok(unauthorized instanceof sdk.UnauthorizedException, unauthorized.name);

  const unknown = await create(event(act), 'org_nobody');
  assert.ok(unknown instanceof sdk.NotFoundException, unknown.name);
  assert.match(unknown.message, /org_nobody/);

  const structure = await create(event(act, { actor: { type: 'user' } }));
  assert.ok(structure instanceof sdk.UnprocessableEntityException, structure.name);
  assert.match(structure.message, /required/);

  const violation = await create(event(act, { metadata: { members: 'three' } }));
  assert.equal(violation.name, 'BadRequestException');
  assert.equal(violation.status, 400);
  assert.equal(violation.code, 'invalid_audit_log');
  assert.equal(violation.message, 'Invalid Audit Log event');
  assert.equal(violation.errors[0].instancePath, '/metadata/members');

  const unregistered = await create(event('nobody.registered.this'));
  assert.equal(unregistered.name, 'BadRequestException');
  assert.equal(unregistered.status, 400);
  assert.equal(
    unregistered.message,
    "Invalid Audit Log event: event 'nobody.registered.this', version '1' has not been configured in this environment",
  );
  assert.equal((await recorded(org)).length, 0);
});

if (has(7, 29)) test('schemas', async () => {
  const act = `${unique('doc/a b')}.updated`;
  const made = await workos.auditLogs.createSchema({
    action: act,
    targets: [{ type: 'document', metadata: { pages: 'number' } }],
    metadata: { draft: 'boolean' },
  });
  const { createdAt, ...rest } = made;
  assert.match(createdAt, /^\d{4}-.*Z$/);
  assert.deepEqual(rest, {
    object: 'audit_log_schema',
    version: 1,
    targets: [{ type: 'document', metadata: { pages: 'number' } }],
    actor: { metadata: {} },
    metadata: { draft: 'boolean' },
  });
  const again = await workos.auditLogs.createSchema({ action: act, targets: [{ type: 'document' }] });
  assert.equal(again.version, 2);

  const org = await organization();
  await workos.auditLogs.createEvent(org.id, event(act, { version: 2, targets: [{ id: 'd', type: 'document' }] }));
  assert.equal((await recorded(org))[0].version, 2);

  const none = await thrown(workos.auditLogs.createSchema({ action: act, targets: [] }));
  assert.ok(none instanceof sdk.UnprocessableEntityException, none.name);
  assert.match(none.message, /targets/);
  if (!has(9)) return;

  const listed = await workos.auditLogs.listSchemas(act);
  assert.deepEqual(listed.data.map((s) => s.version), [2, 1]);
  const missing = await thrown(workos.auditLogs.listSchemas('no.such'));
  assert.ok(missing instanceof sdk.NotFoundException, missing.name);
});

// rows reads CSV into objects by the names of the columns.
function rows(csv) {
  const lines = [[]];
  let cell = '';
  for (let i = 0, quoted = false; i < csv.length; i++) {
    const c = csv[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (csv[i + 1] === '"') cell += csv[++i];
      else quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === ',' || c === '\n') {
      lines.at(-1).push(cell);
      cell = '';
      if (c === '\n') lines.push([]);
    } else if (c !== '\r') cell += c;
  }
  assert.deepEqual(lines.pop(), [], 'the file ends with a line');
  const [header, ...data] = lines;
  return data.map((line) => Object.fromEntries(header.map((column, i) => [column, line[i]])));
}

// download asks for an export until it is ready, and fetches it without a key.
async function download(made) {
  let got = made;
  for (const until = Date.now() + 60_000; got.state === 'pending'; ) {
    assert.ok(Date.now() < until, 'the export is not ready in time');
    await new Promise((resolve) => setTimeout(resolve, 50));
    got = await workos.auditLogs.getExport(made.id);
  }
  assert.equal(got.state, 'ready');
  assert.match(new URL(got.url).pathname, /\.csv$/);
  const res = await fetch(got.url);
  assert.equal(res.status, 200);
  return rows(await res.text());
}

test('exports', async () => {
  const org = await organization();
  const [first, second] = [await action(), await action()];
  await workos.auditLogs.createEvent(org.id, event(first));
  await workos.auditLogs.createEvent(org.id, event(second, { actor: { id: 'user_2', type: 'user', name: 'Bob' } }));

  const range = (start, end) =>
    has(3)
      ? { organizationId: org.id, rangeStart: start, rangeEnd: end }
      : { organization_id: org.id, range_start: start, range_end: end };
  const whole = range(new Date('2026-01-01T00:00:00Z'), new Date('2026-02-01T00:00:00Z'));
  const made = await workos.auditLogs.createExport(whole);
  assert.equal(made.object, 'audit_log_export');
  assert.match(made.id, /^audit_log_export_[0-9A-Z]{26}$/);
  const all = await download(made);
  assert.deepEqual(all.map((r) => r.action), [second, first], 'newest first');
  assert.equal(all[1].actor_name, 'Ada "the first" Lovelace');
  assert.deepEqual(JSON.parse(all[1].actor_metadata), { role: 'admin' });
  assert.equal(all[1].target_id_1, 'team_1');
  assert.equal(all[1].target_name_1, 'Core, and more');
  assert.equal(all[1].context_location, '203.0.113.7');
  assert.equal(JSON.parse(all[1].metadata).note, '=SUM(A1)');

  const some = await workos.auditLogs.createExport({ ...whole, actions: [first, 'other'], targets: ['team'] });
  assert.deepEqual((await download(some)).map((r) => r.action), [first]);
  if (has(3)) {
    const bobs = await workos.auditLogs.createExport({ ...whole, actorNames: ['Bob'], actorIds: ['user_2', 'user_3'] });
    assert.deepEqual((await download(bobs)).map((r) => r.action), [second]);
  }

  const reversed = await thrown(workos.auditLogs.createExport(range(new Date('2026-02-01'), new Date('2026-01-01'))));
  assert.equal(reversed.name, 'GenericServerException');
  assert.equal(reversed.status, 400);
  assert.equal(reversed.message, 'Invalid date range');
  const missing = await thrown(workos.auditLogs.getExport('audit_log_export_nothing'));
  assert.ok(missing instanceof sdk.NotFoundException, missing.name);
});

if (has(10, 14)) test('retention', async () => {
  const org = await organization();
  assert.deepEqual(await workos.auditLogs.getOrganizationAuditLogsRetention({ id: org.id }), { retentionPeriodInDays: 365 });
  const set = (retentionPeriod) =>
    workos.auditLogs.updateOrganizationAuditLogsRetention({ id: org.id, retentionPeriod });
  assert.deepEqual(await set('2_MONTHS'), { retentionPeriodInDays: 60 });
  assert.deepEqual(await workos.auditLogs.getOrganizationAuditLogsRetention({ id: org.id }), { retentionPeriodInDays: 60 });
  const wrong = await thrown(set('2_WEEKS'));
  assert.ok(wrong instanceof sdk.UnprocessableEntityException, wrong.name);
  const missing = await thrown(workos.auditLogs.getOrganizationAuditLogsRetention({ id: 'org_nobody' }));
  assert.ok(missing instanceof sdk.NotFoundException, missing.name);
});

test('organizations', async () => {
  const domain = `${run}.example.com`;
  const made = await workos.organizations.createOrganization({
    name: unique('Org'),
    ...(has(7) ? { domainData: [{ domain, state: 'verified' }] } : { domains: [domain] }),
  });
  assert.match(made.id, /^org_[0-9A-Z]{26}$/);
  const got = await workos.organizations.getOrganization(made.id);
  assert.deepEqual(got, made);
  assert.equal(got.domains[0].domain, domain);

  const renamed = unique('Org');
  const updated = await workos.organizations.updateOrganization({ organization: made.id, name: renamed });
  assert.equal(updated.name, renamed);
  assert.equal(updated.domains.length, 1, 'what is not given stays');

  const taken = await thrown(
    workos.organizations.createOrganization({
      name: unique('Org'),
      ...(has(7) ? { domainData: [{ domain, state: 'pending' }] } : { domains: [domain] }),
    }),
  );
  assert.equal(taken.name, has(7, 50) ? 'ConflictException' : 'GenericServerException');
  assert.match(taken.message, new RegExp(domain));

  const byDomain = await workos.organizations.listOrganizations({ domains: [domain] });
  assert.deepEqual(byDomain.data.map((o) => o.id), [made.id]);
  if (has(7)) {
    const externalId = unique('external');
    await workos.organizations.updateOrganization({ organization: made.id, externalId, metadata: { plan: 'pro' } });
    const found = await workos.organizations.getOrganizationByExternalId(externalId);
    assert.equal(found.id, made.id);
    assert.deepEqual(found.metadata, { plan: 'pro' });
  }

  await workos.organizations.deleteOrganization(made.id);
  const gone = await thrown(workos.organizations.getOrganization(made.id));
  assert.ok(gone instanceof sdk.NotFoundException, gone.name);
});

test('a log with entries is not deleted', async () => {
  const org = await organization();
  await workos.auditLogs.createEvent(org.id, event(await action()));
  const refused = await thrown(workos.organizations.deleteOrganization(org.id));
  assert.match(refused.message, /holds entries/);
  assert.equal((await recorded(org)).length, 1);
});

test('lists page by page', async () => {
  const made = [];
  for (let i = 0; i < 3; i++) {
    made.unshift((await organization('paged')).id); // newest first
  }
  const search = `${run}-paged`; // others make organizations at the same time
  const first = await workos.organizations.listOrganizations({ search, limit: 2 });
  assert.deepEqual(first.data.map((o) => o.id), made.slice(0, 2));
  const { after } = first.listMetadata ?? first.list_metadata;
  const second = await workos.organizations.listOrganizations({ search, limit: 2, after });
  assert.deepEqual(second.data.map((o) => o.id), made.slice(2));
  if (!has(7)) return;

  // The SDK asks for pages of 100, so there are two.
  while (made.length < 101) {
    made.unshift((await organization('paged')).id);
  }
  const pages = await workos.organizations.listOrganizations({ search, order: 'asc' });
  assert.equal(pages.data.length, 10);
  assert.deepEqual((await pages.autoPagination()).map((o) => o.id), made.toReversed());
});

test('portal links', async () => {
  const org = await organization();
  const { link } = await portal(workos).generateLink({
    organization: org.id,
    intent: 'audit_logs',
    returnUrl: 'https://product.example.com/settings',
  });
  const opened = await fetch(link, { redirect: 'manual' });
  assert.equal(opened.status, 303);
  const cookies = opened.headers.getSetCookie().map((cookie) => cookie.split(';')[0]);
  const res = await fetch(new URL(opened.headers.get('location'), link), { headers: { cookie: cookies.join('; ') } });
  assert.equal(res.status, 200);
  assert.match(res.headers.get('content-type'), /^text\/html/);
  assert.ok((await res.text()).includes(org.name));

  const missing = await thrown(portal(workos).generateLink({ organization: 'org_nobody', intent: 'audit_logs' }));
  assert.equal(missing.status, 400);
  assert.match(missing.message, /org_nobody/);
});
