// The catalogue of event types, and the page of retention and access.
import { test, expect, main, full, small, empty } from '../stele.mjs';

const heading = (page) => page.getByRole('heading', { level: 1 });

test('an event type is found by typing, and shows its versions side by side', async ({ page, enter }) => {
  await enter(full, { at: '/settings/security/event-types' });
  const rows = page.locator('[data-filter-item]:visible');
  const all = await rows.count();
  expect(all).toBeGreaterThan(180);
  await page.getByRole('searchbox').fill('private incident access');
  await expect(page.getByRole('link', { name: 'private_incident.access_attempted' })).toBeVisible();
  await expect.poll(() => rows.count()).toBeLessThan(10);
  await expect(page.getByRole('status').first()).toContainText(`of ${all} event types`);
  await expect(page).toHaveURL(/q=private/);
  await page.getByRole('link', { name: 'private_incident.access_attempted' }).click();
  await expect(heading(page)).toHaveText('private_incident.access_attempted');
  await page.getByRole('button', { name: 'Compare' }).click();
  await expect(page.getByRole('row', { name: /Added metadata\.team_id/ })).toBeVisible();
  await expect(page.getByRole('row', { name: /Changed metadata\.outcome/ })).toBeVisible();
  await page.goBack();
  await page.goBack();
  await expect(page.getByRole('searchbox')).toHaveValue('private incident access');
  await expect.poll(() => rows.count()).toBeLessThan(10);
});

test('the count of an event type is what its link shows', async ({ page, enter }) => {
  await enter(small, { at: '/settings/security/event-types/api_key.created' });
  const wanted = (await main.entries(small, 'action:api_key.created')).length;
  const link = page.getByRole('link', { name: /^\d+ events?$/ });
  await expect(link).toHaveText(new RegExp(`^${wanted} event`));
});

test('the page of retention says what the API says', async ({ page, enter }) => {
  await enter(small, { role: 'manager', at: '/settings/security/retention' });
  const head = await main.call('GET', `/v1/organizations/${small}/events?limit=1`);
  await expect(page.getByText(`Entry ${head.complete_through.seq.toLocaleString('en')}, received`)).toBeVisible();
  await expect(page.getByText('365 days')).toBeVisible();
  const key = await fetch(`${main.url}/v1/vkey`).then((res) => res.text()).catch(() => '');
  expect(await page.locator('#vkey').textContent()).toMatch(/^demo\.stele\.local\+/);
});
