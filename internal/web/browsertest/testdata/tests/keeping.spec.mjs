// How long entries are kept, legal holds, and taking a person out of the log.
import { test, expect, main, another, event, accessible, contained, picture } from '../stele.mjs';

const base = '/settings/security';
const day = 24 * 60 * 60;
const ada = { role: 'manager', person: { id: 'u_ada', name: 'Ada Tester' } };
const button = (page, name) => page.getByRole('button', { name, exact: true });
const events = (n, changes = {}) => Array.from({ length: n }, (_, i) => event({ targets: [{ type: 'api_key', id: `k_${i}`, name: `key ${i}` }], ...changes }));

const looks = [
  { name: 'desktop-light', width: 1280, height: 900, colorScheme: 'light' },
  { name: 'desktop-dark', width: 1280, height: 900, colorScheme: 'dark' },
  { name: 'phone-light', width: 360, height: 740, colorScheme: 'light' },
  { name: 'phone-dark', width: 360, height: 740, colorScheme: 'dark' },
];

// lookAt keeps pictures of a page as it is, which has nothing that axe finds: in
// all looks, or in the two that differ most.
async function lookAt(page, name, all = false) {
  for (const look of all ? looks : [looks[0], looks[3]]) {
    await page.setViewportSize({ width: look.width, height: look.height });
    await page.emulateMedia({ colorScheme: look.colorScheme });
    await picture(page, `keeping-${name}-${look.name}`);
    await contained(page);
    await accessible(page);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

test.describe('retention', () => {
  test.use({ expected: /status of 400/ });

  test('is changed: faults, rows, a preview, and what was hidden is gone', async ({ page, enter }) => {
    const server = await another();
    const org = await server.organization('Keeping Ltd', events(12));
    await server.record(org, ...events(5, { action: 'user.logged_in' }));
    await server.advance(100 * day);
    await server.record(org, ...events(3, { occurred_at: (await server.now()).toISOString() }));
    await enter(org, { ...ada, server, at: `${base}/retention` });
    await expect(page.getByText('for 365 days, from when they were received')).toBeVisible();
    await page.getByRole('link', { name: 'Change…' }).click();
    await expect(page.getByLabel('Entries are kept', { exact: true })).toHaveValue('365');
    await expect(page.getByLabel('Entries are kept, in days')).toBeHidden();

    await page.getByLabel('Entries are kept', { exact: true }).selectOption('Another number of days');
    await page.getByLabel('Entries are kept, in days').fill('7');
    await button(page, 'Add an event type').click();
    await expect(page.getByLabel('Event type, row 1')).toBeFocused();
    await page.keyboard.type('user.*d');
    await button(page, 'Save').click();
    await expect(page.getByText('Some fields need another look.')).toBeVisible();
    await lookAt(page, 'retention-faults');
    await page.getByLabel('Entries are kept', { exact: true }).selectOption('1 year');
    await page.getByLabel('Event type, row 1').fill('user.*');
    await page.getByLabel('Kept, row 1', { exact: true }).selectOption('10 years');
    await button(page, 'Add an event type').click();
    await page.getByLabel('Event type, row 2').fill('api_key.created');
    await button(page, 'Remove row 1, user.*').click();
    await expect(page.getByLabel('Event type, row 1')).toHaveValue('api_key.created');
    await lookAt(page, 'retention-edit');
    await page.getByLabel('Kept, row 1', { exact: true }).selectOption('Another number of days');
    await page.getByLabel('Kept, row 1, in days').fill('400');
    await page.keyboard.press('Enter');
    await expect(page.getByText('The retention is changed.')).toBeVisible();
    await expect(page.getByText('400 days')).toBeVisible();

    // What would go is counted first, and goes when that is confirmed.
    await page.getByRole('link', { name: 'Change…' }).click();
    await page.getByLabel('Kept, row 1', { exact: true }).selectOption('90 days');
    await button(page, 'Save').click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Hide 12 entries now?');
    await lookAt(page, 'retention-review', true);
    await button(page, 'Change').click();
    await expect(page.getByLabel('Event type, row 1')).toHaveValue('api_key.created');
    await button(page, 'Save').click();
    expect((await server.entries(org, 'action:api_key.created')).length).toBe(15);
    await button(page, 'Hide 12 entries, and save').click();
    await expect(page.getByText('What is past its time is hidden from now on.')).toBeVisible();
    expect((await server.entries(org, 'action:api_key.created')).length).toBe(3);
    expect((await server.entries(org, 'action:user.logged_in')).length).toBe(5);
    await lookAt(page, 'retention', true);

    await enter(org, { role: 'viewer', server, at: `${base}/retention` });
    await expect(page.getByText('90 days')).toBeVisible();
    await expect(page.getByRole('link', { name: 'Change…' })).toHaveCount(0);
    await expect(page.getByRole('link', { name: 'Legal holds' })).toHaveCount(0);
    await picture(page, 'keeping-retention-viewer-desktop-light');
  });
});

test.describe('holds', () => {
  test.use({ expected: /status of 400/ });

  test('a hold is placed, seen, changed and lifted', async ({ page, enter }) => {
    const org = await main.organization('Holding Ltd', [...events(20), ...events(4, { action: 'api_key.rotated', actor: { type: 'user', id: 'u_17', name: 'Grace Hopper' } })]);
    await enter(org, { ...ada, at: `${base}/holds` });
    await expect(page.getByRole('heading', { name: 'No legal holds' })).toBeVisible();
    await lookAt(page, 'holds-empty');
    await page.getByRole('link', { name: 'New hold' }).click();
    await expect(page.getByText('25 entries match now.')).toBeVisible(); // and that Ada opened the log
    const filter = page.getByLabel('Which entries');
    await filter.fill('actor:grace');
    await expect(page.getByRole('option').first()).toBeVisible();
    await page.getByRole('option', { name: /Grace Hopper u_17/ }).click();
    await expect(filter).toHaveValue(/^actor.id:u_17 ?$/);
    await filter.blur();
    await expect(page.getByText('4 entries match now.')).toBeVisible();
    await lookAt(page, 'hold-new', true);
    await filter.fill('actor.colour:red');
    await expect(page.getByText('unknown field "actor.colour"')).toBeVisible();
    await button(page, 'Place the hold').click();
    await expect(page.getByLabel('Which entries')).toHaveAttribute('aria-invalid', 'true');
    await page.getByLabel('Which entries').fill('actor:u_17');
    await page.getByLabel('Name').fill('Case 2026-117');
    await button(page, 'Place the hold').click();
    await expect(page.getByText('Is required: say what the entries are held for.')).toBeVisible();
    await expect(page.getByLabel('Name')).toHaveValue('Case 2026-117');
    await lookAt(page, 'hold-faults');
    await page.getByLabel('Reason').fill('Claim of a former employee.\nAsked for by <b>counsel</b>.');
    await button(page, 'Place the hold').click();
    await expect(page.getByText('The hold is in force.')).toBeVisible();
    await expect(page.getByText('4 entries held now')).toBeVisible();
    await lookAt(page, 'hold');

    await page.getByRole('link', { name: 'Edit' }).click();
    await page.getByLabel('Ends').fill('2030-01-01T12:00');
    await button(page, 'Save').click();
    await expect(page.getByText('1 Jan 2030, 12:00:00')).toBeVisible();
    await page.getByRole('link', { name: 'Legal holds' }).first().click();
    await expect(page.getByRole('listitem').filter({ hasText: 'Case 2026-117' }).getByText('4 entries held now')).toBeVisible();
    await page.getByRole('link', { name: /Actor is/ }).click();
    await expect(page.getByRole('heading', { name: /^4 events/ })).toBeVisible();
    await page.locator('[data-open]').first().click();
    await expect(page.getByRole('link', { name: 'Case 2026-117' })).toBeVisible();
    await picture(page, 'keeping-held-entry-desktop-light');

    await page.getByRole('link', { name: 'Case 2026-117' }).click();
    await page.getByRole('link', { name: 'Lift…' }).click();
    await button(page, 'Lift the hold').click();
    await expect(page.getByText('Say why it is lifted')).toBeVisible();
    await page.getByLabel('Why it is lifted').fill('Settled.');
    await lookAt(page, 'hold-lift');
    await button(page, 'Lift the hold').click();
    await expect(page.getByText('The hold is lifted.')).toBeVisible();
    await page.getByRole('link', { name: 'Every step of this hold' }).click();
    await expect(page.getByRole('heading', { name: /^3 events/ })).toBeVisible();
    await picture(page, 'keeping-hold-steps-desktop-light');
    await main.call('POST', `/v1/organizations/${org}/holds`, { name: 'Audit of payments', query: 'action:api_key.* -actor:u_17 after:2026-01-01', reason: 'The tax office asked for it.' });
    await page.setViewportSize({ width: 360, height: 740 });
    await page.goto(`${main.url}${base}/holds`);
    await expect(page.getByRole('link', { name: 'Erasure' })).toBeInViewport(); // the current section is scrolled to
    await expect(page.getByRole('heading', { name: 'Past holds' })).toBeVisible();
    await lookAt(page, 'holds', true);
  });
});

test('a person is erased, after a dry run, and entries say so', async ({ page, enter }) => {
  const name = 'Grace Brewster Hopper';
  const org = await main.organization('Erasing Ltd', [
    ...events(6, { actor: { type: 'user', id: 'u_grace', name } }),
    ...events(3, { actor: { type: 'user', id: 'u_alan', name: 'Alan Turing' } }),
    event({ action: 'user.invited', actor: { type: 'user', id: 'u_alan', name: 'Alan Turing' }, targets: [{ type: 'user', id: 'u_grace', name }] }),
  ]);
  await enter(org, { ...ada, at: `${base}/erasure` });
  await expect(page.getByRole('heading', { name: 'Nobody was erased yet' })).toBeVisible();
  await lookAt(page, 'erasures-empty');
  await page.getByRole('link', { name: 'Erase a person…' }).click();
  await lookAt(page, 'erasure-new');
  await page.getByLabel('Id of the person').fill('u_grace');
  await page.getByLabel('Reference').fill('DSR-214');
  await button(page, 'See what would be erased').click();
  await expect(page.getByText('The details of 7 entries would be erased, for good.')).toBeVisible();
  await lookAt(page, 'erasure-review', true);
  await button(page, 'Erase 7 entries for good').click();
  await expect(page.getByText('The details of 7 entries are erased')).toBeVisible();
  await lookAt(page, 'erasure', true);
  await page.getByRole('link', { name: 'Erasure' }).last().click();
  await expect(page.getByRole('row').filter({ hasText: 'DSR-214' })).toContainText('Done');
  await lookAt(page, 'erasures');

  expect(await main.entries(org, `"${name}"`)).toEqual([]);
  await page.goto(`${main.url}${base}/audit-log?range=all&q=actor:u_grace`);
  await expect(page.getByText('Details erased').first()).toBeVisible();
  await lookAt(page, 'erased-list');
  await page.locator('[data-open]').first().click();
  await expect(page.getByText('(request DSR-214)')).toBeVisible();
  await button(page, 'Verify').click();
  await expect(page.locator('.verdict')).toContainText('Verified, as far as it is there');
  await lookAt(page, 'erased-entry', true);
});
