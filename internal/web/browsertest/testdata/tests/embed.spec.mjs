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
