// The pages inside the product's own.
import { test, expect, another, product, event, picture } from '../stele.mjs';

const origin = new URL(product()).origin;
// The same server under another name is another site to a browser.
const foreign = origin.replace('127.0.0.1', 'localhost');

async function show(page, hosts, server, at, link) {
  hosts.add(new URL(server.url).host).add(new URL(at).host);
  await page.goto(product(at, server, link));
  return page.frameLocator('stele-audit-log iframe');
}

test('the log is shown in a frame that is as high as it is', async ({ page, hosts }) => {
  const server = await another({ frame_ancestors: [origin] });
  const org = await server.organization('Framed Ltd', Array.from({ length: 40 }, () => event()));
  const frame = await show(page, hosts, server, origin, await server.link(org));
  await expect(frame.getByRole('heading', { level: 1 })).toHaveText('Audit log');
  await expect(frame.getByRole('banner')).toHaveCount(0);
  const inside = () => frame.locator('body').evaluate((body) => Math.ceil(body.getBoundingClientRect().height));
  const outside = async () => Math.round((await page.locator('iframe').boundingBox()).height);
  await expect.poll(async () => (await outside()) - (await inside())).toBe(0);
  const whole = await outside();

  // Another page of it is in the frame too, still without a header, and has its
  // own height.
  await frame.getByRole('link', { name: 'Event types' }).click();
  await expect(frame.getByRole('heading', { level: 1 })).toHaveText('Event types');
  await expect(frame.getByRole('banner')).toHaveCount(0);
  await expect.poll(outside).not.toBe(whole);
  await expect.poll(async () => (await outside()) - (await inside())).toBe(0);
  await picture(page, 'embedded-desktop-light');
});

test.describe('in another site', () => {
  test.use({ ignoreHTTPSErrors: true });

  test('the session lasts from page to page, in that site only', async ({ page, hosts, context }) => {
    const server = await another({ frame_ancestors: [foreign], tls: true });
    const org = await server.organization('Foreign Ltd', [event()]);
    const frame = await show(page, hosts, server, foreign, await server.link(org));
    await expect(frame.getByRole('heading', { level: 1 })).toHaveText('Audit log');
    await frame.getByRole('link', { name: 'Exports' }).click();
    await frame.getByRole('link', { name: 'Make the first export' }).click();
    await frame.getByRole('button', { name: 'Make export' }).click();
    await expect(frame.getByRole('heading', { name: 'The file is ready' })).toBeVisible();
    const session = (await context.cookies()).find((cookie) => cookie.name === 'stele_session');
    expect(session).toMatchObject({ secure: true, sameSite: 'None', httpOnly: true });
    expect(session.partitionKey).toBeTruthy();
  });
});

test.describe('every page of a manager, by its links and forms', () => {
  test.use({ ignoreHTTPSErrors: true });

  for (const [where, at, tls] of [['in the same site', origin, false], ['in another site', foreign, true]]) {
    test(`stays in the mode of the frame ${where}, and only there`, async ({ page, hosts, context }) => {
      const server = await another({ frame_ancestors: [at], tls });
      const org = await server.organization('Framed Ltd', Array.from({ length: 3 }, () => event()));
      const frame = await show(page, hosts, server, at, await server.link(org, { role: 'manager' }));
      const heading = frame.getByRole('heading', { level: 1 });
      const button = (name) => frame.getByRole('button', { name, exact: true });
      const section = (name) => frame.getByRole('navigation', { name: 'Security' }).getByRole('link', { name }).click();
      const shows = async (title) => {
        await expect(heading).toHaveText(title);
        await expect(frame.getByRole('navigation', { name: 'Security' })).toBeVisible();
        await expect(frame.getByRole('banner')).toHaveCount(0);
        await expect(frame.locator('html')).toHaveClass(/embed/);
      };
      await shows('Audit log');

      await section('Exports');
      await frame.getByRole('link', { name: 'Make the first export' }).click();
      await frame.getByText('for an auditor, a ZIP').click();
      await button('Make export').click();
      await shows(/^Export of/);
      await expect(frame.getByRole('heading', { name: 'The file is ready' })).toBeVisible();
      await frame.getByRole('link', { name: 'Show in the log' }).click();
      await shows('Audit log');

      await section('Event types');
      await shows('Event types');
      await section('Log streams');
      await frame.getByRole('link', { name: 'Add a log stream' }).first().click();
      await shows('Add a log stream');

      await section('Retention and access');
      await frame.getByRole('link', { name: 'Change…' }).click();
      await frame.getByLabel('Entries are kept', { exact: true }).selectOption('10 years');
      await button('Save').click();
      await expect(frame.getByText('The retention is changed.')).toBeVisible();
      await shows('Retention and access');

      await section('Legal holds');
      await frame.getByRole('link', { name: 'New hold' }).click();
      await frame.getByLabel('Which entries').fill('actor:u_grace');
      await frame.getByLabel('Name').fill('Case 117');
      await frame.getByLabel('Reason').fill('Asked for.');
      await button('Place the hold').click();
      await expect(frame.getByText('The hold is in force.')).toBeVisible();
      await shows('Case 117');
      await frame.getByRole('link', { name: 'Lift…' }).click();
      await frame.getByLabel('Why it is lifted').fill('Settled.');
      await button('Lift the hold').click();
      await expect(frame.getByText('The hold is lifted.')).toBeVisible();
      await shows('Case 117');

      await section('Erasure');
      await frame.getByRole('link', { name: 'Erase a person…' }).click();
      await frame.getByLabel('Id of the person').fill('u_grace');
      await button('See what would be erased').click();
      await frame.getByRole('button', { name: /^Erase \d+ entries for good$/ }).click();
      await expect(frame.getByText(/^The details of \d+ entries are erased/)).toBeVisible();
      await expect(frame.getByRole('banner')).toHaveCount(0);

      // No address carries the mode out of the frame: a page of it in a window of
      // its own has its header.
      if (tls) return; // where another site's session is not there
      await section('Audit log');
      const opened = context.waitForEvent('page');
      await frame.locator('[data-open]').first().click({ modifiers: ['ControlOrMeta'] });
      const own = await opened;
      await expect(own.getByRole('banner')).toBeVisible();
      await expect(own.getByRole('button', { name: 'Sign out' })).toBeVisible();
    });
  }
});

test.describe('where it is not allowed', () => {
  test.use({ expected: /frame-ancestors|X-Frame-Options|Unsafe attempt to load URL/ });

  for (const [name, frame_ancestors] of [['nowhere', []], ['elsewhere', ['https://app.example.com']]]) {
    test(`no frame shows it: ${name}`, async ({ page, hosts }) => {
      const server = await another({ frame_ancestors });
      const org = await server.organization('Not framed Ltd');
      const refused = page.waitForEvent('console', (message) => /frame-ancestors|X-Frame-Options/i.test(message.text()));
      const frame = await show(page, hosts, server, origin, await server.link(org));
      await refused;
      await expect(frame.getByRole('heading', { name: 'Audit log' })).toHaveCount(0);
    });
  }
});
