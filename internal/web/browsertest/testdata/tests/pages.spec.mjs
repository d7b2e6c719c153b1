// Every page as people meet it: light and dark, wide and narrow, full and empty.
// axe finds nothing on any, nothing is wider than the window, and a picture of
// each is kept.
import { test, expect, main, another, full, empty, accessible, contained, picture } from '../stele.mjs';

const looks = [
  { name: 'desktop-light', width: 1280, height: 900, colorScheme: 'light' },
  { name: 'desktop-dark', width: 1280, height: 900, colorScheme: 'dark' },
  { name: 'phone-light', width: 360, height: 740, colorScheme: 'light' },
  { name: 'phone-dark', width: 360, height: 740, colorScheme: 'dark' },
];

// Of a page with hundreds of rows that are all alike axe sees a few.
const pages = [
  { name: 'audit-log', path: 'audit-log', of: [full, empty] },
  { name: 'exports', path: 'exports', of: [full, empty] },
  { name: 'export-new', path: 'exports?new=1', of: [full] },
  { name: 'event-types', path: 'event-types', few: 'event-types?q=incident+access', of: [full] },
  { name: 'event-type', path: 'event-types/private_incident.access_attempted?a=1&b=2', of: [full] },
  { name: 'log-streams', path: 'log-streams', of: [full] },
  { name: 'log-stream-new', path: 'log-streams/new', of: [full] },
  { name: 'retention', path: 'retention', of: [full, empty] },
];

for (const { name, path, few, of } of pages) {
  for (const organization of of) {
    const kind = organization === full ? 'full' : 'empty';
    test(`${name}, ${kind}`, async ({ page, enter }) => {
      await enter(organization, { role: 'manager' });
      for (const look of looks) {
        await page.setViewportSize({ width: look.width, height: look.height });
        await page.emulateMedia({ colorScheme: look.colorScheme });
        const res = await page.goto(`${main.url}/settings/security/${path}`);
        expect(res.status()).toBe(200);
        await expect(page.getByRole('heading', { level: 1 })).toHaveCount(1);
        await picture(page, `${name}-${kind}-${look.name}`);
        await contained(page);
        if (few) {
          await page.goto(`${main.url}/settings/security/${few}`);
        }
        await accessible(page);
      }
    });
  }
}

for (const accent of ['#ffe600', '#000000', '#ffffff', '#ff00aa']) {
  test(`with the accent ${accent} everything can be read`, async ({ page, enter }) => {
    const server = await another({ accent, product_name: 'Acme & <b>Sons</b>' });
    await enter(await server.organization(), { server, at: '/settings/security/exports?new=1' });
    await expect(page.getByRole('banner')).toContainText('Acme & <b>Sons</b>');
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await picture(page, `accent-${accent.slice(1)}-${colorScheme}`);
      await accessible(page);
    }
  });
}
