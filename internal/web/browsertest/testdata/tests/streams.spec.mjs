// Log streams: adding, testing, breaking, repairing, pausing, replaying one.
import { test, expect, main, event, Receiver, accessible, contained, picture } from '../stele.mjs';

const streams = '/settings/security/log-streams';
const ada = { role: 'manager', intent: 'log_streams', person: { id: 'u_ada', name: 'Ada Tester' } };
const events = (n, changes = {}) => Array.from({ length: n }, (_, i) => event({ targets: [{ type: 'api_key', id: `k_${i}`, name: `key ${i}` }], ...changes }));

const button = (page, name) => page.getByRole('button', { name, exact: true });

// fill fills in the form of a webhook.
async function fill(page, receiver, { name = 'Our SIEM', filter = 'action:api_key.*', start = 'From the beginning' } = {}) {
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill(name);
  await page.getByRole('textbox', { name: 'URL' }).fill(`${receiver.url}/hook-4711`);
  await page.getByLabel('Filter').fill(filter);
  await page.getByLabel(start).check();
  const more = page.getByRole('group').filter({ hasText: 'More settings' });
  if (!(await page.getByLabel('Certificate authority').isVisible())) {
    await more.getByText('More settings').click();
  }
  await page.getByLabel('Certificate authority').fill(receiver.certificate);
}

// add makes a stream with the API and opens its page.
async function add(page, organization, receiver, changes = {}) {
  const made = await main.call('POST', `/v1/organizations/${organization}/streams`, {
    kind: 'webhook', name: 'Our SIEM', filter: 'action:api_key.*', start: { kind: 'beginning' },
    settings: { url: `${receiver.url}/hook-4711`, ca_certificate: receiver.certificate }, ...changes,
  });
  await page.goto(`${main.url}${streams}/${made.id}`);
  return made.id;
}

const looks = [
  { name: 'desktop-light', width: 1280, height: 900, colorScheme: 'light' },
  { name: 'desktop-dark', width: 1280, height: 900, colorScheme: 'dark' },
  { name: 'phone-light', width: 360, height: 740, colorScheme: 'light' },
  { name: 'phone-dark', width: 360, height: 740, colorScheme: 'dark' },
];

// lookAt keeps pictures of a page as it is, which has nothing that axe finds.
async function lookAt(page, name) {
  for (const look of looks) {
    await page.setViewportSize({ width: look.width, height: look.height });
    await page.emulateMedia({ colorScheme: look.colorScheme });
    await picture(page, `streams-${name}-${look.name}`);
    await contained(page);
    await accessible(page);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

test.describe('with faults', () => {
  test.use({ expected: /status of 400/ });

  test('a stream is added: faults, a refused test, a good one, saved', async ({ page, enter }) => {
    const org = await main.organization('Streaming Ltd', events(30));
    const receiver = await Receiver.open();
    await enter(org, ada);
    await expect(page.getByRole('heading', { name: 'No log streams yet' })).toBeVisible();
    await lookAt(page, 'empty');
    await page.getByRole('link', { name: 'Add a log stream' }).click();
    await lookAt(page, 'kinds');
    await page.getByRole('link', { name: 'HTTPS webhook' }).click();
    const secret = page.locator('[id="settings/signing_secret"]');
    await expect(secret).toHaveValue(/^whsec_/);
    const first = await secret.inputValue();
    await button(page, 'Generate Signing secret').click();
    await expect(secret).not.toHaveValue(first);
    await expect(secret).toBeFocused();
    const made = await secret.inputValue();
    await lookAt(page, 'form');

    // Everything that is wrong is said at once; what was typed stays, secrets too.
    await page.getByLabel('Filter').fill('actor.colour:red');
    await page.getByRole('textbox', { name: 'URL' }).fill('http://siem.example.com');
    await page.keyboard.press('Enter');
    await expect(page.getByText('Must begin with https://')).toBeVisible();
    await expect(page.getByText('unknown field "actor.colour"')).toBeVisible();
    await expect(page.getByRole('textbox', { name: 'URL' })).toBeFocused();
    await expect(page.getByRole('textbox', { name: 'URL' })).toHaveValue('http://siem.example.com');
    await lookAt(page, 'faults');

    await receiver.answers({ status: 401, says: '<b>who</b> are you?' });
    await fill(page, receiver);
    await button(page, 'Test').click();
    await expect(page.getByRole('heading', { name: 'The test event did not arrive' })).toBeVisible();
    await expect(page.getByText('Check the credentials on both sides')).toBeVisible();
    await expect(page.getByText('<b>who</b> are you?')).toHaveCount(1);
    await expect(page.getByRole('textbox', { name: 'URL' })).toHaveValue(`${receiver.url}/hook-4711`);
    await expect(secret).toHaveValue(made);
    await lookAt(page, 'refused');
    await button(page, 'Save').click();
    await expect(button(page, 'Save anyway')).toBeVisible();
    expect((await main.call('GET', `/v1/organizations/${org}/streams`)).streams).toEqual([]);

    await receiver.answers();
    await button(page, 'Test').click();
    await expect(page.getByRole('heading', { name: 'The destination took the test event' })).toBeVisible();
    await button(page, 'Save').click();
    await expect(page.getByText('The stream is saved, and delivers.')).toBeVisible();
    await expect(page.getByText('Up to date')).toBeVisible();
    await expect(page.getByText('0–29')).toBeVisible();
    await lookAt(page, 'one');
    const text = (await receiver.bodies()).join('\n');
    for (let i = 0; i < 30; i++) {
      expect(text).toContain(`"seq":${i},`);
    }
    await expect.poll(async () => (await main.entries(org, 'action:log_stream.created')).map((e) => [e.actor.id, e.actor.name])).toEqual([['u_ada', 'Ada Tester']]);
  });
});

test('a stream breaks, and is repaired', async ({ page, enter }) => {
  const org = await main.organization('Breaking Ltd', events(3));
  const receiver = await Receiver.open();
  await enter(org, ada);
  await add(page, org, receiver);
  await expect(page.getByText('Up to date')).toBeVisible();

  // What will pass is tried again by itself, and the page shows it by itself.
  await receiver.answers({ status: 500, says: 'out of order' });
  await main.record(org, event());
  await expect(page.getByText('Degraded', { exact: true })).toBeVisible();
  await expect(page.getByText('1 event behind, oldest')).toBeVisible();
  await expect(page.getByText('out of order').first()).toBeVisible();
  await lookAt(page, 'degraded');
  await receiver.answers();
  await expect(page.getByText('Active', { exact: true })).toBeVisible({ timeout: 30_000 });
  await expect(page.getByText('Up to date')).toBeVisible();

  // What will not is for its owner.
  await receiver.answers({ status: 401, says: 'bad signature' });
  await main.record(org, event());
  await expect(page.getByText('Invalid', { exact: true })).toBeVisible();
  await expect(page.getByText('Check the credentials on both sides').first()).toBeVisible();
  await page.getByRole('link', { name: 'Log streams' }).last().click();
  await expect(page.getByRole('listitem').filter({ hasText: 'Our SIEM' }).getByText('Invalid', { exact: true })).toBeVisible();
  await lookAt(page, 'invalid');
  await page.getByRole('link', { name: 'Open Our SIEM' }).click();
  await page.getByRole('link', { name: 'Edit' }).click();
  await expect(page.getByRole('textbox', { name: 'URL' })).toHaveAttribute('placeholder', 'Unchanged, ends in 4711');
  await lookAt(page, 'edit');
  await receiver.answers();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Mended');
  await button(page, 'Generate Signing secret').click();
  await expect(page.getByText('This value was just made')).toBeVisible();
  await button(page, 'Save').click();
  await expect(page.getByText('The changes are saved')).toBeVisible();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Mended');
  await expect(page.getByText('Up to date')).toBeVisible();
  await expect(page.getByText('Active', { exact: true })).toBeVisible();
});

test('a stream is paused, resumed, replayed, deleted', async ({ page, enter }) => {
  const org = await main.organization('Pausing Ltd', events(20));
  const receiver = await Receiver.open();
  await enter(org, ada);
  await add(page, org, receiver);
  await expect(page.getByText('Up to date')).toBeVisible();
  await button(page, 'Pause').click();
  await expect(page.getByText('Paused', { exact: true })).toBeVisible();
  await main.record(org, ...events(2));
  await expect(page.getByText('behind, oldest')).toBeVisible();
  await page.goto(main.url + streams);
  await button(page, 'Resume Our SIEM').click();
  await expect(page.getByText('Up to date')).toBeVisible();

  await page.getByRole('link', { name: 'Open Our SIEM' }).click();
  await page.getByText('Replay a part of the log').click();
  await page.getByLabel('By the number of the entry').check();
  await page.getByLabel('First entry').fill('5');
  await page.getByLabel('Last entry').fill('7');
  await button(page, 'Replay').click();
  await expect(page.getByText('Done', { exact: true })).toBeVisible();
  await expect(page.getByRole('row').filter({ hasText: '5–7' })).toContainText('Replay');
  const text = (await receiver.bodies()).join('\n');
  for (const [seq, times] of [[4, 1], [5, 2], [7, 2], [8, 1]]) {
    expect(text.split(`"seq":${seq},`).length - 1, `entry ${seq}`).toBe(times);
  }
  await lookAt(page, 'replayed');

  await page.getByRole('link', { name: 'Delete' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Delete “Our SIEM”?');
  await lookAt(page, 'delete');
  await button(page, 'Delete this stream').click();
  await expect(page.getByRole('heading', { name: 'No log streams yet' })).toBeVisible();
});

test('a refused event is a dead letter, and is sent again', async ({ page, enter }) => {
  const org = await main.organization('Poisoned Ltd', [...events(2), event({ targets: [{ type: 'api_key', id: 'k_poison', name: 'poison' }] }), ...events(2)]);
  const receiver = await Receiver.open();
  await receiver.answers({ refuse: 'k_poison', says: '<script>alert(1)</script> not this one' });
  await enter(org, ada);
  await add(page, org, receiver);
  const dead = page.getByRole('row').filter({ has: page.getByRole('checkbox') });
  await expect(dead).toHaveCount(1);
  await expect(dead).toContainText('<script>alert(1)</script> not this one');
  await expect(page.getByText('Up to date')).toBeVisible();
  await lookAt(page, 'dead-letter');
  await dead.getByRole('link', { name: '2' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('poison');
  await page.goBack();
  await receiver.answers();
  await page.getByRole('checkbox', { name: 'Entry 2' }).check();
  await button(page, 'Send chosen again').click();
  await expect(page.getByText('Done', { exact: true })).toBeVisible();
  await expect(dead).toHaveCount(0);
  expect((await receiver.bodies()).at(-1)).toContain('k_poison');
});

test.describe('without scripts', () => {
  test.use({ javaScriptEnabled: false });

  test('a stream is added, paused and deleted', async ({ page, enter }) => {
    const org = await main.organization('Scriptless Ltd', events(3));
    const receiver = await Receiver.open();
    await enter(org, ada);
    await page.getByRole('link', { name: 'Add a log stream' }).click();
    await page.getByRole('link', { name: 'HTTPS webhook' }).click();
    await fill(page, receiver);
    await button(page, 'Test').click();
    await expect(page.getByRole('heading', { name: 'The destination took the test event' })).toBeVisible();
    await expect(page.getByText('enter them again before you go on')).toBeVisible();
    await fill(page, receiver);
    await button(page, 'Save').click();
    await expect(page.getByText('The stream is saved, and delivers.')).toBeVisible();
    await expect(async () => {
      await page.reload();
      await expect(page.getByText('Up to date')).toBeVisible({ timeout: 100 });
    }).toPass();
    await button(page, 'Pause').click();
    await expect(page.getByText('Paused', { exact: true })).toBeVisible();
    await page.getByRole('link', { name: 'Delete' }).click();
    await button(page, 'Delete this stream').click();
    await expect(page.getByText('The stream is deleted')).toBeVisible();
  });
});

test('a credential that expires soon is announced', async ({ page, enter }) => {
  const org = await main.organization('Expiring Ltd', events(1));
  const end = new Date((await main.now()).getTime() + 9 * 24 * 3600_000).toISOString().replace(/\.\d+/, '');
  const { id } = await main.call('POST', `/v1/organizations/${org}/streams`, {
    kind: 'azure_blob', name: 'Our container', start: { kind: 'now' },
    settings: { account: 'acme', container: 'audit', endpoint: 'https://127.0.0.1:1', sas_token: `sv=2023-11-03&se=${encodeURIComponent(end)}&sr=c&sp=cw&spr=https&sig=c2lnbmF0dXJlc2VjcmV0` },
  });
  await enter(org, ada);
  for (const at of ['', `/${id}`]) {
    await page.goto(main.url + streams + at);
    await expect(page.getByText('The shared access signature expires')).toBeVisible();
    await lookAt(page, at ? 'expiring' : 'expiring-list');
  }
  await page.getByRole('link', { name: 'Enter a new one' }).click();
  await expect(page.getByRole('heading', { name: 'Edit log stream' })).toBeVisible();
});

test('a viewer who came for log streams is led to the log', async ({ page, enter }) => {
  const org = await main.organization('Viewing Ltd', events(1));
  await enter(org, { role: 'viewer' });
  await expect(page.getByRole('link', { name: 'Log streams' })).toHaveCount(0);
});
