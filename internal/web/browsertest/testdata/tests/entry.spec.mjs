// An entry on a page of its own, and its proof.
import { test, expect, main, full, small, event, accessible, contained, picture } from '../stele.mjs';

const entries = '/settings/security/audit-log/entries/';
const steps = (page) => page.locator('.step');
const verdict = (page) => page.locator('.verdict');

// oneOf is an entry with much to show.
async function oneOf(organization, q) {
  const [entry] = await main.entries(organization, q);
  return entry;
}

test('the page of an entry shows all of it', async ({ page, enter }) => {
  const org = await main.organization('Entry Ltd', [event({
    actor: { type: 'user', id: 'u_grace', name: 'Grace Hopper', metadata: { role: 'admin' } },
    metadata: { before_name: 'old name', after_name: 'new name', ticket: { id: 'T-1', labels: ['a', 'b'] } },
  })]);
  const [entry] = await main.entries(org);
  await enter(org, { at: entries + entry.id });
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Grace Hopper');
  const main_ = page.getByRole('main');
  for (const text of [entry.id, 'u_grace', 'k_deploy', 'api_key.created', '203.0.113.7', 'Firefox 140', 'old name', 'new name', 'admin', 'T-1']) {
    await expect(main_.getByText(text).first()).toBeVisible();
  }
  await page.getByText('JSON', { exact: true }).click();
  expect(JSON.parse(await page.locator('[data-json]').textContent())).toEqual(entry);
});

test.describe('the entry of another organization', () => {
  test.use({ expected: /status of 404/ });

  test('is not there, like one that never was', async ({ page, enter }) => {
    const theirs = await oneOf(small, '');
    const own = await oneOf(full, '');
    await enter(full, { at: entries + own.id });
    const said = [];
    for (const id of [theirs.id, own.id.slice(0, -2) + '00', 'nonsense']) {
      for (const path of [id, id + '/proof']) {
        const res = await page.goto(main.url + entries + path);
        expect(res.status(), path).toBe(404);
        said.push((await page.locator('body').innerText()).replaceAll(/[0-9A-Z]{26}/g, '').replaceAll(id, ''));
      }
    }
    expect(said[0]).toBe(said[2]);
    expect(said[1]).toBe(said[3]);
  });
});

test.describe('Verify', () => {
  async function open(page, enter) {
    const entry = await oneOf(full, 'action:user.* actor.type:user');
    await enter(full, { at: entries + entry.id });
    return entry;
  }

  test('checks the entry step by step', async ({ page, enter }) => {
    await open(page, enter);
    await page.getByRole('button', { name: 'Verify' }).click();
    await expect(verdict(page)).toContainText('Verified');
    await expect(steps(page)).toHaveCount(10);
    for (const step of await steps(page).all()) {
      await expect(step).toHaveClass(/step-pass/);
    }
    await picture(page, 'verified-desktop-light');
    await accessible(page);

    // And once more, now that the browser remembers key and checkpoint.
    await main.record(full, event());
    await page.reload();
    await page.getByRole('button', { name: 'Verify' }).click();
    await expect(verdict(page)).toContainText('Verified');
    await expect(steps(page).last()).toContainText('are what they were');
  });

  // turn changes the last character of a base64 text that carries all its bits.
  const turn = (text, at) => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
  const lineOf = (text, i, change) => text.split('\n').map((line, n) => (n === i ? change(line) : line)).join('\n');
  const alterations = [
    ['the entry', 'The proof is of the entry on this page', (p) => ({ ...p, entry: { ...p.entry, occurred_at: p.entry.occurred_at.replace(/\d(?=Z)/, (digit) => (Number(digit) + 1) % 10) } })],
    ['the salt', 'Names, metadata and context are as recorded', (p) => ({ ...p, salt: turn(p.salt, 3) })],
    ['the record', 'Action, actor, targets and times are as recorded', (p) => ({ ...p, record: p.record.replace('"user"', '"usex"') })],
    ['the place', 'The entry is in its place', (p) => ({ ...p, proof: p.proof.replace(/^(index \d*)(\d)$/m, (_, head, digit) => head + ((Number(digit) + 1) % 10)) })],
    ['the origin', 'The checkpoint is of this log', (p) => ({ ...p, proof: p.proof.replace(/^(.*\/)org_corvane$/m, '$1org_corvanf') })],
    ['a hash of the proof', 'The leaf leads to the checkpoint’s root', (p) => ({ ...p, proof: lineOf(p.proof, 2, (line) => turn(line, 7)) })],
    ['the root', 'The leaf leads to the checkpoint’s root', (p) => ({ ...p, proof: p.proof.replace(/^(.*org_corvane\n\d+\n)(.*)$/m, (_, head, root) => head + turn(root, 5)) })],
    ['the signature', 'The checkpoint is signed with the key', (p) => ({ ...p, proof: p.proof.replace(/^— .*$/gm, (line) => turn(line, line.length - 9)) })],
  ];
  for (const [what, title, change] of alterations) {
    test(`fails where it must when one byte changes on the way: ${what}`, async ({ page, enter }) => {
      await page.route('**/proof', async (route) => {
        const response = await route.fetch();
        const sent = await response.json();
        const changed = change(sent);
        expect(changed).not.toEqual(sent);
        await route.fulfill({ response, json: changed });
      });
      await open(page, enter);
      await page.getByRole('button', { name: 'Verify' }).click();
      await expect(verdict(page)).toContainText('This entry could not be verified');
      await expect(page.locator('.step-fail')).toHaveCount(1);
      await expect(page.locator('.step-fail')).toContainText(title);
      await expect(verdict(page)).toContainText(title);
      const failed = await steps(page).evaluateAll((all) => all.map((s) => s.className.replace('step step-', '')));
      expect(failed.slice(failed.indexOf('fail') + 1).every((state) => state === 'unreached')).toBe(true);
      if (what === 'the record') {
        await picture(page, 'not-verified-desktop-light');
        await accessible(page);
      }
    });
  }

  test('fails where it must when the page itself was changed on the way', async ({ page, enter }) => {
    const entry = await oneOf(full, 'action:user.* actor.type:user');
    await page.route(`**/entries/${entry.id}`, async (route) => {
      const response = await route.fetch();
      const text = await response.text();
      await route.fulfill({ response, body: text.replaceAll(entry.actor.name, entry.actor.name + 'x') });
    });
    await enter(full, { at: entries + entry.id });
    await page.getByRole('button', { name: 'Verify' }).click();
    await expect(verdict(page)).toContainText('could not be verified');
    await expect(page.locator('.step-fail')).toContainText('The proof is of the entry on this page');
  });

  test.describe('when the proof does not come', () => {
    test.use({ expected: /ERR_FAILED|ERR_INTERNET_DISCONNECTED|Failed to load/ });

    test('says that nothing was checked', async ({ page, enter }) => {
      await page.route('**/proof', (route) => route.abort());
      await open(page, enter);
      await page.getByRole('button', { name: 'Verify' }).click();
      await expect(page.getByText('Nothing was checked')).toBeVisible();
    });
  });
});

test('the links to what is related show what they say', async ({ page, enter }) => {
  const entry = await oneOf(full, 'action:api_key.created actor.type:user');
  await enter(full, { at: entries + entry.id });
  const listed = async (name) => {
    const link = page.getByRole('link', { name }).first();
    const q = new URL(await link.getAttribute('href'), main.url).searchParams;
    return q;
  };
  expect((await listed('Same actor')).get('q')).toBe(`actor.id:${entry.actor.id}`);
  expect((await listed('Same target')).get('q')).toBe(`target.id:${entry.targets[0].id}`);
  const near = await listed('Same address ±15 minutes');
  expect(near.get('q')).toBe(`location:${entry.context.location}`);
  const around = 15 * 60 * 1000;
  expect([near.get('from'), near.get('to')].map(Date.parse)).toEqual([Date.parse(entry.occurred_at) - around, Date.parse(entry.occurred_at) + around]);
});
