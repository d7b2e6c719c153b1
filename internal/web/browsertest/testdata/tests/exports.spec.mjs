// Files made of the log.
import { readFile } from 'node:fs/promises';
import { test, expect, main, full, event, picture, contained, accessible } from '../stele.mjs';

const exports_ = '/settings/security/exports';

// table reads a CSV file as RFC 4180 has it: rows of cells.
function table(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1).push(quoted?.replaceAll('""', '"') ?? plain);
    if (end !== ',') {
      rows.push([]);
    }
  }
  return rows.filter((row) => row.length > 1);
}

async function download(page, name) {
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name }).click()]);
  return { name: file.suggestedFilename(), text: await readFile(await file.path(), 'utf8') };
}

test.describe('with progress', () => {
  test.afterEach(() => main.holdExports(full, 100)); // a test that failed holds nobody up

  test('a CSV file, made with progress and downloaded, holds what the API finds', async ({ page, enter }) => {
    await enter(full, { at: exports_ });
    const q = '-action:audit_log.* -action:private_incident.*';
    const wanted = (await main.entries(full, q, 1000)).sort((a, b) => a.seq - b.seq);
    await main.holdExports(full, 0);
    await page.getByRole('link', { name: 'New export' }).click();
    await page.getByLabel('Filter').fill(q);
    await page.getByLabel('Time').selectOption({ label: 'All time' });
    await expect(page.getByText(`It will hold about ${wanted.length.toLocaleString('en')} entries.`)).toBeVisible();
    await page.getByText('Oldest first').click();
    await page.getByRole('button', { name: 'Make export' }).click();

    const bar = page.getByRole('progressbar');
    await expect(bar).toHaveAttribute('value', '0');
    let percent = 20;
    await expect.poll(async () => {
      await main.advance(2); // progress is kept once a second of the server's clock
      await main.holdExports(full, percent++);
      return Number(await bar.getAttribute('value'));
    }).toBeGreaterThan(0);
    expect(Number(await bar.getAttribute('value'))).toBeLessThan(100);
    await expect(page.getByText(/^Time left$/)).toBeVisible();
    await picture(page, 'export-running-desktop-light');
    await accessible(page);
    await main.holdExports(full, 100);
    await expect(page.getByRole('heading', { name: 'The file is ready' })).toBeVisible();
    await expect(page.getByText(`.csv · ${wanted.length.toLocaleString('en')} rows`)).toBeVisible();

    const file = await download(page, 'Download CSV');
    expect(file.name).toMatch(/^org_corvane-audit-log-.*\.csv$/);
    const [header, ...rows] = table(file.text);
    const column = (row, name) => row[header.indexOf(name)];
    expect(rows.map((row) => column(row, 'id'))).toEqual(wanted.map((entry) => entry.id));
    expect(rows.map((row) => column(row, 'action'))).toEqual(wanted.map((entry) => entry.action));
  });
});

test.describe('while it runs', () => {
  for (const javaScriptEnabled of [true, false]) {
    test.describe(javaScriptEnabled ? 'with scripts' : 'without scripts', () => {
      test.use({ javaScriptEnabled });

      test('an export can be canceled', async ({ page, enter }) => {
        const org = await main.organization('Regretting Ltd', [event(), event()]);
        await main.holdExports(org, 0);
        await enter(org, { at: exports_ });
        await page.getByRole('link', { name: 'Make the first export' }).click();
        await page.getByRole('button', { name: 'Make export' }).click();
        await expect(page.getByRole('heading', { name: /^(Waiting|Running), 0 %$/ })).toBeVisible();
        const address = page.url();
        if (javaScriptEnabled) {
          for (const [width, colorScheme] of [[1280, 'light'], [360, 'dark']]) {
            await page.setViewportSize({ width, height: 900 });
            await page.emulateMedia({ colorScheme });
            await picture(page, `export-cancel-${width}-${colorScheme}`);
            await contained(page);
          }
          await page.getByRole('button', { name: 'Cancel the export' }).press('Enter');
        } else {
          await page.getByRole('button', { name: 'Cancel the export' }).click();
        }
        await expect(page.getByText('The export is canceled. There is no file of it.')).toBeVisible();
        await expect(page.getByRole('heading', { name: 'No exports yet' })).toBeVisible();
        if (javaScriptEnabled) await picture(page, 'export-canceled-360-dark');
        expect((await page.request.get(address)).status()).toBe(404);
        expect((await main.entries(org, 'action:audit_log.export_canceled')).map((entry) => entry.actor.id)).toEqual(['u_tester']);
      });
    });
  }
});

test('a JSON file holds each entry as the API has it', async ({ page, enter }) => {
  const org = await main.organization('Exporting Ltd', Array.from({ length: 30 }, (_, i) => event({ targets: [{ type: 'api_key', id: `k_${i}`, name: `key ${i}` }] })));
  await enter(org, { at: exports_, person: { id: 'u_tester', name: 'Ada Tester' } });
  await page.getByRole('link', { name: 'Make the first export' }).click();
  await page.getByText('JSON lines').click();
  await page.getByText('Oldest first').click();
  await page.getByRole('button', { name: 'Make export' }).click();
  await expect(page.getByRole('heading', { name: 'The file is ready' })).toBeVisible();
  const file = await download(page, /^Download JSON/);
  const rows = file.text.trimEnd().split('\n').map((line) => JSON.parse(line));
  const entries = (await main.entries(org)).filter((entry) => entry.action === 'api_key.created').reverse();
  expect(rows.filter((row) => row.action === 'api_key.created')).toEqual(entries);

  // The list says who made it, and the log too.
  await page.getByRole('link', { name: 'Exports' }).first().click();
  await expect(page.getByRole('row').filter({ hasText: 'Ada Tester' })).toHaveCount(1);
  const own = await main.entries(org, 'action:audit_log.*');
  expect(own.map((entry) => [entry.action, entry.actor.id]).sort()).toEqual([
    ['audit_log.export_downloaded', 'u_tester'], ['audit_log.exported', 'u_tester'], ['audit_log.opened', 'u_tester'],
  ]);
});

test.describe('without scripts', () => {
  test.use({ javaScriptEnabled: false });

  test('an export can be made and downloaded', async ({ page, enter }) => {
    const org = await main.organization('Plain Ltd', [event(), event()]);
    await enter(org, { at: exports_ });
    await page.getByRole('link', { name: 'Make the first export' }).click();
    await page.getByRole('button', { name: 'Make export' }).click();
    await expect(async () => {
      await page.reload();
      await expect(page.getByRole('heading', { name: 'The file is ready' })).toBeVisible({ timeout: 1000 });
    }).toPass();
    const file = await download(page, 'Download CSV');
    expect(table(file.text).filter((row) => row.includes('api_key.created'))).toHaveLength(2);
  });
});

test.describe('a filter that is wrong', () => {
  test.use({ expected: /status of 400/ });

  test('is said where it was typed', async ({ page, enter }) => {
    await enter(full, { at: `${exports_}?new=1` });
    await page.getByLabel('Filter').fill('actor.typo:x');
    await page.getByRole('button', { name: 'Make export' }).click();
    await expect(page.getByLabel('Filter')).toHaveValue('actor.typo:x');
    await expect(page.getByLabel('Filter')).toHaveAttribute('aria-invalid', 'true');
    await expect(page.getByRole('alert').filter({ hasText: 'actor.typo' })).toBeVisible();
  });
});

test('what is typed before the scripts come is counted once they do', async ({ page, enter }) => {
  const org = await main.organization('Slow Line Ltd', [event({ action: 'door.opened' }), event({ action: 'door.opened' }), event()]);
  await enter(org);
  let come;
  const came = new Promise((resolve) => { come = resolve; });
  await page.route('**/js/*.js*', (route) => came.then(() => route.continue()));
  await page.goto(`${main.url}${exports_}?new=1&range=all`, { waitUntil: 'commit' });
  await page.getByLabel('Filter').fill('action:door.opened');
  come();
  await expect(page.getByText('It will hold about 2 entries.')).toBeVisible();
});

test.describe('evidence', () => {
  test.use({ expected: /status of 400/ });

  test('is offered with what it is, takes an older checkpoint, and says how to check it', async ({ page, enter }) => {
    const org = await main.organization('Proving Ltd', Array.from({ length: 12 }, (_, i) => event({ targets: [{ type: 'api_key', id: `k_${i}` }] })));
    await enter(org, { at: `${exports_}?new=1&range=all` });
    await expect(page.getByLabel('Older checkpoint')).toBeHidden();
    await page.getByText('for an auditor, a ZIP').click();
    await expect(page.getByLabel('Older checkpoint')).toBeVisible();
    await expect(page.getByText('Newest first')).toBeHidden(); // it is in the order of the log
    await page.getByLabel('Older checkpoint').fill('no checkpoint');
    await page.getByRole('button', { name: 'Make export' }).click();
    await expect(page.getByLabel('Older checkpoint')).toHaveAttribute('aria-invalid', 'true');
    await expect(page.getByLabel('Older checkpoint')).toHaveValue(/^no checkpoint/);
    await picture(page, 'export-evidence-fault-phone-dark');

    const checkpoint = await (await page.request.get(`${main.url}/settings/security/retention/checkpoint`)).text();
    await expect(page.getByText('choose the file')).toBeVisible();
    await page.getByLabel('choose the file').setInputFiles({ name: 'checkpoint.txt', mimeType: 'text/plain', buffer: Buffer.from(checkpoint) });
    await expect(page.getByLabel('Older checkpoint')).toHaveValue(checkpoint);
    for (const [width, colorScheme] of [[1280, 'light'], [360, 'dark']]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await picture(page, `export-evidence-form-${width}-${colorScheme}`);
      await contained(page);
      await accessible(page);
    }
    await page.getByRole('button', { name: 'Make export' }).click();
    await expect(page.getByRole('heading', { name: 'The file is ready' })).toBeVisible();
    await expect(page.getByText('which extends an older checkpoint')).toBeVisible();
    await expect(page.getByLabel('Command that verifies the evidence')).toContainText('stele verify');
    await picture(page, 'export-evidence-ready-phone-dark');
    await contained(page);
    await accessible(page);
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download evidence' }).click()]);
    expect(file.suggestedFilename()).toMatch(/-audit-log-evidence-.*\.zip$/);
    expect((await readFile(await file.path())).subarray(0, 2).toString()).toBe('PK');
  });
});
