import { test, expect, main } from '../stele.mjs';

test.describe('a link that does not work', () => {
  test.use({ expected: [/status of 403/] });

  test('altered', async ({ page }) => {
    const res = await page.goto(main.url + '/portal/launch?token=abc.def');
    expect(res.status()).toBe(403);
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('This link does not work');
  });
});
