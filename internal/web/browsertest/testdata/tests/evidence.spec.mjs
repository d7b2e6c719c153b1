// The page inside evidence zips, opened from disk: it says what Go says, and asks
// nobody.
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { test, expect, accessible, contained, picture } from '../stele.mjs';

const root = new URL('../../../../../', import.meta.url);
const file = pathToFileURL(fileURLToPath(new URL('internal/export/verifypage/verify.html', root))).href;
const vectors = fileURLToPath(new URL('audit/testdata/evidence/', root));
const names = readdirSync(vectors).filter((name) => name.endsWith('.zip')).map((name) => name.slice(0, -4));
const wanted = (name) => JSON.parse(readFileSync(`${vectors}${name}.json`, 'utf8'));

// sentence is VerifyError.Sentence of Go.
function sentence({ message, file: where = '', line, seq }) {
  if (line) where += `, ${where === 'entries.csv' ? 'row' : 'line'} ${line}`;
  if (seq !== undefined) where += ` (entry ${seq})`;
  return where ? `${where}: ${message}` : message;
}

const said = (page, kind) => page.locator(`.said.${kind} li > span:last-child`).allTextContents();

// open opens the page from disk and notes whatever it asks for.
async function open(page) {
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  page.on('websocket', (socket) => asked.push(socket.url()));
  await page.goto(file);
  return asked;
}

// compare gives the page what is known besides the zip.
async function compare(page, { vkey, older }) {
  if (!vkey && !older) return;
  await page.getByText('Compare with what you know').click();
  if (vkey) await page.getByLabel('Verifier key of the product').fill(vkey);
  if (older) await page.getByLabel('A checkpoint that you kept').setInputFiles({ name: 'checkpoint', mimeType: 'text/plain', buffer: Buffer.from(older) });
}

test('there are test vectors', () => expect(names.length).toBeGreaterThan(15));

for (const name of names) {
  test(`says of ${name} what Go says`, async ({ page }) => {
    const want = wanted(name);
    const asked = await open(page);
    await compare(page, want);
    await page.getByLabel('Choose the zip').setInputFiles(`${vectors}${name}.zip`);
    await expect(page.locator('.verdict')).toBeVisible();
    expect(await said(page, 'fail')).toEqual((want.problems ?? []).map(sentence));
    expect(await said(page, 'pass')).toEqual(want.verified ?? []);
    expect(await said(page, 'open')).toEqual(want.not_verified ?? []);
    expect(asked).toEqual([file]);
  });
}

test('a zip is dropped on it', async ({ page }) => {
  await open(page);
  const bytes = readFileSync(`${vectors}mixed.zip`).toString('base64');
  const data = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], 'evidence.zip'));
    return transfer;
  }, bytes);
  await page.dispatchEvent('#drop', 'dragover', { dataTransfer: data });
  await expect(page.locator('#drop')).toHaveClass(/over/);
  await page.dispatchEvent('#drop', 'drop', { dataTransfer: data });
  await expect(page.getByRole('heading', { name: 'Verified, with the key that came with the file' })).toBeVisible();
  await expect(page.locator('#drop')).toContainText('evidence.zip');
});

test('with the keyboard alone', async ({ page }) => {
  await open(page);
  await page.keyboard.press('Tab'); // the skip link
  await page.keyboard.press('Tab');
  await expect(page.getByLabel('Choose the zip')).toBeFocused();
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.keyboard.press('Space')]);
  await chooser.setFiles(`${vectors}mixed.zip`);
  await expect(page.locator('#result')).toBeFocused();
  await expect(page.getByRole('status')).toContainText('Verified, with the key that came with the file');
  await page.getByText('Compare with what you know').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.type(wanted('mixed').vkey);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Verified', exact: true })).toBeVisible();
});

test('a key that is none, and a file that is no zip', async ({ page }) => {
  await open(page);
  await compare(page, { vkey: 'x' });
  await page.getByLabel('Choose the zip').setInputFiles(`${vectors}mixed.zip`);
  await expect(page.locator('.said.fail')).toContainText('the key that you gave is not a verifier key');
  await page.getByLabel('Verifier key of the product').fill('');
  await page.getByLabel('Choose the zip').setInputFiles({ name: 'x.zip', mimeType: 'application/zip', buffer: Buffer.from('not a zip, but long enough to be one') });
  await expect(page.locator('.said.fail')).toContainText('the zip cannot be read');
});

for (const [look, options] of Object.entries({
  light: {},
  dark: { colorScheme: 'dark' },
  phone: { viewport: { width: 375, height: 720 } },
})) {
  test.describe(look, () => {
    test.use(options);

    test('is accessible and contained', async ({ page }) => {
      await open(page);
      await accessible(page);
      await contained(page);
      await picture(page, `evidence-${look}-empty`);
      for (const name of ['mixed', 'key-in-the-file', 'altered-row-and-manifest']) {
        const { vkey } = wanted(name);
        await page.reload();
        await compare(page, { vkey });
        await page.getByLabel('Choose the zip').setInputFiles(`${vectors}${name}.zip`);
        await expect(page.locator('.verdict')).toBeVisible();
        await accessible(page);
        await contained(page);
        await picture(page, `evidence-${look}-${name}`);
      }
    });
  });
}
