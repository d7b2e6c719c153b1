// Getting in, and out again.
import { test, expect, main, another, full, empty, accessible, contained, picture } from '../stele.mjs';

const heading = (page) => page.getByRole('heading', { level: 1 });
const sessions = async (context) => (await context.cookies(main.url + '/settings/security/audit-log')).filter((cookie) => cookie.name === 'stele_session');
const log = /\/settings\/security\/audit-log$/;

test('a link opens the log of its organization', async ({ page }) => {
  await page.goto(await main.link(full, { person: { id: 'u_ada', name: 'Ada Tester' } }));
  await expect(page).toHaveURL(log);
  await expect(page.getByRole('banner')).toContainText('Corvane Logistics');
  await expect(page.getByRole('banner')).toContainText('Ada Tester');
});

test('a session lasts from page to page, and ends with sign-out', async ({ page, enter, context }) => {
  await enter(empty, { return_url: 'https://product.example/settings' });
  expect(await sessions(context)).toEqual([expect.objectContaining({ httpOnly: true, sameSite: 'Lax', path: '/settings/security', secure: false })]);
  await page.getByRole('navigation', { name: 'Security' }).getByRole('link', { name: 'Event types' }).click();
  await expect(heading(page)).toBeVisible();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(heading(page)).toHaveText('You are signed out');
  await expect(page.getByRole('link', { name: /^Back to/ })).toHaveAttribute('href', 'https://product.example/settings');
  expect(await sessions(context)).toEqual([]);
});

test.describe('what does not open', () => {
  // Pages are asked for by their address: a reload may meet the page showing itself
  // again in the browser's time zone.
  test.use({ expected: /the server responded with a status of 4\d\d/ });

  test('a link used twice', async ({ page, context, browser }) => {
    const link = await main.link(empty);
    await page.goto(link);
    await expect(page).toHaveURL(log);
    const other = await (await browser.newContext()).newPage();
    const res = await other.goto(link);
    expect(res.status()).toBe(409);
    await expect(heading(other)).toHaveText('This link was already used');
    await expect(other.getByText('it makes a new link')).toBeVisible();
    expect(await sessions(other.context())).toEqual([]);
    await other.context().close();
  });

  test('a link opened again where it was opened leads on to the log', async ({ page }) => {
    const link = await main.link(empty);
    await page.goto(link);
    await expect(page).toHaveURL(log);
    const res = await page.goto(link);
    expect(res.status()).toBe(409);
    await expect(heading(page)).toHaveText('This link was already used');
    await accessible(page);
    for (const [width, colorScheme] of [[1280, 'light'], [360, 'dark']]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await picture(page, `link-used-again-${width}-${colorScheme}`);
      await contained(page);
    }
    await page.getByRole('link', { name: 'Continue to the audit log' }).click();
    await expect(page).toHaveURL(log);
    await expect(page.getByRole('banner')).toContainText('Ada Tester');
  });

  test('an altered link', async ({ page, context }) => {
    const link = new URL(await main.link(empty));
    const token = link.searchParams.get('token');
    const [body, mac] = token.split('.');
    const forged = JSON.parse(Buffer.from(body, 'base64url'));
    forged.organization = full;
    const changed = [
      'abc.def', body, `${body}.`, `${mac}.${body}`,
      `${Buffer.from(JSON.stringify(forged)).toString('base64url')}.${mac}`,
      token.slice(0, -3) + (token.at(-3) === 'A' ? 'B' : 'A') + token.slice(-2),
    ];
    for (const wrong of changed) {
      const res = await page.goto(`${main.url}/portal/launch?token=${encodeURIComponent(wrong)}`);
      expect(res.status(), wrong).toBe(403);
      await expect(heading(page)).toHaveText('This link does not work');
      await expect(page.getByText('it makes a new link')).toBeVisible();
    }
    expect(await sessions(context)).toEqual([]);
    // The link itself still works: nobody can use it up for others.
    await page.goto(link.href);
    await expect(page).toHaveURL(log);
  });

  test('an expired link', async ({ page, hosts }) => {
    const server = await another();
    hosts.add(new URL(server.url).host);
    const org = await server.organization();
    const link = await server.link(org);
    await server.advance(5 * 60 + 1);
    const res = await page.goto(link);
    expect(res.status()).toBe(410);
    await expect(heading(page)).toHaveText('This link has expired');
    await expect(page.getByText('it makes a new link')).toBeVisible();
  });

  test('a session that expired', async ({ page, enter }) => {
    const server = await another();
    await enter(await server.organization(), { server });
    await server.advance(8 * 60 * 60 + 1);
    const res = await page.goto(server.url + '/settings/security/audit-log');
    expect(res.status()).toBe(401);
    await expect(heading(page)).toHaveText('Your session has ended');
  });

  test('a page without a session', async ({ page }) => {
    for (const path of ['audit-log', 'exports', 'event-types', 'retention', 'audit-log/entries/01ARZ3NDEKTSV4RRFFQ69G5FAV']) {
      const res = await page.goto(`${main.url}/settings/security/${path}`);
      expect(res.status(), path).toBe(401);
      await expect(heading(page)).toHaveText('Your session has ended');
    }
  });

  test('the log of an organization that was switched off meanwhile', async ({ page, enter }) => {
    const org = await main.organization();
    await enter(org);
    await main.call('PATCH', `/v1/organizations/${org}`, { state: 'inactive' });
    const res = await page.goto(main.url + '/settings/security/audit-log');
    expect(res.status()).toBe(403);
    await expect(heading(page)).toHaveText('The audit log is not switched on');
  });

  test('the pages of managers, for a viewer', async ({ page, enter }) => {
    await enter(empty);
    for (const name of ['Log streams', 'Legal holds', 'Erasure']) {
      await expect(page.getByRole('link', { name })).toHaveCount(0);
    }
    for (const path of ['log-streams', 'holds', 'erasure', 'retention/edit']) {
      const res = await page.goto(`${main.url}/settings/security/${path}`);
      expect(res.status()).toBe(403);
    }
    await enter(empty, { role: 'manager' });
    await page.getByRole('link', { name: 'Legal holds' }).click();
    await expect(heading(page)).toHaveText('Legal holds');
  });
});
