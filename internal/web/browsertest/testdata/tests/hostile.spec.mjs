// Events that want to be more than text.
import { test, expect, main, event, accessible, contained, picture } from '../stele.mjs';
import { hostile, markup, long } from '../hostile.mjs';

test('a word of a million characters is refused at the door', async () => {
  const org = await main.organization();
  const word = 'W'.repeat(1_000_000);
  for (const event_ of [
    event({ actor: { type: 'user', id: 'u', name: word } }), event({ targets: [{ type: 'user', id: word }] }),
    event({ metadata: { note: word } }), event({ action: word }), event({ context: { location: '203.0.113.7', user_agent: word } }),
  ]) {
    const refused = await main.record(org, event_).then(() => null, (error) => error);
    expect(refused?.status).toBe(413);
    expect(JSON.parse(refused.body).code).toBe('too_large');
  }
  const one = await main.record(org, event({ metadata: { note: 'W'.repeat((16 << 10) + 1) } })).then(() => null, (error) => error);
  expect(one?.status).toBe(422);
  expect(JSON.parse(one.body).field).toBe('/metadata/note');
  expect(await main.entries(org)).toEqual([]);
});

test('what is valid is recorded as it was sent', async () => {
  const org = await main.organization('Hostile <b>Ltd</b>', hostile);
  const entries = await main.entries(org);
  const sent = new Map(hostile.map((e) => [e.action, e]));
  expect(entries.map((e) => e.action).sort()).toEqual([...sent.keys()].sort());
  for (const { action, actor, targets, metadata } of entries) {
    expect({ actor, targets, metadata }).toEqual({ metadata: undefined, ...pick(sent.get(action)) });
  }
});

const pick = ({ actor, targets, metadata }) => ({ actor, targets, metadata });

test.describe('on the pages it is text', () => {
  let org;
  let entries;
  test.beforeAll(async () => {
    org = await main.organization('Hostile <b>Ltd</b> <script>alert(9)</script>', hostile);
    entries = await main.entries(org);
  });

  for (const [look, width] of [['desktop', 1280], ['phone', 360]]) {
    test(`in the list: ${look}`, async ({ page, enter }) => {
      await page.setViewportSize({ width, height: 900 });
      await enter(org, { at: '/settings/security/audit-log', person: { id: markup, name: markup } });
      await expect.poll(() => page.locator('[data-entry]').count()).toBeGreaterThan(hostile.length); // that it was opened, too
      await expect(page.locator('.entry-line').getByText('<img src=x').locator('visible=true').first()).toBeVisible();
      await expect(page.locator('main img, main script, main b, main a[href^="javascript:"]')).toHaveCount(0);
      await contained(page);
      await picture(page, `hostile-list-${look}`);
      await accessible(page);
      // No row is taller than a few lines, whatever is in it.
      for (const row of await page.locator('.entry-line').all()) {
        expect((await row.boundingBox()).height).toBeLessThan(220);
      }
    });

    test(`in the details: ${look}`, async ({ page, enter }) => {
      test.slow();
      await page.setViewportSize({ width, height: 900 });
      await enter(org);
      for (const [i, entry] of entries.entries()) {
        const res = await page.goto(`${main.url}/settings/security/audit-log/entries/${entry.id}`);
        expect(res.status()).toBe(200);
        await expect(page.locator('main img, main script, main b, main a[href^="javascript:"]')).toHaveCount(0);
        await contained(page);
        if (look === 'phone' && i % 3 === 0) {
          await accessible(page);
        }
        if (entry.action === 'account.renamed') {
          await picture(page, `hostile-entry-${look}`);
        }
        // Nothing is lost: the JSON has all of it, and it can be verified.
        expect(JSON.parse(await page.locator('[data-json]').textContent())).toEqual(entry);
        if (look === 'desktop') {
          await page.getByRole('button', { name: 'Verify' }).click();
          await expect(page.locator('.verdict')).toContainText('Verified');
        }
      }
    });
  }

  test('16 KiB are folded, and can be seen whole', async ({ page, enter }) => {
    const { id } = entries.find((entry) => entry.action === 'account.renamed');
    await enter(org, { at: `/settings/security/audit-log/entries/${id}` });
    expect((await page.locator('[data-detail]').boundingBox()).height).toBeLessThan(1500);
    const target = page.locator('[data-pointer="/targets/0/name"]');
    await target.getByText('Show all').click();
    expect((await target.locator('[data-text]').innerText()).replaceAll(/\s/g, '')).toBe(long);
    await contained(page);
  });

  test.describe('a filter that is no filter', () => {
    test.use({ expected: /status of 400/ });

    test('in an address', async ({ page, enter }) => {
      await enter(org, { at: `/settings/security/audit-log?${new URLSearchParams({ q: markup, range: 'all' })}` });
      await expect(page.getByRole('heading', { level: 1 })).toHaveText('Audit log');
      await expect(page.locator('main img, main script')).toHaveCount(0);
      await contained(page);
    });
  });

  test('in the exports and the event types', async ({ page, enter }) => {
    await enter(org, { role: 'manager', at: `/settings/security/exports?${new URLSearchParams({ new: 1, q: `metadata.x:"${long.slice(0, 3000)}"` })}` });
    await contained(page);
    for (const path of ['event-types', 'retention', `event-types/${encodeURIComponent('<script>alert(5)</script>.created')}`, `event-types/${'a'.repeat(200)}`]) {
      const res = await page.goto(`${main.url}/settings/security/${path}`);
      expect(res.status(), path).toBe(200);
      await expect(page.locator('main img, main script')).toHaveCount(0);
      await contained(page);
    }
    await picture(page, 'hostile-event-type-desktop');
  });
});
