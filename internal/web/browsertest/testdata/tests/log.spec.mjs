// The list: finding who did what, and when.
import { test, expect, main, another, full, small, empty, event, accessible, contained, picture } from '../stele.mjs';

const log = '/settings/security/audit-log';
const rows = (page) => page.locator('[data-rows] > [data-entry]');
const ids = (page) => rows(page).evaluateAll((all) => all.map((row) => row.dataset.entry));
const box = (page) => page.getByLabel('Search and filter events');
const chips = (page) => page.getByRole('list', { name: 'Filters that are set' });
const listTitle = (page) => page.locator('#log-title');
const address = (page) => new URL(page.url()).searchParams;

// week is an organization's week: three people, two programs, 70 events.
function week() {
  const people = [['u_grace', 'Grace Hopper'], ['u_ada', 'Ada Lovelace'], ['u_alan', 'Alan Turing']];
  const actions = ['account.signed_in', 'document.updated', 'document.deleted', 'account.signed_in', 'team.member_added'];
  return Array.from({ length: 70 }, (_, i) => {
    const [id, name] = people[i % 3];
    return event({
      action: actions[i % actions.length],
      occurred_at: new Date(Date.parse('2026-11-18T14:00:00Z') - i * 2.4 * 3600_000).toISOString(),
      actor: i % 10 === 9 ? { type: 'system', id: 'sys_cron', name: 'Scheduler' } : { type: 'user', id, name },
      targets: [{ type: 'document', id: `d_${i % 7}`, name: `Plan ${i % 7}` }],
      context: { location: `203.0.113.${i % 4}` },
      ...(i % 11 === 10 && { metadata: { outcome: 'denied' } }),
    });
  }).reverse();
}

// weekOf makes an organization with a week, and says what of it a filter finds,
// without what the tests themselves do there.
async function weekOf(name) {
  const org = await main.organization(name, week());
  return { org, find: async (q) => (await main.entries(org, `-action:audit_log.* ${q}`)).map((entry) => entry.id) };
}

test.describe('a week', () => {
  let org;
  let find;
  test.beforeAll(async () => ({ org, find } = await weekOf('Week Ltd')));

  test('shows what the API finds, the newest first', async ({ page, enter }) => {
    await enter(org, { at: `${log}?q=-action:audit_log.*` });
    await expect(listTitle(page)).toContainText('70 events');
    const wanted = await find('');
    const shown = await ids(page);
    expect(shown).toEqual(wanted.slice(0, shown.length));
    const first = rows(page).first();
    await expect(first).toContainText('Grace Hopper');
    await expect(first).toContainText('account.signed_in');
    await expect(first).toContainText('203.0.113.0');
    await expect(page.getByText('Kept for 365 days, from')).toBeVisible();
    await expect(page.getByText(/Complete up to entry \d+, recorded/)).toBeVisible();
  });

  test('a denied outcome is marked in words', async ({ page, enter }) => {
    await enter(org, { at: `${log}?q=metadata.outcome:denied` });
    const wanted = await find('metadata.outcome:denied');
    await expect(rows(page)).toHaveCount(wanted.length);
    for (const row of await rows(page).all()) {
      await expect(row).toContainText(/denied|failed/i);
    }
  });

  test('filters are set by click, changed and removed', async ({ page, enter }) => {
    await enter(org, { at: log });
    await page.locator('summary').filter({ hasText: /^Actor/ }).click();
    const menu = page.locator('details[open]');
    await menu.getByLabel('Grace Hopper').check();
    await menu.getByRole('button', { name: 'Apply' }).first().click();
    await expect(chips(page)).toContainText('Grace Hopper');
    const graces = await find('actor.id:u_grace');
    await expect(listTitle(page)).toContainText(`${graces.length} events`);
    await expect.poll(async () => (await ids(page)).filter((id) => !graces.includes(id))).toEqual([]);
    await expect.poll(() => address(page).get('q')).toBe('actor.id:u_grace');

    // A second filter narrows, a second value of one widens.
    await page.locator('summary').filter({ hasText: /^Event type|^Action/ }).click();
    await page.locator('details[open]').getByLabel(/document\.deleted/).check();
    await page.locator('details[open]').getByRole('button', { name: 'Apply' }).first().click();
    const deleted = await find('actor.id:u_grace action:document.deleted');
    await expect(listTitle(page)).toContainText(`${deleted.length} event`);
    await expect(chips(page).getByRole('listitem').filter({ hasText: 'document.deleted' })).toHaveCount(1);

    // A chip is changed where it is.
    await chips(page).locator('summary').filter({ hasText: 'document.deleted' }).click();
    await page.locator('details[open]').getByLabel('Value', { exact: true }).fill('document.updated');
    await page.locator('details[open]').getByRole('button', { name: 'Apply' }).click();
    const updated = await find('actor.id:u_grace action:document.updated');
    await expect(listTitle(page)).toContainText(`${updated.length} events`);
    await expect.poll(() => ids(page)).toEqual(updated);

    // And removed.
    await page.getByRole('link', { name: /^Remove filter: Actor/ }).click();
    await expect(listTitle(page)).toContainText(`${(await find('action:document.updated')).length} events`);
    await page.getByRole('link', { name: /^Remove filter/ }).click();
    await expect(chips(page)).toHaveCount(0);
    await expect.poll(() => address(page).get('q') ?? '').toBe('');

    // Back goes through all of it.
    await page.goBack();
    await page.goBack();
    await expect(listTitle(page)).toContainText(`${updated.length} events`);
    await expect(chips(page).getByRole('listitem').filter({ hasText: 'Grace Hopper' })).toHaveCount(1);
  });

  test('filters are typed, completed by keyboard', async ({ page, enter }) => {
    await enter(org, { at: log });
    await page.keyboard.press('/');
    await expect(box(page)).toBeFocused();
    await page.keyboard.type('act');
    const option = (text) => page.getByRole('option').filter({ hasText: text });
    await expect(option(/^action/).first()).toBeVisible();
    await page.keyboard.press('ArrowDown');
    await expect(box(page)).toHaveAttribute('aria-activedescendant', /.+/);
    await page.keyboard.press('Enter');
    await expect(box(page)).toHaveValue(/^action:/);
    await page.keyboard.type('doc');
    await expect(option('document.deleted')).toContainText(String((await find('action:document.deleted')).length));
    await accessible(page);
    while (!(await page.locator('[role=option][aria-selected=true]').filter({ hasText: 'document.deleted' }).count())) {
      await page.keyboard.press('ArrowDown');
    }
    await page.keyboard.press('Enter');
    await expect(box(page)).toHaveValue('action:document.deleted ');
    await page.keyboard.type('Ada');
    await page.keyboard.press('Enter');
    const wanted = await find('action:document.deleted Ada');
    await expect(listTitle(page)).toContainText(`${wanted.length} event`);
    await expect.poll(() => ids(page)).toEqual(wanted);
  });

  test.describe('a filter that is wrong', () => {
    test.use({ expected: /status of 4\d\d/ });

    test('is said at the box, and hides no rows quietly', async ({ page, enter }) => {
      await enter(org, { at: log });
      await box(page).fill('actor.typo:x');
      await box(page).press('Enter');
      await expect(page.getByRole('alert').filter({ hasText: 'actor.typo' })).toBeVisible();
      await expect(box(page)).toHaveValue('actor.typo:x');
      await expect(box(page)).toHaveAttribute('aria-invalid', 'true');
      await expect(rows(page)).toHaveCount(0);
      await expect(page.getByText('nothing is shown')).toBeVisible();
      await picture(page, 'wrong-filter-desktop-light');
      await accessible(page);
      await box(page).fill('actor.id:u_ada');
      await box(page).press('Enter');
      await expect(listTitle(page)).toContainText(`${(await find('actor.id:u_ada')).length} events`);
    });
  });

  const bars = (page) => page.locator('[data-bars] a');
  const count = async (bar) => Number((await bar.getAttribute('aria-label')).match(/: ([\d,]+)/)[1].replaceAll(',', ''));
  const sum = async (all) => (await Promise.all(all.map(count))).reduce((a, b) => a + b, 0);

  test('a bar of the histogram narrows the range', async ({ page, enter }) => {
    await enter(org, { at: `${log}?range=7d&q=-action:audit_log.*` });
    const bar = bars(page).nth(10);
    const wanted = await count(bar);
    await bar.hover();
    await expect(page.locator('[data-tip]')).toContainText(`: ${wanted}`);
    await bar.click();
    await expect(listTitle(page)).toContainText(`${wanted} event`);
    await expect.poll(() => address(page).get('range')).toBe('custom');
    await page.goBack();
    await expect(listTitle(page)).toContainText('7 days');
  });

  test('dragging over the histogram narrows the range', async ({ page, enter }) => {
    await enter(org, { at: `${log}?range=7d&q=-action:audit_log.*` });
    const all = await bars(page).all();
    const [from, to] = [await all[4].boundingBox(), await all[15].boundingBox()];
    const wanted = await sum(all.slice(4, 16));
    const y = from.y + from.height / 2;
    await page.mouse.move(from.x + from.width / 2, y);
    await page.mouse.down();
    await page.mouse.move(to.x - 20, y);
    await page.mouse.move(to.x + to.width / 2, y);
    await expect(page.locator('[data-tip]')).toContainText(`: ${wanted} events`);
    await page.mouse.up();
    await expect(listTitle(page)).toContainText(`${wanted} events`);
    await expect.poll(() => address(page).get('range')).toBe('custom');
    await expect(rows(page)).not.toHaveCount(0);
  });

  test('the keyboard narrows the range on the histogram', async ({ page, enter }) => {
    await enter(org, { at: `${log}?range=7d&q=-action:audit_log.*` });
    const all = await bars(page).all();
    await all.at(-1).focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('Shift+ArrowRight');
    const wanted = await sum(all.slice(2, 5));
    await page.keyboard.press('Enter');
    await expect(listTitle(page)).toContainText(`${wanted} event`);
  });

  test('dates: a preset, and a range of one\'s own', async ({ page, enter }) => {
    await enter(org, { at: `${log}?q=-action:audit_log.*` });
    const dates = page.locator('#menu-dates');
    await dates.locator('summary').click();
    await dates.getByRole('link', { name: /24 hours/ }).click();
    await expect(page).toHaveURL(/range=24h/);
    await expect(listTitle(page)).toContainText(/24 hours/);
    await dates.locator('summary').click();
    await dates.getByLabel(/^From/).fill('2026-11-16T00:00');
    await dates.getByLabel(/^To/).fill('2026-11-17T00:00');
    await dates.getByRole('button', { name: 'Show this range' }).click();
    const wanted = await find('after:2026-11-16T00:00:00+01:00 before:2026-11-17T00:00:00+01:00');
    await expect(listTitle(page)).toContainText(`${wanted.length} events`);
    await expect.poll(() => ids(page)).toEqual(wanted);
  });

  test('times are in the zone of the browser, or in UTC', async ({ page, enter }) => {
    await enter(org, { at: log });
    const time = rows(page).last().locator('time');
    const zones = page.getByRole('group', { name: 'Time zone' });
    await expect(zones.locator('[aria-current=true]')).toHaveText('Europe/Berlin');
    const berlin = await time.getAttribute('title');
    const at = await time.getAttribute('datetime');
    await zones.getByRole('link', { name: 'UTC' }).click();
    await expect(zones.locator('[aria-current=true]')).toHaveText('UTC');
    await expect(time).toHaveAttribute('datetime', at);
    await expect(time).not.toHaveAttribute('title', berlin);
    await expect(time).toHaveAttribute('title', /UTC/);
    await zones.getByRole('link', { name: /Local|Berlin/ }).click();
    await expect(time).toHaveAttribute('title', berlin);

    // Another one is for every page, and lasts.
    await page.locator('#menu-dates summary').click();
    await page.getByRole('textbox', { name: 'Time zone' }).fill('Asia/Kathmandu');
    await page.getByRole('button', { name: 'Show times in it' }).click();
    await expect(time).toHaveAttribute('title', /Asia\/Kathmandu$/);
    await expect.poll(() => address(page).has('tz') || address(page).has('keep')).toBe(false);
    await page.getByRole('link', { name: 'Export…' }).click();
    await expect(page.getByText('(Asia/Kathmandu)')).toBeAttached();
    await page.getByRole('link', { name: 'Audit log', exact: true }).click();
    await expect(zones.locator('[aria-current=true]')).toHaveText('Asia/Kathmandu');
    await zones.getByText('Asia/Kathmandu').click();
    await expect(zones.locator('[aria-current=true]')).toHaveText('Europe/Berlin');
  });

  test('details open in place, with an address of their own', async ({ page, enter }) => {
    await enter(org, { at: `${log}?q=-action:audit_log.*` });
    const list = page.url();
    const row = rows(page).nth(20);
    await row.scrollIntoViewIfNeeded();
    await row.getByRole('link').first().click();
    const details = page.getByRole('region', { name: /^Details/ });
    const id = await row.getAttribute('data-entry');
    await expect(details.getByText(id).first()).toBeVisible();
    await expect(page).toHaveURL(new RegExp(`/entries/${id}`));
    await expect(rows(page).first()).toBeAttached();
    await page.goBack();
    await expect(details).toHaveCount(0);
    await expect(page).toHaveURL(list);
    await page.goForward();
    await expect(details.getByText(id).first()).toBeVisible();

    // Next and before, without leaving the list.
    await details.getByRole('link', { name: 'Older entry' }).click();
    await expect(page).toHaveURL(new RegExp(`/entries/${await rows(page).nth(21).getAttribute('data-entry')}`));
    await expect(details).toHaveCount(1);
    await details.getByRole('link', { name: 'Close the details' }).click();
    await expect(details).toHaveCount(0);
    await expect(page).toHaveURL(list);

    // The address is that of a page.
    await row.getByRole('link').first().click();
    await expect(details.getByText(id).first()).toBeVisible();
    await page.reload();
    await expect(page.getByRole('heading', { level: 1 })).toContainText(/./);
    await expect(page.getByText(id).first()).toBeVisible();
    await page.getByRole('main').getByRole('link', { name: 'Audit log' }).click();
    await expect(rows(page).first()).toBeVisible();
  });

  test('what is related is one click away', async ({ page, enter }) => {
    await enter(org, { at: `${log}?q=action:document.deleted` });
    await rows(page).nth(1).getByRole('link').first().click();
    const details = page.getByRole('region', { name: /^Details/ });
    const actor = (await find('action:document.deleted'))[1];
    const entry = (await main.entries(org, 'action:document.deleted')).find((e) => e.id === actor);
    await details.getByRole('link', { name: 'Same actor' }).click();
    await expect(listTitle(page)).toContainText(`${(await find(`actor.id:${entry.actor.id}`)).length} events`);
    await page.goBack();
    await expect(page.getByRole('main').getByText(entry.id).first()).toBeVisible();
    await page.getByRole('link', { name: 'Same address ±15 minutes' }).click();
    await expect(rows(page)).toHaveCount(1);
    await expect(rows(page).first()).toHaveAttribute('data-entry', entry.id);
  });

  test('an address is a view, for a colleague too', async ({ page, enter, browser }) => {
    await enter(org, { at: log });
    await box(page).fill('actor.type:system');
    await box(page).press('Enter');
    const wanted = await find('actor.type:system');
    await expect(listTitle(page)).toContainText(`${wanted.length} events`);
    const shared = page.url();
    const colleague = await (await browser.newContext()).newPage();
    await colleague.goto(await main.link(org, { person: { id: 'u_colleague', name: 'A Colleague' } }));
    await colleague.goto(shared);
    expect(await ids(colleague)).toEqual(wanted);
    await colleague.context().close();
  });

  test('the export of the list holds what is listed', async ({ page, enter }) => {
    await enter(org, { at: `${log}?q=actor.type:system&range=7d` });
    await page.getByRole('main').getByRole('link', { name: /^Export/ }).click();
    await page.waitForURL(/exports/);
    await expect(page.getByLabel('Filter')).toHaveValue('actor.type:system');
    await expect(page.getByText(/It will hold about/)).toContainText(String((await find('actor.type:system after:2026-11-11T16:00:00Z')).length));
  });

  test('with keys alone: search, walk, open, verify, help', async ({ page, enter }) => {
    await enter(org, { at: log });
    await page.keyboard.press('/');
    await page.keyboard.type('action:document.deleted');
    await page.keyboard.press('Enter');
    const wanted = await find('action:document.deleted');
    await expect(listTitle(page)).toContainText(`${wanted.length} events`);
    await page.keyboard.press('Tab'); // out of the box, where letters are letters
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('k');
    await expect(rows(page).nth(1).getByRole('link').first()).toBeFocused();
    await page.keyboard.press('Enter');
    const details = page.getByRole('region', { name: /^Details/ });
    await expect(details.getByText(wanted[1]).first()).toBeVisible();
    await page.keyboard.press('v');
    await expect(page.locator('.verdict')).toContainText('Verified');
    await page.keyboard.press('Escape');
    await expect(details).toHaveCount(0);
    await expect(rows(page).nth(1).getByRole('link').first()).toBeFocused();
    await page.keyboard.press('?');
    await expect(page.getByRole('dialog', { name: 'Keyboard' })).toBeVisible();
    await accessible(page);
    await page.keyboard.press('Escape');
    await expect(page.getByRole('dialog')).toHaveCount(0);
    // To the export, and out of it, by Tab and Enter.
    await page.getByRole('main').getByRole('link', { name: /^Export/ }).focus();
    await page.keyboard.press('Enter');
    await page.waitForURL(/exports/);
    await page.getByRole('button', { name: 'Make export' }).focus();
    await page.keyboard.press('Enter');
    await expect(page.getByRole('heading', { name: 'The file is ready' })).toBeVisible();
  });

  test('every stop of Tab can be seen', async ({ page, enter }) => {
    await enter(org, { at: `${log}?q=actor.type:system` });
    await page.locator('body').press('Tab');
    const seen = new Set();
    for (let i = 0; i < 40; i++) {
      const stop = await page.evaluate(() => {
        const at = document.activeElement;
        const rect = at.getBoundingClientRect();
        const ringed = (el) => {
          const style = getComputedStyle(el);
          return (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1) || style.boxShadow !== 'none';
        };
        const within = at.closest('.log-box, .entry-line, [data-bars] a'); // they show it around what has it
        const parts = within ? [within, ...within.querySelectorAll('*')] : [at];
        return { is: at.outerHTML.slice(0, 80), shown: rect.width > 0 && rect.height > 0, ring: parts.some(ringed) || parts.some((el) => getComputedStyle(el).stroke !== 'none') };
      });
      if (stop.is.startsWith('<body')) {
        break;
      }
      expect(stop, stop.is).toMatchObject({ shown: true, ring: true });
      seen.add(stop.is);
      await page.keyboard.press('Tab');
    }
    expect(seen.size).toBeGreaterThan(15);
  });

  test.describe('without scripts', () => {
    test.use({ javaScriptEnabled: false });

    test('the time zone that was chosen is that of every page', async ({ page, enter }) => {
      await enter(org, { at: log });
      const time = rows(page).last().locator('time');
      await expect(time).toHaveAttribute('title', /UTC$/);
      const zone = page.getByRole('textbox', { name: 'Time zone' });
      await page.locator('#menu-dates summary').click();
      await zone.fill('Nowhere');
      await page.getByRole('button', { name: 'Show times in it' }).click();
      await expect(page.getByText('This is not a time zone')).toBeVisible();
      await zone.fill('Asia/Kathmandu');
      await page.getByRole('button', { name: 'Show times in it' }).click();
      await expect(time).toHaveAttribute('title', /Asia\/Kathmandu$/);
      await page.getByRole('link', { name: 'Export…' }).click();
      await expect(page.getByText('(Asia/Kathmandu)')).toBeAttached();
      await page.getByRole('button', { name: 'Make export' }).click();
      await expect(page.getByRole('heading', { level: 1 })).toHaveText(/^Export of .* Asia\/Kathmandu$/);
      await page.getByRole('link', { name: 'Audit log', exact: true }).click();
      await expect(time).toHaveAttribute('title', /Asia\/Kathmandu$/);
      await page.getByRole('group', { name: 'Time zone' }).getByRole('link', { name: 'UTC' }).click();
      await expect(time).toHaveAttribute('title', /UTC$/);
    });

    test('one browses, filters, opens and exports', async ({ page, enter }) => {
      await enter(org, { at: `${log}?q=-action:audit_log.*` });
      await expect(listTitle(page)).toContainText('70 events');
      const search = page.getByLabel('Search and filter events');
      await search.fill('actor.id:u_grace');
      await search.press('Enter');
      const graces = await find('actor.id:u_grace');
      await expect(listTitle(page)).toContainText(`${graces.length} events`);
      await page.locator('summary').filter({ hasText: /^Event type|^Action/ }).click();
      await page.locator('details[open]').getByLabel(/document\.deleted/).check();
      await page.locator('details[open]').getByRole('button', { name: 'Apply' }).first().click();
      const wanted = await find('actor.id:u_grace action:document.deleted');
      await expect.poll(() => ids(page)).toEqual(wanted);
      await rows(page).first().getByRole('link').first().click();
      await expect(page.getByText(wanted[0]).first()).toBeVisible();
      await page.getByRole('main').getByRole('link', { name: 'Audit log' }).click();
      await expect(rows(page)).toHaveCount(wanted.length);
      await page.getByRole('link', { name: /^Remove filter: Actor/ }).click();
      await page.locator('[data-bars] a').last().click();
      await expect(page).toHaveURL(/range=custom/);
      await page.getByRole('main').getByRole('link', { name: /^Export/ }).click();
      await page.getByRole('button', { name: 'Make export' }).click();
      await expect(page.getByRole('heading', { level: 1 })).toContainText('Export of');
    });
  });
});

test('pages by cursor, and back to where one was', async ({ page, enter }) => {
  await enter(full, { at: `${log}?range=90d&q=-action:audit_log.*` });
  const first = await ids(page);
  await page.getByRole('link', { name: 'Older' }).click();
  await expect(rows(page).first()).not.toHaveAttribute('data-entry', first[0]);
  const second = await ids(page);
  const wanted = await main.call('GET', `/v1/organizations/${full}/events?${new URLSearchParams({ q: '-action:audit_log.*', limit: first.length + second.length })}`);
  expect([...first, ...second]).toEqual(wanted.entries.map((entry) => entry.id));
  await rows(page).nth(12).scrollIntoViewIfNeeded();
  await page.evaluate(() => scrollTo(0, 600));
  await page.getByRole('link', { name: 'Older' }).click();
  await expect(rows(page).first()).not.toHaveAttribute('data-entry', second[0]);
  await page.goBack();
  await expect(rows(page).first()).toHaveAttribute('data-entry', second[0]);
  await page.goBack();
  await expect(rows(page).first()).toHaveAttribute('data-entry', first[0]);
  await page.goForward();
  await page.getByRole('link', { name: 'Newer' }).click();
  await expect(rows(page).first()).toHaveAttribute('data-entry', first[0]);
  await expect.poll(() => ids(page)).toEqual(first);
});

test.describe('never a false calm', () => {
  test('no rows: which filter hides how many, and what would show some', async ({ page, enter }) => {
    const { org, find } = await weekOf('Calm Ltd');
    await enter(org, { at: `${log}?q=actor.id:u_grace+metadata.nothing:x&range=7d` });
    await expect(page.getByRole('heading', { name: /No events match/ })).toBeVisible();
    const reasons = page.getByRole('list', { name: 'What hides events' });
    const inRange = await find('actor.id:u_grace after:2026-11-11T17:00:00Z');
    await expect(reasons).toContainText(`hides ${inRange.length} events`);
    await picture(page, 'no-rows-desktop-light');
    await accessible(page);
    await reasons.getByRole('link', { name: /metadata\.nothing/ }).click();
    await expect(listTitle(page)).toContainText(`${inRange.length} events`);
  });

  test('a range without events offers a longer one', async ({ page, enter }) => {
    const old = await main.organization('Old Ltd', [event({ action: 'door.opened', occurred_at: '2026-01-15T12:00:00Z' })]);
    await enter(old, { at: `${log}?q=action:door.opened` });
    await expect(page.getByRole('heading', { name: /No events match/ })).toBeVisible();
    const longer = page.getByRole('list', { name: 'Longer ranges' });
    await longer.getByRole('link', { name: /year|All|all/ }).first().click();
    await expect(rows(page)).toHaveCount(1);
  });

  test('an empty log says so, and what to expect', async ({ page, enter }) => {
    // Opening it is itself an entry.
    await enter(empty, { at: `${log}?q=-action:audit_log.*` });
    await expect(page.getByText(/No events (yet|match)/)).toBeVisible();
  });

  test.describe('an error', () => {
    test.use({ expected: /status of 5\d\d/ });

    test('says so, keeps the filters and offers to try again', async ({ page, enter }) => {
      const { org, find } = await weekOf('Broken Ltd');
      await enter(org, { at: log });
      await expect(rows(page)).not.toHaveCount(0);
      await main.failSearches(org, 1);
      await box(page).fill('actor.id:u_ada');
      await box(page).press('Enter');
      await expect(page.getByRole('alert')).toBeVisible();
      await expect(box(page)).toHaveValue('actor.id:u_ada');
      await expect(rows(page)).toHaveCount(0);
      await picture(page, 'error-desktop-light');
      await accessible(page);
      await page.getByRole('link', { name: 'Try again' }).click();
      const wanted = await find('actor.id:u_ada');
      await expect(listTitle(page)).toContainText(`${wanted.length} events`);
      await expect.poll(() => ids(page)).toEqual(wanted);

      // And when the page is loaded, not put in place.
      await main.failSearches(org, 1);
      const res = await page.goto(`${main.url}${log}?q=actor.id:u_grace`);
      expect(res.status()).toBeGreaterThanOrEqual(500);
      await expect(page.getByText(/Request id/i)).toBeVisible();
      await page.getByRole('link', { name: 'Try again' }).click();
      await expect(listTitle(page)).toContainText(`${(await find('actor.id:u_grace')).length} events`);
    });
  });
});

test('rows arrive live, without losing the place', async ({ page, enter }) => {
  const { org } = await weekOf('Live Ltd');
  await enter(org, { at: log });
  const before = await rows(page).count();
  await page.getByRole('button', { name: /live/i }).click();
  await expect(page.locator('[data-live]')).toHaveAttribute('data-state', 'live');
  await main.record(org, event({ action: 'door.opened', occurred_at: (await main.now()).toISOString(), actor: { type: 'user', id: 'u_new', name: 'Newcomer' } }));
  await expect(rows(page).first()).toContainText('Newcomer');
  await expect(rows(page)).toHaveCount(before + 1);

  // While somebody reads, rows wait.
  await rows(page).nth(8).getByRole('link').first().click();
  const details = page.getByRole('region', { name: /^Details/ });
  await expect(details.locator('[data-detail]')).toBeVisible();
  const place = (await details.boundingBox()).y;
  await main.record(org, event({ action: 'door.closed', occurred_at: (await main.now()).toISOString(), actor: { type: 'user', id: 'u_new', name: 'Latecomer' } }));
  const pill = page.getByRole('button', { name: /1 new event/ });
  await expect(pill).toBeVisible();
  expect((await details.boundingBox()).y).toBe(place);
  await accessible(page);
  await page.keyboard.press('Escape');
  await pill.click();
  await expect(rows(page).first()).toContainText('Latecomer');
});

test('the histogram and the number of events follow live rows', async ({ page, enter }) => {
  const server = await another();
  const org = await server.organization('Counting Ltd', Array.from({ length: 9 }, () => event()));
  const now = (action) => server.now().then((at) => event({ action, occurred_at: at.toISOString() }));
  const asked = [];
  page.on('request', (request) => request.url().includes('/audit-log/histogram?') && asked.push(request.url()));
  await enter(org, { server, at: `${log}?range=24h&q=-action:audit_log.*` });
  const bars = page.locator('[data-bars] a');
  const last = bars.last();
  await expect(last).toHaveAttribute('aria-label', /: 0$/);
  await last.evaluate((bar) => { globalThis.first = bar; });
  await page.getByRole('button', { name: /live/i }).click();
  await expect(page.locator('[data-live]')).toHaveAttribute('data-state', 'live');
  await last.focus();
  for (let i = 1; i <= 12; i++) await server.record(org, await now('door.opened'));
  await expect(last).toHaveAttribute('aria-label', /: 12$/);
  await expect(last.locator('.bar')).toHaveAttribute('height', '100%'); // it is the highest now
  await expect(page.locator('[data-bars] .bar').first()).toHaveAttribute('height', '75%');
  await expect(page.locator('[data-tip]')).toHaveText(/: 12$/);
  await expect(page.locator('[data-chart-rows] td').last()).toHaveText('12');
  await expect(listTitle(page)).toContainText('21 events · 12 new');
  await expect(last).toBeFocused();
  expect(await page.evaluate(() => globalThis.first.isConnected)).toBe(true);
  expect(asked).toEqual([]);
  await accessible(page);

  // What is later than the last bar has the server count once, and the keyboard
  // stays where it is.
  await server.advance(3600);
  await server.record(org, await now('door.closed'));
  await expect(last).toHaveAttribute('aria-label', /: 1$/);
  await expect(last).toBeFocused();
  await expect(listTitle(page)).toContainText('22 events · 13 new');
  expect(asked).toHaveLength(1);
  // In the order of the log: what is counted is counted once.
  await server.record(org, await now('door.opened'));
  await expect(last).toHaveAttribute('aria-label', /: 2$/);
  await expect(listTitle(page)).toContainText('23 events · 14 new');
  expect(asked).toHaveLength(1);
});

test.describe('with less motion', () => {
  test.use({ reducedMotion: 'reduce' });

  test('nothing moves by itself', async ({ page, enter }) => {
    await enter(full, { at: log });
    const moving = await page.evaluate(() => document.getAnimations().length + [...document.querySelectorAll('*')].filter((el) => {
      const style = getComputedStyle(el);
      return [style.transitionDuration, style.animationDuration].some((d) => d.split(',').some((one) => parseFloat(one) > 0.01));
    }).length);
    expect(moving).toBe(0);
  });
});
